"""Measurements against the proxies people run today, and the bars the project holds itself to: ``python -m bench``."""
