"""``lbjwt drain``, ``enable``, ``disable`` and ``weight``: take an endpoint of a running balancer out of service and back, without a reload."""

import json
import sys
import time
from collections.abc import Callable
from typing import Any, Final
from urllib.parse import quote

import click

from lbjwt.cli.admin import ask
from lbjwt.config.problems import printable
from lbjwt.errors import there_are
from lbjwt.units import UnitError, parse_duration

POLL: Final = 0.1
"""Seconds between two looks while waiting."""

STILL_BUSY: Final = 3
"""Exit code of `--wait` when the time was up."""


def _seconds(context: click.Context, parameter: click.Parameter, value: str) -> float:
    try:
        return parse_duration(value)
    except UnitError as error:
        raise click.BadParameter(str(error)) from None


def _on_endpoint(command: Callable[..., None]) -> Callable[..., None]:
    """The arguments that all these commands have."""
    for decorate in (
        click.option(
            "--admin",
            metavar="URL",
            default="http://127.0.0.1:9900",
            show_default=True,
            help="Admin API of the running balancer.",
        ),
        click.argument("endpoint"),
        click.argument("cluster"),
    ):
        command = decorate(command)
    return command


def _until_quiet(command: Callable[..., None]) -> Callable[..., None]:
    for decorate in (
        click.option(
            "--wait", is_flag=True, help="Return when no request is in flight there and no connection is open."
        ),
        click.option(
            "--timeout",
            metavar="DURATION",
            default="60s",
            show_default=True,
            callback=_seconds,
            help="How long --wait waits.",
        ),
    ):
        command = decorate(command)
    return command


@click.command()
@_on_endpoint
@_until_quiet
def drain(cluster: str, endpoint: str, admin: str, wait: bool, timeout: float) -> None:
    """Send no new request to an endpoint, in all workers.

    Requests in flight end normally, and idle connections are closed. Clients that an affinity cookie bound to the endpoint get another one. A reload
    keeps the state; with a state_directory, a restart and an upgrade keep it too.

    \b
        lbjwt drain api 10.0.0.1:8080 --wait && deploy && lbjwt enable api 10.0.0.1:8080

    Exit code 0: drained, with --wait: and nothing is in flight; 1: no answer, or no such endpoint; 2: a problem of usage; 3: something is still in
    flight after --timeout, and the endpoint stays drained.
    """
    _change(admin, cluster, endpoint, {"state": "drained"})
    if wait:
        _wait(admin, cluster, endpoint, timeout)


@click.command()
@_on_endpoint
@_until_quiet
def disable(cluster: str, endpoint: str, admin: str, wait: bool, timeout: float) -> None:
    """As drain, and stop the health checks of the endpoint.

    Exit codes: as of drain.
    """
    _change(admin, cluster, endpoint, {"state": "disabled"})
    if wait:
        _wait(admin, cluster, endpoint, timeout)


@click.command()
@_on_endpoint
def enable(cluster: str, endpoint: str, admin: str) -> None:
    """Take an endpoint back into service after drain or disable.

    Exit code 0: done; 1: no answer, or no such endpoint; 2: a problem of usage.
    """
    _change(admin, cluster, endpoint, {"state": "in service"})


@click.command()
@click.argument("cluster")
@click.argument("endpoint")
@click.argument("weight", metavar="WEIGHT")
@click.option(
    "--admin",
    metavar="URL",
    default="http://127.0.0.1:9900",
    show_default=True,
    help="Admin API of the running balancer.",
)
def weight(cluster: str, endpoint: str, weight: str, admin: str) -> None:
    """Set the weight of an endpoint: 0 to 1000, or `configured` for that of the configuration.

    With 0 it gets no new request. A reload keeps the weight; with a state_directory, a restart and an upgrade keep it too.

    Exit code 0: done; 1: no answer, or no such endpoint; 2: a problem of usage.
    """
    if weight != "configured" and not (
        weight.isascii() and weight.isdecimal() and len(weight) <= 4 and int(weight) <= 1000
    ):
        raise click.BadParameter("must be a whole number from 0 to 1000, or configured", param_hint="WEIGHT")
    _change(admin, cluster, endpoint, {"weight": None if weight == "configured" else int(weight)})


