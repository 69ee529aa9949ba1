"""What this process needs to answer, asked all at once, each for a second at most."""

import asyncio
import logging
import os
import shutil
import tempfile

log = logging.getLogger("readiness")

SECONDS = 1.0
FREE_BYTES_MIN = 10_000_000


async def find_failing(checks, worker):
    """The names of those that fail, or do not answer in time; why is logged, and not told."""
    results = await asyncio.gather(*(_holds(name, check, worker) for name, check in checks.items()))
    return [name for name, holds in zip(checks, results, strict=True) if not holds]


async def _holds(name, check, worker):
    try:
        async with asyncio.timeout(SECONDS):
            await check(worker)
    except Exception as error:
        log.warning("%s: %r", name, error)
        return False
    return True


async def check_disk(worker):
    free = (await worker.offload(shutil.disk_usage, tempfile.gettempdir())).free
    if free < FREE_BYTES_MIN:
        raise OSError(f"{free} bytes free")


async def check_upstream(worker):
    """A database, say: whatever UPSTREAM=host:port names has to accept a connection."""
    host, _, port = os.environ["UPSTREAM"].rpartition(":")
    _, writer = await asyncio.open_connection(host, int(port))
    writer.close()
    await writer.wait_closed()


CHECKS = {"disk": check_disk, **({"upstream": check_upstream} if os.environ.get("UPSTREAM") else {})}
