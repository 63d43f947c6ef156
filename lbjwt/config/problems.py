"""
Problems of a configuration: pydantic's errors as problems with a key path, a sentence and a suggestion. ``load`` adds line and column.

A sentence repeats names of keys and enumerated words, never other values of the file, which may be secrets in the wrong place.
"""

import difflib
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final, Literal, get_origin

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from lbjwt import errors
from lbjwt.config.fields import NOT_REPLACED, is_variable
from lbjwt.config.section import ACROSS, EMPTY, Section, keys_of, section_in

KeyPath = tuple[str | int, ...]

# Names of other programs, and ours.
_OTHER_WORDS: Final = {
    "address": "uri", "allow_anonymous": "allow_missing", "anonymous": "public",
    "audience": "audiences", "backend": "clusters", "backends": "endpoints", "bind": "listeners", "blacklist": "revocation",
    "blocklist": "revocation", "cache": "token_cache", "cert": "certificate", "certificate_file": "certificate",
    "claims_to_headers": "claim_to_headers", "cluster": "clusters", "cookies": "from_cookies", "denylist": "revocation",
    "discovery_url": "discovery", "dry_run": "report_only", "eq": "equals", "forward": "forward_token", "frontends": "listeners",
    "gt": "more_than", "gte": "at_least", "headers": "from_headers", "health": "health_check", "healthcheck": "health_check",
    "healthy_threshold": "rise", "unhealthy_threshold": "fall", "expected_statuses": "statuses",
    "host": "address", "includes": "contains", "iss": "issuer",
    "jwks_uri": "remote_jwks", "jwks_url": "remote_jwks", "key": "private_key", "key_file": "private_key", "leeway": "clock_skew",
    "listen": "listeners", "listener": "listeners", "local_jwks": "jwks_file", "lt": "less_than", "lte": "at_most", "name": "header",
    "none": "not", "oidc": "discovery", "openid": "discovery", "optional": "allow_missing", "params": "from_params", "paths": "routes",
    "policies": "routes", "providers": "issuers", "public_key": "pem_file", "query": "from_params", "rate_limit": "fail_limit",
    "revocations": "revocation", "roles": "rules", "scope": "scopes", "scopes": "required_scopes", "secret": "secret_file",
    "servers": "endpoints", "shadow": "report_only", "ssl": "tls", "starts_with": "prefix", "state_dir": "state_directory",
    "upstreams": "clusters", "url": "uri", "well_known": "discovery",
}  # fmt: skip

# Settings of other programs that lbjwt does not have on purpose, and what to use instead. A similar key of ours would mean something else.
_PASSES_BAD_TOKENS: Final = (
    "lbjwt has no setting that silently lets bad tokens pass; use report_only on a route: requests pass, log and metrics say what would be refused, "
    "and backends are told in X-Jwt-Would-Refuse"
)
_READS_BODIES: Final = (
    "lbjwt reads no token from a request body, which it would have to store before it knows the client; send the token in Authorization, or see "
    "from_headers, from_cookies and from_params"
)
_LEFT_OUT: Final = {
    **dict.fromkeys(
        ["allow_failed", "allow_missing_or_failed", "extract_only_without_validation", "permissive", "skip_verification", "validate_sig"],
        _PASSES_BAD_TOKENS,
    ),
    **dict.fromkeys(["form", "form_params", "from_body", "from_form", "from_form_body", "from_forms", "token_body"], _READS_BODIES),
}  # fmt: skip

_SENTENCES: Final = {
    "missing": "is required",
    "extra_forbidden": "unknown key",
    "string_type": "must be text",
    "bool_type": "must be true or false",
    "int_type": "must be a whole number",
    "int_from_float": "must be a whole number",
    "int_parsing_size": "is too large",
    "greater_than_equal": "must be at least {ge}",
    "less_than_equal": "must be at most {le}",
    "model_type": "must be a mapping of keys to values",
    "model_attributes_type": "must be a mapping of keys to values",
    "dict_type": "must be a mapping of labels to values",
    "tuple_type": "must be a list",
    "too_short": "must have at least {min_length} in the list",
    "too_long": "must have at most {max_length} in the list",
    "string_too_short": "must not be empty",
    "string_too_long": "must have at most {max_length} characters",
    "string_unicode": "must be Unicode text",
}


