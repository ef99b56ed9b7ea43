# WebSocket server on the PyPI package websockets: `python websockets_server.py PORT`; says "listening". Paths as in ws-server.ts.
import asyncio
import sys
from collections import defaultdict
from http import HTTPStatus
from urllib.parse import unquote

from websockets.asyncio.server import serve
from websockets.exceptions import ConnectionClosed

MAX_BYTES = 64 << 20
endings = defaultdict(lambda: asyncio.get_running_loop().create_future())


def parts(path):
    return [unquote(part) for part in path[1:].split("/")] + ["", ""]


def refuse(connection, request):
    if parts(request.path)[0] == "refuse":
        return connection.respond(HTTPStatus.FORBIDDEN, "no")


def choose(connection, offered):
    return "second" if "second" in offered else None


async def handle(connection):
    kind, first, second = parts(connection.request.path)[:3]
    if kind == "close":
        await connection.close(int(first), second)
        return
    if kind == "ended":
        await connection.send(await endings[first])
        return
    try:
        if kind == "first":
            await connection.send("first")
        async for message in connection:
            await connection.send(message)
    except ConnectionClosed:
        pass
    await connection.wait_closed()
    if kind == "named" and not endings[first].done():
        endings[first].set_result(f"{connection.close_code} {connection.close_reason}")


async def main():
    options = {"process_request": refuse, "select_subprotocol": choose, "max_size": MAX_BYTES, "ping_interval": None}
    async with serve(handle, "0.0.0.0", int(sys.argv[1]), **options) as server:
        print("listening", flush=True)
        await server.serve_forever()


asyncio.run(main())
