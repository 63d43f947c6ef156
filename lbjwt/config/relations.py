"""
What sections must not say together: issuers that could be one, routes that tie, headers with two writers.

Pure rules on valid sections; each finds all its faults, placed from the top of the file, and raises nothing.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from lbjwt.config.claim_header import ClaimHeader
from lbjwt.config.fields import fold_header_name
from lbjwt.config.issuer import Issuer
from lbjwt.config.route import Resource, Route
from lbjwt.config.section import Fault
from lbjwt.config.tenants import may_be_one
from lbjwt.config.url import TENANT, check_identifier

__all__ = ["MAX_INSTANCES", "MAX_ISSUERS", "claim_header_faults", "issuer_faults", "route_faults"]

WELL_KNOWN: Final = "/.well-known/oauth-protected-resource"
"""Where the metadata of a resource stands, before the path of the resource."""
MAX_ISSUERS: Final = 100
MAX_INSTANCES: Final = 1000
"""Issuers and tenants with keys of their own, together: each has its counters in shared memory and its fetches."""


def issuer_faults(issuers: Mapping[str, Issuer]) -> Iterator[Fault]:
    """A token must say whose it is, and counters must have room."""
    if not issuers:
        yield Fault(("issuers",), "needs one issuer, under a label of your choice")
    if len(issuers) > MAX_ISSUERS:
        yield Fault(("issuers",), f"at most {MAX_ISSUERS} issuers, and here are {len(issuers)}", at_key=True)
    elif (count := sum(len(issuer.instances) for issuer in issuers.values())) > MAX_INSTANCES:
        yield Fault(
            ("issuers",),
            f"at most {MAX_INSTANCES} issuers and tenants with keys of their own, and here are {count}",
            at_key=True,
        )
    seen: list[tuple[str, Issuer]] = []
    for label, issuer in issuers.items():
        if issuer.issuer is None:
            if len(issuers) > 1:
                yield Fault(
                    ("issuers", label, "any_issuer"),
                    "no other issuer could ever be meant; name this one, or keep it alone",
                )
            continue
        for other, before in seen:
            if before.issuer is not None and may_be_one(issuer.issuer, issuer.tenants, before.issuer, before.tenants):
                yield Fault(
                    ("issuers", label, "issuer"), f"{other} has this issuer, too: a token would not say whose it is"
                )
        seen.append((label, issuer))


def route_faults(routes: Sequence[Route], issuers: Mapping[str, Issuer] | None) -> Iterator[Fault]:
    """Names, ties, what a route requires, and what it tells of itself. ``issuers`` is None when they have problems of their own."""
    names: set[str] = set()
    for at, route in enumerate(routes):
        if route.name in names:
            yield Fault(("routes", at, "name"), f"two routes are called {route.name}")
        names.add(route.name)
        if issuers is not None:
            yield from _requirement(at, route, issuers)
    yield from _ties(routes)
    if issuers is not None:
        yield from _resources(routes, issuers)


def _requirement(at: int, route: Route, issuers: Mapping[str, Issuer]) -> Iterator[Fault]:
    if route.require is None:
        return
    taken: dict[tuple[str, str], str] = {}
    for place, label in route.require.places:
        here = ("routes", at, "require", *place)
        if label not in issuers:
            yield Fault(here, f"there is no issuer {label}")
            continue
        if route.require.all_of is None:
            continue
        shared = sorted(issuers[label].places & taken.keys())
        if shared:
            kind, name = shared[0]
            where = f"{kind} {name}".strip()
            yield Fault(
                here,
                f"tokens of {taken[shared[0]]} and of {label} are both looked for in the {where}, which holds one; see from_headers",
            )
        taken |= dict.fromkeys(issuers[label].places, label)


def _ties(routes: Sequence[Route]) -> Iterator[Fault]:
    """Two routes of one host, one path and one method: neither is more specific."""
    seen: dict[tuple[str, str, bool, bool], list[Route]] = {}
    for at, route in enumerate(routes):
        told: set[str] = set()
        for host in route.hosts or ("",):
            path, exact = route.place
            twins = seen.setdefault((host, path, exact, bool(route.methods)), [])
            for twin in twins:
                both = not route.methods or any(
                    twin.covers(method) and route.covers(method) for method in ("HEAD", *route.methods)
                )
                if both and twin.name not in told:
                    told.add(twin.name)
                    yield Fault(
                        ("routes", at),
                        f"{route.name} and {twin.name} are for the same requests: nothing tells which one wins",
                        at_key=True,
                    )
            twins.append(route)


def _resources(routes: Sequence[Route], issuers: Mapping[str, Issuer]) -> Iterator[Fault]:
    """One document stands at one path, whatever the host (RFC 9728 §3.1), and nothing else does."""
    documents: dict[str, tuple[str, object]] = {}
    for at, route in enumerate(routes):
        resource = route.resource
        if resource is None:
            continue
        labels = route.require.labels if route.require is not None else tuple(issuers)
        required = [issuers[label] for label in labels if label in issuers]
        here = ("routes", at, "resource")
        if not resource.authorization_servers and not all(map(_is_server, required)):
            sentence = "give authorization_servers: the issuer's name is not a URL that tells where to get a token"
            yield Fault(here, sentence, at_key=True)
        document = _document(route, resource, labels, required)
        name, other = documents.setdefault(_well_known(resource), (route.name, document))
        if other != document:
            sentence = f"{name} has another document at the same path of {WELL_KNOWN}; give both the same words"
            yield Fault((*here, "identifier"), sentence)
    for at, route in enumerate(routes):
        if route.path in documents and route.covers("HEAD"):
            yield Fault(
                ("routes", at, "path"), f"is answered by lbjwt itself, with the metadata of {documents[route.path][0]}"
            )


def _document(
    route: Route, resource: Resource, labels: Sequence[str], required: Sequence[Issuer]
) -> tuple[object, ...]:
    """All that the metadata of a route is made of."""
    own = (*route.scopes.all, *route.scopes.any, *(scope for issuer in required for scope in issuer.required_scopes))
    return (
        resource.identifier,
        resource.authorization_servers or tuple(labels),
        resource.scopes_supported or tuple(dict.fromkeys(own)),
        resource.name,
        resource.documentation,
        frozenset[str]().union(*(issuer.bearer_methods for issuer in required)),
    )


def _well_known(resource: Resource) -> str:
    path = resource.identifier.split("://", 1)[1].partition("/")[2]
    return f"{WELL_KNOWN}/{path}" if path else WELL_KNOWN


def _is_server(issuer: Issuer) -> bool:
    if issuer.issuer is None or (TENANT in issuer.issuer and issuer.instances == ("",)):
        return False
    try:
        check_identifier(issuer.issuer.replace(TENANT, "tenant"))
    except ValueError:
        return False
    return True


def claim_header_faults(
    pairs: Sequence[ClaimHeader], issuers: Mapping[str, Issuer] | None, routes: Sequence[Route] | None
) -> Iterator[Fault]:
    """A header has one writer, and it is not the client."""
    fields = {fold_header_name(field.name) for issuer in (issuers or {}).values() for field in issuer.headers}
    together = [
        set(route.require.all_of)
        for route in routes or ()
        if route.require is not None and route.require.all_of is not None
    ]
    seen: dict[str, list[ClaimHeader]] = {}
    for at, pair in enumerate(pairs):
        folded = fold_header_name(pair.header)
        if folded in fields:
            yield Fault(
                ("claim_to_headers", at, "header"), f"clients send a token in {pair.header}; choose another name"
            )
        if pair.issuer is None and together:
            yield Fault(
                ("claim_to_headers", at),
                "a route requires all_of several issuers: say from which issuer's token this comes",
                at_key=True,
            )
        elif pair.issuer is not None and issuers is not None and pair.issuer not in issuers:
            yield Fault(("claim_to_headers", at, "issuer"), f"there is no issuer {pair.issuer}")
        for other in seen.setdefault(folded, []):
            # Two names that fold to one would be one header to some backends (CVE-2025-64484).
            one_token = None in (pair.issuer, other.issuer) or pair.issuer == other.issuer
            if one_token or any({pair.issuer, other.issuer} <= labels for labels in together):
                yield Fault(
                    ("claim_to_headers", at, "header"),
                    f"{pair.header} and {other.header} are one header name to a backend",
                )
                break
        seen[folded].append(pair)
