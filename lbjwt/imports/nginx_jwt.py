"""
nginx's ``auth_jwt``: of the commercial module, and of kjdev's for the open one.

A location asks for tokens by the keys that it names and by variables that must be true. Locations with the same keys and the same place of the
token share an issuer; what only some of them ask for becomes rules of their routes.
"""

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from lbjwt.imports.common import (
    any_audience,
    any_issuer,
    claim_path,
    issuer_hint,
    missing_keys,
    one_of,
    optional_expiration,
    remote_keys,
    seconds,
)
from lbjwt.imports.draft import Draft, plain
from lbjwt.imports.findings import Findings, Place
from lbjwt.imports.matching import Decision
from lbjwt.imports.nginx_file import Directive, Levels, inherited, seconds_of, setting

_STRING_RULES: Final = {
    "eq": "equals",
    "in": "one_of",
    "any": "contains_any",
    "gt": "more_than",
    "ge": "at_least",
    "lt": "less_than",
    "le": "at_most",
}


@dataclass(slots=True)
class Need:
    """What a location asks of a token."""

    place: Place
    source: tuple[tuple[str, Any], ...]
    token: str
    leeway: float
    expires: bool
    realm: str
    issuers: list[str] = field(default_factory=list)
    audiences: list[str] = field(default_factory=list)
    algorithms: list[str] = field(default_factory=list)
    rules: list[dict[str, Any]] = field(default_factory=list)
    status: int = 401
    said_status: bool = False
    impossible: str = ""

    @property
    def group(self) -> tuple[str, str]:
        return repr(self.source), self.token