# An example of each section, for messages about another value in its place.
EXAMPLES: Final = {
    "Authorize": "{profile: nginx}",
    "BackendTls": "{ca: backends-ca.pem}",
    "AccessLog": '{path: "-"}',
    "Admin": '{address: "127.0.0.1:9900"}',
    "Balancing": "{method: round_robin}",
    "ClaimHeader": "{claim: sub, header: X-Jwt-Sub}",
    "ClusterChoice": "{split: {api: 95, canary: 5}}",
    "Cluster": '{endpoints: [{address: "127.0.0.1:9001"}]}',
    "Discovery": "{}",
    "Ejection": "{consecutive_5xx: 5}",
    "EndpointList": '{endpoints: [{address: "127.0.0.1:9001"}]}',
    "Endpoint": '{address: "127.0.0.1:9001"}',
    "FailLimit": "{failures: 100}",
    "FromCookie": "{name: __Host-token}",
    "FromHeader": "{name: X-Token}",
    "FromParam": "{name: access_token}",
    "Health": "{path: /ready}",
    "HealthCheck": "{path: /health}",
    "EndpointHttp2": "{max_streams: 100}",
    "Http2Limits": "{max_streams: 100}",
    "Issuer": '{issuer: "https://issuer.example", audiences: [api], discovery: {}}',
    "Jwe": "{key_files: [decryption.pem]}",
    "Limits": "{max_token: 8KiB}",
    "Listener": '{address: "127.0.0.1:8080"}',
    "Refusals": "{format: json}",
    "RemoteJwks": '{uri: "https://issuer.example/jwks.json"}',
    "RemoteKeys": '{uri: "https://keys.example/{kid}"}',
    "Require": "{issuer: main}",
    "Resolve": "{max_ttl: 30s}",
    "Resource": '{identifier: "https://api.example"}',
    "Rewrite": "{path: /v2/orders}",
    "Retry": "{attempts: 2, on: [connect_failure, reset, 503]}",
    "Revocation": "{}",
    "Route": "{name: orders, prefix: /orders}",
    "RouteRule": "{claim: role, equals: clerk}",
    "Rule": "{claim: role, equals: clerk}",
    "Scopes": '{all: ["orders:read"]}',
    "Tenants": "{names: [one, two]}",
    "Timeouts": "{drain: 30s}",
    "Tls": "{certificate: cert.pem, private_key: key.pem}",
    "TokenCache": "{max_bytes: 64MiB}",
}


@dataclass(frozen=True, slots=True)
class Problem:
    """
    One thing wrong (``error``) or unwise (``warning``) in a configuration.

    ``code`` is a stable word for programs; ``line`` and ``column`` count from 1 and are None without a file.
    ``at_key``: the key is wrong, not its value.
    """

    path: KeyPath
    message: str
    level: Literal["error", "warning"] = "error"
    code: str = "invalid"
    suggestion: str | None = None
    at_key: bool = False
    line: int | None = None
    column: int | None = None

    def render(self, source: str = "") -> str:
        """``source:line:column: key.path: sentence; did you mean "x"?``; of a warning with that word and its code."""
        place = f"{source}:{self.line}:{self.column}: " if self.line is not None else f"{source}: " if source else ""
        warning = "warning: " if self.level == "warning" else ""
        path = f"{key_path_text(self.path)}: " if self.path else ""
        suggestion = f'; did you mean "{printable(self.suggestion)}"?' if self.suggestion is not None else ""
        code = f" [{self.code}]" if self.level == "warning" else ""
        return f"{place}{warning}{path}{printable(self.message)}{suggestion}{code}"


class ConfigurationError(errors.ConfigurationError):
    """An invalid configuration; its text has one line for each problem."""

    def __init__(self, problems: Iterable[Problem], source: str = "") -> None:
        self.problems = tuple(problems)
        self.source = source
        super().__init__("\n".join(problem.render(source) for problem in self.problems))


def key_path_text(path: KeyPath) -> str:
    """A path of keys and list indices as text: ``issuers.main.algorithms[1]``."""
    text = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path)
    return printable(text.removeprefix("."))


def describe(error: ValidationError, model: type[Section]) -> list[Problem]:
    found = [details for details in error.errors(include_url=False) if not _is_echo(details)]
    problems = [problem for details in found for problem in _problems(details, model)]
    # A misspelt key is not reported a second time as missing, not even by a rule between keys.
    misspelt = {(*problem.path[:-1], problem.suggestion) for problem in problems if problem.code == "unknown-key"}
    return [problem for problem in problems if not any(_is_missing(problem, path) for path in misspelt)]


def _is_missing(problem: Problem, path: tuple[str | int | None, ...]) -> bool:
    """True for a problem that only says that the key at the path is missing."""
    if problem.code == "missing":
        return problem.path == path
    return (
        problem.code == "inconsistent"
        and problem.path == path[:-1]
        and re.search(rf"\b{path[-1]}\b", problem.message) is not None
    )


def _is_echo(details: ErrorDetails) -> bool:
    """True for "too short" about a list that is long enough: pydantic does not count items that have problems of their own."""
    given = details["input"]
    return (
        details["type"] == "too_short" and isinstance(given, list) and len(given) >= int(details["ctx"]["min_length"])
    )


def _problems(details: ErrorDetails, model: type[Section]) -> Iterator[Problem]:
    if details["type"] != ACROSS:
        yield _problem(details, model)
        return
    holder: KeyPath = tuple(details["loc"])[:-1]
    for fault in details["ctx"]["faults"]:
        code = fault.code or ("invalid" if fault.place else "inconsistent")
        yield Problem((*holder, *fault.place), fault.sentence, code=code, at_key=fault.at_key or not fault.place)


