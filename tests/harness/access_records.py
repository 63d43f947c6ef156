"""Records of the access log made in Python."""

from typing import Any

from lbjwt.observe._access_log import AccessLog

RECORD = {
    "started_at": 1_700_000_000.1239,
    "duration": 0.0123456,
    "client": b"192.0.2.1",
    "method": b"GET",
    "path": b"/a",
    "host": b"api.example",
    "request_id": b"r1",
}


TEXTS = (
    "client",
    "peer",
    "method",
    "path",
    "host",
    "request_id",
    "cluster",
    "endpoint",
    "issuer",
    "route",
    "failed_endpoints",
    "claims",
)
NUMBERS = (
    "protocol",
    "status",
    "reason",
    "error",
    "would_refuse",
    "request_bytes",
    "response_bytes",
    "retries",
    "attempts",
)


def append(log: AccessLog, **given: Any) -> None:
    """Write a record of RECORD and what else is given; the peer is the client."""
    fields: dict[str, Any] = {
        **dict.fromkeys(NUMBERS, 0),
        "grpc_status": -1,
        "complete": True,
        **RECORD,
        "peer": RECORD["client"],
        **given,
    }
    for name in TEXTS:
        text = fields.get(name)
        fields[name] = {"at": b"", "size": -1} if text is None else {"at": text, "size": len(text)}
    log.append(**fields)
