"""
Requests that wait a moment for keys. A token with an unknown key id may be the first one of a new key: the keys are fetched once for all who
wait, and then each is judged once more. Who may start a fetch, and how often, is not decided here; bounded in number and time, so that
tokens with made-up ids hold no more than `most` requests for `patience` seconds.
"""


cdef class Waiting:

    def __init__(self, Board board not None, Py_ssize_t issuers, ask, *, Py_ssize_t most, double patience):
        """issuers: how many indexes there are, now and after any reload. ask: see the declaration."""
        self.most = most
        self.patience = patience
        self._board = board
        self._ask = ask
        self._parked = [{} for _ in range(issuers)]

    cdef bint enter(self, Downstream client, Py_ssize_t issuer):
        cdef dict parked = self._parked[issuer]
        if len(parked) >= self.most or not self._ask(issuer):
            return False
        parked[client] = None
        self._board.mine.waiting += 1
        self._board.mine.waited += 1
        return True

    cdef void leave(self, Downstream client, Py_ssize_t issuer):
        cdef dict parked = self._parked[issuer]
        if client in parked:
            del parked[client]
            self._board.mine.waiting -= 1

    def settled(self, Py_ssize_t issuer):
        """An attempt to fetch the keys of this issuer has ended."""
        cdef Downstream client
        for client in list(self._parked[issuer]):
            client.judge_again()

    def reload(self, *, Py_ssize_t most, double patience):
        """Other limits from now on. Those who wait are judged once more, by the rules and keys of the moment."""
        cdef Py_ssize_t issuer
        self.most = most
        self.patience = patience
        for issuer in range(len(self._parked)):
            if self._parked[issuer]:
                self.settled(issuer)
