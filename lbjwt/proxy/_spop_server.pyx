"""
The agent of HAProxy's SPOE filter: frames of one connection in, one question after another, each answered with variables.

A question is one request as HAProxy describes it. It becomes a head of HTTP/1 and an exchange like every other request, but its answer goes to no
client: it is written as variables, by which the rules of HAProxy act. `allowed` is true for a request that may pass and false for every other; when
something goes wrong it is not set at all, so rules that ask for it fail closed.

HAProxy asks no second question on a connection before the first one is answered, as we announce no pipelining.
"""

import ipaddress

from lbjwt._error_reason import ErrorReason as _ErrorReason
from lbjwt._fastverify import DenyReason as _DenyReason

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE

from lbjwt._fastverify cimport NONE
from lbjwt.auth._callers cimport Caller
from lbjwt.http1._request cimport RequestHead
from lbjwt.net._clock cimport coarse_monotonic, wall_clock
from lbjwt.net._connection cimport FAILED, Events, streamed_connection
from lbjwt.net._tls cimport TlsSession
from lbjwt.proxy._authorization cimport Authorization
from lbjwt.proxy._exchange cimport REQUEST_ID_SIZE, new_exchange
from lbjwt.proxy._refused_head cimport record_head, record_lost_head, refuse_head
from lbjwt.spop._answer cimport put_flag, put_number, put_string, variable_of
from lbjwt.spop._frames cimport (
    FrameType, Hello, LENGTH, MAX_FRAME, begin_frame, end_frame, frame_size, put_disconnect, put_hello, read_frame, read_hello,
)
from lbjwt.spop._question cimport Question, read_question, write_head

cdef enum:
    DROPPED = 65536              # bytes dropped of a HAProxy that was told to go; one that sends more is cut off

cdef double LINGER = 5.0         # seconds for the last frame to be read
cdef dict _DENIALS = {int(reason): reason.name.lower().encode() for reason in _DenyReason}
cdef dict _ERRORS = {int(reason): reason.name.lower().encode() for reason in _ErrorReason}