def _path(cluster: str, endpoint: str) -> str:
    return f"/clusters/{quote(cluster, safe='')}/endpoints/{quote(endpoint, safe=':[]')}"


def _ask(admin: str, method: str, cluster: str, endpoint: str, body: dict[str, Any] | None) -> dict[str, Any]:
    reply = ask(
        admin,
        method,
        _path(cluster, endpoint),
        "" if body is None else json.dumps(body),
        doubt="it is unknown whether the change was made" if body is not None else "its state is unknown",
    )
    if reply.status != 200:
        why = reply.error or "it knows no endpoints; is this the admin API of lbjwt?"
        raise click.ClickException(
            why if reply.status == 404 and reply.error else f"refused with status {reply.status}: {why}"
        )
    return reply.members


def _change(admin: str, cluster: str, endpoint: str, body: dict[str, Any]) -> None:
    state = _ask(admin, "POST", cluster, endpoint, body)
    weight = "" if state["weight"] is None else f", weight {state['weight']}"
    is_set = weight or state["state"] != "in service"
    forgotten = "; a restart will forget this" if is_set and not state.get("survives_restart") else ""
    in_flight = state["requests_in_flight"]
    click.echo(
        printable(f"{state['address']} is {state['state']}{weight}; requests in flight: {in_flight}{forgotten}"),
        err=True,
    )


def _wait(admin: str, cluster: str, endpoint: str, timeout: float) -> None:
    """
    Until no request is in flight and no connection is open. A worker that had picked the endpoint just before the change holds a connection, so none
    can still send a request then. Asked twice, for the one that had to open a connection.
    """
    end = time.monotonic() + timeout
    quiet = 0
    while True:
        state = _ask(admin, "GET", cluster, endpoint, None)
        quiet = quiet + 1 if state["requests_in_flight"] <= 0 and state["connections"] <= 0 else 0
        if quiet == 2:
            return
        if time.monotonic() >= end:
            click.echo(
                f"requests still in flight: {state['requests_in_flight']}, connections: {state['connections']}",
                err=True,
            )
            sys.exit(STILL_BUSY)
        time.sleep(POLL)


@click.command()
@click.argument("cluster", required=False)
@click.option(
    "--admin",
    metavar="URL",
    default="http://127.0.0.1:9900",
    show_default=True,
    help="Admin API of the running balancer.",
)
def status(cluster: str | None, admin: str) -> None:
    """Show each endpoint of a running balancer, or of one CLUSTER: its state, weight and load, and whether state or weight
    was set at run time.

    Exit code 0: shown; 1: no answer, or no such cluster; 2: a problem of usage.
    """
    reply = ask(admin, "GET", "/status", "", doubt="its state is unknown")
    endpoints = reply.members.get("endpoints")
    if reply.status != 200 or not isinstance(endpoints, list):
        raise click.ClickException(f"status {reply.status}: is this the admin API of lbjwt?")
    clusters = [one["name"] for one in reply.members.get("clusters", ())] or [one["cluster"] for one in endpoints]
    if cluster is not None and cluster not in clusters:
        raise click.ClickException(f"there is no cluster {cluster}; {there_are(set(clusters))}")
    shown = [one for one in endpoints if cluster in (None, one["cluster"])]
    rows = [
        (
            "CLUSTER",
            "ENDPOINT",
            "STATE",
            "HEALTH",
            "WEIGHT",
            "IN FLIGHT",
            "CONNECTIONS",
            "REQUESTS",
            "FAILURES",
            "SET AT RUN TIME",
        )
    ]
    for one in shown:
        numbers = (one[key] for key in ("weight", "requests_in_flight", "connections", "requests", "failures"))
        rows.append(
            (
                one["cluster"],
                one["address"],
                one["state"],
                one["health"],
                *map(str, numbers),
                ", ".join(one["set_at_run_time"]),
            )
        )
    filled = {one["cluster"] for one in shown}
    rows += [
        (name, "no endpoints", *[""] * 8)
        for name in dict.fromkeys(clusters)
        if name not in filled and cluster in (None, name)
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        cells = (
            f"{cell:>{width}}" if 3 < at < 9 else f"{cell:<{width}}"
            for at, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        click.echo(printable("  ".join(cells).rstrip()))
