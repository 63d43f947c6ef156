"""Runs the issuer, the backends and the balancer of the demo in one event loop."""

import asyncio
import json
import signal
import socket
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path

import uvloop
from aiohttp import web

from lbjwt.config.flags import Flags, configuration_from_flags
from lbjwt.demo.issuer import AUDIENCE, Issuer
from lbjwt.demo.tour import IDENTITY_HEADER, Step, plan, walk
from lbjwt.errors import LbjwtError
from lbjwt.service import LoadBalancer

HOST = "127.0.0.1"
ISSUER_PORT = 8081  # of the issuer, when free
BACKENDS = (("ash", 0.0), ("birch", 0.0), ("snail", 0.3))  # names, and seconds each answer takes


def run(*, once: bool, port: int) -> int:
    """
    Run the demo until Ctrl-C, SIGTERM or SIGHUP, or with `once` until every printed line was run. If `port` is taken, the balancer uses another.

    Returns:
        The exit code: 0, or 1 when the balancer did not start or a line had a wrong result.
    """
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_run(once=once, port=port))


async def _run(*, once: bool, port: int) -> int:
    task = asyncio.current_task()
    assert task is not None
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    try:
        async with AsyncExitStack() as stack:
            return await _play(stack, once=once, port=port)
    except asyncio.CancelledError:
        return 0
    except LbjwtError as error:
        print(f"lbjwt demo: {error}")
        return 1


async def _play(stack: AsyncExitStack, *, once: bool, port: int) -> int:
    issuer_socket = bind(ISSUER_PORT)
    issuer = Issuer(f"http://{address(issuer_socket)}")
    await _serve(stack, issuer.application(), issuer_socket)
    backends = []
    for name, delay in BACKENDS:
        backend_socket = bind()
        backends.append(address(backend_socket))
        await _serve(stack, backend(name, delay), backend_socket)
    # the balancer opens its own sockets: find two free ports and release them
    with bind(port) as listen, bind() as admin:
        front, door = address(listen), address(admin)
    flags = Flags(
        listen=(front,),
        backend=tuple(backends),
        jwks=f"{issuer.url}/.well-known/jwks.json",
        issuer=issuer.url,
        audience=(AUDIENCE,),
        claim_header=(f"sub={IDENTITY_HEADER}",),
        admin=door,
        access_log=None if once else "-",
    )
    steps = plan(issuer, Issuer(issuer.url), f"http://{front}")
    await stack.enter_async_context(LoadBalancer(configuration_from_flags(flags, Path.cwd())))
    if once:
        return 0 if await walk(steps) else 1
    print(introduction(steps, issuer, front, door), flush=True)
    await asyncio.Event().wait()
    return 0


def introduction(steps: Sequence[Step], issuer: Issuer, front: str, admin: str) -> str:
    """The text above the access log."""
    parts = [
        f"lbjwt listens on http://{front} and distributes requests to three backends; one of them is slow.",
        f"Tokens come from {issuer.url}/token?sub=NAME; metrics are at http://{admin}/metrics.",
        "Copy these lines into another terminal; the access log appears here, and Ctrl-C ends the demo:",
    ]
    parts += [f"\n# {step.title}: {step.status}\n{step.line}" for step in steps]
    return "\n".join([*parts, ""])


def backend(name: str, delay: float) -> web.Application:
    """A backend that answers every request after `delay` seconds, with its name and what it received."""

    async def answer(request: web.Request) -> web.Response:
        await asyncio.sleep(delay)
        seen = {
            "backend": name,
            "method": request.method,
            "path": request.path,
            "subject": request.headers.get(IDENTITY_HEADER),
        }
        return web.json_response(seen, dumps=lambda value: json.dumps(value) + "\n")

    application = web.Application()
    application.router.add_route("*", "/{path:.*}", answer)
    return application


def bind(port: int = 0) -> socket.socket:
    """Return a socket bound on loopback to `port`, or to any free port when that one is taken or 0."""
    bound = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((HOST, port))
    except OSError:
        bound.bind((HOST, 0))
    return bound


def address(bound: socket.socket) -> str:
    host, port = bound.getsockname()
    return f"{host}:{port}"


async def _serve(stack: AsyncExitStack, application: web.Application, bound: socket.socket) -> None:
    runner = web.AppRunner(application, access_log=None, handle_signals=False, shutdown_timeout=0.5)
    await runner.setup()
    stack.push_async_callback(runner.cleanup)
    await web.SockSite(runner, bound).start()
