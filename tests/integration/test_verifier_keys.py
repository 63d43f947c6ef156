"""A verifier that keeps its keys: how it begins, what it does about new keys, and that it ends. The issuer is a server on loopback."""

import asyncio
import json
import threading
import time

import pytest

from lbjwt import Configuration, Verifier, load_config
from lbjwt.asgi import JWTMiddleware
from lbjwt.assembly.issuers import issuer_instances, trusted_issuers
from lbjwt.assembly.kept_keys import KeptKeys
from lbjwt.config.values import only_issuer
from lbjwt.errors import ConfigurationError, LbjwtError
from tests.harness.keyserver import Answer, KeyServer
from tests.harness.publisher import Issuer
from tests.harness.waiting import eventually
from tests.unit.encrypted_tokens import encrypt, private_jwk, recipient
from tests.unit.web_calls import acall, asgi_scope, call, telling

SHORT = {"cooldown": 1, "timeout": 30}  # seconds
LONG = {"cooldown": 3600, "timeout": 30}


@pytest.fixture
def issuer():
    with KeyServer() as server:
        yield Issuer(server)


def discovered(issuer, fetch=LONG, **settings):
    return Verifier.discover(issuer.issuer, audiences=[issuer.audience], fetch=fetch, **settings)


def key_threads():
    return [thread for thread in threading.enumerate() if thread.name == "lbjwt-keys"]


def test_the_first_token_waits_for_the_first_keys(issuer):
    """A program need not wait by hand."""
    with discovered(issuer) as verifier:
        assert verifier.verify(issuer.mint()).raise_if_refused().claims["sub"] == "alice"
        assert verifier.verify(issuer.mint(aud="other")).reason.name == "WRONG_AUDIENCE"
        assert verifier.ready()
        assert issuer.fetches == 1
        (status,) = verifier.key_status().values()
        assert (status["state"], status["last_failure"]) == ("fresh", None)
    assert verifier.key_status() == {}


def test_a_key_set_by_its_url(issuer):
    """For issuers without discovery."""
    with Verifier.from_jwks_uri(issuer.jwks_uri, issuer=issuer.issuer, audiences=[issuer.audience]) as verifier:
        assert verifier.ready()
        assert verifier.authorize(f"Bearer {issuer.mint()}".encode())


def test_a_new_key_is_fetched_when_a_token_names_it(issuer):
    """Its token waits for the fetch; after it, another unknown key causes no fetch before the cooldown is over."""
    with discovered(issuer, SHORT) as verifier:
        assert verifier.verify(issuer.mint())
        issuer.publish_next()
        issuer.switch()
        assert eventually(lambda: verifier.verify(issuer.mint()))
        assert issuer.fetches == 2


def test_made_up_keys_cause_no_flood_of_fetches(issuer):
    """Within the cooldown an unknown key is refused at once (THREATS B4)."""
    with discovered(issuer) as verifier:
        assert verifier.ready()
        for number in range(50):
            token = issuer.mint(header={"kid": f"made-up-{number}"})
            assert verifier.verify(token).reason.name == "UNKNOWN_KEY"
        assert issuer.fetches == 1


def test_without_an_answer_there_are_no_keys(issuer):
    """Refused as unavailable, not as a bad token, and accepted when the issuer answers again."""
    issuer.server.answers["*"] = Answer(status=500)
    with discovered(issuer) as verifier:
        assert not verifier.ready()
        assert verifier.verify(issuer.mint()).reason.name == "KEYS_UNAVAILABLE"
        issuer.server.answers.clear()
        assert eventually(verifier.ready)
        assert verifier.verify(issuer.mint())


def test_a_closed_verifier_trusts_no_key(issuer):
    """Its thread has ended, so its keys would grow old unseen. Closing again does nothing."""
    before = key_threads()
    verifier = discovered(issuer)
    assert verifier.ready() and verifier.verify(issuer.mint())
    verifier.close()
    verifier.close()
    assert key_threads() == before
    assert verifier.verify(issuer.mint()).reason.name == "KEYS_UNAVAILABLE"
    assert not verifier.ready()


