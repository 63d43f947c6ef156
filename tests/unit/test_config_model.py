"""The model: defaults as written down, values from text and from Python, and that nothing changes afterwards."""

import contextlib
import pickle
from collections.abc import Iterator
from ipaddress import ip_network
from pathlib import Path

import pytest
from pydantic import ValidationError

from lbjwt.address import Address
from lbjwt.auth.identity import fold_header_name
from lbjwt.config.balancing import Balancing
from lbjwt.config.fields import ALGORITHMS, Source
from lbjwt.config.load import load_file, load_text
from lbjwt.config.model import Cluster, Configuration, Endpoint, Issuer, Limits, Listener, Timeouts, TokenCache
from lbjwt.config.problems import ConfigurationError
from lbjwt.config.remote import Discovery, RemoteJwks, RemoteKeys
from lbjwt.config.route import Require
from lbjwt.config.rule import RouteRule, Rule
from lbjwt.config.section import Section

EXAMPLES = Path("examples")
KIB, MIB = 1024, 1024 * 1024


def test_the_minimal_example_has_the_defaults_of_the_house():
    """Keys that are left out have the values that docs/design/house.md promises."""
    configuration = load_file(EXAMPLES / "minimal.yaml")
    issuer, cluster = configuration.issuers["main"], configuration.clusters["main"]
    assert (issuer.issuer, issuer.audiences, issuer.algorithms) == ("https://issuer.example", ("api",), None)
    assert issuer.jwks_file == Path("examples/jwks.json").absolute()
    assert (issuer.clock_skew, issuer.require_expiration, issuer.required_claims, issuer.max_lifetime) == (
        60.0,
        True,
        (),
        None,
    )
    assert (issuer.typ, issuer.required_scopes, issuer.allow_padding, issuer.any_issuer, issuer.any_audience) == (
        None,
        (),
        False,
        False,
        False,
    )
    assert (cluster.connect_timeout, cluster.response_timeout, cluster.idle_timeout) == (2.0, 15.0, 30.0)
    assert (cluster.max_idle_connections, cluster.max_connections, cluster.retries) == (None, 1024, 1)
    assert cluster.endpoints[0] == Endpoint(address=Address("127.0.0.1", 9001), weight=1)
    assert configuration.token_cache == TokenCache(max_bytes=64 * MIB, max_entries=1_000_000)
    assert configuration.limits == Limits(
        max_request_line=8 * KIB, max_request_head=32 * KIB, max_request_fields=100, max_request_body=None, max_response_head=64 * KIB,
        max_response_fields=200, max_identity_header=4 * KIB, max_identity_headers=8 * KIB, max_token=8 * KIB, max_connections=16384,
        max_waiting=100, max_requests_per_connection=0,
    )  # fmt: skip
    assert configuration.timeouts == Timeouts(
        request_head=10.0, keep_alive=60.0, stream_idle=300.0, tls_handshake=10.0, drain=30.0
    )
    assert (configuration.forward_token, configuration.realm, configuration.trusted_proxies) == (True, "lbjwt", ())
    assert (configuration.header_names, configuration.allow_websocket, configuration.workers) == ("drop", True, 1)
    assert (configuration.admin, configuration.access_log, configuration.claim_to_headers) == (None, None, ())


def sections_of(value: object) -> Iterator[Section]:
    """Every mapping of a configuration, itself included."""
    match value:
        case Section():
            yield value
            for name in type(value).model_fields:
                yield from sections_of(getattr(value, name))
        case tuple():
            for item in value:
                yield from sections_of(item)
        case dict():
            yield from sections_of(tuple(value.values()))


def test_the_full_example_sets_every_key():
    """No key of the model is missing in the example that claims to show all, and every mapping is there."""
    configuration = load_file(EXAMPLES / "full.yaml")
    said: dict[type[Section], set[str]] = {}
    for section in sections_of(configuration):
        said.setdefault(type(section), set()).update(section.model_fields_set)
    said[RemoteJwks] |= said[Discovery]
    said[Discovery] |= said[RemoteJwks]
    said[RemoteKeys] |= said[RemoteJwks]
    said[Rule] |= said[RouteRule]
    said[RouteRule] |= said[Rule]
    exclusive = {
        Issuer: {
            "jwks_file",
            "pem_file",
            "pem",
            "secret_file",
            "secret_files",
            "secret_env",
            "any_issuer",
            "any_audience",
        },
        Require: {"issuer"},
        Balancing: {"cookie"},
    }
    for section, keys in said.items():
        assert set(section.model_fields) - keys == exclusive.get(section, set()), section
    names = {section.__name__ for section in said} | {"FromParam"}  # a token in a query would be a warning
    assert set(Configuration.model_json_schema()["$defs"]) == names - {"Configuration"}
    assert configuration.trusted_proxies == (ip_network("10.0.0.0/8"), ip_network("fd00::/8"))
    assert configuration.workers == "auto"


def test_python_may_give_numbers():
    """Numbers from Python are seconds and bytes; only text must carry a unit."""
    issuer = Issuer(issuer="i", audiences=("a",), jwks_file=Path("k"), clock_skew=5, max_lifetime=3600)
    assert (issuer.clock_skew, issuer.max_lifetime, issuer.jwks_file) == (5.0, 3600.0, Path("k"))
    configuration = Configuration(
        listeners=(Listener(address=Address("127.0.0.1", 0)),),
        issuers={"main": issuer},
        clusters={"main": Cluster(endpoints=(Endpoint(address=Address("127.0.0.1", 9001)),))},
    )
    assert configuration.listeners[0].address.port == 0


