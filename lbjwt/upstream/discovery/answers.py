"""
From the answers of name servers to the addresses of a name. Pure: no I/O and no clock.

Nothing that a name server does takes the last address of a name away: a query that fails, or brings nothing for a whole name, leaves what was known.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from lbjwt.address import Address

MAX_ADDRESSES: Final = 1000
"""Of one name; a cluster has no more endpoints. Further addresses are left out."""

MAX_WEIGHT: Final = 1000
"""SRV weights go to 65,535; larger ones than this are scaled down, all of one priority by the same factor."""

Family = Literal["any", "ipv4", "ipv6"]
RecordType = Literal["A", "AAAA"]
RECORD_TYPES: Final[Mapping[Family, tuple[RecordType, ...]]] = {"any": ("A", "AAAA"), "ipv4": ("A",), "ipv6": ("AAAA",)}


@dataclass(frozen=True, slots=True)
class Question:
    """What to resolve, and how. Names are compared in lower case."""

    name: str
    srv: bool = False
    family: Family = "any"
    nameservers: tuple[Address, ...] = ()
    """Empty: those of the system."""

    def __str__(self) -> str:
        name = f"srv:{self.name}" if self.srv else self.name
        return " ".join(
            [name, *([self.family] if self.family != "any" else []), *(f"@{server}" for server in self.nameservers)]
        )


@dataclass(frozen=True, slots=True)
class Found:
    """One address of a name."""

    host: str
    name: str
    """What the address belongs to: the name itself, or the target of its SRV record. A certificate is for this name."""
    port: int = 0
    """From an SRV record; 0: that of the endpoint."""
    weight: int = 1
    backup: bool = False
    """From an SRV record that has not the lowest priority."""


@dataclass(frozen=True, slots=True)
class Service:
    """One SRV record (RFC 2782)."""

    priority: int
    weight: int
    port: int
    target: str
    """Without the dot at the end; "" when the service is not available here."""


@dataclass(frozen=True, slots=True)
class Target:
    """A name whose addresses are wanted, and what they are to be."""

    name: str
    port: int = 0
    weight: int = 1
    backup: bool = False


@dataclass(frozen=True, slots=True)
class Reply:
    """The answer to one query for addresses."""

    addresses: tuple[str, ...] = ()
    ttl: float | None = None
    """Seconds; None without an address."""
    failure: str = ""
    """Why there is no answer, for the log. An answer without addresses is none."""


@dataclass(frozen=True, slots=True)
class Resolved:
    """What a name is from now on."""

    found: tuple[Found, ...]
    ttl: float | None
    """Seconds for which all of it holds; None: nothing new is known."""
    failure: str = ""
    """Why some of it is what was known before, or nothing is known."""


def targets_of(services: Iterable[Service]) -> tuple[Target, ...]:
    """
    Return the targets of SRV records: those of the lowest priority number, and all others as backups.

    Weight 0 stands for a very small share (RFC 2782), which is weight 1 here.
    """
    usable = [service for service in services if service.target and service.port]
    lowest = min((service.priority for service in usable), default=0)
    largest: dict[int, int] = {}
    for service in usable:
        largest[service.priority] = max(largest.get(service.priority, 0), service.weight)
    return tuple(
        Target(
            service.target,
            service.port,
            _scaled(service.weight, largest[service.priority]),
            service.priority != lowest,
        )
        for service in sorted(usable, key=lambda one: (one.priority, one.target, one.port))
    )


def _scaled(weight: int, largest: int) -> int:
    return max(1, weight if largest <= MAX_WEIGHT else round(weight * MAX_WEIGHT / largest))


def resolved(
    targets: Sequence[Target], replies: Mapping[tuple[str, RecordType], Reply], before: Sequence[Found]
) -> Resolved:
    """
    Return what a name is after a round of queries.

    A query for A or AAAA that failed keeps the addresses which its target had of that family. When nothing at all was found, everything stays.

    Args:
        targets: The name itself, or the targets of its SRV records.
        replies: By target and record type.
        before: What the name was.
    """
    found: list[Found] = []
    ttls: list[float] = []
    failures: list[str] = []
    own: dict[str, dict[RecordType, Reply]] = {}
    for (name, kind), reply in replies.items():
        own.setdefault(name, {})[kind] = reply
    had: dict[tuple[str, RecordType], list[str]] = {}
    for one in before:
        had.setdefault((one.name, "AAAA" if ":" in one.host else "A"), []).append(one.host)
    for target in targets:
        answers = own.get(target.name, {})
        answered = any(reply.addresses for reply in answers.values())
        for kind, reply in sorted(answers.items()):
            addresses: Sequence[str] = sorted(set(reply.addresses))
            if reply.failure:
                addresses = had.get((target.name, kind), ())
                if addresses or not answered:  # some servers fail for AAAA when there is none (RFC 4074)
                    failures.append(reply.failure)
            elif reply.addresses and reply.ttl is not None:
                ttls.append(reply.ttl)
            found += [
                Found(host, target.name, target.port, target.weight, target.backup) for host in dict.fromkeys(addresses)
            ]
    failure = failures[0] if failures else ""
    fresh = {(one.host, one.port): one for one in reversed(found)}  # of one address twice, the first one
    kept = tuple(one for one in dict.fromkeys(found) if fresh[one.host, one.port] is one)[:MAX_ADDRESSES]
    if not kept or not ttls:
        return Resolved(tuple(before), None, failure or "it has no addresses")
    return Resolved(kept, min(ttls), failure)
