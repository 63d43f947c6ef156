"""Why a request belongs to its route, or to none: the router itself is asked about one route, or one host, at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from lbjwt._error_reason import ErrorReason
from lbjwt.routing._path import both_readings
from lbjwt.routing._router import Router
from lbjwt.routing.table import RouteMatch

if TYPE_CHECKING:
    from lbjwt.config.route import Route as RouteConfiguration
    from lbjwt.explain.scene import Asked, Scene
    from lbjwt.proxy._route import Route

_MOST: Final = 5  # routes that are named beside the one


def route_seen(scene: Scene, route: Route) -> dict[str, Any]:
    """The route as the document shows it; `over` are less specific ones that are for the request as well."""
    why, over = "there are no routes: every request needs a token", list[str]()
    if scene.configuration.routes:
        configured = scene.configuration.routes[route.index]
        why = _why(configured, scene.asked)
        others = [one for one in scene.configuration.routes if one is not configured]
        over = [one.name for one in others if _is_for(scene.asked, one, one.hosts, one.methods)]
    return {
        "name": route.name or None,
        "why": why,
        "over": over[:_MOST],
        "public": not route.demands,
        "report_only": route.report_only,
        "allow_missing": route.allow_missing,
    }


def why_none(scene: Scene, error: ErrorReason) -> str:
    """Why no route is for the request: what is wrong with its path, or the routes that it misses by its method or host alone."""
    asked, found = scene.asked, ["none"]
    if error == ErrorReason.NO_ROUTE:
        for route in scene.configuration.routes:
            if _is_for(asked, route, route.hosts, ()):
                found.append(f"{route.name} is for {', '.join(route.methods)} there")
            elif _is_for(asked, route, (), route.methods):
                found.append(f"{route.name} is for the host {', '.join(route.hosts)}")
        return "; ".join(found[: _MOST + 1])
    try:
        both_readings(asked.path.partition("?")[0].encode("utf-8", "surrogateescape"))
    except ValueError as problem:
        return f"none: the path is refused ({problem})"
    return "none: some backend reads this path as that of a more specific route, or the host has an empty label"


def _why(route: RouteConfiguration, asked: Asked) -> str:
    host, path, method = "any host", f"the path is {route.path}", "any method"
    if route.hosts:
        pattern = next(one for one in route.hosts if _is_for(asked, route, (one,), route.methods))
        host = f"the host is {'below ' if pattern.startswith('*.') else ''}{pattern.removeprefix('*.')}"
    if route.path is None:
        path = "any path" if route.prefix is None else f"the path begins with {route.prefix}"
    if route.methods:
        named = f"{asked.method} is among {', '.join(route.methods)}"
        method = named if asked.method in route.methods else "HEAD follows GET"
    return f"{host}; {path}; {method}"


def _is_for(asked: Asked, route: RouteConfiguration, hosts: tuple[str, ...], methods: tuple[str, ...]) -> bool:
    words = [text.encode("utf-8", "surrogateescape") for text in (asked.method, asked.host, asked.path)]
    return Router([RouteMatch(hosts, route.path, route.prefix, methods)]).find(words[0], words[1], words[2])[0] == 0
