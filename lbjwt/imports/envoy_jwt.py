"""
Envoy's ``jwt_authn``: providers as issuers, and what the first rule that matches a request requires of it.

Without a rule, or with a rule without a requirement, no token is needed.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from lbjwt.imports.common import accept_audiences, any_audience, any_issuer, claim_path, identity_header
from lbjwt.imports.draft import Draft, Noted, shut
from lbjwt.imports.envoy_cluster import Clusters
from lbjwt.imports.envoy_filters import kind_of
from lbjwt.imports.envoy_match import Match, read_match
from lbjwt.imports.envoy_provider import PLACES, keys_of, locations_of, subjects_of, times_of
from lbjwt.imports.envoy_values import HARMLESS
from lbjwt.imports.findings import Findings, Place
from lbjwt.imports.literals import stem_of
from lbjwt.imports.matching import Decision, Request
from lbjwt.imports.reading import Value


@dataclass(slots=True)
class _Provider:
    """
    A provider.

    Attributes:
        label: Of its issuer.
        audiences: Those that it asks for.
        impossible: Why lbjwt cannot do what it does; then the routes that need it are closed.
    """

    label: str
    value: Value
    audiences: list[str]
    settings: dict[str, Any] = field(default_factory=dict)
    impossible: str = ""


@dataclass(slots=True)
class _Need:
    """
    A requirement.

    Attributes:
        labels: Issuers; () for none in particular.
        impossible: Why lbjwt cannot ask for it; then its routes are closed.
    """

    labels: list[str] = field(default_factory=list)
    every: bool = False
    audiences: list[str] = field(default_factory=list)
    missing: bool = False
    failed: bool = False
    nothing: bool = False
    impossible: str = ""


class JwtRules:
    """The filter of one connection manager."""

    def __init__(
        self, config: Value, draft: Draft, findings: Findings, clusters: Clusters, kinds: Mapping[str, str]
    ) -> None:
        """
        Args:
            kinds: Of the filters, by their names.
        """
        self.payloads: dict[str, list[str]] = {}
        """Issuers whose claims stand under a name in the metadata of requests."""
        self._kinds = kinds
        self._draft = draft
        self._findings = findings
        self._clusters = clusters
        self._providers: dict[str, _Provider] = {}
        named = config.get("providers")
        for name, value in named.items() if named is not None else ():
            self._add(name, value)
        self._tell_apart()
        requirements = config.get("requirement_map")
        self._map = {
            name: self._need(value) for name, value in (requirements.items() if requirements is not None else ())
        }
        if (states := config.get("filter_state_rules")) is not None:
            findings.left_out(
                states.place, "filter_state_rules; what no rule matches is closed: write the requirements into routes"
            )
            states.skip()
        if (preflight := config.get("bypass_cors_preflight")) is not None and preflight.data:
            findings.left_out(
                preflight.place, "bypass_cors_preflight; make OPTIONS public in a route with methods: [OPTIONS]"
            )
        self._otherwise = None if states is None else _Need(impossible="filter_state_rules were left out")
        self._rules = [(self._match(rule), self._rule(rule)) for rule in config.members("rules")]
        for key, value in config.unread(HARMLESS):
            findings.left_out(value.place, f"{key} of jwt_authn")

    @property
    def matches(self) -> list[Match]:
        return [match for match, _ in self._rules if match is not None]

    def apply(self, request: Request, decision: Decision, settings: list[Value]) -> Decision:
        """A decision with what the request needs."""
        need = self._of_route(settings)
        if need is None:
            need = self._first(request)
        if need is None or need.nothing:
            return {**decision, "public": True}
        if need.impossible:
            return shut(decision, 401, need.impossible)
        made = dict(decision)
        if need.labels and (need.every or {*need.labels} != {*self._draft.issuers}):
            made["require"] = (
                {"all_of": need.labels}
                if need.every
                else {"issuer": need.labels[0]}
                if len(need.labels) == 1
                else {"any_of": need.labels}
            )
        if need.audiences:
            made["audiences"] = need.audiences
        if need.failed:
            made["report_only"] = Noted(True, "unsafe: requests with a bad token pass, too")
        elif need.missing:
            made["allow_missing"] = True
        return made

    def _first(self, request: Request) -> _Need | None:
        """
        What the first rule that matches requires. One that also asks for a header, which the client may send or not, only counts where no token
        would be needed otherwise.
        """
        uncertain: _Need | None = None
        for match, need in self._rules:
            if match is None or not match.covers(request):
                continue
            if not match.unknown:
                return uncertain if need.nothing and uncertain is not None else need
            uncertain = uncertain or (None if need.nothing else need)
        return uncertain or self._otherwise

    def _of_route(self, settings: list[Value]) -> _Need | None:
        """What the settings of a route or its host say; None when they say nothing."""
        for level in settings:
            owned = (config for name, config in level.items() if kind_of(name, config, self._kinds) == "jwt_authn")
            config = next(owned, None)
            if config is None:
                continue
            if config.get("disabled") is not None and config.text("disabled") == "true":
                return _Need(nothing=True)
            wanted = config.text("requirement_name")
            return self._map.get(wanted) or _Need(impossible=f"there is no requirement {wanted}")
        return None

    def _match(self, rule: Value) -> Match | None:
        match = read_match(rule.get("match"), self._findings)
        protects = bool(rule.data.get("requires") or rule.text("requirement_name"))
        if match is None and protects:
            stem = stem_of("^" + rule.text("match", "safe_regex", "regex").removeprefix("^"))
            self._findings.left_out(
                rule.place,
                f"the pattern of a rule; write routes for its paths: until then, everything below {stem.text} needs its token",
            )
            return Match(rule.place, [(stem, "tree")])
        if match is None:
            self._findings.left_out(
                rule.place, "a rule for paths that lbjwt cannot match; write a public route for them"
            )
        elif match.unknown:
            self._findings.approximated(
                rule.place,
                f"a rule that also asks for {match.unknown}: it counts only where no token would be needed otherwise",
            )
        return match

    def _rule(self, rule: Value) -> _Need:
        if name := rule.text("requirement_name"):
            return self._map.get(name) or _Need(impossible=f"there is no requirement {name}")
        requires = rule.get("requires")
        return _Need(nothing=True) if requires is None or requires.data == {} else self._need(requires)

    def _need(self, value: Value) -> _Need:
        """Read a JwtRequirement."""
        if name := value.text("provider_name"):
            return self._of_provider(name, value.place)
        if (both := value.get("provider_and_audiences")) is not None:
            need = self._of_provider(both.text("provider_name"), value.place)
            need.audiences = [str(one.data) for one in both.members("audiences")] or need.audiences
            return need
        for key, every in (("requires_any", False), ("requires_all", True)):
            if (inner := value.get(key)) is not None:
                return self._joined([self._need(one) for one in inner.members("requirements")], every, value.place)
        if (failed := value.get("allow_missing_or_failed")) is not None:
            self._findings.approximated(
                failed.place,
                "allow_missing_or_failed is report_only here: requests with a bad token pass and are counted; remove it when the counts are 0",
            )
            return _Need(failed=True)
        if value.get("allow_missing") is not None:
            return _Need(missing=True)
        self._findings.left_out(value.place, "a requirement that this version does not know; its routes are closed")
        value.skip()
        return _Need(impossible="an unknown requirement was left out")

    def _of_provider(self, name: str, place: Place) -> _Need:
        provider = self._providers.get(name)
        if provider is None:
            self._findings.left_out(place, f"there is no provider {name}; its routes are closed")
            return _Need(impossible=f"there is no provider {name}")
        if provider.impossible:
            return _Need([provider.label], impossible=provider.impossible)
        wanted = self._draft.issuers[provider.label].get("audiences", [])
        return _Need([provider.label], audiences=provider.audiences if {*provider.audiences} != {*wanted} else [])

    def _joined(self, needs: list[_Need], every: bool, place: Place) -> _Need:
        labels = list(dict.fromkeys(label for need in needs for label in need.labels))
        impossible = next((need.impossible for need in needs if need.impossible), "")
        audiences = [need.audiences for need in needs if need.labels]
        if any(need.every for need in needs) or (every and any(need.missing or need.failed for need in needs)):
            impossible = "a requirement within a requirement was left out"
        elif len(labels) > 1 and any(audiences) and any(one != audiences[0] for one in audiences):
            impossible = "audiences by provider were left out"
        elif every and (len(labels) > 4 or not self._apart(labels)):
            impossible = "two tokens in one place were required"
        if impossible:
            self._findings.left_out(place, f"this requirement: {impossible}; its routes are closed")
            return _Need(impossible=impossible)
        return _Need(
            labels,
            every and len(labels) > 1,
            audiences[0] if audiences else [],
            any(need.missing for need in needs),
            any(need.failed for need in needs),
        )

    def _apart(self, labels: list[str]) -> bool:
        """Whether the tokens of these issuers stand in different places."""
        seen: set[str] = set()
        for label in labels:
            issuer = self._draft.issuers[label]
            places = {json.dumps([key, str(one.get("name")).lower()]) for key in PLACES for one in issuer.get(key, [])}
            if seen & places:
                return False
            seen |= places
        return True

    def _add(self, name: str, value: Value) -> None:
        made: dict[str, Any] = {}
        issuer = value.text("issuer")
        self.payloads.setdefault(value.text("payload_in_metadata"), []).append(issuer)
        made |= {"issuer": issuer} if issuer else any_issuer(self._findings, value.place)
        audiences = list(dict.fromkeys(str(one.data) for one in value.members("audiences")))
        made |= {"audiences": audiences} if audiences else any_audience(self._findings, value.place)
        same = next(
            (other for other in self._providers.values() if issuer and other.value.text("issuer") == issuer), None
        )
        if same is not None:
            self._merge(name, value, same, audiences)
            return
        made |= keys_of(name, value, self._clusters, self._findings)
        times = times_of(value, self._findings)
        subjects = subjects_of(value, self._findings)
        made |= times | locations_of(value, self._findings) | (subjects or {})
        settings = times | (subjects or {})
        label = self._draft.add_issuer(name, made, value.place)
        impossible = "a pattern of subjects was left out" if subjects is None else ""
        self._providers[name] = _Provider(label, value, audiences, settings, impossible)
        self._headers(value, label)
        for key, inner in value.unread(HARMLESS):
            self._findings.left_out(inner.place, f"{key} of the provider {name}")

    def _merge(self, name: str, value: Value, first: _Provider, audiences: list[str]) -> None:
        """A second provider of an issuer: one issuer that accepts the audiences and places of both."""
        issuer = self._draft.issuers[first.label]
        keys = {key: value.data.get(key) for key in ("remote_jwks", "local_jwks")}
        if keys != {key: first.value.data.get(key) for key in keys}:
            self._findings.left_out(
                value.place,
                f"the keys of {name}: {first.label} is the same issuer and has other keys; put the keys of both into one JWK Set",
            )
        accept_audiences(issuer, audiences, self._findings, value.place)
        for key, places in locations_of(value, self._findings).items():
            issuer[key] = [*issuer.get(key, []), *[one for one in places if one not in issuer.get(key, [])]]
        self._findings.approximated(
            value.place, f"{name} and {first.label} are one issuer here: a token may stand in the places of both"
        )
        subjects = subjects_of(value, self._findings)
        settings = times_of(value, self._findings) | (subjects or {})
        impossible = "" if subjects is not None else "a pattern of subjects was left out"
        if not impossible and settings != first.settings:
            told = ", ".join(
                sorted({key for key in {*settings, *first.settings} if settings.get(key) != first.settings.get(key)})
            )
            self._findings.left_out(
                value.place,
                f"{name} and {first.label} are one issuer with different rules ({told}); the routes of {name} are closed until you decide",
            )
            impossible = f"rules of {name} were left out"
        self._providers[name] = _Provider(first.label, value, audiences, settings, impossible)
        self._headers(value, first.label)
        value.skip()

    def _headers(self, value: Value, label: str) -> None:
        for one in value.members("claim_to_headers"):
            claim = [str(step.data) for step in one.members("claim_path", "path")] or one.text("claim_name").split(".")
            identity_header(
                self._draft,
                self._findings,
                one.place,
                one.text("header_name"),
                {"claim": claim_path(claim), "_of": label},
            )
        if header := value.text("forward_payload_header"):
            if (pad := value.get("pad_forward_payload_header")) is not None and pad.data:
                self._findings.approximated(pad.place, "the payload has no padding here")
            identity_header(self._draft, self._findings, value.place, header, {"payload": True, "_of": label})

    def _tell_apart(self) -> None:
        """Of several issuers, a header names the one whose claim it has."""
        several = len(self._draft.issuers) > 1
        for entry in self._draft.claim_to_headers:
            label = entry.pop("_of", None)
            if several and label is not None:
                entry["issuer"] = label
