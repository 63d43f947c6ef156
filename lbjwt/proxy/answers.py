"""The answers to refused tokens, made ready once per configuration."""

from __future__ import annotations

from collections.abc import Sequence

from lbjwt._fastverify import DenyReason
from lbjwt.auth.refusals import refusal
from lbjwt.proxy._traffic import Answer


def refusal_answers(realm: str, required_scopes: Sequence[str]) -> list[Answer]:
    """One answer for each `DenyReason`, in the order of their numbers.

    Args:
        realm: The protection space named in the challenge (RFC 9110 section 11.5).
        required_scopes: Named in the challenge of 403 ``insufficient_scope`` (RFC 6750 section 3).
    """
    answers = []
    for reason in DenyReason:
        made = refusal(DenyReason.INTERNAL if reason == DenyReason.NONE else reason, realm=realm, required_scopes=required_scopes)
        answers.append(Answer(made.status, made.fields, made.body))
    return answers
