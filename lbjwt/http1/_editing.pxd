# Removing something from a parsed request head before it is written.
#
# A parsed head borrows the client's bytes, which must not change. So a value that loses a part is first copied into memory of the head. That
# memory is reserved once per head, for all that could be copied, and does not move: a slice into it is good until the next parse.

from libc.string cimport memcpy

from lbjwt.http1._buffer cimport Buffer, Field, Slice
from lbjwt.http1._names cimport DROPPED
from lbjwt.http1._request cimport RequestHead


cdef inline void drop_field(Field *field) noexcept nogil:
    """The field is not written. Slices of its value stay as they are."""
    field.kind = DROPPED


cdef inline char *own(RequestHead head, Slice *text) except NULL:
    """
    Let `text`, the target or the value of a field, lie in memory of the head; returns where, to be written to within its size.

    Raises MemoryError: there is none, or more was asked for than the fields and one target hold.
    """
    cdef Buffer memory = head._edited
    cdef char *room
    if memory is None:
        memory = head._edited = Buffer.__new__(Buffer)
    if head._owned and memory.data <= text.at < memory.data + head._owned:
        return <char *> text.at
    if head._owned == 0:
        memory.reserve(head.size + head.target.size + 1)
    if text.size > memory.capacity - head._owned:
        raise MemoryError()
    room = memory.data + head._owned
    memcpy(room, text.at, text.size)
    head._owned += text.size
    text.at = room
    return room
