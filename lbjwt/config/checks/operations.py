"""Doors, files and limits of operation: the admin door, the log, the state directory, revocation and the limit of failures."""

import ipaddress
from collections.abc import Iterator
from pathlib import Path, PurePath
from typing import Final

from lbjwt.address import Address
from lbjwt.config.checks.words import warning
from lbjwt.config.model import Configuration
from lbjwt.config.problems import Problem

__all__ = ["check_operations"]

_FEW_FAILURES: Final = 10
_FEW_REVOCATIONS: Final = 1000
_PASSING: Final = tuple(map(PurePath, ("/tmp", "/var/tmp", "/dev/shm", "/run", "/var/run")))  # noqa: S108 - told about, not used


def check_operations(configuration: Configuration) -> Iterator[Problem]:
    """Everything around the traffic."""
    yield from _doors(configuration)
    yield from _state(configuration)
    yield from _revocation(configuration)
    yield from _failures(configuration)


def _doors(configuration: Configuration) -> Iterator[Problem]:
    admin = configuration.admin
    if admin is not None:
        if admin.address.port and any(admin.address == listener.address for listener in configuration.listeners):
            yield Problem(("admin", "address"), f"{admin.address} is a listener already", code="address-twice")
        if not admin.address.is_loopback:
            message = "the admin door asks for no password and is reachable from other machines"
            yield warning(("admin", "address"), "admin-exposed", message)
            if configuration.revocation is not None:
                message = "whoever reaches it can revoke everybody's tokens, and so log everybody out"
                yield warning(("admin", "address"), "revocation-exposed", message)
    log = configuration.access_log
    if log is not None and log.path != "-" and log.path in _named_files(configuration):
        yield Problem(
            ("access_log", "path"),
            "is also the name of a file that is read, which the log would spoil",
            code="log-over-file",
        )


def _named_files(configuration: Configuration) -> set[str]:
    """The files that are only read."""
    named: list[Path | None] = [file for issuer in configuration.issuers.values() for file in issuer.key_files]
    fetches = [issuer.fetch for issuer in configuration.issuers.values() if issuer.fetch is not None]
    named += [
        file
        for fetch in fetches
        for file in (fetch.ca_file, fetch.client_certificate, fetch.client_key, fetch.bearer_token_file)
    ]
    sections = [listener.tls for listener in configuration.listeners if listener.tls is not None]
    named += [file for tls in sections for file in (tls.certificate, tls.private_key)]
    named += [configuration.revocation.file] if configuration.revocation is not None else []
    return {str(file) for file in named if file is not None}


def _state(configuration: Configuration) -> Iterator[Problem]:
    directory = configuration.state_directory
    if directory is not None and any(passing in (directory, *directory.parents) for passing in _PASSING):
        yield warning(
            ("state_directory",),
            "state-directory-passing",
            "what stands here is gone after a restart of the machine, and under /tmp somebody else may be there first",
        )


def _revocation(configuration: Configuration) -> Iterator[Problem]:
    revocation = configuration.revocation
    if revocation is None:
        return
    if revocation.file is None and configuration.admin is None:
        yield warning(
            ("revocation",),
            "revocation-unreachable",
            "without a file and without the admin door nothing can ever be revoked",
            at_key=True,
        )
    if configuration.admin is not None and configuration.state_directory is None:
        yield warning(
            ("revocation",),
            "revocation-forgotten",
            "revocations made at the admin door are lost at a restart; give a state_directory",
            at_key=True,
        )
    if revocation.max_entries < _FEW_REVOCATIONS:
        yield warning(
            ("revocation", "max_entries"),
            "revocation-limit-small",
            "a leak of tokens needs more entries than this; further ones are refused",
        )
    for label, issuer in configuration.issuers.items():
        if issuer.max_lifetime is None:
            yield warning(
                ("issuers", label),
                "revocation-without-lifetime",
                "revocations expire, and without max_lifetime a token may live longer than its revocation",
                at_key=True,
            )


def _failures(configuration: Configuration) -> Iterator[Problem]:
    limit = configuration.fail_limit
    if limit is None:
        return
    if limit.failures < _FEW_FAILURES:
        yield warning(
            ("fail_limit", "failures"),
            "fail-limit-small",
            "a few expired tokens shut out everybody behind the same address, such as an office",
        )
    addresses = [listener.address for listener in configuration.listeners]
    if not configuration.trusted_proxies and all(map(_is_behind, addresses)):
        yield warning(
            ("fail_limit",),
            "fail-limit-one-address",
            "clients come through a proxy, as it seems, and without trusted_proxies they all have its address: one can shut out all",
            at_key=True,
        )


def _is_behind(address: Address) -> bool:
    """True for a listener that clients of the world reach through something else only."""
    if address.is_loopback:
        return True
    try:
        ip = ipaddress.ip_address(address.host)
    except ValueError:
        return False
    return ip.is_private and not ip.is_unspecified
