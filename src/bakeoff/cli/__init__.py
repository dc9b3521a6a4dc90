"""The command line: a small function for each verb, which calls `bakeoff.api` and prints what it returns.

Progress goes to standard error, results to standard output.

app.py       the application, its exit codes
options.py   options of several verbs
studies.py   run, screen, compare, train
tuning.py    tune
views.py     evaluate, board, report, verify, models
cache.py     cache show, cache clear
data.py      data prepare, data show, data check
weights.py   weights export, weights import
use.py       export, predict, serve
answers.py   how predictions are printed
output.py    printing, and what an interrupt becomes
"""

from bakeoff.cli.app import app, main

__all__ = ["app", "main"]
