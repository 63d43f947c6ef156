"""
The access log: one JSON line per request, built in C, gathered in memory, written in whole lines.

The file is opened with O_APPEND and every write ends at the end of a line, so several workers can share it.
Lines are plain ASCII: control bytes, DEL and every byte over 0x7E become \\u00XX, so no client can forge a line, move a
terminal's cursor or break the encoding (CVE-2024-45808, CVE-2020-7694). No header value is written, hence no token, and of its
claims only those that the configuration names.
If a reader is slow, records above `MAX_PENDING` bytes are dropped and counted; requests do not wait.
"""

import os
import stat

from libc.string cimport memcmp, memmove, memrchr
from libc.time cimport gmtime_r, strftime, time_t, tm
from posix.unistd cimport write

import lbjwt._error_reason as error_reason
import lbjwt._fastverify as fastverify
from lbjwt.http1._writing cimport put_number, put_text
from lbjwt.observe.log_file import open_log


cdef extern from "<poll.h>" nogil:
    struct pollfd:
        int fd
        short events
        short revents
    enum:
        POLLOUT
    int poll(pollfd *fds, unsigned long count, int timeout)


cdef Py_ssize_t FLUSH_AT = 64 * 1024             # bytes gathered before a flush is forced: one system call for some 200 records
cdef Py_ssize_t MAX_PENDING = 1024 * 1024        # bytes kept for a reader that does not keep up
cdef Py_ssize_t PIPE_BUF = 4096                  # Linux: a pipe write up to this size is never torn (pipe(7))
cdef const char *HEX = "0123456789abcdef"

cdef list names_of(object reasons):
    cdef dict members = {int(number): name for name, number in reasons.__members__.items()}
    return [members.get(number, "").lower().encode("ascii") for number in range(max(members) + 1)]


# Indexed by the enum; what the log calls a reason is what the metrics call it.
cdef list REASON_NAMES = names_of(fastverify.DenyReason)
cdef list ERROR_NAMES = names_of(error_reason.ErrorReason)


