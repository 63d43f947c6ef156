"""
Requests that wait for keys. A token with an unknown key id may be the first one of a new key: one fetch serves all requests that wait, and then
each is authorized once more. At most `max_waiting` requests of an issuer wait, for at most `max_wait` seconds, because anybody can make up key ids.
"""


cdef class KeyWait:

    def __init__(self, Board board not None, ask, *, Py_ssize_t max_waiting, double max_wait):
        self.max_waiting = max_waiting
        self.max_wait = max_wait
        self._board = board
        self._ask = ask
        self._waiting = {}

    cdef bint enter(self, ClientStream client, Py_ssize_t issuer):
        cdef dict waiting = self._waiting.setdefault(issuer, {})
        if len(waiting) >= self.max_waiting or not self._ask(issuer):
            return False
        waiting[client] = None
        self._board.mine.waiting += 1
        self._board.mine.waited += 1
        return True

    cdef void leave(self, ClientStream client, Py_ssize_t issuer):
        cdef dict waiting = self._waiting.get(issuer)
        if waiting is not None and client in waiting:
            del waiting[client]
            self._board.mine.waiting -= 1

    def fetch_done(self, Py_ssize_t issuer):
        cdef ClientStream client
        for client in list(self._waiting.get(issuer, ())):
            client.authorize_again()

    def reload(self, *, Py_ssize_t max_waiting, double max_wait):
        """Other limits from now on. The requests that wait are authorized once more, by the rules and keys of the moment."""
        cdef Py_ssize_t issuer
        self.max_waiting = max_waiting
        self.max_wait = max_wait
        for issuer in list(self._waiting):
            self.fetch_done(issuer)
