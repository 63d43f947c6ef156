"""
The states of an exchange, and what may happen in each: data that every event is checked against.

A request that looks for an endpoint, which `SENT_OFF` stands for, becomes AWAITING on an idle connection, CONNECTING on a new one, PENDING when every
endpoint is full, or OVER when lbjwt answers in the endpoint's place: 503 when none is left or the queue is full, 4xx when it is refused.

| event                       | in state                                  | next                                             |
| --------------------------- | ----------------------------------------- | ------------------------------------------------ |
| begin                       | NEW                                       | as above                                         |
| room                        | PENDING                                   | as above                                         |
| pending timed out           | PENDING                                   | OVER: 503                                        |
| stream free, connected      | CONNECTING; stream free also PENDING      | AWAITING; as above if not one byte could be sent |
| connect failed, or took its | CONNECTING                                | as above, to an endpoint that was not tried      |
| share of the deadline       |                                           |                                                  |
| request body                | AWAITING, RESPONDING                      | the same                                         |
| request broken              | PENDING, CONNECTING, AWAITING, RESPONDING | OVER: 4xx, or cut short                          |
| interim                     | AWAITING                                  | AWAITING                                         |
| response                    | AWAITING                                  | RESPONDING; TUNNEL after 101; as above when      |
|                             |                                           | `_retry` allows                                  |
| response body               | RESPONDING                                | RESPONDING; OVER at its end                      |
| backend lost                | AWAITING                                  | as above when `_retry` allows; else OVER: 502    |
| backend lost                | RESPONDING, TUNNEL                        | OVER, cut short                                  |
| backend failed              | AWAITING, RESPONDING, TUNNEL              | OVER: 502 or 504, or cut short                   |
| client data, backend data   | TUNNEL                                    | TUNNEL                                           |
| client ended, backend ended | TUNNEL                                    | TUNNEL; OVER once both have                      |
| tunnel closed               | TUNNEL                                    | OVER                                             |
| token ended                 | RESPONDING, TUNNEL                        | OVER, cut short                                  |
| token ended                 | AWAITING, of an upload                    | OVER: cut short, or the status of a gRPC call    |
| client lost                 | all but OVER                              | OVER; what the endpoint has of it is given up    |
| timed out                   | AWAITING                                  | as above when `_retry` allows; else OVER: 504    |
| deadline                    | PENDING, CONNECTING, AWAITING             | OVER: 504                                        |
| deadline                    | RESPONDING, of a gRPC call                | OVER, cut short                                  |

Any other event is a fault of lbjwt: it is counted, and the request ends at once, with 503 or cut short. In OVER nothing is done, as the exchange may
serve another request already. From each state an exchange may move on to those that some event in that state leads to.
"""

cdef uint32_t _expected[7]
cdef uint32_t _reachable[7]
expected = _expected
reachable = _reachable

SENT_OFF = (PENDING, CONNECTING, AWAITING, OVER)
"""Where a request goes that looks for an endpoint."""

TABLE = {
    (BEGIN, NEW): SENT_OFF,
    (ROOM, PENDING): SENT_OFF,
    (PENDING_TIMED_OUT, PENDING): (OVER,),
    (STREAM_FREE, PENDING): SENT_OFF,
    (STREAM_FREE, CONNECTING): SENT_OFF,
    (CONNECTED, CONNECTING): SENT_OFF,
    (CONNECT_FAILED, CONNECTING): SENT_OFF,
    (REQUEST_BODY, AWAITING): (AWAITING,),
    (REQUEST_BODY, RESPONDING): (RESPONDING,),
    (REQUEST_BROKEN, PENDING): (OVER,),
    (REQUEST_BROKEN, CONNECTING): (OVER,),
    (REQUEST_BROKEN, AWAITING): (OVER,),
    (REQUEST_BROKEN, RESPONDING): (OVER,),
    (INTERIM, AWAITING): (AWAITING,),
    (RESPONSE, AWAITING): (RESPONDING, TUNNEL, *SENT_OFF),
    (RESPONSE_BODY, RESPONDING): (RESPONDING, OVER),
    (BACKEND_LOST, AWAITING): SENT_OFF,
    (BACKEND_LOST, RESPONDING): (OVER,),
    (BACKEND_LOST, TUNNEL): (OVER,),
    (BACKEND_FAILED, AWAITING): (OVER,),
    (BACKEND_FAILED, RESPONDING): (OVER,),
    (BACKEND_FAILED, TUNNEL): (OVER,),
    (CLIENT_DATA, TUNNEL): (TUNNEL,),
    (BACKEND_DATA, TUNNEL): (TUNNEL,),
    (CLIENT_ENDED, TUNNEL): (TUNNEL, OVER),
    (BACKEND_ENDED, TUNNEL): (TUNNEL, OVER),
    (TUNNEL_CLOSED, TUNNEL): (OVER,),
    (TOKEN_ENDED, AWAITING): (OVER,),
    (TOKEN_ENDED, RESPONDING): (OVER,),
    (TOKEN_ENDED, TUNNEL): (OVER,),
    (CLIENT_LOST, NEW): (OVER,),
    (CLIENT_LOST, PENDING): (OVER,),
    (CLIENT_LOST, CONNECTING): (OVER,),
    (CLIENT_LOST, AWAITING): (OVER,),
    (CLIENT_LOST, RESPONDING): (OVER,),
    (CLIENT_LOST, TUNNEL): (OVER,),
    (TIMED_OUT, AWAITING): SENT_OFF,
    (DEADLINE, PENDING): (OVER,),
    (DEADLINE, CONNECTING): (OVER,),
    (DEADLINE, AWAITING): (OVER,),
    (DEADLINE, RESPONDING): (OVER,),
}
"""(event, state) -> states after it, further events that it causes left out."""


def _fill():
    cdef int event, state, after
    for (event, state), following in TABLE.items():
        _expected[state] |= 1 << event
        for after in following:
            _reachable[state] |= 1 << after
    for state in range(7):
        _reachable[state] |= 1 << state


_fill()
