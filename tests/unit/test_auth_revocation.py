"""The list of revocations: what an entry revokes, for how long, and that a reader never sees half of a change. THREATS C20, D12."""

import math
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lbjwt.auth.policy import IssuerPolicy
from lbjwt.auth.revocation import GRACE, LATEST, Revocation, RevocationError, RevocationList, Undo
from lbjwt.auth.trusted_issuer import TrustedIssuer
from lbjwt.auth.verifier import Verifier
from lbjwt.jose.keyring import KeyRing
from tests.unit.auth_tokens import ISSUER, NOW, SECRET, b64, claims, private_key, token, unb64, verifier

END = NOW + 1000
OTHER = "https://other.example"
TOKEN = claims(jti="j1", sub="alice", iat=int(NOW) - 10)


def listed(*entries: Revocation, now: float = NOW, **options: Any) -> RevocationList:
    made = RevocationList(**options)
    made.add(entries, now)
    return made


def verifier_that_asks(made: RevocationList) -> Verifier:
    """A verifier of HS256 tokens that asks a list."""
    judge = Verifier.for_issuers(
        [TrustedIssuer(policy=IssuerPolicy(issuer=ISSUER, audiences=("api",), algorithms=("HS256",)))],
        revoked=lambda index, kid, said, now: made.revokes(said["iss"], kid, said, now),
    )
    judge.publish(KeyRing.from_secret(SECRET, algorithms=["HS256"]))
    return judge


def revoked(entry: Revocation, *, issuer: str = ISSUER, kid: str = "k1", now: float = NOW, **changes: Any) -> bool:
    """Whether one entry alone revokes the token, with some claims changed (None: left out)."""
    said = {name: value for name, value in {**TOKEN, **changes}.items() if value is not None}
    return listed(entry).revokes(issuer, kid, said, now)


def test_c20_an_empty_list_revokes_nothing():
    """Not even a token without any claim."""
    assert not RevocationList().revokes("", "", {}, NOW)
    assert not RevocationList().revokes(ISSUER, "k1", TOKEN, NOW)


def test_c20_a_jti_revokes_its_one_token():
    """Another jti, a longer one and none at all are other tokens; the type is exact."""
    entry = Revocation("jti", "j1", END)
    assert revoked(entry)
    assert not any(revoked(entry, jti=jti) for jti in ("j2", "j", "j11", "J1", " j1", None))


def test_c20_a_sub_revokes_all_its_tokens_or_those_before_a_time():
    """Issued before T: strictly. A token that does not say when it was issued was issued before any T."""
    assert revoked(Revocation("sub", "alice", END))
    assert not revoked(Revocation("sub", "alice", END), sub="bob")
    assert not revoked(Revocation("sub", "alice", END), sub=None)
    before = Revocation("sub", "alice", END, issued_before=NOW)
    assert revoked(before, iat=NOW - 1)
    assert revoked(before, iat=NOW - 0.5)
    assert not revoked(before, iat=int(NOW))
    assert not revoked(before, iat=NOW + 5)
    assert revoked(before, iat=None)


def test_c20_a_kid_revokes_what_its_key_signed():
    """The id of the key that checked the signature counts; a key without an id is named by nothing."""
    entry = Revocation("kid", "k1", END)
    assert revoked(entry)
    assert not revoked(entry, kid="k2")
    assert not revoked(entry, kid="")


def test_c20_an_issuer_revokes_its_tokens_of_before_a_time():
    """Of the exact issuer; a token without iat too."""
    entry = Revocation("issuer", ISSUER, END, issued_before=NOW)
    assert revoked(entry)
    assert revoked(entry, iat=None)
    assert not revoked(entry, iat=NOW)
    assert not any(revoked(entry, issuer=issuer) for issuer in (OTHER, ISSUER + "/", ""))


