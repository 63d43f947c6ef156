"""A certificate and its key are replaced on disk under load: new handshakes see them, none fails, a bad pair is not taken."""

from __future__ import annotations

import datetime
import os
import socket
import ssl
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from bench.proof.registry import Bar, Result
from bench.proof.reloadscene import reload_scene
from bench.proof.scene import Tally, taken
from tests.harness.ledger import compare
from tests.harness.load import drive, jobs
from tests.harness.ports import free_port

VISIBLE = 2.0  # seconds until every new handshake shows the new certificate
BAD = 1.5  # seconds for which a bad pair lies there
GAP = 0.02  # seconds between two handshakes of the observer

Pair = tuple[bytes, bytes, int]  # certificate, key, serial number


def new_pair() -> Pair:
    """A certificate for localhost, valid for a day."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now, serial = datetime.datetime.now(datetime.UTC), x509.random_serial_number()
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(serial)
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return certificate.public_bytes(serialization.Encoding.PEM), private, serial


def trusting() -> ssl.SSLContext:
    """A client that takes any certificate, and no session of before."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


@dataclass
class Observer:
    """Shakes hands over and over and notes which certificate it is shown."""

    port: int
    seen: list[tuple[float, int]] = field(default_factory=list)  # when the handshake began, serial number
    failures: list[str] = field(default_factory=list)
    over: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        """Until `over`."""
        context = trusting()
        while not self.over.wait(GAP):
            at = time.monotonic()
            try:
                with (
                    socket.create_connection(("127.0.0.1", self.port), 5.0) as raw,
                    context.wrap_socket(raw, server_hostname="localhost") as wire,
                ):
                    shown = wire.getpeercert(binary_form=True)
                    assert shown is not None
                    self.seen.append((at, x509.load_der_x509_certificate(shown).serial_number))
            except OSError as problem:
                self.failures.append(str(problem))


def replace(certificate: Path, key: Path, pair: Pair, way: int) -> None:
    """
    Put a pair into its files.

    Args:
        way: 0 by two renames, 1 in place with the key a moment later, 2 in place in two halves.
    """
    for path, content in ((certificate, pair[0]), (key, pair[1])):
        if way == 0:
            beside = path.with_suffix(".new")
            beside.write_bytes(content)
            os.replace(beside, path)
            continue
        with path.open("wb") as file:
            half = len(content) // 2 if way == 2 else len(content)
            file.write(content[:half])
            file.flush()
            time.sleep(0.1)
            file.write(content[half:])


def run(n: int, directory: Path) -> Result:
    """So many replacements, each in another way; a key that does not fit lies there before every third."""
    pair = new_pair()
    certificate, key = directory / "cert.pem", directory / "key.pem"
    certificate.write_bytes(pair[0])
    key.touch(mode=0o600)
    key.write_bytes(pair[1])
    rate, every = (200.0, 3.0) if n >= 20 else (50.0, 3.0)
    requests = int(rate * every * (n + 1) + rate * BAD * (n // 3))
    replaced: list[tuple[float, int]] = [(time.monotonic(), pair[2])]
    tls = {"certificate": str(certificate), "private_key": str(key)}
    port = free_port()
    listeners = [{"address": f"127.0.0.1:{port}", "tls": tls}]
    with reload_scene(directory, listeners=listeners) as stage, ThreadPoolExecutor(2) as pool:
        observer = Observer(port)

        def work() -> None:
            for number in range(n):
                time.sleep(every)
                if number % 3 == 2:
                    key.write_bytes(new_pair()[1])
                    time.sleep(BAD)
                fresh = new_pair()
                replace(certificate, key, fresh, number % 3)
                replaced.append((time.monotonic(), fresh[2]))

        watching, replacing = pool.submit(observer.run), pool.submit(work)
        try:
            samples = drive(
                port,
                jobs(requests, stage.token, prefix="tls", fresh_every=2),
                rate=rate,
                connections=100,
                tls=trusting(),
            )
            replacing.result()
        finally:
            observer.over.set()
        watching.result()
        tally = Tally()
        tally.add(samples, compare(samples, taken(stage)))
    waits, strangers = judge(replaced, observer.seen)
    failed = tally.count() + len(observer.failures)
    late = sum(seconds > VISIBLE for seconds in waits)
    figure = (
        f"{failed} of {requests + len(observer.seen):,} failed over {n} replacements, "
        f"each seen within {max(waits):.2f} s, {strangers} handshakes with another certificate"
    )
    note = "\n".join([tally.note, *observer.failures[:4]])
    return Result(
        requests + len(observer.seen), figure, not failed and not late and not strangers, failures=failed, note=note
    )


def judge(replaced: list[tuple[float, int]], seen: list[tuple[float, int]]) -> tuple[list[float], int]:
    """
    Seconds from each replacement to the last handshake with an older certificate, and handshakes with none that was there.

    A replacement that no handshake ever showed counts as infinite.
    """
    order = {serial: number for number, (_, serial) in enumerate(replaced)}
    strangers = sum(serial not in order for _, serial in seen)
    waits: list[float] = []
    for number, (at, _) in enumerate(replaced[1:], 1):
        end = replaced[number + 1][0] if number + 1 < len(replaced) else float("inf")
        within = [(when, order.get(serial, -1)) for when, serial in seen if at <= when < end]
        older = [when - at for when, place in within if place < number]
        waits.append(max(older, default=0.0) if any(place == number for _, place in within) else float("inf"))
    return waits, strangers


BAR = Bar(
    "certificate_replaced",
    "certificate and key replaced on disk under load: new handshakes show them within 2 s, 0 fail, a pair that does not fit is not taken",
    3,
    60,
    run,
    alias="RC",
)
