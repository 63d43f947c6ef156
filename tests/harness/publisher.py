"""
Issuers whose keys come and go: each publishes some of its keys at a `KeyServer` and signs with any of them.

An `Issuer` has a pool of keys made beforehand. `jwks` is the whole pool (for the shadow verifier, who judges signatures
and not the day), `document` is what it publishes now.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.harness.keys import ASYMMETRIC, SYMMETRIC, SigningKey, new_key
from tests.harness.keyserver import DISCOVERY, KeyServer
from tests.harness.tokens import AUDIENCE, ISSUER, TokenSource


def standard_claims(issuer: str, lifetime: float, claims: dict[str, Any]) -> dict[str, Any]:
    """Good values for the registered claims under what is given; a claim given as None is left out."""
    now = int(time.time())
    payload = {"iss": issuer, "aud": AUDIENCE, "sub": "alice", "iat": now, "exp": int(now + lifetime), **claims}
    return {name: value for name, value in payload.items() if value is not None}


class Issuer(TokenSource):
    """
    One issuer at a key server, its name being a URL below the server's. The first key of the pool is published; the others wait.

    Args:
        label: Path segment of its name; key ids begin with it, so that no two issuers share one.
        algorithms: Of the keys in the pool, in order.
    """

    def __init__(
        self, server: KeyServer, label: str = "main", *, algorithms: Sequence[str] = ("ES256", "ES256")
    ) -> None:
        self.server = server
        self.label = label
        self.issuer = f"{server.url}/{label}"
        self.audience = AUDIENCE
        self.pool = [new_key(algorithm, f"{label}-{number}") for number, algorithm in enumerate(algorithms)]
        self.keys = {key.kid: key.private for key in self.pool}
        self.published: list[SigningKey] = [self.pool[0]]
        self.signing = self.pool[0]
        self.extra: list[dict[str, Any]] = []  # further members of the key set, of any shape
        self.jwks_path = f"/{label}/jwks"
        self.discovery_path = f"/{label}{DISCOVERY}"
        self.jwks_uri = f"{server.url}{self.jwks_path}"
        server.documents[self.jwks_path] = self.document
        server.documents[self.discovery_path] = self.metadata

    def jwks(self) -> dict[str, Any]:
        """Every key it ever had or will have."""
        return {"keys": [key.jwk() for key in self.pool]}

    def document(self) -> bytes:
        """The key set it publishes now."""
        return json.dumps({"keys": [*self.extra, *(key.jwk() for key in self.published)]}).encode()

    def metadata(self) -> bytes:
        """The discovery document (OpenID Connect Discovery section 4.2)."""
        return json.dumps({"issuer": self.issuer, "jwks_uri": self.jwks_uri}).encode()

    def publish_next(self) -> SigningKey:
        """Publish the next key of the pool beside the others; it does not sign yet."""
        key = self.pool[self.pool.index(self.published[-1]) + 1]
        self.published = [*self.published, key]
        return key

    def switch(self) -> SigningKey:
        """Sign with the newest published key."""
        self.signing = self.published[-1]
        return self.signing

    def drop_old(self) -> None:
        """Publish the newest key only."""
        self.published = self.published[-1:]

    def withdraw(self, key: SigningKey) -> None:
        """Publish it no longer."""
        self.published = [other for other in self.published if other is not key]

    def mint(
        self,
        key: SigningKey | None = None,
        *,
        lifetime: float = 3600.0,
        header: dict[str, Any] | None = None,
        **claims: Any,
    ) -> str:
        """A token by the signing key or another. Registered claims have good values unless given; None leaves one out."""
        payload = standard_claims(self.issuer, lifetime, claims)
        return (key or self.signing).token(payload, **(header or {}))

    @property
    def fetches(self) -> int:
        """How often its key set was asked for."""
        return self.server.count(self.jwks_path)

    def remote(self, **options: Any) -> dict[str, Any]:
        """The `issuers` entry that fetches its key set from the URL. `options` go to `remote_jwks`."""
        return self._entry(remote_jwks={"uri": self.jwks_uri, **options})

    def discovered(self, **options: Any) -> dict[str, Any]:
        """The `issuers` entry that finds the key set by the issuer's name. `options` go to `discovery`."""
        return self._entry(discovery=options)

    def _entry(self, **source: Any) -> dict[str, Any]:
        # `...` takes away what the balancer's usual configuration says
        return {"issuer": self.issuer, "audiences": [self.audience], "jwks_file": ..., **source}


class Federation(TokenSource):
    """Several issuers as one, for those who judge tokens of all of them: a key id belongs to one issuer only."""

    def __init__(self, issuers: Sequence[Issuer]) -> None:
        self.issuers = list(issuers)
        self.issuer = issuers[0].issuer
        self.audience = AUDIENCE
        self.keys = {kid: key for issuer in issuers for kid, key in issuer.keys.items()}

    def jwks(self) -> dict[str, Any]:
        """The keys of all of them, each with the name of its issuer."""
        return {"keys": [{**key, "issuer": issuer.issuer} for issuer in self.issuers for key in issuer.jwks()["keys"]]}

    def mint(self, *arguments: Any, **options: Any) -> str:
        """A token of the first."""
        return self.issuers[0].mint(*arguments, **options)


class Assortment(TokenSource):
    """
    A key of every algorithm: one issuer for the public keys, one for each kind of secret, since a secret has one use only.

    Args:
        directory: Where the secrets and the key set are written.
    """

    def __init__(self, directory: Path) -> None:
        self.issuer = ISSUER
        self.audience = AUDIENCE
        self.signers = {algorithm: new_key(algorithm) for algorithm in (*ASYMMETRIC, *SYMMETRIC)}
        self.keys = {name: key.private for name, key in self.signers.items()}
        self._directory = directory

    def issuer_of(self, algorithm: str) -> str:
        """The `iss` of tokens by this algorithm."""
        return f"{self.issuer}/{algorithm}" if algorithm in SYMMETRIC else self.issuer

    def jwks(self) -> dict[str, Any]:
        """All keys, for the shadow verifier; the secrets too."""
        return {"keys": [{**key.jwk(), "issuer": self.issuer_of(name)} for name, key in self.signers.items()]}

    def mint(self, algorithm: str = "ES256", *, lifetime: float = 3600.0, **claims: Any) -> str:
        """A token by the key of that algorithm."""
        return self.signers[algorithm].token(standard_claims(self.issuer_of(algorithm), lifetime, claims))

    def entries(self) -> dict[str, Any]:
        """The `issuers` of a configuration."""
        public = self._directory / "public.json"
        public.write_text(json.dumps({"keys": [self.signers[name].jwk() for name in ASYMMETRIC]}), encoding="utf-8")
        entries: dict[str, Any] = {"main": {"jwks_file": str(public)}}
        for name in SYMMETRIC:
            secret = self._directory / f"{name}.secret"
            secret.write_bytes(self.signers[name].private)
            secret.chmod(0o600)
            entries[name.lower()] = {
                "issuer": self.issuer_of(name),
                "audiences": [AUDIENCE],
                "secret_file": str(secret),
                "algorithms": [name],
            }
        return entries
