"""Claims in the access log: of accepted tokens, and of no others. Whole and byte by byte."""

import time
from pathlib import Path
from typing import Any

import pytest

from tests.playbooks.messages import OK
from tests.playbooks.policies import Policies, bearer, token
from tests.playbooks.stage import Stage, request

ROUTES = """
  - {name: open, prefix: /open, public: true}
  - {name: maybe, prefix: /maybe, allow_missing: true}
  - {name: try, prefix: /try, report_only: true}
  - {name: rule, prefix: /rule, rules: [{claim: level, at_least: 3}]}
  - {name: rest, prefix: /}
"""
REST = 'access_log: {path: "-", claims: [sub, [org, id], tenant]}'


def stage_of(pieces: int | None, directory: Path, rest: str = REST, routes: str = ROUTES, **issuers: str) -> Stage:
    """A stage with an access log; where it goes is the test's matter."""
    return Stage(pieces, **Policies(routes, issuers or None, rest).options(log=directory / "log"))


def record(stage: Stage, target: str, auth: bytes = b"", *fields: str) -> dict[str, Any]:
    """What the log says of one request."""
    client = stage.client()
    client.sends(request("GET", target, *fields, auth=auth))
    if stage.opened:
        stage.server().take()
        stage.server().sends(OK)
    client.take()
    client.lose()
    return stage.records()[-1]


def test_the_log_has_the_chosen_claims_of_accepted_tokens(pieces: int | None, tmp_path: Path) -> None:
    """The first time and when the token is remembered; a claim that is not there, or was not chosen, is not there."""
    stage = stage_of(pieces, tmp_path)
    auth = bearer(token(org={"id": 7, "name": "x"}, email="a@b.example"))
    for _ in range(2):
        assert record(stage, "/x", auth)["claims"] == {"sub": "user-of-a", "org": {"id": 7}}
    line = record(stage, "/x", bearer(token(sub='é"\n', tenant=["a", {"b": None}])))
    assert line["claims"] == {"sub": 'é"\n', "tenant": ["a", {"b": None}]}
    assert list(line)[: list(line).index("claims") + 2][-3:] == ["route", "claims", "request_bytes"]


@pytest.mark.parametrize("path", ["/x", "/rule", "/try", "/open", "/maybe"])
def test_claims_of_other_tokens_are_nobodys(pieces: int | None, tmp_path: Path, path: str) -> None:
    """A refused token, one that only reporting lets pass, one that nobody looked at, and none."""
    stage = stage_of(pieces, tmp_path)
    bad = [bearer(token(exp=int(time.time()) - 3600)), bearer(token("b", iss=Policies.issuer("a"))), b""]
    if path in ("/rule", "/open"):
        bad.append(bearer(token(level=2)))
    for auth in bad:
        assert not {"claims", "claims_left_out"} & record(stage, path, auth).keys()


def test_without_the_setting_there_are_no_claims(pieces: int | None, tmp_path: Path) -> None:
    """An access log by itself has none."""
    stage = stage_of(pieces, tmp_path, 'access_log: {path: "-"}')
    assert "claims" not in record(stage, "/x", bearer(token()))


def test_the_whole_payload_and_its_limit(pieces: int | None, tmp_path: Path) -> None:
    """With `payload: true` every claim, as far as they fit; the request passes in any case."""
    rest = 'access_log: {path: "-", payload: true}\nlimits: {max_logged_claims: 256}'
    stage = stage_of(pieces, tmp_path, rest)
    line = record(stage, "/x", bearer(token(groups=["g"] * 100)))
    assert line["status"] == 200 and line["claims"].keys() == {"iss", "aud", "sub", "iat", "exp"}
    assert line["claims_left_out"] == 1


def test_a_reload_that_logs_other_claims_holds_for_known_tokens(pieces: int | None, tmp_path: Path) -> None:
    """A token that is in the cache is verified once more, and from then on logged as the new configuration says."""
    policies, auth = Policies(ROUTES, rest=REST), bearer(token(tenant="acme"))
    stage = Stage(pieces, **policies.options(log=tmp_path / "log"))
    assert record(stage, "/x", auth)["claims"] == {"sub": "user-of-a", "tenant": "acme"}
    for rest, claims in (
        ('access_log: {path: "-", claims: [tenant]}', {"tenant": "acme"}),
        ('access_log: {path: "-"}', None),
        ("", None),
    ):
        policies.verifier.reload(Policies(ROUTES, rest=rest).trusted())
        assert record(stage, "/x", auth).get("claims") == claims


def test_of_two_tokens_the_first_is_logged(pieces: int | None, tmp_path: Path) -> None:
    """As `issuer` of the line says."""
    stage = stage_of(
        pieces, tmp_path, routes="  - {name: both, require: {all_of: [a, b]}}", a="", b='from_headers: [{name: X-B, scheme: ""}]'
    )  # fmt: skip
    line = record(stage, "/", bearer(token()), f"X-B: {token('b')}")
    assert (line["issuer"], line["claims"]) == ("a", {"sub": "user-of-a"})
