"""Configurations of the measured proxies, the order they take, the cores they get, the tokens they are shown."""

from __future__ import annotations

import json
import time

import jwt
import pytest
from ruamel.yaml import YAML

from bench import tokens
from bench.__main__ import turned
from bench.cases import CASES
from bench.certificate import self_signed
from bench.child import BenchError
from bench.client import prove, tampered
from bench.layout import Layout, layout
from bench.measure import agree, remembered
from bench.peers import PEERS, Setup
from lbjwt import load_config
from tests.harness.ports import free_port


@pytest.fixture(scope="module")
def material(tmp_path_factory):
    """A handful of ES256 tokens."""
    return tokens.material(tmp_path_factory.mktemp("tokens"), "ES256", count=3)


def test_tokens_are_different_and_valid(material):
    """Every token of the rotation passes an independent check with the published key, and no two are alike."""
    key = jwt.PyJWK(json.loads(material.jwks.read_text())["keys"][0])
    lines = material.rotation.read_text().split()
    subjects = {jwt.decode(line, key, issuer=tokens.ISSUER, audience=tokens.AUDIENCE)["sub"] for line in lines}
    assert len(subjects) == len(lines) == 3


def test_bad_tokens_are_bad_for_the_reason_they_say(material):
    """The expired one is only expired, the forged and the tampered one only wrongly signed."""
    key = jwt.PyJWK(json.loads(material.jwks.read_text())["keys"][0])
    checks = {"issuer": tokens.ISSUER, "audience": tokens.AUDIENCE}
    with pytest.raises(jwt.ExpiredSignatureError):
        jwt.decode(material.expired, key, **checks)
    for token in (material.forged, tampered(material.token)):
        with pytest.raises(jwt.InvalidSignatureError):
            jwt.decode(token, key, **checks)


def test_stored_tokens_are_used_again_until_they_grow_old(tmp_path):
    """A set is kept while it outlives a run, and made anew after that."""
    first = tokens.material(tmp_path, "ES256", count=1).token
    assert tokens.material(tmp_path, "ES256", count=1).token == first
    notes = next(tmp_path.rglob("notes.json"))
    notes.write_text(json.dumps({**json.loads(notes.read_text()), "expires": time.time() + 60}))
    assert tokens.material(tmp_path, "ES256", count=1).token != first


def test_no_private_key_is_stored(material):
    """Neither the JWKS nor any other file beside it holds a private part."""
    assert "d" not in json.loads(material.jwks.read_text())["keys"][0]
    assert not any(b"PRIVATE" in path.read_bytes() for path in material.jwks.parent.iterdir())


@pytest.mark.parametrize(
    "name",
    [
        "nginx",
        "haproxy",
        "haproxy-jwt",
        "haproxy-jwt-full",
        "envoy",
        "envoy-jwt",
        "lbjwt",
        "lbjwt-nocache",
        "nginx-lbjwt",
        "nginx-lbjwt-close",
        "haproxy-lbjwt",
        "envoy-lbjwt",
        "envoy-lbjwt-grpc",
    ],
)
def test_a_configuration_names_its_ports_and_key(name, material, tmp_path):
    """Each proxy is told where to listen, whom to forward to and, when it verifies or has lbjwt verify, which key to believe."""
    peer, setup = PEERS[name], Setup(18001, 18002, tmp_path, material, admin_port=18003, asked_port=18004)
    peer.command(setup)
    files = {path.name: path.read_text() for path in tmp_path.iterdir()}
    if peer.asked is not None:
        peer.asked(setup)
        assert load_config(tmp_path / "lbjwt.yaml").listeners[0].address.port == 18004
    assert "18001" in "".join(files.values())
    assert "18002" in "".join(files.values())
    assert ("18004" in "".join(files.values())) == (peer.asked is not None)
    text = "".join(path.read_text() for path in tmp_path.iterdir())
    key_is_named = str(material.jwks) in text or str(material.pem) in text
    assert key_is_named == peer.verifies


def test_an_example_that_has_changed_is_no_peer(material, tmp_path, monkeypatch):
    """A change for the benchmark that has no effect would measure something else."""
    monkeypatch.setattr("bench.peers.beside.EXAMPLES", tmp_path)
    (tmp_path / "nginx.conf").write_text("events {}\nevents {}\n")
    with pytest.raises(BenchError, match="2 times"):
        PEERS["nginx-lbjwt"].command(Setup(18001, 18002, tmp_path, material))


