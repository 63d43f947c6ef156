"""Request heads: the corpus whole, in every segmentation and with bytes behind it; what is written for the endpoint."""

from __future__ import annotations

import ctypes
import itertools
import mmap
import random

import h11
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lbjwt._error_reason import error_status
from lbjwt._grants import Grant, GrantCache
from lbjwt.http1._request import Method, Parse, RequestHead, RequestPolicy
from tests.corpus.http1_requests import CASES, WEBSOCKET, Case, get, post
from tests.harness.examples import examples
from tests.unit.http1_readers import Fields, named, request_by_httptools

IDENTITY = ("X-Jwt-Sub", "X-User-1")
POLICY = RequestPolicy(identity_headers=IDENTITY)
OURS = b"X-Jwt-Sub: alice\r\nX-User-1: 7\r\n"
NEVER_SENT_ON = {
    *(
        b"connection",
        b"keep-alive",
        b"proxy-connection",
        b"proxy-authorization",
        b"te",
        b"trailer",
        b"upgrade",
        b"proxy",
    ),
    *(
        b"x-http-method",
        b"x-http-method-override",
        b"x-method-override",
        b"x-original-url",
        b"x-rewrite-url",
        b"http2-settings",
    ),
}
REWRITTEN = {
    b"host",
    b"content-length",
    b"transfer-encoding",
    b"expect",
    b"x-forwarded-for",
    b"x-forwarded-proto",
    b"x-forwarded-host",
}


def parse(wire: bytes, policy: RequestPolicy = POLICY) -> RequestHead:
    """The head of `wire`, which has to be acceptable."""
    head = RequestHead()
    assert head.parse_bytes(wire, policy) == Parse.COMPLETE, head.problem
    return head


def verdict(wire: bytes | memoryview, policy: RequestPolicy = POLICY, seen: int = 0) -> tuple[Parse, int, str | None]:
    head = RequestHead()
    return Parse(int(head.parse_bytes(wire, policy, seen))), *problem(head)


def problem(head: RequestHead) -> tuple[int, str | None]:
    return error_status(head.problem), named(head.problem)


def expected(case: Case) -> tuple[Parse, int, str | None]:
    return (Parse.COMPLETE, 0, None) if case.verdict is None else (Parse.REFUSED, *case.verdict)


def read_by_h11(wire: bytes) -> tuple[bytes, bytes, Fields]:
    connection = h11.Connection(h11.SERVER)
    connection.receive_data(wire)
    event = connection.next_event()
    assert isinstance(event, h11.Request)
    return event.method, event.target, list(event.headers)


def sent_on(wire: bytes, policy: RequestPolicy = POLICY, **options) -> Fields:
    """The fields of the head written for `wire`; h11 and httptools have to read it alike."""
    written = parse(wire, policy).write_bytes(policy, **options)
    by_h11 = read_by_h11(written)
    assert by_h11 == request_by_httptools(written)
    return by_h11[2]


def values(fields: Fields, name: bytes) -> list[bytes]:
    return [value for known, value in fields if known == name]


