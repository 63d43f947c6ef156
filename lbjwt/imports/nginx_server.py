"""nginx's servers and locations, and which of them a request gets."""

from dataclasses import dataclass, field

from lbjwt.imports.common import host_of
from lbjwt.imports.findings import Findings
from lbjwt.imports.literals import matches
from lbjwt.imports.matching import Decision, Path
from lbjwt.imports.nginx_file import Directive, Levels
from lbjwt.imports.nginx_jwt import Need


@dataclass(slots=True)
class Location:
    levels: Levels
    kind: str  # =, ^~, "" (prefix), ~
    text: str
    meant: list[tuple[Path, str]]
    target: Decision
    need: Need | None = None
    methods: tuple[str, ...] = ()
    uncertain: bool = False  # it means less than `meant`, and counts only where requests would pass otherwise

    def covers(self, path: str) -> bool:
        """Whether nginx may pick it. nginx redirects a path that lacks the slash at the end of a prefix; lbjwt lets it pass as the target would."""
        if self.kind in ("=", "~"):
            return path == self.text if self.kind == "=" else matches(self.meant, path)
        return path.startswith(self.text) or path + "/" == self.text


@dataclass(slots=True)
class Server:
    block: Directive
    listens: list[tuple[str, tuple[str, ...]]]
    names: list[str]
    default: bool = False
    has_patterns: bool = False
    locations: list[Location] = field(default_factory=list)

    @property
    def addresses(self) -> set[str]:
        return {address for address, _ in self.listens}

    @property
    def redirects(self) -> bool:
        """It only sends clients elsewhere."""
        answers = [self.block, *self.block.all("location")]
        return any(_is_redirect(one.first("return")) for one in answers) and not any(
            one.first("proxy_pass", "grpc_pass") for one in answers
        )


def read_server(block: Directive, findings: Findings) -> Server:
    listens: list[tuple[str, tuple[str, ...]]] = []
    for one in block.all("listen"):
        address = _listen_address(one.args[0])
        if address is None:
            findings.left_out(one.place, f"{one}; lbjwt listens on HOST:PORT")
            continue
        if "proxy_protocol" in one.args:
            findings.left_out(
                one.place, "proxy_protocol; lbjwt takes the client's address from X-Forwarded-For of trusted_proxies"
            )
        if address not in [other for other, _ in listens]:
            listens.append((address, one.args[1:]))
    names: list[str] = []
    patterns = False
    for one in block.all("server_name"):
        for name in one.args:
            if name.startswith("."):
                names += [name[1:], f"*{name}"]
            elif name in ("_", "", "localhost", "$hostname"):
                names += ["localhost"] if name == "localhost" else []
            elif (host := host_of(name, findings, one.place)) is not None:
                names.append(host)
            else:
                patterns = True
    default = any("default_server" in options or "default" in options for _, options in listens)
    return Server(block, listens or [(":80", ())], names, default, patterns)


def _listen_address(text: str) -> str | None:
    if text.startswith("unix:"):
        return None
    if text.isdigit():
        return f":{text}"
    host, colon, port = text.rpartition(":")
    if not colon or text.endswith("]"):
        host, port = text, "80"
    return f":{port}" if host in ("*", "0.0.0.0", "[::]") else f"{host}:{port}"


def _is_redirect(answer: Directive | None) -> bool:
    return answer is not None and (answer.args[0][:1] == "3" or answer.args[0].startswith("http"))


def serving(server: Server, path: str, *, certain: bool = False) -> Location | None:
    """
    The location that nginx picks: an exact one, else the longest prefix, unless a regular expression matches and that prefix is not ``^~``.

    Args:
        certain: Leave out the locations that may mean other paths.
    """
    locations = [one for one in server.locations if not (certain and one.uncertain)]
    exact = next((one for one in locations if one.kind == "=" and one.covers(path)), None)
    if exact is not None:
        return exact
    prefixes = [one for one in locations if one.kind in ("", "^~") and one.covers(path)]
    longest = max(prefixes, key=lambda one: len(one.text), default=None)
    if longest is not None and longest.kind == "^~":
        return longest
    return next((one for one in locations if one.kind == "~" and one.covers(path)), longest)
