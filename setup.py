"""Compile every module that has a `.pxd` beside it; everything else about the package stands in pyproject.toml."""

from __future__ import annotations

import importlib.util
import os
import pathlib
import shutil
import sys
import sysconfig

from Cython.Build import cythonize
from Cython.Compiler import Options
from Cython.Compiler.Errors import CompileError
from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.command.build_py import build_py

SOURCES = pathlib.Path("src")
SANITIZE = os.environ.get("VANILLA_SANITIZE") == "1"  # `make sanitize`: ASan, UBSan, C assertions, no optimisation
TARGET = os.environ.get("VANILLA_TARGET", sys.platform)  # the platform to build for, as sys.platform calls it
IS_CROSS = sys.platform != TARGET  # `make test-windows`: by zig, for the CPython of win32 that tests/windows prepares
CROSS_PYTHON = pathlib.Path("build", "windows", "python")
CROSS_SUFFIX = ".cp313-win_amd64.pyd"
# `make test-kqueue`: the modules of a BSD, over the kqueue(2) that tests/kqueue emulates on Linux.
EMULATION = os.environ.get("VANILLA_KQUEUE")  # flags of the C compiler for it, perhaps none; None: no emulation
EMULATOR = pathlib.Path("tests", "kqueue")
# Each kind of build and each interpreter has its own, so that going from one to another compiles nothing twice.
KIND = ("" if EMULATION is None else "kqueue-") + ("sanitize-" if SANITIZE else "")
BUILD = pathlib.Path("build", KIND + str(sysconfig.get_config_var("SOABI")))
if IS_CROSS:
    BUILD = CROSS_PYTHON.parent

# Modules that some platforms alone can compile: how sys.platform begins there.
BACKENDS = {
    "vanilla.backends.acceptex": ("win32",),
    "vanilla.backends.completions": ("win32",),
    "vanilla.backends.epoll": ("linux",),
    "vanilla.backends.io_uring": ("linux",),
    "vanilla.backends.iocp": ("win32",),
    "vanilla.backends.iocp_receives": ("win32",),
    "vanilla.backends.iocp_sends": ("win32",),
    "vanilla.backends.iocp_watches": ("win32",),
    "vanilla.backends.kqueue": ("darwin", "freebsd"),
    "vanilla.backends.offered": ("linux",),
    "vanilla.backends.poll": ("linux", "darwin", "freebsd"),
    "vanilla.backends.readiness": ("linux", "darwin", "freebsd"),
    "vanilla.backends.ring": ("linux",),
    "vanilla.backends.ring_deliveries": ("linux",),
    "vanilla.backends.ring_listeners": ("linux",),
    "vanilla.backends.ring_receives": ("linux",),
    "vanilla.backends.ring_sends": ("linux",),
    "vanilla.backends.ring_submissions": ("linux",),
    "vanilla.backends.ring_watches": ("linux",),
    "vanilla.backends.sockets": ("linux", "darwin", "freebsd"),
}

Options.warning_errors = True

if SANITIZE:
    FLAGS = ["-O1", "-g", "-UNDEBUG", "-fsanitize=address,undefined", "-fno-sanitize-recover=undefined"]
    LINK_FLAGS = ["-fsanitize=address,undefined"]
    if "clang" in os.environ.get("CC", ""):
        FLAGS.append("-fno-sanitize=pointer-overflow")  # Cython adds to the NULL that stands for no keywords
else:
    FLAGS, LINK_FLAGS = ["-O3", "-g0", "-DNDEBUG", "-fvisibility=hidden"], []
FLAGS += ["-Wall", "-Wextra", "-Wno-unused-parameter", "-Wno-missing-field-initializers", "-Wno-cast-function-type"]
FLAGS += ["-Wno-unused-but-set-variable"]  # what only an assertion reads


def extensions(platform: str = TARGET if EMULATION is None else "freebsd") -> list[Extension]:
    """One extension for each `.py` with a `.pxd` beside it, but for the backends of other platforms."""
    paths = sorted(path.with_suffix(".py") for path in SOURCES.rglob("*.pxd"))
    names = {".".join(path.relative_to(SOURCES).with_suffix("").parts): path for path in paths if path.exists()}
    found = [
        Extension(
            name,
            [path.as_posix()],
            libraries=["ws2_32", "ntdll"] if TARGET == "win32" else [],
            extra_compile_args=[*FLAGS],
            extra_link_args=[*LINK_FLAGS],
        )
        for name, path in names.items()
        if platform.startswith(BACKENDS.get(name, ("",)))
    ]
    if EMULATION is not None:
        [kqueue] = [one for one in found if one.name == "vanilla.backends.kqueue"]
        kqueue.sources.append((EMULATOR / "kqueue.c").as_posix())
        kqueue.include_dirs.append((EMULATOR / "include").as_posix())
        kqueue.depends.append((EMULATOR / "include" / "sys" / "event.h").as_posix())
        kqueue.extra_compile_args += ["-pthread", "-DKQUEUE_INTERPOSES_CLOSE", *EMULATION.split()]
        kqueue.extra_link_args.append("-pthread")
    return found


