"""Routing: from host, path and method to the one route that decides a request, and to the one path that is forwarded."""
