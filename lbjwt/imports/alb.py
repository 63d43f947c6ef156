"""
AWS Application Load Balancers: listeners, rules with ``jwt-validation``, target groups.

A file has the answers of ``aws elbv2 describe-listeners``, ``describe-rules``, ``describe-target-groups`` and ``describe-target-health``, one after
the other, or a CloudFormation template in JSON.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path as FilePath
from typing import Any, Final

from lbjwt.imports.alb_targets import TargetGroups, reference
from lbjwt.imports.common import (
    accept_audiences,
    any_audience,
    host_of,
    issuer_hint,
    missing_keys,
    one_of,
    remote_keys,
    usable_path,
)
from lbjwt.imports.draft import Draft, Noted, closed
from lbjwt.imports.errors import ImportFailure
from lbjwt.imports.findings import Findings, Place
from lbjwt.imports.literals import beginning, matches
from lbjwt.imports.matching import METHODS, Decision, Path, Request, host_covers, is_open
from lbjwt.imports.path_change import PathChange
from lbjwt.imports.reading import Value, read_json

_KIND: Final = "AWS::ElasticLoadBalancingV2::"
_REFUSING: Final = ("authenticate-oidc", "authenticate-cognito")
_KNOWN_ACTIONS: Final = ("forward", "fixed-response", "redirect", "jwt-validation")


@dataclass(slots=True)
class _Rule:
    """
    A rule of a listener, or its default action.

    Attributes:
        number: Rules with a lower one are tried first.
        uncertain: It has a condition that no route can have, and matches more requests here. It counts only where no token would be needed.
        change: What becomes of the path on its way to the targets.
    """

    number: int
    place: Place
    actions: list[Value]
    hosts: list[str] = field(default_factory=list)
    meant: list[tuple[Path, str]] = field(default_factory=list)
    methods: list[str] = field(default_factory=list)
    uncertain: bool = False
    change: PathChange | None = None

    def covers(self, request: Request) -> bool:
        hosts = not self.hosts or any(host_covers(host, request.host) for host in self.hosts)
        paths = not self.meant or matches(self.meant, request.path)
        return hosts and paths and (not self.methods or request.method in self.methods)

    def first(self, kind: str) -> Value | None:
        return next((action for action in self.actions if action.text("Type") == kind), None)


@dataclass(slots=True)
class _Listener:
    name: str
    value: Value
    rules: list[_Rule]

    @property
    def redirects(self) -> bool:
        return all(rule.first("redirect") is not None for rule in self.rules)


def read(path: FilePath, draft: Draft, findings: Findings) -> None:
    """
    Read a file.

    Raises:
        ImportFailure: It cannot be read, is no JSON, or has no listener.
    """
    parts = [part for document in read_json(path) for part in _parts(document)]
    listeners = [_listener(name, value, parts, findings) for kind, name, value in parts if kind == "Listener"]
    if not listeners:
        raise ImportFailure(
            f"{path}:1: has no listener; it needs the output of aws elbv2 describe-listeners, or a CloudFormation template"
        )
    names = {listener.name for listener in listeners}
    for kind, arn, rule in parts:
        if kind == "Rule" and _owner(arn, rule) not in names:
            findings.left_out(rule.place, "a rule of a listener that is not in the file")
    groups = TargetGroups(parts, draft, findings)
    _Reader(listeners, groups, draft, findings).run()


def _parts(document: Value) -> Iterator[tuple[str, str, Value]]:
    """Listeners, rules, target groups and targets with their names: ARNs, or the names of resources in a template."""
    resources = document.get("Resources")
    for name, resource in resources.items() if resources is not None else ():
        kind, properties = resource.text("Type"), resource.get("Properties")
        if kind.startswith(_KIND) and properties is not None:
            yield kind.removeprefix(_KIND).replace("ListenerRule", "Rule"), name, properties
    for key, kind in (("Listeners", "Listener"), ("Rules", "Rule"), ("TargetGroups", "TargetGroup")):
        for value in document.members(key):
            yield kind, value.text(f"{kind}Arn"), value
    if document.get("TargetHealthDescriptions") is not None:
        yield "Targets", document.text("TargetGroupArn"), document


def _listener(name: str, value: Value, parts: list[tuple[str, str, Value]], findings: Findings) -> _Listener:
    rules: list[_Rule] = []
    for kind, arn, rule in parts:
        if kind == "Rule" and _owner(arn, rule) == name and rule.text("Priority") != "default":
            rules.append(_rule(rule, findings))
    actions = sorted(value.members("DefaultActions"), key=lambda action: action.whole("Order") or 0)
    rules.append(_Rule(1 << 30, value.place, actions))
    return _Listener(name, value, sorted(rules, key=lambda rule: rule.number))


def _owner(arn: str, rule: Value) -> str:
    """The name of the listener that a rule belongs to."""
    return reference(rule.get("ListenerArn")) or arn.replace(":listener-rule/", ":listener/").rpartition("/")[0]


def _rule(value: Value, findings: Findings) -> _Rule:
    """A rule; a finding tells of a condition that no route can have."""
    actions = sorted(value.members("Actions"), key=lambda action: action.whole("Order") or 0)
    rule = _Rule(value.whole("Priority") or 0, value.place, actions)
    for condition in value.members("Conditions"):
        kind = condition.text("Field")
        config = {
            "host-header": "HostHeaderConfig",
            "path-pattern": "PathPatternConfig",
            "http-request-method": "HttpRequestMethodConfig",
        }.get(kind, "")
        values = (
            [str(one.data) for one in [*condition.members(config, "Values"), *condition.members("Values")]]
            if config
            else []
        )
        values = list(dict.fromkeys(values))
        if not values:
            findings.left_out(
                condition.place,
                f"the rule with priority {rule.number}, which asks for {kind or 'something unknown'}; lbjwt matches host, path and method",
            )
            condition.skip()
            rule.uncertain = True
            continue
        if kind == "host-header":
            found_hosts = [host for text in values if (host := host_of(text, findings, condition.place)) is not None]
            rule.uncertain = rule.uncertain or len(found_hosts) < len(values)
            rule.hosts += [] if len(found_hosts) < len(values) else found_hosts
        elif kind == "http-request-method":
            if unknown := [method for method in values if method not in METHODS]:
                findings.left_out(condition.place, f"the method {unknown[0]}, which no route of lbjwt can name")
                rule.uncertain = True
            rule.methods += [] if unknown else values
        else:
            found = [one for text in values for one in _pattern(text)]
            usable = [one for one in found if usable_path(one[0].text, findings, condition.place)]
            rule.uncertain = rule.uncertain or len(usable) < len(values)
            stems = [Path(text.partition("*")[0].rpartition("/")[0] or "/") for text in values if not _pattern(text)]
            if len(usable) == len(values):
                rule.meant += usable
            elif all(stem.text != "/" for stem in stems):
                rule.meant += [*usable, *((stem, "tree") for stem in stems)]
            if len(found) < len(values):
                findings.left_out(
                    condition.place,
                    f"a pattern among {', '.join(values)}; lbjwt matches whole paths and everything below a path",
                )
    for transform in value.members("Transforms"):
        rule.change = _change(transform, rule) or rule.change
        if rule.change is None or transform.text("Type") != "url-rewrite":
            kind = transform.text("Type")
            why = (
                "rewrite of a route replaces whole segments at the beginning of the path"
                if kind == "url-rewrite"
                else "targets get the host that the client sent"
            )
            transform.skip()
            findings.left_out(transform.place, f"{kind} of the rule with priority {rule.number}; {why}")
    return rule


def _change(transform: Value, rule: _Rule) -> PathChange | None:
    """What becomes of the path, if a route can do the same. The expression sees the query, too."""
    rewrites = transform.members("UrlRewriteConfig", "Rewrites")
    if len(rewrites) != 1 or transform.text("Type") != "url-rewrite":
        return None
    change = PathChange.of_pattern(rewrites[0].text("Regex"), rewrites[0].text("Replace"), all_of_it=False)
    places = [path for path, _ in rule.meant] or [Path("/")]
    usable = change is not None and not change.whole and all(change.rewrite_of(path) is not None for path in places)
    return change if usable else None


def _pattern(text: str) -> list[tuple[Path, str]]:
    """A pattern with at most one star, at its end."""
    stem, star, rest = text.partition("*")
    if rest or "?" in text or not stem.startswith("/"):
        return []
    return beginning(stem) if star else [(Path(stem, True), "exact")]


class _Reader:
    def __init__(self, listeners: list[_Listener], groups: TargetGroups, draft: Draft, findings: Findings) -> None:
        self._listeners = listeners
        self._groups = groups
        self._draft = draft
        self._findings = findings
        self._audiences: dict[str, list[list[str]]] = {}
        self._labels: dict[int, str] = {}

    def run(self) -> None:
        chosen = max(
            self._listeners,
            key=lambda one: (
                not one.redirects,
                any(rule.first("jwt-validation") for rule in one.rules),
                one.value.text("Protocol") == "HTTPS",
            ),
        )
        for other in self._listeners:
            if other is not chosen:
                what = (
                    "the redirect to https; lbjwt sends no redirects"
                    if other.redirects
                    else "all listeners of lbjwt have the same routes; import it from a file of its own"
                )
                self._findings.left_out(other.value.place, f"the listener on port {other.value.text('Port')}: {what}")
        for rule in chosen.rules:
            self._issuer(rule)
        targets = {id(rule): self._target(rule) for rule in chosen.rules}

        def decide(request: Request) -> Decision | None:
            covering = [rule for rule in chosen.rules if rule.covers(request)]
            rule = next((rule for rule in covering if not rule.uncertain), None)
            found = None if rule is None else targets[id(rule)]
            if rule is not None and is_open(found):
                before = (one for one in covering if one.uncertain and one.number < rule.number)
                stricter = (targets[id(one)] for one in before if one.meant or self._tokens(one) is not None)
                return next((one for one in stricter if not is_open(one)), found)
            return found

        self._draft.set_routes(
            [host for rule in chosen.rules for host in rule.hosts],
            [path for rule in chosen.rules for path, _ in rule.meant],
            [method for rule in chosen.rules for method in rule.methods if method in METHODS],
            decide,
            beginnings={
                path.text: rule.place for rule in chosen.rules for path, how in rule.meant if how == "beginning"
            },
        )
        self._listen(chosen.value)

    def _listen(self, value: Value) -> None:
        made: dict[str, Any] = {"address": f":{value.text('Port') or '80'}"}
        if value.text("Protocol") == "HTTPS":
            self._findings.left_out(
                value.place, "the certificate, which AWS keeps; write one of your own to cert.pem and key.pem"
            )
            made["tls"] = {
                "certificate": Noted("cert.pem", "write the certificate"),
                "private_key": Noted("key.pem", "write its key"),
            }
        mutual = value.get("MutualAuthentication")
        if mutual is not None and mutual.text("Mode") == "verify":
            self._findings.left_out(mutual.place, "client certificates; every route is closed until you decide")
            self._draft.close_routes("client certificates were left out")
        self._draft.listeners.append(made)

    def _issuer(self, rule: _Rule) -> None:
        config = self._tokens(rule)
        if config is None:
            return
        name, audiences = config.text("Issuer"), self._claims(config)[0]
        known = next((label for label, issuer in self._draft.issuers.items() if issuer.get("issuer") == name), None)
        if known is not None:
            issuer = self._draft.issuers[known]
            if issuer.get("remote_jwks", {}).get("uri") != config.text("JwksEndpoint"):
                self._findings.left_out(config.place, f"other keys of the issuer {name}; lbjwt uses those of {known}")
            accept_audiences(issuer, audiences, self._findings, config.place)
            self._labels[id(rule)] = known
            return
        made: dict[str, Any] = {"issuer": name}
        made |= {"audiences": audiences} if audiences else any_audience(self._findings, config.place)
        keys = remote_keys(config.text("JwksEndpoint"), self._findings, config.place)
        made |= {"remote_jwks": keys} if keys is not None else missing_keys("issuer")
        made["algorithms"] = ["RS256"]
        self._labels[id(rule)] = self._draft.add_issuer(issuer_hint(name), made, config.place)

    @staticmethod
    def _tokens(rule: _Rule) -> Value | None:
        """What a rule asks of tokens."""
        action = rule.first("jwt-validation")
        return None if action is None else action.get("JwtValidationConfig")

    def _claims(self, config: Value) -> tuple[list[str], list[str], list[dict[str, Any]]]:
        """Audiences, scopes and rules of the additional claims."""
        audiences, scopes, rules = list[str](), list[str](), list[dict[str, Any]]()
        for one in config.members("AdditionalClaims"):
            name, kind = one.text("Name"), one.text("Format")
            values = list(dict.fromkeys(str(value.data) for value in one.members("Values")))
            if name == "aud":
                audiences += [value for value in values if value not in audiences]
            elif kind == "space-separated-values":
                if name in ("scope", "scp"):
                    scopes += values
                else:
                    rules.append(
                        {"claim": name, "contains_word": values[0]}
                        if len(values) == 1
                        else {"claim": name, "contains_all_words": values}
                    )
            elif kind == "string-array":
                rules.append(
                    {"claim": name, "contains": values[0]}
                    if len(values) == 1
                    else {"claim": name, "contains_all": values}
                )
            else:
                rules.append(one_of(name, values))
            if len(values) > 1 and kind != "single-string" and name != "aud":
                self._findings.approximated(
                    one.place,
                    f"the token needs all of the values of {name} here; write contains_any or scopes.any if one is enough",
                )
        return audiences, scopes, rules

    def _target(self, rule: _Rule) -> Decision:
        """What happens to the requests of a rule."""
        for action in rule.actions:
            if action.text("Type") in _REFUSING:
                self._findings.left_out(
                    action.place, f"{action.text('Type')}, which signs users in; its routes are closed until you decide"
                )
                return closed(401, f"{action.text('Type')} was left out")
            if action.text("Type") not in _KNOWN_ACTIONS:
                self._findings.left_out(
                    action.place, f"the action {action.text('Type')}; its routes are closed until you decide"
                )
                return closed(403, f"the action {action.text('Type')} was left out")
        forward, answer = rule.first("forward"), rule.first("fixed-response")
        if forward is None:
            return self._answer(rule, answer)
        cluster = self._groups.cluster(forward)
        if cluster is None:
            return closed(404, "its targets were left out")
        config = self._tokens(rule)
        decision: Decision = {"cluster": cluster, **({} if rule.change is None else {"rewrite": rule.change})}
        if config is None and rule.first("jwt-validation") is not None:
            self._findings.left_out(rule.place, "jwt-validation without JwtValidationConfig; its routes are closed")
            return closed(401, "what jwt-validation asks for is missing")
        if config is None:
            return {**decision, "public": True}
        label = self._labels[id(rule)]
        audiences, scopes, rules = self._claims(config)
        if len(self._draft.issuers) > 1:
            decision["require"] = {"issuer": label}
        if audiences and audiences != self._draft.issuers[label].get("audiences"):
            decision["audiences"] = audiences
        if scopes:
            decision["scopes"] = {"all": scopes}
        if rules:
            decision["rules"] = rules
        if scopes or rules:
            decision["refusals"] = {"statuses": {403: 401}}
        return decision

    def _answer(self, rule: _Rule, answer: Value | None) -> Decision:
        text = answer.text("FixedResponseConfig", "StatusCode") if answer is not None else ""
        if re.fullmatch("4[0-9][0-9]", text):
            return closed(int(text), f"a fixed response with {text}")
        self._findings.left_out(rule.place, f"a rule that answers with {text or 'a redirect'}; lbjwt answers 404 there")
        return closed(404, "the balancer answered by itself")
