"""The record of a run, `runs/<id>/record.json`: fields, reading and writing.

runs/<id>/config.json    the config with all defaults filled in
runs/<id>/record.json    this module's RunRecord
runs/<id>/history.csv    one row for each evaluation
runs/<id>/curve.csv      points of the learning curve between them
runs/<id>/events.out…    the history for TensorBoard
runs/<id>/model.keras    the trained network (completed runs, but for the probes of a screen)
runs/<id>/log.txt        the output of the run's process
"""

from enum import StrEnum
from pathlib import Path

from pydantic import ConfigDict, ValidationError

from bakeoff.errors import OutputError
from bakeoff.files import read_json, write_json
from bakeoff.runs.config import Data, Fit, Metric, Mode, Run
from bakeoff.runs.facts import Facts, name_first
from bakeoff.runs.folder import RunFolder
from bakeoff.runs.metrics import Metrics, TestMetrics
from bakeoff.runs.plugin import Plugin
from bakeoff.runs.predictions import name_folds

__all__ = [
    "OUT_OF_MEMORY",
    "SCHEMA",
    "DataFacts",
    "RunRecord",
    "Seconds",
    "Stage",
    "State",
    "WeightsFacts",
    "keeps_model",
    "list_records",
    "read_record",
    "write_record",
]

SCHEMA = 1
# The beginning of the reason of a run that ran out of memory.
OUT_OF_MEMORY = "out of memory"


class Stage(StrEnum):
    """The stage of a study that requested a run."""

    SCREEN = "screen"
    RACE = "race"
    TUNE = "tune"
    COMPARE = "compare"
    CONFIRM = "confirm"
    REFIT = "refit"
    TRAIN = "train"


class State(StrEnum):
    """The state of a run: RUNNING from the start; the other three are final."""

    RUNNING = "RUNNING"
    COMPLETE = "COMPLETE"
    PRUNED = "PRUNED"
    FAILED = "FAILED"


class DataFacts(Facts):
    """The data of a run."""

    name: str
    """Name of the data."""
    fingerprint: str
    """Hash of the images and labels."""
    counts: dict[str, int]
    """Images by split."""
    classes: int
    """Number of classes."""
    fit: Fit = Fit.CROP
    """How images that are not square became square: what the config's fit came to."""


class WeightsFacts(Facts):
    """The starting weights; `origin` is `random` if none were loaded."""

    origin: str
    """Where they are from: `package`, `hub`, `preset`, `plugin`, `file`, `run`, or `random`."""
    hash: str
    """SHA-256 of their file; empty for random ones."""
    tensors_matched: int = 0
    """Tensors of the backbone that were loaded; fewer than the total only with `model.partial_weights`."""
    tensors_total: int = 0
    """Tensors of the backbone."""
    licence: str = ""
    """Licence of the weights; empty without weights, for a given file, and in records of older versions."""


class Seconds(Facts):
    """Wall-clock seconds by phase. `total` is that of all attempts at the run, so it exceeds the sum of the others."""

    start: float = 0.0
    """From the start of the process to the first step or the first batch of features, without `data`: imports, network
    and weights. 0 for runs of version 0.1.0, as are `fit` and `save`."""
    train: float = 0.0
    """Steps and the wait for their batches. For a probe, and for the probe of a head that counts as training: the
    features, with the time that they took when they were computed, and the fit."""
    compile: float = 0.0
    """The first step at each input size."""
    fit: float = 0.0
    """Fitting a linear head on features: a part of `train`, unless `train.count_probe` is off."""
    data: float = 0.0
    """Loading the images."""
    evaluate: float = 0.0
    """Scoring the validation images."""
    save: float = 0.0
    """Writing and hashing the trained model."""
    total: float = 0.0
    """From the start of the first attempt's process to the end of the last one's, without the time between two calls of
    a command. Of a call that was killed, the time up to the last checkpoint counts, as in the other phases."""


