"""
The configuration that an import builds: plain keys and values, as `lbjwt.config` names them, and remarks for its reader.

A reader of a product adds what it found. Labels are made here, so that two things with one name get two labels and one thing that is found twice
gets one.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from lbjwt.imports.findings import Findings, Place
from lbjwt.imports.matching import (
    UNKNOWN,
    Decide,
    Decision,
    Path,
    Request,
    Route,
    by_hosts,
    compile_routes,
    resolve,
    sample_host,
)
from lbjwt.imports.path_change import PathChange

NOBODY: Final = "https://issuer.invalid"
"""The name of no issuer (RFC 6761 §6.4): tokens that claim it cannot exist."""

# An Ed25519 public key whose private key was never kept: nobody can sign for NOBODY.
_KEY_OF_NOBODY: Final = {"kty": "OKP", "crv": "Ed25519", "x": "oSQSeOrJdYEOGu-ftSO0Nd5LWanAN9TFLBxbFCgPtn4"}


@dataclass(frozen=True, slots=True)
class Noted:
    """A value with a remark that stands behind it in the printed file."""

    value: Any
    remark: str


def plain(value: Any) -> Any:
    """The value without remarks."""
    if isinstance(value, Noted):
        return plain(value.value)
    if isinstance(value, Mapping):
        return {key: plain(inner) for key, inner in value.items()}
    return [plain(inner) for inner in value] if isinstance(value, list | tuple) else value


_NEVER: Final = [{"name": "closed", "all": [{"claim": "iss", "exists": True}, {"claim": "iss", "exists": False}]}]


def closed(status: int, remark: str) -> Decision:
    """A route that refuses every request with a status (4xx); `remark` says why."""
    status = status if status in (401, 403, 404) else 403
    return {
        "rules": Noted(_NEVER, remark),
        "refusals": {"statuses": {told: status for told in (401, 403) if told != status}},
    }


def shut(decision: Decision, status: int, remark: str) -> Decision:
    """A decision closed as by `closed`. It keeps its cluster, so that the route leads there again once the rule is removed."""
    return {key: decision[key] for key in decision if key == "cluster"} | closed(status, remark)


def no_endpoints(remark: str = "write the endpoints") -> list[dict[str, Any]]:
    """Endpoints of a cluster whose real ones were not found."""
    return [{"address": Noted("127.0.0.1:9", remark)}]


def _status(decision: Decision | None) -> int:
    """The status of a closed route; 0 for any other."""
    if decision is None or plain(decision.get("rules")) != _NEVER:
        return 0
    return int(decision["refusals"]["statuses"].get(403, 403))


def _alike(wanted: Decision | None, there: Decision | None) -> bool:
    return wanted == there or (wanted is None and _status(there) == 404)


@dataclass(slots=True)
class Draft:
    """
    A configuration in the making.

    Attributes:
        listeners, issuers, clusters, claim_to_headers: The sections of these names.
        settings: All other keys of the top level.
    """

    findings: Findings
    listeners: list[dict[str, Any]] = field(default_factory=list)
    issuers: dict[str, dict[str, Any]] = field(default_factory=dict)
    clusters: dict[str, dict[str, Any]] = field(default_factory=dict)
    routes: list[dict[str, Any]] = field(default_factory=list)
    claim_to_headers: list[dict[str, Any]] = field(default_factory=list)
    settings: dict[str, Any] = field(default_factory=dict)
    _places: list[tuple[dict[str, Any], Place]] = field(default_factory=list)

    def add_issuer(self, hint: str, settings: dict[str, Any], place: Place) -> str:
        """
        Add an issuer, unless it is there, and return its label. One that has the name of another, but other keys or locations, gets a name that no
        token has.
        """
        self._places.append((settings, place))
        name = settings.get("issuer")
        if name is not None and settings not in self.issuers.values():
            for label, other in self.issuers.items():
                if other.get("issuer") == name:
                    self.findings.left_out(
                        place,
                        f"other keys or token locations of the issuer {name}: lbjwt takes those of {label}; put all keys into one JWK Set",
                    )
                    settings = {
                        **settings,
                        "issuer": Noted(f"{NOBODY}/{label_of(hint, self.issuers)}", f"{name} is {label}"),
                    }
        return _added(self.issuers, hint, settings)

    def add_cluster(self, hint: str, settings: dict[str, Any]) -> str:
        """Add a cluster, unless it is there, and return its label."""
        return _added(self.clusters, hint, settings)

    def add_claim_header(self, settings: dict[str, Any]) -> None:
        if settings not in self.claim_to_headers:
            self.claim_to_headers.append(settings)

    def set_routes(
        self,
        hosts: Iterable[str],
        paths: Iterable[Path],
        methods: Iterable[str],
        decide: Decide,
        *,
        beginnings: Mapping[str, Place] | None = None,
    ) -> None:
        """
        Make the routes from what the other program does with each request.

        Args:
            beginnings: Paths that the other program compares character by character; lbjwt compares whole segments.
        """

        def answered(request: Request) -> Decision | None:
            decision = decide(request)
            return None if decision is None or _status(decision) == 404 else decision

        hosts, methods = {*hosts}, {*methods}
        found = compile_routes(hosts, paths, methods, answered, closed(404, "404 there"))
        self.routes = _named(found)
        samples = [
            Request(host, UNKNOWN, method)
            for host in (UNKNOWN, *map(sample_host, hosts))
            for method in (UNKNOWN, *methods)
        ]
        for text, place in (beginnings or {}).items():
            continued = [replace(sample, path=text + UNKNOWN) for sample in samples]
            if not text.endswith("/") and any(not _alike(answered(one), resolve(found, one)) for one in continued):
                self.findings.approximated(
                    place, f"{text} also matches {text}x there; lbjwt compares whole segments: {text} and {text}/x"
                )

    def close_routes(self, remark: str) -> None:
        """Refuse every request until the operator has decided about something that was left out."""
        for route in self.routes:
            for key in ("public", "allow_missing", "report_only"):
                route.pop(key, None)
            rules = plain(route.get("rules", []))
            if rules[:1] != _NEVER:
                route["rules"] = Noted([*_NEVER, *rules], remark)

    def finished(self) -> dict[str, Any]:
        """The whole configuration, complete enough to be valid."""
        if not self.issuers:
            self.issuers["nobody"] = {
                "issuer": Noted(NOBODY, "no tokens are verified yet: write the issuer of yours"),
                "audiences": ["nothing"],
                "jwks": {"keys": [_KEY_OF_NOBODY]},
            }
        if not self.clusters:
            self.clusters["none"] = {"endpoints": no_endpoints("no backend was found")}
        self._name_issuers()
        first = next(iter(self.clusters))
        for route in self.routes:
            self._drop_defaults(route)
            if len(self.clusters) > 1:
                route.setdefault("cluster", first)
            else:
                route.pop("cluster", None)
        parts: dict[str, Any] = {
            "listeners": self.listeners or [{"address": Noted("127.0.0.1:8080", "no address was found")}],
            "issuers": self.issuers,
            "clusters": self.clusters,
            "routes": [_in_order(route) for route in self.routes],
            "claim_to_headers": self.claim_to_headers,
            **self.settings,
        }
        return {key: value for key, value in parts.items() if value not in ([], {})}

    def _drop_defaults(self, route: dict[str, Any]) -> None:
        """By default, a route accepts the tokens of every issuer."""
        require = route.get("require", {})
        if {*require.get("any_of", []), require.get("issuer")} - {None} == {*self.issuers}:
            del route["require"]

    def _name_issuers(self) -> None:
        """Of several issuers each needs a name, or lbjwt cannot tell whose a token is."""
        if len(self.issuers) == 1:
            return
        for label, issuer in self.issuers.items():
            if "any_issuer" in issuer:
                place = next(at for settings, at in self._places if settings is issuer)
                self.findings.left_out(
                    place,
                    f"whose tokens {label} verifies: of several issuers, lbjwt must know each; write issuer for {NOBODY}/{label}",
                )
                del issuer["any_issuer"]
                remark = "write the iss claim of these tokens here; until then, lbjwt refuses them"
                rest = dict(issuer)
                issuer.clear()
                issuer |= {"issuer": Noted(f"{NOBODY}/{label}", remark), **rest}


def label_of(hint: str, taken: Iterable[str]) -> str:
    """A label like the hint that is not taken."""
    base = re.sub(r"[^A-Za-z0-9]+", "-", hint).strip("-")[:50] or "main"
    label, number, used = base, 1, {*taken}
    while label in used:
        number += 1
        label = f"{base}-{number}"
    return label


def _added(section: dict[str, dict[str, Any]], hint: str, settings: dict[str, Any]) -> str:
    for label, other in section.items():
        if other == settings:
            return label
    label = label_of(hint, section)
    section[label] = settings
    return label


_ORDER: Final = (
    "name", "hosts", "path", "prefix", "methods", "rewrite", "cluster", "timeout", "retry", "public", "require", "allow_missing",
)  # fmt: skip


def _in_order(route: dict[str, Any]) -> dict[str, Any]:
    return {key: route[key] for key in _ORDER if key in route} | route


def _named(found: list[Route]) -> list[dict[str, Any]]:
    taken: list[str] = []
    routes: list[dict[str, Any]] = []
    for route, hosts in by_hosts(sorted(found, key=lambda one: one.rank, reverse=True)):
        words = route.path.text.strip("/") or ("root" if route.path.exact else "all")
        if route.path.exact and any(other.path.text == route.path.text and not other.path.exact for other in found):
            words += "-itself"
        host = hosts[0].replace("*.", "any-") if hosts else ""
        name = label_of("-".join([*([host] if host else []), words, *route.methods[:2]]), taken)
        taken.append(name)
        entry: dict[str, Any] = {"name": name}
        if hosts:
            entry["hosts"] = hosts
        if route.path.exact:
            entry["path"] = route.path.text
        elif route.path.text.rstrip("/"):
            entry["prefix"] = route.path.text.rstrip("/")
        if route.methods:
            entry["methods"] = list(route.methods)
        routes.append(entry | _rewritten(route))
    return routes


def _rewritten(route: Route) -> Decision:
    """The decision with the `rewrite` of this route, where the other product changes the path of its requests."""
    change = route.decision.get("rewrite")
    if not isinstance(change, PathChange):
        return route.decision
    new = change.rewrite_of(route.path)
    rest = {key: value for key, value in route.decision.items() if key != "rewrite"}
    if new is None:  # no request goes to a path that it would not have there
        return shut(rest, 404, "its path is changed there")
    return rest if new == route.path.text.rstrip("/") else rest | {"rewrite": new}
