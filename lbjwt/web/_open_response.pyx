"""
One response of an application, which is looked after from the first part on that is not its last one; see `lbjwt.web.open_streams`.

Most responses have one part: what each of them costs is this object, and no coroutine.
"""

import asyncio
import contextlib

from lbjwt.web.open_streams import ENDED as WHY, has_events

cdef object _current_task = asyncio.current_task

cdef enum:
    SHORT = 0                    # of one part so far, or complete
    OPEN = 1
    ENDED = 2


cdef class OpenResponse:
    """
    Args:
        grant: The verified token.
        grace: Seconds for which the response outlives the expiry of its token.
        streams: `OpenStreams` of the middleware.
    """

    def __init__(self, send, grant, double grace, streams):
        self.grant = grant
        self.grace = grace
        self._send = send
        self._streams = streams
        self._headers = ()
        try:
            self._task = _current_task()
        except RuntimeError:
            self._task = None

    @property
    def is_ended(self):
        """Its token is no longer valid: its application was cancelled."""
        return self._state == ENDED

    def send(self, message):
        """What the application calls: an awaitable. OSError once the response was ended."""
        if self._state == ENDED:
            raise OSError(WHY)
        if message.get("more_body"):
            if self._state == SHORT and self._task is not None:
                self._state = OPEN
                self._cancelled = self._task.cancelling()
                self._streams.add(self)
        elif message["type"] == "http.response.start":
            self._headers = message.get("headers", ())
        elif self._state == OPEN and message["type"] == "http.response.body":
            self._state = SHORT
            self._streams.discard(self)
        return self._send(message)

    async def end(self):
        """Called by `OpenStreams`."""
        if self._state == OPEN:                  # else it is over, and the task may serve another request
            self._state = ENDED
            self._task.cancel()

    def leave(self):
        """
        The application has returned or raised. Returns whether the response was ended, so that `finish` is due.

        CancelledError: somebody else cancelled the application as well (as in asyncio.timeout).
        """
        if self._state == SHORT:
            return False
        self._streams.discard(self)
        if self._state == ENDED and self._task.uncancel() > self._cancelled:
            raise asyncio.CancelledError
        return self._state == ENDED

    async def finish(self):
        """End the response for the client. OSError: the server has to break it off."""
        if not has_events(self._headers):
            raise OSError(WHY)
        with contextlib.suppress(OSError):       # the client has left
            await self._send({"type": "http.response.body", "body": b"", "more_body": False})
