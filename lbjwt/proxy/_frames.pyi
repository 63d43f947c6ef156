"""Where the frames of a WebSocket begin. What per-request code uses stands in `_frames.pxd`."""

from typing import final

@final
class FrameTracker:
    """Where in a stream of WebSocket frames from an endpoint we are."""

    def is_between(self, data: bytes) -> bool:
        """Door to `feed` and `between`: True when the stream, with these bytes, ended with a whole frame."""
