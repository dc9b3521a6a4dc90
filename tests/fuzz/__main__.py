"""Many cases from the command line: python -m tests.fuzz --cases 50000"""

import argparse
import math
import sys
import tempfile
import time
import traceback
from pathlib import Path

from .guided import fuzz
from .targets import TARGETS


def main() -> int:
    """Give every reader its share of the cases; 1 if one fails, whose smallest input is shown."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=(__doc__ or "").strip())
    parser.add_argument("--cases", type=int, default=50_000, help="of all readers together")
    parser.add_argument("--only", default="", help="readers with this text in their name")
    arguments = parser.parse_args()
    targets = [target for target in TARGETS if arguments.only in target.name]
    if not targets:
        parser.error(f"no reader is called so; there are: {', '.join(target.name for target in TARGETS)}")
    share, wrong = math.ceil(arguments.cases / len(targets)), 0
    for target in targets:
        began, verdict = time.monotonic(), "as it should be"
        with tempfile.TemporaryDirectory() as folder:
            try:
                done, lines = fuzz(target, Path(folder), share)
            except Exception:
                traceback.print_exc()
                done, lines, verdict = share, 0, "FAILED, see above"
                wrong += 1
        took = time.monotonic() - began
        sys.stdout.write(f"{target.name}: {done} cases, {lines} lines of bakeoff reached, {took:.0f} s: {verdict}\n")
        sys.stdout.flush()
    sys.stdout.write(f"{wrong} of {len(targets)} readers failed\n")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
