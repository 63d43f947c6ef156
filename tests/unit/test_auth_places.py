"""Where a token is found and how it is taken out: requests as they come, their token, and the head that goes on."""

from __future__ import annotations

import ctypes
import itertools
import mmap
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lbjwt._fastverify import DenyReason
from lbjwt.auth._places import TokenPlaces
from lbjwt.errors import ConfigurationError
from lbjwt.http1._request import Parse, RequestHead
from tests.corpus.http1_requests import CASES
from tests.harness.examples import examples
from tests.unit.token_places import (
    BY_NAME,
    CARRIERS,
    EVERYWHERE,
    FORWARDABLE,
    MALFORMED,
    MISSING,
    MULTIPLE,
    OTHER,
    OTHERS,
    POLICY,
    TOKEN,
    Carrier,
    Request,
    as_it_came,
    encoded,
    find,
    found,
    get,
    name_of,
    parse,
    places,
    stripped,
)

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
    where.strip(head)
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
        EVERYWHERE.strip(head)
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
        where.strip(head)
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


# --- memory and reuse -----------------------------------------------------------------------------------------------------


def test_nothing_depends_on_the_heads_before():
    """One head and one set of places, used again and again, find, cut and tell what fresh ones do."""

    def outcome(head: RequestHead, where: TokenPlaces, wire: bytes) -> object:
        assert head.parse_bytes(wire, POLICY) == Parse.COMPLETE
        assert (head.token_in_query, head.subprotocol_answer) == (False, False)
        answer = where.find_in(head)
        flags = (head.token_in_query, head.subprotocol_answer)
        where.strip(head)
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
        EVERYWHERE.strip(head)
        assert head.write_bytes(POLICY) == as_it_came(OTHERS.wire())


def test_places_may_be_emptied_in_turn():
    """What was copied to be cut is cut again where it lies: the longest target loses three parameters one after another."""
    names = ("one", "two", "three")
    query = b"&".join([b"a" * 7000, *(name.encode() + b"=" + TOKEN for name in names)])
    head = parse(get(target=b"/?" + query))
    for name in names:
        TokenPlaces(params=[(name, False)]).strip(head)
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
            EVERYWHERE.strip(head)
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


@settings(max_examples=examples(400), deadline=None)
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


@settings(max_examples=examples(800), deadline=None)
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
    with pytest.raises(ConfigurationError, match=r"header|cookie|param|location|scheme|twice"):
        TokenPlaces(**options)


def test_as_many_places_as_allowed_work():
    """The last of thirty-two is found like the first, and one name may be a header, a cookie and a parameter."""
    names = [f"n{number}" for number in range(30)]
    where = TokenPlaces(headers=[("n0", "", False)], cookies=[("n0", False)], params=[(name, False) for name in names])
    for target in (b"/?n0=" + TOKEN, b"/?n29=" + TOKEN):
        assert find(where, get(target=target)) == (DenyReason.NONE, TOKEN)
    assert find(where, get(b"Cookie: n0=" + TOKEN, b"N0: " + TOKEN)) == (DenyReason.NONE, TOKEN)