def fold(name: bytes) -> bytes:
    return bytes(byte if chr(byte).isalnum() and byte < 128 else ord("-") for byte in name.lower())


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_corpus_gets_its_verdicts(case: Case):
    """Each case of the corpus gets the verdict beside it, whatever follows the head, and every bad tier is refused."""
    assert verdict(case.wire) == expected(case)
    assert (case.verdict is None) == (case.tier in ("compliant", "acceptable"))
    for rest in (b"GET /next HTTP/1.1\r\n", b"\x00\xff" * 40, b"\r\n\r\n", b"5\r\nhello\r\n"):
        head = RequestHead()
        answer = head.parse_bytes(case.wire + rest, POLICY)
        assert (answer, *problem(head)) == expected(case)
        if answer == Parse.COMPLETE:
            assert head.size == len(case.wire)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_verdict_does_not_depend_on_segmentation(case: Case):
    """Byte by byte (H20) and in every two parts the verdict of the whole comes, and a prefix is refused for no other reason."""
    head, view = RequestHead(), memoryview(case.wire)
    answer, seen = Parse.NEED_MORE, 0
    for size in range(1, len(view) + 1):
        answer = head.parse_bytes(view[:size], POLICY, seen)
        if answer != Parse.NEED_MORE:
            break
        seen = size
    assert (answer, *problem(head)) == expected(case)
    step = max(1, len(view) // 400)
    for first in itertools.chain(range(1, len(view), step), range(max(1, len(view) - 10), len(view))):
        before = verdict(view[:first])
        if before[0] == Parse.NEED_MORE:
            assert verdict(view, seen=first) == expected(case), first
        else:
            assert before == expected(case), first


FACTS = (
    *(
        "size",
        "problem",
        "method",
        "http10",
        "keep_alive",
        "content_length",
        "chunked",
        "expect_continue",
        "websocket",
    ),
    *("authorization_count", "dropped_names"),
)


def test_nothing_depends_on_the_heads_before():
    """Heads of the corpus in random orders through one RequestHead are read and written as each is alone."""

    def outcome(head: RequestHead, case: Case) -> object:
        if head.parse_bytes(case.wire, POLICY) != Parse.COMPLETE:
            return head.problem, head.size
        return (
            [getattr(head, fact) for fact in FACTS],
            head.parts(),
            head.fields(),
            head.write_bytes(POLICY, trusted=True),
        )

    alone = {case.name: outcome(RequestHead(), case) for case in CASES}
    head = RequestHead()
    for seed in range(3):
        for case in random.Random(seed).sample(CASES, len(CASES)):
            assert outcome(head, case) == alone[case.name], case.name


def test_a_refusal_leaves_nothing_of_the_head_before():
    """After a refusal no slice of an earlier head is left to be logged: its bytes may be gone."""
    head = RequestHead()
    assert head.parse_bytes(get(b"Authorization: Bearer a"), POLICY) == Parse.COMPLETE
    assert head.parse_bytes(b"GET /" + b"a" * 9000, POLICY) == Parse.REFUSED
    assert (head.parts(), head.method, head.size) == (
        (b"", b"", b""),
        Method.OTHER,
        0,
    )


TOKEN = b"eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJhIn0." + b"c2lnbmF0dXJl-_" * 6


def read_with(
    wire: bytes, known: bytes | None, policy: RequestPolicy = POLICY, verified: GrantCache | None = None
) -> tuple[object, ...]:
    """Everything that a head says when a token of it is known: the connection sent it last, or a cache has it."""
    head = RequestHead()
    parsed = Parse(int(head.parse_bytes(wire, policy, 0, known, verified)))
    if parsed != Parse.COMPLETE:
        return parsed, head.problem
    return (head.size, *head.parts(), head.fields(), head.content_length, head.chunked, head.write_bytes(policy))


def cache_of(token: bytes) -> GrantCache:
    cache = GrantCache()
    cache.insert(Grant(token))
    return cache


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_known_token_changes_no_verdict(case: Case):
    """Httptools reads its ends only; all else of the head it reads as ever, so what it alone refuses stays refused, wherever the token stands."""
    head, end, rest = case.wire.partition(b"\r\n\r\n")
    lines = head.split(b"\r\n")
    for scheme, at in itertools.product((b"Bearer ", b"", b"\x00"), {0, 1, len(lines)}):
        wire = b"\r\n".join([*lines[:at], b"Authorization: " + scheme + TOKEN, *lines[at:]]) + end + rest
        assert read_with(wire, TOKEN) == read_with(wire, None) == read_with(wire, TOKEN[1:])
        assert read_with(wire, TOKEN[1:], verified=cache_of(TOKEN)) == read_with(wire, None)


def test_no_byte_changed_anywhere_passes_by_a_known_token():
    """Each byte of a head in turn is each other byte: what is read, and what is refused, is the same."""
    wire = post(b"Authorization: Bearer " + TOKEN, b"Content-Length: 3") + b"abc"
    assert read_with(wire, TOKEN)[0] == len(wire) - 3
    refused, cache = 0, cache_of(TOKEN)
    for at, byte in itertools.product(range(len(wire) - 3), range(256)):
        changed = wire[:at] + bytes([byte]) + wire[at + 1 :]
        read = read_with(changed, TOKEN)
        assert read == read_with(changed, None) == read_with(changed, None, verified=cache), changed
        refused += read[0] == Parse.REFUSED
    assert refused > 10_000


@pytest.mark.parametrize("size", [0, 1, 2, 3, 65, 66, 67, 4000, 8000])
@pytest.mark.parametrize("more", [0, 100, 7500, 8100, 20_000])
def test_a_known_token_of_any_length_in_a_head_of_any_length(size: int, more: int):
    """Short tokens and long heads are read whole; the parser that is kept is good for the next head all the same."""
    token = (TOKEN * (size // len(TOKEN) + 1))[:size]
    for _ in range(2):
        for line in (b"A: " + b"b" * more, b"A: \x7f" + b"b" * more, b"Content-Length: 1, 2"):
            wire = get(line, b"Authorization: Bearer " + token, b"Connection: keep-alive")
            assert read_with(wire, token) == read_with(wire, None) == read_with(wire, None, verified=cache_of(token))
        assert verdict(get())[0] == Parse.COMPLETE


def test_no_byte_behind_the_data_is_read():
    """Each case parsed right before an unreadable page: one byte of over-read would end the process."""
    libc = ctypes.CDLL(None, use_errno=True)
    page = mmap.PAGESIZE
    room = 16 * page
    memory = mmap.mmap(-1, room + page)
    base = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    assert libc.mprotect(ctypes.c_void_p(base + room), ctypes.c_size_t(page), 0) == 0
    try:
        for case in CASES:
            for size in {len(case.wire), len(case.wire) // 2, max(1, len(case.wire) - 3)}:
                memory[room - size : room] = case.wire[:size]
                head = RequestHead()
                if head.parse_bytes(memoryview(memory)[room - size : room], POLICY) == Parse.COMPLETE:
                    assert head.write_bytes(POLICY).endswith(b"\r\n\r\n")
    finally:
        libc.mprotect(ctypes.c_void_p(base + room), ctypes.c_size_t(page), 3)


@pytest.mark.parametrize("case", [case for case in CASES if case.verdict is None], ids=lambda case: case.name)
@pytest.mark.parametrize("trusted", [False, True])
def test_what_is_written_reads_the_same_everywhere(case: Case, trusted: bool):
    """h11 and httptools read the written head alike, with nothing in it that the endpoint must not see."""
    fields = sent_on(case.wire, trusted=trusted, identity=OURS, request_id=b"r1")
    names = [name for name, _ in fields]
    websocket = parse(case.wire).websocket
    assert not (NEVER_SENT_ON - ({b"connection", b"upgrade"} if websocket else set())) & set(names)
    assert names.count(b"host") == 1
    assert fields[-2:] == [(b"x-jwt-sub", b"alice"), (b"x-user-1", b"7")]
    assert [fold(name) for name in names].count(b"x-jwt-sub") == 1


def test_targets_are_written_in_origin_form():
    """Absolute-form becomes origin-form, or the asterisk for OPTIONS of no path (RFC 9112 sections 3.2.2, 3.2.4)."""
    for target, written in (
        (b"http://example.com/a?b", b"/a?b"),
        (b"http://example.com", b"/"),
        (b"http://example.com?x=/y", b"/?x=/y"),
        (b"https://EXAMPLE.com//a", b"//a"),
        (b"/a//b/../c", b"/a//b/../c"),
    ):
        assert read_by_h11(parse(get(start=b"GET %s HTTP/1.1" % target)).write_bytes(POLICY))[1] == written
    assert parse(get(start=b"OPTIONS http://example.com HTTP/1.1")).parts()[1] == b"*"
    assert parse(b"GET http://h.example/ HTTP/1.0\r\n\r\n").parts() == (b"GET", b"/", b"h.example")


def test_facts_of_a_head():
    """Method, version, persistence, framing and the token's field are told as they are."""
    head = parse(post(b"Content-Length: 12", b"Authorization:  Bearer a.b.c ", b"a_b: 1", b"Expect: 100-continue"))
    assert (head.method, head.http10, head.keep_alive, head.content_length, head.chunked) == (
        Method.POST,
        False,
        True,
        12,
        False,
    )
    assert (head.expect_continue, head.websocket, head.dropped_names) == (True, False, 1)
    assert head.authorization_count == 1
    assert parse(get(b"Authorization: Bearer a", b"AUTHORIZATION: Bearer b")).authorization_count == 2
    for wire, keep_alive in (
        (get(b"Connection: a, CLOSE"), False),
        (get(b"Connection: close", b"Connection: keep-alive"), False),
        (get(start=b"GET / HTTP/1.0"), False),
        (get(b"Connection: Keep-Alive", start=b"GET / HTTP/1.0"), True),
        (get(b"Connection: keep-alive, close", start=b"GET / HTTP/1.0"), False),
    ):
        assert parse(wire).keep_alive is keep_alive
    for method in ("GET", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS"):
        assert parse(get(start=method.encode() + b" / HTTP/1.1")).method == Method[method]
    assert parse(get(start=b"SEARCH / HTTP/1.1")).method == Method.OTHER


def test_framing_is_written_as_understood():
    """The length is written as a number of our own, chunked as the one coding, an expectation only where it has a sense."""
    assert values(sent_on(post(b"Content-Length: 007")), b"content-length") == [b"7"]
    assert values(sent_on(post(b"Transfer-Encoding: Chunked")), b"transfer-encoding") == [b"chunked"]
    assert values(sent_on(post(b"Content-Length: 1", b"Expect: 100-CONTINUE")), b"expect") == [b"100-continue"]
    assert not values(sent_on(get(b"Expect: 100-continue")), b"expect")
    assert not values(sent_on(post(b"Content-Length: 1", b"Expect: 100-continue", version=b"1.0")), b"expect")
    assert read_by_h11(parse(b"GET / HTTP/1.0\r\n\r\n").write_bytes(POLICY))[2][0] == (b"host", b"")


def test_fields_keep_their_order_and_values():
    """What is only passed on comes out in its order, with its own spelling of the name and its value untouched."""
    wire = get(b"B: 1", b"a:  2\t", b"B: \xe9", b"Connection: c", b"C: x", b"D:")
    written = parse(wire).write_bytes(POLICY, peer=b"")
    assert written == (
        b"GET / HTTP/1.1\r\nHost: example.com\r\nB: 1\r\na: 2\r\nB: \xe9\r\nD: \r\n"
        b"X-Forwarded-Proto: http\r\nX-Forwarded-Host: example.com\r\n\r\n"
    )


@pytest.mark.parametrize("header_names", ["drop", "allow"])
def test_no_spelling_of_an_identity_header_passes(header_names):
    """Over 500 spellings of a configured name, as field and as nomination: none reaches the endpoint (P1, P2, H-5)."""
    policy = RequestPolicy(identity_headers=["X-Jwt-Sub"], header_names=header_names)
    separators = b"-!#$%&'*+.^_`|~"
    spellings = {
        case(b"x%cjwt%csub" % pair)
        for pair in itertools.product(separators, repeat=2)
        for case in (bytes.lower, bytes.upper, bytes.title, bytes.swapcase)
    }
    assert len(spellings) > 500
    for spelling in spellings:
        fields = sent_on(get(spelling + b": root"), policy, identity=b"X-Jwt-Sub: alice\r\n")
        assert [(name, value) for name, value in fields if fold(name) == b"x-jwt-sub"] == [(b"x-jwt-sub", b"alice")]
        assert verdict(get(b"Connection: " + spelling), policy)[2] == "connection_nominates"


def test_odd_names_by_policy():
    """Names outside [A-Za-z0-9-] are dropped and counted, refused, or passed on, as the operator says."""
    wire = get(b"a_b: 1", b"c.d: 2", b"e: 3")
    dropped = parse(wire)
    assert dropped.dropped_names == 2
    assert [name for name, _ in sent_on(wire)][1:2] == [b"e"]
    assert verdict(wire, RequestPolicy(header_names="reject")) == (Parse.REFUSED, 400, "field_name")
    allowing = RequestPolicy(header_names="allow")
    assert [name for name, _ in sent_on(wire, allowing)][1:4] == [b"a_b", b"c.d", b"e"]


def test_allowed_odd_names_do_not_pose_as_names_of_the_proxy():
    """Under "allow" a name that folds to one that the proxy rules on is dropped all the same."""
    policy = RequestPolicy(header_names="allow")
    posing = [
        b"content_length: 5",
        b"transfer.encoding: chunked",
        b"x_forwarded_for: 1",
        b"x_forwarded_anything_at_all: 1",
        b"Proxy_Connection: a",
    ]
    head = parse(get(*posing, b"other_name: 1"), policy)
    assert (head.content_length, head.chunked, head.dropped_names) == (-1, False, len(posing))
    assert {name for name, _ in sent_on(get(*posing, b"other_name: 1"), policy, trusted=False)} == {
        *(b"host", b"other_name", b"x-forwarded-for", b"x-forwarded-proto", b"x-forwarded-host")
    }


def test_forwarded_fields_of_strangers_are_replaced():
    """An untrusted peer's word about addresses, hosts, schemes and request ids is not passed on (P12)."""
    wire = get(
        *(
            b"X-Forwarded-For: 1.1.1.1",
            b"X-Forwarded-Proto: https",
            b"X-Forwarded-Host: evil",
            b"X-Forwarded-Port: 1",
            b"Forwarded: for=1",
        ),
        *(b"X-Real-IP: 1.1.1.1", b"X-Forwarded-Prefix: /", b"X-Request-Id: theirs"),
        *(b"X-Forwarded-" + b"a" * size + b": 1" for size in range(1, 24)),
    )
    fields = sent_on(wire, peer=b"2001:db8::1", request_id=b"ours")
    assert fields[1:] == [
        (b"x-forwarded-for", b"2001:db8::1"),
        (b"x-forwarded-proto", b"http"),
        (b"x-forwarded-host", b"example.com"),
        (b"x-request-id", b"ours"),
    ]
    assert values(sent_on(wire, RequestPolicy(https=True)), b"x-forwarded-proto") == [b"https"]


def test_forwarded_fields_of_trusted_proxies_are_kept():
    """A trusted peer's addresses are appended to, its scheme, host and request id kept when single and valid."""
    wire = get(
        *(
            b"X-Forwarded-For: 1.1.1.1, 2.2.2.2",
            b"X-Forwarded-For: 3.3.3.3",
            b"X-Forwarded-Proto: HTTPS",
            b"X-Forwarded-Host: a.example:1",
        ),
        *(b"X-Forwarded-Port: 1", b"Forwarded: for=1", b"X-Request-Id: a.B_c-9"),
    )
    fields = sent_on(wire, trusted=True, request_id=b"ours")
    assert values(fields, b"x-forwarded-for") == [b"1.1.1.1, 2.2.2.2, 3.3.3.3, 192.0.2.1"]
    assert values(fields, b"x-forwarded-proto") == [b"HTTPS"]
    assert values(fields, b"x-forwarded-host") == [b"a.example:1"]
    assert values(fields, b"x-forwarded-port") == [b"1"]
    assert values(fields, b"forwarded") == [b"for=1"]
    assert values(fields, b"x-request-id") == [b"a.B_c-9"]


def test_doubtful_forwarded_fields_of_trusted_proxies_are_replaced():
    """Two schemes, an unknown scheme, an impossible host, and a request id with spaces or too long are ours again."""
    for wire in (
        get(b"X-Forwarded-Proto: https", b"X-Forwarded-Proto: http", b"X-Forwarded-Host: a", b"X-Forwarded-Host: b"),
        get(b"X-Forwarded-Proto: ftp", b"X-Forwarded-Host: a b", b"X-Request-Id: a b"),
        get(b"X-Forwarded-Proto:", b"X-Forwarded-Host:", b"X-Request-Id:"),
        get(b"X-Request-Id: " + b"a" * 129),
        get(b"X-Request-Id: a", b"X-Request-Id: b"),
    ):
        fields = sent_on(wire, trusted=True, request_id=b"ours")
        assert values(fields, b"x-forwarded-proto") == [b"http"]
        assert values(fields, b"x-forwarded-host") == [b"example.com"]
        assert values(fields, b"x-request-id") == [b"ours"]


@pytest.mark.parametrize("count", [0, 1, 28, 29, 30, 31, 500])
def test_forwarded_for_is_capped_at_thirty_entries(count):
    """Of a long X-Forwarded-For the newest 29 entries stay, with the peer behind them (P12)."""
    entries = [b"%d" % number for number in range(count)]
    wire = get(
        b"X-Forwarded-For: " + b",".join(entries[: count // 2]),
        b"X-Forwarded-For: " + b" , ".join(entries[count // 2 :]),
    )
    assert values(sent_on(wire, trusted=True), b"x-forwarded-for") == [b", ".join([*entries[-29:], b"192.0.2.1"])]


def test_the_token_is_passed_on_only_by_policy():
    """Authorization goes to the endpoint, or does not (C21)."""
    wire = get(b"authorization: Bearer a.b.c")
    assert values(sent_on(wire), b"authorization") == [b"Bearer a.b.c"]
    assert not values(sent_on(wire, RequestPolicy(forward_token=False)), b"authorization")


def test_only_a_whole_websocket_handshake_is_an_upgrade():
    """A well-formed RFC 6455 request is passed on as one where allowed; anything less goes on without its Upgrade."""
    wire = get(*WEBSOCKET, b"Sec-WebSocket-Protocol: chat")
    head = parse(wire)
    assert head.websocket
    fields = sent_on(wire)
    assert (values(fields, b"connection"), values(fields, b"upgrade")) == ([b"Upgrade"], [b"websocket"])
    assert values(fields, b"sec-websocket-key") == [b"dGhlIHNhbXBsZSBub25jZQ=="]
    forbidding = RequestPolicy(allow_websocket=False)
    assert not parse(wire, forbidding).websocket
    assert not values(sent_on(wire, forbidding), b"upgrade")
    for case in CASES:
        if case.verdict is None and case.name.startswith("6455"):
            assert parse(case.wire).websocket == (case.tier == "compliant"), case.name


def test_limits_follow_the_policy():
    """Each limit holds at its own value and not one byte or line before."""
    wire = get(b"A: b", start=b"GET /abc HTTP/1.1")
    exact = RequestPolicy(max_request_line=17, max_head=len(wire), max_fields=2)
    assert verdict(wire, exact)[0] == Parse.COMPLETE
    assert verdict(wire, RequestPolicy(max_request_line=16))[1:] == (414, "line_too_long")
    assert verdict(wire, RequestPolicy(max_head=len(wire) - 1))[1:] == (431, "head_too_large")
    assert verdict(wire, RequestPolicy(max_fields=1))[1:] == (431, "too_many_fields")


TOKENS = st.text("abcdefgXYZ019-_.!#", min_size=1, max_size=12).map(str.encode)
SPECIAL = sorted(
    NEVER_SENT_ON
    | REWRITTEN
    | {b"x-jwt-sub", b"x_user_1", b"authorization", b"if-match", b"forwarded", b"x-request-id", b"cookie"}
)
NAMES = st.one_of(
    TOKENS,
    st.sampled_from(SPECIAL),
    st.sampled_from(SPECIAL).map(bytes.title),
    st.sampled_from(SPECIAL).map(bytes.upper),
)
VALUES = st.one_of(
    st.binary(max_size=30).map(lambda raw: bytes(byte for byte in raw if byte >= 0x20 and byte != 0x7F)),
    st.sampled_from(
        [
            b"chunked",
            b"5",
            b"0",
            b"close",
            b"keep-alive, x",
            b"upgrade",
            b"websocket",
            b"100-continue",
            b"a, b",
            b"example.com",
        ]
    ),
)
LINES = st.lists(st.tuples(NAMES, st.sampled_from([b":", b": ", b":\t "]), VALUES).map(b"".join), max_size=12)
STARTS = st.tuples(
    st.sampled_from([b"GET", b"POST", b"OPTIONS", b"HEAD", b"LOCK"]),
    st.sampled_from([b" / ", b" /a?b=%20 ", b" * ", b" http://example.com?x ", b" http://example.com "]),
    st.sampled_from([b"HTTP/1.1", b"HTTP/1.0"]),
).map(b"".join)


@settings(max_examples=examples(600), deadline=None)
@given(start=STARTS, lines=LINES, trusted=st.booleans(), header_names=st.sampled_from(["drop", "allow"]))
def test_any_accepted_head_is_rewritten_cleanly(start, lines, trusted, header_names):
    """Whatever head is accepted: read alike by h11 and httptools, forbidden names gone, all others there in order."""
    policy = RequestPolicy(identity_headers=IDENTITY, header_names=header_names)
    head = RequestHead()
    wire = get(*lines, start=start)
    if head.parse_bytes(wire, policy) != Parse.COMPLETE:
        assert problem(head)[0] in (400, 405, 414, 417, 431, 501, 505)
        return
    written = head.write_bytes(policy, trusted=trusted, identity=OURS, request_id=b"r1")
    method, target, fields = read_by_h11(written)
    assert (method, target, fields) == request_by_httptools(written)
    assert (method, target) == head.parts()[:2]
    names = [name for name, _ in fields]
    assert not set(names) & (NEVER_SENT_ON - ({b"connection", b"upgrade"} if head.websocket else set()))
    assert [pair for pair in fields if fold(pair[0]) in (b"x-jwt-sub", b"x-user-1")] == fields[-2:]
    assert all(names.count(name) <= 1 for name in (REWRITTEN | {b"x-request-id"}))
    assert not (b"content-length" in names and b"transfer-encoding" in names)
    nominated = {
        option.strip(b" \t").lower()
        for name, value in head.fields()
        if name.lower() == b"connection"
        for option in value.split(b",")
    }
    plain = [
        (name.lower(), value)
        for name, value in head.fields()
        if name.lower() not in NEVER_SENT_ON | REWRITTEN | nominated | {b"x-request-id", b"forwarded"}
        and fold(name) not in (b"x-jwt-sub", b"x-user-1")
        and (fold(name) == name.lower() or header_names == "allow")
        and not (name.lower() == b"authorization" and head.authorization_count > 1)
    ]
    passed_on = [
        pair for pair in fields[:-2] if pair[0] not in REWRITTEN | NEVER_SENT_ON | {b"x-request-id", b"forwarded"}
    ]
    assert passed_on == plain


@settings(max_examples=examples(300), deadline=None)
@given(st.binary(max_size=300), st.integers(0, 300))
def test_garbage_is_never_trouble(garbage, cut):
    """Any bytes behind any half of a request get a verdict, the same one in two pieces as in one."""
    wire = get(b"A: b")[:cut] + garbage
    first = verdict(wire[: len(wire) // 2])
    if first[0] == Parse.NEED_MORE:
        assert verdict(wire, seen=len(wire) // 2) == verdict(wire)
    else:
        assert first == verdict(wire)
