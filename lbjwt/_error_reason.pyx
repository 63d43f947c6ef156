"""Why a request failed, beside the verdicts on its token (`DenyReason`): the request itself, its endpoint, its client, or us."""


cpdef int error_status(ErrorReason reason) noexcept:
    if reason == ErrorReason.NO_ERROR or ErrorReason.CLIENT_CLOSED <= reason <= ErrorReason.SHUTDOWN or reason == ErrorReason.FLOOD:
        return 0
    if reason >= ErrorReason.UNTRUSTED_PEER:
        return 403 if reason == ErrorReason.UNTRUSTED_PEER else 400
    if reason >= ErrorReason.RESPONSE_BARE_LF:
        return 502
    if (reason == ErrorReason.RESPONSE_TIMEOUT or reason == ErrorReason.STREAM_IDLE or reason == ErrorReason.ROUTE_TIMEOUT
            or reason == ErrorReason.DEADLINE_EXCEEDED):
        return 504
    if reason == ErrorReason.PSEUDO_FIELD or reason == ErrorReason.CONNECTION_FIELD:
        return 400
    if reason >= ErrorReason.ENDPOINTS_DOWN:
        return 503
    if reason == ErrorReason.NO_ROUTE:
        return 404
    if reason == ErrorReason.METHOD_NOT_ALLOWED:
        return 405
    if reason == ErrorReason.HEAD_TIMEOUT or reason == ErrorReason.BODY_TIMEOUT:
        return 408
    if reason == ErrorReason.BODY_TOO_LARGE:
        return 413
    if reason == ErrorReason.LINE_TOO_LONG:
        return 414
    if reason == ErrorReason.UNKNOWN_EXPECTATION:
        return 417
    if reason == ErrorReason.HEAD_TOO_LARGE or reason == ErrorReason.TOO_MANY_FIELDS:
        return 431
    if reason == ErrorReason.UNSUPPORTED_CODING:
        return 501
    return 505 if reason == ErrorReason.HTTP_VERSION else 400