def find_compiler() -> str | None:
    """The C compiler to call: $CC, the one that built this Python, a common one, the `ziglang` wheel's; or None."""
    if os.environ.get("CC"):
        return os.environ["CC"]
    for command in (str(sysconfig.get_config_var("CC")), "cc", "gcc", "clang"):
        if shutil.which(command.split()[0]):
            return command
    if importlib.util.find_spec("ziglang"):
        return f"{sys.executable} -m ziglang cc"
    return None


def check_tools() -> None:
    """Say in one line what is missing, before a compiler says it in a hundred."""
    if IS_CROSS:
        if TARGET != "win32" or not pathlib.Path(CROSS_PYTHON, "include", "Python.h").exists():
            raise SystemExit(f"vanilla-http: nothing to build for {TARGET} with; run: make test-windows")
        return
    if not any(sys.platform.startswith(platforms) for platforms in BACKENDS.values()):
        raise SystemExit(f"vanilla-http: no backend for {sys.platform} yet; it runs on Linux, macOS and FreeBSD")
    if find_compiler() is None:
        raise SystemExit("vanilla-http: no C compiler; install gcc or clang, or the Python package ziglang")
    if not pathlib.Path(sysconfig.get_path("include"), "Python.h").exists():
        raise SystemExit("vanilla-http: no Python.h; install Python's headers (Debian, Ubuntu: python3-dev)")


def count_cpus() -> int:
    """Those that this process may use, where that can be told."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def translate(untranslated: list[Extension], build: pathlib.Path, process_count: int) -> list[Extension]:
    """Have Cython make C of what changed, below `build`: the extensions with the C for sources."""
    try:
        return list(
            cythonize(
                untranslated,
                build_dir=(build / "cython").as_posix(),
                include_path=[SOURCES.as_posix()],
                nthreads=process_count,
                emit_linenums=SANITIZE,
                compiler_directives={
                    "language_level": 3,
                    "freethreading_compatible": True,
                    "boundscheck": False,
                    "wraparound": False,
                    "cdivision": True,
                    "initializedcheck": False,
                    "embedsignature": True,
                },
            )
        )
    except CompileError as error:  # its messages are printed; a traceback of the worker's would only hide them
        raise SystemExit(f"vanilla-http: Cython refused {error}") from None


class BuildExtensions(build_ext):
    """Translate what changed to C, then compile what changed, each with a process per CPU."""

    def run(self) -> None:
        check_tools()
        os.environ["CC"] = str(find_compiler())
        self.parallel = self.parallel or count_cpus()
        by_name = {extension.name: extension for extension in translate(extensions(), BUILD, self.parallel)}
        for extension in self.extensions:
            extension.sources = by_name[extension.name].sources
            extension.depends = by_name[extension.name].depends
        super().run()

    def build_extensions(self) -> None:
        if IS_CROSS:
            zig = [sys.executable, "-m", "ziglang", "cc", "-target", "x86_64-windows-gnu"]
            self.compiler.set_executables(compiler_so=zig, linker_so=[*zig, "-shared", "-s"])
            self.compiler.set_include_dirs([str(CROSS_PYTHON / "include")])
            self.compiler.set_library_dirs([str(CROSS_PYTHON / "libs")])
        super().build_extensions()

    def get_libraries(self, ext: Extension) -> list[str]:
        return [*ext.libraries, "python313"] if IS_CROSS else super().get_libraries(ext)

    def get_ext_filename(self, fullname: str) -> str:
        return fullname.replace(".", "/") + CROSS_SUFFIX if IS_CROSS else super().get_ext_filename(fullname)


class BuildModules(build_py):
    """Copy the Python files; drop what an earlier build left of modules that are gone."""

    def run(self) -> None:
        for built in pathlib.Path(self.build_lib, "vanilla").rglob("*.*"):
            source = SOURCES / built.relative_to(self.build_lib)
            if built.suffix in (".so", ".pyd"):
                source = source.with_name(source.name.partition(".")[0] + ".pxd")
            if not source.exists():
                built.unlink()
        super().run()


if __name__ == "__main__":  # Cython's processes may import this file
    setup(
        ext_modules=extensions(),
        cmdclass={"build_ext": BuildExtensions, "build_py": BuildModules},
        options={
            "build": {"build_base": str(BUILD), "build_lib": str(BUILD / "lib"), "build_temp": str(BUILD / "temp")}
        },
        setup_requires=[] if find_compiler() else ["ziglang"],
    )
