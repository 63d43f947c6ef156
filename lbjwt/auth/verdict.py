"""
The result of verifying one token: `Accepted` or `Refused`.

They are two classes with literal results of `__bool__`, so that a type checker knows after `if not verdict: return` that there are claims.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, NoReturn, Self

from lbjwt._fastverify import DenyReason
from lbjwt._grants import Grant
from lbjwt.errors import TokenRefused


@dataclass(frozen=True, slots=True)
class Accepted:
    """
    An accepted token. True in a condition.

    Attributes:
        grant: The verified token.
    """

    grant: Grant
    reason: ClassVar[DenyReason] = DenyReason.NONE
    allowed: ClassVar[Literal[True]] = True

    @property
    def claims(self) -> Mapping[str, Any]:
        """The claims, read anew at each access: changing a nested value changes nothing else."""
        return self.grant.claims

    def __bool__(self) -> Literal[True]:
        return True

    def raise_if_refused(self) -> Self:
        """This verdict."""
        return self


@dataclass(frozen=True, slots=True)
class Refused:
    """
    A refused token. False in a condition.

    Attributes:
        reason: Why; one of a closed list.
    """

    reason: DenyReason
    grant: ClassVar[None] = None
    allowed: ClassVar[Literal[False]] = False
    claims: ClassVar[None] = None

    def __bool__(self) -> Literal[False]:
        return False

    def raise_if_refused(self) -> NoReturn:
        """
        For those who prefer exceptions.

        Raises:
            TokenRefused: Always.
        """
        raise TokenRefused(self.reason)


Verdict = Accepted | Refused
"""What `Verifier` returns; also for `isinstance`."""