def test_a_process_that_was_frozen_fetches_first(issuer):
    """By the wall clock the keys are older than two fetches may be apart: `ready` fetches them, though no timer says so."""
    ahead = 0.0
    configuration = only_issuer(issuer.remote(cooldown=1) | {"jwks_file": None})
    instances = issuer_instances(configuration)
    kept = KeptKeys(configuration, instances, lambda: time.time() + ahead)
    kept.start(Verifier.for_issuers(trusted_issuers(configuration, instances)))
    try:

        def fetches():
            fresh = kept.fresh()
            assert fresh if isinstance(fresh, bool) else fresh.result(60)
            return issuer.fetches

        assert (fetches(), fetches()) == (1, 1)
        ahead = 3000.0
        assert fetches() == 1
        ahead = 4000.0
        assert eventually(lambda: fetches() > 1)
    finally:
        kept.close()


def test_in_an_event_loop_nothing_blocks(issuer):
    """`verify` answers at once there, `averify` and the middleware wait without the loop."""

    async def scenario():
        go_on = threading.Event()
        issuer.server.documents[issuer.jwks_path] = lambda: issuer.document() if go_on.wait(60) else b""
        async with asyncio.timeout(60):
            verifier = discovered(issuer)
            token = issuer.mint()
            assert verifier.verify(token).reason.name == "KEYS_UNAVAILABLE"
            asyncio.get_running_loop().call_later(0.2, go_on.set)
            app = JWTMiddleware(telling, verifier)
            scope = asgi_scope(headers=[("authorization", f"Bearer {token}")])
            waited, answered = await asyncio.gather(verifier.averify(token), acall(app, scope))
            assert waited and answered.status == 200
            assert await verifier.aauthorize(f"Bearer {token}".encode())
            assert await verifier.aready()
            await verifier.aclose()
            assert (await verifier.averify(token)).reason.name == "KEYS_UNAVAILABLE"

    asyncio.run(scenario())


def test_the_start_of_an_application_waits_for_keys(issuer):
    """So its first request is not refused."""

    async def started(scope, receive, send):
        assert verifier.keys is not None

    issuer.server.answers["*"] = Answer(wait=0.2, times=2)
    with discovered(issuer) as verifier:
        asyncio.run(acall(JWTMiddleware(started, verifier), {"type": "lifespan", "asgi": {"version": "3.0"}}))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"issuer": "http://issuer.example", "audiences": ["a"]}, "plain http"),
        ({"issuer": "https://issuer.example"}, "audiences"),
        ({"issuer": "https://issuer.example", "audiences": "api"}, "list"),
        ({"issuer": "https://issuer.example", "audiences": ["a"], "any_audience": True}, "any_audience"),
        ({"issuer": "https://issuer.example", "audiences": ["a"], "fetch": {"cooldwon": 1}}, "cooldown"),
        ({"issuer": "https://issuer.example", "audiences": ["a"], "jwks_file": "a.json"}, "one key source"),
        ({"issuer": "https://issuer.example", "audiences": ["a"], "algorithms": ["none"]}, "algorithms"),
    ],
)
def test_a_wrong_argument_starts_no_thread(arguments, message):
    """The same rules as in a configuration file, in the same words."""
    before = key_threads()
    with pytest.raises(ConfigurationError, match=message):
        Verifier.discover(**arguments)
    assert key_threads() == before


CONFIGURATION = """
listeners: [{{address: ":0"}}]
clusters: {{main: {{endpoints: [{{address: "127.0.0.1:9"}}]}}}}
issuers:
  main: {{issuer: {issuer}, audiences: [api], jwks_file: jwks.json}}
revocation: {{file: revoked.jsonl}}
routes:
  - {{name: orders, prefix: /orders, scopes: {{all: [read]}}}}
  - {{name: health, path: /health, public: true}}
  - {{name: pages, prefix: /pages, refusals: {{redirect: "https://login.example/?return={{url}}"}}}}
  - name: resource
    prefix: /resource
    resource: {{identifier: "https://api.example/resource"}}
"""


