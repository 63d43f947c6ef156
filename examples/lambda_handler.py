"""
An AWS Lambda function behind an Application Load Balancer or an API Gateway, which verifies tokens itself.

The verifier is made once and lives as long as the process: warm starts find its keys and verified tokens. Between two requests the process is
frozen, so `ready` fetches the keys first if that became due meanwhile. It returns at once if not.
"""

import json
import os
from collections.abc import Mapping
from typing import Any

from lbjwt import Verifier

verifier = Verifier.discover(os.environ["ISSUER"], audiences=["orders"])

STATUS = {"INSUFFICIENT_SCOPE": 403, "KEYS_UNAVAILABLE": 503}


def handler(event: Mapping[str, Any], context: object) -> dict[str, Any]:
    verifier.ready()
    verdict = verifier.authorize(authorization(event))
    if not verdict:
        return answer(STATUS.get(verdict.reason.name, 401), {"error": "no valid token"}, {"www-authenticate": "Bearer"})
    return answer(200, {"orders_of": verdict.claims["sub"]})


def authorization(event: Mapping[str, Any]) -> bytes | None:
    """The Authorization field; several are joined as API Gateway does, and the verifier refuses what comes of it."""
    several = event.get("multiValueHeaders") or {name: [value] for name, value in (event.get("headers") or {}).items()}
    values = [value for name, found in several.items() if name.lower() == "authorization" for value in found]
    return ",".join(values).encode("latin-1", "replace") if values else None


def answer(status: int, body: Mapping[str, str], headers: Mapping[str, str] | None = None) -> dict[str, Any]:
    fields = {"content-type": "application/json", "cache-control": "no-store", **(headers or {})}
    return {"statusCode": status, "headers": fields, "body": json.dumps(body), "isBase64Encoded": False}
