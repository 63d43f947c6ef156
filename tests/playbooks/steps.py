"""Steps that several playbooks take: a request that passes, one that is refused, and what was counted."""

from lbjwt._fastverify import DenyReason
from tests.playbooks.messages import OK
from tests.playbooks.policies import field_of, status_of
from tests.playbooks.stage import Client, Stage


def passes(stage: Stage, client: Client, data: bytes, *, private: bool = False) -> bytes:
    """A request that reaches an endpoint and is answered, whether marked private or not; returns what the endpoint saw."""
    client.sends(data)
    assert stage.opened, client.take()
    seen = stage.server().take()
    stage.server().sends(OK)
    answer = client.take()
    assert status_of(answer) == 200 and field_of(answer, "Cache-Control") == ("private" if private else "")
    assert seen, "no endpoint saw the request"
    return seen


def is_refused(stage: Stage, client: Client, data: bytes) -> bytes:
    """A request that we answer ourselves; returns the answer."""
    before = len(stage.opened)
    client.sends(data)
    answer = client.take()
    assert status_of(answer) >= 300 or field_of(answer, "grpc-status"), answer
    assert len(stage.opened) == before
    assert all(server.take() == b"" for server in stage.opened)
    return answer


def counts(stage: Stage, issuer: int) -> dict[str, dict[str, int]]:
    """The refusals and reports of an issuer by reason, without the zeros."""
    totals = stage.board.issuer_totals(issuer)
    return {
        kind: {DenyReason(at).name: count for at, count in enumerate(totals[kind]) if count}
        for kind in ("refusals", "reported")
    }
