"""Configuration files that are broken for certain: each differs from a good one in one way that no reader may accept."""

from __future__ import annotations

import json
import random
import shutil
import socket
from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.proof.certificate_replaced import new_pair
from bench.proof.reloadscene import Document, write_file

NAMES = ("issuers", "clusters")  # sections whose keys are the user's: another name is no mistake there

VALUES: dict[tuple[str | int, ...], list[Any]] = {
    ("listeners",): [[], "everywhere", [{"address": "127.0.0.1"}], [{}]],
    ("listeners", 0, "address"): ["127.0.0.1:70000", "nowhere", "[::1:80", "192.0.2.1:8080", ":-1", ""],
    ("issuers",): [{}, []],
    ("issuers", "main", "issuer"): ["", None, 7],
    ("issuers", "main", "audiences"): [[], [""], None],
    ("issuers", "main", "algorithms"): [["none"], ["RS257"], []],
    ("issuers", "main", "clock_skew"): ["1 parsec", -1, "10h", "s"],
    ("issuers", "main", "remote_jwks"): [{"uri": "https://issuer.test/keys"}, {}],
    ("clusters",): [{}, {"main": {}}],
    ("clusters", "main", "endpoints"): [[], [{"address": "127.0.0.1:99999"}], [{"address": "/app"}], "127.0.0.1:9001"],
    ("clusters", "main", "endpoints", 0, "weight"): [1.5, -3, 1e9, "much"],
    ("clusters", "main", "retries"): [-1, 1.5, "never"],
    ("clusters", "main", "connect_timeout"): [-1, "soon", "0s"],
    ("routes", 0, "cluster"): ["no-such-cluster", "", 3],
    ("routes", 0, "prefix"): ["no-slash", "/a/../b", "/%zz"],
    ("routes", 0, "require"): [{"issuer": "nobody"}, {"any_of": []}, {"all_of": ["main", "nobody"]}],
    ("routes", 0, "methods"): [["GE T"], "GET "],
    ("routes", 0, "rules"): [[{"claim": "a"}], [{"claim": "a", "equals": 1, "prefix": "x"}], [{"equals": 1}]],
    ("claim_to_headers", 0, "header"): ["Host", "A B", "Content-Length", ""],
    ("trusted_proxies",): [["300.0.0.0/8"], ["localhost"], "all"],
    ("limits",): [{"max_request_head": "32 KB of it"}, {"max_request_fields": -1}, {"max_tokens": 7}],
    ("timeouts",): [{"drain": "-1s"}, {"keep_alive": "never"}, {"idle": "1s"}],
    ("forwarded_headers",): ["x-forwarded-for", "yes"],
    ("no_such_key",): [1, None],
}
"""Key path: values that are wrong there."""

TEXTS: dict[str, Callable[[str], str | bytes]] = {
    "empty": lambda good: "",
    "a scalar": lambda good: "42\n",
    "a list": lambda good: f"[{good}]",
    "two documents": lambda good: f"{good}\n---\n{good}",
    "a tab as indentation": lambda good: "listeners:\n\t- address: 127.0.0.1:1\n",
    "a key twice": lambda good: good.rstrip()[:-1] + ', "listeners": []}',
    "a tag": lambda good: "!!python/object:os.system\n" + good,
    "NUL": lambda good: good.replace(":", ":\0", 1),
    "not UTF-8": lambda good: good.encode().replace(b"127", b"\xff\xfe", 1),
    "an unknown anchor": lambda good: "realm: *nowhere\n",
    "HTML": lambda good: "<!doctype html><title>404</title>",
    "a conflict of a merge": lambda good: f"<<<<<<< HEAD\n{good}\n=======\n{good}\n>>>>>>> theirs\n",
    "deep": lambda good: "[" * 300 + "]" * 300,
    "noise": lambda good: bytes(range(128, 256)) * 20,
}


@dataclass(frozen=True, slots=True)
class Breakage:
    """One broken state of the configuration file."""

    name: str
    apply: Callable[[Path], object]