cdef class SpopServer(ClientStream):

    # --- the connection -----------------------------------------------------------------------------------------------

    cdef void _open(self, Connection connection):
        cdef ProxyContext context = self.context
        self.connection = connection
        self.phase = HELLO
        self.waits_for = -1
        context.client_opened(self)
        self.deadline = coarse_monotonic() + self.listener.handshake_timeout
        self.peer_text = self.client_text = connection.peer()
        if not self.listener.authorizer.original.believes(self.peer()):
            context.board.mine.errors[<int>ErrorReason.UNTRUSTED_PEER] += 1
            self.phase = GONE
            connection.reset()
        elif context.clients > context.max_clients:
            context.board.mine.errors[<int>ErrorReason.TOO_MANY_CONNECTIONS] += 1
            self.phase = GONE
            connection.reset()

    cdef void _ready(self):
        if self.phase == HELLO:
            self.deadline = coarse_monotonic() + self.context.snapshot.head_timeout

    cdef void _receive(self, char *at, Py_ssize_t size):
        cdef bytes data
        if self.phase >= ENDING:
            self.dropped += size
            if self.dropped > DROPPED:
                self.connection.reset()
        elif self.held is not None:
            data = self.held + at[:size]
            self.held = None
            self._consume(data, len(data))
        else:
            self._consume(at, size)

    cdef void _consume(self, const char *at, Py_ssize_t size):
        cdef Frame frame
        cdef Py_ssize_t whole
        cdef SpopStatus status
        while size > 0 and self.phase < ENDING:
            if self.phase == KEY_WAIT or self.phase == ASKED:
                if size > MAX_FRAME:
                    self.connection.pause()
                break
            whole = frame_size(at, size)
            if whole < 0:
                self._disconnect(SpopStatus.TOO_BIG)
                return
            if whole == 0 or whole > size:
                if self.phase == IDLE and not self.begun:
                    self.begun = True
                    self.deadline = coarse_monotonic() + self.context.snapshot.head_timeout
                break
            status = read_frame(Slice(at + LENGTH, whole - LENGTH), &frame)
            if status != SpopStatus.NORMAL:
                self._disconnect(status)
                return
            self._take_frame(&frame)
            at += whole
            size -= whole
        if size > 0 and self.phase < ENDING:
            self.held = at[:size]

    cdef void _take_frame(self, Frame *frame):
        if frame.type == FrameType.HAPROXY_DISCONNECT:
            self._disconnect(SpopStatus.NORMAL)
        elif self.phase == HELLO and frame.type == FrameType.HAPROXY_HELLO:
            self._take_hello(frame)
        elif self.phase == IDLE and frame.type == FrameType.NOTIFY:
            self._take_question(frame)
        elif frame.type == FrameType.HAPROXY_HELLO or frame.type == FrameType.NOTIFY:
            self._disconnect(SpopStatus.INVALID)
        # Frames of other types may be skipped (SPOE.txt section 3.2.2).

    cdef void _take_hello(self, Frame *frame):
        cdef Hello hello
        cdef Buffer out = self.context.out
        cdef SpopStatus status = read_hello(frame.payload, &hello)
        if status == SpopStatus.NORMAL and hello.is_check and not self.context.board.ready:
            status = SpopStatus.NO_RESOURCES     # HAProxy then asks another server
        if status != SpopStatus.NORMAL:
            self._disconnect(status)
            return
        self.max_frame = min(hello.max_frame, <uint32_t>MAX_FRAME)
        out.clear()
        put_hello(out, self.max_frame)
        self._send_frame(out)
        self._next_question()

    cdef void _send_frame(self, Buffer out):
        if self.connection.send(out.data, out.size) == FAILED:
            self.broken = True
            self.phase = GONE
            self.connection.reset()

    cdef void _next_question(self):
        """HAProxy closes connections that it does not need; one that is silent for `stream_idle` may be gone without a word."""
        if self.phase >= ENDING:
            return
        self.phase = IDLE
        self.begun = False
        self.deadline = coarse_monotonic() + self.context.snapshot.stream_idle_timeout
        if self.context.draining or self.listener.leaving:
            self._disconnect(SpopStatus.NORMAL)

    cdef void _disconnect(self, SpopStatus status):
        """Say why the connection ends. To close it with unread input would destroy what was said."""
        cdef Buffer out = self.context.out
        if self.phase >= ENDING:
            return
        out.clear()
        put_disconnect(out, status)
        self._send_frame(out)
        if self.phase >= ENDING:
            return
        self.phase = ENDING
        self.held = None
        self.deadline = coarse_monotonic() + LINGER
        self.connection.resume()
        self.connection.shutdown()

    # --- questions ----------------------------------------------------------------------------------------------------

    cdef void _take_question(self, Frame *frame):
        cdef Question question
        cdef Buffer text = self.context.head_text
        self.stream = frame.stream
        self.number = frame.number
        self.phase = ASKED
        self.deadline = 0.0
        self.client_text = self.peer_text
        self.authorizer = self.listener.authorizer
        text.clear()
        if not read_question(frame.payload, &question) or not write_head(text, &question):
            self._refuse(ErrorReason.NOT_DESCRIBED, text.data, text.size)
            return
        self.https = question.https
        self.client_text = _address_text(question.client)
        self._judge(text.data, text.size, False)

    cdef void _judge(self, const char *at, Py_ssize_t size, bint again):
        """Judge the head, and begin its exchange. again: it has waited for keys."""
        cdef ProxyContext context = self.context
        cdef RequestHead head = context.request_head
        cdef Authorization authorization = context.authorization
        cdef bint trusted = context.snapshot.believes(self.client_text)
        cdef ErrorReason problem = self.authorizer.original.read_text(head, at, size, self.listener.policy, self.https)
        cdef Exchange exchange
        if problem:
            self._refuse(problem, at, size)
            return
        context.snapshot.asked.authorize(head, None, self.peer(), trusted, wall_clock(), authorization)
        if authorization.waits_for >= 0 and not again and self._wait_for_keys(authorization.waits_for):
            self.head = at[:size]
            return
        self.head = None
        exchange = new_exchange(context, self)
        self.exchange = exchange
        exchange.begin(head, self.listener.policy, self.peer(), trusted, NULL, 0, True)

    cdef bint _wait_for_keys(self, Py_ssize_t issuer):
        if not self.context.wait_for_keys(self, issuer):
            return False
        self.phase = KEY_WAIT
        self.waits_for = issuer
        self.deadline = coarse_monotonic() + self.context.key_wait.max_wait
        return True

    cdef void _end_key_wait(self):
        if self.phase == KEY_WAIT:
            self.context.key_wait.leave(self, self.waits_for)
            self.phase = ASKED

    cdef void authorize_again(self):
        cdef bytes head = self.head
        if self.phase != KEY_WAIT:
            return
        self._end_key_wait()
        self.deadline = 0.0
        self._judge(head, len(head), True)
        self._go_on()

    cdef void _go_on(self):
        """Take what came while the question waited."""
        cdef bytes data = self.held
        self.connection.resume()
        if data is not None and self.phase == IDLE:
            self.held = None
            self._consume(data, len(data))

    cdef void _refuse(self, ErrorReason reason, const char *at, Py_ssize_t size):
        """Answer what never became an exchange."""
        cdef ProxyContext context = self.context
        cdef char request_id[REQUEST_ID_SIZE]
        cdef Answer answer = refuse_head(context, self.listener, reason, Caller.NO_GRPC, request_id)
        self._put_answer(answer, Slice(&request_id[0], REQUEST_ID_SIZE), <bytes>_ERRORS[<int>reason])
        record_head(context, self.listener, self.peer(), context.snapshot.believes(self.client_text), reason, at, size,
                    Slice(&request_id[0], REQUEST_ID_SIZE), answer.status, len(answer.body), False)
        self._next_question()

    cdef void answer(self, Answer answer, Slice request_id):
        cdef Authorization authorization = self.exchange.authorization
        if self.exchange.error != ErrorReason.NO_ERROR:
            self._put_answer(answer, request_id, <bytes>_ERRORS[<int>self.exchange.error])
        elif authorization.reason != NONE:
            self._put_answer(answer, request_id, <bytes>_DENIALS[<int>authorization.reason])
        else:
            self._put_answer(answer, request_id, b"")

    cdef void _put_answer(self, Answer answer, Slice request_id, bytes reason):
        """Write the variables of an answer; when they do not fit in a frame of HAProxy, those that deny it."""
        cdef Buffer out = self.context.out
        cdef Py_ssize_t start
        try:
            out.clear()
            start = begin_frame(out, FrameType.ACK, self.stream, self.number)
            _put_variables(out, self.authorizer.decision(answer), request_id.at[:request_id.size], reason)
        except BaseException as fault:           # no answer: HAProxy sets no variable
            self.context.snapshot.gate.note(fault)
            self._disconnect(SpopStatus.NO_RESOURCES)
            return
        if out.size - LENGTH > self.max_frame:
            out.clear()
            start = begin_frame(out, FrameType.ACK, self.stream, self.number)
            put_flag(out, b"allowed", False)
            put_number(out, b"status", 503)
            put_string(out, b"reason", b"answer_too_large")
        end_frame(out, start)
        self._send_frame(out)

    cdef void released(self):
        self.exchange = None
        self._next_question()

    cdef void reset(self, ErrorReason reason):
        self.phase = GONE
        self.connection.reset()

    cdef Slice peer(self):
        return Slice(PyBytes_AS_STRING(self.client_text), PyBytes_GET_SIZE(self.client_text))

    # --- ends ---------------------------------------------------------------------------------------------------------

    cdef bint _peer_ended(self, bint clean):
        self._record_lost(ErrorReason.CLIENT_CLOSED)
        self.phase = GONE
        return False

    cdef void _record_lost(self, ErrorReason reason):
        """A question waits for keys, and nobody for its answer."""
        cdef ProxyContext context = self.context
        if self.phase != KEY_WAIT:
            return
        self._end_key_wait()
        record_lost_head(context, self.listener, self.peer(), context.snapshot.believes(self.client_text), reason, <const char *>self.head,
                         len(self.head), False)
        self.head = None

    cdef void _lose(self):
        cdef ProxyContext context = self.context
        cdef Exchange exchange = self.exchange
        self._record_lost(ErrorReason.CLIENT_CLOSED)
        self.phase = GONE
        self.deadline = 0.0
        context.client_closed(self)
        if exchange is not None:
            exchange.client_lost()
        self.held = self.head = None

    cdef void expired(self):
        self.deadline = 0.0
        if self.phase == KEY_WAIT:
            self.authorize_again()
        elif self.phase == ENDING and self.connection.drained():
            self.connection.close()
        elif self.phase >= ENDING or not self.connection.is_ready():
            self.connection.reset()
        else:
            self._disconnect(SpopStatus.NORMAL if self.context.draining or self.listener.leaving else SpopStatus.TIMEOUT)

    cdef void end(self):
        self._record_lost(ErrorReason.SHUTDOWN)
        self.connection.reset()

    cdef void drain(self, double soon, object listener):
        if (listener is None or listener is self.listener) and self.phase <= IDLE and (self.deadline == 0.0 or self.deadline > soon):
            self.deadline = soon

    cdef bint takes_requests(self, bint after_answer):
        return self.phase <= IDLE


