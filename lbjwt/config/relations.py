"""
Rules between valid sections: overlapping issuers, routes that tie, headers and addresses that are used twice.

Each yields all its faults, with places from the top of the file.
"""

import difflib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import PurePath
from typing import Any, Final

from lbjwt import errors
from lbjwt.address import loop_fault
from lbjwt.auth.identity import fold_header_name
from lbjwt.auth.issuer_pattern import may_be_one
from lbjwt.auth.policy import MAX_TOKEN, are_disjoint
from lbjwt.auth.resource import WELL_KNOWN, metadata_path
from lbjwt.config.claim_header import ClaimHeader
from lbjwt.config.cluster_choice import ClusterChoice
from lbjwt.config.issuer import Issuer
from lbjwt.config.route import Route
from lbjwt.config.section import Fault, leaves
from lbjwt.routing.table import entries_of, ties
from lbjwt.url import check_identifier

MAX_ISSUERS: Final = 100
MAX_CLUSTERS: Final = 100
MAX_GROUPS: Final = 32  # of token locations per request; issuers with the same locations share a group
MAX_INSTANCES: Final = 1000  # issuers and tenants with keys of their own; each has counters and fetches


def issuer_faults(issuers: Mapping[str, Issuer]) -> Iterator[Fault]:
    if not issuers:
        yield Fault(("issuers",), "needs an issuer with a label that you choose")
    if len(issuers) > MAX_ISSUERS:
        yield Fault(
            ("issuers",), f"at most {MAX_ISSUERS} issuers are supported, but there are {len(issuers)}", at_key=True
        )
    elif (count := sum(len(issuer.instances) for issuer in issuers.values())) > MAX_INSTANCES:
        yield Fault(
            ("issuers",),
            f"at most {MAX_INSTANCES} issuers and tenants with keys of their own are supported, but there are {count}",
            at_key=True,
        )
    seen: list[tuple[str, Issuer]] = []
    for label, issuer in issuers.items():
        try:
            issuer.policy(max_token=MAX_TOKEN, max_token_header=None)
        except errors.ConfigurationError as error:
            yield Fault(("issuers", label, *error.place), str(error), at_key=not error.place)
        if issuer.name is None:
            if len(issuers) > 1:
                yield Fault(
                    ("issuers", label, "any_issuer"),
                    "any_issuer works with a single issuer only; name this issuer, or remove the others",
                )
            continue
        for other, before in seen:
            if not _can_be_told_apart(issuer, before):
                yield Fault(
                    ("issuers", label, "issuer"),
                    f"{other} has the same issuer, so lbjwt could not tell whose a token is; remove one, or give them different audiences",
                )
        seen.append((label, issuer))


def _can_be_told_apart(one: Issuer, other: Issuer) -> bool:
    """By the `iss` of a token, or by its `aud` where both have one and the same exact name."""
    assert one.name is not None and other.name is not None
    if not may_be_one(one.name, other.name):
        return True
    return (
        one.name == other.name
        and isinstance(one.name, str)
        and are_disjoint(one.audiences or None, other.audiences or None)
    )


def route_faults(routes: Sequence[Route], issuers: Mapping[str, Issuer] | None) -> Iterator[Fault]:
    """Faults of names, ties, `require` and `resource`. ``issuers`` is None when they have problems of their own."""
    names: set[str] = set()
    for at, route in enumerate(routes):
        if route.name in names:
            yield Fault(("routes", at, "name"), f"two routes have the name {route.name}; rename one")
        names.add(route.name)
        if issuers is not None:
            yield from _requirement(at, route, issuers)
            yield from _groups(("routes", at), route.required(issuers))
    yield from _ties(routes)
    if issuers is not None:
        yield from _resources(routes, issuers)
        if not routes:
            yield from _groups(("issuers",), list(issuers.values()))


def cluster_faults(routes: Sequence[Route], clusters: Iterable[str] | None) -> Iterator[Fault]:
    """Every request must have one cluster. ``clusters`` are their labels; None when they have problems of their own."""
    labels = list(clusters or ())
    if len(labels) > 1 and not routes:
        sentence = "there are several clusters, but no routes that choose among them; add routes, each with its cluster"
        yield Fault(("routes",), sentence)
    for at, route in enumerate(routes):
        if route.cluster is None and len(labels) > 1:
            yield Fault(("routes", at), f"there are several clusters: add the cluster of {route.name}", at_key=True)
        elif isinstance(route.cluster, ClusterChoice) and clusters is not None:
            for place, label in route.cluster.places:
                if label not in labels:
                    sentence = f"there is no cluster {label}{_meant(label, labels)}"
                    yield Fault(("routes", at, "cluster", *place), sentence, at_key=place[0] == "split")
        elif isinstance(route.cluster, str) and clusters is not None and route.cluster not in labels:
            yield Fault(
                ("routes", at, "cluster"), f"there is no cluster {route.cluster}{_meant(route.cluster, labels)}"
            )


def _meant(label: str, labels: Iterable[str]) -> str:
    likely = difflib.get_close_matches(label, labels, 1, 0.6)
    return f"; did you mean {likely[0]}?" if likely else ""


