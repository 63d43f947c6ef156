cimport cython
from libc.stdint cimport uint8_t, uint32_t

from lbjwt._fastverify cimport DenyReason
from lbjwt._grants cimport Grant
from lbjwt.auth._places cimport TokenPlaces
from lbjwt.auth._route_rules cimport RouteRules
from lbjwt.http1._request cimport RequestHead
from lbjwt.http1._answer cimport Answer
from lbjwt.proxy._cluster_choice cimport ClusterChoice
from lbjwt.proxy._path_rewrite cimport PathRewrite
from lbjwt.upstream._cluster cimport Cluster
from lbjwt.upstream._retry cimport RetryRule


@cython.final
cdef class Demand:
    """One token that a route asks for: where it may stand, and what is asked of it."""
    cdef readonly tuple places                   # of TokenPlaces: issuers that are looked for in different places have one each
    cdef readonly tuple issuers                  # beside each of them the rows of the issuers it is for; None: every one
    cdef TokenPlaces _only                       # the one there is, or None
    cdef readonly RouteRules rules               # None: nothing beyond what the issuer asks
    cdef readonly uint32_t number                        # of the rules, under which a Grant remembers their verdict

    # found: bit n is set when places n hold the token. A token in two places must be the same one.
    cdef DenyReason find(self, RequestHead head, const char **token, Py_ssize_t *size, unsigned *found)
    # True when a token of this issuer may stand where it was found
    cdef bint may_stand(self, Grant grant, unsigned found)
    # Append to a trace what is asked of a token of this issuer; also of one that was refused, as far as its claims could be read.
    cdef int tell(self, list trace, Py_ssize_t issuer, unsigned found) except -1
    # Raises for a fault of ours, which is not remembered.
    cdef uint8_t verdict(self, Grant grant) except 0


@cython.final
cdef class Route:
    cdef readonly str name                       # "" for the one route of a configuration without routes
    cdef readonly bytes label                    # the same, for the access log
    cdef readonly Py_ssize_t index               # where the board counts it; -1: nowhere
    cdef readonly Cluster cluster                # where its requests go; None: `choice` says, or nothing is forwarded, as in explain
    cdef readonly ClusterChoice choice           # None: there is one cluster
    cdef readonly PathRewrite rewrite            # None: endpoints get the path of the client
    cdef readonly RetryRule retry                # when they are sent again, and how long they may take
    cdef readonly tuple demands                  # of Demand; empty: the route is public
    cdef readonly tuple strips                   # of TokenPlaces, also of issuers that the route does not ask
    cdef readonly bint allow_missing
    cdef readonly bint report_only
    cdef readonly bint end_streams
    cdef readonly double stream_grace            # seconds
    cdef readonly bint expose_reason             # of errors too: refusals are ready-made
    cdef tuple _plain                            # Answer by DenyReason
    cdef tuple _grpc                             # the same for gRPC callers, one table for each Caller from GRPC on
    cdef tuple _redirects                        # by DenyReason: the template of where a browser is sent, or None
    cdef tuple _would_refuse                     # by DenyReason: the line for the endpoint
    cdef tuple _secret_places                    # of TokenPlaces: what stands there goes along to no other site

    # Take tokens out of what is forwarded, wherever the configuration says so: on every route, public ones too.
    cdef int strip(self, RequestHead head) except -1
    # What the endpoint is told of a refusal that is only reported: a header line.
    cdef bytes would_refuse(self, DenyReason reason)
    cpdef Answer refusal(self, DenyReason reason, RequestHead head, bint https)
    # The same in HTTP's own form, also for gRPC callers. redirects: a browser may be sent to log in.
    cpdef Answer http_refusal(self, DenyReason reason, RequestHead head, bint https, bint redirects)
