"""
What would happen to one request, and why: the verdict from the admission that serves, and the steps that lead to it.

Pure: a scene and a time in, an `Explanation` out. Should the steps ever not account for the verdict, the explanation says so instead of hiding it.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Sequence
from dataclasses import replace
from http import HTTPStatus
from typing import TYPE_CHECKING
from urllib.parse import quote

from lbjwt._error_reason import error_status
from lbjwt._fastverify import DenyReason
from lbjwt.explain import _inside
from lbjwt.explain.model import Backend, Decision, Explanation, Reply, Step, TokenSeen, Verdict
from lbjwt.explain.places import Place, places_of
from lbjwt.explain.route import route_seen, route_step
from lbjwt.explain.token import TokenReading
from lbjwt.http1._request import Parse, RequestHead, RequestPolicy

if TYPE_CHECKING:
    from lbjwt.explain.scene import Scene
    from lbjwt.proxy._answer import Answer
    from lbjwt.proxy._route import Demand, Route

__all__ = ["explain"]

_PROBE = RequestPolicy(max_head=1 << 20, max_request_line=1 << 18, max_fields=1000, header_names="allow")
"""For reading our own head for the backend again."""


def explain(scene: Scene, now: float) -> Explanation:
    """
    Tell everything.

    Args:
        now: Seconds since the epoch: the time that token and revocations are judged for.
    """
    asked = scene.asked
    base = Explanation(
        "refused", DenyReason.NONE, DenyReason.NONE, now, asked.method, asked.path.partition("?")[0], asked.host, ()
    )
    head = RequestHead()
    if head.parse_bytes(scene.head, scene.policy) != Parse.COMPLETE:
        problem = head.problem.name.lower() if head.problem else "incomplete"
        step = Step("request", "a request that can be read in one way", "note", f"refused: {problem}")
        return replace(base, steps=(step,), problem=problem, reply=Reply(error_status(head.problem) or 400, ()))
    checked = {at: answer for at, answer in _health_answers(scene, head) if answer is not None}
    if 0 in checked:
        step = Step(
            "request",
            "for a backend",
            "note",
            "a health check: listeners[0] answers it, with 503 while it is not ready",
        )
        verdict: Verdict = "allowed" if checked[0].status == HTTPStatus.OK else "refused"
        return replace(base, verdict=verdict, steps=(step,), reply=_reply(checked[0], ()))
    base = replace(
        base, notes=tuple(f"a client of listeners[{at}] gets the answer to a health check instead" for at in checked)
    )
    decision = _inside.decide(scene.admission, head, now)
    seen = route_seen(scene)
    steps = [route_step(scene, seen)]
    base = replace(base, route=seen)
    if decision.document is not None:
        return replace(base, verdict="allowed", steps=tuple(steps), reply=_reply(decision.document, ()))
    if decision.route is None:
        return replace(base, steps=tuple(steps), reply=Reply(decision.status, ()))
    tokens: list[bytes] = []
    readings: list[TokenSeen] = []
    if not decision.route.demands:
        steps.append(Step("place", "no token", "note", "the route is public: none is looked for"))
    for demand in decision.route.demands:
        _meet(scene, decision.route, demand, now, steps, tokens, readings)
    explained, reported = _summary(decision.route, steps)
    return replace(
        base,
        verdict=_verdict(decision),
        reason=decision.reason,
        reported=decision.reported,
        steps=tuple(_marked(decision.route, steps)),
        tokens=tuple(readings),
        backend=_backend(scene, decision, head) if decision.reason == DenyReason.NONE else None,
        reply=_refusal(scene, decision, head, tokens) if decision.reason != DenyReason.NONE else None,
        notes=(*base.notes, *_notes(scene, decision, (explained, reported))),
    )


def _health_answers(scene: Scene, head: RequestHead) -> Iterable[tuple[int, Answer | None]]:
    """What each listener that answers health checks would say to the request while the service is ready; None when it is for another path."""
    for at, listener in enumerate(scene.configuration.listeners):
        if listener.health is not None:
            yield at, _inside.health_answer(listener.health.path, head)


def _meet(
    scene: Scene,
    route: Route,
    demand: Demand,
    now: float,
    steps: list[Step],
    tokens: list[bytes],
    readings: list[TokenSeen],
) -> None:
    """One demand of the route: the search for its token, and the token."""
    places = places_of(one.issuer for one in scene.issuers_of(demand))
    asked = f"a token in {' or '.join(map(str, places))}"
    head = scene.parsed()
    assert head is not None
    reason, token, found = _inside.find_token(demand, head)
    there = [place for place in places if place.look(head)[0] != DenyReason.MISSING]
    if token is not None:
        tokens.append(token)
        where = tuple(str(place) for place in there)
        steps.append(Step("place", asked, "met", f"found in {' and '.join(where)}"))
        reading = TokenReading(scene, demand, token, found, where, now)
        steps += reading.steps
        readings.append(reading.seen)
    elif reason == DenyReason.MISSING and route.allow_missing:
        steps.append(Step("place", asked, "met", "none came, and the route lets requests without one pass"))
    else:
        steps.append(Step("place", asked, "refused", _search_text(reason, there, head), reason))


def _search_text(reason: DenyReason, there: Sequence[Place], head: RequestHead) -> str:
    if reason == DenyReason.MISSING:
        return "none came"
    spoilt = [str(place) for place in there if place.look(head)[0] not in (DenyReason.NONE, DenyReason.MISSING)]
    where = " and ".join(spoilt or [str(place) for place in there]) or "several of them"
    if reason == DenyReason.MULTIPLE_TOKENS:
        return f"more than one in {where}" if spoilt else f"{where} hold different ones"
    return f"what stands in {where} is no token (RFC 6750 section 2)"


def _summary(route: Route, steps: Iterable[Step]) -> tuple[DenyReason, DenyReason]:
    """What the steps come to: the reason, and what is only reported."""
    explained = next((step.reason for step in steps if step.refuses), DenyReason.NONE)
    reported = next((step.reason for step in steps if step.outcome == "reported"), DenyReason.NONE)
    if route.report_only:
        return DenyReason.NONE, explained or reported
    return explained, reported


def _marked(route: Route, steps: Iterable[Step]) -> Iterable[Step]:
    """The steps as they count on this route, and those behind the one that decided marked."""
    later = False
    for step in steps:
        marked = replace(step, later=True) if later else step
        later = later or step.refuses
        yield replace(marked, outcome="reported") if route.report_only and step.refuses else marked


def _verdict(decision: Decision) -> Verdict:
    if DenyReason.KEYS_UNAVAILABLE in (decision.reason, decision.reported):
        return "unknown"
    return "allowed" if decision.reason == DenyReason.NONE else "refused"


def _backend(scene: Scene, decision: Decision, head: RequestHead) -> Backend:
    """What would be sent, read from the very bytes."""
    written = head.write_bytes(scene.policy, identity=decision.identity, peer=b"192.0.2.1", request_id=b"0")
    _, target, _ = head.parts()
    lines = written.decode("latin-1").split("\r\n")[1:-2]
    sent = RequestHead()
    readable = sent.parse_bytes(written, _PROBE) == Parse.COMPLETE
    before = scene.parsed()
    places = []
    for place in places_of(one.issuer for one in scene.instances):
        if before is not None and place.look(before)[0] != DenyReason.MISSING:
            places.append((str(place), not readable or place.look(sent)[0] != DenyReason.MISSING))
    return Backend(
        target.decode("latin-1").partition("?")[0],
        tuple(_field(line) for line in decision.identity.decode("latin-1").split("\r\n") if line),
        tuple(line.partition(":")[0] for line in lines),
        tuple(places),
    )


def _refusal(scene: Scene, decision: Decision, head: RequestHead, tokens: Sequence[bytes]) -> Reply:
    assert decision.route is not None
    return _reply(_inside.refusal(decision.route, decision.reason, head, scene.https), tokens)


def _reply(answer: Answer, tokens: Sequence[bytes]) -> Reply:
    text = answer.head.decode("latin-1")
    for token in tokens:  # a redirect may bring the whole target back
        for spelling in (quote(token, safe=""), token.decode("latin-1")):
            text = text.replace(spelling, "<token>")
    return Reply(answer.status, tuple(_field(line) for line in text.split("\r\n")[1:] if line))


def _field(line: str) -> tuple[str, str]:
    name, _, value = line.partition(":")
    return name, value.strip()


def _notes(scene: Scene, decision: Decision, summary: tuple[DenyReason, DenyReason]) -> Iterable[str]:
    reason, reported = summary
    if decision.reason == DenyReason.INTERNAL:
        yield f"a fault of lbjwt ({scene.verifier.gate.last_fault}), worth reporting"
    elif decision.reason != reason or (reason == DenyReason.NONE and decision.reported != reported):
        yield "the steps do not account for the verdict. The verdict is what lbjwt would say; the explanation is wrong, and that is worth reporting"
    if decision.reported != DenyReason.NONE:
        yield "report-only: the request passes, and what would refuse it is counted and logged"
    for index, keys in scene.keys.items():
        name = scene.instances[index].name
        if keys.stored_at is not None:
            date = datetime.datetime.fromtimestamp(keys.stored_at, datetime.UTC)
            yield (
                f"{name}: {keys.problem}; these are the keys stored at {date:%Y-%m-%d %H:%M:%SZ}. "
                "For a key id that is not among them, a running lbjwt asks the issuer"
            )
        elif keys.ring is None:
            yield f"{name}: {keys.problem}. A running lbjwt may have keys from before"
        for warning in keys.ring.warnings if keys.ring is not None else ():
            yield f"{name}: {warning}"
    if scene.configuration.revocation is not None and scene.configuration.state_directory is None:
        yield "without state_directory, what was revoked at run time cannot be seen here"
    issuer = scene.instances[decision.issuer].issuer if decision.issuer >= 0 else None
    if issuer is not None and issuer.tenants is not None and issuer.tenants.kind is not None:
        yield f"whether {issuer.tenants.max_tenants} other tenants came before (max_tenants), only the running lbjwt knows"
    if scene.configuration.fail_limit is not None:
        yield "whether the client's address is past fail_limit, only the running lbjwt knows"
