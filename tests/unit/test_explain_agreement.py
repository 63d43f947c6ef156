"""The story agrees with the verdict: hundreds of requests that are wrong in every way, explained, and held against what the admission decides."""

import asyncio
import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from lbjwt._fastverify import DenyReason
from lbjwt.explain.explain import explain
from lbjwt.explain.model import Explanation
from lbjwt.explain.render import as_json, as_lines
from lbjwt.explain.scene import set_scene
from tests.unit.explain_cases import Case, at_random, configuration, elsewhere, one_at_a_time, spoilt_ones, told

REVOKED = b'{"jti":"gone","expires":4000000000}\n{"sub":"revoked","expires":4000000000,"issued_before":3900000000}\n'
OUT_OF_REACH = {DenyReason.RATE_LIMITED, DenyReason.INTERNAL}


@pytest.fixture(scope="module")
def stories(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[Case, Explanation]]:
    """All cases with their explanations."""
    directory = tmp_path_factory.mktemp("explain")
    (directory / "revoked.jsonl").write_bytes(REVOKED)
    return [
        (case, told(case, directory))
        for case in [*one_at_a_time(), *spoilt_ones(), *elsewhere(), *at_random(500, seed=7)]
    ]


def test_the_first_refusal_of_the_story_is_the_reason(stories: list[tuple[Case, Explanation]]):
    """For every case, report-only ones included; and every reason that a single process can give is among the cases."""
    seen: Counter[DenyReason] = Counter()
    for case, story in stories:
        seen.update((story.reason, story.reported))
        assert story.explained == story.reason, (case.name, case.asked.path, as_json(story))
        reported = [step.reason for step in story.steps if step.outcome == "reported"]
        if story.reason == DenyReason.NONE:
            assert story.reported == (reported[0] if reported else DenyReason.NONE), (case.name, as_json(story))
        assert not [note for note in story.notes if "worth reporting" in note]
    assert set(DenyReason) - set(seen) == OUT_OF_REACH


def test_what_is_behind_the_refusal_is_marked(stories: list[tuple[Case, Explanation]]):
    """Nothing before the deciding step is marked, everything behind it is."""
    for _, story in stories:
        decisive = [
            at for at, step in enumerate(story.steps) if step.reason and not step.later and step.outcome != "reported"
        ]
        assert len(decisive) <= 1
        later = [step.later for step in story.steps]
        assert later == sorted(later)
        if story.reason:
            assert later == [at > decisive[0] for at in range(len(later))]


def test_the_route_of_the_story_is_the_route_that_was_met(stories: list[tuple[Case, Explanation]]):
    """Also no route, a bad path and a document of our own."""
    statuses = Counter[int]()
    for case, story in stories:
        head_refused = bool(story.problem)
        if story.route is None and not head_refused:
            assert story.reply is not None
            statuses[story.reply.status] += 1
        if story.route is not None and case.name == "routes":
            assert story.route.name
    assert set(statuses) == {200, 400, 404}


def test_nothing_secret_is_told(stories: list[tuple[Case, Explanation]]):
    """No token, no signature, in no form: text, JSON or repr. What was given as a further header is not told either."""
    checked = 0
    for case, story in stories:
        text = "\n".join(
            [json.dumps(as_json(story)), *(line.text for line in as_lines(story)), repr(story), repr(case.asked)]
        )
        token = case.asked.token
        if len(token) > 40:
            assert token not in text
            signature = token.rpartition(".")[2]
            assert len(signature) < 20 or signature not in text
            checked += 1
        for name, value in case.asked.headers:
            assert name in ("Accept", "Content-Type", "Host") or value not in text or len(value) < 8, (name, value)
    assert checked > 900


def test_a_story_that_disagrees_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Should a step be told wrongly, the verdict stays that of the admission, and the reader is warned."""
    from lbjwt.explain import token

    (tmp_path / "revoked.jsonl").write_bytes(b"")
    monkeypatch.setattr(token.TokenReading, "_read", lambda reading: None)
    case = next(
        case for case in one_at_a_time() if case.name == "one" and told(case, tmp_path).reason == DenyReason.EXPIRED
    )
    story = told(case, tmp_path)
    assert (story.verdict, story.explained) == ("refused", DenyReason.NONE)
    assert [note for note in story.notes if "do not account for the verdict" in note]


def test_the_same_question_has_the_same_answer(tmp_path: Path):
    """Explaining changes nothing: the second time, with the token in the cache of the gate, nothing else is told."""
    (tmp_path / "revoked.jsonl").write_bytes(b"")
    for case in [case for case in at_random(120, seed=3) if case.name == "routes"]:
        scene = asyncio.run(set_scene(configuration(case.name), case.asked, offline=True, now=case.at))
        assert explain(scene, case.at) == explain(scene, case.at)
    later = replace(case, at=case.at + 10)
    assert told(later, tmp_path).at == case.at + 10