@pytest.mark.parametrize("kind", ["jti", "sub", "kid"])
def test_c20_an_entry_can_be_narrowed_to_an_issuer(kind: Any):
    """The same jti, sub or kid of another issuer is somebody else's (THREATS B17)."""
    value = {"jti": "j1", "sub": "alice", "kid": "k1"}[kind]
    assert revoked(Revocation(kind, value, END, issuer=ISSUER))
    assert not revoked(Revocation(kind, value, END, issuer=OTHER))
    assert not revoked(Revocation(kind, value, END, issuer=ISSUER), issuer="")


def test_b17_issuer_and_name_are_not_joined():
    """An issuer that ends with the beginning of a jti makes no other entry match."""
    assert not listed(Revocation("jti", "bc", END, issuer="a")).revokes("ab", "", {"jti": "c"}, NOW)
    assert not listed(Revocation("jti", "c", END, issuer="ab")).revokes("a", "", {"jti": "bc"}, NOW)


def test_c20_an_entry_ends_by_itself():
    """In force until expires, exclusive, pruned or not."""
    for entry in (
        Revocation("jti", "j1", END),
        Revocation("kid", "k1", END),
        Revocation("sub", "alice", END, issued_before=NOW),
        Revocation("issuer", ISSUER, END, issued_before=NOW),
    ):
        assert revoked(entry, now=END - 0.001)
        assert not revoked(entry, now=END)
        narrowed = Revocation(
            entry.kind, entry.value, END, None if entry.kind == "issuer" else ISSUER, entry.issued_before
        )
        assert not revoked(narrowed, now=END)


def test_d12_the_other_spelling_of_a_signature_is_the_same_token():
    """r, n - s verifies as well as r, s (RFC 7518 section 3.4): both texts pass, and one entry on the jti revokes both."""
    order = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
    text = token(claims(jti="j1"), algorithm="ES256", key=private_key("ES256"))
    signed, _, signature = text.rpartition(b".")
    r, s = unb64(signature)[:32], int.from_bytes(unb64(signature)[32:], "big")
    twin = signed + b"." + b64(r + (order - s).to_bytes(32, "big")).encode()
    assert twin != text
    one = verifier("ES256")
    made = listed(Revocation("jti", "j1", END))
    for spelling in (text, twin):
        grant = one.verify(spelling, NOW).grant
        assert grant is not None
        assert made.revokes(grant.issuer, grant.key_id, grant.claims, NOW)


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        ({"value": ""}, '"jti" must be text of 1 to 1024'),
        ({"value": "x" * 1025}, '"jti" must be text of 1 to 1024'),
        ({"value": "\ud800"}, "half of a surrogate pair"),
        ({"value": "eyJhbGciOiJFUzI1NiJ9.eyJqdGkiOiJ4In0.AAAA"}, "looks like a whole token"),
        ({"issuer": ""}, '"issuer" must be text of 1 to 1024'),
        ({"expires": 0.0}, '"expires" must be a time'),
        ({"expires": -1.0}, '"expires" must be a time'),
        ({"expires": math.nan}, '"expires" must be a time'),
        ({"expires": math.inf}, '"expires" must be a time'),
        ({"expires": NOW * 1000}, '"expires" must be a time'),
        ({"issued_before": NOW}, "cannot be used with a jti"),
        ({"kind": "kid", "issued_before": NOW}, "cannot be used with a kid"),
        ({"kind": "sub", "issued_before": NOW * 1000}, '"issued_before" must be a time'),
        ({"kind": "issuer"}, "an entry for a whole issuer needs"),
        ({"kind": "issuer", "issued_before": NOW, "issuer": ISSUER}, "cannot be limited"),
    ],
)
def test_what_no_entry_can_be(arguments: dict[str, Any], part: str):
    """One sentence, which does not repeat the value."""
    with pytest.raises(RevocationError) as caught:
        Revocation(**{"kind": "jti", "value": "j1", "expires": END, **arguments})
    assert part in str(caught.value)
    assert "AAAA" not in str(caught.value)


def test_the_limits_themselves_are_fine():
    """1,024 characters and the last second of the year 9999."""
    entry = Revocation("jti", "x" * 1024, float(LATEST), issuer="y" * 1024)
    assert listed(entry).revokes("y" * 1024, "", {"jti": "x" * 1024}, NOW)


