"""One request and its response: see the table of states in the Cython source. Everything here is called from Cython only."""

from typing import final

from typing_extensions import disjoint_base

from lbjwt.net._wire import Wire

@disjoint_base
class Upstream(Wire):
    """The endpoint side as an exchange sees it."""

@final
class Exchange:
    """One request and its response."""
