"""Log records as lines of JSON, written by a thread of their own: a request waits for no disk and no terminal."""

import contextvars
import datetime
import json
import logging
import logging.handlers
import queue
import sys

QUEUED_MAX = 10_000  # records that wait for the thread; those beyond are dropped and counted

CONTEXT = contextvars.ContextVar("context", default=None)  # what every record of a request carries: a dict, or None


class QueueingHandler(logging.handlers.QueueHandler):
    """What runs on the workers' threads. A record is formatted later, but knows whose it is now."""

    dropped = 0  # since the last record that had room; guarded by the handler's own lock

    def prepare(self, record):
        error = record.exc_info[1] if record.exc_info else None
        record.context = CONTEXT.get() or getattr(error, "context", None) or {}
        return record

    def enqueue(self, record):
        if self.queue.qsize() >= QUEUED_MAX:
            self.dropped += 1
            return
        if self.dropped:
            record.context = {**record.context, "dropped_before": self.dropped}
            self.dropped = 0
        self.queue.put_nowait(record)


class JsonFormatter(logging.Formatter):
    """One object for each record. `extra={"fields": {...}}` adds to it."""

    def format(self, record):
        entry = {
            "time": datetime.datetime.fromtimestamp(record.created, datetime.UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **getattr(record, "context", {}),
            **getattr(record, "fields", {}),
        }
        if record.exc_info:
            entry["exception"] = self.formatException(record.exc_info)
        return json.dumps(entry, default=str)  # in ASCII, without line breaks: no client can forge a line


def start(path=None):
    """Send all that is logged, the server's own words too, to a file or to stdout.

    A file that is moved away is opened anew, so logrotate(8) needs no signal.

    Returns: the listener; its `stop()` writes what is still queued.
    """
    writer = logging.handlers.WatchedFileHandler(path) if path else logging.StreamHandler(sys.stdout)
    writer.setFormatter(JsonFormatter())
    handler = QueueingHandler(queue.SimpleQueue())
    root, server = logging.getLogger(), logging.getLogger("vanilla")
    root.handlers[:] = [handler]
    root.setLevel(logging.INFO)
    server.handlers.clear()  # the command has given it one for stderr
    server.propagate = True
    listener = logging.handlers.QueueListener(handler.queue, writer)
    listener.start()
    return listener
