"""--print-config: what is written reads back as the same configuration."""

from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from lbjwt.config.dump import dump
from lbjwt.config.fields import ALGORITHMS, Source
from lbjwt.config.load import load_file, load_text
from lbjwt.config.model import Configuration
from lbjwt.units import format_duration, format_size

ELSEWHERE = Path("/somewhere/else")


def duration(least: int, most: int) -> st.SearchStrategy[str]:
    """Milliseconds within bounds, as text."""
    return st.integers(least, most).map(lambda milliseconds: format_duration(milliseconds / 1000))


def size(least: int, most: int) -> st.SearchStrategy[int | str]:
    """Bytes within bounds, as a number or as text."""
    return st.integers(least, most).flatmap(lambda count: st.sampled_from([count, format_size(count)]))


names = st.text(st.characters(exclude_categories=["C", "Z"]) | st.just(" "), min_size=1, max_size=30)
awkward = st.sampled_from(
    [
        "yes",
        "null",
        "~",
        "-",
        "1",
        "0x1F",
        "0o17",
        "1e3",
        ".inf",
        "2001-01-01",
        "a: b",
        "#c",
        "*",
        "&a",
        "!t",
        "'",
        '"',
        "[",
        "<<",
        "1:30",
    ]
)
files = st.text(
    st.characters(exclude_characters="\0", exclude_categories=["Cs", "Cc", "Zl", "Zp"]), min_size=1, max_size=20
)
texts = names | awkward
tls = st.fixed_dictionaries({"certificate": files, "private_key": files})
listeners = st.lists(
    st.fixed_dictionaries(
        {"address": st.sampled_from([":80", "127.0.0.1:0", "[::1]:8080", "localhost:81", "0.0.0.0:443"])},
        optional={"tls": tls},
    ),
    min_size=1,
    max_size=3,
    unique_by=lambda listener: str(listener["address"]),
)
who = st.fixed_dictionaries({"issuer": texts}) | st.just({"any_issuer": True})
whom = st.fixed_dictionaries({"audiences": st.lists(texts, min_size=1, max_size=3, unique=True)}) | st.just(
    {"any_audience": True}
)
public = st.lists(st.sampled_from([name for name in ALGORITHMS if not name.startswith("HS")]), min_size=1, unique=True)
remote = st.fixed_dictionaries(
    {"uri": st.sampled_from(["https://issuer.example/jwks?a=b", "http://127.0.0.1:1/x"])},
    optional={
        "refresh_interval": duration(1000, 86_400_000),
        "timeout": duration(100, 60_000),
        "max_bytes": size(1024, 1 << 24),
    },
)
keys = (
    st.fixed_dictionaries({"jwks_file": files}, optional={"algorithms": public})
    | st.fixed_dictionaries({"pem_file": files}, optional={"algorithms": public})
    | st.fixed_dictionaries({"remote_jwks": remote}, optional={"algorithms": public})
    | st.fixed_dictionaries({"secret_file": files, "algorithms": st.just(["HS256"])})
)
rules = st.fixed_dictionaries(
    {},
    optional={
        "clock_skew": duration(0, 300_000),
        "require_expiration": st.booleans(),
        "required_claims": st.lists(texts, max_size=3, unique=True),
        "max_lifetime": st.none() | duration(1000, 10**11),
        "typ": st.none() | texts,
        "required_scopes": st.lists(st.sampled_from(["read", "orders:write", "1", "null"]), unique=True),
        "allow_padding": st.booleans(),
    },
)
issuers = st.tuples(who, whom, keys, rules).map(
    lambda parts: {key: value for part in parts for key, value in part.items()}
)
clusters = st.fixed_dictionaries(
    {
        "endpoints": st.lists(
            st.fixed_dictionaries(
                {"address": st.sampled_from(["a:1", "[::1]:2", "unix:/run/x y.sock"])},
                optional={"weight": st.integers(0, 9), "backup": st.booleans(), "max_connections": st.integers(1, 9)},
            ),
            min_size=1,
            unique_by=lambda endpoint: endpoint["address"],
        )
    },
    optional={
        "connect_timeout": duration(10, 60_000),
        "retries": st.integers(0, 5),
        "max_connections": st.integers(1, 65536),
        "max_requests": st.integers(1, 65536),
        "slow_start": duration(0, 60_000),
        "balancing": st.sampled_from(
            [
                "round_robin",
                {"method": "hash", "hash_on": "claim:tenant", "max_load": 1.5},
                {"method": "cookie", "cookie": "home"},
            ]
        ),
    },
)
labels = st.from_regex(r"\A[A-Za-z0-9][A-Za-z0-9_-]{0,5}\Z")
scalars = texts | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(-1e9, 1e9)
paths = texts | st.lists(texts, min_size=1, max_size=8)
tests = st.tuples(
    paths,
    st.tuples(st.sampled_from(["equals", "contains"]), scalars)
    | st.tuples(
        st.sampled_from(["one_of", "contains_any", "contains_all"]),
        st.lists(texts, min_size=1, max_size=3, unique=True),
    )
    | st.tuples(st.just("contains_word"), st.just("a:b"))
    | st.tuples(st.sampled_from(["contains_any_word", "contains_all_words"]), st.just(["a", "no"]))
    | st.tuples(
        st.sampled_from(["less_than", "at_most", "more_than", "at_least"]), st.integers(-9, 9) | st.floats(-1, 1)
    )
    | st.tuples(st.just("prefix"), texts)
    | st.tuples(st.just("exists"), st.booleans()),
).map(lambda test: {"claim": test[0], test[1][0]: test[1][1]})
some_rules = st.recursive(
    tests,
    lambda inner: (
        st.lists(inner, min_size=1, max_size=3).map(lambda rules: {"all": rules})
        | st.lists(inner, min_size=1, max_size=3).map(lambda rules: {"any": rules})
        | inner.map(lambda rule: {"not": rule})
    ),
    max_leaves=5,
)
routes = st.fixed_dictionaries(
    {"name": labels, "rules": st.lists(some_rules, max_size=3)},
    optional={
        "hosts": st.just(["api.example", "*.api.example"]),
        "prefix": st.sampled_from(["/", "/api", "/a%20b/~x"]),
        "methods": st.lists(st.sampled_from(["GET", "PUT"]), unique=True),
        "allow_missing": st.booleans(),
        "scopes": st.fixed_dictionaries({}, optional={"all": st.just(["1", "null"]), "any": st.just(["a:b"])}),
        "stream_grace": duration(0, 86_400_000),
        "refusals": st.fixed_dictionaries(
            {}, optional={"statuses": st.just({"401": 404}), "redirect": st.just("/login?to={url}")}
        ),
    },
)
documents = st.fixed_dictionaries(
    {
        "listeners": listeners,
        "issuers": st.dictionaries(labels, issuers, min_size=1, max_size=1),
        "clusters": st.dictionaries(labels, clusters, min_size=1, max_size=1),
    },
    optional={
        "token_cache": st.fixed_dictionaries(
            {}, optional={"max_bytes": size(0, 1 << 40), "max_entries": st.integers(0, 100)}
        ),
        "claim_to_headers": st.lists(st.fixed_dictionaries({"claim": paths, "header": st.just("X-Claim")}), max_size=1),
        "routes": st.lists(routes, max_size=1),
        "forward_token": st.booleans(),
        "realm": st.sampled_from(["lbjwt", "a b", "1", "#x", "yes: no"]),
        "trusted_proxies": st.lists(st.sampled_from(["10.0.0.0/8", "fd00::/8", "192.0.2.1"])),
        "header_names": st.sampled_from(["drop", "reject", "allow"]),
        "limits": st.fixed_dictionaries(
            {}, optional={"max_request_body": st.none() | size(0, 1 << 50), "max_token": size(256, 8192)}
        ),
        "timeouts": st.fixed_dictionaries(
            {}, optional={"drain": duration(0, 3_600_000), "keep_alive": duration(0, 3_600_000)}
        ),
        "workers": st.just("auto") | st.integers(1, 1024),
        "admin": st.just({"address": "127.0.0.1:9900"}),
        "access_log": st.fixed_dictionaries({"path": st.just("-") | files}),
    },
)


