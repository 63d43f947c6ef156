"""The ``rewrite`` section of a route: the path that endpoints get."""

from typing import Annotated, Any

from pydantic import Field, ValidationInfo, field_validator, model_validator

from lbjwt.config.cluster_choice import ClaimText
from lbjwt.config.fields import Words
from lbjwt.config.rule import ClaimPath
from lbjwt.config.section import Section, placed
from lbjwt.routing.rewrite import PathTemplate


class Rewrite(Section):
    """
    The path that endpoints get in place of the `path` or `prefix` of the route; what follows the prefix, and the query, stay. The path alone is
    enough: `rewrite: /tenants/{tenant}/orders`.
    """

    path: Annotated[str, Words("text")] = Field(
        description="The new beginning of the path, with a `prefix`, or the whole new path. A segment `{tenant}` stands for the claim `tenant` of "
        "the verified token, percent-encoded (RFC 3986 §2.1). A token whose claim is missing or cannot be one segment gets 403."
    )
    claims: Annotated[dict[ClaimText, ClaimPath], Field(max_length=8), Words("name: claim")] = Field(
        default={},
        validate_default=True,
        description="Claims of other names, or inside claims, by their name in `path`: `{tenant: [org, id]}`.",
    )

    @model_validator(mode="before")
    @classmethod
    def _from_path(cls, value: Any) -> Any:
        return {"path": value} if isinstance(value, str) else value

    @field_validator("path")
    @classmethod
    def _forwardable(cls, path: str) -> str:
        PathTemplate(path)
        return path

    @field_validator("claims")
    @classmethod
    def _of_the_path(cls, claims: dict[str, tuple[str, ...]], info: ValidationInfo) -> dict[str, tuple[str, ...]]:
        if "path" in info.data:  # else it is wrong by itself
            with placed():
                PathTemplate(info.data["path"], claims)
        return claims

    @property
    def template(self) -> PathTemplate:
        return PathTemplate(self.path, self.claims)