def test_several_entries_on_one_name_stand_beside_each_other():
    """Each says how far and how long; what one says, the other need not say, and neither loses by the other."""
    soon, late = (
        Revocation("sub", "alice", NOW + 10, issued_before=NOW + 5),
        Revocation("sub", "alice", END, issued_before=NOW),
    )
    for order in ((soon, late), (late, soon)):
        both = listed(*order)
        assert len(both) == 2
        assert both.revokes(ISSUER, "k1", {"sub": "alice", "iat": NOW + 2}, NOW + 9)
        assert not both.revokes(ISSUER, "k1", {"sub": "alice", "iat": NOW + 2}, NOW + 10)
        assert both.revokes(ISSUER, "k1", {"sub": "alice", "iat": NOW - 1}, END - 1)


def test_an_entry_that_says_nothing_new_is_none():
    """Shorter ones change nothing, longer ones take the place; covers tells beforehand."""
    made = RevocationList()
    weaker = [
        Revocation("jti", "j1", NOW + 5),
        Revocation("sub", "alice", NOW + 5),
        Revocation("sub", "alice", END, issued_before=NOW),
        Revocation("issuer", ISSUER, END, issued_before=NOW - 5),
    ]
    stronger = [
        Revocation("jti", "j1", END),
        Revocation("sub", "alice", END),
        Revocation("issuer", ISSUER, END, issued_before=NOW),
    ]
    assert not any(map(made.covers, weaker))
    assert made.add(weaker, NOW) == 4
    assert not any(map(made.covers, stronger))
    assert made.add(stronger, NOW) == 3
    assert len(made) == 3
    assert all(map(made.covers, weaker + stronger))
    assert made.add(weaker + stronger, NOW) == 0
    assert sorted(made, key=lambda entry: entry.value) == sorted(stronger, key=lambda entry: entry.value)


def test_a_full_list_refuses_and_forgets_nothing():
    """All of a batch or none of it; entries past their end make room, and what is there already needs none."""
    made = listed(Revocation("jti", "old", NOW + 1), Revocation("jti", "j1", END), max_entries=2)
    with pytest.raises(RevocationError, match="list is full"):
        made.add([Revocation("jti", "j2", END)], NOW)
    with pytest.raises(RevocationError, match="list is full"):
        made.require_room(1, NOW)
    assert made.add([Revocation("jti", "j1", END + 5)], NOW) == 1
    late = NOW + GRACE + 2
    with pytest.raises(RevocationError):
        made.add([Revocation("sub", "a", END), Revocation("kid", "k", END)], late)
    assert {entry.value for entry in made} == {"j1"}
    made.require_room(1, late)
    assert made.add([Revocation("jti", "j2", END)], late) == 1
    with pytest.raises(RevocationError):
        made.replace([Revocation("jti", str(number), END) for number in range(3)], NOW)
    assert {entry.value for entry in made} == {"j1", "j2"}


def test_prune_drops_what_has_ended_and_nothing_else():
    """The count follows; while nothing has ended nothing is touched."""
    entries = [
        Revocation("jti", "a", NOW + 1),
        Revocation("jti", "b", END, issuer=ISSUER),
        Revocation("sub", "alice", NOW + 1, issued_before=NOW + 9),
        Revocation("sub", "alice", END, issued_before=NOW),
        Revocation("issuer", ISSUER, NOW + 2, issued_before=NOW),
        Revocation("kid", "k", END),
    ]
    made = listed(*entries, Revocation("jti", "past", NOW - GRACE))
    assert len(made) == 6
    assert made.prune(NOW + GRACE + 0.5) == 0
    assert made.prune(NOW + GRACE + 1) == 2
    assert made.prune(NOW + GRACE + 1) == 0
    assert made.prune(NOW + GRACE + 2) == 1
    assert set(made) == {entries[1], entries[3], entries[5]}
    assert made.prune(END + GRACE) == 3
    assert list(made) == [] and len(made) == 0