class Tokens:
    """All needs of a file, and their issuers."""

    def __init__(self, http: Directive, directory: Path, draft: Draft, findings: Findings) -> None:
        self._http = http
        self._directory = directory
        self._draft = draft
        self._findings = findings
        self._needs: list[Need] = []
        self._labels: dict[tuple[str, str], list[str]] = {}
        self._claims = {one.args[0]: list(one.args[1:]) for one in http.all("auth_jwt_claim_set") if len(one.args) > 1}
        self._headers = {one.args[0]: one.args[1] for one in http.all("auth_jwt_header_set") if len(one.args) == 2}
        self._maps = {one.args[1]: one for one in http.all("map") if len(one.args) == 2}

    def claim_of(self, variable: str) -> list[str] | None:
        """The path of the claim that a variable holds."""
        if variable in self._claims:
            return self._claims[variable]
        match = re.fullmatch(r"\$\{?jwt_claim_([A-Za-z0-9_]+)\}?", variable)
        return [match[1]] if match else None

    def need(self, levels: Levels, server: Directive) -> Need | None:
        """What a location with these blocks around it asks for; None when it needs no token."""
        told = setting(levels, "auth_jwt")
        if told is None or told.args[:1] == ("off",):
            return None
        token = next((arg.removeprefix("token=") for arg in told.args[1:] if arg.startswith("token=")), "")
        leeway = setting(levels, "auth_jwt_leeway")
        expires = setting(levels, "auth_jwt_validate_exp")
        need = Need(
            told.place,
            self._source(levels, server, told.place),
            token,
            (seconds_of(leeway.args[0]) or 0) if leeway is not None else 0,
            expires is None or expires.args != ("off",),
            told.args[0],
        )
        if not need.expires and expires is not None:
            self._findings.approximated(expires.place, "auth_jwt_validate_exp off; lbjwt refuses expired tokens")
        if token and not re.match(r"\$(?:cookie|arg|http)_", token):
            self._impossible(need, told.place, f"a token in {token}, which is no header, cookie or parameter")
        self._options(levels, need)
        self._requirements(levels, need)
        self._needs.append(need)
        return need

    def make_issuers(self) -> None:
        """Make the issuers of all needs."""
        groups: dict[tuple[str, str], list[Need]] = {}
        for need in self._needs:
            groups.setdefault(need.group, []).append(need)
        for group, needs in groups.items():
            self._labels[group] = self._issuers(needs, len(groups) > 1)
        realms = {need.realm for need in self._needs}
        if len(realms) == 1 and (realm := next(iter(realms))) and _is_realm(realm):
            self._draft.settings["realm"] = realm

    def apply(self, need: Need, decision: Decision) -> Decision:
        """A decision with what a location asks for."""
        labels = self._labels[need.group]
        made = dict(decision)
        if len(self._draft.issuers) > len(labels):
            made["require"] = {"issuer": labels[0]} if len(labels) == 1 else {"any_of": labels}
        issuer = self._draft.issuers[labels[0]]
        rules = list(need.rules)
        if need.issuers and "any_issuer" in issuer:
            rules.insert(0, one_of("iss", need.issuers))
        if need.audiences and need.audiences != issuer.get("audiences"):
            made["audiences"] = need.audiences
        if rules:
            made["rules"] = rules
            if need.status != 403:
                made["refusals"] = {"statuses": {403: need.status}}
        if "realm" not in self._draft.settings and need.realm and _is_realm(need.realm):
            made["realm"] = need.realm
        return made

    def _issuers(self, needs: list[Need], several: bool) -> list[str]:
        first = needs[0]
        made: dict[str, Any] = {}
        names = first.issuers if all(need.issuers == first.issuers for need in needs) else []
        if not names:
            made |= {"any_issuer": True} if several else any_issuer(self._findings, first.place)
        audiences = list(dict.fromkeys(one for need in needs for one in need.audiences))
        made |= (
            {"audiences": audiences}
            if audiences and all(need.audiences for need in needs)
            else any_audience(self._findings, first.place)
        )
        algorithms = list(dict.fromkeys(one for need in needs for one in need.algorithms))
        if algorithms and all(need.algorithms for need in needs):
            made["algorithms"] = algorithms
        made |= dict(first.source)
        leeway = max(need.leeway for need in needs)
        made["clock_skew"] = seconds(leeway, 0, 300)
        made |= optional_expiration(self._findings, first.place)
        if place := _location(first.token):
            made |= place
        hint = next(
            (Path(str(plain(value))).stem.partition(".")[0] for key, value in first.source if key == "jwks_file"),
            "main",
        )
        if not names:
            return [self._draft.add_issuer(hint, made, first.place)]
        made.pop("any_issuer", None)
        return [self._draft.add_issuer(issuer_hint(name), {"issuer": name, **made}, first.place) for name in names]

    def _source(self, levels: Levels, server: Directive, place: Place) -> tuple[tuple[str, Any], ...]:
        files, requests = inherited(levels, "auth_jwt_key_file"), inherited(levels, "auth_jwt_key_request")
        for other in [*files, *requests][1:]:
            self._findings.left_out(
                other.place, f"{other}; an issuer has one key source, so put all keys into one JWK Set"
            )
        if files:
            name = files[0].args[0]
            if "keyval" in files[0].args[1:]:
                self._findings.left_out(files[0].place, f"{name} is a map of keys; write a JWK Set, or pem_file")
            elif "$" not in name:
                return (("jwks_file", str(self._directory / name)),)
            else:
                self._findings.left_out(
                    files[0].place, f"the key file {name} with variables; write one issuer for each of its values"
                )
        elif requests and (found := self._request(requests[0], server)) is not None:
            return tuple((key, value) for key, value in found.items())
        else:
            self._findings.left_out(
                (requests[0] if requests else levels[-1]).place if requests else place,
                "where the keys are; write jwks_file, remote_jwks or discovery",
            )
        return tuple(missing_keys("issuer").items())

    def _request(self, request: Directive, server: Directive) -> dict[str, Any] | None:
        """The URL behind the location that ``auth_jwt_key_request`` asks."""
        uri = request.args[0]
        for location in server.all("location"):
            if location.args[-1] == uri and (passed := location.first("proxy_pass")) is not None:
                url = passed.args[0]
                if "$" in url:
                    break
                if url.count("/") < 3:
                    url = url.rstrip("/") + uri
                more = {}
                authorities = location.first("proxy_ssl_trusted_certificate")
                if authorities is not None:
                    more["ca_file"] = str(self._directory / authorities.args[0])
                if url.startswith("https") and location.first("proxy_ssl_verify") is None:
                    self._findings.approximated(
                        passed.place,
                        "lbjwt verifies the certificate of the key server; nginx does not (proxy_ssl_verify)",
                    )
                keys = remote_keys(url, self._findings, passed.place, **more)
                return None if keys is None else {"remote_jwks": keys}
        return None

    def _options(self, levels: Levels, need: Need) -> None:
        kind = setting(levels, "auth_jwt_type")
        if kind is not None and kind.args != ("signed",):
            self._impossible(need, kind.place, f"auth_jwt_type {kind.args[0]}")
        signature = setting(levels, "auth_jwt_validate_sig")
        if signature is not None and signature.args == ("off",):
            self._findings.approximated(signature.place, "auth_jwt_validate_sig off; lbjwt always verifies signatures")
        if (alg := setting(levels, "auth_jwt_validate_alg")) is not None:
            need.algorithms = [alg.args[0]]
        for name in ("auth_jwt_revocation_list_sub", "auth_jwt_revocation_list_kid"):
            if (told := setting(levels, name)) is not None:
                self._findings.left_out(
                    told.place, f"{told}; write revocation: {{file: revoked.jsonl}} (docs/revocation.md)"
                )

    def _requirements(self, levels: Levels, need: Need) -> None:
        for told in inherited(levels, "auth_jwt_require"):
            self._status(told, need)
            for variable in told.args:
                if variable.startswith("$"):
                    self._variable(variable, told, need)
        for told in inherited(levels, "auth_jwt_require_claim"):
            self._kjdev(told, need)
        for told in inherited(levels, "auth_jwt_require_header"):
            if told.args[:2] == ("alg", "eq") and len(told.args) > 2:
                need.algorithms = [told.args[2].strip('"').removeprefix("json=").strip('"')]
            else:
                self._impossible(need, told.place, str(told))

    def _status(self, told: Directive, need: Need) -> None:
        """The status with which a requirement refuses; a route has one for all of its rules."""
        status = _status_of(told)
        if need.said_status and status != need.status:
            self._findings.approximated(
                told.place,
                f"other requirements of this location refuse with {need.status} there; all refuse with {status}",
            )
        need.status, need.said_status = status, True

    def _impossible(self, need: Need, place: Place, what: str) -> None:
        self._findings.left_out(
            place, f"{what}; its routes are closed until you decide: write a rule, then remove the rule called closed"
        )
        need.impossible = f"{what} was left out"

    def _variable(self, variable: str, told: Directive, need: Need) -> None:
        claim = self.claim_of(variable)
        if claim is not None:
            need.rules.append(self._present(claim_path(claim), told.place))
            return
        found = self._maps.get(variable)
        if found is None:
            self._impossible(need, told.place, f"auth_jwt_require {variable}")
            return
        source = found.args[0]
        entries = _entries(found)
        allowed, rejected, patterns = entries.allowed, entries.rejected, entries.patterns
        header = self._headers.get(
            source, source.removeprefix("$jwt_header_") if source.startswith("$jwt_header_") else ""
        )
        claim = self.claim_of(source)
        if header == "alg" and allowed and not patterns and rejected is None and not entries.is_odd:
            need.algorithms = allowed
        elif claim is None or entries.is_odd or (patterns and rejected is not None):
            self._impossible(need, found.place, f"map {source} {variable}")
        elif rejected is not None:
            self._rejected(claim_path(claim), rejected, found, need)
        elif claim == ["iss"] and allowed and not patterns:
            need.issuers = allowed
        elif (
            claim == ["aud"]
            and (values := [*allowed, *[word for one in patterns if (word := _word(one))]])
            and len(values) == len(allowed) + len(patterns)
        ):
            need.audiences = values
            for pattern in patterns:
                self._findings.approximated(
                    found.place,
                    f"{pattern} on aud also matches within other texts there; lbjwt compares whole audiences",
                )
        else:
            self._rule(claim, allowed, patterns, found, variable, need)

    def _rejected(self, path: Any, rejected: list[str], found: Directive, need: Need) -> None:
        """All but some values. A claim that is missing is the empty text in nginx."""
        values = [value for value in rejected if value]
        if any(value.lower() != value.upper() for value in values):
            self._findings.approximated(found.place, f"{found} rejects these values in any case; here case matters")
        if len(values) < len(rejected):
            need.rules.append(self._present(path, found.place))
            need.rules += [{"not": one_of(path, values)}] if values else []
        elif values:
            need.rules.append({"any": [{"claim": path, "exists": False}, {"not": one_of(path, values)}]})

    def _present(self, path: Any, place: Place) -> dict[str, Any]:
        """A claim that must not be empty."""
        self._findings.approximated(place, "a claim that is there passes here, also with the values 0 and empty text")
        return {"claim": path, "exists": True}

    def _rule(
        self, claim: list[str], allowed: list[str], patterns: list[str], found: Directive, variable: str, need: Need
    ) -> None:
        path = claim_path(claim)
        rules = [one_of(path, allowed)] if allowed else []
        for pattern in patterns:
            rule = _pattern(path, pattern)
            if rule is None:
                self._impossible(need, found.place, f"map {found.args[0]} {variable} with {pattern}")
                return
            if "contains_word" in rule:
                self._findings.approximated(
                    found.place,
                    f"{pattern} on {claim[-1]} means a whole word between spaces here; for a list, write contains",
                )
            rules.append(rule)
        if rules:
            need.rules.append(rules[0] if len(rules) == 1 else {"any": rules})
        else:
            self._impossible(need, found.place, f"map {found.args[0]} {variable}, which is never true")

    def _kjdev(self, told: Directive, need: Need) -> None:
        """``auth_jwt_require_claim name operator value`` of kjdev's module."""
        self._status(told, need)
        args = [arg for arg in told.args if not arg.startswith("error=")]
        if len(args) != 3 or "$" in args[2]:
            self._impossible(need, told.place, str(told))
            return
        name, operator, value = args
        claim = [step.strip('"') for step in re.findall(r'"[^"]+"|[^."]+', name.lstrip("."))]
        operand = _json(value.removeprefix("json=")) if value.startswith("json=") else value
        negated, operator = operator.startswith("!"), operator.lstrip("!")
        if claim == ["iss"] and operator == "eq" and not negated:
            need.issuers = [str(operand)]
        elif claim == ["aud"] and operator in ("eq", "any", "in") and not negated:
            need.audiences = [str(one) for one in (operand if isinstance(operand, list) else [operand])]
        elif operator in _STRING_RULES:
            rule = {"claim": claim_path(claim), _STRING_RULES[operator]: operand}
            need.rules.append({"not": rule} if negated else rule)  # a missing claim is refused in both
        else:
            self._impossible(need, told.place, str(told))