def clear(path: Path) -> None:
    """Take away whatever is at the path."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def in_its_place(make: Callable[[Path], object]) -> Callable[[Path], None]:
    """Take away what is at a path and make something else there."""

    def apply(path: Path) -> None:
        clear(path)
        make(path)

    return apply


class Breaker:
    """
    Endless breakages of one good document.

    Args:
        directory: For key sets, certificates and the like that are broken.
        taken: A port somebody else listens on.
    """

    def __init__(self, document: Document, directory: Path, taken: int, seed: int = 1) -> None:
        self.document = document
        self.directory = directory
        self.taken = taken
        self.random = random.Random(seed)
        self.good = json.dumps(document)

    def __iter__(self) -> Iterator[Breakage]:
        """Kinds in turn, each in all its forms."""
        kinds = [self._values(), self._texts(), self._cuts(), self._unknown_keys(), self._types(), self._files()]
        while True:
            for kind in kinds:
                yield next(kind)

    def _document(self, name: str, change: Callable[[Document], object]) -> Breakage:
        document = deepcopy(self.document)
        change(document)
        text = json.dumps(document)
        return Breakage(name, lambda path: write_file(path, text))

    def _values(self) -> Iterator[Breakage]:
        while True:
            for place, values in VALUES.items():
                for value in values:
                    yield self._document(f"{place} = {value!r}", lambda d, p=place, v=value: put(d, p, v))  # type: ignore[misc]

    def _texts(self) -> Iterator[Breakage]:
        while True:
            for name, change in TEXTS.items():
                content = change(self.good)
                yield Breakage(name, lambda path, content=content: write_file(path, content))  # type: ignore[misc]

    def _cuts(self) -> Iterator[Breakage]:
        while True:
            size = self.random.randrange(1, len(self.good) - 1)
            yield Breakage(
                f"cut after {size} bytes",
                lambda path, size=size: write_file(path, self.good[:size]),  # type: ignore[misc]
            )

    def _unknown_keys(self) -> Iterator[Breakage]:
        places = [place for place in paths(self.document) if isinstance(place[-1], str) and place[-2:-1] not in NAMED]
        while True:
            place = self.random.choice(places)
            yield self._document(f"{place} misspelt", lambda d, p=place: misspell(d, p))  # type: ignore[misc]

    def _types(self) -> Iterator[Breakage]:
        leaves = [place for place in paths(self.document) if not isinstance(get(self.document, place), dict | list)]
        while True:
            place = self.random.choice(leaves)
            wrong = self.random.choice([{"x": 1}, [[]], {}])
            yield self._document(f"{place} = {wrong!r}", lambda d, p=place, w=wrong: put(d, p, w))  # type: ignore[misc]

    def _files(self) -> Iterator[Breakage]:
        """What the configuration names is missing, is something else, or belongs to somebody else; and the file itself."""
        broken = self.directory
        keys = ("issuers", "main", "jwks_file")
        (broken / "directory").mkdir(exist_ok=True)
        (broken / "empty.json").write_bytes(b"")
        (broken / "page.json").write_text("<html>sorry</html>")
        (broken / "none.json").write_text('{"keys": []}')
        (broken / "secret.json").write_text('{"keys": [{"kty": "oct", "k": "c2VjcmV0"}]}')
        one, other = new_pair(), new_pair()
        (broken / "cert.pem").write_bytes(one[0])
        for name, content in (("key.pem", one[1]), ("other.pem", other[1]), ("half.pem", one[1][:80])):
            (broken / name).touch(mode=0o600)
            (broken / name).write_bytes(content)
        address = self.document["listeners"][0]["address"]
        while True:
            for name in ("missing.json", "directory", "empty.json", "page.json", "none.json", "secret.json"):
                yield self._document(f"key set {name}", lambda d, n=name: put(d, keys, str(broken / n)))  # type: ignore[misc]
            for certificate, key in (
                ("cert.pem", "missing.pem"),
                ("missing.pem", "key.pem"),
                ("cert.pem", "other.pem"),
                ("cert.pem", "half.pem"),
                ("key.pem", "key.pem"),
                ("page.json", "key.pem"),
            ):
                tls = {"certificate": str(broken / certificate), "private_key": str(broken / key)}
                yield self._document(
                    f"TLS with {certificate} and {key}",
                    lambda d, tls=tls: put(d, ("listeners", 0), {"address": address, "tls": tls}),  # type: ignore[misc]
                )
            yield self._document(
                "a port in use",
                lambda d: d["listeners"].append({"address": f"127.0.0.1:{self.taken}"}),
            )
            yield self._document(
                "an access log nowhere",
                lambda d: d.update(access_log={"path": str(broken / "no" / "such" / "access.log")}),
            )
            yield Breakage("deleted", clear)
            yield Breakage("a directory", in_its_place(Path.mkdir))
            yield Breakage("a link to nowhere", in_its_place(lambda path: path.symlink_to(broken / "nowhere")))
            yield Breakage("a link to itself", in_its_place(lambda path: path.symlink_to(path)))


NAMED = tuple((name,) for name in NAMES)


def paths(value: Any, place: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    """Every key path in a document."""
    found: list[tuple[str | int, ...]] = [place] if place else []
    if isinstance(value, dict):
        for key, inner in value.items():
            found += paths(inner, (*place, key))
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            found += paths(inner, (*place, number))
    return found


def get(document: Document, place: tuple[str | int, ...]) -> Any:
    """The value at a key path."""
    value: Any = document
    for step in place:
        value = value[step]
    return value


def put(document: Document, place: tuple[str | int, ...], value: object) -> None:
    """Set the value at a key path."""
    get(document, place[:-1])[place[-1]] = value


def misspell(document: Document, place: tuple[str | int, ...]) -> None:
    """Add a letter to the key at the end of a path."""
    section = get(document, place[:-1])
    section[f"{place[-1]}x"] = section.pop(place[-1])


def taken_port() -> socket.socket:
    """A listening socket of our own."""
    return socket.create_server(("127.0.0.1", 0))
