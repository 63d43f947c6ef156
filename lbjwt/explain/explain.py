"""
What would happen to one request, and why: the admission that serves decides about it and records a trace, which is put into words here.

The result is the JSON document of `lbjwt explain --json`. Its names are stable; what was not reached is null or empty. It never contains a token, a
signature or a key.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterable
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from lbjwt._error_reason import ErrorReason, error_status
from lbjwt._fastverify import DenyReason
from lbjwt.assembly.authorizers import new_allowing
from lbjwt.explain.scene import places_of
from lbjwt.explain.words import TokenReading, cluster_words, path_words
from lbjwt.http1._answer import Answer
from lbjwt.http1._request import Parse, RequestHead, RequestPolicy
from lbjwt.proxy._health import Health
from lbjwt.routing._path import both_readings
from lbjwt.routing._router import Router
from lbjwt.routing.table import RouteMatch

if TYPE_CHECKING:
    from lbjwt.config.route import Route as RouteConfiguration
    from lbjwt.explain.scene import Asked, Scene
    from lbjwt.proxy._route import Demand, Route

_PROBE = RequestPolicy(max_head=1 << 20, max_request_line=1 << 18, max_fields=1000, header_names="allow")
"""Reads the head that we write for the backend."""
_MOST: Final = 5  # other routes that are named


def explain(scene: Scene) -> dict[str, Any]:
    """Return the document."""
    asked, (head, complete) = scene.asked, scene.parsed()
    path = asked.path.partition("?")[0]  # the query may hold a token
    story: dict[str, Any] = {
        "verdict": "refused",
        "reason": None,
        "would_refuse": None,
        "problem": None,
        "at": scene.now,
        "request": {"method": asked.method, "host": asked.host, "path": path},
        "asked_by": scene.asked_by,
        "route": None,
        "cluster": None,
        "tokens": [],
        "steps": [],
        "backend": None,
        "answer": None,
        "notes": [],
    }
    if not complete:
        problem = head.problem.name.lower() if head.problem else "incomplete"
        story["problem"] = problem
        story["steps"] = [
            _step("request", "the request must have a single possible reading", "note", f"refused: {problem}")
        ]
        story["answer"] = {"status": error_status(head.problem) or 400, "fields": []}
        return story
    for at, listener in enumerate(scene.configuration.listeners):
        answer = Health(listener.health.path).answer_to(head) if listener.health is not None else None
        if answer is not None and at == 0:
            found = "a health check: listeners[0] answers it itself, with 503 while lbjwt is not ready"
            story["verdict"] = "allowed" if answer.status == HTTPStatus.OK else "refused"
            story["steps"] = [_step("request", "the request is for a backend", "note", found)]
            story["answer"] = _answer(answer, [])
            return story
        if answer is not None:
            story["notes"].append(f"on listeners[{at}], this is a health check that lbjwt answers itself")
    trace: list[tuple[str, int, Any]] = []
    route, reason, reported, _, identity = scene.admission.decide(head, scene.now, trace=trace)
    _, _, (error, document) = trace.pop()
    _tell_route(scene, story, route, error, document)
    if route is None:
        return story
    tokens = _tell_trace(scene, story, route, trace)
    story["reason"], story["would_refuse"] = _name(reason), _name(reported)
    if DenyReason.KEYS_UNAVAILABLE in (reason, reported):
        story["verdict"] = "unknown"
    elif reason == DenyReason.NONE:
        story["verdict"] = "allowed"
    if scene.profile is not None:
        story["answer"] = _told_the_proxy(scene, head, route, reason, identity, tokens)
    elif reason == DenyReason.NONE:
        if route.choice is None and scene.configuration.clusters:
            story["cluster"] = _only_cluster(scene, route)
        story["backend"] = _backend(scene, head, identity)
    else:
        story["answer"] = _answer(route.refusal(reason, head, scene.https), tokens)
    story["notes"] += _notes(scene, story, scene.issuers_in(trace))
    return story


def _told_the_proxy(
    scene: Scene, head: RequestHead, route: Route, reason: DenyReason, identity: bytes, tokens: Iterable[bytes]
) -> dict[str, Any]:
    """What the proxy is told that asks the first listener."""
    assert scene.profile is not None
    if reason == DenyReason.NONE:
        answer: Answer = new_allowing(scene.configuration)(identity)
    else:
        answer = scene.profile.adapted(route.http_refusal(reason, head, scene.https, scene.profile.redirects))
    return _answer(answer, tokens)


def _tell_route(
    scene: Scene, story: dict[str, Any], route: Route | None, error: ErrorReason, document: Answer | None
) -> None:
    request = story["request"]
    asked = f"a route for {request['method']} {request['host']}{request['path']}"
    if route is not None:
        seen = story["route"] = _route_seen(scene, route)
        found = f"{seen['name']}: {seen['why']}" if seen["name"] else seen["why"]
        story["steps"].append(_step("route", asked, "met", found))
    elif document is not None:
        story["verdict"], story["answer"] = "allowed", _answer(document, [])
        story["steps"].append(
            _step("route", asked, "note", "lbjwt itself answers with public resource metadata (RFC 9728)")
        )
    else:
        status = error_status(error)
        if scene.profile is not None:
            status = scene.profile.adapted(Answer(status, b"", b"")).status
        story["answer"] = {"status": status, "fields": []}
        story["steps"].append(_step("route", asked, "note", _why_none(scene, error)))


def _route_seen(scene: Scene, route: Route) -> dict[str, Any]:
    """The route as the document shows it; `over` are less specific routes that match too."""
    why, over = "there are no routes: every request needs a token", list[str]()
    if scene.configuration.routes:
        configured = next(one for one in scene.configuration.routes if one.name == route.name)
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


def _why_none(scene: Scene, error: ErrorReason) -> str:
    """Why no route matches: a fault of the path, or the routes that match but for method or host."""
    asked, found = scene.asked, ["none"]
    if error == ErrorReason.NO_ROUTE:
        for route in scene.configuration.routes:
            if _is_for(asked, route, route.hosts, ()):
                found.append(f"{route.name} matches this path with {', '.join(route.methods)}")
            elif _is_for(asked, route, (), route.methods):
                found.append(f"{route.name} matches this path for the host {', '.join(route.hosts)}")
        return "; ".join(found[: _MOST + 1])
    try:
        both_readings(asked.path.partition("?")[0].encode("utf-8", "surrogateescape"))
    except ValueError as problem:
        return f"none: lbjwt refuses the path ({problem})"
    sent = "; the proxy that asks would forward it as it is" if scene.profile is not None else ""
    return f"none: some backends would read this path as one of another route, or the host has an empty label{sent}"


def _why(route: RouteConfiguration, asked: Asked) -> str:
    host, path, method = "any host", f"the path is {route.path}", "any method"
    if route.hosts:
        pattern = next(one for one in route.hosts if _is_for(asked, route, (one,), route.methods))
        host = f"the host is {'below ' if pattern.startswith('*.') else ''}{pattern.removeprefix('*.')}"
    if route.path is None:
        path = "any path" if route.prefix is None else f"the path begins with {route.prefix}"
    if route.methods:
        named = f"{asked.method} is among {', '.join(route.methods)}"
        method = named if asked.method in route.methods else "GET also matches HEAD"
    return f"{host}; {path}; {method}"


def _is_for(asked: Asked, route: RouteConfiguration, hosts: tuple[str, ...], methods: tuple[str, ...]) -> bool:
    words = [text.encode("utf-8", "surrogateescape") for text in (asked.method, asked.host, asked.path)]
    return Router([RouteMatch(hosts, route.path, route.prefix, methods)]).find(words[0], words[1], words[2])[0] == 0


def _tell_trace(
    scene: Scene, story: dict[str, Any], route: Route, trace: Iterable[tuple[str, int, Any]]
) -> list[bytes]:
    """Add every step and token to the document, and mark the steps after the one that decided. Returns the tokens."""
    steps, tokens, demands = story["steps"], list[bytes](), iter(route.demands)
    reading: TokenReading | None = None
    if not route.demands:
        steps.append(_step("place", "no token", "note", "the route is public, so lbjwt looks for no token"))
    decided = False
    for name, reason, value in trace:
        if name == "cluster":
            story["cluster"] = value
            asked, found = cluster_words(scene, route.name, value, reading)
            step = _step("cluster", asked, "refused" if reason else "met", found, DenyReason(reason))
        elif name == "path":
            asked, found = path_words(scene, route.name, value, reading)
            step = _step("path", asked, "refused" if reason else "met", found, DenyReason(reason))
        elif name == "place":
            demand = next(demands)
            step, places = _place_step(scene, route, demand, DenyReason(reason))
            if value is not None:
                tokens.append(value)
                reading = TokenReading(scene, demand, value, places)
                story["tokens"].append(reading.seen)
        else:
            assert reading is not None
            words = reading.words(name, reason, value)
            if words is None:
                continue
            step = _step(name.partition(".")[0], words[0], "refused" if reason else "met", words[1], DenyReason(reason))
            if name == "rules.claims" and reason:
                step["outcome"] = "reported" if value[0].report_only else "unknown" if value[1] < 0 else "refused"
        step["later"] = decided
        if step["reason"] and step["outcome"] != "reported":
            decided = True
            step["outcome"] = "reported" if route.report_only else step["outcome"]
        steps.append(step)
    return tokens


def _only_cluster(scene: Scene, route: Route) -> str:
    """The cluster of a route without a choice."""
    named = next((one.clusters for one in scene.configuration.routes if one.name == route.name), ())
    return named[0] if named else scene.configuration.only_cluster


def _place_step(scene: Scene, route: Route, demand: Demand, reason: DenyReason) -> tuple[dict[str, Any], list[str]]:
    head, _ = scene.parsed()
    looked = {str(place): place.look(head) for place in places_of(one.issuer for one in scene.issuers_of(demand))}
    asked = f"a token in {' or '.join(looked)}"
    there = [place for place, found in looked.items() if found != DenyReason.MISSING]
    spoilt = [place for place in there if looked[place] != DenyReason.NONE]
    where = " and ".join(spoilt or there) or "several locations"
    match reason:
        case DenyReason.NONE:
            return _step("place", asked, "met", "found" if len(looked) == 1 else f"found in {where}"), there
        case DenyReason.MISSING if route.allow_missing:
            return _step(
                "place", asked, "met", "no token found, and the route lets requests without a token pass"
            ), there
        case DenyReason.MISSING:
            found = "no token found"
        case DenyReason.MULTIPLE_TOKENS:
            found = f"more than one token in {where}" if spoilt else f"different tokens in {where}"
        case _:
            found = f"{where} does not hold a token (RFC 6750 section 2)"
    return _step("place", asked, "refused", found, reason), there


def _backend(scene: Scene, head: RequestHead, identity: bytes) -> dict[str, Any]:
    written = head.write_bytes(scene.policy, identity=identity, peer=b"192.0.2.1", request_id=b"0")
    lines = written.decode("latin-1").split("\r\n")[1:-2]
    sent, (before, _) = RequestHead(), scene.parsed()
    readable = sent.parse_bytes(written, _PROBE) == Parse.COMPLETE
    return {
        "path": head.parts()[1].decode("latin-1").partition("?")[0],
        "identity": [_field(line) for line in identity.decode("latin-1").split("\r\n") if line],
        "fields": [line.partition(":")[0] for line in lines],
        "tokens": [
            {"place": str(place), "forwarded": not readable or place.look(sent) != DenyReason.MISSING}
            for place in places_of(one.issuer for one in scene.instances)
            if place.look(before) != DenyReason.MISSING
        ],
    }


def _answer(answer: Answer, tokens: Iterable[bytes]) -> dict[str, Any]:
    text = answer.head.decode("latin-1")
    for token in tokens:  # a redirect may bring the whole target back
        for spelling in (quote(token, safe=""), token.decode("latin-1")):
            text = text.replace(spelling, "<token>")
    return {"status": answer.status, "fields": [_field(line) for line in text.split("\r\n")[1:] if line]}


def _notes(scene: Scene, story: dict[str, Any], issuers: Iterable[int]) -> Iterable[str]:
    configuration = scene.configuration
    if story["reason"] == "internal":
        yield f"a bug of lbjwt ({scene.verifier.gate.last_fault}); please report it"
    if story["would_refuse"]:
        yield "report-only: the request passes, and lbjwt counts and logs what it would have refused"
    for index, keys in scene.keys.items():
        name = scene.instances[index].name
        if keys.stored_at is not None:
            date = datetime.datetime.fromtimestamp(keys.stored_at, datetime.UTC)
            yield (
                f"{name}: {keys.problem}; using the keys stored at {date:%Y-%m-%d %H:%M:%SZ}. "
                "For other key ids, a running lbjwt fetches the keys of the issuer again"
            )
        elif keys.ring is None:
            yield f"{name}: {keys.problem}. A running lbjwt may still have keys from an earlier fetch"
        for warning in keys.ring.warnings if keys.ring is not None else ():
            yield f"{name}: {warning}"
    if configuration.revocation is not None and configuration.state_directory is None:
        yield "without state_directory, explain cannot see revocations made at run time"
    for tenants in (scene.instances[index].issuer.tenants for index in issuers):
        if tenants is not None and tenants.kind is not None:
            yield f"explain cannot see whether the running lbjwt has already seen {tenants.max_tenants} other tenants (max_tenants)"
    if configuration.fail_limit is not None:
        yield "explain cannot see whether the client's address has exceeded fail_limit"


def _step(
    stage: str, rule: str, outcome: str, detail: str = "", reason: DenyReason = DenyReason.NONE
) -> dict[str, Any]:
    return {
        "stage": stage,
        "rule": rule,
        "outcome": outcome,
        "detail": detail,
        "reason": _name(reason),
        "later": False,
    }


def _field(line: str) -> tuple[str, str]:
    name, _, value = line.partition(":")
    return name, value.strip()


def _name(reason: DenyReason) -> str | None:
    return None if reason == DenyReason.NONE else reason.name.lower()
