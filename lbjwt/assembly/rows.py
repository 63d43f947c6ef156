"""From a configuration to what is counted of it: the names that get rows of the shared stats, and the shared stats themselves."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lbjwt.assembly.issuers import issuer_instances
from lbjwt.observe._board import Board
from lbjwt.observe.rows import RowNames

if TYPE_CHECKING:
    from lbjwt.config import model


def row_names(configuration: model.Configuration) -> RowNames:
    """Every endpoint, issuer and route of a configuration with its members, see `lbjwt.assembly.discovered.in_force`."""
    return RowNames(
        endpoints=[
            (name, str(endpoint.address))
            for name, cluster in configuration.clusters.items()
            for endpoint in cluster.endpoints
        ],
        issuers=[instance.name for instance in issuer_instances(configuration)],
        routes=[route.name for route in configuration.routes],
    )


def new_board(configuration: model.Configuration, workers: int) -> Board:
    """
    The shared stats of a service that starts with this configuration, with room for those to come.

    Raises:
        MemoryError: The kernel gave no shared memory.
    """
    board = Board(workers, *row_names(configuration).capacity)
    board.configuration_hash = configuration.fingerprint
    return board
