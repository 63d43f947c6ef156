"""From a configuration to what it asks of requests, as the one value that a worker replaces whole."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lbjwt.assembly.routes import new_admission, new_asked
from lbjwt.proxy._snapshot import Snapshot

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from lbjwt._fastverify import Gate
    from lbjwt.assembly.issuers import IssuerInstance
    from lbjwt.config.model import Configuration
    from lbjwt.observe._offenders import Offenders
    from lbjwt.observe.rows import RowNumbers
    from lbjwt.upstream._cluster import Cluster


def new_snapshot(
    configuration: Configuration,
    instances: Sequence[IssuerInstance],
    gate: Gate,
    clusters: Mapping[str, Cluster],
    rows: RowNumbers,
    *,
    offenders: Offenders | None,
    trusts: Callable[[str], bool] | None,
) -> Snapshot:
    """
    What one configuration asks of requests. Reads nothing but its arguments, so it may be made in a thread.

    Args:
        gate: That authorizes, under this configuration and those before and after.
        clusters: By name; those that are new need no endpoints yet.
        rows: Where routes and issuers are counted.
    """
    admission = new_admission(configuration, list(instances), gate, offenders, trusts, clusters, rows.routes)
    return Snapshot(
        admission=admission,
        asked=new_asked(configuration, admission),
        trusts=trusts,
        issuers=rows.issuer_names,
        limits=configuration.limits,
        timeouts=configuration.timeouts,
        allow_half_close=configuration.allow_half_close,
    )
