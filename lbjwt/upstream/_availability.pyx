"""May an endpoint get a request? The `.pxd` has the rules; this is how Python asks them, at most a few times a second."""

from lbjwt.observe._endpoint_states cimport EndpointStates


def weight_now(EndpointStates states not None, Py_ssize_t row, int64_t configured):
    """The weight of the endpoint in this row: the one that was set at run time, else the configured one."""
    states._check(row)
    return weight_of(states.at(row), configured)


def may_serve(EndpointStates states not None, Py_ssize_t row, int64_t configured):
    """
    True while the endpoint in this row takes requests and fails no check. Ejections do not count, as they end by themselves within seconds.

    configured: its weight in the configuration.
    """
    states._check(row)
    return takes_requests(states.at(row), configured) and states.at(row).check != FAILING
