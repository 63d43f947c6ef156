"""Single requests of the benchmark's own: they prove that a proxy does what it is measured for, before and after."""

from __future__ import annotations

import http.client
import shutil
import ssl
import subprocess

from bench.child import BenchError
from bench.tokens import Material

PROOF_TOKENS = 5  # at most so many different tokens prove() shows
_TIMEOUT = 10.0  # seconds


def _unverified_tls() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE  # the certificate is ours, made a minute ago, on loopback
    return context


def _connection(port: int, tls: bool) -> http.client.HTTPConnection:
    if tls:
        return http.client.HTTPSConnection("127.0.0.1", port, timeout=_TIMEOUT, context=_unverified_tls())
    return http.client.HTTPConnection("127.0.0.1", port, timeout=_TIMEOUT)


def status(port: int, path: str, token: str | None, *, tls: bool = False) -> int:
    """
    Status of one GET.

    Raises:
        BenchError: No answer came.
    """
    connection = _connection(port, tls)
    try:
        connection.request("GET", path, headers={"Authorization": f"Bearer {token}"} if token else {})
        response = connection.getresponse()
        response.read()
        return response.status
    except (OSError, http.client.HTTPException) as error:
        raise BenchError(f"no answer to a single request: {type(error).__name__}: {error}") from error
    finally:
        connection.close()


def tls_version(port: int) -> str:
    """Protocol and cipher a client of today agrees on with this proxy."""
    connection = http.client.HTTPSConnection("127.0.0.1", port, timeout=_TIMEOUT, context=_unverified_tls())
    try:
        connection.connect()
        cipher = connection.sock.cipher()
        return f"{cipher[1]} {cipher[0]}" if cipher else "unknown"
    finally:
        connection.close()


def answered_by_backend(backend_port: int) -> int:
    """How many requests the backend has answered since it started, these questions aside."""
    connection = _connection(backend_port, tls=False)
    try:
        connection.request("GET", "/-/count")
        return int(connection.getresponse().read())
    finally:
        connection.close()


def cache_counts(admin_port: int) -> tuple[int, int]:
    """
    Hits and misses of lbjwt's cache of verified tokens since it started, as its metrics tell (up to a second late).

    Raises:
        BenchError: The metrics do not tell.
    """
    connection = _connection(admin_port, tls=False)
    try:
        connection.request("GET", "/metrics")
        lines = connection.getresponse().read().decode().splitlines()
    except (OSError, http.client.HTTPException) as error:
        raise BenchError(f"no answer from the admin door: {type(error).__name__}: {error}") from error
    finally:
        connection.close()
    found = dict(line.split() for line in lines if line.startswith("lbjwt_cache_") and line.count(" ") == 1)
    try:
        return int(float(found["lbjwt_cache_hits_total"])), int(float(found["lbjwt_cache_misses_total"]))
    except KeyError as error:
        raise BenchError(f"{error.args[0]} is not among the metrics") from error


def tampered(token: str) -> str:
    """The token with one character in the middle of its signature changed."""
    head, _, signature = token.rpartition(".")
    middle = len(signature) // 2
    other = "A" if signature[middle] != "A" else "B"
    return f"{head}.{signature[:middle]}{other}{signature[middle + 1 :]}"


def http2_status(port: int, path: str, token: str | None, *, tls: bool) -> int:
    """
    Status of one GET over HTTP/2, by curl. The token goes through its standard input.

    Raises:
        BenchError: curl is missing, no answer came, or it did not come over HTTP/2.
    """
    if shutil.which("curl") is None:
        raise BenchError("curl is missing: apt-get install curl")
    url = f"{'https' if tls else 'http'}://127.0.0.1:{port}{path}"
    lines = [f'url = "{url}"', "insecure", "silent", "show-error", f"max-time = {_TIMEOUT:.0f}", 'noproxy = "*"']
    lines += ["http2-prior-knowledge"] if not tls else ["http2"]
    lines += [f'header = "Authorization: Bearer {token}"'] if token else []
    lines += ['output = "/dev/null"', 'write-out = "%{http_code} %{http_version}"']
    done = subprocess.run(
        ["curl", "--config", "-"], input="\n".join(lines), capture_output=True, text=True, check=False
    )
    found, _, version = done.stdout.partition(" ")
    if done.returncode != 0:
        raise BenchError(f"no answer to a single request: {done.stderr.strip()}")
    if version != "2":
        raise BenchError(f"a request over HTTP/2 was answered in HTTP/{version}")
    return int(found)


def prove(port: int, material: Material, *, verifies: bool, tls: bool, http2: bool = False) -> None:
    """
    Show that a proxy lets good tokens pass and, when it is said to verify, refuses bad ones.

    Raises:
        BenchError: It does not; its figures would say nothing.
    """
    expected: dict[str, tuple[str | None, int]] = {"a good token": (material.token, 200)}
    if verifies:
        expected |= {
            "no token": (None, 401),
            "a tampered token": (tampered(material.token), 401),
            "a token of another key": (material.forged, 401),
            "an expired token": (material.expired, 401),
            "a good token, again": (material.token, 200),
        }
    for what, (token, wanted) in expected.items():
        got = (http2_status if http2 else status)(port, "/", token, tls=tls)
        if got != wanted:
            raise BenchError(f"{what} was answered with {got} instead of {wanted}")
