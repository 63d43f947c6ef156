"""Where a token is found and how it is taken out: requests as they come, their token, and the head that goes on."""

from __future__ import annotations

import base64
import ctypes
import itertools
import mmap
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lbjwt._fastverify import DenyReason
from lbjwt.auth._places import TokenPlaces, fields_owed_by
from lbjwt.errors import ConfigurationError
from lbjwt.http1._request import Method, Parse, RequestHead, RequestPolicy, request_policy
from lbjwt.http1._response import ResponseHead
from tests.corpus.http1_requests import CASES, WEBSOCKET
from tests.unit.http1_readers import request_by_httptools

TOKEN = b"eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJhIn0.c2lnbmF0dXJl-_w"
OTHER = b"eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJiIn0.c2lnbmF0dXJl-_w"
PREFIXES = (b"base64url.bearer.authorization.k8s.io.", b"base64url.bearer.")
POLICY = request_policy()
ALLOWING = request_policy(header_names="allow")
MISSING, MULTIPLE, MALFORMED = DenyReason.MISSING, DenyReason.MULTIPLE_TOKENS, DenyReason.MALFORMED_CREDENTIALS


def encoded(token: bytes, prefix: bytes = PREFIXES[0]) -> bytes:
    return prefix + base64.urlsafe_b64encode(token).rstrip(b"=")


@dataclass
class Request:
    """A request by its lists; a list that is empty leaves its field or query out."""

    params: list[bytes] = field(default_factory=list)
    lines: list[bytes] = field(default_factory=list)
    cookies: list[bytes] = field(default_factory=list)
    subprotocols: list[bytes] = field(default_factory=list)

    def wire(self) -> bytes:
        target = b"/a/b" + (b"?" + b"&".join(self.params) if self.params else b"")
        lines = [b"GET " + target + b" HTTP/1.1", b"Host: example.com", *WEBSOCKET, *self.lines]
        if self.cookies:
            lines.append(b"Cookie: " + b"; ".join(self.cookies))
        if self.subprotocols:
            lines.append(b"Sec-WebSocket-Protocol: " + b", ".join(self.subprotocols))
        return b"\r\n".join([*lines, b"Accept: */*", b"", b""])

    def having(self, place: Carrier, token: bytes, at: int = 0) -> Request:
        """The same with the token in a place, before the `at`-th of the others."""
        pieces = list(getattr(self, place.where))
        pieces[at:at] = place.pieces(token)
        return replace(self, **{place.where: pieces})


@dataclass(frozen=True)
class Carrier:
    """One place, by how it is configured and how a client fills it."""

    name: str
    kind: str  # header, cookie, param or subprotocol
    where: str  # the list of Request
    texts: tuple[bytes, ...]  # what a client writes; {} is the token

    def pieces(self, token: bytes) -> list[bytes]:
        sent = encoded(token) if self.name == "encoded" else token
        return [text.replace(b"{}", sent) for text in self.texts]

    def options(self, forward: bool = False) -> dict[str, Any]:
        """What configures it."""
        options: dict[str, dict[str, Any]] = {
            "bearer": {"headers": [("Authorization", "Bearer", forward)]},
            "scheme": {"headers": [("X-Auth", "Token", forward)]},
            "whole": {"headers": [("X-Api-Token", "", forward)]},
            "cookie": {"cookies": [("__Host-jwt", forward)]},
            "second cookie": {"cookies": [("session", forward)]},
            "param": {"params": [("access_token", forward)]},
            "second param": {"params": [("jwt", forward)]},
            "subprotocol": {"subprotocol": True},
            "encoded": {"subprotocol": True},
        }
        return options[self.name]


