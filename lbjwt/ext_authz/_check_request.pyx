"""
A request that Envoy asks about: `envoy.service.auth.v3.CheckRequest`, of which the address of the client and the HTTP request are read.

Its headers come as a map, where Envoy has joined those of one name with commas, or (`encode_raw_headers`) one by one, which is better: two
`Authorization` fields are then seen as two.

Source: external_auth.proto, attribute_context.proto, address.proto and base.proto of Envoy's API.
"""

from libc.stdint cimport uint8_t, uint64_t
from libc.string cimport memcmp

from lbjwt.ext_authz._wire cimport LENGTH_DELIMITED, Entry, take_entry
from lbjwt.http1._described cimport begin_described, end_described, put_described
from lbjwt.http1._scan cimport ALNUM, byte_class

cdef enum:
    # numbers of fields
    CHECK_ATTRIBUTES = 1
    ATTRIBUTES_SOURCE = 1
    ATTRIBUTES_REQUEST = 4
    REQUEST_HTTP = 2
    HTTP_METHOD = 2
    HTTP_HEADERS = 3             # of a map: key and value
    HTTP_PATH = 4
    HTTP_HOST = 5
    HTTP_SCHEME = 6
    HTTP_HEADER_MAP = 13         # of `HeaderMap`
    MAP_HEADERS = 1              # of `HeaderValue`
    KEY = 1
    VALUE = 2
    RAW_VALUE = 3
    PEER_ADDRESS = 1
    ADDRESS_SOCKET = 1
    ADDRESS_PIPE = 2
    SOCKET_ADDRESS = 2

    LONGEST_ADDRESS = 64         # characters; no address is longer


cdef bint _once(Slice *found, Entry *entry) noexcept:
    """Keep the text of a field. False: it came before, or is no text."""
    if found.at != NULL or entry.type != LENGTH_DELIMITED:
        return False
    found[0] = entry.text
    return True


cdef bint _member(Slice message, uint64_t number, Slice *found) noexcept:
    """The one field of a message with this number, which is a message or text itself; `found.at` stays NULL without one."""
    cdef Entry entry
    found[0] = Slice(NULL, 0)
    while message.size:
        if not take_entry(&message, &entry) or (entry.number == number and not _once(found, &entry)):
            return False
    return True


cdef bint _is_address(Slice text) noexcept:
    cdef Py_ssize_t at
    if not 0 < text.size <= LONGEST_ADDRESS:
        return False
    for at in range(text.size):
        if not byte_class[<uint8_t>text.at[at]] & ALNUM and text.at[at] not in (c".", c":", c"%", c"-"):
            return False
    return True


cdef bint _read_client(Slice source, Slice *client) noexcept:
    cdef Slice address, endpoint
    client[0] = Slice(NULL, 0)
    if not _member(source, PEER_ADDRESS, &address):
        return False
    if not _member(address, ADDRESS_SOCKET, &endpoint):
        return False
    if endpoint.at == NULL:
        return _member(address, ADDRESS_PIPE, &endpoint) and endpoint.at != NULL
    return _member(endpoint, SOCKET_ADDRESS, client) and _is_address(client[0])


cdef bint read_check(Slice message, Check *check) noexcept:
    cdef Slice attributes, source, request, rest
    cdef Entry entry
    check.method = check.path = check.host = check.scheme = Slice(NULL, 0)
    if not _member(message, CHECK_ATTRIBUTES, &attributes) or attributes.at == NULL:
        return False
    if not _member(attributes, ATTRIBUTES_SOURCE, &source) or not _member(attributes, ATTRIBUTES_REQUEST, &request):
        return False
    if source.at == NULL or request.at == NULL or not _read_client(source, &check.client):
        return False
    if not _member(request, REQUEST_HTTP, &check.http):
        return False
    rest = check.http
    while rest.size:
        if not take_entry(&rest, &entry):
            return False
        if entry.number == HTTP_METHOD and not _once(&check.method, &entry):
            return False
        if entry.number == HTTP_PATH and not _once(&check.path, &entry):
            return False
        if entry.number == HTTP_HOST and not _once(&check.host, &entry):
            return False
        if entry.number == HTTP_SCHEME and not _once(&check.scheme, &entry):
            return False
    return check.method.size > 0 and check.path.size > 0 and check.host.size > 0 and (_is_http(check.scheme) or is_https(check))


cdef bint _is_http(Slice scheme) noexcept:
    return scheme.size == 4 and memcmp(scheme.at, b"http", 4) == 0


cdef bint is_https(Check *check) noexcept:
    return check.scheme.size == 5 and memcmp(check.scheme.at, b"https", 5) == 0


cdef bint _put_header(Buffer out, Slice header) except -1:
    """A `HeaderValue`, or an entry of the map, which has its key and value under the same numbers."""
    cdef Slice name = Slice(NULL, 0)
    cdef Slice value = Slice(NULL, 0)
    cdef Entry entry
    while header.size:
        if not take_entry(&header, &entry):
            return False
        if entry.number == KEY and not _once(&name, &entry):
            return False
        if (entry.number == VALUE or entry.number == RAW_VALUE) and entry.text.size and not _once(&value, &entry):
            return False
    if name.size and name.at[0] == c":":         # said apart: method, path, host and scheme
        return True
    return put_described(out, name, value)


cdef bint write_head(Buffer out, Check *check) except -1:
    cdef Slice rest = check.http
    cdef Slice headers
    cdef Entry entry, one
    cdef uint64_t form = 0                       # the number of the field that has the headers
    if not begin_described(out, check.method, check.path) or not put_described(out, Slice(b"host", 4), check.host):
        return False
    while rest.size:
        if not take_entry(&rest, &entry):
            return False
        if entry.number != HTTP_HEADERS and entry.number != HTTP_HEADER_MAP:
            continue
        if entry.type != LENGTH_DELIMITED or (form != 0 and form != entry.number):
            return False
        form = entry.number
        headers = entry.text
        if form == HTTP_HEADERS:
            if not _put_header(out, headers):
                return False
            continue
        while headers.size:
            if not take_entry(&headers, &one):
                return False
            if one.number == MAP_HEADERS and (one.type != LENGTH_DELIMITED or not _put_header(out, one.text)):
                return False
    end_described(out)
    return form != 0


def described(bytes message not None):
    """The head of HTTP/1, the client's address and whether it used TLS, of a `CheckRequest`; None: it is refused. For tests and tools."""
    cdef Check check
    cdef Buffer out = Buffer.__new__(Buffer)
    if not read_check(Slice(message, len(message)), &check) or not write_head(out, &check):
        return None
    return out.data[:out.size], check.client.at[:check.client.size], is_https(&check)
