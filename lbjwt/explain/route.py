"""Why a request belongs to its route, or to none: each word is an answer of the router itself, asked about one route or one host at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from lbjwt.explain.model import RouteSeen, Step
from lbjwt.routing._path import canonical_path
from lbjwt.routing._router import Found, Router
from lbjwt.routing.table import RouteMatch

if TYPE_CHECKING:
    from lbjwt.config.route import Route as RouteConfiguration
    from lbjwt.explain.scene import Asked, Scene

__all__ = ["route_seen", "route_step"]

_MOST: Final = 5  # routes that are named beside the one


def route_seen(scene: Scene) -> RouteSeen | None:
    """The route of the request; None when there is none."""
    route, configured, asked = scene.route, scene.configured, scene.asked
    if route is None:
        return None
    why = "there are no routes: every request needs a token"
    over: tuple[str, ...] = ()
    if configured is not None:
        why = "; ".join([_host(configured, asked), _path(configured), _methods(configured, asked)])
        others = [one for one in scene.configuration.routes if one is not configured]
        over = tuple(one.name for one in others if _is_for(_match(one), asked))
    return RouteSeen(
        route.name,
        why,
        over[:_MOST],
        public=not route.demands,
        report_only=route.report_only,
        allow_missing=route.allow_missing,
    )


def route_step(scene: Scene, seen: RouteSeen | None) -> Step:
    """How the search went."""
    asked = scene.asked
    what = f"a route for {asked.method} {asked.host}{asked.path.partition('?')[0]}"
    if seen is not None:
        return Step("route", what, "met", f"{seen.name}: {seen.why}" if seen.name else seen.why)
    if scene.index <= Found.OWN:
        return Step("route", what, "note", "a document of lbjwt's own, for everybody (RFC 9728)")
    if scene.index == Found.BAD_TARGET:
        return Step("route", what, "note", f"none: {_bad_target(asked)}")
    return Step("route", what, "note", "; ".join(["none", *_near(scene)]))


def _host(route: RouteConfiguration, asked: Asked) -> str:
    if not route.hosts:
        return "any host"
    pattern = next((host for host in route.hosts if _is_for(_match(route, hosts=(host,)), asked)), route.hosts[0])
    return f"the host is {'below ' if pattern.startswith('*.') else ''}{pattern.removeprefix('*.')}"


def _path(route: RouteConfiguration) -> str:
    if route.path is not None:
        return f"the path is {route.path}"
    return "any path" if route.prefix is None else f"the path begins with {route.prefix}"


def _methods(route: RouteConfiguration, asked: Asked) -> str:
    if not route.methods:
        return "any method"
    return (
        f"{asked.method} is among {', '.join(route.methods)}" if asked.method in route.methods else "HEAD follows GET"
    )


def _near(scene: Scene) -> list[str]:
    """Routes that the request misses by its method or host alone."""
    asked, found = scene.asked, []
    for route in scene.configuration.routes:
        if _is_for(_match(route, methods=()), asked):
            found.append(f"{route.name} is for {', '.join(route.methods)} there")
        elif _is_for(_match(route, hosts=()), asked):
            found.append(f"{route.name} is for the host {', '.join(route.hosts)}")
    return found[:_MOST]


def _bad_target(asked: Asked) -> str:
    try:
        canonical_path(asked.path.partition("?")[0].encode("utf-8", "surrogateescape"))
    except ValueError as error:
        return f"the path is refused ({error})"
    return "some backend reads this path as that of a more specific route, or the host has an empty label"


def _match(
    route: RouteConfiguration, *, hosts: tuple[str, ...] | None = None, methods: tuple[str, ...] | None = None
) -> RouteMatch:
    return RouteMatch(
        route.hosts if hosts is None else hosts, route.path, route.prefix, route.methods if methods is None else methods
    )


def _is_for(match: RouteMatch, asked: Asked) -> bool:
    words = [text.encode("utf-8", "surrogateescape") for text in (asked.method, asked.host, asked.path)]
    return Router([match]).find(words[0], words[1], words[2])[0] == 0