@pytest.fixture
def file(issuer, tmp_path):
    issuer.write_jwks(tmp_path / "jwks.json")
    (tmp_path / "revoked.jsonl").write_text("")
    path = tmp_path / "lbjwt.yaml"
    path.write_text(CONFIGURATION.format(issuer=issuer.issuer))
    return path


def test_the_configuration_of_the_balancer(file, issuer):
    """Its issuers, key files and revocations, each looked at again when it changes."""
    token = issuer.mint(jti="1")
    with Verifier.from_config(file) as verifier:
        assert verifier.ready() and verifier.verify(token)
        (file.parent / "revoked.jsonl").write_text(json.dumps({"jti": "1", "expires": time.time() + 600}) + "\n")
        assert eventually(lambda: not verifier.verify(token))
        assert verifier.verify(token).reason.name == "REVOKED"
        assert verifier.verify(issuer.mint(jti="2"))


def test_the_routes_of_the_balancer(file, issuer):
    """Without requirements of its own, a middleware follows the routes of the file; with some, those."""
    plain = [("authorization", f"Bearer {issuer.mint()}")]
    reading = [("authorization", f"Bearer {issuer.mint(scope='read')}")]
    with Verifier.from_config(load_config(file)) as verifier:
        app = JWTMiddleware(telling, verifier)
        statuses = [
            call(app, path, headers).status
            for path, headers in [
                ("/orders", ()),
                ("/orders/1", plain),
                ("/orders", reading),
                ("/health", ()),
                ("/other", reading),
            ]
        ]
        assert statuses == [401, 403, 200, 200, 404]
        browser = call(app, "/pages/1", [("accept", "text/html")], query_string=b"a=b")
        assert browser.status == 302
        assert browser.header("location") == ["https://login.example/?return=http%3A%2F%2Fapp.test%2Fpages%2F1%3Fa%3Db"]
        document = call(app, "/.well-known/oauth-protected-resource/resource")
        assert json.loads(document.body)["authorization_servers"] == [issuer.issuer]
        own = JWTMiddleware(telling, verifier, public=["/other"])
        assert [call(own, path).status for path in ("/other", "/health")] == [200, 401]
        with pytest.raises(ConfigurationError, match="token locations"):
            JWTMiddleware(telling, verifier, from_cookies=["session"])


def test_a_changed_file_counts_and_a_broken_one_does_not(file, issuer, monkeypatch, caplog):
    """For tokens, and for middleware that follows its routes. No thread is left when it is closed."""
    monkeypatch.setattr("lbjwt.assembly.kept_keys.LOOK", 0.02)
    monkeypatch.setattr("lbjwt.assembly.watch.INTERVAL", 0.02)
    monkeypatch.setattr("lbjwt.assembly.watch.SETTLING", 0.02)
    before = key_threads()
    token, other = issuer.mint(), issuer.mint(aud="web")
    with Verifier.from_config(file) as verifier, Verifier.from_config(file, follow=False) as fixed:
        app, own = JWTMiddleware(telling, verifier), JWTMiddleware(telling, verifier, public=["/own"])

        def outcomes():
            paths = [("/health", ()), ("/new", ()), ("/pages", [("authorization", f"Bearer {other}")])]
            return (
                bool(verifier.verify(token)),
                bool(verifier.verify(other)),
                *(call(app, *one).status for one in paths),
            )

        assert outcomes() == (True, False, 200, 404, 401)
        whole = file.read_text()
        file.write_text(whole.replace("audiences: [api]", "audiences: [web").replace("/health", "/new"))
        assert eventually(lambda: "is not used, the configuration in force stays" in caplog.text)
        file.write_text(whole.replace("jwks.json", "missing.json"))
        assert eventually(lambda: "missing.json" in caplog.text)
        assert outcomes() == (True, False, 200, 404, 401)
        file.write_text(whole.replace("audiences: [api]", "audiences: [web]").replace("/health", "/new"))
        assert eventually(lambda: outcomes() == (False, True, 404, 200, 200))
        assert verifier.generation == 1 and verifier.configuration == load_config(file)
        assert [call(own, path).status for path in ("/own", "/new")] == [200, 401]
        file.write_text(whole)  # the thread that followed ended; the next one follows, too
        assert eventually(lambda: outcomes() == (True, False, 200, 404, 401))
        assert fixed.verify(token) and not fixed.verify(other)
        assert eventually(lambda: len(key_threads()) == len(before) + 2)
    assert verifier.verify(token).reason.name == "KEYS_UNAVAILABLE"
    assert key_threads() == before