CARRIERS = (
    Carrier("bearer", "header", "lines", (b"Authorization: Bearer {}",)),
    Carrier("scheme", "header", "lines", (b"x-auth: token  {}",)),
    Carrier("whole", "header", "lines", (b"x-API-token:{}",)),
    Carrier("cookie", "cookie", "cookies", (b"__Host-jwt={}",)),
    Carrier("second cookie", "cookie", "cookies", (b"session={}",)),
    Carrier("param", "param", "params", (b"access_token={}",)),
    Carrier("second param", "param", "params", (b"jwt={}",)),
    Carrier("subprotocol", "subprotocol", "subprotocols", (b"bearer", b"{}")),
    Carrier("encoded", "subprotocol", "subprotocols", (b"{}",)),
)
BY_NAME = {carrier.name: carrier for carrier in CARRIERS}
FORWARDABLE = [carrier for carrier in CARRIERS if carrier.kind != "subprotocol"]
OTHERS = Request(
    params=[b"a=1", b"", b"access_token2=x", b"Access_Token=y", b"b=%20"],
    lines=[b"X-Other: 1", b"Referer: https://example.com/x?y"],
    cookies=[b"a=1", b"JWT=no", b"session2=x", b'q="1"'],
    subprotocols=[b"chat", b"superchat"],
)


def name_of(carrier: object) -> str | None:
    """For the names of parametrized tests."""
    return carrier.name if isinstance(carrier, Carrier) else None


def places(*carriers: Carrier, forward: bool = False) -> TokenPlaces:
    options: dict[str, Any] = {}
    for carrier in carriers:
        for key, value in carrier.options(forward).items():
            options[key] = value if key == "subprotocol" else [*options.get(key, []), *value]
    return TokenPlaces(**options)


EVERYWHERE = places(*CARRIERS)


def parse(wire: bytes, policy: RequestPolicy = POLICY) -> RequestHead:
    head = RequestHead()
    assert head.parse_bytes(wire, policy) == Parse.COMPLETE, head.problem
    return head


def find(where: TokenPlaces, wire: bytes, policy: RequestPolicy = POLICY) -> tuple[DenyReason, bytes | None]:
    return where.find_in(parse(wire, policy))


def found(where: TokenPlaces, wire: bytes, policy: RequestPolicy = POLICY) -> DenyReason:
    return find(where, wire, policy)[0]


def as_it_came(wire: bytes, policy: RequestPolicy = POLICY) -> bytes:
    """What goes on of a head that nothing was taken out of."""
    return parse(wire, policy).write_bytes(policy)


def stripped(where: TokenPlaces, wire: bytes, policy: RequestPolicy = POLICY) -> bytes:
    """What goes on of a head once the places were emptied; the client's bytes have to be what they were."""
    kept = bytes(bytearray(wire))
    head = parse(wire, policy)
    where.strip_from(head)
    assert wire == kept
    written = head.write_bytes(policy)
    assert request_by_httptools(written)[0] == b"GET"
    return written


def get(*lines: bytes, target: bytes = b"/") -> bytes:
    return b"\r\n".join([b"GET " + target + b" HTTP/1.1", b"Host: example.com", *lines, b"", b""])


# --- one place --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("carrier", CARRIERS, ids=name_of)
@pytest.mark.parametrize("at", [0, 1, 9])
def test_a_token_is_found_and_taken_out_of_every_place(carrier: Carrier, at: int):
    """At the front, in the middle and at the end of its list; what goes on is the request that never had a token."""
    where = places(carrier)
    wire = OTHERS.having(carrier, TOKEN, at).wire()
    assert find(where, wire) == (DenyReason.NONE, TOKEN)
    assert stripped(where, wire) == as_it_came(OTHERS.wire())


@pytest.mark.parametrize("carrier", [carrier for carrier in CARRIERS if carrier.name != "encoded"], ids=name_of)
def test_a_list_that_held_only_the_token_disappears(carrier: Carrier):
    """No empty Cookie field, no question mark with nothing behind it, no empty list of subprotocols is left."""
    wire = Request().having(carrier, TOKEN).wire()
    assert find(places(carrier), wire) == (DenyReason.NONE, TOKEN)
    assert stripped(places(carrier), wire) == as_it_came(Request().wire())


