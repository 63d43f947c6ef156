# May an endpoint get a request? What clusters, pools, balancing rules, ejection and readiness ask about an endpoint is answered here, once.
# The answers need the state that all processes share and the configured weight. Whether there is room is the business of its pool.

from libc.stdint cimport int64_t

from lbjwt.observe._endpoint_states cimport CONNECT_FAILURES, FAILING, IN_SERVICE, EndpointState


cdef inline int64_t weight_of(const EndpointState *state, int64_t configured) noexcept:
    """The weight now: the one that was set at run time, else the configured one."""
    return state.weight - 1 if state.weight else configured


cdef inline bint takes_requests(const EndpointState *state, int64_t configured) noexcept:
    """Its operator lets it have new requests: it is in service, and its weight is not 0."""
    return state.service == IN_SERVICE and weight_of(state, configured) != 0


cdef inline bint carries_load(const EndpointState *state, int64_t configured, bint backup) noexcept:
    """It counts as one of the endpoints of its cluster for panic and for the share that may be ejected."""
    return not backup and takes_requests(state, configured)


cdef inline bint is_reachable(const EndpointState *state, double now) noexcept:
    """It is not ejected because connecting failed."""
    return state.on_trial != 1 + CONNECT_FAILURES or state.ejected_until <= now


cdef inline bint is_healthy(const EndpointState *state, double now) noexcept:
    """It is not ejected, no other request tries it, and it fails no check. In panic: it can be reached."""
    return (state.ejected_until <= now and state.check != FAILING) or (state.panic and is_reachable(state, now))


cdef inline bint is_in_rotation(const EndpointState *state) noexcept:
    """It was not ejected, or a good response ended that; and it fails no check."""
    return not state.on_trial and state.check != FAILING
