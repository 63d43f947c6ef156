"""
Policies for playbooks, written the way a configuration has them: a few issuers, each with keys of its own under equal key ids, and routes.

What a file would say goes through the real loader and the real assembly, so that a playbook shows what the words of a configuration do to traffic.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from lbjwt.assembly.cluster import forwarding_trust, new_policy
from lbjwt.assembly.issuers import issuer_instances, new_verifier, trusted_issuers
from lbjwt.assembly.routes import new_admission
from lbjwt.assembly.rows import row_names
from lbjwt.auth.encrypted import Decryption
from lbjwt.auth.trusted_issuer import Revoked, TrustedIssuer
from lbjwt.config.load import load_text
from lbjwt.jose.keyring import KeyRing
from lbjwt.observe._offenders import Offenders
from lbjwt.observe.rows import RowNumbers
from lbjwt.proxy._admission import Admission
from lbjwt.upstream._cluster import Cluster
from tests.harness.keys import SigningKey, new_key

KEYS: dict[str, dict[str, SigningKey]] = {
    label: {kid: new_key("EdDSA", kid) for kid in ("k1", "k2")} for label in ("a", "b", "c")
}
"""By issuer and key id: the ids are the same, the keys are not."""

PUBLISHED = ("k1",)
"""Of each issuer, when a playbook begins."""

BASE = """
listeners: [{address: "127.0.0.1:0"}]
clusters: {main: {endpoints: [{address: "127.0.0.1:9001"}]}}
claim_to_headers: [{claim: sub, header: X-Jwt-Sub, issuer: a}, {claim: sub, header: X-Jwt-Sub-B, issuer: b}]
"""


class Policies:
    """
    An admission as a configuration describes it.

    Args:
        routes: The `routes` section, YAML.
        issuers: By label: further members of the section, YAML without braces. Who is not in `KEYS` has no keys.
        rest: Further sections; one that `BASE` has takes its place.
        revoked: As for a verifier.
        decryptions: By label, how its encrypted tokens are decrypted.
    """

    def __init__(
        self,
        routes: str = "",
        issuers: Mapping[str, str] | None = None,
        rest: str = "",
        revoked: Revoked | None = None,
        decryptions: Mapping[str, Decryption] | None = None,
    ) -> None:
        issuers = issuers or {"a": "", "b": ""}
        text = "\n".join(line for line in BASE.splitlines() if line.partition(":")[0] not in _sections(rest))
        for label, members in issuers.items():
            head = "issuers:\n" if label == next(iter(issuers)) else ""
            text += (
                f"\n{head}  {label}: {{issuer: {self.issuer(label)}, audiences: [api], jwks: {{keys: []}}, {members}}}"
            )
        text += f"\n{rest}\n" + (f"routes:\n{routes}" if routes else "")
        self.configuration = load_text(text, Path("/"))
        self.instances = issuer_instances(self.configuration)
        self.verifier = new_verifier(self.configuration, self.instances, revoked)
        self._decryptions = decryptions or {}
        self.verifier.reload(self.trusted())
        limit = self.configuration.fail_limit
        self.offenders = Offenders(1, limit=limit.failures, window=limit.window) if limit else None
        self.admission = self.admission_to(None)
        for label in issuers.keys() & KEYS.keys():
            self.publish(label, *PUBLISHED)

    def admission_to(self, cluster: Cluster | None) -> Admission:
        """The admission; what it lets through goes to this cluster."""
        return new_admission(
            self.configuration,
            self.instances,
            self.verifier.gate,
            self.offenders,
            trusts=forwarding_trust(self.configuration),
            clusters=None if cluster is None else dict.fromkeys(self.configuration.clusters, cluster),
            rows=RowNumbers.in_order(row_names(self.configuration)).routes,
        )

    def trusted(self) -> dict[int, TrustedIssuer]:
        """What the verifier of other policies is reloaded with to have these."""
        trusted = trusted_issuers(self.configuration, self.instances)
        for one in self.instances:
            if one.label in self._decryptions:
                trusted[one.index] = replace(trusted[one.index], decryption=self._decryptions[one.label])
        return trusted

    @staticmethod
    def issuer(label: str) -> str:
        """The `iss` of an issuer."""
        return f"https://{label}.test"

    def index(self, label: str) -> int:
        """Its number."""
        return next(one.index for one in self.instances if one.label == label)

    def publish(self, label: str, *kids: str) -> None:
        """From now on the issuer has these keys; without any it has none."""
        ring = KeyRing.from_jwks({"keys": [KEYS[label][kid].jwk() for kid in kids]}) if kids else None
        self.verifier.publish(ring, self.index(label))

    def options(self, ask: Callable[[int], bool] | None = None, **more: Any) -> dict[str, Any]:
        """What a stage with this admission is made with."""
        return {
            "admission": self.admission_to,
            "issuers": [one.name for one in self.instances],
            "heads": new_policy(self.configuration, https=False),
            "trusts": forwarding_trust(self.configuration),
            "ask": ask,
            **more,
        }


def _sections(text: str) -> set[str]:
    return {line.partition(":")[0] for line in text.splitlines() if line[:1].isalpha()}


def token(label: str = "a", kid: str = "k1", *, header: Mapping[str, Any] | None = None, **claims: Any) -> str:
    """A token by a key of the issuer. Registered claims have good values unless given; None leaves one out."""
    now = int(time.time())
    payload = {
        "iss": Policies.issuer(label),
        "aud": "api",
        "sub": f"user-of-{label}",
        "iat": now,
        "exp": now + 3600,
        **claims,
    }
    return KEYS[label][kid].token(
        {name: value for name, value in payload.items() if value is not None}, **(header or {})
    )


def bearer(text: str) -> bytes:
    """The usual field with a token."""
    return f"Authorization: Bearer {text}\r\n".encode()


def status_of(answer: bytes) -> int:
    """The status of one whole answer; fails when there is none or more than one."""
    assert answer.count(b"HTTP/1.1 ") == 1, answer
    return int(answer[9:12])


def field_of(answer: bytes, name: str) -> str:
    """The value of a field in the head of an answer or request, "" when it is not there; fails when it is there twice."""
    head = answer.partition(b"\r\n\r\n")[0].decode("latin-1").split("\r\n")[1:]
    found = [line.partition(":")[2].strip() for line in head if line.partition(":")[0].lower() == name.lower()]
    assert len(found) <= 1, found
    return found[0] if found else ""