cdef inline char *put_three(char *out, int64_t number) noexcept:
    """Three digits with leading zeros, for thousandths."""
    out[0] = <char>(48 + number // 100 % 10)
    out[1] = <char>(48 + number // 10 % 10)
    out[2] = <char>(48 + number % 10)
    return out + 3


cdef inline char *put_escaped(char *out, Slice text) noexcept:
    """The inside of a JSON string (RFC 8259 section 7); at most six bytes for one."""
    cdef Py_ssize_t index
    cdef unsigned char byte
    for index in range(text.size):
        byte = <unsigned char>text.at[index]
        if byte == 0x22 or byte == 0x5C:
            out[0] = 0x5C
            out[1] = <char>byte
            out += 2
        elif 0x20 <= byte < 0x7F:
            out[0] = <char>byte
            out += 1
        else:
            out = put_text(out, b"\\u00", 4)
            out[0] = HEX[byte >> 4]
            out[1] = HEX[byte & 15]
            out += 2
    return out


cdef inline char *put_member(char *out, const char *before, Py_ssize_t size, Slice text) noexcept:
    return put_escaped(put_text(out, before, size), text)


cdef inline char *put_name(char *out, list names, int number, int otherwise) noexcept:
    """The name of a reason, or of `otherwise` for an unknown number, and the closing quote."""
    cdef bytes name = <bytes>names[number if 0 < number < len(names) else otherwise]
    return put_text(put_text(out, name, len(name)), b'"', 1)


cdef class AccessLog:
    """
    Written by `flush`, which the owner calls once a second, and past 64 KiB without it.

    Keys in this order: `time` (RFC 3339, UTC, milliseconds), `duration_ms`, `client`, `peer` (the address of the connection, only when it
    is not the client's), `method`, `path` (without the query), `host`, `protocol` (HTTP/1.0, HTTP/1.1 or HTTP/2),
    `status` (0: ended without a response), `reason` (only when refused or failed), `would_refuse` (only when a report-only rule let it through),
    `issuer` and `route` (only when known), `claims` and `claims_left_out` (only of accepted tokens, when configured),
    `request_bytes` and `response_bytes` (bodies), `cluster`
    (only when it was forwarded), `endpoint` (only when one was picked), `request_id`, `complete` (the response was relayed whole), `retries`, and
    when a try failed `attempts` and `failed_endpoints`.

    Args:
        path: File to append to (made with mode 0640 when absent), or "-" for standard output.
        board: Where dropped records are counted.

    Raises:
        OSError: The file cannot be opened.
    """

    def __cinit__(self, str path not None, Board board not None):
        self._fd = -1
        self.path = path
        self._board = board
        self._buffer = Buffer()
        self._buffer.reserve(2 * FLUSH_AT)
        self._second = -1
        self.open()

    def __dealloc__(self):
        if self._fd >= 0:
            os.close(self._fd)

    cdef int open(self) except -1:
        cdef int fd = open_log(self.path)
        cdef object mode = os.fstat(fd).st_mode
        if self._fd >= 0:
            os.close(self._fd)
        self._fd = fd
        self._regular = stat.S_ISREG(mode)
        self._gate = not self._regular
        return 0

    @property
    def pending(self):
        """Bytes gathered and not written yet; never much over 1 MiB."""
        return self._buffer.size

    cdef void record(self, AccessRecord *record) noexcept:
        cdef Buffer buffer = self._buffer
        cdef char *out
        cdef int64_t milliseconds, microseconds
        cdef Py_ssize_t need = 672 + 6 * (
            record.client.size + record.peer.size + record.method.size + record.path.size + record.host.size + record.request_id.size
            + record.endpoint.size + record.issuer.size + record.route.size + record.cluster.size + record.failed_endpoints.size
        ) + record.claims.size
        if buffer.size >= MAX_PENDING or self._fd < 0:
            self._board.mine.access_log_dropped += 1
            return
        try:
            buffer.reserve(need)
        except MemoryError:
            self._board.mine.access_log_dropped += 1
            return
        out = buffer.data + buffer.size
        milliseconds = <int64_t>(record.started_at * 1000)
        microseconds = <int64_t>(record.duration * 1e6 + 0.5) if record.duration > 0 else 0
        out = put_text(out, b'{"time":"', 9)
        out = put_text(out, self.date(milliseconds // 1000), 19)
        out = put_text(out, b".", 1)
        out = put_three(out, milliseconds % 1000)
        out = put_text(out, b'Z","duration_ms":', 17)
        out = put_number(out, microseconds // 1000)
        out = put_text(out, b".", 1)
        out = put_three(out, microseconds % 1000)
        out = put_member(out, b',"client":"', 11, record.client)
        if record.peer.size != record.client.size or memcmp(record.peer.at, record.client.at, <size_t>record.peer.size) != 0:
            out = put_member(out, b'","peer":"', 10, record.peer)
        out = put_member(out, b'","method":"', 12, record.method)
        out = put_member(out, b'","path":"', 10, record.path)
        out = put_member(out, b'","host":"', 10, record.host)
        if record.protocol == HTTP_2:
            out = put_text(out, b'","protocol":"HTTP/2","status":', 31)
        elif record.protocol == HTTP_1_0:
            out = put_text(out, b'","protocol":"HTTP/1.0","status":', 33)
        else:
            out = put_text(out, b'","protocol":"HTTP/1.1","status":', 33)
        out = put_number(out, record.status)
        if record.grpc_status >= 0:
            out = put_number(put_text(out, b',"grpc_status":', 15), record.grpc_status)
        if record.reason != DenyReason.NONE:
            out = put_name(put_text(out, b',"reason":"', 11), REASON_NAMES, record.reason, DenyReason.INTERNAL)
        elif record.error != ErrorReason.NO_ERROR:
            out = put_name(put_text(out, b',"reason":"', 11), ERROR_NAMES, record.error, ErrorReason.INTERNAL_ERROR)
        if record.would_refuse != DenyReason.NONE:
            out = put_name(put_text(out, b',"would_refuse":"', 17), REASON_NAMES, record.would_refuse, DenyReason.INTERNAL)
        if record.issuer.at != NULL:
            out = put_member(out, b',"issuer":"', 11, record.issuer)
            out = put_text(out, b'"', 1)
        if record.route.at != NULL:
            out = put_member(out, b',"route":"', 10, record.route)
            out = put_text(out, b'"', 1)
        if record.claims.at != NULL:
            out = put_text(out, record.claims.at, record.claims.size)
        out = put_text(out, b',"request_bytes":', 17)
        out = put_number(out, record.request_bytes)
        out = put_text(out, b',"response_bytes":', 18)
        out = put_number(out, record.response_bytes)
        if record.cluster.at != NULL:
            out = put_member(out, b',"cluster":"', 12, record.cluster)
            out = put_text(out, b'"', 1)
        if record.endpoint.at != NULL:
            out = put_member(out, b',"endpoint":"', 13, record.endpoint)
            out = put_text(out, b'"', 1)
        out = put_member(out, b',"request_id":"', 15, record.request_id)
        if record.complete:
            out = put_text(out, b'","complete":true,"retries":', 28)
        else:
            out = put_text(out, b'","complete":false,"retries":', 29)
        out = put_number(out, record.retries)
        if record.failed_endpoints.at != NULL:
            out = put_number(put_text(out, b',"attempts":', 12), record.attempts)
            out = put_member(out, b',"failed_endpoints":"', 21, record.failed_endpoints)
            out = put_text(out, b'"', 1)
        out = put_text(out, b"}\n", 2)
        buffer.size = out - buffer.data
        if buffer.size >= FLUSH_AT:
            self.write_out()

    cdef const char *date(self, int64_t second) noexcept:
        """YYYY-MM-DDTHH:MM:SS in UTC (RFC 3339), formatted once per second."""
        cdef tm parts
        cdef time_t moment = <time_t>second
        if second != self._second:
            gmtime_r(&moment, &parts)
            strftime(self._date, sizeof(self._date), "%Y-%m-%dT%H:%M:%S", &parts)
            self._second = second
        return self._date

    cdef Py_ssize_t write_out(self) noexcept:
        cdef Buffer buffer = self._buffer
        cdef Py_ssize_t done = 0
        cdef Py_ssize_t size, sent
        cdef pollfd ask
        while done < buffer.size:
            if self._gate:
                ask.fd = self._fd
                ask.events = POLLOUT
                ask.revents = 0
                if poll(&ask, 1, 0) <= 0 or not ask.revents & POLLOUT:
                    break
            size = buffer.size - done
            if not self._regular and size > PIPE_BUF:
                size = whole_lines(buffer.data + done, PIPE_BUF)
            sent = write(self._fd, buffer.data + done, <size_t>size)
            if sent <= 0:                        # full, gone or interrupted: the next flush tries again
                break
            done += sent
        if done > 0:
            buffer.size -= done
            memmove(buffer.data, buffer.data + done, <size_t>buffer.size)
        return buffer.size

    def append(self, **fields):
        """A record from Python: every field of `AccessRecord`, a slice as its `at` and `size`; with a size below 0 it is not there."""
        cdef AccessRecord record = fields
        if record.endpoint.size < 0:
            record.endpoint = Slice(NULL, 0)
        if record.issuer.size < 0:
            record.issuer = Slice(NULL, 0)
        if record.route.size < 0:
            record.route = Slice(NULL, 0)
        if record.cluster.size < 0:
            record.cluster = Slice(NULL, 0)
        if record.claims.size < 0:
            record.claims = Slice(NULL, 0)
        if record.failed_endpoints.size < 0:
            record.failed_endpoints = Slice(NULL, 0)
        self.record(&record)

    def flush(self):
        """Write what can be written without waiting and return the bytes that stay. Never raises: a full disk costs log lines only."""
        return self.write_out()

    def reopen(self):
        """
        Write what is pending to the old file and open the path anew, for log rotation.

        Raises:
            OSError: The path cannot be opened; the old file stays in use.
        """
        self.write_out()
        if self.path != "-":
            self.open()

    def close(self):
        """Write what is pending and close. Records that come later are dropped."""
        if self._fd >= 0:
            self.write_out()
            os.close(self._fd)
            self._fd = -1


cdef inline Py_ssize_t whole_lines(const char *data, Py_ssize_t limit) noexcept:
    """As many whole lines as fit into `limit` bytes, or `limit` when the first one is longer."""
    cdef const char *end = <const char *>memrchr(data, c"\n", <size_t>limit)
    return limit if end == NULL else end - data + 1
