"""Routes of which some are public, and thousands of spellings of the paths that are not."""

from __future__ import annotations

import functools
import itertools
import random

from lbjwt.routing.table import RouteMatch

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
