"""What a client may do on one HTTP/2 connection: the section ``limits.http2``."""

from typing import Annotated, Final

from pydantic import Field

from lbjwt.config.fields import Bytes, whole
from lbjwt.config.section import Section

_KIB: Final = 1 << 10


class Http2Limits(Section):
    """Limits of one HTTP/2 connection. One that exceeds the last two ends with GOAWAY (ENHANCE_YOUR_CALM)."""

    max_streams: Annotated[int, whole(1, 1000)] = Field(
        default=100,
        description="Maximum number of requests at the same time. More are refused, and clients send them again when one has ended.",
    )
    stream_window: Annotated[int, Bytes(16 * _KIB, 16 << 20)] = Field(
        default=64 * _KIB,
        description="How much of a request body may wait here for its endpoint, per request. A connection can take `max_streams` times as much "
        "memory.",
    )
    max_resets: Annotated[int, whole(1, 1_000_000)] = Field(
        default=200,
        description="Maximum number of requests per second that the client takes back, or that end because it broke a rule (CVE-2023-44487, "
        "CVE-2025-8671).",
    )
    max_control_frames: Annotated[int, whole(10, 1_000_000)] = Field(
        default=500,
        description="Maximum number of frames per second that carry nothing: PING, SETTINGS, PRIORITY_UPDATE, empty DATA.",
    )