def _groups(place: tuple[str | int, ...], required: Sequence[Issuer]) -> Iterator[Fault]:
    groups = {issuer.token_locations(None) for issuer in required}
    if len(groups) > MAX_GROUPS:
        yield Fault(
            place,
            f"the issuers have more than {MAX_GROUPS} different groups of token locations; give several issuers the same locations",
            at_key=True,
        )


def _requirement(at: int, route: Route, issuers: Mapping[str, Issuer]) -> Iterator[Fault]:
    if route.require is None:
        return
    taken: dict[tuple[str, str], str] = {}
    for place, label in route.require.places:
        here = ("routes", at, "require", *place)
        if label not in issuers:
            yield Fault(here, f"there is no issuer with the label {label}")
            continue
        if route.require.all_of is None:
            continue
        shared = sorted(issuers[label].places & taken.keys())
        if shared:
            kind, name = shared[0]
            where = f"{kind} {name}".strip()
            yield Fault(
                here,
                f"tokens of {taken[shared[0]]} and of {label} are both expected in the {where}, which can hold only one; see from_headers",
            )
        taken |= dict.fromkeys(issuers[label].places, label)


def _ties(routes: Sequence[Route]) -> Iterator[Fault]:
    for one, other in sorted(set(ties(entries_of([route.match for route in routes])))):
        yield Fault(
            ("routes", other),
            f"{routes[other].name} and {routes[one].name} match the same requests; change the hosts, the path or the methods of one",
            at_key=True,
        )


def _resources(routes: Sequence[Route], issuers: Mapping[str, Issuer]) -> Iterator[Fault]:
    """A path has at most one document, whatever the host (RFC 9728 §3.1), and no route."""
    documents: dict[str, tuple[str, bytes]] = {}
    for at, route in enumerate(routes):
        resource = route.resource
        if resource is None:
            continue
        here = ("routes", at, "resource")
        if not resource.authorization_servers and not all(map(_is_server, route.required(issuers))):
            sentence = "give authorization_servers: the issuer's name is not a URL where clients can get a token"
            yield Fault(here, sentence, at_key=True)
        document = route.metadata(issuers)
        name, other = documents.setdefault(metadata_path(resource.identifier), (route.name, document))
        if other != document:
            sentence = f"{name} has a different document at the same path of {WELL_KNOWN}; make both documents equal"
            yield Fault((*here, "identifier"), sentence)
    for at, route in enumerate(routes):
        if route.path in documents and route.covers("HEAD"):
            yield Fault(
                ("routes", at, "path"),
                f"lbjwt itself answers this path with the metadata of {documents[route.path][0]}; choose another path",
            )


def _is_server(issuer: Issuer) -> bool:
    try:
        return bool([check_identifier(name) for name in issuer.names])
    except ValueError:
        return False


def claim_header_faults(
    pairs: Sequence[ClaimHeader], issuers: Mapping[str, Issuer] | None, routes: Sequence[Route] | None
) -> Iterator[Fault]:
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
            yield Fault(("claim_to_headers", at, "header"), f"{pair.header} is a token location; choose another name")
        if pair.issuer is None and together:
            yield Fault(
                ("claim_to_headers", at),
                "a route requires all_of several issuers; set the issuer whose token has this claim",
                at_key=True,
            )
        elif pair.issuer is not None and issuers is not None and pair.issuer not in issuers:
            yield Fault(("claim_to_headers", at, "issuer"), f"there is no issuer with the label {pair.issuer}")
        for other in seen.setdefault(folded, []):
            # Two names that fold to one would be one header to some backends (CVE-2025-64484).
            one_token = None in (pair.issuer, other.issuer) or pair.issuer == other.issuer
            if one_token or any({pair.issuer, other.issuer} <= labels for labels in together):
                yield Fault(
                    ("claim_to_headers", at, "header"),
                    f"{pair.header} and {other.header} can be the same header name for a backend; rename one",
                )
                break
        seen[folded].append(pair)


def address_faults(sections: Mapping[str, Any]) -> Iterator[Fault]:
    """Addresses that two parts use. ``sections`` are those of the whole file."""
    listening = [listener.address for listener in sections["listeners"]]
    for label, cluster in sections["clusters"].items():
        for at, endpoint in enumerate(cluster.endpoints):
            if sentence := loop_fault(endpoint.address, listening):
                yield Fault(("clusters", label, "endpoints", at, "address"), sentence, code="proxy-loop")
    admin = sections["admin"]
    if admin is not None and admin.address.port and admin.address in listening:
        yield Fault(
            ("admin", "address"),
            f"{admin.address} is already the address of a listener; choose another one",
            code="address-twice",
        )


def log_faults(sections: Mapping[str, Any]) -> Iterator[Fault]:
    """The access log must not be a file that lbjwt reads."""
    read = leaves({key: value for key, value in sections.items() if key != "state_directory"})
    log = sections["access_log"]
    if log is not None and log.path in {str(value) for _, value in read if isinstance(value, PurePath)}:
        sentence = "is also the name of a file that lbjwt reads, and the log would overwrite it; choose another file"
        yield Fault(("access_log", "path"), sentence, code="log-over-file")
