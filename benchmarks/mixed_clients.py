"""Clients of servers/vanilla_mixed.py that do everything there is to do: `python mixed_clients.py PORT COUNT ASYNC_PORT
SECONDS SEED`.

COUNT clients at a time each draw one action after the other. Some actions leave in the middle: by a reset, or by an
orderly close. Prints `held`, runs for SECONDS, prints `requests disconnects errors` and ends. An answer that is not
what was asked for is an error; the first ones are described on standard error.
"""

from __future__ import annotations

import asyncio
import random
import socket
import struct
import sys
from collections.abc import Awaitable, Callable

BODY = b"Hello, World!"
STREAM_BYTES = 16 * 16 * 1024
FILE_BYTES = 256 * 1024
UPLOAD_BYTES = 256 * 1024
KEPT_REQUESTS = 20
TIMEOUT = 10.0
ERRORS_SHOWN = 5
RESET = struct.pack("ii", 1, 0)  # SO_LINGER: a close is a reset


class WrongAnswerError(Exception):
    """The server answered, but not what it should have."""


class Client:
    """One connection to one of the two ports."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    @classmethod
    async def connect(cls, port: int) -> Client:
        return cls(*await asyncio.open_connection("127.0.0.1", port))

    async def close(self) -> None:
        self.writer.close()
        await self.writer.wait_closed()

    def reset(self) -> None:
        self.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        self.writer.transport.abort()

    async def send(self, target: str, content: bytes = b"", length: int | None = None) -> None:
        length = len(content) if length is None else length
        method = "POST" if length else "GET"
        head = f"{method} {target} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {length}\r\n\r\n"
        self.writer.write(head.encode() + content)
        await self.writer.drain()

    async def receive(self) -> bytes:
        """The content of one answer."""
        head = (await self.reader.readuntil(b"\r\n\r\n")).lower()
        if not head.startswith(b"http/1.1 200 "):
            raise WrongAnswerError(f"answered {head[:60]!r}")
        if b"\r\ntransfer-encoding: chunked" in head:
            return await self._receive_chunks()
        length = head.partition(b"\r\ncontent-length:")[2].partition(b"\r\n")[0]
        return await self.reader.readexactly(int(length))

    async def _receive_chunks(self) -> bytes:
        content = b""
        while True:
            size = int(await self.reader.readuntil(b"\r\n"), 16)
            piece = await self.reader.readexactly(size + 2)
            if size == 0:
                return content
            content += piece[:-2]

    async def ask(self, target: str, expected: bytes | int, content: bytes = b"") -> None:
        """expected: the content, or how many bytes of it."""
        await self.send(target, content)
        received = await self.receive()
        if expected not in (received, len(received)):
            raise WrongAnswerError(f"{target} answered {len(received):,} bytes, {received[:40]!r}")


class Load:
    """What all clients do, and how often they did it."""

    def __init__(self, port: int, async_port: int, seed: int) -> None:
        self.port, self.async_port = port, async_port
        self.draw = random.Random(seed)
        self.requests = self.disconnects = self.errors = 0
        self.plain: dict[str, bytes | int] = {
            "/": BODY,
            "/park": BODY,
            "/pipe": BODY,
            "/stream": STREAM_BYTES,
            "/file": FILE_BYTES,
        }
        self.coroutines: dict[str, bytes | int] = {"/": BODY, "/sleep": BODY, "/stream": STREAM_BYTES}
        self.actions: list[Callable[[], Awaitable[None]]] = [
            self.ask_in_turn,
            self.ask_in_turn,
            self.pipeline,
            self.upload,
            self.leave_a_wait,
            self.leave_an_answer,
            self.leave_an_upload,
            self.listen,
        ]

    def either(self) -> tuple[int, dict[str, bytes | int]]:
        return self.draw.choice([(self.port, self.plain), (self.async_port, self.coroutines)])

    async def leave(self, client: Client) -> None:
        self.disconnects += 1
        if self.draw.random() < 0.5:
            client.reset()
        else:
            await client.close()

    async def ask_in_turn(self) -> None:
        port, answers = self.either()
        client = await Client.connect(port)
        for _ in range(self.draw.randint(1, KEPT_REQUESTS)):
            target = self.draw.choice(list(answers))
            await client.ask(target, answers[target])
            self.requests += 1
        await client.close()

    async def pipeline(self) -> None:
        port, answers = self.either()
        client = await Client.connect(port)
        targets = self.draw.choices(list(answers), k=8)
        client.writer.writelines([f"GET {target} HTTP/1.1\r\nHost: a\r\n\r\n".encode() for target in targets])
        for target in targets:
            received = await client.receive()
            if answers[target] not in (received, len(received)):
                raise WrongAnswerError(f"pipelined, {target} answered {len(received):,} bytes")
            self.requests += 1
        await client.close()

    async def upload(self) -> None:
        content = bytes(self.draw.randint(1, UPLOAD_BYTES))
        port, target = self.draw.choice([(self.port, "/buffered"), (self.async_port, "/upload")])
        client = await Client.connect(port)
        for _ in range(2):
            await client.ask(target, b"%d" % len(content), content)
            self.requests += 1
        await client.close()

    async def leave_a_wait(self) -> None:
        port, target = self.draw.choice([(self.port, "/park?long"), (self.async_port, "/sleep?long")])
        client = await Client.connect(port)
        await client.send(target)
        await asyncio.sleep(self.draw.random() / 20)
        await self.leave(client)

    async def leave_an_answer(self) -> None:
        port, target = self.draw.choice([(self.port, "/stream"), (self.port, "/file"), (self.async_port, "/stream")])
        client = await Client.connect(port)
        await client.send(target)
        await client.reader.readexactly(self.draw.randint(1, 4096))
        await self.leave(client)

    async def leave_an_upload(self) -> None:
        port, target = self.draw.choice([(self.port, "/buffered"), (self.async_port, "/upload")])
        client = await Client.connect(port)
        await client.send(target, bytes(self.draw.randint(0, UPLOAD_BYTES - 1)), UPLOAD_BYTES)
        await self.leave(client)

    async def listen(self) -> None:
        client = await Client.connect(self.port)
        await client.send("/events")
        head = await client.reader.readuntil(b"\r\n\r\n")
        if b"text/event-stream" not in head.lower():
            raise WrongAnswerError(f"/events answered {head[:60]!r}")
        for _ in range(self.draw.randint(0, 5)):
            await client.reader.readuntil(b"data: tick\n\n")
        self.requests += 1
        await self.leave(client)

    async def run(self, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        end = loop.time() + seconds
        while loop.time() < end:
            action = self.draw.choice(self.actions)
            try:
                async with asyncio.timeout(TIMEOUT):
                    await action()
            except (OSError, EOFError, ValueError, TimeoutError, WrongAnswerError) as error:
                self.errors += 1
                if self.errors <= ERRORS_SHOWN:
                    print(f"{action.__name__}: {error!r}", file=sys.stderr)


async def main() -> None:
    port, count, async_port, seconds, seed = map(int, sys.argv[1:6])
    load = Load(port, async_port, seed)
    print("held", flush=True)
    await asyncio.gather(*(load.run(seconds) for _ in range(count)))
    print(load.requests, load.disconnects, load.errors, flush=True)


if __name__ == "__main__":
    asyncio.run(main())
