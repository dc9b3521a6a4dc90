"""A study's folder to one self-contained page: the answer, the evidence, and how it was measured.

    write_report(Path("out"))        out/report.html, from the records, their histories, answers and study.json

page.py       gathers everything and fills the template
facts.py      the data, the recipe, the cost, the scores, the spending, in words
certainty.py  the two leaders, seeds, and what would change the verdict
evidence.py   figures of runs: trade-offs, learning, memory, the timeline, the screen's order
failures.py   the winner's answers by class, by pair of classes and by confidence; gallery.py  the images to them
tuning.py     how the recipe was found
summary.py    a study in a few lines, for notebooks

The page is a view: it can be rebuilt at will, and the same files give the same bytes.
"""

from bakeoff.report.page import render_report, write_report
from bakeoff.report.summary import render_summary
from bakeoff.report.winner import find_winner
from bakeoff.runs.study_file import read_study

__all__ = ["find_winner", "read_study", "render_report", "render_summary", "write_report"]
