"""A study's folder to one self-contained page: the winner, the evidence, and how it was measured.

    write_report(Path("out"))        out/report.html, from study.json and the runs' records, histories and predictions

page.py       collects everything and fills the template
answer.py     the two sentences at its top: what to do, and what to run next
bundled.py    whose model a bundle holds
facts.py      the data, the recipe, the cost, the scores and the time spent, as text
default_field.py  which networks took part by default, and why, as text
certainty.py  the winner against its nearest rival, seeds, and what could change the result
why.py        why it won: the winner and its nearest rivals, as a table
evidence.py   figures of runs: accuracy against cost, memory, the timeline, the screen's order
learning.py   their learning curves, and what each point stands on
failures.py   the winner's predictions by class, by confusion and by confidence
heat_maps.py  where its model looked: maps that are not there are drawn
gallery.py    the images of its mistakes
coverage.py   its accuracy if answers of low confidence are withheld
tuning.py     how the recipe was found
verify/       recomputes every number from the files, and compares
summary.py    a study in a few lines, for notebooks

The page can be rebuilt at any time. The same files give the same bytes.
"""

from bakeoff.report.heat_maps import provide_heat_maps
from bakeoff.report.page import render_report, write_report
from bakeoff.report.summary import render_summary
from bakeoff.report.winner import find_winner
from bakeoff.runs.study_file import read_study

__all__ = ["find_winner", "provide_heat_maps", "read_study", "render_report", "render_summary", "write_report"]
