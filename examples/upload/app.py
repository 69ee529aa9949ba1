"""An upload of any length to disk, in constant memory, answered with its SHA-256."""

import contextlib
import hashlib
import os
import pathlib
import tempfile

import vanilla
from vanilla import Event, Limits, ServerConfig, Step

FOLDER = pathlib.Path(os.environ.get("UPLOADS", tempfile.gettempdir()))


class Upload:
    """One file that is arriving. It appears under its digest once it is whole, and leaves nothing if it never is."""

    def __init__(self):
        self.digest = hashlib.sha256()
        self.length = 0
        self.file = tempfile.NamedTemporaryFile(dir=FOLDER, prefix="arriving-", delete=False)  # noqa: SIM115

    def take(self, request, response, worker, piece, event):
        if event == Event.ERROR:
            self.drop()
            raise piece
        if not piece:
            return self.keep(response)
        try:
            self.file.write(piece)
        except OSError:
            self.drop()
            return response.reply(507)
        self.digest.update(piece)
        self.length += len(piece)
        request.on_body(self.take)
        return Step.SUSPEND

    def keep(self, response):
        name = self.digest.hexdigest()
        try:
            self.file.close()
            os.replace(self.file.name, FOLDER / name)
        except OSError:
            self.drop()
            return response.reply(507)
        return response.reply(201, b"%d bytes, sha256 %b\n" % (self.length, name.encode()), content_type="text/plain")

    def drop(self):
        with contextlib.suppress(OSError):  # what it still had to write: the file goes anyway
            self.file.close()
        pathlib.Path(self.file.name).unlink(missing_ok=True)


@vanilla.streaming
def answer(request, response, worker):
    if request.path != b"/upload":
        return response.reply(404)
    if request.method not in (b"PUT", b"POST"):
        return response.reply(405, headers={"Allow": "PUT, POST"})
    upload = Upload()
    request.on_body(upload.take, on_disconnect=upload.drop)
    return Step.SUSPEND


config = ServerConfig(answer, limits=Limits(max_body_bytes=2**30, min_receive_rate=10_000))