def _status_of(told: Directive) -> int:
    """The status with which a requirement refuses."""
    error = next((arg.removeprefix("error=") for arg in told.args if arg.startswith("error=")), "401")
    return int(error) if error.isdigit() and 400 <= int(error) < 500 else 403


@dataclass(slots=True)
class _Entries:
    """
    When a map is true.

    Attributes:
        allowed: Values that make it true.
        rejected: Values that make it false, if all others make it true; else None.
        patterns: Expressions that make it true.
        is_odd: Lists of values and expressions do not say it.
    """

    allowed: list[str]
    rejected: list[str] | None
    patterns: list[str]
    is_odd: bool


def _entries(found: Directive) -> _Entries:
    default, odd, excluded = False, False, False
    allowed, rejected, patterns = list[str](), list[str](), list[str]()
    for one in found.block:
        value = one.args[0]
        true = value not in ("", "0")
        odd = odd or "$" in value or one.name in ("hostnames", "include")
        key = one.name.removeprefix("\\")
        if one.name == "default":
            default = true
        elif one.name.startswith("~"):
            patterns += [one.name] if true else []
            excluded = excluded or not true
        elif one.name == "volatile" and not one.args:
            continue
        elif true:
            allowed.append(key)
        else:
            rejected.append(key)
    # whole values come before expressions, and of those the first one that matches
    odd = odd or (excluded and (default or bool(patterns))) or (bool(patterns) and bool(rejected) and not default)
    return _Entries(allowed, rejected if default else None, patterns, odd)


