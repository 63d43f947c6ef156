"""An explanation for people: lines, each with a style that a terminal may colour."""

from __future__ import annotations

import datetime
import json
from collections.abc import Iterator
from typing import Any, Final

from lbjwt.cli.compact import describe_times

_MARKS: Final = {"met": "ok", "refused": "REFUSED", "reported": "REPORTED", "unknown": "unknown", "note": "-"}


def as_lines(story: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """The (style, text) lines of the document that `explain` made."""
    yield from _headline(story)
    for token in story["tokens"]:
        yield "plain", ""
        yield from _token_lines(token, story["at"])
    yield "plain", ""
    later = False
    for step in story["steps"]:
        if step["later"] and not later:
            later = True
            yield "note", "  after that, if it were not refused:"
        detail = f": {step['detail']}" if step["detail"] else ""
        reason = f" [{step['reason']}]" if step["reason"] else ""
        style = "note" if later and step["outcome"] == "met" else step["outcome"]
        yield style, f"  {_MARKS[step['outcome']]:<8} {step['stage']:<10} {step['rule']}{detail}{reason}"
    yield "plain", ""
    yield from _outcome_lines(story["backend"], story["answer"], story["cluster"], story["asked_by"])
    for note in story["notes"]:
        yield "warning", f"note: {note}"


def _headline(story: dict[str, Any]) -> Iterator[tuple[str, str]]:
    verdict, request, route = story["verdict"], story["request"], story["route"]
    words = verdict
    if reason := story["reason"] or story["problem"]:
        words += f": {reason}"
    elif story["would_refuse"]:
        words += f", but only because it is report-only: {story['would_refuse']}"
    elif verdict == "refused":
        words += f" with {story['answer']['status']}"
    yield verdict, words
    yield "plain", f"request    {request['method']} {request['host']}{request['path']} at {_date(story['at'])}"
    if route is None:
        yield "plain", "route      none"
        return
    marks = ", ".join(word for word in ("public", "report_only", "allow_missing") if route[word])
    name = f"{route['name']}{f' ({marks})' if marks else ''}: " if route["name"] else ""
    over = f"; more specific than {', '.join(route['over'])}" if route["over"] else ""
    yield "plain", f"route      {name}{route['why']}{over}"


def _token_lines(token: dict[str, Any], now: float) -> Iterator[tuple[str, str]]:
    yield "plain", f"token      in {' and '.join(token['places'])}"
    yield "plain", f"issuer     {token['issuer'] or 'none'}: {token['why']}"
    words, key = "none", token["key"]
    if key is not None:
        kid = json.dumps(key["kid"]) if key["kid"] else "without an id"
        curve = f" {key['curve']}" if key["curve"] else ""
        words = f"{kid}, {key['type']}{curve}, {key['bits']} bits, with {key['algorithm']}"
    source = f", from {token['keys_from']}" if token["keys_from"] else ""
    yield "plain", f"key        {words}{source}"
    signature = token["signature"]
    doubt = "" if signature == "good" else ": anybody could have written the header and the claims below"
    yield signature, f"signature  {signature}{doubt}"
    if token["header"] is not None:
        members = {name: value for name, value in token["header"].items() if value is not None}
        rest = "".join(f", and {json.dumps(name)}" for name, value in token["header"].items() if value is None)
        yield "plain", f"header     {json.dumps(members)}{rest}"
    if token["claims"] is not None:
        for at, line in enumerate(json.dumps(token["claims"], indent=2).splitlines()):
            yield "plain", f"{'' if at else 'claims':<11}{line}"
        yield from (("note", f"           {line}") for line in describe_times(token["claims"], now))


def _outcome_lines(
    backend: dict[str, Any] | None, answer: dict[str, Any] | None, cluster: str | None, asked_by: str | None
) -> Iterator[tuple[str, str]]:
    if answer is not None:
        yield "plain", f"{asked_by or 'the client'} gets {answer['status']}"
        yield from (("plain", f"  {name}: {value}") for name, value in answer["fields"])
    if asked_by is not None:
        return
    if backend is None:
        yield "plain", "the backend gets nothing"
        return
    if cluster is not None:
        yield "plain", f"cluster    {cluster}"
    yield "plain", f"the backend gets {backend['path']}, with the headers {', '.join(backend['fields'])}"
    yield from (("plain", f"  {name}: {value}") for name, value in backend["identity"])
    for token in backend["tokens"]:
        yield "plain", f"  the token in {token['place']} {'is passed on' if token['forwarded'] else 'is removed'}"


def _date(seconds: float) -> str:
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC).strftime("%Y-%m-%d %H:%M:%SZ")
