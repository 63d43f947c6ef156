"""
A WSGI application behind JWTMiddleware. Run it with a WSGI server; forked workers keep their keys by themselves:

    ISSUER=https://issuer.example gunicorn --preload --workers 2 examples.wsgi_app:app
"""

import json
import os
from collections.abc import Iterable
from typing import TYPE_CHECKING

from lbjwt import Verifier
from lbjwt.wsgi import JWTMiddleware

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIEnvironment


def orders(environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
    body = json.dumps({"orders_of": environ["lbjwt.claims"]["sub"]}).encode()
    start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
    return [body]


verifier = Verifier.discover(os.environ["ISSUER"], audiences=["orders"])
app = JWTMiddleware(orders, verifier, scopes=["orders:read"])
