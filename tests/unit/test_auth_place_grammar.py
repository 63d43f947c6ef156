"""What each place takes for a token, refuses as doubtful and leaves behind: credentials, cookies, parameters, subprotocols."""

from __future__ import annotations

from dataclasses import replace

import pytest

from lbjwt._fastverify import DenyReason
from lbjwt.auth._places import TokenPlaces
from lbjwt.http1._request import RequestPolicy
from tests.corpus.http1_requests import WEBSOCKET
from tests.unit.http1_readers import request_by_httptools
from tests.unit.token_places import (
    ALLOWING,
    BY_NAME,
    EVERYWHERE,
    MALFORMED,
    MISSING,
    MULTIPLE,
    OTHER,
    OTHERS,
    POLICY,
    PREFIXES,
    TOKEN,
    Request,
    as_it_came,
    encoded,
    find,
    found,
    get,
    parse,
    places,
    stripped,
)

# --- headers --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("beside", [False, True], ids=["alone", "beside a cookie"])
@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b"Bearer " + TOKEN, TOKEN),
        (b"bEARER " + TOKEN, TOKEN),
        (b"Bearer    " + TOKEN, TOKEN),
        (b"Bearer " + TOKEN + b"  ", TOKEN),  # white space around a field value is no part of it
        (b"Bearer a b", b"a b"),  # for the gate to refuse: no b64token
        (b"Bearer a,b", b"a,b"),
        (b"Bearer \tx", b"\tx"),
        (b"Bearer", MALFORMED),
        (b"Bearer  ", MALFORMED),
        (b"Bearer\tx", MALFORMED),
        (b"Bearer=x", MALFORMED),
        (b"Bearer,x", MALFORMED),
        (b'Bearer"x"', MALFORMED),
        (b"BearerX " + TOKEN, MISSING),
        (b"Bearer-x " + TOKEN, MISSING),
        (b"Bearer" + TOKEN, MISSING),
        (b"Beare " + TOKEN, MISSING),
        (b"Basic x, Bearer " + TOKEN, MISSING),
        (TOKEN, MISSING),
        (b"", MISSING),
    ],
)
def test_p7_the_grammar_of_credentials(value: bytes, expected: bytes | DenyReason, beside: bool):
    """The scheme in any case, one space or more, the rest; another scheme is no token, a scheme alone is malformed (THREATS P7)."""
    where = places(BY_NAME["bearer"], *([BY_NAME["cookie"]] if beside else []))
    wanted = (DenyReason.NONE, expected) if isinstance(expected, bytes) else (expected, None)
    assert find(where, get(b"Authorization: " + value)) == wanted
    goes_on = b"authorization" in dict(request_by_httptools(stripped(where, get(b"Authorization: " + value)))[2])
    assert goes_on is (expected == MISSING)


def test_a_header_without_a_scheme_is_a_token_whole():
    """Everything between the white space is the token, whatever it looks like."""
    where = places(BY_NAME["whole"])
    for value in (TOKEN, b"Bearer " + TOKEN, b"x"):
        assert find(where, get(b"X-Api-Token: \t" + value + b" ")) == (DenyReason.NONE, value)


@pytest.mark.parametrize("policy", [POLICY, ALLOWING], ids=["drop", "allow"])
@pytest.mark.parametrize("subprotocol", [False, True])
def test_p2_another_spelling_of_a_place_is_no_place_and_does_not_go_on(policy: RequestPolicy, subprotocol: bool):
    """`x_api_token` holds no token, and never reaches a backend that might take it for the header (THREATS P2)."""
    where = TokenPlaces(headers=[("X-Api-Token", "", True)], subprotocol=subprotocol)
    odd = [name + b": " + OTHER for name in (b"x_api_token", b"X_Api-Token", b"x.api.token", b"x~api-token")]
    if subprotocol:
        odd.append(b"Sec_WebSocket_Protocol: bearer, " + OTHER)
    for line in odd:
        alone = get(line, b"A: b")
        assert found(where, alone, policy) == MISSING
        assert stripped(where, alone, policy) == as_it_came(get(b"A: b"), policy)
        beside = get(b"X-Api-Token: " + TOKEN, line, b"A: b")
        assert find(where, beside, policy) == (DenyReason.NONE, TOKEN)
        assert stripped(where, beside, policy) == as_it_came(get(b"X-Api-Token: " + TOKEN, b"A: b"), policy)


