"""
HAProxy: as a plain proxy, and checking every token with ``jwt_verify``, which checks the signature and nothing else.

``haproxy-jwt`` adds the least anybody should: the algorithm pinned, the expiry compared. The bars are taken against this one.
``haproxy-jwt-full`` does all that the other verifying peers do in every case: issuer and audience too, and the subject
handed to the backend. There the payload is decoded once into a variable and queried there, which costs less than a
``jwt_payload_query`` per claim.
"""

from __future__ import annotations

import shutil
from functools import partial

from bench.peers.base import Peer, Setup, first_line_of
from bench.tokens import AUDIENCE, ISSUER

BASE = """
global
    nbthread 1
    maxconn 9000
defaults
    mode http
    timeout connect 5s
    timeout client 600s
    timeout server 600s
    timeout http-keep-alive 600s
    http-reuse always
"""
"""What every HAProxy of the benchmark has: one thread, connections that are kept."""

CONFIGURATION = (
    BASE
    + """frontend edge
    bind 127.0.0.1:{port}{ssl} backlog 4096
{rules}
    {area}
    default_backend c0
{backends}
"""
)

BACKEND = """
backend c{number}
    balance leastconn
    {check}
{servers}
"""

_PLAIN_401 = "deny deny_status 401 hdr WWW-Authenticate 'Bearer realm=\"bench\"'"
_INVALID_401 = 'deny deny_status 401 hdr WWW-Authenticate \'Bearer realm="bench", error="invalid_token"\''

RULES = f"""
    http-request {_PLAIN_401} unless {{{{ req.hdr(authorization) -m found }}}}
    http-request set-var(txn.token) http_auth_bearer
    http-request set-var(txn.now) date()
    acl expired var(txn.token),jwt_payload_query('$.exp','int'),sub(txn.now) -m int le 0
    acl signed var(txn.token),jwt_verify("{{algorithm}}","{{pem}}") -m int 1
    http-request {_INVALID_401} if expired or !signed
"""

RULES_FULL = f"""
    http-request {_PLAIN_401} unless {{{{ req.hdr(authorization) -m found }}}}
    http-request set-var(txn.token) http_auth_bearer
    http-request set-var(txn.claims) var(txn.token),word(2,.),ub64dec
    http-request set-var(txn.now) date()
    acl right_algorithm var(txn.token),jwt_header_query('$.alg') -m str {{algorithm}}
    acl right_issuer var(txn.claims),json_query('$.iss') -m str {{issuer}}
    acl right_audience var(txn.claims),json_query('$.aud') -m str {{audience}}
    acl expired var(txn.claims),json_query('$.exp','int'),sub(txn.now) -m int le 0
    acl signed var(txn.token),jwt_verify("{{algorithm}}","{{pem}}") -m int 1
    http-request {_INVALID_401} if expired or !right_algorithm or !right_issuer or !right_audience or !signed
    http-request set-header X-Jwt-Sub %[var(txn.claims),json_query('$.sub')]
"""


def program() -> str | None:
    return shutil.which("haproxy") or shutil.which("haproxy", path="/usr/sbin")


def _start(setup: Setup, rules: str) -> list[str]:
    path = setup.directory / "haproxy.cfg"
    ssl = f" ssl crt {setup.tls.both} alpn h2,http/1.1" if setup.tls else ""
    protocol = " proto h2" if setup.http2_backend else ""
    check, each = ("option httpchk GET /", " check inter 1s") if setup.checks else ("", "")
    if setup.backend_tls:
        each += f" ssl verify required ca-file {setup.backend_tls.certificate}"
    servers = "\n".join(
        f"    server s{number} {address}{protocol}{each}" for number, address in enumerate(setup.addresses())
    )
    backends = "".join(BACKEND.format(number=number, check=check, servers=servers) for number in range(setup.clusters))
    area = ""
    if setup.routes > 1:
        areas = setup.directory / "areas.map"
        areas.write_text("".join(f"{prefix} c{number}\n" for prefix, number in setup.areas()))
        area = f"use_backend %[path,map_beg({areas},c0)]"
    path.write_text(CONFIGURATION.format(port=setup.port, backends=backends, ssl=ssl, rules=rules, area=area))
    return [program() or "haproxy", "-db", "-f", str(path)]


def _plain(setup: Setup) -> list[str]:
    return _start(setup, "")


def _verifying(setup: Setup, *, rules: str) -> list[str]:
    pem = setup.material.pem.resolve()
    return _start(setup, rules.format(algorithm=setup.material.algorithm, issuer=ISSUER, audience=AUDIENCE, pem=pem))


def _version() -> str:
    return first_line_of(program() or "haproxy", "-v")


_INSTALL = "apt-get install haproxy"

PEERS = (
    Peer("haproxy", "HAProxy, no auth", _plain, program, _version, _INSTALL),
    Peer(
        "haproxy-jwt",
        "HAProxy jwt_verify and exp",
        partial(_verifying, rules=RULES),
        program,
        _version,
        _INSTALL,
        verifies=True,
    ),
    Peer(
        "haproxy-jwt-full",
        "HAProxy jwt_verify and all claims",
        partial(_verifying, rules=RULES_FULL),
        program,
        _version,
        _INSTALL,
        verifies=True,
    ),
)