@pytest.mark.parametrize("change", ["prune", "add", "replace"])
def test_c6_a_clock_that_ran_ahead_costs_no_entry(change: str):
    """Whatever is done while the clock is up to an hour ahead, the entries revoke again when it is set right."""
    entry = Revocation("jti", "j1", END)
    made = listed(entry)
    ahead = END + GRACE - 1
    assert not made.revokes(ISSUER, "k1", TOKEN, ahead)
    if change == "prune":
        made.prune(ahead)
    else:
        getattr(made, change)([entry], ahead)
    assert made.revokes(ISSUER, "k1", TOKEN, NOW)


class Peeking(list[Revocation]):
    """A batch during which somebody asks the list."""

    def __init__(self, entries: list[Revocation], ask: Any) -> None:
        super().__init__(entries)
        self.ask, self.answers = ask, list[Any]()

    def __iter__(self) -> Iterator[Revocation]:
        for entry in super().__iter__():
            self.answers.append(self.ask())
            yield entry
        self.answers.append(self.ask())


@pytest.mark.parametrize("change", ["add", "replace"])
def test_a_reader_sees_all_of_a_change_or_nothing(change: str):
    """While a batch is taken in, the list answers as before it; one that fails in the middle leaves everything as it was."""
    made = listed(Revocation("jti", "j1", END), Revocation("sub", "alice", END))

    def ask() -> tuple[bool, ...]:
        one, two = (made.revokes(ISSUER, "", {"jti": jti}, NOW) for jti in ("j1", "j2"))
        return one, two, made.revokes(ISSUER, "", {"sub": "bob"}, NOW), len(made) == 2

    batch = Peeking([Revocation("jti", "j2", END), Revocation("sub", "bob", END)], ask)
    getattr(made, change)(batch, NOW)
    assert set(batch.answers) == {(True, False, False, True)}
    assert ask()[:3] == ((True, True, True) if change == "add" else (False, True, True))

    def broken() -> Iterator[Revocation]:
        yield Revocation("jti", "j3", END)
        raise RevocationError("line 2")

    held = set(made)
    with pytest.raises(RevocationError, match="line 2"):
        getattr(made, change)(broken(), NOW)
    assert set(made) == held
    assert not made.revokes(ISSUER, "", {"jti": "j3"}, NOW)


class Counting(dict[str, Any]):
    """Claims that count how often they are asked."""

    def __init__(self, claims: Mapping[str, Any]) -> None:
        super().__init__(claims)
        self.asked = list[str]()

    def get(self, name: str, default: Any = None) -> Any:
        self.asked.append(name)
        return super().get(name, default)


def test_only_the_claims_that_matter_are_asked_for():
    """An empty list asks nothing, one of jtis asks for the jti, and iat is asked for when a subject or issuer is listed."""
    for entries, asked in (
        ([], []),
        ([Revocation("jti", "x", END)], ["jti"]),
        ([Revocation("kid", "x", END)], []),
        ([Revocation("sub", "x", END)], ["sub"]),
        ([Revocation("issuer", ISSUER, END, issued_before=1.0)], ["sub", "iat"]),
    ):
        said = Counting(TOKEN)
        assert not listed(*entries).revokes(ISSUER, "k1", said, NOW)
        assert said.asked == asked


def test_c20_an_undo_takes_back_what_names_exactly_this():
    """Every entry of the kind, value and issuer, whatever its times; another issuer's and the one without an issuer stay."""
    whole, narrow = Revocation("sub", "alice", END), Revocation("sub", "alice", END, issuer=ISSUER)
    marks = [Revocation("sub", "alice", END + at, issuer=OTHER, issued_before=NOW - at) for at in (1, 2, 3)]
    made = listed(whole, narrow, *marks, Revocation("jti", "alice", END))
    assert [made.named_by(Undo("sub", "alice", issuer)) for issuer in (None, ISSUER, OTHER, "https://x")] == [
        1,
        1,
        3,
        0,
    ]
    assert made.add([Undo("sub", "alice", OTHER)], NOW) == 1
    assert set(made) == {whole, narrow, Revocation("jti", "alice", END)} and len(made) == 3
    assert made.add([Undo("sub", "alice"), Undo("sub", "alice"), Undo("kid", "alice")], NOW) == 1
    assert set(made) == {narrow, Revocation("jti", "alice", END)} and len(made) == 2


