"""Closing a server in the running event loop without losing a connection."""

import asyncio


async def close_server(server: asyncio.Server) -> None:
    """
    Accept nothing more, and close the listening sockets once each connection that was accepted is in somebody's hands.

    asyncio takes two turns of the loop from accepting a connection to its transport, and loses the socket when the server is closed in between.
    """
    loop = asyncio.get_running_loop()
    for sock in server.sockets:
        loop.remove_reader(sock.fileno())  # uvloop, which accepts in one step, does not know it
    for _ in range(3):
        await asyncio.sleep(0)
    server.close()
