"""`python -m bench.compared [envoy|haproxy|nginx] …`: try each claim and say what was observed; 1 when one is not as docs/comparison.md has it."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from bench.compared import PROGRAMS, READ
from bench.compared.scene import Scene


def main(names: list[str]) -> int:
    """All programs, or those named; one that is not installed is told, and fails only when it was named."""
    if unknown := set(names) - PROGRAMS.keys():
        print(f"no program called {', '.join(sorted(unknown))}; there are {', '.join(PROGRAMS)}", file=sys.stderr)
        return 2
    failed = False
    with tempfile.TemporaryDirectory() as directory, Scene(Path(directory)) as scene:
        for name in names or PROGRAMS:
            about = PROGRAMS[name].ABOUT
            if about.program() is None:
                print(f"{name} is not installed: {about.install}")
                failed = failed or bool(names)
                continue
            print(f"\n{name}, {about.version()}")
            for trial in PROGRAMS[name].TRIALS:
                scene.reset()
                observed = trial.run(scene)
                differs = observed != trial.expected
                failed = failed or differs
                print(
                    f"  {trial.row or '-'} | {trial.situation} | {observed}{f'  NOT: {trial.expected}' * differs}",
                    flush=True,
                )
            for (row, program), source in READ.items():
                if program == name:
                    print(f"  {row} | not tried, read | {source}")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
