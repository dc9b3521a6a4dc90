"""The command line: a small function for each verb, which calls `bakeoff.api` and prints what it returns.

Progress goes to standard error, results to standard output.

app.py        the application, its exit codes
options.py    options of several verbs
studies.py    run, screen
comparing.py  compare, train
tuning.py     tune
views.py      evaluate, board, report, verify, models, info
contract.py   models --check
cache.py      cache show, cache clear
data.py       data prepare, data show, data check
weights.py    weights export, weights import
use.py        export, predict
serving.py    serve
answers.py    how predictions are printed
output.py     printing, and what an interrupt becomes
"""

import os
import sys

from bakeoff.machine import tensorflow_environment

__all__ = ["main"]


def main() -> None:
    """Run the command line; exits with 0, 1, 2, 3 or 130 as documented."""
    _fill_closed_streams()
    # Before NumPy is imported, which starts its threads then.
    os.environ.update(tensorflow_environment())
    from bakeoff.cli import app

    app.main()


def _fill_closed_streams() -> None:
    """Open the null device in the place of standard streams that are closed, as by `<&-` or `>&-`.

    Else the next file that is opened would get the place, and what a library prints would be written into it.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    # Where a stream was closed at the start, Python has None. Standard input stays so: there is nothing to read.
    sys.stdout = sys.stdout or os.fdopen(1, "w", encoding="utf-8")
    sys.stderr = sys.stderr or os.fdopen(2, "w", encoding="utf-8")
