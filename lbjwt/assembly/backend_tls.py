"""TLS to endpoints: what the clusters of a configuration ask of theirs, for traffic and for health checks."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from lbjwt.files import Kept, nothing_kept
from lbjwt.net._tls import TlsPeer
from lbjwt.net.certificate import BackendTls, BackendTlsSettings
from lbjwt.net.tls import TLSError

if TYPE_CHECKING:
    from lbjwt.address import Address
    from lbjwt.config import model
    from lbjwt.config.backend_tls import BackendTls as Section

log = logging.getLogger("lbjwt.health")


ALPN: Final = {"http1": ("http/1.1",), "http2": ("h2",), "auto": ("h2", "http/1.1")}
"""What is offered during the handshake, by the `protocol` of a cluster (RFC 7301)."""


def settings_of(section: Section | None, protocol: str = "http1") -> BackendTlsSettings:
    """The settings of a ``tls`` section (None: the defaults) of a cluster with this `protocol`."""
    if section is None:
        return BackendTlsSettings(alpn=ALPN[protocol])
    return BackendTlsSettings(
        section.ca, section.certificate, section.private_key, section.server_name, section.verify, ALPN[protocol]
    )


def new_backend_tls(
    clusters: Mapping[str, model.Cluster], known: Mapping[str, BackendTls], kept: Kept = nothing_kept
) -> dict[str, BackendTls]:
    """
    Return the TLS of each cluster with https endpoints, by its name: the one in use where settings and files are the same. Reads files, so it may
    run in a thread.

    Args:
        known: Those in use.
        kept: Used in place of files that cannot be used.

    Raises:
        TLSError: A file cannot be used.
    """
    made = {}
    for name, cluster in clusters.items():
        if not cluster.uses_tls:
            continue
        settings, before = settings_of(cluster.tls, cluster.protocol), known.get(name)
        if before is not None and before.settings == settings and before.is_current():
            made[name] = before
        else:
            made[name] = BackendTls(settings, key=f"clusters.{name}.tls", kept=kept)
    return made


def checked_backend_tls(
    clusters: Mapping[str, model.Cluster], known: Mapping[str, BackendTls]
) -> dict[str, BackendTls]:
    """
    As `new_backend_tls`, for health checks, which go on whatever the files hold: where settings are the same, those in use stay, with what the files
    hold now if that can be used. Where nothing is in use and a file is unusable, one without a context, whose `fault` says why.
    """
    made = {}
    for name, cluster in clusters.items():
        if not cluster.uses_tls:
            continue
        settings, tls = settings_of(cluster.tls, cluster.protocol), known.get(name)
        if tls is None or tls.settings != settings:
            tls = BackendTls(settings, key=f"clusters.{name}.tls", required=False)
            if tls.fault:
                log.error("endpoints of cluster %s are not checked until the file can be used: %s", name, tls.fault)
        elif not tls.is_current():
            with contextlib.suppress(TLSError):  # the workers log it
                tls.renew()
        made[name] = tls
    return made


def backend_tls_of(name: str, cluster: model.Cluster) -> BackendTls | None:
    """As `new_backend_tls`, of one cluster; None without an https endpoint."""
    return new_backend_tls({name: cluster}, {}).get(name)


def in_use(made: Mapping[str, BackendTls], known: Mapping[str, BackendTls]) -> dict[str, BackendTls]:
    """What is in use from now on: where only the files differ, those of before with what the files hold now."""
    used = {}
    for name, tls in made.items():
        before = known.get(name)
        if before is not None and before is not tls and before.settings == tls.settings:
            before.adopt(tls)
        used[name] = tls if before is None or before.settings != tls.settings else before
    return used


def peer_of(tls: BackendTls | None, address: Address) -> TlsPeer | None:
    """
    Whom connections to an endpoint expect; None for plain HTTP.

    Args:
        tls: Of the cluster; None if it has no https endpoint.
        address: One that was resolved knows the name that it came from, which stays the name to verify.
    """
    if not address.https:
        return None
    if tls is None:
        raise ValueError(f"no TLS for {address}")
    return TlsPeer(tls, tls.name_of(address))
