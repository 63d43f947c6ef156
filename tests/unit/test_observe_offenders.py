"""Failures by address: what counts, for how long, who is forgotten first, and what a flood cannot do. Time is passed in."""

import os
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lbjwt.observe._offenders import Offenders

WINDOW = 60.0
PART = WINDOW / 8


def many(count, seed=7):
    """Distinct IPv6 networks."""
    chance = random.Random(seed)
    return [f"2001:{at >> 16:x}:{at & 0xFFFF:x}:{chance.getrandbits(16):x}::1" for at in range(count)]


def test_over_after_as_many_failures_as_the_limit():
    """The third failure of three puts an address over, and no other address."""
    table = Offenders(1, limit=3)
    for failures in (1, 2, 3):
        assert not table.is_over("192.0.2.1", 100.0)
        table.add_failure("192.0.2.1", 100.0)
        assert table.failures("192.0.2.1", 100.0) == failures
    assert table.is_over("192.0.2.1", 100.0)
    assert not table.is_over("192.0.2.2", 100.0)
    assert table.failures("192.0.2.2", 100.0) == 0


def test_without_a_limit_nobody_is_over():
    """Limit 0 counts and shows, and refuses nobody."""
    table = Offenders(1)
    for _ in range(1000):
        table.add_failure("192.0.2.1", 1.0)
    assert not table.is_over("192.0.2.1", 1.0)
    assert table.top(1, 1.0)[0]["failures"] == 1000


@given(st.lists(st.floats(0, 400), max_size=60), st.floats(0, 500))
def test_the_window_slides(times, now):
    """Every failure of the last seven eighths of the window counts, none that is older than the window does."""
    table = Offenders(1, window=WINDOW)
    times = sorted(at for at in times if at <= now)
    for at in times:
        table.add_failure("192.0.2.1", at)
    found = table.failures("192.0.2.1", now)
    assert sum(at > now - 7 * PART for at in times) <= found <= sum(at >= now - WINDOW for at in times)


def test_a_quiet_window_forgives():
    """An address over the limit is free again when the window has passed, and its past does not come back."""
    table = Offenders(1, limit=2, window=8.0)
    table.add_failure("192.0.2.1", 10.0)
    table.add_failure("192.0.2.1", 10.0)
    assert table.is_over("192.0.2.1", 16.9)
    assert not table.is_over("192.0.2.1", 18.0)
    table.add_failure("192.0.2.1", 1000.0)
    assert table.failures("192.0.2.1", 1000.0) == 1


def test_a_clock_that_stands_behind_counts_all_the_same():
    """A failure told with an older time than the last one is counted, and nothing is lost."""
    table = Offenders(1, window=8.0)
    table.add_failure("192.0.2.1", 100.0)
    table.add_failure("192.0.2.1", 40.0)
    assert table.failures("192.0.2.1", 100.0) == 2


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("2001:db8:1:2::1", "2001:db8:1:2:ffff:ffff:ffff:ffff"),
        ("2001:DB8:1:2::1", "2001:db8:1:2:0:0:0:9"),
        ("192.0.2.1", "::ffff:192.0.2.1"),
        ("fe80::1%eth0", "fe80::2%eth1"),
        ("::1", "::2"),
    ],
)
def test_one_client_one_count(one, other):
    """Addresses of one /64, and an IPv4 address in both spellings, are one; whoever has a /64 cannot walk through it."""
    table = Offenders(1)
    table.add_failure(one, 1.0)
    table.add_failure(other, 1.0)
    assert table.failures(one, 1.0) == table.failures(other, 1.0) == 2
    assert table.count(1.0) == 1


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("2001:db8:1:2::1", "2001:db8:1:3::1"),
        ("192.0.2.1", "192.0.2.2"),
        ("0.0.0.1", "::1"),
        ("255.255.255.255", "ffff:ffff:ffff:ffff::"),
        ("192.0.2.1", "::192.0.2.1"),
    ],
)
def test_two_clients_two_counts(one, other):
    """Neighbours, and addresses of both families with the same bits, are told apart."""
    table = Offenders(1)
    table.add_failure(one, 1.0)
    assert table.failures(other, 1.0) == 0
    table.add_failure(other, 1.0)
    assert table.count(1.0) == 2


@pytest.mark.parametrize("address", ["", "unix", "%", "%eth0", "192.0.2", "1" * 64, "a" * 5000, "192.0.2.1\n", ":::"])
def test_what_is_no_address_is_nobody(address):
    """A peer without an IP address is neither blamed nor refused."""
    table = Offenders(1, limit=1)
    table.add_failure(address, 1.0)
    assert not table.is_over(address, 1.0)
    assert table.count(1.0) == 0