def _problem(details: ErrorDetails, model: type[Section]) -> Problem:
    path: KeyPath = tuple(details["loc"])
    kind, given = details["type"], details["input"]
    context: dict[str, Any] = details.get("ctx", {})
    if path and path[-1] == "[key]":
        return Problem(path[:-1], _sentence(details), at_key=True)
    if kind == "missing":
        return Problem(path, _sentence(details), code="missing", at_key=True)
    if kind == "extra_forbidden":
        return _unknown_key(path, given, model)
    if kind == "literal_error":
        return _unknown_word(path, given, re.findall(r"'([^']*)'", context["expected"]))
    if kind == EMPTY:
        return Problem(path, _sentence(details), at_key=True)
    if given is None and kind != "value_error":
        return Problem(path, "has no value; give it one or remove the key", at_key=True)
    message = _sentence(details)
    if kind == "string_type" and isinstance(given, int | float):
        message += "; put it in quotes"
    if kind == "tuple_type" and isinstance(given, str | int | float | dict):
        message += "; begin each item with a dash, or put it in [ ]"
    if kind == "int_type" and isinstance(given, str) and re.fullmatch(r"[-+]?[0-9]{1,9}(\.[0-9]{1,9})?", given):
        message += ", without quotes"
    if kind in ("model_type", "model_attributes_type", "dict_type"):
        message += _example(path, model)
    if isinstance(given, str) and is_variable(given):
        message += f"; {NOT_REPLACED}"
    return Problem(path, message)


def _example(path: KeyPath, model: type[Section]) -> str:
    section = _section_at(model, path)
    example = EXAMPLES.get(section.__name__) if section is not None else None
    if example is None:
        return ""
    label_due = bool(path) and path[-1] in ("issuers", "clusters")
    return f", such as {{main: {example}}}" if label_due else f", such as {example}"


def _sentence(details: ErrorDetails) -> str:
    context: dict[str, Any] = details.get("ctx", {})
    if details["type"] == "value_error":
        return str(context["error"])
    template = _SENTENCES.get(details["type"])
    return template.format(**context) if template is not None else details["msg"]


def _unknown_key(path: KeyPath, given: Any, model: type[Section]) -> Problem:
    """An unknown key, with the likely one, the mapping to which it belongs, or the reason why there is none."""
    key = str(path[-1])
    for word in (key, given):  # as in `mode: permissive`
        if isinstance(word, str) and (sentence := _LEFT_OUT.get(word.lower().replace("-", "_"))) is not None:
            return Problem(path, f"unknown key; {sentence}", code="unknown-key", at_key=True)
    section = _section_at(model, path[:-1])
    known = list(keys_of(section)) if section is not None else []
    likely = difflib.get_close_matches(key.lower().replace("-", "_"), known, 1, 0.7)
    other = _OTHER_WORDS.get(key.lower().replace("-", "_"))
    if not likely and other in known:
        likely = [other]
    if likely:
        return Problem(path, "unknown key", code="unknown-key", suggestion=likely[0], at_key=True)
    home = next((f"{where}.{name}" for where, name in _all_keys(model) if name in (key, other)), None)
    message = "unknown key" if home is None else f"unknown key here; it belongs in {home.removeprefix('.')}"
    return Problem(path, message, code="unknown-key", at_key=True)


def _unknown_word(path: KeyPath, given: Any, words: list[str]) -> Problem:
    if isinstance(given, str) and given.lower() == "none" and "RS256" in words:
        return Problem(path, '"none" is never accepted', code="algorithm-none")
    by_fold = {word.lower(): word for word in words}
    likely = difflib.get_close_matches(str(given).lower(), by_fold, 1, 0.6)
    return Problem(path, f"must be one of {', '.join(words)}", suggestion=by_fold[likely[0]] if likely else None)


def _section_at(model: type[Section], path: KeyPath) -> type[Section] | None:
    """The section at a path of the document."""
    section: type[Section] | None = model
    label_due = False
    for step in path:
        if isinstance(step, int) or label_due or section is None:
            label_due = False
            continue
        field = keys_of(section).get(step)
        if field is None:
            return None
        label_due = get_origin(field.annotation) is dict
        section = section_in(field.annotation)
    return section


def _all_keys(
    model: type[Section], where: str = "", around: frozenset[type[Section]] = frozenset()
) -> Iterator[tuple[str, str]]:
    """Every key of the model with its place, the outer ones first. A section that contains itself, such as a rule, comes once."""
    keys = keys_of(model)
    yield from ((where, name) for name in keys)
    for name, field in keys.items():
        section = section_in(field.annotation)
        if section is not None and section not in around:
            label = ".<label>" if get_origin(field.annotation) is dict else ""
            yield from _all_keys(section, f"{where}.{name}{label}".removeprefix("."), around | {section})


def printable(text: str) -> str:
    """Escape control characters, which could drive a terminal."""
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode("ascii")
        for character in text
    )
