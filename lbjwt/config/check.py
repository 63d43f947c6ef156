"""
Is a legal configuration a wise one? Warnings with stable codes, and the few contradictions that span sections.

Pure: takes a configuration, opens no file, asks no clock, returns problems without places. Whether the files it names exist and hold good keys
is asked by ``lbjwt check`` on its own floor. One file of ``checks`` holds one idea; a warning is true whenever it is given, and sane
configurations earn none: a warning that comes for nothing teaches people to ignore warnings.
"""

from typing import Final

from lbjwt.config.checks.headers import check_headers
from lbjwt.config.checks.issuers import check_issuers
from lbjwt.config.checks.keys import check_keys
from lbjwt.config.checks.literals import check_literals
from lbjwt.config.checks.operations import check_operations
from lbjwt.config.checks.overlaps import check_overlaps
from lbjwt.config.checks.places import check_places
from lbjwt.config.checks.routes import check_routes
from lbjwt.config.checks.rules import check_rules
from lbjwt.config.checks.service import check_service
from lbjwt.config.checks.words import Check
from lbjwt.config.model import Configuration
from lbjwt.config.problems import Problem

_CHECKS: Final[tuple[Check, ...]] = (
    check_service, check_issuers, check_keys, check_places, check_routes, check_overlaps, check_rules, check_literals, check_headers,
    check_operations,
)  # fmt: skip


def check(configuration: Configuration) -> list[Problem]:
    """Return everything unwise or contradictory, errors and warnings mixed, in the order of the checks; ``load`` puts them in that of the lines."""
    return [problem for rule in _CHECKS for problem in rule(configuration)]
