"""
``/clusters/NAME/endpoints`` of the admin API: PUT replaces the endpoints of a cluster, DELETE returns to those of the configuration, GET shows them.

The body of PUT is what the configuration has below `endpoints`: a list, or an object with the member `endpoints`. Names are resolved. Status 200: the
endpoints are in force, and stored if there is a state directory; 400: the body is wrong and nothing changed; 404: there is no such cluster; 503: not
in force yet; 507: they cannot be stored, and nothing changed. Who may use it: see `lbjwt.admin.changing`.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Protocol

import orjson
from aiohttp import web

from lbjwt.address import loop_fault
from lbjwt.admin.changing import answer, error, is_browser, refused
from lbjwt.config.endpoint_list import EndpointsError, endpoints_of, to_json
from lbjwt.config.model import Configuration, Endpoint
from lbjwt.errors import LbjwtError, cause_of, there_are

PATH: Final = "/clusters/{name}/endpoints"

BODY_TIMEOUT: Final = 10.0
"""Seconds for a whole body to arrive."""

log = logging.getLogger("lbjwt.admin")


class Members(Protocol):
    """Who discovers the members of clusters."""

    @property
    def replaced(self) -> Mapping[str, Sequence[Endpoint]]:
        """Clusters whose endpoints were set here."""

    async def replace(self, cluster: str, endpoints: Sequence[Endpoint] | None) -> None:
        """Set the endpoints of a cluster; None: those of the configuration. OSError: cannot be stored; LbjwtError: not in force yet."""

    def describe(self) -> list[dict[str, Any]]:
        """The state of each name and file."""


class EndpointPages:
    """
    The handlers.

    Args:
        configuration: Returns the one in force, with its members.
    """

    def __init__(self, members: Members, configuration: Callable[[], Configuration]) -> None:
        self._members = members
        self._configuration = configuration

    def add_to(self, application: web.Application) -> None:
        application.router.add_put(PATH, self.put)
        application.router.add_delete(PATH, self.delete)
        application.router.add_get(PATH, self.get, allow_head=False)

    async def get(self, request: web.Request) -> web.Response:
        """The members of a cluster, and whether they were set here."""
        if is_browser(request):
            return error(403, "browsers are not allowed to do this")
        name = request.match_info["name"]
        return self._unknown(name) or self._shown(name)

    async def put(self, request: web.Request) -> web.Response:
        """Replace all endpoints of a cluster, or none."""
        if (no := refused(request, "curl") or self._unknown(request.match_info["name"])) is not None:
            return no
        try:
            async with asyncio.timeout(BODY_TIMEOUT):
                body = await request.read()
        except web.HTTPRequestEntityTooLarge:
            return error(413, f"the body is larger than {request.client_max_size} bytes")
        except TimeoutError:
            return error(408, f"the body did not arrive within {BODY_TIMEOUT:g} s")
        try:
            endpoints = endpoints_of(orjson.loads(body))
        except orjson.JSONDecodeError:
            return error(400, "the body is not JSON")
        except EndpointsError as fault:
            return error(400, str(fault))
        listening = [listener.address for listener in self._configuration().listeners]
        for at, endpoint in enumerate(endpoints):
            if loop := loop_fault(endpoint.address, listening):
                return error(400, f"endpoints[{at}].address: {loop}")
        return await self._replace(request, endpoints)

    async def delete(self, request: web.Request) -> web.Response:
        """Return to the endpoints of the configuration."""
        if is_browser(request):
            return error(403, "browsers are not allowed to do this; use curl or another program")
        return self._unknown(request.match_info["name"]) or await self._replace(request, None)

    async def _replace(self, request: web.Request, endpoints: Sequence[Endpoint] | None) -> web.Response:
        name = request.match_info["name"]
        told = "those of the configuration" if endpoints is None else f"{len(endpoints)} set"
        try:
            await self._members.replace(name, endpoints)
        except OSError as fault:
            return error(507, f"the endpoints cannot be stored: {cause_of(fault)}")
        except LbjwtError as fault:
            return error(503, f"the endpoints are not in force yet: {fault}")
        log.info("endpoints of cluster %s over the admin API by %s: %s", name, request.remote, told)
        return self._shown(name)

    def _unknown(self, name: str) -> web.Response | None:
        clusters = self._configuration().clusters
        if name in clusters:
            return None
        return error(404, f"there is no such cluster; {there_are(clusters)}")

    def _shown(self, name: str) -> web.Response:
        endpoints = self._configuration().clusters[name].endpoints
        shown = [
            listed | ({"name": endpoint.address.resolved_from} if endpoint.address.resolved_from else {})
            for listed, endpoint in zip(to_json(endpoints), endpoints, strict=True)
        ]
        source = "admin" if name in self._members.replaced else "configuration"
        return answer(200, {"cluster": name, "source": source, "endpoints": shown})
