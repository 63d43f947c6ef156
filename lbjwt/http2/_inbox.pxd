cimport cython
from libc.stdint cimport uint8_t

from lbjwt.http1._buffer cimport Buffer, Field


cdef struct FieldList:
    # The fields of a head or of trailers, in their order. Borrowed: valid until the function that got it returns.
    Field *at
    Py_ssize_t count


cdef enum EventKind:
    REQUEST = 0
    RESPONSE = 1
    INTERIM = 2
    DATA = 3
    TRAILERS = 4
    CLOSED = 5
    RESET = 6
    GOING_AWAY = 7
    SETTINGS = 8
    OVER = 9


cdef struct Event:
    EventKind kind
    int stream                   # or the last one that is processed (GOING_AWAY)
    unsigned code                # of RFC 9113 section 7
    bint end                     # nothing more comes on the stream
    const char *at               # of DATA: into the bytes that were received
    Py_ssize_t size
    Py_ssize_t first             # of its fields
    Py_ssize_t count


@cython.final
cdef class Inbox:
    """What the engine has found in the input, until the owner of the session is told: events, and the fields of heads."""
    cdef Event *_events
    cdef Py_ssize_t _event_count
    cdef Py_ssize_t _event_capacity
    cdef Py_ssize_t _told
    cdef Field *_fields          # `at` of names and values: their places in `_text` until they are told
    cdef Py_ssize_t _field_count
    cdef Py_ssize_t _field_capacity
    cdef Buffer _text
    cdef Py_ssize_t _first       # field of the head that comes now
    cdef Py_ssize_t _size        # of that head: its bytes, with 32 for each field (RFC 9113 section 6.5.2)
    cdef bint _begun             # a head has begun and is not whole

    # NULL: there is no memory.
    cdef Event *add(self, EventKind kind, int stream) noexcept
    cdef Event *add_head(self, EventKind kind, int stream) noexcept
    cdef Event *last(self) noexcept              # that was not told; NULL: there is none
    cdef void begin_head(self) noexcept
    # False: there is no memory, or the head passes a limit.
    cdef bint add_field(self, const uint8_t *name, size_t name_size, const uint8_t *value, size_t value_size, Py_ssize_t most,
                        Py_ssize_t most_bytes) noexcept
    # The first event that was not told; False: there is none.
    cdef bint next(self, Event *event) noexcept
    cdef FieldList fields(self, Event *event) noexcept
    cdef bint names_status(self, bint *interim) noexcept     # the head that comes now is one of a response
    # Forget all but events that were not told and, with `keeps_head`, the head that has begun. True: nothing is left.
    cdef bint tidy(self, bint keeps_head) noexcept
    cdef void clear(self) noexcept


cdef Inbox take_inbox()
cdef void give_back(Inbox inbox)
