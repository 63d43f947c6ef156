"""One request and its response: see the table of states in the Cython source. Everything here is called from Cython only."""

from lbjwt.net._wire import Wire

class Downstream(Wire):
    """The client side as an exchange sees it."""

class Upstream(Wire):
    """The endpoint side as an exchange sees it."""

class Exchange:
    """One request and its response."""
