"""A study's folder to one self-contained page: the answer, the evidence, and how it was measured.

    write_report(Path("out"))        out/report.html, from the records, their histories and study.json

The page is a view: it can be rebuilt at will, and the same files give the same bytes.
"""

from bakeoff.report.facts import read_study
from bakeoff.report.page import render_report, write_report

__all__ = ["read_study", "render_report", "write_report"]