cdef bytes _address_text(Slice packed):
    if packed.size == 0:
        return b"unix"
    return str(ipaddress.ip_address(packed.at[:packed.size])).encode()


cdef int _put_variables(Buffer out, object decision, bytes request_id, bytes reason) except -1:
    cdef bytes kind = b"header." if decision.allowed else b"answer."
    put_flag(out, b"allowed", decision.allowed)
    put_number(out, b"status", decision.status)
    put_string(out, b"reason", reason)
    put_string(out, b"request_id", request_id)
    for name, value in decision.headers:
        put_string(out, kind + variable_of(name), value)
    if not decision.allowed:
        # a format string of HAProxy, which its rules write the body with, turns a line break into %0A
        put_string(out, b"answer.body", decision.body.removesuffix(b"\n"))
    return 0


# --- what the connection reports ---------------------------------------------------------------------------------------

cdef void _on_opened(object server, Connection connection):
    (<SpopServer>server)._open(connection)


cdef void _on_ready(object server):
    (<SpopServer>server)._ready()


cdef void _on_received(object server, char *at, Py_ssize_t size):
    (<SpopServer>server)._receive(at, size)


cdef bint _on_ended(object server, bint clean) except? -1:
    return (<SpopServer>server)._peer_ended(clean)


cdef void _on_blocked(object server):
    """Answers pile up: no more questions are read, and HAProxy has `stream_idle` to take them."""
    cdef SpopServer self = <SpopServer>server
    self.connection.pause()
    if self.phase != KEY_WAIT:
        self.deadline = coarse_monotonic() + self.context.snapshot.stream_idle_timeout


cdef void _on_unblocked(object server):
    (<SpopServer>server).connection.resume()


cdef bint _on_not_tls(object server, const char *at, Py_ssize_t size) except? -1:
    return False


cdef void _on_broken(object server):
    (<SpopServer>server).reset(ErrorReason.NO_ERROR)


cdef void _on_lost(object server, bint clean):
    (<SpopServer>server)._lose()


cdef Events EVENTS = Events(_on_opened, _on_ready, _on_received, _on_ended, _on_blocked, _on_unblocked, _on_not_tls, _on_broken, _on_lost)


cdef Connection spop_connection(ProxyContext context, ListenerSettings listener):
    cdef SpopServer server = SpopServer.__new__(SpopServer)
    server.context = context
    server.listener = listener
    server.phase = GONE
    return streamed_connection(server, &EVENTS, context.receive, None if listener.tls is None else TlsSession(listener.tls))
