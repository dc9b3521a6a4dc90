"""Many rounds from the command line."""

import argparse
import sys
import tempfile
from collections import Counter
from pathlib import Path

from .harness import DAMAGES, FAULTS, play
from .packages import KILLED


def main() -> int:
    """Play rounds and sum them up; 1 if anything was wrong, or if nothing happened in any of them."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=(__doc__ or "").strip())
    parser.add_argument("--rounds", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default="", help="faults with this text in their name")
    parser.add_argument("--keep", type=Path, help="folder for the studies of rounds with failures")
    parser.add_argument("--list", action="store_true", help="show the names of faults and damages, and end")
    arguments = parser.parse_args()
    if arguments.list:
        sys.stdout.write("\n".join([*FAULTS, KILLED, "", "between two attempts:", *DAMAGES]) + "\n")
        return 0
    if not any(arguments.only in name for name in (*FAULTS, KILLED)):
        parser.error(f"no fault has {arguments.only!r} in its name; --list shows them")
    faults: Counter[str] = Counter()
    attempts = wrong = idle = 0
    for seed in range(arguments.seed, arguments.seed + arguments.rounds):
        with tempfile.TemporaryDirectory() as folder:
            found = play(Path(folder), seed, arguments.only, arguments.keep)
        faults += found.faults
        attempts += found.attempts
        wrong += bool(found.failures)
        idle += not found.faults
        verdict = "; ".join(found.failures) or ("as it should be" if found.faults else "nothing happened to it")
        sys.stdout.write(f"round {seed}: {dict(found.faults)}, {found.attempts} attempts: {verdict}\n")
        sys.stdout.flush()
    summary = ", ".join(f"{count} x {name}" for name, count in faults.most_common())
    sys.stdout.write(f"{arguments.rounds} rounds, {attempts} attempts, {summary}: {wrong} rounds with failures\n")
    if idle:
        sys.stdout.write(f"in {idle} rounds nothing happened, so they show nothing\n")
    return 1 if wrong or idle == arguments.rounds else 0


if __name__ == "__main__":
    sys.exit(main())
