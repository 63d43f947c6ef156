"""What routes do to traffic: who must show a token, what a bad one does where none is needed, what is only reported. Whole and byte by byte."""

import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lbjwt._fastverify import DenyReason
from lbjwt.auth._places import TokenPlaces
from lbjwt.auth._route_rules import RouteRules
from lbjwt.auth.route_policy import RoutePolicy
from lbjwt.proxy._accept import accepted
from lbjwt.proxy._admission import Admission
from lbjwt.proxy._route import Demand, Route
from lbjwt.proxy.answers import route_answers
from lbjwt.upstream._cluster import Cluster
from tests.playbooks.policies import Policies, bearer, field_of, status_of, token
from tests.playbooks.stage import Client, Stage, request
from tests.playbooks.steps import counts, is_refused, passes
from tests.playbooks.strict_route import (
    ABOUT_A,
    REASONS,
    bad_requests,
    strict,
    strict_stage,
)


def test_a_public_route_looks_at_no_token(pieces: int | None) -> None:
    """Without, with a good and with a bad token a request passes as it is, as nobody; what clients say of themselves does not."""
    policies = Policies("  - {name: open, prefix: /open, public: true}\n  - {name: rest, prefix: /}")
    stage = Stage(pieces, **policies.options())
    client = stage.client()
    for auth in (b"", bearer(token()), b"Authorization: Bearer rubbish\r\n"):
        seen = passes(stage, client, request("GET", "/open/x", "X-Jwt-Sub: root", auth=auth))
        assert auth in seen and b"X-Jwt-Sub" not in seen
    assert stage.totals["accepted"] == 0 and sum(stage.totals["refusals"]) == 0
    assert status_of(is_refused(stage, client, request("GET", "/closed", auth=b""))) == 401


def test_c8_absence_passes_where_a_token_may_be_missing_and_a_bad_token_never(pieces: int | None) -> None:
    """No token passes as nobody, a good one as its subject; expired, forged, of an unknown issuer or badly put: refused (THREATS C8)."""
    policies = Policies("  - {name: maybe, prefix: /maybe, allow_missing: true}\n  - {name: rest, prefix: /}")
    stage = Stage(pieces, **policies.options())
    client = stage.client()
    assert b"X-Jwt-Sub" not in passes(stage, client, request("GET", "/maybe", "X-Jwt-Sub: root", auth=b""))
    assert b"\r\nX-Jwt-Sub: user-of-a\r\n" in passes(stage, client, request("GET", "/maybe", auth=bearer(token())))
    assert b"X-Jwt-Sub" not in passes(stage, client, request("GET", "/maybe", auth=b"Authorization: Basic eA==\r\n"))
    for bad, status in {
        bearer(token(exp=int(time.time()) - 3600)): 401,
        bearer(token(iss="https://stranger.test")): 401,
        bearer(token("b", iss=Policies.issuer("a"))): 401,
        bearer(token(iss=None)): 401,
        bearer("x.y.z"): 401,
        bearer(token())[:-2] + b" x\r\n": 400,
        b"Authorization: Bearer\r\n": 400,
        bearer(token()) * 2: 400,
    }.items():
        assert status_of(is_refused(stage, client, request("GET", "/maybe", auth=bad))) == status, bad
    assert status_of(is_refused(stage, client, request("GET", "/closed", auth=b""))) == 401


# --- every reason, refused and only reported --------------------------------------------------------------------------


def issuer_of(reason: DenyReason) -> int:
    """Under which issuer it is counted."""
    return 0 if reason in ABOUT_A else {DenyReason.KEYS_UNAVAILABLE: 1, DenyReason.NOT_ENCRYPTED: 2}.get(reason, -1)


@pytest.mark.parametrize("reason", REASONS, ids=lambda reason: reason.name)
def test_every_reason_refuses_and_is_counted_under_its_issuer(pieces: int | None, reason: DenyReason) -> None:
    """Each reason there is has a request that meets it, a 4xx or 503, and one count; no endpoint hears of it."""
    stage = strict_stage(pieces, "prefix: /", reason)
    answer = is_refused(stage, stage.client(), request(auth=bad_requests()[reason]))
    assert status_of(answer) in (400, 401, 403, 429, 503)
    assert counts(stage, issuer_of(reason)) == {"refusals": {reason.name: 1}, "reported": {}}
    assert stage.totals["accepted"] == 0 and sum(stage.totals["refusals"]) == 1


