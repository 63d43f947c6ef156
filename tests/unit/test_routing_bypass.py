"""No spelling gets a request past the route that is meant for it: thousands of them against back ends of every style."""

from __future__ import annotations

import random

from lbjwt.routing._router import Found, Router
from tests.harness.examples import examples
from tests.unit.path_readers import ALL_STYLES, FOUR_STYLES, BackEnd
from tests.unit.path_spellings import (
    PROTECTED_PATHS,
    PROTECTED_PREFIXES,
    PUBLIC,
    ROUTES,
    spellings,
)

ROUTER = Router(ROUTES)


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
    some = examples(len(ALL_STYLES), plain=16)
    for forwarded, target in passed.items():
        for back_end in random.sample(ALL_STYLES, some):
            assert not is_protected(back_end, forwarded or b""), (target, forwarded, back_end)


def test_the_spellings_are_dangerous() -> None:
    """More than 2,000 of them lead a back end of one of the four styles to a protected handler when they are forwarded as they came."""
    dangers = [{target for target in spellings() if is_protected(style, target)} for style in FOUR_STYLES]
    assert min(map(len, dangers)) > 700
    assert len(set().union(*dangers)) > 2000


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
