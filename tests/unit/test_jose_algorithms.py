"""The closed table of algorithms."""

import pytest

from lbjwt.errors import ConfigurationError
from lbjwt.jose.algorithms import ALGORITHMS, algorithms_for, known_algorithms


def test_the_table_is_closed():
    """Fifteen names, none of them none, and nobody can add one."""
    assert set(ALGORITHMS) == {
        *("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512"),
        *("HS256", "HS384", "HS512", "EdDSA", "Ed25519", "Ed448"),
    }
    with pytest.raises(TypeError):
        ALGORITHMS["none"] = ALGORITHMS["HS256"]


@pytest.mark.parametrize("kty", ["", "rsa", "oct", "EC", "OKP", "AKP"])
def test_a_type_without_its_curve_or_size_serves_nothing(kty: str):
    """No default curve, no default size."""
    assert algorithms_for(kty) == frozenset()


def test_secrets_serve_hashes_up_to_their_length():
    """RFC 7518 section 3.2."""
    assert [len(algorithms_for("oct", secret_size=size)) for size in (31, 32, 47, 48, 63, 64)] == [0, 1, 1, 2, 2, 3]


@pytest.mark.parametrize("names", [[], ["none"], ["RS256", "NONE"], ["rs256"], ["ES256K"], [""]])
def test_unknown_names_are_refused(names: list[str]):
    """A list of algorithms is checked when it is configured."""
    with pytest.raises(ConfigurationError):
        known_algorithms(names)
