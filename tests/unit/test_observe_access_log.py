"""The access log: every line is one JSON object, whatever a client sent, and a slow reader costs lines, not memory."""

import json
import os
import stat

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lbjwt._fastverify import DenyReason
from lbjwt.observe._access_log import AccessLog
from lbjwt.observe._board import Board
from tests.harness.access_records import append


@pytest.fixture
def path(tmp_path):
    return tmp_path / "access.log"


@pytest.fixture
def log(path):
    log = AccessLog(str(path), Board(1, 1))
    yield log
    log.close()


def read(path):
    return [json.loads(line) for line in path.read_bytes().splitlines()]


def test_a_whole_record(log, path):
    """All fields in their documented order, times in UTC with milliseconds, duration in milliseconds with microseconds."""
    append(
        log,
        cluster=b"api",
        endpoint=b"127.0.0.1:9001",
        status=200,
        request_bytes=5,
        response_bytes=1 << 40,
        complete=False,
        retries=1,
    )
    assert log.flush() == 0
    assert path.read_bytes() == (
        b'{"time":"2023-11-14T22:13:20.123Z","duration_ms":12.346,"client":"192.0.2.1","method":"GET","path":"/a",'
        b'"host":"api.example","protocol":"HTTP/1.1","status":200,"request_bytes":5,"response_bytes":1099511627776,"cluster":"api","endpoint":"127.0.0.1:9001",'
        b'"request_id":"r1","complete":false,"retries":1}\n'
    )


def test_the_protocol_of_a_request_is_named(log, path):
    """HTTP/1.1 unless the request was of another version: 1 and 2 are HTTP_1_0 and HTTP_2 in the .pxd."""
    for protocol in range(3):
        append(log, protocol=protocol)
    log.flush()
    assert [record["protocol"] for record in read(path)] == ["HTTP/1.1", "HTTP/1.0", "HTTP/2"]


def test_reason_and_endpoint_stand_there_only_when_there_is_one(log, path):
    """A refused request has its reason and no endpoint, a passed one the other way round."""
    append(log, status=401, reason=DenyReason.EXPIRED)
    append(log, status=200, endpoint=b"e:1")
    log.flush()
    refused, passed = read(path)
    assert refused["reason"] == "expired"
    assert not {"cluster", "endpoint"} & refused.keys()
    assert "reason" not in passed
    assert passed["endpoint"] == "e:1"


def test_issuer_route_and_what_would_have_refused(log, path):
    """Labels of issuer and route when they are known, the reason of a report-only rule beside a 200; in their documented place, and escaped."""
    append(log, status=200, would_refuse=DenyReason.CLAIM_REFUSED, issuer=b"main", route=b"shop")
    append(log, status=401, reason=DenyReason.EXPIRED, issuer=b'a"b', route=b"")
    append(log, status=200)
    log.flush()
    first, second, third = path.read_bytes().splitlines()
    assert b'"status":200,"would_refuse":"claim_refused","issuer":"main","route":"shop","request_bytes":0' in first
    assert b'"status":401,"reason":"expired","issuer":"a\\"b","route":"","request_bytes":0' in second
    assert not {"reason", "would_refuse", "issuer", "route"} & json.loads(third).keys()


def test_labels_of_any_length_fit(log, path):
    """A label or route name longer than the room a record begins with is written whole."""
    append(log, issuer=b"\x01" * 100_000, route=b"\xff" * 100_000)
    log.flush()
    (record,) = read(path)
    assert record["issuer"] == "\x01" * 100_000
    assert record["route"] == "\xff" * 100_000


def test_every_reason_has_its_name(log, path):
    """The log knows each DenyReason by its name in lower case."""
    reasons = [reason for reason in DenyReason.__members__.values() if reason]
    for reason in reasons:
        append(log, reason=reason)
    log.flush()
    assert [record["reason"] for record in read(path)] == [reason.name.lower() for reason in reasons]
    assert len(reasons) >= 26


def test_a_reason_without_a_name_is_a_fault_of_ours(log, path):
    """A number outside the list is written as internal: a line is never broken."""
    append(log, reason=63, would_refuse=500)
    log.flush()
    (record,) = read(path)
    assert (record["reason"], record["would_refuse"]) == ("internal", "internal")


def test_a_new_second_gets_a_new_date(log, path):
    """The cached spelling of the date ends with its second: leap day, year end and the epoch come out right."""
    for moment in (0.0, 1_709_164_799.9994, 1_709_164_800.0, 1_735_689_599.5, 1_735_689_600.0):
        append(log, started_at=moment)
    log.flush()
    assert [record["time"] for record in read(path)] == [
        "1970-01-01T00:00:00.000Z",
        "2024-02-28T23:59:59.999Z",
        "2024-02-29T00:00:00.000Z",
        "2024-12-31T23:59:59.500Z",
        "2025-01-01T00:00:00.000Z",
    ]