def test_c20_changes_count_in_their_order():
    """What is revoked again after an undo is revoked, in one batch as in several."""
    entry, undo = Revocation("jti", "j1", END), Undo("jti", "j1")
    for changes, expected in (([entry, undo], False), ([undo, entry], True), ([entry, undo, entry], True)):
        at_once, one_by_one = RevocationList(), RevocationList()
        at_once.replace(changes, NOW)
        for change in changes:
            one_by_one.add([change], NOW)
        assert at_once.revokes(ISSUER, "k1", TOKEN, NOW) == one_by_one.revokes(ISSUER, "k1", TOKEN, NOW) == expected
        assert len(at_once) == len(one_by_one) == expected


def test_c20_a_token_of_an_undone_entry_passes_by_the_normal_checks_only():
    """Remembered or not, what comes back after an undo is inside its times and signed by a key that is still there; else it is refused."""
    made = RevocationList()
    judge = verifier_that_asks(made)
    text = token(claims(jti="j1", exp=int(NOW) + 500))
    assert judge.verify(text, NOW)
    made.add([Revocation("jti", "j1", END)], NOW)
    judge.renew()
    assert judge.verify(text, NOW).reason.name == "REVOKED"
    misses = judge.gate.cache.misses
    made.add([Undo("jti", "j1")], NOW)
    assert judge.verify(text, NOW)
    assert judge.gate.cache.misses == misses + 1, "it was forgotten, and is verified anew"
    made.add([Revocation("jti", "j1", END), Undo("jti", "j1")], NOW)
    judge.renew()
    assert judge.verify(text, NOW + 1000).reason.name == "EXPIRED"
    judge.publish(None)
    assert not judge.verify(text, NOW)


names = st.sampled_from(["a", "b"])
times = st.integers(1, 6).map(float)
some_entries = st.one_of(
    st.builds(Undo, st.sampled_from(["jti", "kid", "sub"]), names, st.none() | names),
    st.builds(Undo, st.just("issuer"), names),
    st.builds(Revocation, st.sampled_from(["jti", "kid"]), names, times, st.none() | names),
    st.builds(Revocation, st.just("sub"), names, times, st.none() | names, st.none() | times),
    st.builds(Revocation, st.just("issuer"), names, times, st.none(), times),
)


@given(
    st.lists(st.tuples(st.sampled_from(["add", "replace", "prune"]), st.lists(some_entries, max_size=5)), max_size=5),
    st.lists(
        st.tuples(names, names, st.dictionaries(st.sampled_from(["jti", "sub"]), names), st.none() | times), max_size=8
    ),
)
def test_the_tables_say_what_the_entries_say(changes: list[Any], asked: list[Any]):
    """Against a plain list that is searched from end to end, after every change and at every time."""
    made, plain = RevocationList(), list[Revocation]()
    for now, (change, entries) in enumerate(changes):
        if change == "prune":
            made.prune(now)
        else:
            getattr(made, change)(entries, now)
            plain = plain if change == "add" else []
            for entry in entries:
                if isinstance(entry, Undo):
                    named = (entry.kind, entry.value, entry.issuer)
                    plain = [old for old in plain if (old.kind, old.value, old.issuer) != named]
                else:
                    plain.append(entry)
        for later in range(now, 8):
            for issuer, kid, said, iat in asked:
                said = said if iat is None else {**said, "iat": iat}
                expected = any(
                    entry.expires > later
                    and entry.issuer in (None, issuer)
                    and {"issuer": issuer, "kid": kid, **{n: said.get(n) for n in ("jti", "sub")}}[entry.kind]
                    == entry.value
                    and (entry.issued_before is None or iat is None or iat < entry.issued_before)
                    for entry in plain
                )
                assert made.revokes(issuer, kid, said, later) == expected
        assert len(made) == len(list(made))
        again = RevocationList()
        again.replace(list(made), now)
        assert len(again) == len(made)