def test_a_configuration_does_not_change():
    """What was checked is what is used."""
    configuration = load_file(EXAMPLES / "minimal.yaml")
    with pytest.raises(ValidationError):
        configuration.realm = "other"


def test_a_configuration_travels_to_another_process():
    """Pickling keeps it equal."""
    configuration = load_file(EXAMPLES / "full.yaml")
    assert pickle.loads(pickle.dumps(configuration)) == configuration  # noqa: S301


def test_file_names_are_relative_to_the_source():
    """Relative names, of sockets too, are resolved against the directory of the file; absolute ones and - stay."""
    text = (
        (EXAMPLES / "minimal.yaml")
        .read_text()
        .replace("jwks.json", "../keys/jwks.json")
        .replace("127.0.0.1:9002", "unix:app.sock")
    )
    text += "access_log: {path: logs/access.log}\n"
    configuration = load_text(text, Path("/etc/lbjwt"))
    assert configuration.issuers["main"].jwks_file == Path("/etc/keys/jwks.json")
    assert configuration.clusters["main"].endpoints[1].address == Address(path="/etc/lbjwt/app.sock")
    assert configuration.access_log is not None
    assert configuration.access_log.path == "/etc/lbjwt/logs/access.log"
    assert load_text(text.replace("logs/access.log", '"-"'), Path("/etc")).access_log.path == "-"


@pytest.mark.parametrize("section", ["issuers", "clusters"])
def test_at_least_one_issuer_and_one_cluster(section: str):
    """None is refused in words that tell what is needed."""
    text = (EXAMPLES / "minimal.yaml").read_text()
    none = (
        text[: text.index(f"{section}:")]
        + f"{section}: {{}}\n"
        + (text[text.index("clusters:") :] if section == "issuers" else "")
    )
    with pytest.raises(ConfigurationError, match=f"{section}: needs an? {section[:-1]} with a label"):
        load_text(none, Path("/"))


@pytest.mark.parametrize(
    ("routes", "problem"),
    [
        ("", "routes: there are several clusters, but no routes that choose among them"),
        ("routes: [{name: all}]", r"routes\[0\]: there are several clusters: add the cluster of all"),
        ("routes: [{name: all, cluster: third}]", r"routes\[0\].cluster: there is no cluster third"),
        ("routes: [{name: all, cluster: other}]", ""),
    ],
)
def test_each_route_has_one_of_several_clusters(routes: str, problem: str):
    """With two clusters, each route names the one that serves it."""
    text = (EXAMPLES / "minimal.yaml").read_text()
    block = text[text.index("  main:", text.index("clusters:")) :].replace("main", "other")
    with pytest.raises(ConfigurationError, match=problem) if problem else contextlib.nullcontext():
        load_text(f"{text}{block}{routes}\n", Path("/"))


def test_a_secret_is_for_hmac_only_and_says_which():
    """The three HMAC algorithms go with a secret; a secret without algorithms is refused."""
    for algorithm in ALGORITHMS:
        document = {"issuer": "i", "audiences": ["a"], "secret_file": "s", "algorithms": [algorithm]}
        if algorithm.startswith("HS"):
            assert Issuer.model_validate(document, context=Source(Path("/"))).algorithms == (algorithm,)
        else:
            with pytest.raises(ValidationError, match="every algorithm must be HS256"):
                Issuer.model_validate(document)
    with pytest.raises(ValidationError, match="secret_file needs algorithms"):
        Issuer.model_validate({"issuer": "i", "audiences": ["a"], "secret_file": "s"})


@pytest.mark.parametrize(
    ("name", "folded"), [("X-Jwt-Sub", "x-jwt-sub"), ("x_jwt.sub", "x-jwt-sub"), ("X!JWT~SUB", "x-jwt-sub")]
)
def test_header_names_fold_like_careless_backends_fold_them(name: str, folded: str):
    """CVE-2025-64484 and CVE-2026-88011: underscores and dots become hyphens somewhere."""
    assert fold_header_name(name) == folded


@pytest.mark.parametrize("content", [b"\xff\xfe", b"realm: \xc3", b"\x00"])
def test_files_that_are_no_text_are_problems(tmp_path: Path, content: bytes):
    """A wrong encoding has a place, too."""
    file = tmp_path / "lbjwt.yaml"
    file.write_bytes(content)
    with pytest.raises(ConfigurationError, match=r"lbjwt\.yaml:1:\d+: not (UTF-8|YAML)"):
        load_file(file)


def test_files_that_cannot_be_read_are_problems(tmp_path: Path):
    """A missing file and a directory are told, not raised as something else."""
    for path in (tmp_path / "none.yaml", tmp_path):
        with pytest.raises(ConfigurationError, match="cannot be read"):
            load_file(path)


def test_a_byte_order_mark_is_no_part_of_the_file(tmp_path: Path):
    """Editors of another system write one."""
    file = tmp_path / "lbjwt.yaml"
    file.write_bytes(b"\xef\xbb\xbf" + (EXAMPLES / "minimal.yaml").read_bytes())
    assert load_file(file).realm == "lbjwt"
