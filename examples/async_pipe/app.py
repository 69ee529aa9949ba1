"""The smallest portable wait: for a pipe to be readable. Whoever finishes the work of a request writes to its pipe."""

import logging
import os
import select
import shutil
from concurrent.futures import ThreadPoolExecutor

from vanilla import Interest, Step

POOL = ThreadPoolExecutor(max_workers=8)  # as many blocking calls at once; more of them wait in its queue
log = logging.getLogger(__name__)


def handle(request, response, worker):
    begin = WORK.get(request.path)
    if begin is None:
        return response.reply(404)
    if request.method not in (b"GET", b"HEAD"):
        return response.reply(405, headers={"Allow": "GET, HEAD"})
    reader, writer = os.pipe()
    worker.watch_fd(reader, Interest.READABLE, answer, reader)
    begin(writer)
    return Step.SUSPEND


def answer(request, response, worker, reader, event):
    # Read before you judge: a writer that wrote and closed leaves a pipe that is readable and hung up.
    result = os.read(reader, select.PIPE_BUF)
    os.close(reader)
    if not result:
        return response.reply(500)
    return response.reply(200, result, content_type="text/plain")


def finish_at_once(writer):
    os.write(writer, b"async-ok")
    os.close(writer)


def finish_on_a_thread(writer):
    POOL.submit(run, writer)


def run(writer):
    try:
        os.write(writer, measure_disk())  # at most PIPE_BUF bytes, which arrive as one piece: pipe(7)
    except BrokenPipeError:
        pass  # the client went away, and the worker closed the read end
    except Exception:
        log.exception("measure_disk")
    finally:
        os.close(writer)


def measure_disk():
    """Stands for whatever blocks and cannot be polled: here statvfs(3), which a network disk can keep waiting."""
    usage = shutil.disk_usage("/")
    return b"%d of %d GB free" % (usage.free // 10**9, usage.total // 10**9)


WORK = {b"/async": finish_at_once, b"/disk": finish_on_a_thread}
