"""A folder as a Bundle, its hashes checked."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from bakeoff.deploy.bundle.facts import BundleFacts, Labels, read_facts, read_labels
from bakeoff.deploy.bundle.kinds import MODEL_NAMES
from bakeoff.deploy.bundle.runtimes import Floats, Runtime, open_runtime
from bakeoff.errors import BakeoffError, BundleError
from bakeoff.files import hash_file

__all__ = ["Bundle", "Named", "open_bundle"]


class Named(NamedTuple):
    """One class of an answer."""

    label: str
    probability: float
    superclass: str | None


@dataclass(frozen=True)
class Bundle:
    """A model and the names of its outputs, ready to answer."""

    folder: Path
    facts: BundleFacts
    labels: Labels
    probabilities: Runtime

    @property
    def side(self) -> int:
        """Side in pixels of the square that images are read as."""
        return self.facts.side

    @property
    def class_names(self) -> Sequence[str]:
        """The classes in the order of the outputs."""
        return self.labels.classes

    def name(self, probabilities: Floats, top: int) -> list[Named]:
        """The likeliest classes of one image, (classes,) float32, likeliest first."""
        order = np.argsort(-probabilities, kind="stable")[:top]
        return [
            Named(self.labels.classes[index], float(probabilities[index]), self.labels.superclass(index))
            for index in order
        ]

    def warm_up(self, *batches: int) -> None:
        """Answer blank images, so that what is made at the first call of a size is made now."""
        for batch in batches:
            self.probabilities(np.zeros((batch, self.side, self.side, 3), np.uint8))


def open_bundle(folder: Path, threads: int | None = None) -> Bundle:
    """Load a bundle, its hashes checked. Raises BundleError if it is not one, has been changed, or cannot be run."""
    facts, labels = read_facts(folder), read_labels(folder)
    for name, digest in facts.files.items():
        path = folder / name
        if not path.is_file() or hash_file(path) != digest:
            problem = "is not the file that was bundled (its hash differs)" if path.is_file() else "is missing"
            raise BundleError(f"{path} {problem}; export it again")
    path = folder / MODEL_NAMES[facts.format]
    try:
        runtime = open_runtime(path, facts.format, threads)
    except BakeoffError:
        raise
    except Exception as error:  # each runtime has exceptions of its own
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise BundleError(
            f"{path} cannot be opened: {reason}; export it again with the versions that are here"
        ) from error
    return Bundle(folder, facts, labels, runtime)
