"""
The states and weights of endpoints that were set at run time, in a file of the state directory: they hold over restarts and upgrades until they are
undone.

One process writes the file when something is set; what the disk does not take is stored with the next change. The process that gives out the rows of
the shared state sets what it finds there when an endpoint gets its row, which is before any worker can send it a request.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import orjson

from lbjwt.errors import cause_of
from lbjwt.files import file_fault, read_regular, write_whole
from lbjwt.observe._endpoint_states import SERVICE_NAMES, EndpointStates

STORED: Final = "endpoint-settings.json"
"""The file in the state directory."""

MAX_BYTES: Final = 8 << 20
"""Of that file: `MAX_SETTINGS` with the longest names."""

MAX_SETTINGS: Final = 10_000
"""More than a service has drained at a time. Beyond, those that were made first are forgotten: endpoints that are long gone."""

MAX_WEIGHT: Final = 1000
"""As in the configuration."""

EndpointName = tuple[str, str]
"""Name of the cluster and text of the address."""

log = logging.getLogger("lbjwt.endpoints")


@dataclass(frozen=True, slots=True)
class Setting:
    """What was set of one endpoint. weight: None for that of the configuration."""

    state: str = SERVICE_NAMES[0]
    weight: int | None = None

    def __post_init__(self) -> None:
        """
        Raises:
            ValueError: A state or a weight that there is not.
        """
        if self.state not in SERVICE_NAMES:
            raise ValueError(f"the state must be one of {', '.join(SERVICE_NAMES)}")
        if self.weight is not None and not (type(self.weight) is int and 0 <= self.weight <= MAX_WEIGHT):
            raise ValueError(f"the weight must be a whole number from 0 to {MAX_WEIGHT}")

    @classmethod
    def of(cls, states: EndpointStates, row: int) -> Setting:
        """What is in force of the endpoint in a row of the shared state."""
        words = states.read(row)
        return cls(SERVICE_NAMES[words["service"]], words["weight"] - 1 if words["weight"] else None)

    def put(self, states: EndpointStates, row: int) -> None:
        """Put it into force, for the next request."""
        states.set(row, "service", SERVICE_NAMES.index(self.state))
        states.set(row, "weight", 0 if self.weight is None else 1 + self.weight)


CONFIGURED: Final = Setting()
"""Nothing was set, or it was undone."""


class StoredSettings:
    """
    What was set at run time. Until `open`, it is stored nowhere.

    Args:
        states: The shared state of the endpoints.
    """

    def __init__(self, states: EndpointStates) -> None:
        self._states = states
        self._directory: Path | None = None
        self._settings: dict[EndpointName, Setting] = {}
        self._written: dict[EndpointName, Setting] = {}
        self._left: dict[EndpointName, Setting] = {}

    def open(self, directory: Path | None) -> None:
        """
        Read what the last run stored, and store there from now on. A file that cannot be used is logged, and nothing of it is used. Blocks.

        Args:
            directory: The configured state directory; None without one.
        """
        self._directory = directory
        if directory is not None:
            self._settings = self._written = _read(directory / STORED)
            self._left = dict(self._settings)

    def store(self, endpoint: EndpointName, setting: Setting) -> None:
        """
        Store what is in force for an endpoint, so that it survives a power cut. Blocks.

        Raises:
            OSError: It cannot be stored. The file has what it had, and the next call tries again.
        """
        if self._directory is None:
            return
        settings = dict(self._settings)
        settings.pop(endpoint, None)  # the newest one is the last
        if setting != CONFIGURED:
            settings[endpoint] = setting
        for oldest in list(settings)[: max(0, len(settings) - MAX_SETTINGS)]:
            del settings[oldest]
        self._settings = settings
        if settings != self._written:
            write_whole(self._directory / STORED, _encoded(settings))
            self._written = settings

    def has(self, endpoint: EndpointName, setting: Setting) -> bool:
        """True when the next start finds this of the endpoint."""
        return self._directory is not None and self._written.get(endpoint, CONFIGURED) == setting

    def restore(self, endpoint: EndpointName, row: int) -> None:
        """Put into force what the last run stored for an endpoint, which has this row from now on. Once: what is set later counts."""
        setting = self._left.pop(endpoint, None)
        if setting is not None:
            setting.put(self._states, row)
            log.info(
                "endpoint %s of cluster %s is %s%s, as was set at run time before this start",
                endpoint[1],
                endpoint[0],
                setting.state,
                "" if setting.weight is None else f" with weight {setting.weight}",
            )


def _encoded(settings: Mapping[EndpointName, Setting]) -> bytes:
    listed = [
        {"cluster": cluster, "address": address, "state": setting.state, "weight": setting.weight}
        for (cluster, address), setting in settings.items()
    ]
    return orjson.dumps({"endpoints": listed}, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)


def _read(path: Path) -> dict[EndpointName, Setting]:
    try:
        content, status = read_regular(path, MAX_BYTES)
    except FileNotFoundError:
        return {}
    except OSError as error:
        log.error("%s is not used: %s", path, cause_of(error))
        return {}
    fault = file_fault(status)
    if not fault:
        try:
            return dict(map(_decoded, orjson.loads(content)["endpoints"]))
        except (ValueError, KeyError, TypeError):
            fault = "it is damaged"
    log.error("%s is not used: %s", path, fault)
    return {}


def _decoded(entry: dict[str, Any]) -> tuple[EndpointName, Setting]:
    cluster, address = entry["cluster"], entry["address"]
    if not isinstance(cluster, str) or not isinstance(address, str):
        raise ValueError("a name is text")
    return (cluster, address), Setting(entry["state"], entry["weight"])
