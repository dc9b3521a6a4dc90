"""Damaged and hostile input: whatever it is, it ends in an answer or in one clear line."""

import sys
from pathlib import Path

# The helpers of the tests, which pytest finds by itself.
if (helpers := str(Path(__file__).parents[1])) not in sys.path:
    sys.path.insert(0, helpers)
