"""Several waits in one request: `/chain` waits for A and then for B, `/both` for A and B at once."""

from vanilla import Step

A_MS, B_MS = 80, 140


def handle(request, response, worker):
    begin = BEGIN.get(request.path)
    if begin is None:
        return response.reply(404)
    if request.method not in (b"GET", b"HEAD"):
        return response.reply(405, headers={"Allow": "GET, HEAD"})
    begin(worker)
    return Step.SUSPEND


def wait(worker, ms, continuation, payload=None):
    """Stands for whatever takes its time: for a socket it is `worker.watch_fd(fd, interest, continuation, payload)`."""
    worker.call_later(ms / 1000, worker.park().resume, continuation, payload)


def begin_chain(worker):
    wait(worker, A_MS, after_a)


def after_a(request, response, worker, payload, event):
    wait(worker, B_MS, after_b)
    return Step.SUSPEND


def after_b(request, response, worker, payload, event):
    text = b"stage A done (%dms), then stage B done (%dms)" % (A_MS, B_MS)
    response.reply(200, text, content_type="text/plain")


def begin_both(worker):
    done = []
    wait(worker, A_MS, join, (b"A", done))
    wait(worker, B_MS, join, (b"B", done))


def join(request, response, worker, payload, event):
    name, done = payload
    done.append(name)
    if len(done) < 2:
        return Step.SUSPEND  # the other one still comes
    return response.reply(200, b"done: %b" % b", ".join(done), content_type="text/plain")


BEGIN = {b"/chain": begin_chain, b"/both": begin_both}
