"""Many runs within one budget of wall-clock time: screen, race, tune, confirm; or a comparison, a search, an ablation.

In: prepared data, candidates with their weights, a budget. Out: `study.json`, the records of the runs, the board, the
report; for a whole study also the winner's bundle, for a search the recipe as TOML.
May import: report, launch, networks, runs and what they may import. Nothing here loads TensorFlow.

deciding.py        the metric that decides
fields.py          candidates that have a name together
defaults.py        the candidates, their input sizes and their default recipes
space.py           the parameters of a recipe, and the values that each may have
default_spaces.py  the spaces of a search and of a factor-by-factor study
run_pool.py        runs in parallel, one thread each; callbacks in the main thread
importance.py      how much each key of a recipe matters
trials.py          the trials of a search, kept by Optuna
search.py          the search for a recipe
compare.py         all candidates at one equal budget
ablate.py          a factor-by-factor study: one change at a time
forecast.py        what runs take on this machine
sizes.py           the input size of a network, by the pictures and by the pace
selection.py       one of each of as many groups as two limits allow
default_field.py   the candidates of a study that names none
small.py           whether data are small
plan.py            the plan: what a study does with its budget
screening.py       whom to screen, on how many images, and by how many folds
planning.py        how a study divides its budget
unnamed.py         the default field for some data, a budget and this machine
settle.py          what follows the confirming run: a probe beside it, the choice, the refit
proposals.py       propose(): the plan and the records to the next runs
revise.py          how a plan changes by what was measured
state.py           study.json: the plan, the time used, what was dropped and why
recipe.py          a run as a TOML file
watcher.py         the callbacks by which a study reports what happens
context.py         what the stages of a study share, and how a stage's runs are trained
arrivals.py        weights that arrive while other candidates are screened
provide.py         the data as shards, and weights that fit
labels.py          scores for the search of suspicious labels
request.py         what the user asks of a study
entry.py           who takes part, at which sizes, from which weights
begin.py           what every study does first: data, candidates, weights, the folder
tune.py            a search or a factor-by-factor study from beginning to end
loop.py            a whole study, a screen or a comparison from beginning to end
"""

from bakeoff.study.ablate import Ablation, make_ablation
from bakeoff.study.compare import Comparison, make_comparison
from bakeoff.study.default_spaces import default_factors, default_space
from bakeoff.study.defaults import assign_weights, choose_candidates, default_run, find_missing, start_from
from bakeoff.study.fields import FIELDS, Field, expand_fields
from bakeoff.study.forecast import Forecast
from bakeoff.study.loop import run_comparison, run_screen, run_study
from bakeoff.study.plan import StudyPlan
from bakeoff.study.planning import MIN_CONFIRM_SECONDS, make_plan
from bakeoff.study.proposals import Proposal, propose
from bakeoff.study.revise import Revision, revise_plan
from bakeoff.study.search import Search, make_search
from bakeoff.study.space import Space, read_space
from bakeoff.study.state import AnyPlan, StudyState, open_state, planned_slots
from bakeoff.study.tune import run_ablation, run_tuning
from bakeoff.study.watcher import Watcher

__all__ = [
    "FIELDS",
    "MIN_CONFIRM_SECONDS",
    "Ablation",
    "AnyPlan",
    "Comparison",
    "Field",
    "Forecast",
    "Proposal",
    "Revision",
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
    "expand_fields",
    "find_missing",
    "make_ablation",
    "make_comparison",
    "make_plan",
    "make_search",
    "open_state",
    "planned_slots",
    "propose",
    "read_space",
    "revise_plan",
    "run_ablation",
    "run_comparison",
    "run_screen",
    "run_study",
    "run_tuning",
    "start_from",
]