@pytest.mark.parametrize(
    "reason", [reason for reason in REASONS if reason is not DenyReason.NO_CLUSTER], ids=lambda reason: reason.name
)
def test_what_is_only_reported_passes_as_nobody(pieces: int | None, reason: DenyReason) -> None:
    """The same requests reach the endpoint without identity, and count as reported, not as refused or accepted. A fault of ours refuses."""
    stage = strict_stage(pieces, "prefix: /, report_only: true", reason)
    client, data = stage.client(), request("GET", "/", "X-Jwt-Sub: root", auth=bad_requests()[reason])
    if reason is DenyReason.INTERNAL:
        assert status_of(is_refused(stage, client, data)) == 401
        assert counts(stage, 0) == {"refusals": {"INTERNAL": 1}, "reported": {}}
        return
    seen = passes(stage, client, data)
    assert b"X-Jwt-Sub" not in seen and b"X-Name" not in seen
    assert counts(stage, issuer_of(reason)) == {"refusals": {}, "reported": {reason.name: 1}}
    assert stage.totals["accepted"] == 0 and sum(stage.totals["reported"]) == 1
    if reason is DenyReason.RATE_LIMITED:
        return  # the address goes on being one that nobody listens to
    assert b"\r\nX-Jwt-Sub: alice\r\n" in passes(stage, client, request(auth=bearer(strict())))
    assert stage.totals["accepted"] == 1 and sum(stage.totals["reported"]) == 1


def test_a_rule_that_only_reports_lets_the_token_keep_its_identity(pieces: int | None, tmp_path: Path) -> None:
    """The request counts as accepted and as reported; where another rule refuses, nothing is reported, in the log neither."""
    policies = Policies(
        "  - {name: only, prefix: /, rules: [{claim: level, at_least: 3, report_only: true}, {claim: ok, equals: true}]}"
    )
    stage = Stage(pieces, **policies.options(log=tmp_path / "log"))
    client = stage.client()
    for _ in range(2):  # judged, then remembered
        assert b"\r\nX-Jwt-Sub: user-of-a\r\n" in passes(
            stage, client, request(auth=bearer(token(ok=True, level=2, exp=2_000_000_000)))
        )
    assert counts(stage, 0) == {"refusals": {}, "reported": {"CLAIM_REFUSED": 2}}
    assert stage.totals["accepted"] == 2
    assert status_of(is_refused(stage, client, request(auth=bearer(token(ok=False, level=2))))) == 403
    assert counts(stage, 0) == {"refusals": {"CLAIM_REFUSED": 1}, "reported": {"CLAIM_REFUSED": 2}}
    lines = stage.records()
    assert [(line.get("reason"), line.get("would_refuse"), line["route"], line["issuer"]) for line in lines] == [
        *[(None, "claim_refused", "only", "a")] * 2,
        ("claim_refused", None, "only", "a"),
    ]


def test_a22_a_token_over_the_limit_is_not_looked_at(pieces: int | None) -> None:
    """max_token bounds what is decoded, however good the token is; within it passes (THREATS A22)."""
    policies = Policies(rest="limits: {max_token: 512}")
    stage = Stage(pieces, **policies.options())
    client = stage.client()
    short, long = token(), token(pad="x" * 400)
    assert len(short) <= 512 < len(long)
    passes(stage, client, request(auth=bearer(short)))
    assert status_of(is_refused(stage, client, request(auth=bearer(long)))) == 401
    assert counts(stage, -1)["refusals"] == {"MALFORMED": 1} and policies.verifier.gate.cache.misses == 1


