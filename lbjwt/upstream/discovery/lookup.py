"""
One round of queries for a name: /etc/hosts, then the name servers.

dnspython reads /etc/resolv.conf with its search list and options, asks again over TCP when an answer was truncated, and tries one name server after
another. Only this module and `nameserver` import it.
"""

import asyncio
import socket
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import dns.asyncresolver
import dns.exception
import dns.resolver

from lbjwt.files import signature_of
from lbjwt.upstream.discovery.answers import (
    MAX_ADDRESSES,
    RECORD_TYPES,
    Found,
    Question,
    RecordType,
    Reply,
    Resolved,
    Service,
    Target,
    resolved,
    targets_of,
)
from lbjwt.upstream.discovery.hosts import Hosts
from lbjwt.upstream.discovery.nameserver import AnswerTooLarge, MeasuredNameserver

RESOLV_CONF: Final = Path("/etc/resolv.conf")

TRY: Final = 1.0
"""Seconds for one query to one name server; then the next one is asked. Answers take milliseconds, or hundreds of them across a continent."""

LIFETIME: Final = 5.0
"""Seconds for one query with all its tries."""

MAX_TARGETS: Final = 100
"""SRV records of one name that are used: each target costs two queries."""

MAX_QUERIES: Final = 50
"""Queries for addresses that are under way at the same time, for all names. Each one has a socket, and answers come in bursts."""

HOSTS_TTL: Final = 1.0
"""Seconds for which a name from /etc/hosts holds: looking at the file costs one stat(2)."""

_CAUSES: Final[tuple[tuple[type[Exception], str], ...]] = (
    (dns.resolver.NXDOMAIN, "the name does not exist (NXDOMAIN)"),
    (dns.resolver.YXDOMAIN, "the name server answers that the name is too long (YXDOMAIN)"),
    (dns.resolver.NoNameservers, "no name server answered properly (SERVFAIL, REFUSED or broken answers)"),
    (dns.resolver.NoResolverConfiguration, "there is no name server in /etc/resolv.conf"),
    (dns.exception.Timeout, "no name server answered in time"),
)


class Lookup:
    """Resolves names in the running loop."""

    def __init__(self, hosts: Hosts | None = None) -> None:
        self._hosts = Hosts() if hosts is None else hosts
        self._resolvers: dict[object, dns.asyncresolver.Resolver] = {}
        self._seen: object = None
        self._queries = asyncio.Semaphore(MAX_QUERIES)
        self._parsing = asyncio.Lock()

    async def __call__(self, question: Question, before: Sequence[Found]) -> Resolved:
        """
        Resolve a name. Does not raise for what name servers do.

        Args:
            before: What the name was; what cannot be resolved now stays.
        """
        targets: tuple[Target, ...] = (Target(question.name),)
        ttl = float("inf")
        if question.srv:
            try:
                answer = await self._ask(question, question.name, "SRV")
            except (dns.exception.DNSException, OSError, ValueError) as error:
                return Resolved(tuple(before), None, _cause(error))
            records = [
                Service(one.priority, one.weight, one.port, one.target.to_text(omit_final_dot=True))
                for one in answer.rrset or ()
            ]
            targets = targets_of(record for record in records if record.target != ".")[:MAX_TARGETS]
            ttl = _ttl(answer)
        names = dict.fromkeys(target.name for target in targets)
        wanted = [(name, kind) for name in names for kind in RECORD_TYPES[question.family]]
        known: set[str] = set()
        replies = await asyncio.gather(*(self._addresses(question, name, kind, known) for name, kind in wanted))
        result = resolved(targets, dict(zip(wanted, replies, strict=True)), before)
        return result if result.ttl is None else Resolved(result.found, min(ttl, result.ttl), result.failure)

    async def _addresses(self, question: Question, name: str, kind: RecordType, known: set[str]) -> Reply:
        """
        Ask for the addresses of one target.

        Args:
            known: Those of all targets, which this adds to. When there are enough, a target whose turn has not come is not asked for: targets take
                their turn in order, so its addresses would be left out.
        """
        if listed := self._hosts.addresses(name):
            mine = tuple(address for address in listed if (":" in address) is (kind == "AAAA"))
            return Reply(mine, HOSTS_TTL if mine else None)
        async with self._queries:
            if len(known) >= MAX_ADDRESSES:
                return Reply()
            try:
                answer = await self._ask(question, name, kind)
            except (dns.exception.DNSException, OSError, ValueError) as error:
                return Reply(failure=_cause(error))
        found = tuple(record.address for record in answer.rrset or () if kind == "A" or _has_route(record.address))
        known.update(found)
        return Reply(found, _ttl(answer) if found else None)

    async def _ask(self, question: Question, name: str, kind: str) -> dns.resolver.Answer:
        resolver = self._resolver(question)
        return await resolver.resolve(name, kind, search=True, raise_on_no_answer=False, lifetime=LIFETIME)

    def _resolver(self, question: Question) -> dns.asyncresolver.Resolver:
        """The resolver for these name servers, made anew when /etc/resolv.conf changed."""
        try:
            seen: object = signature_of(RESOLV_CONF.stat())
        except OSError:
            seen = None
        if seen != self._seen:
            self._resolvers.clear()
            self._seen = seen
        resolver = self._resolvers.get(question.nameservers)
        if resolver is None:
            resolver = self._resolvers[question.nameservers] = _new_resolver(question, self._parsing)
        return resolver


def _new_resolver(question: Question, parsing: asyncio.Lock) -> dns.asyncresolver.Resolver:
    try:
        resolver = dns.asyncresolver.Resolver()
    except dns.resolver.NoResolverConfiguration:
        if not question.nameservers:
            raise
        resolver = dns.asyncresolver.Resolver(configure=False)
    asked = [(one.host, one.port) for one in question.nameservers] or [
        (str(one), resolver.port) for one in resolver.nameservers
    ]
    servers: list[Any] = [MeasuredNameserver(host, port, parsing) for host, port in asked]
    resolver.nameservers = servers
    resolver.timeout = TRY
    return resolver


def _has_route(address: str) -> bool:
    """
    False for an IPv6 address on a machine without IPv6: an endpoint there would only fail (getaddrinfo(3) has AI_ADDRCONFIG for that).

    Connecting a UDP socket asks the kernel for a route and sends nothing.
    """
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as probe:
            probe.connect((address, 53))
    except OSError:
        return False
    return True


def _ttl(answer: dns.resolver.Answer) -> float:
    """The smallest TTL of the records that led to the answer, aliases included."""
    return float(answer.chaining_result.minimum_ttl)


def _cause(error: Exception) -> str:
    told = [one[3] for one in error.kwargs.get("errors", ())] if isinstance(error, dns.exception.DNSException) else []
    for one in told:
        if isinstance(one, AnswerTooLarge):
            return str(one)
    if told and all(isinstance(one, ConnectionRefusedError) for one in told):
        return "no name server listens at the address (connection refused)"
    for kind, sentence in _CAUSES:
        if isinstance(error, kind):
            return sentence
    if isinstance(error, OSError):
        return f"no name server can be asked: {error.strerror or 'unknown reason'}"
    return f"it cannot be asked for ({type(error).__name__})"