@pytest.mark.parametrize(
    ("nominated", "carrier"),
    [
        (b"x-API-token", "whole"),
        (b"X-Auth", "scheme"),
        (b"Cookie", "cookie"),
        (b"Sec-WebSocket-Protocol", "subprotocol"),
    ],
)
def test_p3_a_place_that_connection_takes_away_is_refused(nominated: bytes, carrier: str):
    """A token the backend would not see although it is forwarded is no token; without one the field just ends here (THREATS P3)."""
    where = places(BY_NAME[carrier], forward=True)
    bare = replace(OTHERS, lines=[])

    def nominating(request: Request) -> bytes:
        return request.wire().replace(b"Connection: Upgrade", b"Connection: Upgrade, " + nominated)

    assert find(where, bare.having(BY_NAME[carrier], TOKEN).wire()) == (DenyReason.NONE, TOKEN)
    assert found(where, nominating(bare.having(BY_NAME[carrier], TOKEN))) == MALFORMED
    assert TOKEN not in stripped(where, nominating(bare.having(BY_NAME[carrier], TOKEN)))
    assert found(where, nominating(bare)) == MISSING


# --- cookies --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b"__Host-jwt={}", TOKEN),
        (b"a=1;__Host-jwt={};b=2", TOKEN),
        (b"a=1;\t \t__Host-jwt={}", TOKEN),
        (b"a=__Host-jwt; __Host-jwt={}", TOKEN),
        (b"=__Host-jwt=x; __Host-jwt={}", TOKEN),
        (b"__Host-jwt={}=", TOKEN + b"="),
        (b"__Host-jwt={} ; a=1", TOKEN + b" "),  # for the gate to refuse: no b64token
        (b'__Host-jwt="{}"', MALFORMED),
        (b'__Host-jwt={}"', MALFORMED),
        (b'a="x; __Host-jwt={}"', MALFORMED),
        (b'__Host-jwt=""', MALFORMED),
        (b"__Host-jwt ={}", MALFORMED),
        (b"__Host-jwt\t ={}", MALFORMED),
        (b"__Host-jwt={}; __Host-jwt={}", MULTIPLE),
        (b"__Host-jwt={}; __Host-jwt=x", MULTIPLE),
        (b"__Host-jwt={}; __Host-jwt=", MULTIPLE),
        (b"__host-jwt={}", MISSING),
        (b"__Host-JWT={}", MISSING),
        (b"__Host-jwt2={}", MISSING),
        (b"_Host-jwt={}", MISSING),
        (b"a=__Host-jwt={}", MISSING),
        (b"a=1, __Host-jwt={}", MISSING),
        (b"__Host-jwt x={}", MISSING),
        (b"__Host-jwt", MISSING),
        (b"__Host-jwt ", MISSING),
    ],
)
def test_p9_the_grammar_of_a_token_cookie(value: bytes, expected: bytes | DenyReason):
    """The exact name, once, unquoted: `__Host-` cookies work, what readers differ on is refused (THREATS P9)."""
    where = places(BY_NAME["cookie"])
    wire = get(b"Cookie: " + value.replace(b"{}", TOKEN))
    wanted = (DenyReason.NONE, expected) if isinstance(expected, bytes) else (expected, None)
    assert find(where, wire) == wanted
    assert (stripped(where, wire) == as_it_came(wire)) is (expected == MISSING)


def test_p9_several_cookie_lines_are_one_list():
    """The cookie is found in any of them, twice in two lines is twice, and each line is cut on its own (THREATS P9)."""
    where = places(BY_NAME["cookie"])
    mine = b"__Host-jwt=" + TOKEN
    for position in range(3):
        lines = [b"Cookie: a=1", b"cookie: b=2; c=3", b"COOKIE: d=4"]
        lines[position] += b"; " + mine
        assert find(where, get(*lines)) == (DenyReason.NONE, TOKEN)
        assert stripped(where, get(*lines)) == as_it_came(get(b"Cookie: a=1", b"cookie: b=2; c=3", b"COOKIE: d=4"))
    assert found(where, get(b"Cookie: " + mine, b"Cookie: a=1; " + mine)) == MULTIPLE
    assert stripped(where, get(b"Cookie: " + mine, b"A: b", b"Cookie: a=1; " + mine)) == as_it_came(
        get(b"A: b", b"Cookie: a=1")
    )