@given(documents)
def test_what_is_dumped_loads_back_as_equal(document: dict[str, Any]):
    """Whatever was given, in whatever spelling, survives the way through the file, saved in any directory."""
    first = Configuration.model_validate(document, context=Source(Path("/etc/lbjwt")))
    text = dump(first)
    try:
        second = load_text(text, ELSEWHERE)
    except Exception as error:  # the text is what one needs to see
        if "so requests would loop" in str(error) or "would overwrite" in str(error):
            return
        raise AssertionError(text) from error
    assert second == first
    assert dump(second) == text


def test_only_what_was_given_is_written():
    """Defaults stay out of the file, so that it can be read."""
    text = dump(load_file(Path("examples/minimal.yaml")))
    assert text.splitlines() == [
        "listeners:",
        "  - address: 127.0.0.1:8080",
        "issuers:",
        "  main:",
        "    issuer: https://issuer.example",
        "    audiences:",
        "      - api",
        f"    jwks_file: {Path('examples/jwks.json').absolute()}",
        "clusters:",
        "  main:",
        "    endpoints:",
        "      - address: 127.0.0.1:9001",
        "      - address: 127.0.0.1:9002",
    ]


def test_units_stay_readable():
    """Durations and sizes come out with units, not as bare numbers."""
    text = dump(load_file(Path("examples/full.yaml")))
    assert "clock_skew: 1m\n" in text
    assert "max_bytes: 64MiB\n" in text
    assert "refresh_interval: 5m\n" in text
    assert load_text(text, ELSEWHERE) == load_file(Path("examples/full.yaml"))
