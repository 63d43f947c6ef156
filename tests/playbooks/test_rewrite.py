"""Routes that give endpoints another path: prefixes, whole paths and claims in them, as the endpoint sees them. Whole and byte by byte."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lbjwt._fastverify import DenyReason
from lbjwt.http1._request import Parse, RequestHead, RequestPolicy
from lbjwt.routing._path import both_readings
from tests.playbooks.policies import Policies, bearer, field_of, status_of, token
from tests.playbooks.stage import Stage, request
from tests.playbooks.steps import counts, is_refused, passes

ROUTES = """
  - {name: api, prefix: /api, rewrite: /v2/service}
  - {name: stripped, prefix: /app, rewrite: /}
  - {name: one, path: /me, rewrite: "/users/{sub}"}
  - {name: slash, path: /home/, rewrite: /start/}
  - {name: tenant, prefix: /orders, rewrite: "/tenants/{tenant}/orders"}
  - {name: inner, prefix: /inner, rewrite: {path: "/o/{org}/{sub}", claims: {org: [org, id]}}}
  - {name: open, prefix: /open, public: true, rewrite: /public}
  - {name: try, prefix: /try, report_only: true, rewrite: /tried}
  - {name: rest, prefix: /, rewrite: /rest}
"""


def target_of(seen: bytes) -> str:
    """The target that an endpoint was asked for."""
    return seen.split(b" ", 2)[1].decode()


def stage_of(pieces: int | None, rest: str = "", **more: Any) -> Stage:
    """A stage with the routes."""
    return Stage(pieces, **Policies(ROUTES, rest=rest).options(**more))


@pytest.mark.parametrize(
    ("asked", "forwarded"),
    [
        ("/api", "/v2/service"),
        ("/api/", "/v2/service/"),
        ("/api/x/y?z=1&w", "/v2/service/x/y?z=1&w"),
        ("/api?x", "/v2/service?x"),
        ("/api/a%20b/%c3%ab", "/v2/service/a%20b/%C3%AB"),
        ("/api/./x/../y", "/v2/service/y"),
        ("/%61pi//x", "/v2/service/x"),
        ("/api?/../x", "/v2/service?/../x"),
        ("/app", "/"),
        ("/app/", "/"),
        ("/app?x=1", "/?x=1"),
        ("/app/x", "/x"),
        ("/me", "/users/user-of-a"),
        ("/me?x=/y", "/users/user-of-a?x=/y"),
        ("/home/", "/start/"),
        ("/", "/rest/"),
        ("/other/x", "/rest/other/x"),
        ("http://api.test", "/rest/"),
        ("http://api.test?q", "/rest/?q"),
        ("http://api.test/api/x", "/v2/service/x"),
    ],
)
def test_prefix_and_path_are_replaced(pieces: int | None, asked: str, forwarded: str) -> None:
    """The canonical path loses its prefix and gets the new beginning; the query stays as it came."""
    stage = stage_of(pieces)
    assert target_of(passes(stage, stage.client(), request("GET", asked, auth=bearer(token())))) == forwarded


def test_a_longer_path_than_the_client_sent(pieces: int | None) -> None:
    """The new beginning may be longer than the whole request of the client."""
    stage = Stage(pieces, **Policies(f"  - {{name: only, prefix: /a, public: true, rewrite: /{'x' * 1000}}}").options())
    assert target_of(passes(stage, stage.client(), request("GET", "/a/b", auth=b""))) == f"/{'x' * 1000}/b"


def test_a_claim_becomes_a_segment_of_the_path(pieces: int | None) -> None:
    """Each token gets the path of its own claims, the first time and when it is remembered, also when routes take turns."""
    stage = stage_of(pieces)
    client = stage.client()
    tokens = {
        name: bearer(token(tenant=name, org={"id": number})) for number, name in enumerate(("acme", "glo bex", "ü"))
    }
    for _ in range(2):
        for number, (name, auth) in enumerate(tokens.items()):
            spelled = {"acme": "acme", "glo bex": "glo%20bex", "ü": "%C3%BC"}[name]
            assert (
                target_of(passes(stage, client, request("GET", "/orders/7?x", auth=auth)))
                == f"/tenants/{spelled}/orders/7?x"
            )
            assert target_of(passes(stage, client, request("GET", "/inner", auth=auth))) == f"/o/{number}/user-of-a"


@pytest.mark.parametrize("tenant", [None, "", "..", "a/b", "a;b", "acme ", 1.5, ["acme"], {"a": 1}, True, "x" * 300])
def test_r2_a_claim_that_cannot_be_a_segment_is_refused(pieces: int | None, tenant: object) -> None:
    """The token is good and does not suffice: 403, counted as a rule that refused, the first time and when it is remembered."""
    stage = stage_of(pieces)
    client, auth = stage.client(), bearer(token(tenant=tenant))
    for _ in range(2):
        answer = is_refused(stage, client, request("GET", "/orders/7", auth=auth))
        assert status_of(answer) == 403 and "insufficient_scope" in field_of(answer, "WWW-Authenticate")
    assert counts(stage, 0)["refusals"] == {DenyReason.CLAIM_REFUSED.name: 2}
    assert target_of(passes(stage, client, request("GET", "/api", auth=auth))) == "/v2/service"


def test_open_and_reporting_routes_rewrite_too(pieces: int | None) -> None:
    """Without a token, and with one that would be refused."""
    stage = stage_of(pieces)
    client = stage.client()
    assert target_of(passes(stage, client, request("GET", "/open/x", auth=b""))) == "/public/x"
    assert target_of(passes(stage, client, request("GET", "/try/x", auth=b""))) == "/tried/x"
    assert target_of(passes(stage, client, request("GET", "/try/x", auth=bearer(token())))) == "/tried/x"


def test_p8_a_token_in_the_query_is_taken_out_first(pieces: int | None) -> None:
    """Both changes of the target arrive, and the response is private."""
    policies = Policies("  - {name: only, prefix: /api, rewrite: /v2}", {"a": "from_params: [{name: t}]", "b": ""})
    stage = Stage(pieces, **policies.options())
    seen = passes(stage, stage.client(), request("GET", f"/api/x?t={token()}&y=1", auth=b""), private=True)
    assert target_of(seen) == "/v2/x?y=1"
    seen = passes(stage, stage.client(), request("GET", f"/api?t={token()}", auth=b""), private=True)
    assert target_of(seen) == "/v2"


def test_the_log_and_a_redirect_have_the_path_of_the_client(pieces: int | None, tmp_path: Path) -> None:
    """Operators search for what clients ask; a browser comes back to where it was."""
    policies = Policies(
        '  - {name: only, prefix: /api, rewrite: /v2, refusals: {redirect: "https://login.test/?r={url}"}}'
    )
    stage = Stage(pieces, **policies.options(log=tmp_path / "log"))
    client = stage.client()
    passes(stage, client, request("GET", "/api/x", auth=bearer(token())))
    answer = is_refused(stage, client, request("GET", "/api/y", "Accept: text/html", auth=b""))
    assert field_of(answer, "Location").endswith("%2Fapi%2Fy")
    assert [line["path"] for line in stage.records()] == ["/api/x", "/api/y"]


SEGMENTS = st.sampled_from(
    [
        ".",
        "..",
        "",
        "a",
        "A",
        "%2e%2E",
        "%61",
        "b;v=1",
        "..;x",
        "%c3%a9",
        "c.",
        "%20",
        "%2f",
        "a%3Fb",
        "x" * 30,
        "\u00e9",
    ]
)
READS = Policies(
    "  - {name: api, prefix: /api, public: true, rewrite: /v2/x}\n  - {name: app, prefix: /app, public: true, rewrite: /}"
)


@given(
    st.sampled_from(["/api", "/%61pi", "/x/../app", "/app"]),
    st.lists(SEGMENTS, max_size=5),
    st.sampled_from(["", "?", "?a=/../b"]),
)
def test_r2_whatever_a_client_asks_the_new_path_is_canonical(start: str, segments: list[str], query: str) -> None:
    """Refused, or under the new beginning, spelled as the router would spell it, with nothing that any reading leads out of it."""
    head, target = RequestHead(), "/".join([start, *segments]) + query
    if head.parse_bytes(f"GET {target} HTTP/1.1\r\nHost: a\r\n\r\n".encode(), RequestPolicy()) != Parse.COMPLETE:
        return
    route = READS.admission.decide(head, 0.0)[0]
    if route is None:
        return
    path, mark, rest = head.parts()[1].partition(b"?")
    assert both_readings(path)[0] == path and (mark + rest).decode() == query
    assert path.startswith(b"/v2/x/") or path == b"/v2/x" if route.name == "api" else path.startswith(b"/")
    loose = both_readings(path)[1]
    assert route.name != "api" or loose == b"/v2/x" or loose.startswith(b"/v2/x/")


def test_what_a_token_remembers_of_its_path_is_counted(pieces: int | None) -> None:
    """The cache of tokens knows how much memory the path takes, and gives it back."""
    policies = Policies(ROUTES)
    stage = Stage(pieces, **policies.options())
    client, auth, cache = stage.client(), bearer(token(tenant="x" * 200)), policies.verifier.gate.cache
    passes(stage, client, request("GET", "/api", auth=auth))
    before = cache.bytes_used
    for _ in range(3):
        passes(stage, client, request("GET", "/orders", auth=auth))
    grown = cache.bytes_used - before
    assert 200 < grown < 400
    cache.clear()
    fresh = type(cache)()
    assert cache.bytes_used == fresh.bytes_used


def test_paths_of_many_tokens_stay_within_the_cache(pieces: int | None) -> None:
    """A path that a token gets after it was cached may push other tokens out, and never the limit."""
    policies = Policies(ROUTES, rest="token_cache: {max_bytes: 16KiB}")
    stage = Stage(pieces, **policies.options())
    client, cache = stage.client(), policies.verifier.gate.cache
    for number in range(40):
        auth = bearer(token(tenant="x" * number + "x", org={"id": number}))
        for target, forwarded in (
            ("/orders", f"/tenants/{'x' * (number + 1)}/orders"),
            ("/inner", f"/o/{number}/user-of-a"),
        ):
            assert target_of(passes(stage, client, request("GET", target, auth=auth))) == forwarded
        assert cache.bytes_used <= cache.max_bytes
    assert cache.evictions > 0
