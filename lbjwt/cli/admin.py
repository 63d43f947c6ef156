"""One request to the admin API of a running balancer."""

import http.client
import json
from dataclasses import dataclass
from typing import Any, Final

import click

from lbjwt.config.problems import printable
from lbjwt.url import split_url

TIMEOUT: Final = 10.0
"""Seconds for connecting, and for an answer that needs no work."""

_LONGEST: Final = 16 << 20  # bytes of an answer: every problem of a file of 1 MiB


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back."""

    status: int
    members: dict[str, Any]
    """{} when the body is no JSON object: something else answers there, or there is no such page."""

    @property
    def error(self) -> str:
        """Why it was refused, fit for a terminal; "" when no reason is given."""
        return printable(str(self.members.get("error", "")))


def ask(admin: str, method: str, path: str, body: bytes | str, *, doubt: str, timeout: float = TIMEOUT) -> Reply:
    """
    Send JSON to the admin API and return the answer.

    Args:
        admin: Its URL, without a path.
        doubt: What is not known when no answer comes, for the message.
        timeout: Seconds for the answer.

    Raises:
        click.BadParameter: `admin` is no such URL.
        click.ClickException: There was no answer.
    """
    try:
        parts = split_url(admin.removesuffix("/"))
    except ValueError:
        parts = None
    if parts is None or parts.hostname is None or parts.path:
        raise click.BadParameter("must be a URL such as http://127.0.0.1:9900, without a path", param_hint="--admin")
    # http.client asks no proxy of the environment: it is on this machine or near it
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    connection = kind(parts.hostname, parts.port, timeout=timeout)
    try:
        connection.connect()
    except (OSError, http.client.HTTPException) as error:
        raise click.ClickException(
            f"cannot connect to {parts.netloc} ({_cause(error)}); nothing was changed. Is the admin API at this address (--admin)?"
        ) from None
    try:
        connection.request(method, path, body, {"Content-Type": "application/json"})
        response = connection.getresponse()
        status, content = response.status, response.read(_LONGEST)
    except (OSError, http.client.HTTPException) as error:
        raise click.ClickException(f"{parts.netloc} did not answer ({_cause(error)}); {doubt}") from None
    finally:
        connection.close()
    try:
        members = json.loads(content)
    except ValueError:
        members = None
    return Reply(status, members if isinstance(members, dict) else {})


def _cause(error: Exception) -> str:
    return getattr(error, "strerror", None) or type(error).__name__
