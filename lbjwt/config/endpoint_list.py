"""
Endpoints outside the configuration: in an endpoints file, or in the body of a request to the admin API. The same model as in the configuration.

Nothing is opened here.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError

from lbjwt.config import document
from lbjwt.config.fields import Source
from lbjwt.config.model import Endpoint, Endpoints
from lbjwt.config.problems import ConfigurationError, describe, key_path_text
from lbjwt.config.section import Section
from lbjwt.errors import LbjwtError


class EndpointList(Section):
    """The endpoints of a cluster outside the configuration: in an endpoints file, or as the admin API replaced them."""

    endpoints: Endpoints = Field(description="The backend servers, at least one.")


class EndpointsError(LbjwtError):
    """A list of endpoints that cannot be used; the message says where it is wrong."""


def read_endpoints(text: str, directory: Path) -> tuple[Endpoint, ...]:
    """
    Read JSON or YAML: a list of endpoints, or a mapping with the key `endpoints`.

    Args:
        directory: Relative paths of Unix sockets begin there.

    Raises:
        EndpointsError: Something in it is wrong; the message has the lines.
    """
    root, faults = document.read(text)
    if root is None or faults:
        raise EndpointsError("; ".join(f"line {fault.line}: {fault.message}" for fault in faults[:10]))
    is_list = isinstance(root.data, list)
    try:
        return _endpoints({"endpoints": root.data} if is_list else root.data, Source(directory))
    except ConfigurationError as error:
        told = []
        for problem in error.problems[:10]:
            path = problem.path[1:] if is_list else problem.path
            line, _ = root.place(path, key=problem.at_key)
            told.append(
                f"line {line}: {key_path_text(path)}: {problem.message}" if path else f"line {line}: {problem.message}"
            )
        raise EndpointsError("; ".join(told)) from None


def endpoints_of(data: Any) -> tuple[Endpoint, ...]:
    """
    Return the endpoints in a decoded JSON value: a list of endpoints, or an object with the member `endpoints`.

    Raises:
        EndpointsError: Something in it is wrong.
    """
    try:
        return _endpoints({"endpoints": data} if isinstance(data, list) else data, None)
    except ConfigurationError as error:
        raise EndpointsError("; ".join(problem.render() for problem in error.problems[:10])) from None


def to_json(endpoints: Sequence[Endpoint]) -> list[dict[str, Any]]:
    """Return what `endpoints_of` reads."""
    return [
        endpoint.model_dump(mode="json", by_alias=True, exclude_unset=True, exclude_none=True) for endpoint in endpoints
    ]


def _endpoints(data: Any, context: Source | None) -> tuple[Endpoint, ...]:
    try:
        return EndpointList.model_validate(data, context=context).endpoints
    except ValidationError as error:
        raise ConfigurationError(describe(error, EndpointList)) from None
