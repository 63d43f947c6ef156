"""
Bodies on their way to the peer. Most pass straight through: what a caller sends is lent to the engine, which takes what the windows allow, and only
the rest is copied and waits.
"""

from libc.stdint cimport uint8_t
from libc.stdlib cimport calloc, free, malloc, realloc
from libc.string cimport memcpy, memmove

cdef enum:
    LITTLE = 4096                # bytes there is room for at first


cdef Body *new_body(Body **first) noexcept:
    cdef Body *body = <Body *>calloc(1, sizeof(Body))
    if body == NULL:
        return NULL
    body.after = first[0]
    if first[0] != NULL:
        first[0].before = body
    first[0] = body
    return body


cdef void free_body(Body **first, Body *body) noexcept:
    if body.before == NULL:
        first[0] = body.after
    else:
        body.before.after = body.after
    if body.after != NULL:
        body.after.before = body.before
    free(body.own)
    free(body.trailers)
    free(body)


cdef bint append(Body *body, const char *at, Py_ssize_t size) noexcept:
    cdef Py_ssize_t held = body.end - body.start
    cdef Py_ssize_t capacity
    cdef char *grown
    if size > body.capacity - body.end and body.start:
        memmove(body.own, body.own + body.start, held)
        body.start = 0
        body.end = held
    if size > body.capacity - body.end:
        capacity = max(2 * body.capacity, held + size, LITTLE)
        grown = <char *>realloc(body.own, capacity)
        if grown == NULL:
            return False
        body.own = grown
        body.capacity = capacity
    if size:
        memcpy(body.own + body.end, at, size)
        body.end += size
    return True


cdef bint keep_lent(Body *body) noexcept:
    cdef const char *at = body.lent
    cdef Py_ssize_t size = body.lent_size
    body.lent = NULL
    body.lent_size = 0
    return append(body, at, size)


cdef bint keep_trailers(Body *body, FieldsOut fields) noexcept:
    cdef Py_ssize_t size = fields.count * sizeof(NameValue)
    cdef Py_ssize_t number
    cdef NameValue *field
    cdef uint8_t *text
    for number in range(fields.count):
        size += fields.at[number].name_size + fields.at[number].value_size
    body.trailers = <NameValue *>malloc(max(size, 1))
    if body.trailers == NULL:
        return False
    body.trailer_count = fields.count
    text = <uint8_t *>(body.trailers + fields.count)
    for number in range(fields.count):
        field = &body.trailers[number]
        field[0] = fields.at[number]
        memcpy(text, field.name, field.name_size)
        field.name = text
        text += field.name_size
        memcpy(text, field.value, field.value_size)
        field.value = text
        text += field.value_size
    return True