class RunRecord(Facts):
    """What a run was, what it scored and what it cost. Memory and sizes are in bytes, times in seconds."""

    schema_: int = SCHEMA
    """Version of this format."""
    id: str
    """Hash of the config, the data, the weights and the version of the recipes: the name of the folder."""
    stage: Stage
    state: State
    reason: str = ""
    """Why the run was pruned or failed, or a note on a completed one."""
    config: Run
    data: DataFacts
    weights: WeightsFacts
    plugin: Plugin | None = None
    """Where the network is imported from, if it is not one of bakeoff's own."""
    params_total: int = 0
    """Parameters of the network, head included."""
    params_trainable: int = 0
    """Those that were trained."""
    memory_predicted_bytes: int = 0
    """Predicted peak above the framework and the images, corrected by what was measured on this machine."""
    memory_predicted_margin: float = 0.0
    """How much more than that the run was expected to take at most, as a share of it (the end of its 95 % interval)."""
    memory_modelled_bytes: int = 0
    """The prediction before it was corrected."""
    memory_peak_bytes: int = 0
    """Measured peak above the framework and the images."""
    model_bytes: int = 0
    """Size of `model.keras`; 0 for the probes of a screen."""
    model_sha256: str = ""
    """Hash of `model.keras`; empty for the probes of a screen, and for runs of version 0.1.0."""
    micro_batch: int = 0
    """Images in memory at once; with fewer than the batch, gradients were accumulated."""
    replicas: int = 1
    """Devices that each batch was divided among."""
    wall_seconds: float | None = None
    """Wall-clock seconds, from the start of its process, that the run was given, saving included; None: no limit. If
    the machine is too slow, training is shortened. Probes and deterministic runs have nothing that can be shortened."""
    seconds: Seconds = Seconds()
    images_seen: int = 0
    """Training images, each counted every time that it was used."""
    images_per_second: float = 0.0
    """Training images per second of training."""
    scored_per_second: float = 0.0
    """Images per second through the network in scoring, mirror images included, without the first batch."""
    epochs: float = 0.0
    """Passes over the training images."""
    seconds_planned: float = 0.0
    """Training seconds that the study planned for its winner: a screened run is ranked by the error expected after
    them. 0: not known."""
    start_kept: bool = False
    """Whether the model is the one that training started from, because training made it worse."""
    head_views: int = 0
    """Augmented views of each image that the head of a probe was fitted on, beside the image. 0 without
    `train.probe_views`, and where the head of the images alone was better on validation."""
    refit_of: str = ""
    """Id of the run whose recipe this one repeats on training and validation images together: that run has the
    validation scores of the recipe. Empty for other runs."""
    val: Metrics | None = None
    """On the validation images that the config asks for; with `folds`, on its training images too. None until it is
    scored, and for a run that has learned the validation images."""
    folds: int = 0
    """Folds of the cross-validation that `val` is from; 0: validation images alone. There are fewer than the config
    asks for where there are fewer groups."""
    test: TestMetrics | None = None
    seed: int = 0
    """The config's."""
    versions: dict[str, str] = {}
    """Versions of bakeoff (`code`: 12 digits of a hash of its source), Python, TensorFlow, Keras and NumPy."""
    device: str = ""
    """The processor with its threads, or the GPUs."""
    precision: str = ""
    """Keras dtype policy that it was trained with."""

    model_config = ConfigDict(alias_generator=lambda name: name.rstrip("_"), populate_by_name=True)

    @property
    def view(self) -> Data:
        """The data as the run saw them: the config's, with what its fit came to."""
        return self.config.data.model_copy(update={"fit": self.data.fit})

    @property
    def scoring(self) -> str:
        """How `val` was scored, in a sentence: `on validation`, or `in 10-fold cross-validation`."""
        return f"in {name_folds(self.folds, self.val.n if self.val else 0)}" if self.folds else "on validation"

    @property
    def candidate(self) -> str:
        """The network and its input size, as in `mobilenet-v2@96`."""
        return self.config.candidate

    @property
    def metric(self) -> Metric:
        """The metric that decides about the run."""
        return self.config.train.metric


def keeps_model(record: RunRecord) -> bool:
    """Whether a completed run saves its model. The probes of a screen do not: there are many, and each is quickly done
    again. Nor do cross-validated probes, which have a head for each fold."""
    screened = record.stage is Stage.SCREEN and record.config.train.mode is Mode.PROBE
    return not screened and not record.config.train.folds


def write_record(folder: Path, record: RunRecord) -> None:
    """Write `record.json` atomically."""
    write_json(RunFolder(folder).record, record.model_dump(mode="json", by_alias=True))


def read_record(folder: Path) -> RunRecord:
    """Read a run's record. Raises OutputError if it is missing, damaged or of another schema."""
    path = RunFolder(folder).record
    try:
        raw = read_json(path)
        if raw.get("schema") != SCHEMA:
            raise OutputError(f"{path} has schema {raw.get('schema')!r}; this bakeoff reads {SCHEMA}")
        return RunRecord.model_validate(raw)
    except ValidationError as error:
        raise OutputError(f"cannot read {path}: {name_first(error)}; remove that run's folder") from error
    except FileNotFoundError as error:
        raise OutputError(f"{folder} holds no record.json; give a run's folder, as in OUT/runs/ID") from error
    except (OSError, ValueError, AttributeError) as error:
        raise OutputError(f"cannot read {path}: {str(error).splitlines()[0]}; remove that run's folder") from error


def list_records(out: Path) -> list[RunRecord]:
    """Read all records of a study, in order of their ids. Raises OutputError if any of them cannot be read."""
    return [read_record(path.parent) for path in sorted((out / "runs").glob(f"*/{RunFolder(Path()).record}"))]
