"""Refusals for what a token is made of: how it was sent, its form, its header and its signature. See `house`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tests.harness.house import Denial, House, get
from tests.harness.keys import SigningKey, b64, new_key


def credentials(house: House) -> Iterator[Denial]:
    """RFC 6750 sections 2.1 and 3.1: none, not one, not in the grammar."""
    good, other = house.mint(), house.mint(sub="bob")

    def fields(name: str, reason: str, *values: str) -> Denial:
        return Denial(f"credentials: {name}", reason, get(None, fields=[f"Authorization: {value}" for value in values]))

    yield Denial("credentials: none", "missing", get(None))
    yield fields("empty", "missing", "")
    yield fields("Basic", "missing", "Basic YWxpY2U6c2VjcmV0")
    yield fields("Digest", "missing", 'Digest username="alice"')
    yield fields("another word with a token", "missing", f"Token {good}")
    yield fields("a longer word", "missing", f"Bearers {good}")
    yield fields("the word run into the token", "missing", f"Bearer{good}")
    yield fields("the token alone", "missing", good)
    for cookie in ("token", "access_token", "jwt", "Authorization"):
        yield Denial(f"credentials: cookie {cookie}", "missing", get(None, fields=[f"Cookie: {cookie}={good}"]))
        yield Denial(f"credentials: parameter {cookie}", "missing", get(None, f"/r/<id>?{cookie}={good}"))
    for name in ("X-Authorization", "Proxy-Authorization", "X-Access-Token", "X-Forwarded-Authorization"):
        yield Denial(f"credentials: {name}", "missing", get(None, fields=[f"{name}: Bearer {good}"]))
    yield fields("the word alone", "malformed_credentials", "Bearer")
    yield fields("a tab", "malformed_credentials", f"Bearer\t{good}")
    yield fields("a comma", "malformed_credentials", f"Bearer {good}, {other}")
    yield fields("a space in it", "malformed_credentials", f"Bearer {good[:40]} {good[40:]}")
    yield fields("a parameter", "malformed_credentials", f'Bearer token="{good}"')
    yield fields("quotes", "malformed_credentials", f'Bearer "{good}"')
    yield fields("angle brackets", "malformed_credentials", f"Bearer <{good}>")
    yield fields("twice the word", "malformed_credentials", f"Bearer Bearer {good}")
    for name, character in (("8-bit", "\xe9"), ("percent", "%"), ("semicolon", ";"), ("colon", ":"), ("star", "*")):
        yield fields(f"{name} behind it", "malformed_credentials", f"Bearer {good}{character}")
        yield fields(f"{name} within", "malformed_credentials", f"Bearer {good[:50]}{character}{good[51:]}")
    yield fields("two fields", "multiple_tokens", f"Bearer {good}", f"Bearer {other}")
    yield fields("the same twice", "multiple_tokens", f"Bearer {good}", f"Bearer {good}")
    yield fields("good and Basic", "multiple_tokens", f"Bearer {good}", "Basic YTpi")
    yield fields("Basic and good", "multiple_tokens", "Basic YTpi", f"Bearer {good}")
    yield fields("three fields", "multiple_tokens", *[f"Bearer {good}"] * 3)
    yield fields("good and empty", "multiple_tokens", f"Bearer {good}", "")


def form(house: House) -> Iterator[Denial]:
    """RFC 7515 section 7.1: three parts of base64url, and no more than there is room for."""
    good = house.mint()
    header, payload, signature = good.split(".")
    key = house.signers["ES256"]

    def token(name: str, text: str, reason: str = "malformed") -> Denial:
        return Denial(f"form: {name}", reason, get(text))

    yield token("one part", "abc")
    yield token("two parts", f"{header}.{payload}")
    yield token("four parts", f"{good}.{signature}")
    yield token("five parts", f"{header}.{payload}.{signature}.{payload}.{signature}", "encryption_refused")
    yield token("only dots", "..")
    yield token("many dots", "." * 100)
    yield token("a dot first", f".{good}")
    yield token("a dot last", f"{good}.")
    yield token("no header", f".{payload}.{signature}")
    yield token("no payload", f"{header}..{signature}")
    yield token("8 KiB and one", good[:-10] + "A" * (8193 - len(good) + 10))
    yield token("20 KiB", "A" * 20_000)
    yield token("20 KiB of dots", "." * 20_000)
    for name, part in (("header", 0), ("payload", 1), ("signature", 2)):
        for spelling, change in (
            ("one =", lambda text: text + "="),
            ("two =", lambda text: text + "=="),
            ("+", lambda text: "+" + text[1:]),
            ("/", lambda text: text[:-1] + "/"),
            ("~", lambda text: text[:5] + "~" + text[6:]),
        ):
            parts = [header, payload, signature]
            parts[part] = change(parts[part])
            # What is not the right length for a signature of the key is no signature, before it is decoded.
            # And an = that is not at the end is in no token at all (RFC 6750 section 2.1).
            reason = "malformed" if "=" not in spelling else "bad_signature" if part == 2 else "malformed_credentials"
            yield token(f"{spelling} in the {name}", ".".join(parts), reason)
    for text, name in (
        (b"[]", "list"),
        (b'"text"', "text"),
        (b"1", "number"),
        (b"null", "null"),
        (b"", "nothing"),
        (b"{", "half an object"),
        (b'{"alg":"ES256","kid":"ES256"} ', "good but for a space"),
        (b'{"alg":"ES256","kid":"ES256"}x', "more behind"),
        (b'\xef\xbb\xbf{"alg":"ES256","kid":"ES256"}', "byte order mark"),
        ('{"alg":"ES256","kid":"ES256"}'.encode("utf-16"), "UTF-16"),
        (b'{"alg":"ES256","kid":"\xff"}', "not UTF-8"),
        (b'{"alg":"none","alg":"ES256","kid":"ES256"}', "alg twice"),
        (b'{"alg":"ES256","kid":"x","kid":"ES256"}', "kid twice"),
        (b'{"alg":"ES256","kid":"ES256","x":' + b"[" * 40 + b"]" * 40 + b"}", "deep"),
        (b'{"alg":"ES256","kid":"ES256","n":' + b"9" * 400 + b"}", "huge number"),
    ):
        if name == "good but for a space":
            continue  # JSON allows it
        yield token(f"header: {name}", key.sealed(text, json.dumps(house.claims()).encode()))
    body = json.dumps(house.claims()).encode()
    for text, name in (
        (b"[]", "list"),
        (b'"text"', "text"),
        (b"null", "null"),
        (b"{", "half an object"),
        (body + b"x", "more behind"),
        (b"\xef\xbb\xbf" + body, "byte order mark"),
        (body.decode().encode("utf-16"), "UTF-16"),
        (body[:-1] + b',"x":"\xff"}', "not UTF-8"),
        (body[:-1] + b',"sub":"admin"}', "sub twice"),
        (body[:-1] + b',"exp":9999999999}', "exp twice"),
        (body[:-1] + b',"x":' + b"[" * 40 + b"]" * 40 + b"}", "deep"),
        (body[:-1] + b',"x":' + b'{"a":' * 40 + b"1" + b"}" * 40 + b"}", "deep objects"),
        (body[:-1] + b',"x":1e1000000000}', "huge exponent"),
        (body[:-1] + b',"x":NaN}', "NaN"),
        (body[:-1] + b',"x":' + b"9" * 5000 + b"}", "huge number"),
        (b"eyJhbGciOiJFUzI1NiJ9.e30.AAAA", "another token"),
    ):
        yield token(f"payload: {name}", key.sealed(b'{"alg":"ES256","kid":"ES256"}', text))
    yield token("JSON serialization", json.dumps({"payload": payload}), "malformed_credentials")


def headers(house: House) -> Iterator[Denial]:
    """RFC 7515 section 4, RFC 8725 section 3: what a header must not say, and keys that are not meant."""

    def header(name: str, reason: str, algorithm: str = "ES256", **members: Any) -> Denial:
        return Denial(f"header: {name}", reason, get(house.mint(algorithm, header=members)))

    crits: tuple[Any, ...] = ([], ["exp"], ["b64"], ["alg"], ["x"], "alg", 5, {}, None, ["b64", "b64"])
    for crit in crits:
        sealed = {"alg": "ES256", "kid": "ES256", "crit": crit}
        text = house.signers["ES256"].sealed(json.dumps(sealed).encode(), json.dumps(house.claims()).encode())
        yield Denial(f"header: crit {crit!r}", "malformed", get(text))
    for b64_value in (True, False, 0, "false"):
        yield header(f"b64 {b64_value!r}", "malformed", b64=b64_value)
    yield header("b64 and crit", "malformed", b64=False, crit=["b64"])
    yield header("enc", "malformed", enc="A128GCM")
    yield header("zip", "malformed", zip="DEF")
    for cty in ("JWT", "jwt", "application/jwt"):
        yield header(f"cty {cty}", "malformed", cty=cty)
    members: tuple[tuple[str, Any], ...] = (("kid", 5), ("kid", ["ES256"]), ("typ", 1), ("cty", {}))
    for name, value in members:
        yield header(f"{name} {value!r}", "malformed", **{name: value})
    for typ in ("logout+jwt", "secevent+jwt", "dpop+jwt", "application/logout+jwt", "LOGOUT+JWT"):
        yield header(f"typ {typ}", "wrong_type", typ=typ)
    for algorithm in ("none", "None", "NONE", "nOnE", "", "es256", "ES256 ", "RS", "HS256", "HS384", "A256KW", "dir"):
        yield header(f"alg {algorithm!r}", "algorithm_refused", alg=algorithm)
    others: tuple[Any, ...] = (5, ["ES256"], {"a": 1}, True)
    for value in others:
        yield header(f"alg {value!r}", "algorithm_refused", alg=value)
    yield header("no alg", "algorithm_refused", alg=None)
    unsigned = house.mint(header={"alg": "none"}).rpartition(".")[0]
    yield Denial("header: none and no signature", "malformed", get(unsigned))
    yield Denial("header: none and an empty signature", "malformed", get(unsigned + "."))
    for algorithm, kid in (
        ("ES256", "RS256"),
        ("RS256", "ES256"),
        ("EdDSA", "ES256"),
        ("PS256", "RS256"),
        ("RS512", "RS256"),
        ("ES384", "ES256"),
    ):
        signer = house.signers.get(algorithm, house.signers["ES256"])
        text = signer.token(house.claims(), alg=algorithm, kid=kid)
        yield Denial(f"header: {algorithm} by the key {kid}", "algorithm_refused", get(text))
    for kid in (
        "nobody",
        "es256",
        "ES256 ",
        "ES25",
        "ES2566",
        "../../../../dev/null",
        "'; DROP TABLE keys; --",
        "strict",
        "shared",
        "dark",
        "x" * 200,
    ):
        yield header(f"kid {kid[:30]!r}", "unknown_key", kid=kid)
    for kid in ("\0", "ES256\0", "ES256\n", "\u202e", "x" * 300):
        yield header(f"kid {kid[:10]!r} that cannot be one", "unknown_key", kid=kid)
    attacker = new_key("ES256", "ES256")
    for name, lure in (
        ("jwk", {"jwk": attacker.jwk()}),
        ("jku", {"jku": "http://127.0.0.1:9/jwks"}),
        ("x5u", {"x5u": "http://127.0.0.1:9/chain"}),
        ("x5c", {"x5c": [b64(b"certificate")]}),
    ):
        yield Denial(f"header: the attacker's {name}", "bad_signature", get(attacker.token(house.claims(), **lure)))


def signatures(house: House) -> Iterator[Denial]:
    """A signature by another, over something else, of another shape."""
    for algorithm in ("RS256", "ES256", "EdDSA"):
        good = house.mint(algorithm)
        signed, _, signature = good.rpartition(".")
        header = signed.split(".")[0]
        size = {"RS256": 256, "ES256": 64, "EdDSA": 64}[algorithm]
        other = house.mint(algorithm, sub="bob")

        def token(name: str, text: str, reason: str = "bad_signature", algorithm: str = algorithm) -> Denial:
            return Denial(f"signature: {algorithm}: {name}", reason, get(text))

        forger = new_key(algorithm)
        yield token("by another key", forger.token(house.claims()))
        yield token("of another token", f"{signed}.{other.rpartition('.')[2]}")
        yield token("over another payload", f"{header}.{other.split('.')[1]}.{signature}")
        yield token("all zero", f"{signed}.{b64(bytes(size))}")
        yield token("all ones", f"{signed}.{b64(bytes([255]) * size)}")
        yield token("one byte short", f"{signed}.{b64(bytes(size - 1))}")
        yield token("one byte long", f"{signed}.{b64(bytes(size + 1))}")
        yield token("of one byte", f"{signed}.AA")
        yield token("of 4 KiB", f"{signed}.{b64(bytes(4096))}")
        yield token("none", f"{signed}.", "malformed")
        yield token("repeated", f"{good}{signature}")
        last = "AEIMQUYcgkosw048"
        flipped = chr(ord(signature[-1]) + 1) if signature[-1] in last else signature[-1]
        if flipped != signature[-1]:  # bits that no byte has: another spelling of the same bytes (THREATS A18)
            yield token("with spare bits", f"{signed}.{signature[:-1]}{flipped}", "malformed")
    signed = house.mint().rpartition(".")[0]
    order = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
    for name, r, s in (
        ("r = 0", 0, 1),
        ("s = 0", 1, 0),
        ("r = n", order, 1),
        ("s = n", 1, order),
        ("r = s = 1", 1, 1),
        ("r = n + 1", order + 1, 1),
    ):
        text = f"{signed}.{b64(r.to_bytes(32, 'big') + s.to_bytes(32, 'big'))}"
        yield Denial(f"signature: ES256: {name}", "bad_signature", get(text))
    der = house.signers["ES256"].private.sign(signed.encode(), ec.ECDSA(hashes.SHA256()))
    yield Denial("signature: ES256: DER", "bad_signature", get(f"{signed}.{b64(der)}"))
    for name, secret in _public_texts(house):
        forged = SigningKey("RS256", "HS256", secret).token(house.claims())
        yield Denial(f"signature: HS256 with {name}", "algorithm_refused", get(forged))
        by_secret = SigningKey("shared", "HS256", secret).token(house.claims(iss="https://shared.test"))
        yield Denial(f"signature: the shared issuer with {name}", "bad_signature", get(by_secret))


def _public_texts(house: House) -> list[tuple[str, bytes]]:
    """Secrets that everybody knows (THREATS A2, A5)."""
    public = house.signers["RS256"].private.public_key()
    encoding, kind = serialization.Encoding, serialization.PublicFormat
    pem = public.public_bytes(encoding.PEM, kind.SubjectPublicKeyInfo)
    return [
        ("PEM", pem),
        ("PEM without its last newline", pem.strip()),
        ("PKCS #1", public.public_bytes(encoding.PEM, kind.PKCS1)),
        ("DER", public.public_bytes(encoding.DER, kind.SubjectPublicKeyInfo)),
        ("OpenSSH", public.public_bytes(encoding.OpenSSH, kind.OpenSSH)),
        ("the JWK", json.dumps(house.signers["RS256"].jwk()).encode()),
        ("nothing", b""),
        ("secret", b"secret"),
    ]
