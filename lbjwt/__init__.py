"""
A load balancer that lets a request through only with a valid JSON Web Token.

Importing this package is cheap: each public name is loaded when it is first asked for, and neither uvloop nor httptools before it is needed.
"""

from typing import TYPE_CHECKING, Any

from lbjwt import _loader

if TYPE_CHECKING:
    from lbjwt._fastverify import DenyReason as DenyReason
    from lbjwt.auth.encrypted import Decryption as Decryption
    from lbjwt.auth.policy import IssuerPolicy as IssuerPolicy
    from lbjwt.auth.trusted_issuer import TrustedIssuer as TrustedIssuer
    from lbjwt.auth.verdict import Accepted as Accepted
    from lbjwt.auth.verdict import Refused as Refused
    from lbjwt.auth.verdict import Verdict as Verdict
    from lbjwt.config.load import load_config as load_config
    from lbjwt.config.model import Configuration as Configuration
    from lbjwt.errors import LbjwtError as LbjwtError
    from lbjwt.errors import TokenRefused as TokenRefused
    from lbjwt.jose.keyring import KeyRing as KeyRing
    from lbjwt.service import LoadBalancer as LoadBalancer
    from lbjwt.verifier import Verifier as Verifier

    __version__: str

_loader.install()

_HOMES = {
    "Accepted": "lbjwt.auth.verdict",
    "Configuration": "lbjwt.config.model",
    "Decryption": "lbjwt.auth.encrypted",
    "DenyReason": "lbjwt._fastverify",
    "IssuerPolicy": "lbjwt.auth.policy",
    "KeyRing": "lbjwt.jose.keyring",
    "LbjwtError": "lbjwt.errors",
    "LoadBalancer": "lbjwt.service",
    "Refused": "lbjwt.auth.verdict",
    "TokenRefused": "lbjwt.errors",
    "TrustedIssuer": "lbjwt.auth.trusted_issuer",
    "Verdict": "lbjwt.auth.verdict",
    "Verifier": "lbjwt.verifier",
    "load_config": "lbjwt.config.load",
}

__all__ = [*_HOMES, "__version__"]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from lbjwt.version import package_version

        value: Any = package_version()
    elif name in _HOMES:
        from importlib import import_module

        value = getattr(import_module(_HOMES[name]), name)
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value  # found without this function from now on
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