def test_cookies_are_cut_with_one_separator():
    """What is left is what was there, in its order and with its own white space."""
    where = TokenPlaces(cookies=[("t", False)])
    for before, after in (
        (b"t=x; a=1", b"a=1"),
        (b"a=1; t=x", b"a=1"),
        (b"a=1;t=x;b=2", b"a=1;b=2"),
        (b"a=1;  t=x; b=2", b"a=1; b=2"),
        (b"a=1 ;t=x", b"a=1"),
        (b"a=1; t=x;", b"a=1;"),
        (b";t=x;a=1", b";a=1"),
        (b"t=x;;a=1", b";a=1"),
        (b"a=1; t=x; b; t=y;c=3; t=z", b"a=1; b;c=3"),
        (b"t=x;t=y", None),
        (b"t=x;", None),
        (b"; t=x", None),
    ):
        expected = get(b"A: b") if after is None else get(b"A: b", b"Cookie: " + after)
        assert stripped(where, get(b"A: b", b"Cookie: " + before)) == as_it_came(expected), before


# --- parameters -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("query", "expected", "left"),
    [
        (b"access_token={}", TOKEN, b""),
        (b"a=1&access_token={}", TOKEN, b"?a=1"),
        (b"access_token={}&a=1", TOKEN, b"?a=1"),
        (b"a=1&access_token={}&b=%20&&c", TOKEN, b"?a=1&b=%20&&c"),
        (b"&access_token={}&", TOKEN, b"?&"),
        (b"?access_token=x&access_token={}", TOKEN, b"??access_token=x"),
        (b"access_token={}=x", TOKEN + b"=x", b""),  # for the gate to refuse
        (b"access_token={};a=1", TOKEN + b";a=1", b""),
        (b"access_token=x&access_token={}", MULTIPLE, b""),
        (b"access_token&a=1&access_token={}", MULTIPLE, b"?a=1"),
        (b"access_token={}&a=1&access_token={}", MULTIPLE, b"?a=1"),
        (b"access_token=%41{}&a", MALFORMED, b"?a"),
        (b"access_token={}%", MALFORMED, b""),
        (b"access%5Ftoken={}&a", MALFORMED, b"?a"),
        (b"access%5ftoken={}", MALFORMED, b""),
        (b"%61%63%63%65%73%73%5f%74%6F%6b%65%6E={}", MALFORMED, b""),
        (b"access_toke%6e", MALFORMED, b""),
        (b"a&access_token={}&access%5Ftoken=x", MALFORMED, b"?a"),
        (b"access%255Ftoken={}", MISSING, None),
        (b"access_token%3d={}", MISSING, None),
        (b"access_token%00={}", MISSING, None),
        (b"access%5token={}", MISSING, None),
        (b"access%4vtoken={}", MISSING, None),  # no hexadecimal digit
        (b"access_token2={}", MISSING, None),
        (b"ACCESS_TOKEN={}", MISSING, None),
        (b"a=1;access_token={}", MISSING, None),
        (b"a=access_token={}", MISSING, None),
        (b"=access_token={}", MISSING, None),
        (b"", MISSING, None),
    ],
)
def test_p8_the_grammar_of_a_token_parameter(query: bytes, expected: bytes | DenyReason, left: bytes | None):
    """The exact name, once, nothing escaped; what is left is the query without it (THREATS P8)."""
    where = places(BY_NAME["param"])
    head = parse(get(target=b"/p?" + query.replace(b"{}", TOKEN)))
    wanted = (DenyReason.NONE, expected) if isinstance(expected, bytes) else (expected, None)
    assert where.find_in(head) == wanted
    assert head.token_in_query is (expected != MISSING)
    where.strip(head)
    assert head.parts()[1] == b"/p" + (b"?" + query.replace(b"{}", TOKEN) if left is None else left)


