"""X-Forwarded-* and Forwarded of a head. Nothing here is for Python: the functions stand in `_forwarded.pxd`."""
