from typing import final

@final
class Buffer:
    """A growable C buffer that is written once per head and reused for ever after. Its methods here are the test door;
    per-request code uses `reserve`, `put` and `clear` of the .pxd."""

    def append(self, piece: bytes) -> None:
        """Copy `piece` behind what is there. Raises MemoryError."""

    def getvalue(self) -> bytes:
        """A copy of the bytes written so far."""

    def reset(self) -> None:
        """Forget the bytes, keep the memory."""
