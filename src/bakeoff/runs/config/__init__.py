"""The config of a run: immutable, read from TOML or JSON, validated before TensorFlow starts.

data.py    the section about the images
run.py     the other sections and keys of a config, and the run id
parse.py   values on the command line: candidates, durations, weights
read.py    recipe files, and `--set` settings applied to them

The result of a run depends only on its config, the data's fingerprint and the weights' fingerprint. `run_id` is the
hash of the three and of `RECIPE_VERSION`, so a run that has finished never needs to be trained again.

    Run.model_validate(...)            from a mapping
    read_run(Path("recipe.toml"))      from a file
    override(run, ["optim.learning_rate=0.001"])
"""

from bakeoff.runs.config.data import Data, Fit, FolderLayout
from bakeoff.runs.config.parse import first_message, parse_candidate, parse_duration, parse_weights
from bakeoff.runs.config.read import differences, look_up, override, read_comparison, read_run, revise
from bakeoff.runs.config.run import (
    INTERIM_IMAGES,
    RECIPE_VERSION,
    Augment,
    AugmentStep,
    BatchNorm,
    Candidate,
    Mode,
    Model,
    Monitor,
    Optim,
    Optimizer,
    Precision,
    Run,
    Schedule,
    Train,
    WeightsChoice,
    run_id,
)

__all__ = [
    "INTERIM_IMAGES",
    "RECIPE_VERSION",
    "Augment",
    "AugmentStep",
    "BatchNorm",
    "Candidate",
    "Data",
    "Fit",
    "FolderLayout",
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
    "first_message",
    "look_up",
    "override",
    "parse_candidate",
    "parse_duration",
    "parse_weights",
    "read_comparison",
    "read_run",
    "revise",
    "run_id",
]
