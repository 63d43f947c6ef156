"""
The second reader: httptools judges the same bytes that our scanner sliced, and both must agree, or the head is refused.

A parser that has read a whole message on a connection that stays open is as good as new and is used again; making one
costs about 0.25 µs. After a head with a body it is fed as many filler bytes as we read in the head (up to 64 KiB; past
that the parser is dropped), or the last chunk: that brings it there, and shows that it read the same length as we did.
A reused parser can only say yes: when it refuses, a new one is asked, so no message can spoil the verdict on the next.

Of a token that was accepted before it reads the first and the last character. llhttp takes 7.5 instructions for each byte of a value, most of what it
costs on a hot request, and what lies between are, one by one, the characters of a token that the gate accepted: base64url, dots and, where padding
is allowed, "=", of which none can end a value or mean anything in one.
"""

from cpython.buffer cimport PyBUF_READ
from cpython.memoryview cimport PyMemoryView_FromMemory, PyMemoryView_GET_BUFFER
from libc.string cimport memcpy

from httptools import HttpParserUpgrade, HttpRequestParser, HttpResponseParser


cdef enum:
    FILLER = 65536
    SHORT = 8192             # of the longest head that is copied to leave out a token
    WORTH_IT = 64            # of the shortest inside of a token that is left out

cdef char _filler[FILLER]
cdef char _short[SHORT]
cdef int _heads = 0
cdef int _messages = 0


cdef class _Sink:
    """Counts; asks for no names, values or bodies, so httptools makes no bytes objects."""

    def on_headers_complete(self):
        global _heads
        _heads += 1

    def on_message_complete(self):
        global _messages
        _messages += 1


cdef object _sink = _Sink()
cdef object _RequestParser = HttpRequestParser
cdef object _ResponseParser = HttpResponseParser
# One view, aimed at each head in turn: half the price of making a view per head, and httptools keeps no hold of it.
cdef object _view = PyMemoryView_FromMemory(_filler, FILLER, PyBUF_READ)
cdef object _idle_request = None                 # feed_data of a parser between two messages
cdef object _idle_response = None


cdef int _feed(object feed, const char *at, Py_ssize_t size) except -1:
    cdef Py_buffer *view = PyMemoryView_GET_BUFFER(_view)
    view.buf = <void *> at
    view.len = size
    feed(_view)
    return 0


cdef int _verdict(object feed, const char *head, Py_ssize_t size, int64_t body) noexcept:
    """0: refused; 1: stands, and the parser is between two messages; 2: stands, and the parser is of no more use."""
    global _heads, _messages
    _heads = _messages = 0
    try:
        _feed(feed, head, size)
        if _heads != 1 or _messages != (1 if body == -1 or body == 0 else 0):
            return 0
        if body == -2:
            size = 5
            _feed(feed, b"0\r\n\r\n", size)
        elif 0 < body <= FILLER:
            size = <Py_ssize_t> body
            _feed(feed, _filler, size)
        elif body != 0 and body != -1:
            return 2
        return _messages == 1
    except HttpParserUpgrade as upgrade:         # raised at the end of the message: behind its body, if it has one
        return 2 if _heads == 1 and upgrade.args[0] == size else 0
    except Exception:
        return 0


cdef inline object _judged(object feed, object parser, const char *head, Py_ssize_t size, int64_t body, bint keep_alive, bint *stands):
    """Ask the idle parser, then a new one; returns the feed_data to ask next time, None when that has to be a new one's."""
    cdef int verdict = 0
    if feed is not None:
        verdict = _verdict(feed, head, size, body)
    if not verdict:
        feed = parser(_sink).feed_data
        verdict = _verdict(feed, head, size, body)
    stands[0] = verdict != 0
    return feed if verdict == 1 and keep_alive else None


cdef bint request_head_stands(const char *head, Py_ssize_t size, Slice credentials, Py_ssize_t known, int64_t body, bint keep_alive) noexcept:
    global _idle_request
    cdef object feed = _idle_request
    cdef const char *last
    cdef Py_ssize_t inside = known - 2
    cdef Py_ssize_t before
    cdef bint stands = False
    if WORTH_IT <= inside and size - inside <= SHORT:
        last = credentials.at + credentials.size - 1
        before = last - inside - head
        memcpy(_short, head, before)
        memcpy(_short + before, last, size - inside - before)
        head = _short
        size -= inside
    _idle_request = None
    _idle_request = _judged(feed, _RequestParser, head, size, body, keep_alive, &stands)
    return stands


cdef bint response_head_stands(const char *head, Py_ssize_t size, int64_t body, bint keep_alive) noexcept:
    global _idle_response
    cdef object feed = _idle_response
    cdef bint stands = False
    _idle_response = None
    _idle_response = _judged(feed, _ResponseParser, head, size, body, keep_alive, &stands)
    return stands
