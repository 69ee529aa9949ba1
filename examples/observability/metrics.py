"""Figures in the text format of Prometheus, version 0.0.4, and a histogram that each worker fills for itself."""

import bisect

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
BOUNDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)  # seconds


class Durations:
    """How long answers took, by route. Belongs to one worker, which alone writes; any thread may read.

    All routes are known from the start: a client cannot make more of them, nor the table change while it is read.
    """

    def __init__(self, routes):
        self.counts = {route: [0] * (len(BOUNDS) + 1) for route in routes}  # the last is of those beyond all bounds
        self.sums = dict.fromkeys(routes, 0.0)

    def observe(self, route, seconds):
        self.counts[route][bisect.bisect_left(BOUNDS, seconds)] += 1
        self.sums[route] += seconds


def add_up(durations):
    """The samples of a histogram over the `Durations` of all workers."""
    for route in durations[0].counts:
        within = 0
        counts = [sum(of_worker) for of_worker in zip(*(each.counts[route] for each in durations), strict=True)]
        for bound, count in zip([*map(repr, BOUNDS), "+Inf"], counts, strict=True):
            within += count
            yield "_bucket", {"route": route, "le": bound}, within
        yield "_sum", {"route": route}, sum(each.sums[route] for each in durations)
        yield "_count", {"route": route}, within


def render(families):
    """The text. A family is (name, type, help, samples), a sample (suffix of the name, labels, value)."""
    lines = []
    for name, kind, description, samples in families:
        lines.append(f"# HELP {name} {_escape(description)}")
        lines.append(f"# TYPE {name} {kind}")
        for suffix, labels, value in samples:
            pairs = ",".join(f'{label}="{_escape_label(text)}"' for label, text in labels.items())
            lines.append(f"{name}{suffix}{'{' + pairs + '}' if pairs else ''} {value!r}")
    return "\n".join([*lines, ""]).encode()


def _escape(text):
    return text.replace("\\", r"\\").replace("\n", r"\n")


def _escape_label(text):
    return _escape(text).replace('"', r"\"")
