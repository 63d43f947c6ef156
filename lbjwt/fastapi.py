"""
A FastAPI dependency that verifies the token of a request and returns its claims as a type of the program.

lbjwt does not install FastAPI: a program that imports this module has it.

The annotations of `__call__` must not be strings: FastAPI reads them.
"""

from collections.abc import Iterable
from http import HTTPStatus
from typing import Any, Generic, NoReturn, TypeVar, overload

from fastapi import HTTPException, WebSocketException
from fastapi.openapi.models import HTTPBearer
from fastapi.requests import HTTPConnection
from fastapi.security import SecurityScopes
from fastapi.security.base import SecurityBase
from pydantic import TypeAdapter, ValidationError

from lbjwt._fastverify import DenyReason
from lbjwt.asgi import decide_again
from lbjwt.verifier import Verifier
from lbjwt.web.open_streams import POLICY_VIOLATION
from lbjwt.web.protection import Protection, Response, listed, response_of

T = TypeVar("T")

_OF_THE_BODY = (b"content-type", b"content-length")


class JWTBearer(SecurityBase, Generic[T]):
    """
    A dependency for `Depends` and `Security`, also of WebSockets. The scopes of `Security` are required of the token.

    Args:
        verifier: Verifies the tokens.
        claims: What the dependency returns: a pydantic model, dataclass or TypedDict, made of the claims. A token whose claims do not make one is
            refused with 401. Default: a dict of all claims.
        scopes: The token needs all of them wherever the dependency is used.
        optional: Return None for a request without a token. A bad token is still refused.
        scheme_name: Its name in the OpenAPI document.
        description: Its description there.
        requirements: Further arguments of `lbjwt.web.protection.Protection`, except `public` and `public_prefixes`.

    Raises:
        ConfigurationError: An invalid requirement.

    ```python
    bearer = JWTBearer(verifier, User)


    @app.get("/orders")
    async def orders(user: Annotated[User, Security(bearer, scopes=["orders:read"])]) -> list[Order]: ...
    ```
    """

    @overload
    def __init__(
        self: "JWTBearer[dict[str, Any]]",
        verifier: Verifier,
        claims: None = None,
        *,
        scopes: Iterable[str] = (),
        optional: bool = False,
        scheme_name: str | None = None,
        description: str | None = None,
        **requirements: Any,
    ) -> None: ...

    @overload
    def __init__(
        self,
        verifier: Verifier,
        claims: type[T],
        *,
        scopes: Iterable[str] = (),
        optional: bool = False,
        scheme_name: str | None = None,
        description: str | None = None,
        **requirements: Any,
    ) -> None: ...

    def __init__(
        self,
        verifier: Verifier,
        claims: Any = None,
        *,
        scopes: Iterable[str] = (),
        optional: bool = False,
        scheme_name: str | None = None,
        description: str | None = None,
        **requirements: Any,
    ) -> None:
        self.model = HTTPBearer(bearerFormat="JWT", description=description)
        self.scheme_name = scheme_name or type(self).__name__
        self._verifier = verifier
        self._adapter: TypeAdapter[Any] = TypeAdapter(dict[str, Any] if claims is None else claims)
        self._scopes = tuple(listed("scopes", scopes))
        self._requirements = {"optional": optional, **requirements}
        self._protections: dict[tuple[str, ...], Protection] = {}
        self._protection(())  # a mistake shows when the program starts

    def _protection(self, more: tuple[str, ...]) -> Protection:
        """With these scopes on top of those of everywhere. The program names them, so there are few."""
        made = self._protections.get(more)
        if made is None:
            scopes = dict.fromkeys([*self._scopes, *more])
            made = Protection(self._verifier, scopes=scopes, follow_routes=False, **self._requirements)
            self._protections[more] = made
        return made

    async def __call__(self, connection: HTTPConnection, security_scopes: SecurityScopes) -> T | None:
        protection = self._protection(tuple(security_scopes.scopes))
        decision = protection.decide_scope(connection.scope)
        if decision.waits_for >= 0:
            decision = await decide_again(protection, decision, connection.scope)
        if decision.status:
            _refuse(response_of(decision), connection)
        if decision.grant is None:
            return None
        try:
            made: T = self._adapter.validate_python(decision.claims)
            return made
        except ValidationError:
            _refuse(protection.refusal(DenyReason.INVALID_CLAIM), connection)


def _refuse(response: Response, connection: HTTPConnection) -> NoReturn:
    if connection.scope["type"] == "websocket" and "websocket.http.response" not in (
        connection.scope.get("extensions") or {}
    ):
        raise WebSocketException(POLICY_VIOLATION)
    headers = {name.decode(): value.decode() for name, value in response.headers if name not in _OF_THE_BODY}
    raise HTTPException(response.status, HTTPStatus(response.status).phrase, headers)
