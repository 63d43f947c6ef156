"""From a configuration to what its listeners with `mode: authorize` answer, and whom they believe."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from lbjwt.assembly.cluster import network_trust
from lbjwt.auth.decision import PROFILES, Allowing
from lbjwt.auth.identity import WOULD_REFUSE
from lbjwt.errors import ConfigurationError, cause_of
from lbjwt.files import ReadFile, read_content
from lbjwt.proxy._authorizer import Authorizer
from lbjwt.proxy._check_call import CheckSettings
from lbjwt.proxy._original import Description, OriginalRequest

if TYPE_CHECKING:
    from pathlib import Path

    from lbjwt.config.authorize import Authorize
    from lbjwt.config.model import Configuration, Listener

MIN_SECRET: Final = 16
"""Characters of a secret between a proxy and lbjwt: nobody guesses 16 random ones."""
MAX_SECRETS: Final = 2
MAX_SECRET_FILE: Final = 4096
"""Bytes."""

_DESCRIPTIONS: Final = {
    "wire": Description.WIRE,
    "x-forwarded": Description.X_FORWARDED,
    "x-original": Description.X_ORIGINAL,
    "check": Description.CHECK,
    "spoe": Description.SPOE,
}


def new_authorizer(
    configuration: Configuration, listener: Listener, key: str, read: ReadFile = read_content
) -> Authorizer | None:
    """
    What a listener does in place of forwarding; None for one that forwards. Reads the file of its secret.

    Args:
        key: Path of the listener, for errors.
        read: Reads that file.

    Raises:
        ConfigurationError: The secret cannot be read or used.
    """
    section = listener.authorize
    if section is None:
        return None
    profile = PROFILES[section.profile]
    try:
        secrets = () if section.secret_file is None else read_secrets(section.secret_file, read)
    except ConfigurationError as error:
        raise ConfigurationError(f"{key}.authorize.secret_file: {error}") from None
    original = OriginalRequest(
        _DESCRIPTIONS[section.described_by],
        _is_unix if listener.address.is_unix else network_trust(section.trusted_peers),
        secret_header=section.secret_header,
        secrets=secrets,
    )
    return Authorizer(
        original,
        allow=new_allowing(configuration),
        adapt=profile.adapted,
        redirects=profile.redirects,
        check=check_settings(configuration, section) if profile.original == "check" else None,
    )


def _is_unix(peer: str) -> bool:
    """Who could connect to a Unix socket has its permission."""
    return peer == "unix"


def new_allowing(configuration: Configuration) -> Allowing:
    """What makes the answer *allowed* of every listener that is asked."""
    identity = [pair.header for pair in configuration.claim_to_headers]
    if any(route.report_only for route in configuration.routes or ()):
        identity.append(WOULD_REFUSE)
    return Allowing(identity, removed_headers(configuration))


def check_settings(configuration: Configuration, section: Authorize) -> CheckSettings:
    """What Envoy gets by gRPC beside headers."""
    locations = [issuer.token_locations(configuration.forward_token) for issuer in configuration.issuers.values()]
    return CheckSettings(
        claims=section.dynamic_metadata,
        parameters=dict.fromkeys(name for one in locations for name, forward in one.params if not forward),
        cookies=any(not forward for one in locations for _, forward in one.cookies),
    )


def removed_headers(configuration: Configuration) -> list[str]:
    """Headers that hold a token and that are not passed on."""
    locations = [issuer.token_locations(configuration.forward_token) for issuer in configuration.issuers.values()]
    return list(dict.fromkeys(name for one in locations for name, _, forward in one.headers if not forward))


def read_secrets(path: Path, read: ReadFile = read_content) -> tuple[bytes, ...]:
    """
    The secrets between a proxy and lbjwt in a file, one a line.

    Raises:
        ConfigurationError: It cannot be read, or holds none, too many, or one that is short or cannot stand in a header.
    """
    try:
        content = read(path, MAX_SECRET_FILE)
    except OSError as error:
        raise ConfigurationError(f"cannot read {path}: {cause_of(error)}") from None
    secrets = tuple(line.strip() for line in content.splitlines() if line.strip())
    if not 1 <= len(secrets) <= MAX_SECRETS or len(content) > MAX_SECRET_FILE:
        raise ConfigurationError(f"{path} must hold one or two secrets, each on a line of its own")
    for secret in secrets:
        if len(secret) < MIN_SECRET or not all(0x21 <= byte <= 0x7E for byte in secret):
            raise ConfigurationError(
                f"a secret in {path} must be at least {MIN_SECRET} visible ASCII characters without spaces"
            )
    return secrets
