"""An explanation for programs (stable names) and for people (lines, each with a style that a terminal may colour). Pure."""

from __future__ import annotations

import datetime
import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple

from lbjwt._fastverify import DenyReason

if TYPE_CHECKING:
    from lbjwt.explain.model import Backend, Explanation, Reply, Step, TokenSeen

__all__ = ["Line", "as_json", "as_lines", "reason_name"]

Style = Literal["good", "bad", "doubtful", "quiet", "strong", "plain"]

_MARKS: Final[dict[str, tuple[str, Style]]] = {
    "met": ("ok", "good"),
    "refused": ("REFUSED", "bad"),
    "reported": ("REPORTED", "doubtful"),
    "unknown": ("unknown", "doubtful"),
    "note": ("-", "quiet"),
}
_VERDICTS: Final[dict[str, Style]] = {"allowed": "good", "refused": "bad", "unknown": "doubtful"}
_TIMES: Final = ("exp", "nbf", "iat", "auth_time")
_LATEST: Final = 253_402_300_799  # the last second of the year 9999


class Line(NamedTuple):
    """One line for people."""

    style: Style
    text: str


def reason_name(reason: DenyReason) -> str | None:
    """As in access log and metrics; None for none."""
    return None if reason == DenyReason.NONE else reason.name.lower()


def as_json(explanation: Explanation) -> dict[str, Any]:
    """For programs. Names are never taken away or given another meaning; what was not reached is null or empty."""
    route, backend, reply = explanation.route, explanation.backend, explanation.reply
    return {
        "verdict": explanation.verdict,
        "reason": reason_name(explanation.reason),
        "would_refuse": reason_name(explanation.reported),
        "problem": explanation.problem or None,
        "at": explanation.at,
        "request": {"method": explanation.method, "host": explanation.host, "path": explanation.path},
        "route": None
        if route is None
        else {
            "name": route.name or None,
            "why": route.why,
            "over": list(route.over),
            "public": route.public,
            "report_only": route.report_only,
            "allow_missing": route.allow_missing,
        },
        "tokens": [_token_json(token) for token in explanation.tokens],
        "steps": [_step_json(step) for step in explanation.steps],
        "backend": None
        if backend is None
        else {
            "path": backend.path,
            "identity": [list(pair) for pair in backend.identity],
            "fields": list(backend.fields),
            "tokens": [{"place": place, "forwarded": forwarded} for place, forwarded in backend.tokens],
        },
        "answer": None if reply is None else {"status": reply.status, "fields": [list(pair) for pair in reply.fields]},
        "notes": list(explanation.notes),
    }


def _token_json(token: TokenSeen) -> dict[str, Any]:
    key = token.key
    return {
        "places": list(token.places),
        "issuer": token.issuer,
        "why": token.why,
        "keys_from": token.keys_from or None,
        "header": None if token.header is None else dict(token.header),
        "claims": None if token.claims is None else dict(token.claims),
        "key": None
        if key is None
        else {
            "kid": key.kid or None,
            "type": key.type,
            "curve": key.curve or None,
            "bits": key.bits,
            "algorithm": key.algorithm,
        },
        "signature": token.signature,
    }


def _step_json(step: Step) -> dict[str, Any]:
    return {
        "stage": step.stage,
        "rule": step.rule,
        "outcome": step.outcome,
        "detail": step.detail,
        "reason": reason_name(step.reason),
        "later": step.later,
    }


def as_lines(explanation: Explanation) -> Iterator[Line]:
    """For people."""
    yield from _headline(explanation)
    for token in explanation.tokens:
        yield Line("plain", "")
        yield from _token_lines(token, explanation.at)
    yield Line("plain", "")
    later = False
    for step in explanation.steps:
        if step.later and not later:
            later = True
            yield Line("quiet", "  further on, were it not refused:")
        yield _step_line(step)
    yield Line("plain", "")
    yield from _outcome_lines(explanation.backend, explanation.reply)
    for note in explanation.notes:
        yield Line("doubtful", _printable(f"note: {note}"))


