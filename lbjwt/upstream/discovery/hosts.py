"""The file /etc/hosts: names in it are never asked of a name server."""

import ipaddress
from pathlib import Path
from typing import Final

from lbjwt.files import read_regular, signature_of

PATH: Final = Path("/etc/hosts")

MAX_BYTES: Final = 4 << 20
"""Of the file; what comes after is not read. Lists of blocked advertisers have 2 MiB."""


class Hosts:
    """The names of one file, read again when it changed."""

    def __init__(self, path: Path = PATH) -> None:
        self._path = path
        self._seen: object = None
        self._names: dict[str, tuple[str, ...]] = {}

    def addresses(self, name: str) -> tuple[str, ...]:
        """The addresses of a name, in the order of the file; () when it has none there."""
        try:
            seen: object = signature_of(self._path.stat())
        except OSError:
            seen = None
        if seen != self._seen:
            self._seen = seen
            self._names = self._read() if seen is not None else {}
        return self._names.get(name.lower().rstrip("."), ())

    def _read(self) -> dict[str, tuple[str, ...]]:
        try:
            content, _ = read_regular(self._path, MAX_BYTES)
        except OSError:
            return {}
        return names_in(content.decode("utf-8", "replace"))


def names_in(text: str) -> dict[str, tuple[str, ...]]:
    """Every name of a hosts(5) file, in lower case, with its addresses."""
    found: dict[str, dict[str, None]] = {}
    for line in text.splitlines():
        address, *names = line.partition("#")[0].split() or [""]
        try:
            address = str(ipaddress.ip_address(address))
        except ValueError:
            continue
        for name in names:
            found.setdefault(name.lower().rstrip("."), {})[address] = None
    return {name: tuple(addresses) for name, addresses in found.items()}
