"""The command line: one small function per verb. Progress goes to standard error, results to standard output.

app.py       the application, its exit codes
options.py   what several verbs take
begin.py     what the verbs that train do first
studies.py   run, screen, compare, train
tuning.py    tune
views.py     evaluate, board, report, verify, models
cache.py     cache show, cache clear
data.py      data prepare, data show
weights.py   weights pack, weights use
use.py       export, predict, serve
answers.py   how predictions are printed
output.py    printing, and what every verb does around its work
"""

from bakeoff.cli.app import app, main

__all__ = ["app", "main"]
