"""Everything that a training run needs to go on after a kill, in one file that is written between two steps.

checkpoint = Checkpoint(RunFolder(folder).checkpoint, {"model": Variables(model.variables), "average": average})
facts = checkpoint.read()          what was written last, all parts set to it; None if there is nothing
checkpoint.write({"batches": 120})
"""

import json
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from bakeoff.errors import OutputError
from bakeoff.files import read_arrays, replacing

__all__ = ["Checkpoint", "Part", "Variables", "discard_damaged"]

# Seconds between two ($BAKEOFF_CHECKPOINT_SECONDS; 0 is after each step), and their share of the time at the most.
INTERVAL, SHARE = 30.0, 0.02
_FACTS = "facts"

Arrays = Sequence[NDArray[Any]]


def discard_damaged(path: Path) -> bool:
    """Delete a checkpoint that cannot be read, and say whether there was one: its run begins anew."""
    try:
        if path.is_file():
            _read(path)
    except OutputError:
        path.unlink()
        return True
    return False


def _read(path: Path) -> dict[str, NDArray[Any]]:
    try:
        arrays = read_arrays(path)
        json.loads(str(arrays[_FACTS]))
    except (OSError, ValueError, KeyError) as error:
        raise OutputError(f"cannot go on from {path}: {error}") from error
    return arrays


class Part(Protocol):
    """Something whose state is a list of arrays."""

    def state(self) -> Arrays:
        """The arrays, as they are now."""

    def set_state(self, arrays: Arrays) -> None:
        """Become what the arrays were taken from."""


class Variables:
    """Keras variables as a part: of a model (its random generators included), or of an optimiser."""

    def __init__(self, variables: Sequence[Any]) -> None:
        self._variables = variables

    def state(self) -> Arrays:
        """Their values."""
        return [np.asarray(variable) for variable in self._variables]

    def set_state(self, arrays: Arrays) -> None:
        """Assign them."""
        for variable, array in zip(self._variables, arrays, strict=True):
            variable.assign(array)


class Checkpoint:
    """A file for parts and a few facts (JSON). Between two writes at least INTERVAL seconds pass."""

    def __init__(self, path: Path, parts: Mapping[str, Part]) -> None:
        self._path = path
        self._parts = parts
        self._interval = float(os.environ.get("BAKEOFF_CHECKPOINT_SECONDS", INTERVAL))
        self._next = time.monotonic() + self._interval

    @property
    def is_due(self) -> bool:
        """Whether enough time has passed since the last one."""
        return time.monotonic() >= self._next

    def write(self, facts: Mapping[str, Any]) -> None:
        """Write everything, whole or not at all. Raises OutputError if the disk is full."""
        started = time.monotonic()
        arrays = {_FACTS: np.array(json.dumps(facts))}
        for name, part in self._parts.items():
            arrays |= {f"{name}/{position}": array for position, array in enumerate(part.state())}
        with replacing(self._path) as temporary:
            np.savez(temporary, allow_pickle=False, **arrays)
        ended = time.monotonic()
        self._next = ended + (max(self._interval, (ended - started) / SHARE) if self._interval else 0.0)

    def read(self) -> dict[str, Any] | None:
        """Set all parts to what was written last, and return its facts; None if there is no file.

        Raises OutputError if it is damaged; nothing has been set then.
        """
        if not self._path.is_file():
            return None
        arrays = _read(self._path)
        facts: dict[str, Any] = json.loads(str(arrays.pop(_FACTS)))
        for name, part in self._parts.items():
            count = sum(key.startswith(f"{name}/") for key in arrays)
            part.set_state([arrays[f"{name}/{position}"] for position in range(count)])
        return facts
