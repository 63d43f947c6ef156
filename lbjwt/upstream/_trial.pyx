"""
The two words of an ejection, `on_trial` and `ejected_until`, and the order in which workers write them.

No lock holds the two together: between two writes of one worker others read and write, and a worker may die there. One state must not last:
`ejected_until` in the future while `on_trial` is 0, as the endpoint would be out of rotation with nothing in log and metrics.

- `eject` writes the time first. Of several workers one wins that swap, and the others see a time in the future. If the winner dies before it writes
  `on_trial`, the endpoint is back when the time is over.
- `readmit` clears `on_trial` first. One worker wins that swap. Then it writes the time, whatever is there.
- `begin_trial` looks at `on_trial` again after it moved the time. If the endpoint came back meanwhile, it moves the time back, unless `readmit` did.
"""

from libc.stdint cimport int64_t

from lbjwt.observe._endpoint_states cimport publish, swap, swap_word

cdef object _interruption = None


def interrupt(callback):
    """For tests: call this, with the name of the step, between two reads or writes, as if another worker ran there. None: nothing."""
    global _interruption
    _interruption = callback


cdef void _between(str name) noexcept:
    if _interruption is not None:
        _interruption(name)


cdef bint eject(EndpointState *state, double before, double until, EjectionCause cause) noexcept:
    if not swap(&state.ejected_until, before, until):
        return False
    _between("eject")
    state.on_trial = 1 + cause
    return True


cdef void revoke(EndpointState *state, double before) noexcept:
    state.on_trial = 0
    publish(&state.ejected_until, before)


cdef bint begin_trial(EndpointState *state, double now, double seconds) noexcept:
    cdef double until
    _between("begin_trial")
    until = state.ejected_until
    if until > now:
        return False
    _between("begin_trial: time read")
    if not swap(&state.ejected_until, until, now + seconds):
        return False
    _between("begin_trial: time moved")
    if state.on_trial == 0:
        swap(&state.ejected_until, now + seconds, until)
        return False
    return True


cdef void pass_trial_on(EndpointState *state, double now) noexcept:
    if state.on_trial:
        publish(&state.ejected_until, now)


cdef bint readmit(EndpointState *state, double now) noexcept:
    cdef int64_t reason = state.on_trial
    if reason == 0 or not swap_word(&state.on_trial, reason, 0):
        return False
    _between("readmit")
    state.serving_since = now                    # before the time: a worker that sends a request there sees that its slow start begins
    publish(&state.ejected_until, now)
    return True
