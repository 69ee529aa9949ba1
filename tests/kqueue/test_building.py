"""The two ways to use the emulation: as a shared library, and compiled together with a Cython extension."""

from __future__ import annotations

import ctypes
import errno
import os
import shlex
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from .conftest import Pair, Queue

HERE = Path(__file__).parent

PROGRAM = """
    #include <sys/event.h>  /* first, and nothing else: it needs no other header */
    #include <stddef.h>
    #include <assert.h>

    static_assert(sizeof(struct kevent) == 2 * sizeof(void *) + 8 + sizeof(intptr_t), "no gaps");
    static_assert(offsetof(struct kevent, filter) == sizeof(uintptr_t), "ident comes first");
    static_assert(offsetof(struct kevent, udata) == sizeof(struct kevent) - sizeof(void *), "udata comes last");

    int main(void) {
        struct kevent events[2], *at = events;
        struct timespec now = {0, 0};
        int kq = kqueue();
        EV_SET(at++, 7, EVFILT_USER, EV_ADD | EV_CLEAR, NOTE_FFCOPY, 0, NULL);
        EV_SET(at++, 7, EVFILT_USER, 0, NOTE_FFCOPY | NOTE_TRIGGER | 3, 5, &kq);
        if (kevent(kq, events, 2, events, 2, &now) != 1 || at != events + 2) {
            return 1;
        }
        return events[0].fflags == 3 && events[0].data == 5 && events[0].udata == &kq ? 0 : 2;
    }
"""

# What a backend does: the names of the system's headers, changes and events in C, a close of its own.
EXTENSION = """
    from posix.time cimport timespec
    from posix.unistd cimport close
    from libc.stdint cimport intptr_t, uintptr_t

    cdef extern from "<sys/event.h>":
        struct kevent_s "kevent":
            uintptr_t ident
            short filter
            unsigned short flags
            unsigned int fflags
            intptr_t data
            void *udata
        int EVFILT_READ, EV_ADD, EV_CLEAR
        int kqueue()
        int kevent(int, const kevent_s *, int, kevent_s *, int, const timespec *) nogil
        void EV_SET(kevent_s *, uintptr_t, short, unsigned short, unsigned int, intptr_t, void *)

    def make():
        return kqueue()

    def watch(int kq, int fd):
        cdef kevent_s change
        EV_SET(&change, fd, EVFILT_READ, EV_ADD | EV_CLEAR, 0, 0, NULL)
        return kevent(kq, &change, 1, NULL, 0, NULL)

    def take(int kq):
        cdef kevent_s event
        cdef timespec timeout
        timeout.tv_sec, timeout.tv_nsec = 0, 0
        with nogil:
            count = kevent(kq, NULL, 0, &event, 1, &timeout)
        return count, event.ident, event.data

    def shut(int fd):
        return close(fd)
"""
SETUP = """
    from Cython.Build import cythonize
    from setuptools import Extension, setup

    flags = {flags!r}
    extension = Extension("backend", ["backend.pyx", {source!r}], include_dirs=[{include!r}], extra_compile_args=flags)
    setup(ext_modules=cythonize([extension], language_level=3))
"""


@pytest.mark.parametrize(
    "flags",
    [
        pytest.param(("-std=c11", "-Wpedantic", "-Wshadow", "-Wconversion"), id="library"),
        pytest.param(("-std=gnu17", "-DKQUEUE_INTERPOSES_CLOSE", "-fvisibility=hidden"), id="with_its_close"),
        pytest.param(("-D_GNU_SOURCE", "-O3", "-DNDEBUG"), id="as_extensions_are"),
    ],
)
def test_it_compiles_without_a_warning(compile_library: Callable[..., object], flags: tuple[str, ...]) -> None:
    compile_library(*flags)


def test_a_c_program_needs_the_one_header_and_the_one_source(compiler: list[str], tmp_path: Path) -> None:
    program = tmp_path / "program"
    program.with_suffix(".c").write_text(textwrap.dedent(PROGRAM))
    sources = (str(program.with_suffix(".c")), str(HERE / "kqueue.c"), f"-I{HERE / 'include'}", "-pthread")
    subprocess.run([*compiler, "-Wall", "-Wextra", "-Werror", *sources, "-o", str(program)], check=True)
    assert subprocess.run([str(program)], check=False).returncode == 0


@pytest.fixture(scope="module")
def backend(compiler: list[str], tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], str]:
    """Runs a script beside an extension compiled with the emulation and its close: `import backend`. Gives its output.

    The extension is slow to build, so there is one.
    """
    folder = tmp_path_factory.mktemp("backend")
    flags = ["-DKQUEUE_INTERPOSES_CLOSE", "-O1"]
    setup = SETUP.format(flags=flags, source=os.path.relpath(HERE / "kqueue.c", folder), include=str(HERE / "include"))
    (folder / "setup.py").write_text(textwrap.dedent(setup))
    (folder / "backend.pyx").write_text(textwrap.dedent(EXTENSION))
    build = [sys.executable, "-W", "ignore", "setup.py", "-q", "build_ext", "--inplace", "--build-temp", "build"]
    environment = os.environ | {"CC": shlex.join(compiler)}
    subprocess.run(build, cwd=folder, env=environment, check=True, stdout=subprocess.DEVNULL)

    def run(script: str) -> str:
        command = [sys.executable, "-c", textwrap.dedent(script)]
        return subprocess.run(command, cwd=folder, check=True, stdout=subprocess.PIPE, text=True).stdout

    return run


def test_a_cython_extension_calls_it(backend: Callable[[str], str]) -> None:
    output = backend("""
        import backend, socket
        ours, theirs = socket.socketpair()
        kq = backend.make()
        print(backend.watch(kq, ours.fileno()), backend.take(kq)[0])
        theirs.send(b"abc")
        print(backend.take(kq) == (1, ours.fileno(), 3), backend.take(kq)[0])
    """)
    assert output.split() == ["0", "0", "True", "0"]


def test_an_extensions_own_close_frees_a_kqueue_at_once(backend: Callable[[str], str]) -> None:
    output = backend("""
        import backend, os
        before = os.listdir("/proc/self/fd")
        kq = backend.make()
        assert len(os.listdir("/proc/self/fd")) > len(before)
        print(backend.shut(kq), os.listdir("/proc/self/fd") == before, backend.shut(kq))
    """)
    assert output.split() == ["0", "True", "-1"]


@pytest.fixture(scope="module")
def closing(load_library: Callable[..., ctypes.CDLL]) -> ctypes.CDLL:
    """The library with a close of its own."""
    return load_library("-DKQUEUE_INTERPOSES_CLOSE")


def test_its_close_forgets_the_knotes_of_a_number_that_gets_the_same_file_back(
    closing: ctypes.CDLL, make_queue: Callable[..., Queue], pair: Pair
) -> None:
    queue = make_queue(closing)
    fd = os.dup(pair.fd)
    queue.kevent((fd, "READ", "ADD"), (fd, "WRITE", "ADD"), room=0)
    assert closing.close(fd) == 0
    os.dup2(pair.fd, fd)
    pair.theirs.send(b"a")
    assert queue.kevent(timeout=0.01) == []
    assert queue.error_of((fd, "READ", "DELETE")) == errno.ENOENT
    os.close(fd)


def test_its_close_closes_and_tells_what_fails(closing: ctypes.CDLL, make_queue: Callable[..., Queue]) -> None:
    queue = make_queue(closing)
    fd = queue.fd
    assert closing.close(fd) == 0
    queue.fd = -1
    assert closing.close(fd) == -1
    assert ctypes.get_errno() == errno.EBADF
