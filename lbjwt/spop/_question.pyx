"""
The question of a NOTIFY frame: one request, as the arguments of one message describe it.

| argument | sample of HAProxy | type                                       |
| -------- | ----------------- | ------------------------------------------ |
| method   | `method`          | string                                     |
| target   | `pathq`           | string                                     |
| headers  | `req.hdrs_bin`    | binary                                     |
| client   | `src`             | address; null: it came over a Unix socket  |
| https    | `ssl_fc`          | boolean                                    |

Each has to come once. A sample that HAProxy does not have, such as headers that do not fit in its buffer, comes as null and is refused: what was not
described cannot be judged. The name of the message and other arguments have no meaning.
"""

from libc.string cimport memcmp

from lbjwt.http1._described cimport begin_described, end_described, put_described
from lbjwt.spop._frames cimport BINARY, BOOLEAN, IPV4, IPV6, NULL_DATA, STRING, Data, take_data, take_text

cdef enum:
    # arguments, a bit each
    OTHER = 0
    METHOD = 1
    TARGET = 2
    HEADERS = 4
    CLIENT = 8
    HTTPS = 16
    ALL = 31


cdef int _argument(Slice name) noexcept:
    if name.size == 6:
        if memcmp(name.at, b"method", 6) == 0:
            return METHOD
        if memcmp(name.at, b"target", 6) == 0:
            return TARGET
        if memcmp(name.at, b"client", 6) == 0:
            return CLIENT
    elif name.size == 7 and memcmp(name.at, b"headers", 7) == 0:
        return HEADERS
    elif name.size == 5 and memcmp(name.at, b"https", 5) == 0:
        return HTTPS
    return OTHER


cdef bint read_question(Slice payload, Question *question) noexcept:
    cdef Slice name
    cdef Data data
    cdef int count, argument
    cdef int seen = 0
    if not take_text(&payload, &name) or payload.size == 0:
        return False
    count = <unsigned char>payload.at[0]
    payload.at += 1
    payload.size -= 1
    for _ in range(count):
        if not take_text(&payload, &name) or not take_data(&payload, &data):
            return False
        argument = _argument(name)
        if seen & argument:
            return False
        seen |= argument
        if argument == METHOD and data.type == STRING:
            question.method = data.text
        elif argument == TARGET and data.type == STRING:
            question.target = data.text
        elif argument == HEADERS and data.type == BINARY:
            question.headers = data.text
        elif argument == CLIENT and data.type in (IPV4, IPV6, NULL_DATA):
            question.client = data.text
        elif argument == HTTPS and data.type == BOOLEAN:
            question.https = data.truth
        elif argument != OTHER:
            return False
    return seen == ALL and payload.size == 0     # a second message would be a second question


cdef bint write_head(Buffer out, Question *question) except -1:
    cdef Slice rest = question.headers
    cdef Slice name, value
    if not begin_described(out, question.method, question.target):
        return False
    while take_text(&rest, &name) and take_text(&rest, &value):
        if name.size == 0:                       # the end of the list, which has to be the end of the argument too
            if value.size or rest.size:
                return False
            end_described(out)
            return True
        if not put_described(out, name, value):
            return False
    return False


def described(bytes payload not None):
    """The head of HTTP/1, the client's packed address and whether it used TLS, of a NOTIFY; None: it is refused. For tests and tools."""
    cdef Question question
    cdef Buffer out = Buffer.__new__(Buffer)
    if not read_question(Slice(payload, len(payload)), &question) or not write_head(out, &question):
        return None
    return out.data[:out.size], question.client.at[:question.client.size], question.https
