"""The answers to refused tokens, made ready once per configuration."""

from __future__ import annotations

from collections.abc import Iterable

from lbjwt.auth.refusals import compile_refusals
from lbjwt.proxy._traffic import Answer


def refusal_answers(realm: str, required_scopes: Iterable[str]) -> list[Answer]:
    """One answer for each `DenyReason`, in the order of their numbers.

    Args:
        realm: The protection space named in the challenge (RFC 9110 section 11.5).
        required_scopes: Named in the challenge of 403 ``insufficient_scope`` (RFC 6750 section 3).
    """
    return [
        Answer(refusal.status, refusal.fields, refusal.body)
        for refusal in compile_refusals(realm, required_scopes=required_scopes)
    ]
