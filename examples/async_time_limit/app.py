"""A budget for one request: `/job?steps=4` does a step every 50 ms, and is answered 504 once 300 ms are over."""

import re
from time import monotonic

from vanilla import Step

STEP_MS, BUDGET_MS = 50, 300
STEPS_DEFAULT = 10
QUERY = re.compile(rb"(?:steps=([1-9][0-9]{0,2}))?")


class Job:
    """What one request still has to do, and its two timers: for the next step, and for the end of its budget."""

    def __init__(self, worker, steps):
        self.steps = steps
        self.began = monotonic()
        self.parked = worker.park()
        self.deadline = worker.call_later(BUDGET_MS / 1000, self.parked.resume, give_up, self)
        self.await_step(worker)

    def await_step(self, worker):
        self.step = worker.call_later(STEP_MS / 1000, self.parked.resume, take_step, self)

    def elapsed_ms(self):
        return round((monotonic() - self.began) * 1000)


def handle(request, response, worker):
    if request.path != b"/job":
        return response.reply(404)
    if request.method not in (b"GET", b"HEAD"):
        return response.reply(405, headers={"Allow": "GET, HEAD"})
    match = QUERY.fullmatch(request.query)
    if match is None:
        return response.reply(400, b"steps: give a whole number from 1 to 999", content_type="text/plain")
    Job(worker, int(match[1] or STEPS_DEFAULT))
    return Step.SUSPEND


def take_step(request, response, worker, job, event):
    job.steps -= 1
    if job.steps:
        job.await_step(worker)
        return Step.SUSPEND
    job.deadline.cancel()
    return response.reply(200, b"completed within budget (~%dms)" % job.elapsed_ms(), content_type="text/plain")


def give_up(request, response, worker, job, event):
    job.step.cancel()  # and with it the work: nobody waits for it any more
    text = b"deadline exceeded after %dms (budget %dms)" % (job.elapsed_ms(), BUDGET_MS)
    response.reply(504, text, content_type="text/plain")