@pytest.mark.parametrize("carrier", FORWARDABLE, ids=name_of)
def test_a_forwarded_place_is_left_as_it_came(carrier: Carrier):
    """With forward the head goes on byte by byte as it would have, token included."""
    wire = OTHERS.having(carrier, TOKEN, 1).wire()
    assert find(places(carrier, forward=True), wire) == (DenyReason.NONE, TOKEN)
    assert stripped(places(carrier, forward=True), wire) == as_it_came(wire)
    assert TOKEN in as_it_came(wire)


@pytest.mark.parametrize("carrier", CARRIERS, ids=name_of)
def test_a_token_in_another_place_is_none(carrier: Carrier):
    """Where nobody looks there is nothing to find, and nothing is taken away."""
    for other in CARRIERS:
        if other.options() == carrier.options():
            continue
        wire = OTHERS.having(other, TOKEN).wire()
        assert found(places(carrier), wire) == MISSING
        assert stripped(places(carrier), wire) == as_it_came(wire)


@pytest.mark.parametrize("case", [case for case in CASES if case.verdict is None], ids=lambda case: case.name)
def test_without_a_token_nothing_is_different(case: Any):
    """Every acceptable head of the corpus goes on unchanged when it holds no token, whatever places are configured."""
    where = places(*[carrier for carrier in CARRIERS if carrier.name != "bearer"])
    head = parse(case.wire)
    assert where.find_in(head) == (MISSING, None)
    where.strip_from(head)
    assert head.write_bytes(POLICY) == as_it_came(case.wire)


def test_odd_but_tokenless_lists_are_left_alone():
    """Empty pieces, empty queries and pieces without a value stay exactly as they are."""
    for wire in (
        get(target=b"/?"),
        get(target=b"/?&&"),
        get(target=b"/?a=1&&b&=c&"),
        get(target=b"/?access_token2=1&xaccess_token=2&access%5ftoken2=3&%access_token=4&access_token%=5"),
        get(target=b"/a;access_token=x"),
        get(target=b"/?a=1;access_token=x"),
        get(b"Cookie:"),
        get(b"Cookie: ;; a ;=b; __Host-jwt; __Host-jwt2=1; __host-jwt=2; x__Host-jwt=3;"),
        get(b"Cookie: a=1", b"Cookie: b=2"),
        get(b"Sec-WebSocket-Protocol: , chat,,base64url.bearer , bearers,"),
        get(b"X-Auth: Tokens abc"),
        get(b"X-Auth: Basic abc"),
        get(b"X-Auth:"),
        get(b"Authorization: Basic abc"),
        b"OPTIONS * HTTP/1.1\r\nHost: example.com\r\n\r\n",
    ):
        head = parse(wire)
        assert EVERYWHERE.find_in(head) == (MISSING, None), wire
        EVERYWHERE.strip_from(head)
        assert head.write_bytes(POLICY) == as_it_came(wire), wire


def test_an_empty_place_holds_no_token():
    """A cookie that was deleted by emptying it, an empty parameter and an empty header are no token, and do not go on."""
    for name, wire in (
        ("cookie", get(b"Cookie: __Host-jwt=")),
        ("param", get(target=b"/?access_token=")),
        ("param", get(target=b"/?access_token")),
        ("whole", get(b"X-Api-Token:")),
    ):
        where = places(BY_NAME[name], BY_NAME["bearer"])
        assert found(where, wire) == MISSING
        assert stripped(where, wire) == as_it_came(get())
        beside = wire.replace(b"\r\n\r\n", b"\r\nAuthorization: Bearer " + TOKEN + b"\r\n\r\n")
        assert find(where, beside) == (DenyReason.NONE, TOKEN)


def test_targets_that_are_no_slice_of_the_request():
    """The query of an absolute-form target without a path is searched and cut like any other."""
    where = places(BY_NAME["param"])
    for target, rest in (
        (b"http://example.com?access_token=" + TOKEN, b"/"),
        (b"http://example.com?a=1&access_token=" + TOKEN, b"/?a=1"),
        (b"http://example.com/x?access_token=" + TOKEN + b"&a=?", b"/x?a=?"),
    ):
        head = parse(get(target=target))
        assert where.find_in(head) == (DenyReason.NONE, TOKEN)
        where.strip_from(head)
        assert head.parts()[1] == rest


