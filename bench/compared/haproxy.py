"""HAProxy's ``jwt_verify``: a converter among rules that somebody writes; what no rule asks is not asked."""

from __future__ import annotations

import csv
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

from bench.compared import http2
from bench.compared.scene import ISSUER, OTHER, Program, Scene, Trial, streamed, unsigned
from bench.peers.haproxy import PEERS, program
from tests.harness.ports import free_port
from tests.harness.waiting import eventually

ABOUT = PEERS[1]

_CONFIGURATION = """
global
    nbthread 1
    log stdout format raw local0
defaults
    mode http
    timeout connect 5s
    timeout client 30s
    timeout server 30s
frontend edge
    bind 127.0.0.1:@port@
    log global
    log-format "%HU %ST %[var(txn.why)]"
    http-request set-var(txn.token) http_auth_bearer
    http-request set-var(txn.alg) var(txn.token),jwt_header_query('$.alg')
    http-request set-var(txn.iss) var(txn.token),jwt_payload_query('$.iss')
    http-request set-var(txn.now) date()
    acl signed var(txn.token),jwt_verify("RS256","@one@") 1
    acl expired var(txn.token),jwt_payload_query('$.exp','int'),sub(txn.now) -m int le 0
@rules@
    default_backend backend
frontend pages
    bind 127.0.0.1:@pages@
    stats enable
    stats uri /
backend backend
    server one 127.0.0.1:@backend@
"""
_SIGNED = "    http-request deny deny_status 401 unless signed\n"
_COPY = "client's copy of a claim header"
_CLAIM = "    http-request @how@ X-Jwt-Sub %[var(txn.token),jwt_payload_query('$.sub')]\n"


def _write(scene: Scene, port: int, pages: int, rules: str) -> list[str]:
    text = _CONFIGURATION.replace("@rules@", rules)
    values = {
        "port": port,
        "pages": pages,
        "backend": scene.backend_port,
        "one": scene.file("one.pem", scene.key.pem),
        "two": scene.file("two.pem", scene.other.pem),
        "revoked": scene.file("revoked.acl", b"r1\nr2\n"),
        "url": f"{scene.url}/jwks",
    }
    for name, value in values.items():
        text = text.replace(f"@{name}@", str(value))
    return [program() or "haproxy", "-db", "-f", str(scene.file("haproxy.cfg", text.encode()))]


@contextmanager
def _haproxy(scene: Scene, rules: str) -> Iterator[tuple[Program, int]]:
    """HAProxy with these rules, and the port of its statistics."""
    pages = free_port()
    with scene.program("haproxy", lambda port: _write(scene, port, pages, rules)) as running:
        yield running, pages


def _status(scene: Scene, token: str, rules: str = _SIGNED) -> str:
    with _haproxy(scene, rules) as (running, _):
        return str(running.ask(token).status)


def _none(scene: Scene, algorithm: str) -> str:
    rule = f'http-request deny deny_status 401 unless {{ var(txn.token),jwt_verify({algorithm},"@one@") 1 }}\n'
    return _status(scene, unsigned(), f"    {rule}")


def _several(scene: Scene) -> str:
    rules = f"""
    acl of_one var(txn.iss) -m str {ISSUER}
    acl of_two var(txn.iss) -m str {OTHER}
    acl by_two var(txn.token),jwt_verify("RS256","@two@") 1
    http-request deny deny_status 401 unless of_one signed or of_two by_two
"""
    with _haproxy(scene, rules) as (running, _):
        tokens = scene.token, scene.other.mint(iss=OTHER), scene.key.mint(iss=OTHER)
        return " ".join(str(running.ask(token).status) for token in tokens)


def _url(scene: Scene) -> str:
    rules = '    http-request deny unless { var(txn.token),jwt_verify("RS256","@url@") 1 }\n'
    status = _status(scene, scene.token, rules)
    return f"{status} for a good token, {scene.fetches} fetches"


def _revoked(scene: Scene) -> str:
    rule = (
        "    http-request deny deny_status 403 if { var(txn.token),jwt_payload_query('$.jti') -m str -f @revoked@ }\n"
    )
    with _haproxy(scene, _SIGNED + rule) as (running, _):
        return " ".join(str(running.ask(scene.key.mint(jti=jti)).status) for jti in ("r1", "good"))


