"""What the demo shows while it runs: which backend answered, and what was refused.

`Tally` counts from access-log lines and knows nothing of terminals; `Table` draws it again and again, `Lines` prints one line a request.
"""

import sys
from collections import Counter, deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

import orjson
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table as Grid
from rich.text import Text

from lbjwt.demo.backends import Backend

RECENT = 8  # requests shown under the table
LINES_AT_ONCE = 50  # under load, plain lines beyond these are counted, not printed


class Tally:
    """Requests by backend and refusals by reason, from the balancer's access log."""

    def __init__(self, names: Mapping[str, str]) -> None:
        """`names`: address of an endpoint -> the backend's name."""
        self._names = names
        self.refused: Counter[str] = Counter()
        self.recent: deque[str] = deque(maxlen=RECENT)

    def take(self, line: bytes) -> str | None:
        """Count one line of the access log and return it in words; None for a line that is no record."""
        try:
            record: Any = orjson.loads(line)
        except orjson.JSONDecodeError:
            return None
        if not isinstance(record, dict) or "status" not in record:
            return None
        reason = record.get("reason")
        if reason:
            self.refused[str(reason)] += 1
        endpoint = str(record.get("endpoint", ""))
        outcome = (
            f"{'ended' if reason == 'client_closed' else 'refused'}: {reason}"
            if reason
            else self._names.get(endpoint, endpoint) or "answered by the balancer"
        )
        said = f"{record['status']}  {record.get('method', '')} {record.get('path', '')}  {outcome}"
        # a client's control bytes come back out of the JSON: they must not reach the terminal
        words = "".join(letter if letter.isprintable() else "?" for letter in said)
        words += f"  {record.get('duration_ms', 0):.1f} ms"
        self.recent.append(words)
        return words


class Screen(Protocol):
    """Something that shows the tally."""

    def show(self, words: Sequence[str]) -> None:
        """Called with the requests that came since the last call, perhaps none."""


class Lines:
    """One plain line a request, for pipes and logs."""

    def show(self, words: Sequence[str]) -> None:
        for line in words[:LINES_AT_ONCE]:
            print(line)
        if len(words) > LINES_AT_ONCE:
            print(f"… and {len(words) - LINES_AT_ONCE} more")
        sys.stdout.flush()


class Table:
    """A table of the backends that is drawn anew in place."""

    def __init__(self, live: Live, tally: Tally, backends: Sequence[Backend]) -> None:
        self._live = live
        self._tally = tally
        self._backends = backends

    def show(self, words: Sequence[str]) -> None:
        self._live.update(self._draw(), refresh=True)

    def _draw(self) -> Group:
        total = sum(backend.answered for backend in self._backends)
        grid = Grid("backend", "each answer takes", "in flight", "answered", "share")
        for backend in self._backends:
            share = f"{backend.answered / total:.0%}" if total else ""
            grid.add_row(
                backend.name, f"{backend.delay * 1000:.0f} ms", str(backend.in_flight), str(backend.answered), share
            )
        refused = ", ".join(f"{reason} {count}" for reason, count in self._tally.refused.most_common()) or "none yet"
        recent = Text("\n".join(self._tally.recent), no_wrap=True, overflow="ellipsis")
        return Group(grid, Text(f"refused: {refused}"), recent, Text("Ctrl-C ends the demo", style="dim"))


@contextmanager
def open_screen(tally: Tally, backends: Sequence[Backend]) -> Iterator[Screen]:
    """A table on a terminal, plain lines anywhere else."""
    console = Console()
    if not console.is_terminal:
        yield Lines()
        return
    with Live(console=console, auto_refresh=False) as live:
        table = Table(live, tally, backends)
        table.show(())
        yield table
