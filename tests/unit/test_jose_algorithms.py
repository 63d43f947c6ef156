"""The closed table of algorithms."""

import pytest

from lbjwt.config.fields import ALGORITHMS as CONFIGURABLE
from lbjwt.errors import ConfigurationError
from lbjwt.jose.algorithms import ALGORITHMS, algorithms_for, check_algorithms


def test_the_table_is_closed():
    """Nineteen names, none of them none, and nobody can add one."""
    assert set(ALGORITHMS) == {
        *("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "ES256K"),
        *("HS256", "HS384", "HS512", "EdDSA", "Ed25519", "Ed448", "ML-DSA-44", "ML-DSA-65", "ML-DSA-87"),
    }
    assert set(ALGORITHMS) == set(CONFIGURABLE)
    with pytest.raises(TypeError):
        ALGORITHMS["none"] = ALGORITHMS["HS256"]


@pytest.mark.parametrize("kty", ["", "rsa", "oct", "EC", "OKP", "AKP"])
def test_a_type_without_its_curve_or_size_serves_nothing(kty: str):
    """No default curve, no default size."""
    assert algorithms_for(kty) == frozenset()


def test_every_curve_name_is_fully_specified_but_one_old_one():
    """RFC 9864 section 2: ES256, ES384 and ES512 mean one curve and one hash each, as do ES256K and ML-DSA; EdDSA does not say its curve."""
    for name, row in ALGORITHMS.items():
        if row.kty in ("EC", "OKP", "AKP") and name != "EdDSA":
            assert row.crv and row.signature_size
            assert algorithms_for(row.kty, row.crv) - {"EdDSA"} == {name}
    assert (ALGORITHMS["ES256"].crv, ALGORITHMS["ES384"].crv, ALGORITHMS["ES512"].crv) == ("P-256", "P-384", "P-521")


def test_signature_sizes_are_those_of_their_standards():
    """RFC 7518 section 3.4, RFC 8812, RFC 8032, FIPS 204 table 2."""
    sizes = {name: row.signature_size for name, row in ALGORITHMS.items() if row.kty in ("EC", "OKP", "AKP")}
    assert sizes == {
        **{"ES256": 64, "ES384": 96, "ES512": 132, "ES256K": 64, "Ed25519": 64, "Ed448": 114, "EdDSA": 0},
        **{"ML-DSA-44": 2420, "ML-DSA-65": 3309, "ML-DSA-87": 4627},
    }


def test_secrets_serve_hashes_up_to_their_length():
    """RFC 7518 section 3.2."""
    assert [len(algorithms_for("oct", secret_size=size)) for size in (31, 32, 47, 48, 63, 64)] == [0, 1, 1, 2, 2, 3]


@pytest.mark.parametrize("names", [[], ["none"], ["RS256", "NONE"], ["rs256"], ["es256k"], ["ML-DSA"], ["AKP"], [""]])
def test_unknown_names_are_refused(names: list[str]):
    """A list of algorithms is checked when it is configured."""
    with pytest.raises(ConfigurationError):
        check_algorithms(names)
