from libc.stdint cimport uint32_t


cpdef enum State:
    NEW = 0                      # no endpoint was asked yet
    PENDING = 1                  # every endpoint is full
    CONNECTING = 2
    AWAITING = 3                 # sent, as far as it was read; the final response has not begun
    RESPONDING = 4
    TUNNEL = 5
    OVER = 6


cpdef enum Event:
    BEGIN = 0                    # its head was authorized, or refused
    ROOM = 1                     # an endpoint may have room again
    PENDING_TIMED_OUT = 2
    STREAM_FREE = 3              # a stream to an endpoint got free
    CONNECTED = 4
    CONNECT_FAILED = 5
    REQUEST_BODY = 6
    REQUEST_BROKEN = 7           # the rest of the request will not come
    INTERIM = 8                  # an interim response
    RESPONSE = 9                 # the head of the final response
    RESPONSE_BODY = 10
    BACKEND_LOST = 11            # the connection to the endpoint ended
    BACKEND_FAILED = 12          # the endpoint broke its word
    CLIENT_DATA = 13             # of a tunnel
    BACKEND_DATA = 14
    CLIENT_ENDED = 15            # it will send no more into the tunnel
    BACKEND_ENDED = 16
    TUNNEL_CLOSED = 17           # the endpoint closed it
    TOKEN_ENDED = 18
    CLIENT_LOST = 19
    TIMED_OUT = 20               # no response head came in time
    DEADLINE = 21                # the deadline of the route has passed
    EVENTS = 22


cdef uint32_t *expected          # by state: a bit for each event
cdef uint32_t *reachable         # by state: a bit for each state


cdef inline bint is_expected(Event event, State state) noexcept nogil:
    return expected[<int>state] >> <int>event & 1


cdef inline bint may_become(State state, State next_state) noexcept nogil:
    return reachable[<int>state] >> <int>next_state & 1
