"""Envoy's ``jwt_authn``."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from bench.compared import http2
from bench.compared.scene import AUDIENCE, ISSUER, OTHER, Program, Scene, Trial, streamed, unsigned
from bench.peers.envoy import PEERS, configuration, program
from tests.harness.ports import free_port

ABOUT = PEERS[1]
_TYPES = "type.googleapis.com/envoy.extensions"
_NEED: dict[str, Any] = {"provider_name": "main"}
_HEADER = [{"header_name": "X-Jwt-Sub", "claim_name": "sub"}]


def _provider(scene: Scene, **changes: Any) -> dict[str, Any]:
    """One with its keys in the configuration; None leaves a field out."""
    keys = {"inline_string": json.dumps(scene.key_set(scene.key))}
    fields = {"issuer": ISSUER, "audiences": [AUDIENCE], "forward": True, "local_jwks": keys, **changes}
    return {name: value for name, value in fields.items() if value is not None}


def _remote(scene: Scene, path: str = "/jwks", **changes: Any) -> dict[str, Any]:
    """One whose keys are fetched."""
    uri = {"uri": f"http://issuer{path}", "cluster": "backend", "timeout": "1s"}
    return _provider(scene, local_jwks=None, remote_jwks={"http_uri": uri, **changes})


@contextmanager
def _envoy(
    scene: Scene,
    *providers: dict[str, Any],
    need: dict[str, Any] | None = _NEED,
    rules: list[dict[str, Any]] | None = None,
    workers: int = 1,
    before: list[dict[str, Any]] | None = None,
) -> Iterator[tuple[Program, int]]:
    """Envoy with these providers, called main and other, and its admin port."""
    found = [{"match": {"prefix": "/"}, **({} if need is None else {"requires": need})}] if rules is None else rules
    auth = {
        "name": "envoy.filters.http.jwt_authn",
        "typed_config": {
            "@type": f"{_TYPES}.filters.http.jwt_authn.v3.JwtAuthentication",
            "providers": dict(zip(("main", "other"), providers, strict=False)),
            "rules": found,
        },
    }
    admin = free_port()

    def command(port: int) -> list[str]:
        whole = configuration(port, scene.backend_port, [*(before or []), auth])
        whole["admin"] = {"address": {"socket_address": {"address": "127.0.0.1", "port_value": admin}}}
        manager = whole["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"]
        log = {
            "@type": f"{_TYPES}.access_loggers.stream.v3.StdoutAccessLog",
            "log_format": {"text_format_source": {"inline_string": "%RESPONSE_CODE_DETAILS%\n"}},
        }
        manager["access_log"] = [{"name": "envoy.access_loggers.stdout", "typed_config": log}]
        path = scene.file("envoy.json", json.dumps(whole).encode())
        return [
            program() or "envoy",
            "-c",
            str(path),
            "--concurrency",
            str(workers),
            "--disable-hot-restart",
            "-l",
            "error",
        ]

    with scene.program("envoy", command) as running:
        yield running, admin


def _counter(running: Program, admin: int, end: str) -> int:
    """The sum of the counters whose names end so."""
    stats = running.text("/stats", admin)
    return sum(int(value) for value in re.findall(rf"\S*{end}: (\d+)", stats))


def _status(scene: Scene, token: str, **changes: Any) -> str:
    with _envoy(scene, _provider(scene, **changes)) as (running, _):
        return str(running.ask(token).status)


def _exp(scene: Scene) -> str:
    token = scene.key.mint(exp=None)
    return f"{_status(scene, token)}; with require_expiration {_status(scene, token, require_expiration=True)}"


def _names(scene: Scene) -> str:
    return _status(scene, scene.key.mint(iss="https://anybody.example", aud="anything"), issuer=None, audiences=None)


def _several(scene: Scene) -> str:
    others = {"inline_string": json.dumps(scene.key_set(scene.other))}
    need = {"requires_any": {"requirements": [{"provider_name": "main"}, {"provider_name": "other"}]}}
    with _envoy(scene, _provider(scene), _provider(scene, issuer=OTHER, local_jwks=others), need=need) as (running, _):
        tokens = scene.token, scene.other.mint(iss=OTHER), scene.key.mint(iss=OTHER)
        return " ".join(str(running.ask(token).status) for token in tokens)


def _discovery(scene: Scene) -> str:
    with _envoy(scene, _remote(scene, "/.well-known/openid-configuration")) as (running, _):
        return str(running.ask(scene.token).status)


def _first_use(scene: Scene, **changes: Any) -> str:
    with _envoy(scene, _remote(scene, **changes), workers=2) as (running, _):
        time.sleep(0.5)
        early = scene.fetches
        for _ in range(40):
            running.ask(scene.token)
        return f"{early} fetches before the first request, {scene.fetches} when both workers had some"


def _unknown_key(scene: Scene, duration: str, wait: float) -> str:
    with _envoy(scene, _remote(scene, cache_duration={"seconds": duration})) as (running, _):
        first = running.ask(scene.token).status
        scene.jwks = scene.key_set(scene.key, scene.other)
        time.sleep(wait)
        return f"{first}, then {running.ask(scene.other.mint()).status} after {scene.fetches} fetches"


def _outage(scene: Scene, **changes: Any) -> str:
    with _envoy(scene, _remote(scene, cache_duration={"seconds": "1"}, **changes)) as (running, _):
        first = running.ask(scene.token).status
        scene.jwks = None
        time.sleep(3)
        return f"{first}, then {running.ask(scene.token).status}"


def _never(scene: Scene) -> str:
    scene.jwks = None
    with _envoy(scene, _remote(scene)) as (running, _):
        return str(running.ask(scene.token).status)


def _cache(scene: Scene, **changes: Any) -> str:
    with _envoy(scene, _provider(scene, **changes)) as (running, admin):
        tokens = [scene.key.mint(jti=str(number)) for number in range(101)]
        for token in tokens:
            running.ask(token)
        running.ask(tokens[-1])
        running.ask(tokens[0])
        return f"{_counter(running, admin, 'jwt_cache_hit')} hits"


def _stream(scene: Scene) -> str:
    with _envoy(scene, _provider(scene, clock_skew_seconds=1)) as (running, _):
        return streamed(running.ask(scene.key.mint(exp=int(time.time()) + 2), path="/stream"))


def _skew(scene: Scene) -> str:
    now = int(time.time())
    return " ".join(_status(scene, scene.key.mint(exp=now - age)) for age in (30, 90))


def _report_only(scene: Scene) -> str:
    with _envoy(scene, _provider(scene), need={"allow_missing_or_failed": {}}) as (running, admin):
        status = running.ask(scene.key.mint(aud="other")).status
        return f"{status}, counted as allowed {_counter(running, admin, 'jwt_authn.allowed')}, denied {_counter(running, admin, 'jwt_authn.denied')}"


def _reasons(scene: Scene) -> str:
    with _envoy(scene, _provider(scene)) as (running, admin):
        running.ask(scene.key.mint(exp=1))
        running.ask(scene.token[:-8] + "AAAAAAAA")
        names = sorted(set(re.findall(r"jwt_authn\.(\w+): [1-9]", running.text("/stats", admin))))
    log = re.findall(r"jwt_authn_access_denied\{(\w+)\}", (scene.directory / "envoy.log").read_text())
    return f"counters above 0: {', '.join(names)}; in the access log: {', '.join(log)}"


def _or(requirement: str) -> dict[str, Any]:
    return {"requires_any": {"requirements": [_NEED, {requirement: {}}]}}


_PUBLIC = [{"match": {"prefix": "/"}}]
_COPIES: tuple[tuple[str, str, dict[str, Any], bool, dict[str, Any]], ...] = (
    ("a good token with the claim", "alice", {}, True, {}),
    ("a good token without the claim", "none", {}, True, {"sub": None}),
    ("a rule that asks for nothing", "none", {"rules": _PUBLIC}, False, {}),
    ("a rule that asks for nothing, and a good token", "none", {"rules": _PUBLIC}, True, {}),
    ("no rule for the path", "none", {"rules": [{"match": {"prefix": "/x"}, "requires": _NEED}]}, False, {}),
    ("allow_missing, and no token", "none", {"need": _or("allow_missing")}, False, {}),
    ("allow_missing_or_failed, and a bad token", "none", {"need": _or("allow_missing_or_failed")}, True, {"aud": "other"}),
)  # fmt: skip


def _copy(name: str, options: dict[str, Any], sends: bool, changes: dict[str, Any], scene: Scene) -> str:
    with _envoy(scene, _provider(scene, claim_to_headers=_HEADER), **options) as (running, _):
        answer = running.ask(scene.key.mint(**changes) if sends else None, f"{name}: forged")
        return f"{answer.status}, the backend received: {answer.copies('x-jwt-sub', 'x_jwt_sub')}"


def _health(scene: Scene) -> str:
    check = {
        "name": "envoy.filters.http.health_check",
        "typed_config": {
            "@type": f"{_TYPES}.filters.http.health_check.v3.HealthCheck",
            "pass_through_mode": False,
            "headers": [{"name": ":path", "string_match": {"exact": "/up"}}],
        },
    }
    with _envoy(scene, _provider(scene), before=[check]) as (running, admin):
        status = running.ask(path="/up").status
        by_status, total = (_counter(running, admin, f"http.edge.downstream_rq_{end}") for end in ("2xx", "total"))
    logged = (scene.directory / "envoy.log").read_text().split()
    return f"{status}, counted by status {by_status}, in the total {total}, logged {len(logged)}"


TRIALS = (
    Trial("`exp` must be there", "a token without exp", "200; with require_expiration 401", _exp),
    Trial("issuer and audience must be named, or waived explicitly", "a provider that names neither", "200", _names),
    Trial(
        http2.ROW,
        "TLS, then with alpn_protocols too; a cluster with http2_protocol_options",
        "200 over HTTP/1.1; 200 over HTTP/2",
        partial(http2.spoken, peer=PEERS[0], file="envoy.json", offer='"alpn_protocols": ["h2", "http/1.1"], '),
    ),
    Trial("`none`", "a token of the algorithm none", "401", lambda scene: _status(scene, unsigned())),
    Trial(
        "several issuers", "requires_any: a token of each, and one signed by the other's key", "200 200 401", _several
    ),
    Trial("keys by discovery", "the URL of a discovery document", "401", _discovery),
    Trial(
        "keys from a URL", "remote_jwks", "0 fetches before the first request, 2 when both workers had some", _first_use
    ),
    Trial(
        "keys from a URL",
        "remote_jwks with async_fetch",
        "1 fetches before the first request, 1 when both workers had some",
        partial(_first_use, async_fetch={}),
    ),
    Trial(
        "unknown key id",
        "a key that was published after the fetch",
        "200, then 401 after 1 fetches",
        partial(_unknown_key, duration="600", wait=0.5),
    ),
    Trial(
        "unknown key id",
        "the same after a cache_duration of 1 s",
        "200, then 200 after 2 fetches",
        partial(_unknown_key, duration="1", wait=1.5),
    ),
    Trial("keys when the URL fails", "the issuer fails, and cache_duration has passed", "200, then 401", _outage),
    Trial("keys when the URL fails", "the same with async_fetch", "200, then 200", partial(_outage, async_fetch={})),
    Trial("keys when the URL fails", "the issuer never answered", "401", _never),
    Trial("verified tokens remembered", "101 tokens, then the last and the first again", "0 hits", _cache),
    Trial(
        "verified tokens remembered",
        "the same with jwt_cache_config: {}",
        "1 hits",
        partial(_cache, jwt_cache_config={}),
    ),
    Trial(
        "streams when their token ends", "a token that expires in 2 s, a stream of 5 s", "goes on to its end", _stream
    ),
    Trial(
        "report-only", "allow_missing_or_failed, and a bad token", "200, counted as allowed 1, denied 0", _report_only
    ),
    Trial(
        "refusals counted by reason",
        "an expired token, and a wrong signature",
        "counters above 0: denied, jwt_cache_miss; in the access log: Jwt_is_expired, Jwt_verification_fails",
        _reasons,
    ),
    *(
        Trial(
            "client's copy of a claim header",
            f"{name}; X-Jwt-Sub: forged",
            f"200, the backend received: {seen}",
            partial(_copy, "X-Jwt-Sub", options, sends, changes),
        )
        for name, seen, options, sends, changes in _COPIES
    ),
    Trial(
        "client's copy of a claim header",
        "a good token; X_Jwt_Sub: forged",
        "200, the backend received: forged, alice",
        partial(_copy, "X_Jwt_Sub", {}, True, {}),
    ),
    Trial("", "expired 30 s and 90 s ago", "200 401", _skew),
    Trial("", "the health_check filter", "200, counted by status 0, in the total 1, logged 1", _health),
)
