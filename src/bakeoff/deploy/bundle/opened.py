"""An opened bundle: the model, ready to predict, and the names of its classes."""

import contextlib
import importlib.metadata
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from bakeoff.deploy.bundle.facts import BundleFacts, Labels, read_facts, read_labels
from bakeoff.deploy.bundle.formats import MODEL_NAMES, Format
from bakeoff.deploy.bundle.runtimes import Floats, Runtime, open_runtime
from bakeoff.errors import BakeoffError, BundleError
from bakeoff.files import hash_file
from bakeoff.runs.config import Fit

__all__ = ["Bundle", "ClassScore", "open_bundle"]


class ClassScore(NamedTuple):
    """A class, its probability, and its superclass if there are any."""

    label: str
    probability: float
    superclass: str | None


@dataclass(frozen=True)
class Bundle:
    """A bundle that is ready to predict."""

    folder: Path
    facts: BundleFacts
    labels: Labels
    probabilities: Runtime
    """uint8 RGB images (n, side, side, 3) -> probabilities (n, classes)."""
    min_confidence: float | None = None
    """The confidence below which an answer is marked as unsure; None marks none."""

    @property
    def side(self) -> int:
        """Side in pixels of the square images that the model takes."""
        return self.facts.side

    @property
    def fit(self) -> Fit:
        """How pictures become square."""
        return self.facts.fit

    @property
    def class_names(self) -> Sequence[str]:
        """Names of the classes in the order of the outputs."""
        return self.labels.classes

    def top_classes(self, probabilities: Floats, top: int) -> list[ClassScore]:
        """The `top` most probable classes of one image, most probable first, from its probabilities (classes,)."""
        order = np.argsort(-probabilities, kind="stable")[:top]
        return [
            ClassScore(self.labels.classes[index], float(probabilities[index]), self.labels.superclass(index))
            for index in order
        ]

    def is_unsure(self, probabilities: Floats) -> bool | None:
        """Whether the answer for one image, from its probabilities (classes,), is unsure; None without a threshold."""
        return None if self.min_confidence is None else bool(probabilities.max() < self.min_confidence)

    def warm_up(self, *batches: int) -> None:
        """Predict on blank images of these batch sizes, because the first call at a size is slow."""
        for size in batches:
            self.probabilities(np.zeros((size, self.side, self.side, 3), np.uint8))


def open_bundle(folder: Path, threads: int | None = None, min_confidence: float | None = None) -> Bundle:
    """Open a bundle and check the hashes of its files.

    Args:
        folder: The bundle.
        threads: Threads that the runtime computes on; as of `open_runtime` if not given.
        min_confidence: The confidence below which an answer is marked as unsure; if not given, that of the bundle.

    Raises:
        BundleError: The folder is not a bundle, a file was changed, or the model cannot be run here.
    """
    facts, labels = read_facts(folder), read_labels(folder)
    for name, digest in facts.files.items():
        path = folder / name
        if not path.is_file() or hash_file(path) != digest:
            problem = "is not the file that was bundled (its hash differs)" if path.is_file() else "is missing"
            raise BundleError(f"{path} {problem}; export it again")
    path = folder / MODEL_NAMES[facts.format]
    if facts.format is Format.KERAS:
        _check_keras(path, facts.versions.get("keras", ""))
    try:
        runtime = open_runtime(path, facts.format, threads, facts.plugin)
    except BakeoffError:
        raise
    except Exception as error:  # each runtime has exceptions of its own
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise BundleError(
            f"{path} cannot be opened: {reason}; export it again with the versions installed here"
        ) from error
    if min_confidence is None and facts.threshold is not None:
        min_confidence = facts.threshold.min_confidence
    return Bundle(folder, facts, labels, runtime, min_confidence)


def _check_keras(path: Path, written_by: str) -> None:
    """Raise BundleError if the file is of a newer minor version of Keras, which older ones refuse or misread."""
    with contextlib.suppress(importlib.metadata.PackageNotFoundError):
        installed = importlib.metadata.version("keras")
        if _minor(written_by) > _minor(installed):
            raise BundleError(
                f"{path} was written by Keras {written_by}, and Keras {installed} is installed; run pip install"
                f" 'keras>={written_by}', or export it as onnx or litert, which need no Keras"
            )


def _minor(version: str) -> list[int]:
    """Major and minor version; empty if they are not known."""
    return [int(number) for number in re.findall(r"\d+", version)[:2]]
