"""The log of a key source: what goes wrong is said once, not once an attempt, and its end is said too."""

import logging
from typing import Final

__all__ = ["Complaints"]

MOST_WARNINGS: Final = 10
"""Lines about one document: an issuer that publishes a hundred odd keys does not write our log."""

log = logging.getLogger("lbjwt.jwks")


class Complaints:
    """
    What is wrong with one source at the moment.

    Args:
        place: What messages call the source.
    """

    def __init__(self, place: str) -> None:
        self._place = place
        self._sentence = ""

    @property
    def pending(self) -> bool:
        """Something was wrong the last time."""
        return bool(self._sentence)

    def complain(self, sentence: str, *, in_force: bool) -> None:
        """The source gave nothing. `in_force`: it did before, and those keys stay."""
        if sentence == self._sentence:
            return
        self._sentence = sentence
        missing, meanwhile = (
            ("no new keys", "the keys in force stay")
            if in_force
            else ("no keys", "requests are answered with 503 until there are some")
        )
        log.warning(
            "%s%s: %s; %s", missing, "" if self._place in sentence else f" from {self._place}", sentence, meanwhile
        )

    def withdrawn(self, max_stale: float) -> None:
        """The keys became too old to be believed."""
        log.error(
            "the keys from %s were not confirmed for %g s and are withdrawn; requests are answered with 503 until there are some",
            self._place,
            max_stale,
        )

    def mended(self) -> None:
        """The source gave keys."""
        if self._sentence:
            log.info("the keys from %s can be read again", self._place)
            self._sentence = ""

    def warn(self, warnings: tuple[str, ...]) -> None:
        """Keys of a new document that were left out."""
        for warning in warnings[:MOST_WARNINGS]:
            log.warning("keys from %s: %s", self._place, warning)
        if len(warnings) > MOST_WARNINGS:
            log.warning("keys from %s: and %d more such", self._place, len(warnings) - MOST_WARNINGS)
