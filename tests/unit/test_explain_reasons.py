"""Hundreds of requests that are wrong in every way, explained: the step that refused is named, and nothing secret is told."""

import json
from collections import Counter
from typing import Any

import pytest

from lbjwt._fastverify import DenyReason
from lbjwt.cli.explain_lines import as_lines
from tests.unit.explain_cases import Case, at_random, elsewhere, encrypted_ones, one_at_a_time, spoilt_ones, told

REVOKED = b'{"jti":"gone","expires":4000000000}\n{"sub":"revoked","expires":4000000000,"issued_before":3900000000}\n'
OUT_OF_REACH = {"rate_limited", "internal"}

Stories = list[tuple[Case, dict[str, Any]]]


@pytest.fixture(scope="module")
def stories(tmp_path_factory: pytest.TempPathFactory) -> Stories:
    """All cases with their explanations."""
    directory = tmp_path_factory.mktemp("explain")
    (directory / "revoked.jsonl").write_bytes(REVOKED)
    return [
        (case, told(case, directory))
        for case in [*one_at_a_time(), *spoilt_ones(), *elsewhere(), *encrypted_ones(), *at_random(100, seed=7)]
    ]


def test_the_step_that_refused_is_named(stories: Stories):
    """The first step with a reason has that of the verdict, what follows is marked, and every reason that a single process can give is there."""
    seen = Counter[str | None]()
    for case, story in stories:
        seen.update((story["reason"], story["would_refuse"]))
        steps = story["steps"]
        decisive = [at for at, step in enumerate(steps) if step["reason"] and step["outcome"] != "reported"]
        reported = [step["reason"] for step in steps if step["outcome"] == "reported"]
        if story["reason"]:
            assert steps[decisive[0]]["reason"] == story["reason"], (case.name, case.asked.path, story)
            assert [step["later"] for step in steps] == [at > decisive[0] for at in range(len(steps))]
        else:
            assert (decisive, story["would_refuse"]) == ([], reported[0] if reported else None), (case.name, story)
    reasons = {reason.name.lower() for reason in DenyReason if reason != DenyReason.NONE}
    assert reasons - set(seen) == OUT_OF_REACH


def test_nothing_secret_is_told(stories: Stories):
    """No token, no signature, in no form: text, JSON or repr. What was given as a further header is not told either."""
    checked = 0
    for case, story in stories:
        text = "\n".join([json.dumps(story), *(line for _, line in as_lines(story)), repr(case.asked)])
        token = case.asked.token
        if len(token) > 40:
            assert token not in text
            signature = token.rpartition(".")[2]
            assert len(signature) < 20 or signature not in text
            checked += 1
        for name, value in case.asked.headers:
            assert name in ("Accept", "Content-Type", "Host") or value not in text or len(value) < 8, (name, value)
    assert checked > 400
