"""Which cluster a route forwards to: one by its label, a share of the requests for each of several, or the one that a verified claim names."""

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Final

from pydantic import BeforeValidator, Field, ValidationInfo, field_validator

from lbjwt.auth.rules import MAX_NAME, MAX_TEXT, check_claim_path
from lbjwt.config.fields import LABEL, Label, Words, whole
from lbjwt.config.rule import ClaimPath
from lbjwt.config.section import Section, across, given

ADDRESS: Final = "client_address"
CLAIM: Final = "claim:"

ClaimText = Annotated[str, Field(min_length=1, max_length=MAX_TEXT)]


def _key(text: str) -> str:
    if text.startswith(CLAIM):
        check_claim_path((text.removeprefix(CLAIM),))
    elif text != ADDRESS:
        raise ValueError(f"must be {ADDRESS}, or {CLAIM} and the name of a claim, such as {CLAIM}sub")
    return text


class ClusterChoice(Section):
    """
    The clusters of a route with more than one. Give `split` to share out the requests by weight, or `claim` and `clusters` to choose by a claim of
    the verified token.
    """

    split: Annotated[dict[Label, Annotated[int, whole(0, 1_000_000)]], Field(min_length=1), Words("label: weight")] | None = Field(
        default=None,
        description="The weight of each cluster, 0 to 1000000: `{api: 95, canary: 5}` sends 5 % of the requests to `canary`. 0: none.",
    )  # fmt: skip
    by: Annotated[str, Field(max_length=len(CLAIM) + MAX_NAME)] | None = Field(
        default=None,
        description="Of a split: send all requests with the same `client_address`, or with the same value of a claim (`claim:sub`), to the same "
        "cluster. A request whose token does not have the claim gets a cluster of its own. Default: each request by itself.",
    )
    claim: ClaimPath | None = Field(
        default=None,
        description="Exact name of the claim whose text chooses the cluster, or a list for a claim inside claims. A dot is part of a name.",
    )
    clusters: Annotated[dict[ClaimText, Label], Field(min_length=1, max_length=10_000), Words("claim: label")] | None = Field(
        default=None,
        description="The cluster for each text of the claim, compared exactly: `{acme: eu, globex: us}`.",
    )  # fmt: skip
    default: Label | None = Field(
        default=None,
        validate_default=True,
        description="The cluster for tokens whose claim is missing, is no text, or is not in `clusters`. Default: lbjwt refuses them with 403.",
    )

    @field_validator("split")
    @classmethod
    def _some_weight(cls, split: dict[str, int] | None) -> dict[str, int] | None:
        if split is not None and not any(split.values()):
            raise ValueError("every weight is 0, so no cluster would get a request; raise one")
        return split

    @field_validator("by")
    @classmethod
    def _known_key(cls, by: str | None) -> str | None:
        return by if by is None else _key(by)

    @field_validator("default")
    @classmethod
    def _one_form(cls, default: str | None, info: ValidationInfo) -> str | None:
        split, claim, clusters = (given(info, key) for key in ("split", "claim", "clusters"))
        if split and (claim or clusters or default is not None):
            raise across("give split, or claim and clusters, not both")
        if not split and given(info, "by"):
            raise across(
                "by has no effect without split; to choose by a claim, give claim and clusters", "by", at_key=True
            )
        if not split and not (claim and clusters):
            raise across("give split, such as {api: 95, canary: 5}, or claim and clusters")
        return default

    @property
    def labels(self) -> tuple[str, ...]:
        """Every cluster that a request may go to, each once."""
        if self.split is not None:
            return tuple(self.split)
        named = [*(self.clusters or {}).values(), *([self.default] if self.default is not None else [])]
        return tuple(dict.fromkeys(named))

    @property
    def places(self) -> Iterator[tuple[tuple[str, ...], str]]:
        """Each label with the path of the value or key that names it."""
        yield from ((("split", label), label) for label in self.split or {})
        yield from ((("clusters", text), label) for text, label in (self.clusters or {}).items())
        if self.default is not None:
            yield ("default",), self.default

    @property
    def by_claim(self) -> tuple[str, ...] | None:
        """The path of the claim that a split goes by."""
        return (self.by.removeprefix(CLAIM),) if self.by is not None and self.by.startswith(CLAIM) else None

    @property
    def by_address(self) -> bool:
        return self.by == ADDRESS


def _cluster(value: Any, info: ValidationInfo) -> Any:
    """Tell the label from the mapping, so that an error is about the one that was meant."""
    if isinstance(value, Mapping):
        return ClusterChoice.model_validate(value, context=info.context)
    if value is None or isinstance(value, ClusterChoice):
        return value
    if not isinstance(value, str):
        raise ValueError("must be the label of a cluster, or a mapping such as {split: {api: 95, canary: 5}}")
    return LABEL.check(value)


ClusterOrChoice = Annotated[Label | ClusterChoice, BeforeValidator(_cluster), Words("label, or mapping")]