def test_the_configuration_of_lbjwt_is_yaml(material, tmp_path):
    """The cache is off where every token must be new, and on otherwise."""
    for name, entries in (("lbjwt", None), ("lbjwt-nocache", 0)):
        PEERS[name].command(Setup(18001, 18002, tmp_path, material))
        configuration = YAML(typ="safe").load((tmp_path / "lbjwt.yaml").read_text())
        assert configuration["token_cache"].get("max_entries") == entries


def test_each_peer_comes_first_in_some_round():
    """The order turns, so that no proxy always has the same neighbour before it."""
    orders = [turned(("a", "b", "c"), number) for number in range(4)]
    assert orders == [("a", "b", "c"), ("b", "c", "a"), ("c", "a", "b"), ("a", "b", "c")]


def test_proxy_and_load_never_share_a_core():
    """The proxy has its core alone; two workers get two where there are four."""
    assert layout([0, 1]) == Layout((0,), (1,), scales=False)
    assert layout([0, 1], workers=True) == Layout((0,), (1,), scales=False)
    assert layout([0, 1, 2, 3]) == Layout((0,), (2, 3), scales=True)
    assert layout([0, 1, 2, 3], workers=True) == Layout((0, 1), (2, 3), scales=True)
    with pytest.raises(BenchError, match="two cores"):
        layout([0])


def test_a_proxy_that_does_not_answer_proves_nothing(material):
    """A port nobody listens on is an error with a sentence, not a figure."""
    with pytest.raises(BenchError, match="no answer"):
        prove(free_port(), material, verifies=True, tls=False)


def test_a_cache_must_have_been_what_it_is_said_to_be():
    """A single hit spoils a run without a cache; more misses than tokens, or counts that do not move, spoil any other."""
    remembered(True, 1000, 1200, 6, most_misses=6)
    remembered(False, 1000, 0, 1200, most_misses=6)
    with pytest.raises(BenchError, match="1 tokens were found in a cache that is switched off"):
        remembered(False, 1000, 1, 1200, most_misses=6)
    with pytest.raises(BenchError, match="7 tokens were not found in the cache"):
        remembered(True, 1000, 1200, 7, most_misses=6)
    with pytest.raises(BenchError, match="0 hits and 0 misses"):
        remembered(False, 1000, 0, 0, most_misses=6)


def test_the_backend_must_have_counted_what_wrk_counted():
    """Answers the backend never gave spoil a run; what was in flight when wrk stopped does not."""
    hot, refusal = CASES["hot"], CASES["refusal"]
    agree(hot, 1000, 1064)
    agree(refusal, 1000, 0)
    for case, asked, answered in ((hot, 1000, 999), (hot, 1000, 1065), (refusal, 1000, 1)):
        with pytest.raises(BenchError):
            agree(case, asked, answered)


@pytest.mark.parametrize(
    ("name", "word"), [("haproxy", "proto h2"), ("envoy-jwt", "http2_protocol_options"), ("lbjwt", '"http2"')]
)
def test_http2_to_the_backend_is_asked_for_where_the_case_has_it(name, word, material, tmp_path):
    """A proxy that kept to HTTP/1.1 there would measure something else."""
    for http2_backend in (False, True):
        PEERS[name].command(Setup(18001, 18002, tmp_path, material, http2_backend=http2_backend))
        text = "".join(path.read_text() for path in tmp_path.iterdir())
        assert (word in text) == http2_backend


@pytest.mark.parametrize(
    ("name", "word"), [("haproxy", "alpn h2,"), ("nginx", "ssl http2"), ("envoy-jwt", '["h2", "http/1.1"]')]
)
def test_every_listener_with_tls_offers_http2(name, word, material, tmp_path):
    """As that of lbjwt does by default. wrk does not ask for it."""
    PEERS[name].command(Setup(18001, 18002, tmp_path, material, tls=self_signed(tmp_path)))
    assert word in "".join(path.read_text() for path in tmp_path.iterdir() if path.suffix in (".cfg", ".conf", ".json"))


def test_requests_in_flight_at_the_end_are_those_of_all_streams():
    """10 connections with 10 streams have 100 at a time."""
    case = CASES["h2-10x10"]
    agree(case, 1000, 1100)
    with pytest.raises(BenchError):
        agree(case, 1000, 1101)
