"""``lbjwt explain``: what would happen to a request with this token, and why."""

import asyncio
import json
import logging
import re
import sys
import time
from pathlib import Path
from typing import Final

import click

from lbjwt.auth.revocation import LATEST, RevocationError
from lbjwt.cli.compact import given, moment
from lbjwt.cli.explain_lines import as_lines
from lbjwt.cli.report import EXIT_CONFIGURATION, print_lines, print_problems

_FIELD: Final = re.compile(r"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([^\r\n\0]*)")
_EXIT: Final = {"allowed": 0, "refused": 1, "unknown": 2}


@click.command()
@click.option(
    "--config",
    type=click.Path(path_type=Path),
    help="The configuration file; you can also give it as the first argument, as for serve.",
)
@click.option("--method", default="GET", show_default=True, metavar="M", help="Method of the request.")
@click.option(
    "--path", default="/", show_default=True, metavar="P", help="Path of the request, with its query if it has one."
)
@click.option("--host", metavar="H", help="Host of the request.  [default: the first listener]")
@click.option("--header", "headers", multiple=True, metavar="NAME: VALUE", help="A header of the request. Repeatable.")
@click.option(
    "--at",
    "at",
    metavar="TIME",
    help="Check at another time: 2026-12-01T00:00:00Z, or seconds since 1970.  [default: now]",
)
@click.option("--offline", is_flag=True, help="Fetch no keys; use the keys stored in the state directory.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON with stable names, for programs.")
@click.argument("arguments", nargs=-1, metavar="[CONFIG] [TOKEN]")
def explain(
    config: Path | None,
    method: str,
    path: str,
    host: str | None,
    headers: tuple[str, ...],
    at: str | None,
    offline: bool,
    as_json: bool,
    arguments: tuple[str, ...],
) -> None:
    """Show what would happen to a request with this token, and why.

    Prints the route, the issuer, the key, every rule with its outcome, and what the backend and the client would get. The code that serves
    traffic makes the verdict. It reads the keys, and fetches them unless --offline is given. It changes nothing and contacts no running lbjwt.

    TOKEN is - (the default) for standard input. Prefer it, because every user of the machine can read a command line. Empty input is a request
    without a token. The token goes to the route's first token location, unless --header already has it.

    The output contains the claims. It never contains the token, its signature, keys or secrets.

    \b
        lbjwt explain --config lbjwt.yaml --path /orders < token.txt

    Exit code 0: allowed; 1: refused; 2: a problem, or keys that could not be fetched.
    """
    file, text = _sort(config, arguments)
    now = _time(at)
    fields = tuple(map(_field, headers))
    if not re.fullmatch(r"[A-Za-z-]{1,32}", method):
        raise click.BadParameter("must be a method name such as GET", param_hint="--method")
    if not re.fullmatch(r"[/*][^\s\0-\x1f]*", path):
        raise click.BadParameter("must begin with / and contain no spaces", param_hint="--path")
    from lbjwt.config.load import load_file
    from lbjwt.config.problems import ConfigurationError as ProblemsFound

    try:
        configuration = load_file(file)
    except ProblemsFound as error:
        print_problems(error.problems, error.source)
        sys.exit(EXIT_CONFIGURATION)
    if host is None:
        host = str(configuration.listeners[0].address).removeprefix(":") or "localhost"
        host = f"localhost:{host}" if host.isdigit() else host
    elif not re.fullmatch(r"[^\s\0-\x1f]*", host):
        raise click.BadParameter("must not contain spaces", param_hint="--host")
    from lbjwt.errors import LbjwtError
    from lbjwt.explain.explain import explain as told
    from lbjwt.explain.scene import Asked, set_scene

    logging.getLogger("lbjwt").addHandler(logging.NullHandler())  # what goes wrong is in the explanation
    token = given(text)
    if re.search(r"[\r\n\0]", token):
        raise click.UsageError("a token must be a single line.")
    try:
        asked = Asked(token, method, path, host, fields)
        scene = asyncio.run(set_scene(configuration, asked, offline=offline, now=now))
    except LbjwtError as error:
        click.echo(f"Error: {error}", err=True)
        sys.exit(EXIT_CONFIGURATION)
    story = told(scene)
    if as_json:
        click.echo(json.dumps(story, indent=2))
    else:
        print_lines(as_lines(story))
    sys.exit(_EXIT[story["verdict"]])


def _sort(config: Path | None, arguments: tuple[str, ...]) -> tuple[Path, str]:
    """Which argument is the file and which the token: the file comes first when --config does not name it."""
    rest = list(arguments)
    if config is None:
        if not rest:
            raise click.UsageError("give a configuration: --config FILE.")
        config = Path(rest.pop(0))
    if len(rest) > 1:
        raise click.UsageError("give only one token.")
    return config, rest[0] if rest else "-"


def _field(text: str) -> tuple[str, str]:
    match = _FIELD.fullmatch(text)
    if match is None:
        raise click.BadParameter('must have the form "Name: value"', param_hint="--header")
    return match[1], match[2]


def _time(text: str | None) -> float:
    if text is None:
        return time.time()
    try:
        seconds = moment(text, "at")
    except RevocationError:
        seconds = -1.0
    if not 0 <= seconds <= LATEST:
        raise click.BadParameter(
            "must be a number of seconds since 1970, or a time such as 2026-12-01T00:00:00Z", param_hint="--at"
        )
    return seconds
