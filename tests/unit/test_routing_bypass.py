"""No spelling gets a request past the route that is meant for it: thousands of them against back ends of every style."""

from __future__ import annotations

import functools
import itertools
import random

from lbjwt.routing._router import Found, Router
from lbjwt.routing.table import RouteMatch
from tests.unit.path_readers import ALL_STYLES, FOUR_STYLES, BackEnd

PUBLIC = (0, 1, 2)
ROUTES = (
    RouteMatch(prefix="/"),
    RouteMatch(prefix="/pub"),
    RouteMatch(path="/jobs"),
    RouteMatch(prefix="/admin"),
    RouteMatch(prefix="/pub/private"),
    RouteMatch(path="/jobs/7:cancel"),
    RouteMatch(path="/jobs/"),
)
ROUTER = Router(ROUTES)
PROTECTED_PREFIXES = ([b"admin"], [b"pub", b"private"])
PROTECTED_PATHS = ([b"jobs", b"7:cancel"], [b"jobs", b""])
BASES = (b"/admin", b"/admin/users", b"/pub/private/x", b"/jobs/7:cancel")
INSERTED = (
    *(b".", b"..", b"/", b"//", b"/.", b"/./", b"/..", b"/../", b"/x/../", b"/x/..", b"%2e", b"%2e%2e/", b"/%2e/", b"/.%2E/", b"/..%2f"),
    *(b"%2f", b"%2F", b"%5c", b"%5C", b"\\", b"/..\\", b"%252f", b"%252e", b"%25%32%66", b"%255c", b"%c0%af", b"%c0%ae", b"%e0%80%af"),
    *(b";", b";x", b";x=1/", b"/;x/", b"/;/", b"/..;/", b"/.;/", b"%3b", b"%3Bx", b"/..%3b/", b"%20", b"%20/", b"./", b".%20", b"...", b"/.../"),
    *(b"%00", b"%0a", b"%09", b"%7f", b"%3f", b"%3Fx", b"%3F/", b"%23", b"%23x", b"?", b"?x", b"#", b"#x", b"%3F.css", b";x%3F", b";%23/"),
    *(b"%c3", b"%c3%a9", b"%u002f", b"%", b"%2", b"%25", b"%253F", b"%26", b"%2B"),
)  # fmt: skip


def escapes(byte: int) -> tuple[bytes, ...]:
    """Spellings of one character: as it is, in the other case, encoded in both cases, encoded twice."""
    plain = bytes([byte])
    return plain, plain.swapcase(), b"%%%02x" % byte, b"%%%02X" % byte, b"%%25%02x" % byte


@functools.cache
def spellings() -> tuple[bytes, ...]:
    """Every insertion at every place, pairs of insertions, and characters in other spellings; the same ones in each run."""
    found: dict[bytes, None] = {}
    chance = random.Random("spellings")
    for base in BASES:
        for at, inserted in itertools.product(range(len(base) + 1), INSERTED):
            found[base[:at] + inserted + base[at:]] = None
        for at in range(1, len(base)):
            for spelling in escapes(base[at]):
                found[base[:at] + spelling + base[at + 1 :]] = None
        for _ in range(4000):
            target = b"".join(
                chance.choice(escapes(byte)) if chance.random() < 0.15 else bytes([byte]) for byte in base
            )
            for _ in range(chance.choice((0, 0, 1, 1, 2))):
                at = chance.randrange(len(target) + 1)
                target = target[:at] + chance.choice(INSERTED) + target[at:]
            found[chance.choice((b"", b"/pub", b"/x")) + target] = None
    return tuple(target if target.startswith(b"/") else b"/" + target for target in found)


def is_protected(back_end: BackEnd, target: bytes) -> bool:
    """The back end would hand `target` to a protected handler."""
    segments = back_end.read(target.split(b"?")[0])
    if any(segments[: len(prefix)] == prefix for prefix in PROTECTED_PREFIXES):
        return True
    return any(segments == path for path in PROTECTED_PATHS)


def test_r2_no_spelling_reaches_a_protected_handler_by_a_public_route() -> None:
    """What a public route forwards is public to back ends that keep a path, decode it once or twice, or normalise it, and to mixtures."""
    passed = {}
    for target in spellings():
        index, forwarded = ROUTER.find(b"GET", b"", target)
        if index in PUBLIC:
            passed[forwarded] = target
    assert len(passed) > 1000
    for forwarded, target in passed.items():
        for back_end in ALL_STYLES:
            assert not is_protected(back_end, forwarded or b""), (target, forwarded, back_end)


def test_the_spellings_are_dangerous() -> None:
    """More than 2,000 of them lead a back end of one of the four styles to a protected handler when they are forwarded as they came."""
    dangers = [sum(is_protected(style, target) for target in spellings()) for style in FOUR_STYLES]
    assert min(dangers) > 700, dangers
    assert sum(any(is_protected(style, target) for style in FOUR_STYLES) for target in spellings()) > 2000


def test_honest_spellings_pass() -> None:
    """The refusals cost only what is ambiguous: the usual ways to write a protected path all lead to its route."""
    for target, index in ((b"/admin", 3), (b"/%61dmin/", 3), (b"/admin/./users?x", 3), (b"//admin", 3), (b"/pub/../admin", 3), (b"/admin/C%23", 3),
                          (b"/pub/a;v=1", 1), (b"/pub/D.C.", 1), (b"/pub/what%3F", 1), (b"/Other", 0), (b"/jobs", 2), (b"/jobs/", 6),
                          (b"/jobs/7:cancel", 5), (b"/jobs/8%3Acancel", 0), (b"/adm%C3%ADn", 0)):  # fmt: skip
        assert ROUTER.find(b"GET", b"", target)[0] == index, target
    for target in (
        b"/Admin",
        b"/admin;x",
        b"/admin.",
        b"/admin%20/",
        b"/jobs/7%3Acancel",
        b"/admin%3F.css",
        b"/pub/private%23",
        b"/;/admin",
    ):
        assert ROUTER.find(b"GET", b"", target) == (Found.BAD_TARGET, None), target