# --- one token, many routes -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("order", ["alternating", "at random"])
def test_d2_a_verdict_of_one_route_is_none_of_another(order: str) -> None:
    """One connection, cached tokens, two routes with audiences and scopes of their own, 2000 requests (THREATS D2, C10)."""
    policies = Policies(
        "  - {name: red, prefix: /red, audiences: [red], scopes: {all: [r]}}\n"
        "  - {name: blue, prefix: /blue, audiences: [blue], scopes: {any: [b]}}\n"
    )
    stage = Stage(None, **policies.options())
    client, chance = stage.client(), random.Random(7)
    tokens = {
        bearer(token(aud=["api", *audiences], scope=scope)): ("red" in audiences and "r" in scope, "blue" in audiences and "b" in scope)
        for audiences in ((), ("red",), ("blue",), ("red", "blue"))
        for scope in ("", "r", "b", "r b")
    }  # fmt: skip
    texts = list(tokens)
    for number in range(2000):
        if order == "alternating":
            auth, blue = texts[number // 8 % len(texts)], number % 2
        else:
            auth, blue = chance.choice(texts), chance.randrange(2)
        data = request("GET", ("/red", "/blue")[blue], auth=auth)
        if tokens[auth][blue]:
            passes(stage, client, data)
        else:
            assert status_of(is_refused(stage, client, data)) in (401, 403)
    assert policies.verifier.gate.cache.misses == len(texts), "each token was verified once"


def test_verdicts_are_remembered_right_with_more_routes_than_there_is_room_for() -> None:
    """Twenty routes share eight places in each grant: every verdict is that of its own route, whatever was judged before it (THREATS D2)."""
    routes = [
        f"  - {{name: r{number}, path: /{number}, rules: [{{claim: at, contains: {number}}}]}}" for number in range(20)
    ]
    policies = Policies("\n".join(routes))
    stage = Stage(None, **policies.options())
    client, chance = stage.client(), random.Random(11)
    open_to = [{n for n in range(20) if chance.random() < 0.5} for _ in range(3)]
    texts = [bearer(token(at=sorted(numbers))) for numbers in open_to]
    for _ in range(3000):
        which, number = chance.randrange(3), chance.randrange(20)
        data = request("GET", f"/{number}", auth=texts[which])
        if number in open_to[which]:
            passes(stage, client, data)
        else:
            assert status_of(is_refused(stage, client, data)) == 403


# --- too many failures ------------------------------------------------------------------------------------------------


def limited(pieces: int | None, revoked: Callable[..., bool] | None = None) -> tuple[Policies, Stage]:
    policies = Policies("", {"a": "", "b": ""}, "fail_limit: {failures: 3}", revoked)
    return policies, Stage(pieces, **policies.options())


def test_s9_an_address_that_fails_too_often_gets_429_without_cryptography(pieces: int | None) -> None:
    """From the third refusal on unknown tokens are not looked at; a token known to be good passes, so does another address (THREATS S9)."""
    policies, stage = limited(pieces)
    client, known = stage.client(), bearer(token())
    passes(stage, client, request(auth=known))
    for bad in (bearer("z"), bearer("x.y.z"), bearer(token("b", "k2"))):
        assert status_of(is_refused(stage, client, request(auth=bad))) == 401
    misses = policies.verifier.gate.cache.misses
    for _ in range(5):
        answer = is_refused(stage, client, request(auth=bearer(token(jti="fresh"))))
        assert status_of(answer) == 429 and int(field_of(answer, "Retry-After")) > 0
    assert len(policies.verifier.gate.cache) == 1 and policies.verifier.gate.cache.misses == misses + 5
    passes(stage, client, request(auth=known))
    passes(stage, stage.client(), request(auth=known))  # not by the hint of its connection either
    assert counts(stage, -1)["refusals"]["RATE_LIMITED"] == 5
    other = Client(stage, accepted(stage.context, stage.listener))
    other.transport.address = ("192.0.2.8", 1)
    other.side.connection_made(other.transport)
    passes(stage, other, request(auth=bearer(token(jti="another address"))))


def test_only_what_a_client_did_is_held_against_its_address(pieces: int | None) -> None:
    """No keys, a fault of ours and the 429 itself do not count."""

    def faulty(issuer: int, kid: str, claims: Any, now: float) -> bool:
        raise RuntimeError("no table")

    policies, stage = limited(pieces, faulty)
    client, now = stage.client(), time.monotonic
    policies.publish("b")
    assert policies.offenders is not None
    for _ in range(4):
        assert status_of(is_refused(stage, client, request(auth=bearer(token("b"))))) == 503
        assert status_of(is_refused(stage, client, request(auth=bearer(token())))) == 401
    assert counts(stage, 0)["refusals"] == {"INTERNAL": 4}
    assert policies.offenders.failures("192.0.2.7", now()) == 0
    for expected in (401, 401, 401, 429, 429):
        data = request(auth=bearer(token(exp=1))) if expected == 401 else request(auth=bearer(token()))
        assert status_of(is_refused(stage, client, data)) == expected
    assert policies.offenders.failures("192.0.2.7", now()) == 3


def test_a_body_over_the_limit_is_refused_before_its_token_is_looked_at(pieces: int | None) -> None:
    """413 says nothing about a token, so none is tried with it: else an address could guess without ever being counted (THREATS S9)."""
    policies, _ = limited(pieces)
    stage = Stage(pieces, **policies.options(max_request_body=8))
    cache = policies.verifier.gate.cache
    for auth in (bearer(token()), bearer(token("b", "k2")), b""):
        answer = is_refused(stage, stage.client(), request("POST", "/", "Content-Length: 9", auth=auth))
        assert status_of(answer) == 413
    assert (len(cache), cache.misses, sum(stage.totals["refusals"])) == (0, 0, 0)


def test_no_token_and_a_403_are_not_held_against_the_address(pieces: int | None) -> None:
    """Any page can make a browser ask without a token, and a good one that does not suffice is no forgery: neither shuts out its address."""
    policies = Policies("  - {name: only, prefix: /, scopes: {all: [s]}}", rest="fail_limit: {failures: 2}")
    stage = Stage(pieces, **policies.options())
    client = stage.client()
    for auth, expected in [(bearer(token()), 403), (b"", 401)] * 3:
        assert status_of(is_refused(stage, client, request(auth=auth))) == expected
    passes(stage, client, request(auth=bearer(token(scope="s"))))


@pytest.mark.parametrize(
    ("fields", "blamed"),
    [
        (("X-Forwarded-For: 203.0.113.9",), "203.0.113.9"),
        (("X-Forwarded-For: 198.51.100.1, 203.0.113.9",), "203.0.113.9"),
        (("X-Forwarded-For: 198.51.100.1, 203.0.113.9, 192.0.2.44 ,192.0.2.8",), "203.0.113.9"),
        (("X-Forwarded-For: 203.0.113.9", "X-Forwarded-For: 192.0.2.44"), "203.0.113.9"),
        (("X-Forwarded-For: 203.0.113.9", "X-Forwarded-For: , "), "203.0.113.9"),
        (("X-Forwarded-For: 2001:db8::1",), "2001:db8::1"),
        (("X-Forwarded-For: 203.0.113.9:4711",), "203.0.113.9"),
        (("X-Forwarded-For: [2001:db8::1]:443, 192.0.2.44:80",), "2001:db8::1"),
        (("X-Forwarded-For: [2001:db8::1]",), "2001:db8::1"),
        (("X-Forwarded-For: 203.0.113.9, [2001:db8::1",), "2001:db8::1"),
        ((), "192.0.2.7"),
        (("X-Forwarded-For: 192.0.2.44, 192.0.2.8",), "192.0.2.7"),
        (("X-Forwarded-For: " + "203.0.113.9, " * 50 + "192.0.2.8, " * 8,), "192.0.2.7"),
        (("X-Forwarded-For: 203.0.113.9, unknown",), None),
    ],
)
def test_p12_behind_a_trusted_proxy_the_client_is_blamed_and_nobody_else(
    pieces: int | None, fields: tuple[str, ...], blamed: str | None
) -> None:
    """The nearest address that the proxies name and that is none of theirs; a proxy itself only when it names nobody (THREATS P12)."""
    policies = Policies(rest="fail_limit: {failures: 2}\ntrusted_proxies: [192.0.2.0/24]")
    stage = Stage(pieces, **policies.options())
    client = stage.client()
    assert policies.offenders is not None
    for _ in range(2):
        assert status_of(is_refused(stage, client, request("GET", "/", *fields, auth=bearer("z")))) == 401
    for address in {"192.0.2.7", "198.51.100.1", "203.0.113.9", "2001:db8::1"}:
        assert policies.offenders.failures(address, time.monotonic()) == (2 if address == blamed else 0)
    fresh = request("GET", "/", *fields, auth=bearer(token(jti="fresh")))
    if blamed is None:
        passes(stage, client, fresh)
    else:
        assert status_of(is_refused(stage, client, fresh)) == 429
        others = () if fields else ("X-Forwarded-For: 203.0.113.77",)
        if blamed != "192.0.2.7" or not fields:
            passes(stage, client, request("GET", "/", *others, auth=bearer(token(jti="another client"))))


def test_p12_what_an_untrusted_client_says_of_itself_changes_nothing(pieces: int | None) -> None:
    """Its own address is blamed, whatever it forwards (THREATS P12)."""
    policies = Policies(rest="fail_limit: {failures: 2}\ntrusted_proxies: [10.0.0.0/8]")
    stage = Stage(pieces, **policies.options())
    client = stage.client()
    assert policies.offenders is not None
    for number in range(2):
        is_refused(stage, client, request("GET", "/", f"X-Forwarded-For: 203.0.113.{number}", auth=bearer("z")))
    assert policies.offenders.failures("192.0.2.7", time.monotonic()) == 2
    assert status_of(is_refused(stage, client, request(auth=bearer(token())))) == 429


def test_a_fault_in_the_rules_of_a_route_refuses_and_is_noted(pieces: int | None) -> None:
    """Nobody passes by a rule that cannot be judged, not even where all is only reported; the fault is counted, and forgotten once it is gone."""
    broken = True

    class Audience(str):
        __slots__ = ()
        __hash__ = str.__hash__

        def __eq__(self, other: object) -> bool:
            if broken and other:
                raise RuntimeError("no comparison")
            return str.__eq__(self, other)

    policies = Policies()
    rules = RouteRules(RoutePolicy(name="only", audiences=(Audience("api"),)))
    places = TokenPlaces(headers=[("Authorization", "Bearer", True)])

    def admission(cluster: Cluster) -> Admission:
        demand = Demand([places], [None], rules)
        route = Route([demand], route_answers("lbjwt"), report_only=True, cluster=cluster)
        return Admission(policies.verifier.gate, [route])

    stage = Stage(pieces, **policies.options(admission=admission))
    data = request(auth=bearer(token()))
    for faults in (1, 2):
        assert status_of(is_refused(stage, stage.client(), data)) == 401
        assert policies.verifier.gate.faults == faults
    assert policies.verifier.gate.last_fault == "RuntimeError"
    assert counts(stage, 0) == {"refusals": {"INTERNAL": 2}, "reported": {}}
    broken = False
    passes(stage, stage.client(), data)


def test_a_response_of_another_route_is_not_marked(pieces: int | None) -> None:
    """What one request left in the shared admission is gone with the next: grant, identity, reason and report."""
    policies = Policies(
        "  - {name: open, prefix: /open, public: true}\n  - {name: try, prefix: /try, report_only: true}\n  - {name: rest, prefix: /}"
    )
    stage = Stage(pieces, **policies.options())
    one, two = stage.client(), stage.client()
    assert b"X-Jwt-Sub: user-of-a" in passes(stage, one, request("GET", "/x", auth=bearer(token())))
    assert b"X-Jwt-Sub" not in passes(stage, two, request("GET", "/open", auth=b""))
    assert b"X-Jwt-Sub" not in passes(stage, one, request("GET", "/try", auth=b""))
    assert status_of(is_refused(stage, two, request("GET", "/nowhere", auth=b""))) == 401
    assert b"X-Jwt-Sub" not in passes(stage, one, request("GET", "/open", auth=b""))
    assert (stage.totals["accepted"], sum(stage.totals["refusals"]), sum(stage.totals["reported"])) == (1, 1, 1)
