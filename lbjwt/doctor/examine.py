"""
Everything that is looked at, for one configuration that can be used.

Nothing is changed and nothing is kept: ports are bound and given back, documents are fetched and forgotten. A running lbjwt is asked one thing:
whether it runs.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from lbjwt.assembly.issuers import issuer_instances
from lbjwt.doctor.certificates import certificate_looks
from lbjwt.doctor.issuers import issuer_looks
from lbjwt.doctor.model import Finding, Report
from lbjwt.doctor.runner import Look, look_at_all
from lbjwt.doctor.sockets import cluster_look, is_running, port_looks
from lbjwt.doctor.state import state_looks

if TYPE_CHECKING:
    from lbjwt.config.model import Configuration

__all__ = ["examine"]


async def examine(configuration: Configuration, known: Iterable[Finding] = ()) -> Report:
    """
    Look at everything at once.

    Args:
        known: What was found before: problems of the text and of its files.
    """
    running = await is_running(configuration)
    looks: list[Look] = []
    for instance in issuer_instances(configuration):
        looks += issuer_looks(instance, configuration.state_directory)
    looks += certificate_looks(configuration)
    looks += port_looks(configuration, running=running)
    looks += [cluster_look(label, cluster) for label, cluster in configuration.clusters.items()]
    looks += state_looks(configuration)
    report = await look_at_all(looks)
    return Report((*known, *report.findings))
