"""What a balancing rule looks at in a request: an address, a header, a cookie, a claim of the verified token; and the affinity cookie."""

import re
from collections import Counter

import pytest

from lbjwt.observe._board import Board
from lbjwt.upstream.balancing.rules import balancing_rule
from tests.playbooks.messages import OK
from tests.playbooks.stage import Stage, request

KEY = b"k" * 32
COOKIE = rb"Set-Cookie: home=([0-9a-f]{32}); Path=/; HttpOnly\r\n"


def stage_with(endpoints: int, method: str, **rule: object) -> Stage:
    stage = Stage(endpoints=endpoints, board=Board(1, 8, 1, 1000))
    stage.use_endpoints(*range(endpoints), balancing=balancing_rule(method, **rule))  # type: ignore[arg-type]
    return stage


def exchange(stage: Stage, *fields: str) -> tuple[int, bytes]:
    """The endpoint of one request, and the value of the cookie that its response sets; b"": none."""
    before = [stage.board.endpoint_totals(at)["requests"] for at in range(8)]
    client = stage.client()
    client.sends(request("GET", "/", *fields))
    for number in range(len(stage.opened)):
        server = stage.server(number)
        if server.take():
            server.sends(OK)
    answer = client.take()
    assert answer.count(b"Set-Cookie:") <= 1
    found = re.search(COOKIE, answer)
    assert (found is not None) == (b"Set-Cookie:" in answer)
    (at,) = [at for at in range(8) if stage.board.endpoint_totals(at)["requests"] > before[at]]
    return at, found[1] if found else b""


def went(stage: Stage, *fields: str) -> int:
    """The endpoint that a request with these fields goes to."""
    return exchange(stage, *fields)[0]


@pytest.mark.parametrize(
    ("hash_on", "field"),
    [
        pytest.param("header:X-Tenant", "x-tenant: {}", id="header"),
        pytest.param("cookie:sid", "Cookie: a=b; sid={}; c=d", id="cookie"),
    ],
)
def test_the_same_key_goes_to_the_same_endpoint(hash_on: str, field: str) -> None:
    """45 keys, each twice: each has one endpoint, and every endpoint has some."""
    stage = stage_with(8, "hash", hash_on=hash_on)
    homes = {key: {went(stage, field.format(f"key-{key}")) for _ in range(2)} for key in range(45)}
    assert all(len(home) == 1 for home in homes.values())
    assert {at for home in homes.values() for at in home} == set(range(8))


@pytest.mark.parametrize("field", ["X-Other: a", "X-Tenant: ", "Cookie: sid=a"], ids=str)
def test_requests_without_the_key_take_turns(field: str) -> None:
    """They do not all go to one endpoint."""
    stage = stage_with(8, "hash", hash_on="header:X-Tenant")
    assert Counter(went(stage, field) for _ in range(16)) == dict.fromkeys(range(8), 2)


def test_a_claim_counts_of_the_verified_token() -> None:
    """All requests with one token go to one endpoint, whatever header claims to be the claim."""
    stage = stage_with(8, "hash", hash_on="claim:sub")
    assert len({went(stage, f"sub: {number}") for number in range(8)}) == 1
    other = stage_with(8, "hash", hash_on="claim:no-such-claim")
    assert len({went(other) for _ in range(8)}) == 8


def test_the_address_of_the_client_counts() -> None:
    """All clients of the stage have one address."""
    stage = stage_with(8, "hash", hash_on="client_address")
    assert len({went(stage) for _ in range(8)}) == 1


def test_a_client_comes_back_by_its_cookie_also_after_a_reload() -> None:
    """The first response sets the cookie, later ones do not, and it leads to its endpoint when others were added and one left."""
    stage = stage_with(3, "cookie", cookie="home", cookie_key=KEY)
    home, value = exchange(stage)
    assert value
    for _ in range(6):
        assert exchange(stage, f"Cookie: x=1; home={value.decode()}") == (home, b"")
    stage.use_endpoints(5, home, 6, 7, balancing=balancing_rule("cookie", cookie="home", cookie_key=KEY))
    for _ in range(6):
        assert exchange(stage, f"Cookie: home={value.decode()}") == (home, b"")


def test_the_cookie_is_renewed_when_its_endpoint_cannot_be_used() -> None:
    """The client gets another endpoint and its cookie; one that is made up, or of another service, counts as none."""
    stage = stage_with(3, "cookie", cookie="home", cookie_key=KEY)
    home, value = exchange(stage)
    stage.board.endpoint_states.set(home, "check", 2)
    other, renewed = exchange(stage, f"Cookie: home={value.decode()}")
    assert other != home and renewed not in (b"", value)
    for made_up in ("0" * 32, "10.0.0.1:80", "x" * 5000, ""):
        assert exchange(stage, f"Cookie: home={made_up}")[1]


def test_the_value_tells_no_address_and_depends_on_the_key() -> None:
    """Services with different secrets have different values for the same endpoint."""
    values = [exchange(stage_with(1, "cookie", cookie="home", cookie_key=key))[1] for key in (KEY, b"other" * 8)]
    assert values[0] != values[1] and b"10.0.0" not in values[0]


def test_a_change_of_the_rule_meets_requests_under_way() -> None:
    """A request that began without the rule gets a response with a cookie, and one that began with it gets one without."""
    stage = stage_with(1, "least_requests")
    client = stage.client()
    client.sends(request())
    stage.server()
    stage.use_endpoints(0, balancing=balancing_rule("cookie", cookie="home", cookie_key=KEY))
    stage.server().sends(OK)
    assert re.search(COOKIE, client.take())
    client.sends(request())
    stage.use_endpoints(0, balancing=balancing_rule("least_requests"))
    stage.server().sends(OK)
    assert client.take() == OK