def _stream(scene: Scene) -> str:
    with _haproxy(scene, f"{_SIGNED}    http-request deny deny_status 401 if expired\n") as (running, _):
        return streamed(running.ask(scene.key.mint(exp=int(time.time()) + 2), path="/stream"))


def _why(scene: Scene, deny: str) -> str:
    rules = f"    http-request set-var(txn.why) str(expired) if expired\n{deny}"
    with _haproxy(scene, rules) as (running, _):
        status = running.ask(scene.key.mint(exp=1)).status
        log = scene.directory / "haproxy.log"
        # The line may come after the response.
        eventually(lambda: "\n/ " in f"\n{log.read_text()}" and log.read_text().endswith("\n"))
        return f"{status}; in the access log: {log.read_text().strip().splitlines()[-1]}"


def _copy(scene: Scene, rules: str, name: str = "X-Jwt-Sub") -> str:
    with _haproxy(scene, rules) as (running, _):
        return f"the backend received: {running.ask(scene.token, f'{name}: forged').copies('x-jwt-sub', 'x_jwt_sub')}"


def _health(scene: Scene) -> str:
    def counted() -> int:
        rows = csv.DictReader(running.text("/;csv", pages).partition("# ")[2].splitlines())
        return next(int(row["req_tot"]) for row in rows if (row["pxname"], row["svname"]) == ("edge", "FRONTEND"))

    with _haproxy(scene, "    monitor-uri /up\n") as (running, pages):
        before = counted()
        status = running.ask(path="/up").status
        after = counted()
        logged = [line for line in (scene.directory / "haproxy.log").read_text().splitlines() if line.startswith("/up")]
        return f"{status}, counted {after - before}, logged {len(logged)}"


def _with(how: str) -> str:
    return _SIGNED + _CLAIM.replace("@how@", how)


TRIALS = (
    Trial("`exp` must be there", "the signature alone is asked about; a token without exp, and an expired one", "200 200",
          lambda scene: f"{_status(scene, scene.key.mint(exp=None))} {_status(scene, scene.key.mint(exp=1))}"),
    Trial("issuer and audience must be named, or waived explicitly", "the signature alone is asked about; another iss and aud", "200",
          lambda scene: _status(scene, scene.key.mint(iss=OTHER, aud="anything"))),
    Trial("`none`", "the rule names RS256", "401", partial(_none, algorithm='"RS256"')),
    Trial("`none`", "the rule names none", "200", partial(_none, algorithm='"none"')),
    Trial("`none`", "the rule takes the algorithm from the token", "200", partial(_none, algorithm="txn.alg")),
    Trial("several issuers", "a rule for each iss: a token of each, and one signed by the other's key", "200 200 401", _several),
    Trial("keys from a URL", "jwt_verify with the URL of a JWK Set as its key", "403 for a good token, 0 fetches", _url),
    Trial("revocation before `exp`", "a rule on jti with a file of ids: a listed one, and another", "403 200", _revoked),
    Trial("streams when their token ends", "a token that expires in 2 s, a stream of 5 s", "goes on to its end", _stream),
    Trial("report-only", "a rule that logs an expired token and denies nothing", "200; in the access log: / 200 expired", partial(_why, deny="")),
    Trial("refusals counted by reason", "a rule that denies an expired token, and logs why", "401; in the access log: / 401 expired",
          partial(_why, deny="    http-request deny deny_status 401 if expired\n")),
    Trial(_COPY, "no rule; X-Jwt-Sub: forged", "the backend received: forged", partial(_copy, rules=_SIGNED)),
    Trial(_COPY, "add-header; X-Jwt-Sub: forged", "the backend received: forged, alice", partial(_copy, rules=_with("add-header"))),
    Trial(_COPY, "set-header; X-Jwt-Sub: forged", "the backend received: alice", partial(_copy, rules=_with("set-header"))),
    Trial(_COPY, "set-header; X_Jwt_Sub: forged", "the backend received: forged, alice",
          partial(_copy, rules=_with("set-header"), name="X_Jwt_Sub")),
    Trial(http2.ROW, "bind with ssl, then with alpn h2 too; a server with proto h2", "200 over HTTP/1.1; 200 over HTTP/2",
          partial(http2.spoken, peer=PEERS[0], file="haproxy.cfg", offer=" alpn h2,http/1.1")),
    Trial("", "monitor-uri", "200, counted 1, logged 0", _health),
)  # fmt: skip
