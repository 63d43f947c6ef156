from lbjwt.observe._endpoint_states cimport EjectionCause, EndpointState


# Eject until this time (seconds on the monotonic clock). before: `ejected_until` as it was read when the decision began. False: another worker
# changed it since.
cdef bint eject(EndpointState *state, double before, double until, EjectionCause cause) noexcept
# Take the ejection back that this worker has just begun.
cdef void revoke(EndpointState *state, double before) noexcept
# Take the trial for so many seconds. False: it is not time yet, another worker has it, or the endpoint is back in rotation.
cdef bint begin_trial(EndpointState *state, double now, double seconds) noexcept
# The trial showed nothing: the next request may try the endpoint.
cdef void pass_trial_on(EndpointState *state, double now) noexcept
# Put the endpoint back into rotation. True for the one worker that did.
cdef bint readmit(EndpointState *state, double now) noexcept