def _headline(explanation: Explanation) -> Iterator[Line]:
    words: str = explanation.verdict
    reason = reason_name(explanation.reason) or explanation.problem
    if reason:
        words += f": {reason}"
    elif explanation.reported != DenyReason.NONE:
        words += f", but only since it is report-only: {reason_name(explanation.reported)}"
    elif explanation.verdict == "refused" and explanation.reply is not None:
        words += f" with {explanation.reply.status}"
    yield Line(_VERDICTS[explanation.verdict], words)
    what = f"{explanation.method} {explanation.host}{explanation.path} at {_date(explanation.at)}"
    yield Line("plain", _printable(f"request    {what}"))
    route = explanation.route
    if route is None:
        yield Line("plain", "route      none")
        return
    marks = [word for word in ("public", "report_only", "allow_missing") if getattr(route, word)]
    said = f" ({', '.join(marks)})" if marks else ""
    name = f"{route.name}{said}: " if route.name else ""
    over = f"; more specific than {', '.join(route.over)}" if route.over else ""
    yield Line("plain", _printable(f"route      {name}{route.why}{over}"))


def _token_lines(token: TokenSeen, now: float) -> Iterator[Line]:
    yield Line("plain", f"token      in {' and '.join(token.places)}")
    yield Line("plain", _printable(f"issuer     {token.issuer or 'none'}: {token.why}"))
    key = token.key
    if key is None:
        words = "none"
    else:
        kid = json.dumps(key.kid) if key.kid else "without an id"
        words = f"{kid}, {key.type}{f' {key.curve}' if key.curve else ''}, {key.bits} bits, with {key.algorithm}"
    source = f", from {token.keys_from}" if token.keys_from else ""
    yield Line("plain", _printable(f"key        {words}{source}"))
    style: Style = {"good": "good", "wrong": "bad", "unchecked": "doubtful"}[token.signature]  # type: ignore[assignment]
    doubt = "" if token.signature == "good" else ": anybody could have written what follows"
    yield Line(style, f"signature  {token.signature}{doubt}")
    if token.header is not None:
        members = {name: value for name, value in token.header.items() if value is not None}
        rest = ", ".join(json.dumps(name) for name, value in token.header.items() if value is None)
        yield Line("plain", f"header     {json.dumps(members)}{f', and {rest}' if rest else ''}")
    if token.claims is not None:
        text = json.dumps(token.claims, indent=2).splitlines()
        yield Line("plain", f"claims     {text[0]}")
        yield from (Line("plain", f"           {line}") for line in text[1:])
        yield from _time_lines(token.claims, now)


def _time_lines(claims: Any, now: float) -> Iterator[Line]:
    for name in _TIMES:
        value = claims.get(name)
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= _LATEST:
            continue
        distance = datetime.timedelta(seconds=abs(int(value - now)))
        yield Line(
            "quiet", f"           {name}: {_date(value)} ({f'in {distance}' if value > now else f'{distance} ago'})"
        )


def _step_line(step: Step) -> Line:
    mark, style = _MARKS[step.outcome]
    detail = f": {step.detail}" if step.detail else ""
    reason = f" [{reason_name(step.reason)}]" if step.reason != DenyReason.NONE else ""
    return Line(
        "quiet" if step.later and step.outcome == "met" else style,
        _printable(f"  {mark:<8} {step.stage:<10} {step.rule}{detail}{reason}"),
    )


def _outcome_lines(backend: Backend | None, reply: Reply | None) -> Iterator[Line]:
    if reply is not None:
        yield Line("plain", f"the client gets {reply.status}")
        for name, value in reply.fields:
            yield Line("plain", _printable(f"  {name}: {value}"))
    if backend is None:
        yield Line("plain", "the backend gets nothing")
        return
    yield Line("plain", _printable(f"the backend gets {backend.path}, with the fields {', '.join(backend.fields)}"))
    for name, value in backend.identity:
        yield Line("plain", _printable(f"  {name}: {value}"))
    for place, forwarded in backend.tokens:
        yield Line("plain", f"  what stands in {place} {'goes along' if forwarded else 'is taken out'}")


def _date(seconds: float) -> str:
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC).strftime("%Y-%m-%d %H:%M:%SZ")


def _printable(text: str) -> str:
    """Nothing of a request, a claim or a configuration drives the terminal."""
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape", "replace").decode("ascii")
        for character in text
    )
