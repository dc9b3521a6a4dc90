"""Checkpoints: everything that a training run needs to resume, in one file that is written between two steps.

checkpoint = Checkpoint(RunFolder(folder).checkpoint, {"model": Variables(model.variables), "average": average})
facts = checkpoint.read()          restores all parts and returns the facts; None if there is no checkpoint
checkpoint.write({"batches": 120})
"""

import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from bakeoff.errors import OutputError
from bakeoff.files import read_arrays, replacing
from bakeoff.variables import CHECKPOINT_SECONDS

__all__ = ["Checkpoint", "Stateful", "Variables", "discard_unusable"]

# Least number of seconds between two checkpoints. $BAKEOFF_CHECKPOINT_SECONDS overrides it; 0: after each step.
INTERVAL = 30.0
# Largest fraction of the time that writing checkpoints may take.
SHARE = 0.02
_FACTS = "facts"

Arrays = Sequence[NDArray[Any]]


def discard_unusable(path: Path, parts: Mapping[str, "Variables"], facts: Mapping[str, Any]) -> str:
    """Delete a checkpoint from which its run cannot resume, so that the run starts from the beginning.

    Args:
        path: The checkpoint. There may be none.
        parts: The variables that it has to hold.
        facts: The facts that it has to hold, with any values.

    Returns:
        What was wrong with it, for the run's record; empty if nothing was deleted.
    """
    if not path.is_file():
        return ""
    try:
        arrays = _read(path)
    except OutputError:
        wrong = "was damaged"
    else:
        # The variables of an optimiser depend on the version: mixed_float16 has more since its loss is scaled.
        stored = {name: [array.shape for array in _arrays_of(arrays, name)] for name in parts}
        is_usable = set(json.loads(str(arrays[_FACTS]))) == set(facts)
        if is_usable and stored == {name: part.shapes for name, part in parts.items()}:
            return ""
        wrong = "is of another version of bakeoff or Keras"
    path.unlink()
    return wrong


def _arrays_of(arrays: Mapping[str, NDArray[Any]], name: str) -> list[NDArray[Any]]:
    """The state of one part."""
    count = sum(key.startswith(f"{name}/") for key in arrays)
    return [arrays[f"{name}/{position}"] for position in range(count)]


def _read(path: Path) -> dict[str, NDArray[Any]]:
    try:
        arrays = read_arrays(path)
        json.loads(str(arrays[_FACTS]))
    except (OSError, ValueError, KeyError) as error:
        raise OutputError(f"cannot resume from {path}: {error}; delete it and start the run again") from error
    return arrays


class Stateful(Protocol):
    """A part of a checkpoint: its state is a list of arrays."""

    def state(self) -> Arrays:
        """The current state."""

    def set_state(self, arrays: Arrays) -> None:
        """Restore a state."""


class Variables:
    """The variables of a Keras model (its random generators included) or optimiser, as a part of a checkpoint."""

    def __init__(self, variables: Sequence[Any]) -> None:
        self._variables = variables

    @property
    def shapes(self) -> list[tuple[int, ...]]:
        """The shapes of the arrays of the state."""
        return [tuple(variable.shape) for variable in self._variables]

    def state(self) -> Arrays:
        """The values of the variables."""
        return [np.asarray(variable) for variable in self._variables]

    def set_state(self, arrays: Arrays) -> None:
        """Assign values to the variables."""
        for variable, array in zip(self._variables, arrays, strict=True):
            variable.assign(array)


class Checkpoint:
    """A file that stores the state of several parts, and a few facts as JSON."""

    def __init__(self, path: Path, parts: Mapping[str, Stateful]) -> None:
        self._path = path
        self._parts = parts
        self._interval = CHECKPOINT_SECONDS.read_number(INTERVAL)
        self._next = time.monotonic() + self._interval

    @property
    def is_due(self) -> bool:
        """Whether it is time for the next checkpoint: they take at most SHARE of the time."""
        return time.monotonic() >= self._next

    def write(self, facts: Mapping[str, Any]) -> None:
        """Write the parts and the facts atomically. Raises OutputError if the disk is full."""
        started = time.monotonic()
        arrays = {_FACTS: np.array(json.dumps(facts))}
        for name, part in self._parts.items():
            arrays |= {f"{name}/{position}": array for position, array in enumerate(part.state())}
        with replacing(self._path) as temporary:
            np.savez(temporary, allow_pickle=False, **arrays)
        ended = time.monotonic()
        self._next = ended + (max(self._interval, (ended - started) / SHARE) if self._interval else 0.0)

    def read(self) -> dict[str, Any] | None:
        """Restore all parts from the file and return the facts; None if there is no file.

        Raises OutputError if the file is damaged; no part has been changed then.
        """
        if not self._path.is_file():
            return None
        arrays = _read(self._path)
        facts: dict[str, Any] = json.loads(str(arrays.pop(_FACTS)))
        for name, part in self._parts.items():
            part.set_state(_arrays_of(arrays, name))
        return facts