# --- more than one --------------------------------------------------------------------------------------------------------


def kinds(pair: tuple[Carrier, Carrier]) -> str:
    return f"{pair[0].name} and {pair[1].name}"


PAIRS = list(itertools.combinations(CARRIERS, 2))


@pytest.mark.parametrize("pair", PAIRS, ids=kinds)
def test_p6_two_places_hold_one_token_or_the_request_is_refused(pair: tuple[Carrier, Carrier]):
    """In every two places: different tokens are refused, equal ones are one and both are taken out (THREATS P6; Kong/kong#9946)."""
    one, other = pair
    where = places(*pair)
    same_place = one.options() == other.options()
    assert found(where, OTHERS.having(one, TOKEN).having(other, OTHER).wire()) == MULTIPLE
    equal = OTHERS.having(one, TOKEN).having(other, TOKEN).wire()
    assert find(where, equal) == ((MULTIPLE, None) if same_place else (DenyReason.NONE, TOKEN))
    for wire in (equal, OTHERS.having(one, TOKEN).having(other, OTHER).wire()):
        assert stripped(where, wire) == as_it_came(OTHERS.wire())


def test_p6_the_six_combinations_of_kinds_were_tried():
    """Header, cookie, parameter and subprotocol meet each other once, and two of one kind as well."""
    assert len({frozenset((one.kind, other.kind)) for one, other in PAIRS if one.kind != other.kind}) == 6
    assert {one.kind for one, other in PAIRS if one.kind == other.kind} == {"header", "cookie", "param", "subprotocol"}


def test_p6_a_twin_of_a_token_is_another_token():
    """Tokens are compared whole: one with another signature over the same claims is not the same (D12), nor is a longer one."""
    for twin in (TOKEN[:-1] + b"x", TOKEN + b"=", TOKEN[:-1]):
        wire = Request().having(BY_NAME["bearer"], TOKEN).having(BY_NAME["cookie"], twin).wire()
        assert found(EVERYWHERE, wire) == MULTIPLE


def test_p6_a_third_place_is_compared_as_well():
    """Three equal tokens are one; a third that differs is not overlooked."""
    two = Request().having(BY_NAME["bearer"], TOKEN).having(BY_NAME["cookie"], TOKEN)
    assert find(EVERYWHERE, two.having(BY_NAME["param"], TOKEN).wire()) == (DenyReason.NONE, TOKEN)
    assert found(EVERYWHERE, two.having(BY_NAME["param"], OTHER).wire()) == MULTIPLE


@pytest.mark.parametrize("pair", list(itertools.permutations(FORWARDABLE, 2)), ids=kinds)
def test_p6_one_of_two_equal_tokens_may_go_on(pair: tuple[Carrier, Carrier]):
    """Where the first place is forwarded and the second is not, the first goes on and the second does not."""
    one, other = pair
    options: dict[str, Any] = dict(one.options(forward=True))
    for key, value in other.options().items():
        options[key] = [*options.get(key, []), *value]
    request = OTHERS.having(one, TOKEN)
    assert stripped(TokenPlaces(**options), request.having(other, TOKEN).wire()) == as_it_came(request.wire())


TWICE = [(carrier, second) for carrier in CARRIERS for second in (TOKEN, OTHER)]
TWICE += [(carrier, b"") for carrier in CARRIERS if carrier.name not in ("bearer", "scheme", "subprotocol", "encoded")]


@pytest.mark.parametrize(("carrier", "second"), TWICE, ids=name_of)
def test_two_occurrences_in_one_place_are_always_refused(carrier: Carrier, second: bytes):
    """Which of two would another reader take? Equal ones are refused as well, and an empty one counts (THREATS P5, P9)."""
    for first, last in ((TOKEN, second), (second, TOKEN)):
        wire = OTHERS.having(carrier, first).having(carrier, last, 2).wire()
        assert found(places(carrier), wire) == MULTIPLE
        assert stripped(places(carrier), wire) == as_it_came(OTHERS.wire())