@given(path_bytes=st.binary(max_size=200), host=st.binary(max_size=50), request_id=st.binary(max_size=50))
def test_no_bytes_of_a_client_break_a_line(tmp_path_factory, path_bytes, host, request_id):
    """Any bytes give exactly one line of printable ASCII that decodes to those bytes (CVE-2024-45808, CVE-2020-7694)."""
    file = tmp_path_factory.mktemp("log") / "access.log"
    log = AccessLog(str(file), Board(1, 1))
    append(log, path=path_bytes, host=host, request_id=request_id)
    log.close()
    written = file.read_bytes()
    assert written.count(b"\n") == 1
    assert written.endswith(b"\n")
    assert all(0x20 <= byte < 0x7F for byte in written[:-1])
    record = json.loads(written)
    assert [record[key].encode("latin-1") for key in ("path", "host", "request_id")] == [path_bytes, host, request_id]


def test_escape_sequences_are_spelled_out(log, path):
    """ESC, DEL, quote, backslash, newline and bytes over 0x7E in the documented form."""
    append(log, path=b'\x1b[2J\x7f"\\\n\xc3\xa9')
    log.flush()
    assert rb'"path":"\u001b[2J\u007f\"\\\u000a\u00c3\u00a9"' in path.read_bytes()


def test_records_wait_in_memory_and_leave_by_themselves_past_64_kib(log, path):
    """Few records need no system call; many are written without being asked, in whole lines."""
    append(log)
    assert path.stat().st_size == 0
    while log.pending:
        append(log)
    size = path.stat().st_size
    assert 64 * 1024 <= size < 66 * 1024
    assert path.read_bytes().endswith(b"}\n")


def test_several_workers_share_one_file(path):
    """Lines of two processes that append at once never mix."""
    children = []
    for name in (b"one", b"two"):
        pid = os.fork()
        if pid == 0:
            log = AccessLog(str(path), Board(1, 1))
            for _ in range(1000):
                append(log, request_id=name)
                log.flush()
            os._exit(0)
        children.append(pid)
    for pid in children:
        os.waitpid(pid, 0)
    ids = [record["request_id"] for record in read(path)]
    assert (len(ids), ids.count("one")) == (2000, 1000)


def test_rotation_writes_what_is_pending_to_the_old_file(log, path):
    """`reopen` after a rename: earlier records in the renamed file, later ones in a new one of mode 0640 at most."""
    append(log, request_id=b"before")
    path.rename(path.with_suffix(".1"))
    log.reopen()
    append(log, request_id=b"after")
    log.flush()
    assert [record["request_id"] for record in read(path.with_suffix(".1"))] == ["before"]
    assert [record["request_id"] for record in read(path)] == ["after"]
    assert stat.S_IMODE(path.stat().st_mode) & ~0o640 == 0


def test_rotation_that_fails_keeps_the_old_file(log, path, tmp_path):
    """When the path cannot be opened any more, records still go to the file that is open."""
    path.rename(tmp_path / "old")
    path.mkdir()
    with pytest.raises(OSError, match="directory"):
        log.reopen()
    append(log)
    assert log.flush() == 0
    assert len(read(tmp_path / "old")) == 1


def fifo_log(tmp_path, board):
    path = tmp_path / "pipe"
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    return AccessLog(str(path), board), reader


def test_a_stuck_reader_costs_lines_and_never_blocks(tmp_path):
    """A full pipe stops nothing: memory stays near 1 MiB, further records are dropped and counted."""
    board = Board(1, 1)
    log, reader = fifo_log(tmp_path, board)
    for _ in range(12_000):
        append(log)
    assert 1024 * 1024 <= log.pending < 1024 * 1024 + 1024
    assert board.totals()["access_log_dropped"] > 1000
    os.close(reader)
    log.close()


def test_a_slow_reader_gets_whole_lines(tmp_path):
    """Through a pipe read in small bites every line arrives complete and in order, long ones too."""
    log, reader = fifo_log(tmp_path, Board(1, 1))
    for number in range(300):
        append(log, request_id=b"%d" % number, path=b"/" + b"x" * (20 * number))
    received = bytearray()
    while True:
        left = log.flush()
        try:
            received += os.read(reader, 3000)
        except BlockingIOError:
            if not left:
                break
    os.close(reader)
    log.close()
    assert [json.loads(line)["request_id"] for line in received.splitlines()] == [str(number) for number in range(300)]


def test_a_reader_that_went_away_raises_nothing(tmp_path):
    """Writing to a pipe without a reader keeps the records and ends no process."""
    log, reader = fifo_log(tmp_path, Board(1, 1))
    os.close(reader)
    append(log)
    assert log.flush() > 0
    log.close()


def test_a_closed_log_drops_and_counts(path):
    """Records after `close` go nowhere and are counted."""
    board = Board(1, 1)
    log = AccessLog(str(path), board)
    log.close()
    append(log)
    assert log.pending == 0
    assert board.totals()["access_log_dropped"] == 1


def test_a_path_that_cannot_be_opened(tmp_path):
    """The error of the system comes out at construction."""
    with pytest.raises(FileNotFoundError):
        AccessLog(str(tmp_path / "no" / "such"), Board(1, 1))


def test_standard_output_keeps_its_mode(tmp_path):
    """Path "-" writes to standard output and leaves a pipe that others share in its blocking mode."""
    reader, writer = os.pipe()
    saved = os.dup(1)
    try:
        os.dup2(writer, 1)
        log = AccessLog("-", Board(1, 1))
        append(log)
        log.flush()
        log.reopen()
        log.close()
        assert os.get_blocking(1)
    finally:
        os.dup2(saved, 1)
        os.close(saved)
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        assert json.loads(pipe.read())["client"] == "192.0.2.1"
