"""Contradictions between sections that no section can see by itself. They are errors: such a configuration is never served."""

from collections.abc import Iterator
from pathlib import PurePath

from lbjwt.config.model import Configuration
from lbjwt.config.problems import Problem
from lbjwt.config.section import leaves


def conflicts(configuration: Configuration) -> Iterator[Problem]:
    """Addresses that two parts use, and an access log that would overwrite a file; without places, which `load` adds."""
    for label, cluster in configuration.clusters.items():
        for index, endpoint in enumerate(cluster.endpoints):
            for listener in configuration.listeners:
                ours, theirs = listener.address, endpoint.address
                everywhere = ours.host in ("", "0.0.0.0", "::") and theirs.is_loopback and not theirs.is_unix
                if ours.port == theirs.port and (ours.host == theirs.host or everywhere):
                    yield Problem(
                        ("clusters", label, "endpoints", index, "address"),
                        f"is the balancer's own listener {ours}: requests would go round in circles",
                        code="proxy-loop",
                    )
    admin = configuration.admin
    if (
        admin is not None
        and admin.address.port
        and any(admin.address == one.address for one in configuration.listeners)
    ):
        yield Problem(("admin", "address"), f"{admin.address} is a listener already", code="address-twice")
    log = configuration.access_log
    if log is not None and log.path in _files(configuration):
        sentence = "is also the name of a file that is read, which the log would spoil"
        yield Problem(("access_log", "path"), sentence, code="log-over-file")


def _files(configuration: Configuration) -> set[str]:
    """The files that are only read."""
    values = leaves(configuration)
    return {str(value) for path, value in values if isinstance(value, PurePath) and path != ("state_directory",)}
