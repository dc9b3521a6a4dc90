"""The config of a run: immutable, read from TOML or JSON, validated before TensorFlow starts.

metric.py                                            the metrics of which one decides
data.py, model.py, augment.py, optim.py, train.py    the sections of a config: the reference of their keys
run.py                                               the whole config, and the run id
parse.py                                             values on the command line: candidates, durations, weights
read.py                                              recipe files, and `--set` settings applied to them

The result of a run depends only on its config, the data's fingerprint and the weights' fingerprint. `run_id` is the
hash of the three and of `RECIPE_VERSION`, so a run that has finished never needs to be trained again.

    Run.model_validate(...)            from a mapping
    read_run(Path("recipe.toml"))      from a file
    override(run, ["optim.learning_rate=0.001"])
"""

from bakeoff.runs.config.augment import Augment, AugmentStep
from bakeoff.runs.config.data import Data, Fit, FolderLayout
from bakeoff.runs.config.metric import Metric
from bakeoff.runs.config.model import BatchNorm, Model
from bakeoff.runs.config.optim import Optim, Optimizer, Schedule
from bakeoff.runs.config.parse import first_message, parse_bytes, parse_candidate, parse_duration, parse_weights
from bakeoff.runs.config.read import (
    differences,
    find_length,
    look_up,
    makes_probes,
    override,
    parse_settings,
    pick_settings,
    read_comparison,
    read_run,
    revise,
)
from bakeoff.runs.config.run import RECIPE_VERSION, Candidate, Run, WeightsChoice, run_id
from bakeoff.runs.config.train import INTERIM_IMAGES, Balance, Mode, Monitor, Precision, Train

__all__ = [
    "INTERIM_IMAGES",
    "RECIPE_VERSION",
    "Augment",
    "AugmentStep",
    "Balance",
    "BatchNorm",
    "Candidate",
    "Data",
    "Fit",
    "FolderLayout",
    "Metric",
    "Mode",
    "Model",
    "Monitor",
    "Optim",
    "Optimizer",
    "Precision",
    "Run",
    "Schedule",
    "Train",
    "WeightsChoice",
    "differences",
    "find_length",
    "first_message",
    "look_up",
    "makes_probes",
    "override",
    "parse_bytes",
    "parse_candidate",
    "parse_duration",
    "parse_settings",
    "parse_weights",
    "pick_settings",
    "read_comparison",
    "read_run",
    "revise",
    "run_id",
]
