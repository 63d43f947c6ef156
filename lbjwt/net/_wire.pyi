"""Sending on an asyncio transport without its detour: see the comments of the Cython source."""

from typing_extensions import disjoint_base

@disjoint_base
class Wire:
    """One TCP or Unix connection seen from its protocol. Everything it does is called from Cython only."""
