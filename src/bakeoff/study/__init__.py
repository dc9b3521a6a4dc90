"""Many runs under one wall clock: screen > race > tune > confirm, cheap before dear.

defaults.py   the recipe that a network starts from
space.py      the knobs of a recipe and the values they may take
compare.py    all candidates at one equal budget
ablate.py     one factor at a time, from a base recipe
search.py     the search for a recipe (Optuna)
importance.py how much each key of a recipe matters
plan.py       what fits the budget, and propose(): records -> the next runs
study.py     study.json: the plan, what was spent, what was dropped and why
crew.py       runs side by side, and the one thread that decides
context.py        the runs of a stage, charged and told
recipe.py     a run as a TOML file
tune.py       a search or a factor-by-factor study from beginning to end
loop.py       propose, train, write down, until there is nothing left to propose
"""

from bakeoff.study.ablate import Ablation, make_ablation
from bakeoff.study.compare import Comparison, make_comparison
from bakeoff.study.context import Watcher
from bakeoff.study.defaults import assign_weights, choose_candidates, default_run, find_missing, start_from
from bakeoff.study.loop import run_comparison, run_screen, run_study
from bakeoff.study.plan import Proposal, StudyPlan, make_plan, propose
from bakeoff.study.search import Search, make_search
from bakeoff.study.space import Space, default_factors, default_space, read_space
from bakeoff.study.state import AnyPlan, StudyState, open_state, planned_slots
from bakeoff.study.tune import run_ablation, run_tuning

__all__ = [
    "Ablation",
    "AnyPlan",
    "Comparison",
    "Proposal",
    "Search",
    "Space",
    "StudyPlan",
    "StudyState",
    "Watcher",
    "assign_weights",
    "choose_candidates",
    "default_factors",
    "default_run",
    "default_space",
    "find_missing",
    "make_ablation",
    "make_comparison",
    "make_plan",
    "make_search",
    "open_state",
    "planned_slots",
    "propose",
    "read_space",
    "run_ablation",
    "run_comparison",
    "run_screen",
    "run_study",
    "run_tuning",
    "start_from",
]
