"""Sections that a program makes of values instead of a file, with the same checks and the same messages."""

from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import ValidationError

from lbjwt.config.issuer import Issuer
from lbjwt.config.model import Cluster, Configuration
from lbjwt.config.problems import ConfigurationError, describe
from lbjwt.config.section import Section

S = TypeVar("S", bound=Section)


def section_of(section: type[S], values: Mapping[str, Any]) -> S:
    """
    Make a section. Times may be seconds, too.

    Raises:
        ConfigurationError: An invalid value; the message has its path.
    """
    try:
        return section.model_validate(dict(values))
    except ValidationError as error:
        raise ConfigurationError(describe(error, section)) from None


def only_issuer(values: Mapping[str, Any]) -> Configuration:
    """
    A configuration of one issuer, for a program that verifies and serves nothing: it has no listener, and its cluster no endpoint.

    Args:
        values: As below `issuers.*` of a file.

    Raises:
        ConfigurationError: An invalid value.
    """
    issuer = section_of(Issuer, values)
    return Configuration.model_construct(
        listeners=(), issuers={"main": issuer}, clusters={"application": Cluster.model_construct()}
    )