@pytest.mark.parametrize("name", ["Authorization", "X-Auth"])
def test_p5_two_lines_of_one_header_are_refused(name: str):
    """In any case of letters, equal or not, also when one of them is of another scheme; joined by a comma they are no token (P5)."""
    where = TokenPlaces(headers=[(name, "Bearer", False)])
    both = TokenPlaces(headers=[(name, "Bearer", False)], cookies=[("c", False)])
    field = name.encode()
    for one, other in itertools.product((b"Bearer " + TOKEN, b"bearer " + OTHER, b"Basic abc", b""), repeat=2):
        wire = get(field + b": " + one, b"A: b", field.swapcase() + b": " + other)
        assert {found(where, wire), found(both, wire)} == {MULTIPLE}
    joined = get(field + b": Bearer " + TOKEN + b", Bearer " + TOKEN)
    assert find(both, joined) == (DenyReason.NONE, TOKEN + b", Bearer " + TOKEN), "for the gate to refuse: no b64token"


def test_one_header_may_come_with_several_schemes():
    """The scheme decides which place it is and whether it goes on; there is still one line only."""
    where = TokenPlaces(headers=[("X-Auth", "Bearer", True), ("X-Auth", "Token", False)])
    for line, goes_on in ((b"X-Auth: bearer " + TOKEN, True), (b"X-Auth: TOKEN " + TOKEN, False)):
        assert find(where, get(line)) == (DenyReason.NONE, TOKEN)
        assert (TOKEN in stripped(where, get(line))) is goes_on
    assert found(where, get(b"X-Auth: Bearer " + TOKEN, b"X-Auth: Token " + TOKEN)) == MULTIPLE


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
    where.strip_from(head)
    assert head.parts()[1] == b"/p" + (b"?" + query.replace(b"{}", TOKEN) if left is None else left)


def test_p8_a_response_to_a_token_in_the_query_is_private():
    """Its address is a secret, so no shared cache may keep it (RFC 6750 section 2.3, THREATS P8)."""
    for status, expected in ((200, True), (404, True), (304, True), (103, False), (100, False)):
        response = ResponseHead()
        response.parse_bytes(b"HTTP/1.1 %d X\r\nA: b\r\nContent-Length: 0\r\n\r\n" % status, Method.GET)
        owed = fields_owed_by(response, token_in_query=True)
        assert owed == (b"Cache-Control: private\r\n" if expected else b"")
        assert fields_owed_by(response, subprotocol_answer=True) == b""
    assert response.write_bytes(extra=b"Cache-Control: private\r\n").endswith(b"\r\nCache-Control: private\r\n\r\n")


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


def test_the_handshake_is_answered_with_a_subprotocol_the_browser_offered():
    """A 101 that goes on without one gets `bearer`, one that names another is left as it is (RFC 6455 section 4.1)."""
    bearer = b"Sec-WebSocket-Protocol: bearer\r\n"
    for options, line, owed in (
        (b"", b"", bearer),
        (b"", b"Sec-WebSocket-Accept: x\r\n", bearer),
        (b", sec-websocket-protocol", b"Sec-WebSocket-Protocol: chat\r\n", bearer),
        (b"", b"sec-websocket-protocol: chat\r\n", b""),
        (b"", b"Sec-WebSocket-Protocol:\r\n", b""),
    ):
        response = ResponseHead()
        wire = b"HTTP/1.1 101 X\r\nConnection: Upgrade" + options + b"\r\nUpgrade: websocket\r\n" + line + b"\r\n"
        assert response.parse_bytes(wire, Method.GET, upgrade_asked=True) == Parse.COMPLETE
        assert fields_owed_by(response, subprotocol_answer=True) == owed
        assert fields_owed_by(response, token_in_query=True) == fields_owed_by(response) == b""
        written = response.write_bytes(extra=owed)
        assert written.lower().count(b"sec-websocket-protocol: ") == 1
        assert written.endswith(b"\r\n" + (owed or b"Upgrade: websocket\r\n") + b"\r\n")


