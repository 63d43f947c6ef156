"""The client side as an exchange sees it; a protocol implements it."""


cdef class Downstream(Wire):

    cdef void interim(self, ResponseHead head):
        pass

    cdef void respond(self, ResponseHead head, const char *body, Py_ssize_t size, bint end):
        pass

    cdef void relay(self, const char *body, Py_ssize_t size, bint end):
        pass

    cdef void switch(self, ResponseHead head):
        pass

    cdef void answer(self, Answer answer, Slice request_id):
        pass

    cdef void cut(self):
        pass

    cdef void request_wanted(self):
        pass

    cdef void released(self):
        pass

    cdef void judge_again(self):
        pass

    cdef void outlive(self, double now):
        pass

    cdef Slice peer(self):
        return Slice(NULL, 0)
