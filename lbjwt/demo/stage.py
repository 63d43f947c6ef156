"""Puts the demo on its feet and takes it down again: issuer, backends, balancer, screen."""

import asyncio
import contextlib
import signal
import socket
from collections.abc import Sequence
from contextlib import AsyncExitStack

from aiohttp import web

from lbjwt.demo.backends import IDENTITY_HEADER, Backend
from lbjwt.demo.balancer import Balancer, BalancerError
from lbjwt.demo.issuer import AUDIENCE, Issuer
from lbjwt.demo.screen import Tally, open_screen
from lbjwt.demo.tour import Tour, plan, walk

HOST = "127.0.0.1"
PORT = 8080  # of the balancer, when free
ISSUER_PORT = 8081  # of the issuer, when free
REFRESH = 0.25  # seconds between two looks at the screen


def run(*, once: bool = False, port: int = PORT) -> int:
    """
    Run the demo until Ctrl-C, SIGTERM or SIGHUP. Nothing it started is left when this returns.

    Args:
        once: Run every printed line and end, instead of waiting for a visitor.
        port: Where the balancer listens when that port is free; any free port otherwise.

    Returns:
        The exit status: 0, or 1 when the balancer did not start, ended by itself, or a line did not come out as it must.
    """
    return asyncio.run(_run(once=once, port=port))


async def _run(*, once: bool, port: int) -> int:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, stop.set)
    play = asyncio.create_task(_play(once=once, port=port))
    stopping = asyncio.create_task(stop.wait())
    await asyncio.wait([play, stopping], return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    play.cancel()  # of no effect when it has ended
    try:
        return await play
    except asyncio.CancelledError:
        return 0
    except BalancerError as error:
        print(f"lbjwt demo: {error}")
        return 1


async def _play(*, once: bool, port: int) -> int:
    async with AsyncExitStack() as stack:
        issuer_socket = bind(ISSUER_PORT)
        issuer = Issuer(f"http://{address(issuer_socket)}")
        await _serve(stack, issuer.application(), issuer_socket)

        backends = [Backend("ash"), Backend("birch"), Backend("snail", delay=0.3)]
        addresses = []
        for backend in backends:
            backend_socket = bind()
            addresses.append(address(backend_socket))
            await _serve(stack, backend.application(), backend_socket)

        # The balancer opens its own sockets: two free ports are looked for and let go again.
        with bind(port) as listen, bind() as admin:
            front, door = address(listen), address(admin)
        balancer = await Balancer.start(serve_arguments(front, door, issuer, addresses), door)
        stack.push_async_callback(balancer.stop)

        tour = plan(issuer, Issuer(issuer.url), f"http://{front}")
        names = [backend.name for backend in backends]
        if once:
            reading = asyncio.create_task(_drain(balancer))
            stack.callback(reading.cancel)
            return 0 if await walk(tour, names) else 1
        print(introduction(tour, issuer, front, door), flush=True)
        await _watch(balancer, Tally(dict(zip(addresses, names, strict=True))), backends)
        return 1


def serve_arguments(front: str, admin: str, issuer: Issuer, backends: Sequence[str]) -> list[str]:
    """What follows `lbjwt serve`. All addresses are HOST:PORT."""
    return [
        *("--listen", front),
        *(word for backend in backends for word in ("--backend", backend)),
        *("--jwks", issuer.jwks_url),
        *("--issuer", issuer.url),
        *("--audience", AUDIENCE),
        *("--claim-header", f"sub={IDENTITY_HEADER}"),
        *("--admin", admin),
        *("--access-log", "-"),
    ]


def introduction(tour: Tour, issuer: Issuer, front: str, admin: str) -> str:
    """The text above the table. Lines to copy stand alone, unindented and unwrapped."""
    defaults = (f"{HOST}:{PORT}", f"http://{HOST}:{ISSUER_PORT}")
    load = "make load" if (front, issuer.url) == defaults else f"make load URL=http://{front}/ ISSUER={issuer.url}"
    parts = [
        f"lbjwt listens on http://{front} and balances over three backends, one of them slow.",
        f"Tokens come from {issuer.url}/token?sub=NAME; numbers are at http://{admin}/metrics.",
        "Copy these lines into another terminal:",
    ]
    parts += [f"\n# {step.title}: {step.status}\n{step.line}" for step in tour.steps]
    parts += [f"\n# many at once: the slow backend gets fewer\n{tour.burst}"]
    parts += [f"\n# as fast as it goes (needs wrk)\n{load}\n"]
    return "\n".join(parts)


def bind(port: int = 0) -> socket.socket:
    """Return a socket bound on loopback to `port`, or to any free port when that one is taken or 0."""
    for candidate in (port, 0):
        bound = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            bound.bind((HOST, candidate))
        except OSError:
            bound.close()
            if candidate == 0:
                raise
        else:
            return bound
    raise AssertionError("unreachable: the second candidate binds or raises")


def address(bound: socket.socket) -> str:
    """HOST:PORT of a bound socket."""
    host, port = bound.getsockname()
    return f"{host}:{port}"


async def _serve(stack: AsyncExitStack, application: web.Application, bound: socket.socket) -> None:
    runner = web.AppRunner(application, access_log=None, handle_signals=False, shutdown_timeout=0.5)
    await runner.setup()
    stack.push_async_callback(runner.cleanup)
    await web.SockSite(runner, bound).start()


async def _drain(balancer: Balancer) -> None:
    """Read the access log away, so that its pipe never fills."""
    with contextlib.suppress(BalancerError):
        async for _ in balancer.access_log():
            pass


async def _watch(balancer: Balancer, tally: Tally, backends: Sequence[Backend]) -> None:
    """
    Show what happens until cancelled.

    Raises:
        BalancerError: The balancer ended by itself.
    """
    fresh: list[str] = []

    async def read() -> None:
        async for line in balancer.access_log():
            words = tally.take(line)
            if words is not None:
                fresh.append(words)

    reading = asyncio.create_task(read())
    try:
        with open_screen(tally, backends) as screen:
            while not reading.done():
                await asyncio.wait([reading], timeout=REFRESH)
                screen.show(fresh)
                fresh.clear()
        await reading
    finally:
        reading.cancel()