def test_the_worst_first_and_as_many_as_asked_for():
    """The list is sorted by failures, bounded, in words that an operator can paste, and tells how long ago the last one was."""
    table = Offenders(1)
    for address, failures in (("192.0.2.1", 2), ("2001:db8:1:2::9", 5), ("::1", 1), ("192.0.2.3", 4)):
        for _ in range(failures):
            table.add_failure(address, 100.0)
    assert table.top(3, 101.5) == [
        {"address": "2001:db8:1:2::/64", "failures": 5, "last_seconds_ago": 1.5},
        {"address": "192.0.2.3", "failures": 4, "last_seconds_ago": 1.5},
        {"address": "192.0.2.1", "failures": 2, "last_seconds_ago": 1.5},
    ]
    assert table.top(9, 101.5)[-1]["address"] == "::/64"
    assert table.top(0, 101.5) == []
    assert table.top(-1, 101.5) == []
    assert table.top(9, 100.0 + WINDOW) == []


def test_workers_count_together_across_processes():
    """Failures in two processes are one sum in both, and a process that dies leaves its count (the limit is for the service, not for a worker)."""
    table = Offenders(2, limit=5)
    table.attach(1)
    for _ in range(2):
        table.add_failure("192.0.2.1", 50.0)
    pid = os.fork()
    if pid == 0:
        table.attach(0)
        for _ in range(3):
            table.add_failure("192.0.2.1", 51.0)
        os._exit(table.failures("192.0.2.1", 51.0))
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 5
    assert table.failures("192.0.2.1", 51.0) == 5
    assert table.is_over("192.0.2.1", 51.0)
    assert table.top(1, 51.0) == [{"address": "192.0.2.1", "failures": 5, "last_seconds_ago": 0.0}]


def test_memory_is_bounded_and_the_newest_stay():
    """A hundred thousand addresses leave 4096 at most, and with room to spare nobody is lost."""
    table = Offenders(1)
    addresses = many(100_000)
    for at, address in enumerate(addresses):
        table.add_failure(address, at / 10_000)
    assert table.count(10.0) <= 4096
    assert sum(table.failures(address, 10.0) for address in addresses[-500:]) > 450
    assert sum(table.failures(address, 10.0) for address in addresses[:50_000]) == 0


def test_s10_a_flood_does_not_hide_who_goes_on():
    """An address over the limit that keeps asking stays over while a hundred thousand others fail around it (THREATS S10)."""
    table = Offenders(1, limit=5)
    for _ in range(5):
        table.add_failure("192.0.2.1", 0.0)
    for at, address in enumerate(many(100_000)):
        now = at / 5000
        table.add_failure(address, now)
        if at % 50 == 0:
            assert table.is_over("192.0.2.1", now), at
    assert table.top(1, 20.0)[0]["address"] == "192.0.2.1"


def test_eviction_is_within_a_set_and_takes_the_quietest():
    """Newcomers push out what was quiet the longest in their own sets: of addresses seen again nearly all stay, of those never seen again fewer."""
    table = Offenders(1)
    addresses = many(4096)
    again, quiet, newcomers = addresses[:1024], addresses[1024:2048], addresses[2048:]
    for now, group in ((1.0, again), (2.0, quiet), (3.0, again), (4.0, newcomers)):
        for address in group:
            table.add_failure(address, now)
    stayed = {"again": 0, "quiet": 0, "newcomers": 0}
    for name, group in (("again", again), ("quiet", quiet), ("newcomers", newcomers)):
        stayed[name] = sum(table.failures(address, 4.0) > 0 for address in group)
    assert stayed["newcomers"] > 1980
    assert stayed["again"] > 780
    assert 400 < stayed["quiet"] < stayed["again"] - 60


def test_which_addresses_share_a_set_is_a_secret():
    """The same flood pushes out other addresses in another service: nobody can work out beforehand what hides whom."""
    addresses = many(6000)
    kept = []
    for _ in range(2):
        table = Offenders(1)
        for at, address in enumerate(addresses):
            table.add_failure(address, at / 1000)
        kept.append({address for address in addresses if table.failures(address, 6.0)})
    assert kept[0] != kept[1]


def test_an_untouched_table_takes_no_memory():
    """The mapping is there, its pages are not, until somebody fails."""
    before = resident()
    table = Offenders(64)
    assert resident() - before < 40
    assert table.count(1.0) == 0


def resident():
    """Pages of shared memory in use by this process."""
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[2])


def test_nothing_is_written_outside_the_table():
    """A slot that does not exist is an IndexError."""
    table = Offenders(2)
    for slot in (-1, 2):
        with pytest.raises(IndexError):
            table.attach(slot)