def _word(pattern: str) -> str:
    match = re.fullmatch(r"~(?:\\b|\^|\(\^\|[ ,\\s]+\))?([A-Za-z0-9_:/.\\-]+?)(?:\\b|\$|\([ ,\\s]+\|\$\))?", pattern)
    return re.sub(r"\\(.)", r"\1", match[1]) if match and not re.search(r"\\[a-zA-Z]", match[1]) else ""


def _pattern(claim: Any, pattern: str) -> dict[str, Any] | None:
    """A regular expression of a map as a rule."""
    body = pattern.removeprefix("~")
    if match := re.fullmatch(r"\^\(?((?:[A-Za-z0-9_:/@-]|\\\.)+(?:\|(?:[A-Za-z0-9_:/@-]|\\\.)+)*)\)?\$", body):
        return one_of(claim, [re.sub(r"\\(.)", r"\1", word) for word in match[1].split("|")])
    if match := re.fullmatch(r"\^((?:[A-Za-z0-9_:/@-]|\\\.)+)", body):
        return {"claim": claim, "prefix": re.sub(r"\\(.)", r"\1", match[1])}
    word = _word(pattern)
    return {"claim": claim, "contains_word": word} if word and not body.startswith("^") else None


def _json(text: str) -> Any:
    import json

    try:
        return json.loads(text)
    except ValueError:
        return text


def _location(token: str) -> dict[str, Any]:
    kind, _, name = token.removeprefix("$").partition("_")
    if kind == "cookie":
        return {"from_cookies": [{"name": name, "forward": True}]}
    if kind == "arg":
        return {"from_params": [{"name": name, "forward": True}]}
    if kind == "http":
        words = "-".join(word.capitalize() for word in name.split("_"))
        return {"from_headers": [{"name": words, "scheme": ""}]}
    return {}


def _is_realm(text: str) -> bool:
    return bool(re.fullmatch(r"[\x20\x21\x23-\x5B\x5D-\x7E]{1,128}", text)) and "$" not in text
