"""
Requests that wait for keys. A token with an unknown key id may be the first one of a new key: one fetch serves all requests that wait, and
then each is judged once more. At most `most` requests of an issuer wait, for at most `patience` seconds, because anybody can make up key ids.
"""


cdef class Waiting:

    def __init__(self, Board board not None, Py_ssize_t issuers, ask, *, Py_ssize_t most, double patience):
        self.most = most
        self.patience = patience
        self._board = board
        self._ask = ask
        self._parked = [{} for _ in range(issuers)]     # by index, of every issuer that any reload can bring

    cdef bint enter(self, ClientStream client, Py_ssize_t issuer):
        cdef dict parked = self._parked[issuer]
        if len(parked) >= self.most or not self._ask(issuer):
            return False
        parked[client] = None
        self._board.mine.waiting += 1
        self._board.mine.waited += 1
        return True

    cdef void leave(self, ClientStream client, Py_ssize_t issuer):
        cdef dict parked = self._parked[issuer]
        if client in parked:
            del parked[client]
            self._board.mine.waiting -= 1

    def settled(self, Py_ssize_t issuer):
        cdef ClientStream client
        for client in list(self._parked[issuer]):
            client.judge_again()

    def reload(self, *, Py_ssize_t most, double patience):
        """Other limits from now on. The requests that wait are judged once more, by the rules and keys of the moment."""
        cdef Py_ssize_t issuer
        self.most = most
        self.patience = patience
        for issuer in range(len(self._parked)):
            if self._parked[issuer]:
                self.settled(issuer)