# --- memory and reuse -----------------------------------------------------------------------------------------------------


def test_nothing_depends_on_the_heads_before():
    """One head and one set of places, used again and again, find, cut and tell what fresh ones do."""

    def outcome(head: RequestHead, where: TokenPlaces, wire: bytes) -> object:
        assert head.parse_bytes(wire, POLICY) == Parse.COMPLETE
        assert (head.token_in_query, head.subprotocol_answer) == (False, False)
        answer = where.find_in(head)
        flags = (head.token_in_query, head.subprotocol_answer)
        where.strip_from(head)
        return answer, flags, head.write_bytes(POLICY)

    wires = [OTHERS.having(one, TOKEN).having(other, TOKEN).wire() for one, other in PAIRS]
    wires += [OTHERS.wire(), get(), *(Request().having(one, OTHER).wire() for one in CARRIERS)]
    wires.append(get(b"Cookie: " + b"a" * 9000 + b"; session=" + TOKEN, target=b"/?jwt=" + TOKEN + b"&" + b"b" * 4000))
    head, where = RequestHead(), places(*CARRIERS)
    for wire in (*wires, *reversed(wires)):
        assert outcome(head, where, wire) == outcome(RequestHead(), places(*CARRIERS), wire)


def test_a_second_strip_finds_nothing_more():
    """What was taken out is gone, and what was kept stays."""
    head = parse(OTHERS.having(BY_NAME["param"], TOKEN, 1).having(BY_NAME["cookie"], TOKEN, 1).wire())
    for _ in range(2):
        EVERYWHERE.strip_from(head)
        assert head.write_bytes(POLICY) == as_it_came(OTHERS.wire())


def test_places_may_be_emptied_in_turn():
    """What was copied to be cut is cut again where it lies: the longest target loses three parameters one after another."""
    names = ("one", "two", "three")
    query = b"&".join([b"a" * 7000, *(name.encode() + b"=" + TOKEN for name in names)])
    head = parse(get(target=b"/?" + query))
    for name in names:
        TokenPlaces(params=[(name, False)]).strip_from(head)
    assert head.write_bytes(POLICY) == as_it_came(get(target=b"/?" + b"a" * 7000))


def test_many_long_values_are_cut_in_one_head():
    """Every line of the largest head that loses a part keeps the rest: memory that was cut once does not move."""
    lines = [b"Cookie: " + b"%02d=" % number + b"x" * 250 for number in range(90)]
    with_tokens = [line + b"; session=" + TOKEN for line in lines]
    wire = get(*with_tokens, target=b"/?" + b"a" * 2000 + b"&jwt=" + TOKEN)
    assert stripped(EVERYWHERE, wire) == as_it_came(get(*lines, target=b"/?" + b"a" * 2000))


def test_no_byte_behind_a_head_is_read():
    """Each kind of place at the very end of memory: one byte of over-read would end the process."""
    libc = ctypes.CDLL(None, use_errno=True)
    page = mmap.PAGESIZE
    memory = mmap.mmap(-1, 2 * page)
    base = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    assert libc.mprotect(ctypes.c_void_p(base + page), ctypes.c_size_t(page), 0) == 0
    try:
        for carrier, value in itertools.product(CARRIERS, (TOKEN, b"", b"%", b'"', b"%4")):
            wire = Request().having(carrier, value).wire()
            memory[page - len(wire) : page] = wire
            head = RequestHead()
            assert head.parse_bytes(memoryview(memory)[page - len(wire) : page], POLICY) == Parse.COMPLETE
            EVERYWHERE.find_in(head)
            EVERYWHERE.strip_from(head)
            head.write_bytes(POLICY)
    finally:
        libc.mprotect(ctypes.c_void_p(base + page), ctypes.c_size_t(page), 3)


