"""What a person sees while a study runs. Everything here goes to standard error; results go to standard output.

plans.py    what a study is about to do
live.py     a line per finished run, a bar for each one in progress
watch.py    the board of a study that runs elsewhere
results.py  what came of it, and other tables
"""

from bakeoff.cli.console.live import StudyConsole, preparing, reporting
from bakeoff.cli.console.plans import render_ablation, render_comparison, render_plan, render_search
from bakeoff.cli.console.results import render_effects, render_end, render_found, render_kit, render_models
from bakeoff.cli.console.watch import watch_study

__all__ = [
    "StudyConsole",
    "preparing",
    "render_ablation",
    "render_comparison",
    "render_effects",
    "render_end",
    "render_found",
    "render_kit",
    "render_models",
    "render_plan",
    "render_search",
    "reporting",
    "watch_study",
]
