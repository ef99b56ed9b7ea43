# WebSocket client on the PyPI package websockets: `python websockets_client.py --server_host=HOST --server_port=PORT
# --test_case=NAME[,NAME ...]`. A line of JSON tells of each case: {"case": ..., "error": ... or null}.
import argparse
import asyncio
import json
import os
import time

from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

CASE_SECONDS = 45
MAX_BYTES = 64 << 20
SIZES = (0, 1, 125, 126, 127, 65535, 65536, 1 << 20)
BIG_BYTES = 16 << 20


def equal(what, actual, expected):
    if actual != expected:
        raise AssertionError(f"{what}: {str(actual)[:200]}, expected {str(expected)[:200]}")


def same(what, actual, expected):
    if actual != expected:
        raise AssertionError(f"{what}: {len(actual)} other bytes than the {len(expected)} expected")


def open_at(path, **options):
    return connect(f"ws://{flags.server_host}:{flags.server_port}{path}", max_size=MAX_BYTES, proxy=None, ping_interval=None, **options)


async def echo_text():
    async with open_at("/echo", compression=None) as socket:
        for size in SIZES:
            text = "é😈x"[: size % 4] + "a" * (size - size % 4)
            await socket.send(text)
            equal("message", await socket.recv(), text)


async def echo_binary():
    async with open_at("/echo", compression=None) as socket:
        for size in SIZES:
            content = os.urandom(size)
            await socket.send(content)
            same("message", await socket.recv(), content)


async def echo_16_mib():
    async with open_at("/echo", compression=None) as socket:
        content = os.urandom(BIG_BYTES)
        await socket.send(content)
        same("message", await socket.recv(), content)


async def fragments():
    async with open_at("/echo", compression=None) as socket:
        pieces = [os.urandom(size) for size in (10, 0, 70_000, 1)]
        await socket.send(pieces)
        same("message", await socket.recv(), b"".join(pieces))


async def ping_pong():
    async with open_at("/echo") as socket:
        for content in (b"", b"x" * 125):
            await (await socket.ping(content))


async def compressed():
    async with open_at("/echo", compression="deflate") as socket:
        if "permessage-deflate" not in socket.response.headers.get("Sec-WebSocket-Extensions", ""):
            raise AssertionError("not negotiated")
        for content in ("z" * 300_000, os.urandom(300_000)):
            await socket.send(content)
            equal("message", await socket.recv(), content)


async def subprotocol():
    async with open_at("/echo", subprotocols=["first", "second"]) as socket:
        equal("subprotocol", socket.subprotocol, "second")


async def server_first():
    async with open_at("/first") as socket:
        equal("message", await socket.recv(), "first")


async def refused():
    try:
        async with open_at("/refuse"):
            raise AssertionError("opened")
    except InvalidStatus as error:
        equal("answer", (error.response.status_code, bytes(error.response.body)), (403, b"no"))


async def close_by_client():
    for code, reason in ((1000, ""), (1001, "leaving"), (3000, "é" * 61), (4999, "own")):
        name = f"{os.getpid()}-{time.monotonic_ns()}"
        socket = await open_at(f"/named/{name}")
        await socket.close(code, reason)
        equal("answer", socket.close_code, code)
        async with open_at(f"/ended/{name}") as other:
            equal("at the server", await other.recv(), f"{code} {reason}")


async def close_by_server():
    for code, reason in ((1000, ""), (1001, "leaving"), (1011, "error"), (4000, "own")):
        async with open_at(f"/close/{code}/{reason}") as socket:
            try:
                await socket.recv()
            except ConnectionClosed:
                pass
            equal("close", (socket.close_code, socket.close_reason), (code, reason))


async def abrupt_end():
    name = f"{os.getpid()}-{time.monotonic_ns()}"
    socket = await open_at(f"/named/{name}")
    await socket.send("x")
    await socket.recv()
    socket.transport.abort()
    async with open_at(f"/ended/{name}") as other:
        equal("at the server", (await other.recv()).split(" ")[0], "1006")


async def parallel_200():
    async def one(n):
        async with open_at("/echo", compression=None) as socket:
            for i in range(10):
                content = f"{n} {i} " * 50
                await socket.send(content)
                equal("message", await socket.recv(), content)

    await asyncio.gather(*(one(n) for n in range(200)))


async def both_ways():
    async with open_at("/echo", compression=None) as socket:
        contents = [os.urandom(size * 13 % 40_000) for size in range(2000)]

        async def send():
            for content in contents:
                await socket.send(content)

        sending = asyncio.create_task(send())
        for content in contents:
            same("message", await socket.recv(), content)
        await sending


async def main():
    for name in flags.test_case.split(","):
        error = None
        try:
            await asyncio.wait_for(globals()[name](), CASE_SECONDS)
        except asyncio.TimeoutError:
            error = f"not done after {CASE_SECONDS} s"
        except Exception as reason:  # noqa: BLE001: whatever it is, it is the result
            error = f"{type(reason).__name__}: {reason}"
        print(json.dumps({"case": name, "error": error}), flush=True)


parser = argparse.ArgumentParser()
for flag in ("server_host", "server_port", "test_case"):
    parser.add_argument(f"--{flag}", required=True)
flags = parser.parse_args()
asyncio.run(main())
os._exit(0)