# --- any input ------------------------------------------------------------------------------------------------------------

NAMED = st.sampled_from(
    [b"__Host-jwt", b"session", b"access_token", b"jwt", b"a", b"b", b"", b"JWT", b"sessio", b"session2"]
)
SEPARATED = st.lists(st.tuples(NAMED, st.sampled_from([b"", b"=", b"=1", b"=x=y", b" = 1"])).map(b"".join), max_size=6)
NO_PLACE = {*(b"__Host-jwt", b"session", b"access_token", b"jwt")}


def innocent(pieces: Sequence[bytes]) -> list[bytes]:
    """Without the places, and no list that is blank: such a one disappears with the token."""
    kept = [piece for piece in pieces if piece.split(b"=")[0].strip() not in NO_PLACE]
    return kept if b"".join(kept) else []


@settings(max_examples=400, deadline=None)
@given(
    cookies=SEPARATED.map(innocent),
    params=SEPARATED.map(innocent),
    subprotocols=st.lists(st.sampled_from([b"chat", b"superchat", b"v1.x", b""]), max_size=4),
    lines=st.lists(st.sampled_from([b"A: b", b"X-Auth-2: x", b"Accept: c"]), max_size=3),
    carriers=st.lists(st.sampled_from(CARRIERS), min_size=1, max_size=4, unique_by=lambda one: one.options().__str__()),
    at=st.integers(0, 7),
    forward=st.booleans(),
)
def test_what_is_no_token_goes_on_as_if_none_had_come(cookies, params, subprotocols, lines, carriers, at, forward):
    """Any request with one token in up to four places: it is found, gone unless forwarded, and all else is as it was (P6)."""
    plain = Request(
        params=[piece.replace(b" ", b"") for piece in params],
        lines=lines,
        cookies=cookies,
        subprotocols=[*subprotocols, b"chat"],
    )
    request = plain
    for carrier in carriers:
        pieces = getattr(request, carrier.where)
        request = request.having(carrier, TOKEN, min(at, len(pieces)))
    where = places(*carriers, forward=forward)
    wire = request.wire()
    assert find(where, wire) == (DenyReason.NONE, TOKEN)
    kept = plain
    if forward:
        for carrier in carriers:
            if carrier.kind != "subprotocol":
                kept = kept.having(carrier, TOKEN, min(at, len(getattr(kept, carrier.where))))
    written = stripped(where, wire)
    if not forward:
        assert TOKEN not in written and encoded(TOKEN) not in written
    assert written == as_it_came(kept.wire())


GARBAGE = st.lists(
    st.sampled_from(
        [
            *(b"session", b"__Host-jwt", b"jwt", b"access_token", b"access%5ftoken", b"j%77t", b"bearer", b"Bearer"),
            *(b"base64url.bearer.", b"YQ", b"base64url.bearer.YQ", b"chat", b"=", b"=", b";", b"; ", b"&", b",", b", "),
            *(b" ", b'"', b"%", b"?", b"a", b"x.y.z", b"=a", b"=b"),
        ]
    ),
    max_size=14,
).map(b"".join)


def of_cookies(lines: Sequence[bytes], name: bytes) -> list[bytes]:
    """Another reader's cookies of a name: the texts behind "=", with white space and quotes left in."""
    pairs = [pair.lstrip(b" \t") for line in lines for pair in line.strip(b" \t").split(b";")]
    return [value for key, mark, value in (pair.partition(b"=") for pair in pairs) if mark and key == name]


