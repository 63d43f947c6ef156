"""Where tokens stand in a request: the ``from_…`` keys of an issuer."""

from typing import Annotated, NamedTuple

from pydantic import Field, StrictBool

from lbjwt.auth._places import TokenPlaces
from lbjwt.config.fields import Spelling, TokenField
from lbjwt.config.section import Section

Scheme = Annotated[
    str, Spelling("|[A-Za-z][A-Za-z0-9-]{0,31}", "a scheme must be letters, digits and hyphens, or empty")
]
CookieName = Annotated[
    str, Spelling("[A-Za-z0-9_.-]{1,64}", "a cookie name must be letters, digits, dots, hyphens and underscores")
]
ParamName = Annotated[
    str, Spelling("[A-Za-z0-9_.-]{1,64}", "a parameter name must be letters, digits, dots, hyphens and underscores")
]


class TokenLocations(NamedTuple):
    """
    The arguments of `TokenPlaces`. Issuers with equal locations share one.

    Attributes:
        headers: Of each the name, the scheme ("" if the whole value is the token), and whether endpoints get it.
        cookies: Of each the name, and whether endpoints get it.
        params: The same of query parameters.
        subprotocol: A WebSocket subprotocol may be the token.
    """

    headers: tuple[tuple[str, str, bool | None], ...]
    cookies: tuple[tuple[str, bool], ...]
    params: tuple[tuple[str, bool], ...]
    subprotocol: bool

    def token_places(self) -> TokenPlaces:
        """What searches them."""
        return TokenPlaces(**self._asdict())


class FromHeader(Section):
    """A header that may hold the token."""

    name: TokenField = Field(description="Name of the header, such as `Authorization`.")
    scheme: Scheme = Field(
        default="Bearer",
        description="The word before the token, in upper or lower case; empty if the whole value is the token.",
    )
    forward: StrictBool | None = Field(
        default=None, description="Pass the header on to endpoints. Default: the value of `forward_token`."
    )


class FromCookie(Section):
    """A cookie that may hold the token."""

    name: CookieName = Field(description="Exact name of the cookie.")
    forward: StrictBool = Field(
        default=False, description="Pass the cookie on to endpoints; otherwise lbjwt removes it."
    )


class FromParam(Section):
    """A query parameter that may hold the token. Queries end up in logs and histories; prefer any other location (RFC 6750 §5.3)."""

    name: ParamName = Field(description="Name of the parameter, such as `access_token`.")
    forward: StrictBool = Field(
        default=False, description="Pass the parameter on to endpoints; otherwise lbjwt removes it."
    )
