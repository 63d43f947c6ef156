"""Configurations of other products as configurations of lbjwt."""

from typing import Final

KINDS: Final = {"nginx": "NGINX", "envoy": "Envoy", "haproxy": "HAProxy", "alb": "AWS Application Load Balancer"}
"""What can be imported: the module of each reader, and the name of its product."""
