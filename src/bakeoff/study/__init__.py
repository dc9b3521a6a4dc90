"""Many runs under one wall clock: screen > race > tune > confirm, cheap before dear.

defaults.py   the recipe that a network starts from
compare.py    all candidates at one equal budget
plan.py       what fits the budget, and propose(): records -> the next runs
ledger.py     study.json: the plan, what was spent, what was dropped and why
loop.py       propose, launch, write down, until there is nothing left to propose
"""

from bakeoff.study.compare import Comparison, make_comparison
from bakeoff.study.defaults import choose_candidates, find_missing, settle_weights
from bakeoff.study.ledger import Ledger, open_ledger
from bakeoff.study.loop import Watcher, run_comparison, run_screen, run_study
from bakeoff.study.plan import Plan, Proposal, make_plan, propose

__all__ = [
    "Comparison",
    "Ledger",
    "Plan",
    "Proposal",
    "Watcher",
    "choose_candidates",
    "find_missing",
    "make_comparison",
    "make_plan",
    "open_ledger",
    "propose",
    "run_comparison",
    "run_screen",
    "run_study",
    "settle_weights",
]
