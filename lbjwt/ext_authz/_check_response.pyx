"""
The verdict for Envoy: `envoy.service.auth.v3.CheckResponse`.

On an allowed request, the headers named for removal are removed, and the others replace those of the same name that the client sent. A refused one is
answered by Envoy with the status, headers and body that stand here; a gRPC client gets the gRPC status that goes with that status.

Source: external_auth.proto and base.proto of Envoy's API, status.proto of Google's, struct.proto of Protocol Buffers.
"""

import struct

from lbjwt.ext_authz._wire cimport integer_field, text_field

cdef enum:
    # numbers of fields
    RESPONSE_STATUS = 1          # of google.rpc.Status
    RESPONSE_DENIED = 2
    RESPONSE_OK = 3
    RESPONSE_METADATA = 4
    OK_HEADERS = 2
    OK_HEADERS_TO_REMOVE = 5
    OK_QUERY_TO_REMOVE = 8
    DENIED_STATUS = 1
    DENIED_HEADERS = 2
    DENIED_BODY = 3
    CODE = 1                     # of either status
    OPTION_HEADER = 1
    OPTION_APPEND = 2
    OPTION_ACTION = 3
    KEY = 1
    VALUE = 2

    OVERWRITE = 2                # an action: replace, or add
    DEEPEST = 16                 # levels of a claim; a deeper one is left out

    # of google.rpc.Code
    PERMISSION_DENIED = 7
    UNAUTHENTICATED = 16


cdef bytes _header(bytes name, bytes value):
    """A `HeaderValueOption` that replaces: older versions of Envoy read `append`, newer ones the action."""
    cdef bytes header = text_field(KEY, name) + text_field(VALUE, value)
    return text_field(OPTION_HEADER, header) + text_field(OPTION_APPEND, b"") + integer_field(OPTION_ACTION, OVERWRITE)


cpdef bytes allowed(list headers, list removed, list query, bytes metadata):
    cdef list parts = [text_field(OK_HEADERS, _header(name, value)) for name, value in headers]
    parts += [text_field(OK_HEADERS_TO_REMOVE, name) for name in removed]
    parts += [text_field(OK_QUERY_TO_REMOVE, name) for name in query]
    cdef bytes response = text_field(RESPONSE_STATUS, b"") + text_field(RESPONSE_OK, b"".join(parts))
    return response + text_field(RESPONSE_METADATA, metadata) if metadata else response


cpdef bytes denied(int status, list headers, bytes body):
    cdef list parts = [text_field(DENIED_STATUS, integer_field(CODE, status))]
    parts += [text_field(DENIED_HEADERS, _header(name, value)) for name, value in headers]
    if body:
        parts.append(text_field(DENIED_BODY, body))
    cdef int code = UNAUTHENTICATED if status == 401 else PERMISSION_DENIED
    return text_field(RESPONSE_STATUS, integer_field(CODE, code)) + text_field(RESPONSE_DENIED, b"".join(parts))


# --- metadata ----------------------------------------------------------------------------------------------------------

def struct_of(dict members not None):
    """
    A `google.protobuf.Struct` of JSON values. Its numbers are of double precision, as those of JavaScript.

    A member that is nested deeper than 16 levels is left out.
    """
    return _struct(members, DEEPEST)


cdef bytes _struct(dict members, int depth):
    cdef list parts = []
    for name, member in members.items():
        value = _value(member, depth)
        if value is not None:
            parts.append(text_field(1, text_field(KEY, (<str>name).encode()) + text_field(VALUE, <bytes>value)))
    return b"".join(parts)


cdef object _value(object value, int depth):
    """A `google.protobuf.Value`; None: it is too deep."""
    if depth == 0:
        return None
    if value is None:
        return integer_field(1, 0)
    if value is True or value is False:
        return integer_field(4, value is True)
    if type(value) is str:
        return text_field(3, (<str>value).encode())
    if type(value) is dict:
        return text_field(5, _struct(value, depth - 1))
    if type(value) is list:
        values = [_value(member, depth - 1) for member in value]
        return None if None in values else text_field(6, b"".join([text_field(1, <bytes>one) for one in values]))
    return b"\x11" + struct.pack("<d", value)    # field 2, eight bytes