def test_p8_the_flag_is_right_whatever_else_is_wrong():
    """A token in the query is told of also when another place makes the request a refused one."""
    head = parse(OTHERS.having(BY_NAME["param"], TOKEN).having(BY_NAME["cookie"], OTHER).wire())
    assert EVERYWHERE.find_in(head) == (MULTIPLE, None)
    assert head.token_in_query


# --- subprotocols ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("offered", "expected", "left", "answer"),
    [
        (b"bearer, {}", TOKEN, None, True),
        (b"bearer,{}", TOKEN, None, True),
        (b"bearer, {}, chat", TOKEN, b"chat", True),
        (b"chat,bearer , {} ,superchat", TOKEN, b"chat,superchat", True),
        (b", bearer,, {},,chat", TOKEN, b",,,chat", True),
        (b"bearer, {}, {}", TOKEN, b"{}", True),  # nothing says that the second is one
        (b"bearer", MALFORMED, None, False),
        (b"chat, bearer", MALFORMED, b"chat", False),
        (b"bearer, bearer, {}", MALFORMED, None, False),
        (b"Bearer, {}", MALFORMED, None, False),
        (b"bearer, {}, BEARER, x", MALFORMED, None, True),
        (b"bearer, {}, bearer, {}", MULTIPLE, None, True),
        (b"bearer, {}, b64:{}, chat", MULTIPLE, b"chat", True),
        (b"b64:{}, chat", TOKEN, b"chat", False),
        (b"chat, short:{}", TOKEN, b"chat", False),
        (b"b64:{}", MALFORMED, None, False),
        (b"b64:{},,", MALFORMED, b",", False),
        (b"b64:{}, b64:{}, chat", MULTIPLE, b"chat", False),
        (b"b64:{}, b64:=, chat", MULTIPLE, b"chat", False),
        (b"b64:{}=, chat", MALFORMED, b"chat", False),
        (b"b64:, chat", MALFORMED, b"chat", False),
        (b"short:, chat", MALFORMED, b"chat", False),
        (b"b64:a, chat", MALFORMED, b"chat", False),
        (b"b64:YR, chat", MALFORMED, b"chat", False),  # left-over bits that are not zero
        (b"short:x.YQ, chat", MALFORMED, b"chat", False),
        (b"Base64url.bearer.YQ, chat", MALFORMED, b"chat", False),
        (b"base64url.bearer, chat", MISSING, b"base64url.bearer, chat", False),
        (b"chat, bearers, {}", MISSING, b"chat, bearers, {}", False),
        (b"", MISSING, b"", False),
    ],
)
def test_tokens_in_subprotocols(offered: bytes, expected: bytes | DenyReason, left: bytes | None, answer: bool):
    """`bearer` and the token behind it, or the token in base64url beside another offer; both are taken out."""
    where = places(BY_NAME["subprotocol"])
    for mark, prefix in zip((b"b64:", b"short:"), PREFIXES, strict=True):
        offered = offered.replace(mark + b"{}", encoded(TOKEN, prefix)).replace(mark, prefix)
    wire = get(*WEBSOCKET, b"Sec-WebSocket-Protocol: " + offered.replace(b"{}", TOKEN))
    head = parse(wire)
    wanted = (DenyReason.NONE, expected) if isinstance(expected, bytes) else (expected, None)
    assert where.find_in(head) == wanted
    assert head.subprotocol_answer is answer
    lines = [] if left is None else [b"Sec-WebSocket-Protocol: " + left.replace(b"{}", TOKEN)]
    assert stripped(where, wire) == as_it_came(get(*WEBSOCKET, *lines))


def test_several_lines_of_subprotocols_are_one_list():
    """The token may stand in the line behind that of `bearer` (RFC 6455 section 11.3.4); other offers count from any line."""
    where = places(BY_NAME["subprotocol"])
    name = b"Sec-WebSocket-Protocol: "
    split = get(name + b"chat, bearer", b"A: b", name + TOKEN + b", superchat")
    assert find(where, split) == (DenyReason.NONE, TOKEN)
    assert stripped(where, split) == as_it_came(get(name + b"chat", b"A: b", name + b"superchat"))
    assert find(where, get(name + encoded(TOKEN), name + b"chat")) == (DenyReason.NONE, TOKEN)
    assert found(where, get(name + b"bearer, " + TOKEN, name + b"bearer, " + TOKEN)) == MULTIPLE