@settings(max_examples=800, deadline=None)
@given(cookies=st.lists(GARBAGE, max_size=3), query=GARBAGE, offers=st.lists(GARBAGE, max_size=2), alone=st.booleans())
def test_s15_any_garbage_ends_and_nothing_doubtful_goes_on(cookies, query, offers, alone):
    """Whatever stands in the lists: an answer comes, and the head that goes on holds no token for the same search (THREATS S15)."""
    lines = [b"Cookie: " + cookie for cookie in cookies] + [b"Sec-WebSocket-Protocol: " + offer for offer in offers]
    wire = get(*lines, target=b"/?" + query.replace(b" ", b"+").replace(b"\t", b"+"))
    reason, token = find(EVERYWHERE, wire)
    assert reason in (DenyReason.NONE, MISSING, MULTIPLE, MALFORMED)
    assert (token is None) == (reason != DenyReason.NONE)
    written = stripped(EVERYWHERE, wire)
    assert found(EVERYWHERE, written) == MISSING
    assert stripped(EVERYWHERE, written).split(b"\r\n")[0] == written.split(b"\r\n")[0]
    where = TokenPlaces(cookies=[("session", False)])
    texts = of_cookies(cookies, b"session")
    reason, token = find(where, wire)
    if reason == DenyReason.NONE:
        assert texts == [token]
    elif reason == MISSING:
        assert texts in ([], [b""])
    elif reason == MULTIPLE:
        assert len(texts) > 1


@pytest.mark.parametrize("filler", [b";", b"; ", b"=", b"a=;", b"session;", b'"', b",", b"session", b"bearer,", b"a,"])
def test_s15_lists_of_nothing_but_separators_end(filler: bytes):
    """Thirty kilobytes of one piece repeated, as cookies and as subprotocols, are walked through once (THREATS S15)."""
    text = filler * (30000 // len(filler))
    for name in (b"Cookie: ", b"Sec-WebSocket-Protocol: "):
        assert found(EVERYWHERE, get(name + text)) in (MISSING, MALFORMED)
        assert found(EVERYWHERE, stripped(EVERYWHERE, get(name + text))) == MISSING


# --- configuration --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"headers": [("X_Api", "", False)]},
        {"headers": [("", "", False)]},
        {"headers": [("X-Käse", "", False)]},
        {"headers": [("Authorization", "Bea rer", False)]},
        *(
            {"headers": [(name, "", False)]}
            for name in ("Host", "Cookie", "Connection", "Content-Type", "X-Request-Id")
        ),
        *({"headers": [(name, "", False)]} for name in ("Proxy-Authorization", "sec-websocket-protocol", "If-Match")),
        *(
            {"headers": [(name, "", False)]}
            for name in ("Sec-WebSocket-Key", "X-Forwarded-For", "Sec-WebSocket-Extensions")
        ),
        {"headers": [("A", "", False), ("a", "", True)]},
        {"headers": [("A", "B", False), ("a", "b", True)]},
        {"headers": [("A", "", False), ("a", "b", True)]},
        {"cookies": [("", False)]},
        {"cookies": [("a b", False)]},
        {"cookies": [("a=b", False)]},
        {"cookies": [("ä", False)]},
        {"cookies": [("a", False), ("a", True)]},
        {"params": [("", False)]},
        {"params": [("a[b]", False)]},
        {"params": [("a%62", False)]},
        {"params": [("a", False), ("a", False)]},
        {"params": [(f"p{number}", False) for number in range(33)]},
    ],
)
def test_places_without_sense_are_refused(options: dict[str, Any]):
    """No place, one twice, too many, and names that cannot be one or mean something else are errors of the configuration."""
    with pytest.raises(ConfigurationError, match=r"header|cookie|param|place|scheme"):
        TokenPlaces(**options)


def test_as_many_places_as_allowed_work():
    """The last of thirty-two is found like the first, and one name may be a header, a cookie and a parameter."""
    names = [f"n{number}" for number in range(30)]
    where = TokenPlaces(headers=[("n0", "", False)], cookies=[("n0", False)], params=[(name, False) for name in names])
    for target in (b"/?n0=" + TOKEN, b"/?n29=" + TOKEN):
        assert find(where, get(target=target)) == (DenyReason.NONE, TOKEN)
    assert find(where, get(b"Cookie: n0=" + TOKEN, b"N0: " + TOKEN)) == (DenyReason.NONE, TOKEN)
