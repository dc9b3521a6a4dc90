"""The model that a finished run saved, opened if it is the file that the run wrote."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import keras

from bakeoff.data.shards import Dataset, open_dataset
from bakeoff.errors import ConfigError, OutputError
from bakeoff.files import hash_file
from bakeoff.networks.hub import explain_missing
from bakeoff.networks.saved import open_model
from bakeoff.runs.config import Mode
from bakeoff.runs.folder import RunFolder
from bakeoff.runs.record import RunRecord, State, read_record
from bakeoff.training.inference import Forward, compile_forward

__all__ = ["HOW_TO_MEND", "OpenedRun", "open_run"]

# What the user can do about a model that is not the run's.
HOW_TO_MEND = "put the run's own file back, or remove the run's folder and give the command that trained it again"


@dataclass(frozen=True)
class OpenedRun:
    """A finished run, opened once for all that is done with its model."""

    folder: Path
    """The run's folder, `OUT/runs/ID`."""
    record: RunRecord
    model: keras.Model
    dataset: Dataset
    """The data as the model sees them."""

    @cached_property
    def forward(self) -> Forward:
        """The compiled model: uint8 images (n, side, side, 3) -> logits (n, classes)."""
        return compile_forward(self.model)


def open_run(folder: Path, data: Path) -> OpenedRun:
    """Open a finished run with the data that it was trained on.

    Args:
        folder: The run's folder, `OUT/runs/ID`.
        data: The folder of shards.

    Raises:
        OutputError: The run has no trained model, or another one than it wrote, or was trained on other data.
    """
    record = read_record(folder)
    model = _load_model(folder, record)
    dataset = open_dataset(data, record.view.classes, record.view.seed, record.view.fit)
    if dataset.fingerprint != record.data.fingerprint:
        raise OutputError(f"{folder} was trained on other data than {data}; prepare the same data again")
    return OpenedRun(folder, record, model, dataset.at_input(model.input_shape[1]))


def _load_model(folder: Path, record: RunRecord) -> keras.Model:
    path = RunFolder(folder).model
    if record.state is State.COMPLETE and not path.is_file() and record.config.train.mode is Mode.PROBE:
        raise OutputError(
            f"{folder} has no trained model: the probes of a screen save none, nor did older versions; train it with"
            f" `bakeoff train --recipe {RunFolder(folder).config} --out NEW`"
        )
    if record.state is not State.COMPLETE or not path.is_file():
        raise OutputError(f"{folder} has no trained model (its state is {record.state}); name a completed training run")
    if record.model_sha256 and (found := hash_file(path)) != record.model_sha256:
        raise OutputError(
            f"{path} is not the model that this run wrote: its SHA-256 is {found[:16]}…, on record is"
            f" {record.model_sha256[:16]}…; {HOW_TO_MEND}"
        )
    if missing := explain_missing(path):
        raise OutputError(missing)
    try:
        return open_model(path, record.plugin)
    except ConfigError:
        raise
    except Exception as error:  # Keras, zipfile and h5py raise whatever the damage leads them to
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise OutputError(f"{path} cannot be opened ({reason}); {HOW_TO_MEND}") from error
