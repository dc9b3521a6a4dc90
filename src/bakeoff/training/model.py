"""The model that a finished run saved, opened if it is the file that the run wrote."""

from pathlib import Path

import keras

from bakeoff.errors import OutputError
from bakeoff.files import hash_file
from bakeoff.runs.config import Mode
from bakeoff.runs.folder import RunFolder
from bakeoff.runs.record import RunRecord, State

__all__ = ["HOW_TO_MEND", "load_model"]

# What the user can do about a model that is not the run's.
HOW_TO_MEND = "put the run's own file back, or remove the run's folder and give the command that trained it again"


def load_model(folder: Path, record: RunRecord) -> keras.Model:
    """Load the network that a completed run trained.

    Raises OutputError if there is none, if the file is not the one that the run wrote, or if it cannot be read.
    """
    path = RunFolder(folder).model
    if record.state is State.COMPLETE and not path.is_file() and record.config.train.mode is Mode.PROBE:
        raise OutputError(
            f"{folder} has no trained model: the probes of a screen save none, nor did older versions; train it with"
            f" `bakeoff train DATA --recipe {RunFolder(folder).config} --out NEW`"
        )
    if record.state is not State.COMPLETE or not path.is_file():
        raise OutputError(f"{folder} has no trained model (its state is {record.state}); name a completed training run")
    if record.model_sha256 and (found := hash_file(path)) != record.model_sha256:
        raise OutputError(
            f"{path} is not the model that this run wrote: its SHA-256 is {found[:16]}…, on record is"
            f" {record.model_sha256[:16]}…; {HOW_TO_MEND}"
        )
    try:
        return keras.models.load_model(path, compile=False)
    except Exception as error:  # Keras, zipfile and h5py raise whatever the damage leads them to
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise OutputError(f"{path} cannot be opened ({reason}); {HOW_TO_MEND}") from error
