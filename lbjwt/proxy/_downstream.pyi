"""A client side as an exchange sees it. What per-request code uses stands in `_downstream.pxd`."""

from typing_extensions import disjoint_base

from lbjwt.net._wire import Wire

@disjoint_base
class Downstream(Wire):
    """One request came from here, one response goes there; subclassed in Cython."""
