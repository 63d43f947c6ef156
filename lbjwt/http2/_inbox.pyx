"""
What the engine finds in the input of a connection. It tells so while it works, when nothing may be asked of it; the session tells its owner
afterwards. No Python object is made of an event or a field.

A worker has few of these in use at a time: a connection keeps one only while a head, or the end of a stream, waits in it.
"""

from libc.stdlib cimport free, realloc
from libc.string cimport memcpy, memmove

cdef enum:
    OVERHEAD = 32                # bytes that RFC 9113 section 6.5.2 counts for each field
    FEW_EVENTS = 16              # there is room for at first
    FEW_FIELDS = 64
    MOST_EVENTS = 1024           # of an inbox that is used again
    MOST_FIELDS = 1024
    MOST_TEXT = 65536            # bytes
    SPARES = 16                  # inboxes kept to be used again

cdef list _spares = []


cdef Inbox take_inbox():
    cdef Inbox inbox
    if _spares:
        return <Inbox>_spares.pop()
    inbox = Inbox.__new__(Inbox)
    inbox._text = Buffer.__new__(Buffer)
    return inbox


cdef void give_back(Inbox inbox):
    if (len(_spares) < SPARES and inbox._event_capacity <= MOST_EVENTS and inbox._field_capacity <= MOST_FIELDS
            and inbox._text.capacity <= MOST_TEXT):
        inbox.clear()
        _spares.append(inbox)


cdef class Inbox:

    def __dealloc__(self):
        free(self._events)
        free(self._fields)

    cdef Event *add(self, EventKind kind, int stream) noexcept:
        cdef Event *event
        cdef Py_ssize_t capacity
        if self._event_count == self._event_capacity:
            capacity = 2 * self._event_capacity if self._event_capacity else FEW_EVENTS
            event = <Event *>realloc(self._events, capacity * sizeof(Event))
            if event == NULL:
                return NULL
            self._events = event
            self._event_capacity = capacity
        event = &self._events[self._event_count]
        self._event_count += 1
        event.kind = kind
        event.stream = stream
        event.code = 0
        event.end = False
        event.at = NULL
        event.size = event.first = event.count = 0
        return event

    cdef Event *add_head(self, EventKind kind, int stream) noexcept:
        cdef Event *event = self.add(kind, stream)
        if event != NULL:
            event.first = self._first
            event.count = self._field_count - self._first
        self._begun = False
        return event

    cdef Event *last(self) noexcept:
        return &self._events[self._event_count - 1] if self._event_count > self._told else NULL

    cdef void begin_head(self) noexcept:
        self._first = self._field_count
        self._size = 0
        self._begun = True

    cdef bint add_field(self, const uint8_t *name, size_t name_size, const uint8_t *value, size_t value_size, Py_ssize_t most,
                        Py_ssize_t most_bytes) noexcept:
        cdef Field *field
        cdef Py_ssize_t capacity
        cdef Py_ssize_t size = name_size + value_size
        cdef Buffer text = self._text
        self._size += size + OVERHEAD
        if self._size > most_bytes or self._field_count - self._first >= most:
            return False
        if self._field_count == self._field_capacity:
            capacity = 2 * self._field_capacity if self._field_capacity else FEW_FIELDS
            field = <Field *>realloc(self._fields, capacity * sizeof(Field))
            if field == NULL:
                return False
            self._fields = field
            self._field_capacity = capacity
        if size > text.capacity - text.size:
            try:
                text.reserve(size)
            except MemoryError:
                return False
        field = &self._fields[self._field_count]
        self._field_count += 1
        field.name.at = <const char *>text.size
        field.name.size = name_size
        memcpy(text.data + text.size, name, name_size)
        text.size += name_size
        field.value.at = <const char *>text.size
        field.value.size = value_size
        memcpy(text.data + text.size, value, value_size)
        text.size += value_size
        field.kind = 0
        return True

    cdef bint names_status(self, bint *interim) noexcept:
        cdef Field *field
        if self._field_count == self._first:
            return False
        field = &self._fields[self._first]
        if field.name.size == 0 or self._text.data[<Py_ssize_t>field.name.at] != c':':      # it is the only pseudo-header field of responses
            return False
        interim[0] = field.value.size > 0 and self._text.data[<Py_ssize_t>field.value.at] == c'1'
        return True

    cdef bint next(self, Event *event) noexcept:
        if self._told == self._event_count:
            return False
        event[0] = self._events[self._told]
        self._told += 1
        return True

    cdef FieldList fields(self, Event *event) noexcept:
        cdef Field *field = self._fields + event.first
        cdef Field *end = field + event.count
        cdef char *base = self._text.data
        while field < end:
            field.name.at = base + <Py_ssize_t>field.name.at
            field.value.at = base + <Py_ssize_t>field.value.at
            field += 1
        return FieldList(self._fields + event.first, event.count)

    cdef bint tidy(self, bint keeps_head) noexcept:
        cdef Py_ssize_t count, begin, number
        if self._told < self._event_count:
            return False
        self._told = self._event_count = 0
        count = self._field_count - self._first
        if not (keeps_head and self._begun):
            self.clear()
            return True
        if self._first and count:
            begin = <Py_ssize_t>self._fields[self._first].name.at
            memmove(self._text.data, self._text.data + begin, self._text.size - begin)
            self._text.size -= begin
            memmove(self._fields, self._fields + self._first, count * sizeof(Field))
            for number in range(count):
                self._fields[number].name.at -= begin
                self._fields[number].value.at -= begin
        elif not count:
            self._text.clear()
        self._first = 0
        self._field_count = count
        return False

    cdef void clear(self) noexcept:
        self._told = self._event_count = self._first = self._field_count = self._size = 0
        self._begun = False
        self._text.clear()
