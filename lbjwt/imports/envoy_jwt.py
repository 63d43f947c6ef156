"""
Envoy's ``jwt_authn``: providers as issuers, and what the first rule that matches a request requires of it.

Without a rule, or with a rule without a requirement, no token is needed.
"""

import json
from dataclasses import dataclass, field
from typing import Any, Final

from lbjwt.imports.common import (
    accept_audiences,
    any_audience,
    any_issuer,
    claim_path,
    identity_header,
    missing_keys,
    optional_expiration,
    remote_keys,
    seconds,
)
from lbjwt.imports.draft import Draft, Noted, shut
from lbjwt.imports.envoy_cluster import Clusters
from lbjwt.imports.envoy_match import Match, read_match
from lbjwt.imports.envoy_values import HARMLESS, duration
from lbjwt.imports.findings import Findings, Place
from lbjwt.imports.literals import stem_of
from lbjwt.imports.matching import Decision, Request
from lbjwt.imports.reading import Value
from lbjwt.jose.mistaken import SECRET_MEMBERS
from lbjwt.url import split_url

LONGEST: Final = 315_360_000  # seconds: of a time in the configuration
_PLACES: Final = ("from_headers", "from_params", "from_cookies")


@dataclass(slots=True)
class _Provider:
    """A provider, the label of its issuer, and the audiences that it asks for."""

    label: str
    value: Value
    audiences: list[str]


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

    def __init__(self, config: Value, draft: Draft, findings: Findings, clusters: Clusters) -> None:
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
            findings.left_out(states.place, "filter_state_rules; write the requirements into routes")
        if (preflight := config.get("bypass_cors_preflight")) is not None and preflight.data:
            findings.left_out(
                preflight.place, "bypass_cors_preflight; make OPTIONS public in a route with methods: [OPTIONS]"
            )
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
        return uncertain

    def _of_route(self, settings: list[Value]) -> _Need | None:
        """What the settings of a route or its host say; None when they say nothing."""
        for level in settings:
            config = next((config for name, config in level.items() if name.endswith("jwt_authn")), None)
            if config is None:
                continue
            if config.data.get("disabled") is True:
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
            places = {json.dumps([key, str(one.get("name")).lower()]) for key in _PLACES for one in issuer.get(key, [])}
            if seen & places:
                return False
            seen |= places
        return True

    def _add(self, name: str, value: Value) -> None:
        made: dict[str, Any] = {}
        issuer = value.text("issuer")
        made |= {"issuer": issuer} if issuer else any_issuer(self._findings, value.place)
        audiences = list(dict.fromkeys(str(one.data) for one in value.members("audiences")))
        made |= {"audiences": audiences} if audiences else any_audience(self._findings, value.place)
        same = next(
            (other for other in self._providers.values() if issuer and other.value.text("issuer") == issuer), None
        )
        if same is not None:
            self._merge(name, value, same, audiences)
            return
        made |= self._keys(name, value)
        made |= self._times(value)
        made |= self._locations(value)
        self._subjects(value, made)
        label = self._draft.add_issuer(name, made, value.place)
        self._providers[name] = _Provider(label, value, audiences)
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
        for key, places in self._locations(value).items():
            issuer[key] = [*issuer.get(key, []), *[one for one in places if one not in issuer.get(key, [])]]
        self._findings.approximated(
            value.place, f"{name} and {first.label} are one issuer here: a token may stand in the places of both"
        )
        self._providers[name] = _Provider(first.label, value, audiences)
        self._headers(value, first.label)
        value.skip()

    def _keys(self, name: str, value: Value) -> dict[str, Any]:
        remote, local = value.get("remote_jwks"), value.get("local_jwks")
        if remote is not None:
            return self._remote(name, remote)
        if local is None:
            self._findings.left_out(value.place, f"the provider {name} has no keys")
            return missing_keys(name)
        if file := local.text("filename"):
            return {"jwks_file": file}
        text = local.text("inline_string")
        try:
            keys = json.loads(text)
            secret = any(member in key for key in keys["keys"] for member in SECRET_MEMBERS)
        except (ValueError, TypeError, KeyError):
            self._findings.left_out(
                local.place, f"the keys of {name}, which are no JWK Set in the file; put them into a file"
            )
            return missing_keys(name)
        if secret:
            self._findings.left_out(
                local.place,
                f"the secret keys of {name}, which do not belong in a configuration; put the JWK Set into {name}.jwks.json with mode 600",
            )
            return {**missing_keys(name), "algorithms": ["HS256", "HS384", "HS512"]}
        return {"jwks": keys}

    def _remote(self, name: str, remote: Value) -> dict[str, Any]:
        http = remote.get("http_uri")
        uri = http.text("uri") if http is not None else ""
        more: dict[str, Any] = {}
        cached = duration(remote.get("cache_duration"))
        if cached is not None and cached != 300:
            more["refresh_interval"] = seconds(cached, 1, 86_400)
        for key in ("async_fetch", "retry_policy"):
            remote.get(key)
        cluster = http.text("cluster") if http is not None else ""
        if http is not None and (timeout := duration(http.get("timeout"))) is not None and timeout != 5:
            more["timeout"] = seconds(timeout, 0.1, 60)
        if authorities := self._clusters.authorities(cluster):
            more["ca_file"] = authorities
        address = self._clusters.fetch_address(cluster)
        uri = self._reached(uri, address, remote.place)
        found = remote_keys(uri, self._findings, remote.place, **more)
        return missing_keys(name) if found is None else {"remote_jwks": found}

    def _reached(self, uri: str, address: str, place: Place) -> str:
        """The URL with the host that Envoy really connects to: that of the cluster."""
        try:
            parts = split_url(uri)
        except ValueError:
            return uri
        host = address.rpartition(":")[0].strip("[]")
        if not address or host == parts.hostname:
            return uri
        if parts.scheme == "http":
            self._findings.approximated(
                place,
                f"the keys come from {address}, the address of the cluster, with this host instead of {parts.hostname}",
            )
            return f"http://{address}{parts.path or '/'}" + (f"?{parts.query}" if parts.query else "")
        if not host.replace(".", "").isdigit():
            self._findings.approximated(
                place,
                f"Envoy fetches these keys from {address}, the address of the cluster; lbjwt from {parts.hostname}, the host of the URL",
            )
        return uri

    def _times(self, value: Value) -> dict[str, Any]:
        made: dict[str, Any] = {}
        skew = value.whole("clock_skew_seconds")
        if skew is not None and skew not in (0, 60):
            made["clock_skew"] = seconds(skew, 0, 300)
            if skew > 300:
                self._findings.approximated(value.place, "a clock skew of more than 300 seconds becomes 5m")
        expires = value.get("require_expiration")
        if expires is None or not expires.data:
            made |= optional_expiration(self._findings, value.place)
        longest = value.get("max_lifetime")
        if longest is not None:
            made["max_remaining"] = seconds(duration(longest) or 1, 1, LONGEST)
        return made

    def _locations(self, value: Value) -> dict[str, Any]:
        forward = value.get("forward")
        kept = forward is not None and forward.data is True
        headers, params, cookies = ([*value.members(key)] for key in _PLACES)
        made: dict[str, Any] = {}
        if not headers and not params and not cookies:
            made["from_headers"] = [{"name": "Authorization", "forward": kept}]
            made["from_params"] = [
                Noted(
                    {"name": "access_token", "forward": kept}, "where Envoy looks, too; remove it if no client needs it"
                )
            ]
            return made
        found: list[Any] = []
        for one in headers:
            name, prefix = one.text("name"), one.text("value_prefix")
            if prefix and not prefix.endswith(" "):
                self._findings.left_out(
                    one.place, f"the token in {name} after {prefix}; lbjwt reads a scheme, a space and the token"
                )
                continue
            entry: dict[str, Any] = {"name": name}
            if prefix.strip() != "Bearer":
                entry["scheme"] = prefix.strip()
            found.append({**entry, "forward": kept})
        if found:
            made["from_headers"] = found
        if params:
            made["from_params"] = [{"name": str(one.data), **({"forward": True} if kept else {})} for one in params]
        if cookies:
            made["from_cookies"] = [{"name": str(one.data), **({"forward": True} if kept else {})} for one in cookies]
        return made or {"from_headers": [{"name": "Authorization", "forward": kept}]}

    def _subjects(self, value: Value, made: dict[str, Any]) -> None:
        subjects = value.get("subjects")
        if subjects is None:
            return
        for kind, key in (("exact", "subjects"), ("prefix", "subject_prefixes"), ("suffix", "subject_suffixes")):
            if text := subjects.text(kind):
                made[key] = [text]
                return
        self._findings.left_out(
            subjects.place, "a pattern of subjects; lbjwt compares whole subjects, prefixes and suffixes"
        )

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