def test_fetched_keys_stay_when_the_file_changes(issuer, tmp_path, monkeypatch):
    """Those of an issuer whose settings changed, too, while it cannot be reached."""
    monkeypatch.setattr("lbjwt.assembly.kept_keys.LOOK", 0.02)
    monkeypatch.setattr("lbjwt.assembly.watch.INTERVAL", 0.02)
    monkeypatch.setattr("lbjwt.assembly.watch.SETTLING", 0.02)
    path = tmp_path / "lbjwt.yaml"
    text = CONFIGURATION.replace("jwks_file: jwks.json", "discovery: {{}}").replace(
        "revocation: {{file: revoked.jsonl}}", ""
    )
    path.write_text(text.format(issuer=issuer.issuer))
    with Verifier.from_config(path) as verifier:
        assert verifier.ready() and verifier.verify(issuer.mint())
        issuer.server.answers["*"] = Answer(status=500)
        path.write_text(text.format(issuer=issuer.issuer).replace("[api]", "[web]"))
        assert eventually(lambda: verifier.generation == 1)
        assert verifier.verify(issuer.mint(aud="web")) and not verifier.verify(issuer.mint())


def test_new_keys_for_decryption_are_read(file, issuer, monkeypatch, caplog):
    """When their file is replaced; one that cannot be used leaves the old ones in force. Tokens of a key that is gone end, known ones too."""
    monkeypatch.setattr("lbjwt.assembly.kept_keys.LOOK", 0.02)
    key, fresh = file.parent / "key.jwk", file.parent / "fresh.jwk"
    first, second = recipient("P-256"), recipient("P-256", 1)
    file.write_text(file.read_text().replace("audiences: [api]", "audiences: [api], jwe: {key_files: [key.jwk]}"))
    old, new = (encrypt(issuer.mint().encode(), one, "ECDH-ES") for one in (first, second))
    key.write_text(json.dumps(private_jwk(first)))
    with Verifier.from_config(file) as verifier:
        assert verifier.verify(old) and verifier.verify(new).reason.name == "DECRYPTION_FAILED"
        fresh.write_text("{}")
        fresh.replace(key)
        assert eventually(lambda: "key.jwk cannot be used to decrypt tokens" in caplog.text)
        assert verifier.verify(old)
        fresh.write_text(json.dumps(private_jwk(second)))
        fresh.replace(key)
        assert eventually(lambda: verifier.verify(new))
        assert verifier.verify(old).reason.name == "DECRYPTION_FAILED"
        assert caplog.text.count("key.jwk cannot be used") == 1 and "kty" not in caplog.text


@pytest.mark.parametrize("missing", ["jwks.json", "revoked.jsonl", "lbjwt.yaml"])
def test_a_file_that_is_missing_is_an_error_at_once(file, missing):
    """Not a verifier that refuses everything. No thread is left behind."""
    before = key_threads()
    (file.parent / missing).unlink()
    with pytest.raises(LbjwtError, match=missing):
        Verifier.from_config(file)
    assert key_threads() == before


def test_a_configuration_is_public(file):
    """`lbjwt.load_config` takes a path as text, too."""
    assert isinstance(load_config(str(file)), Configuration)
