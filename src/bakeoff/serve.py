"""A bundle put to use. Nothing here knows of training: a bundle's files are all it needs."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bakeoff.errors import BundleError, DataError
from bakeoff.files import hash_file, read_json
from bakeoff.pixels import decode

__all__ = ["Answer", "Bundle", "open_bundle"]

BATCH = 64


@dataclass(frozen=True)
class Answer:
    """What a bundle says of one image: classes with their probabilities, likeliest first, or why it cannot say."""

    path: str
    top: list[tuple[str, float]]
    error: str | None = None


@dataclass(frozen=True)
class Bundle:
    """A model and the names of its outputs, ready to answer."""

    folder: Path
    side: int
    class_names: list[str]
    model: Any

    def predict(self, paths: Sequence[Path], *, top: int = 5) -> Iterator[Answer]:
        """Answers in the order of the paths; an unreadable image gets an answer with its error."""
        for first in range(0, len(paths), BATCH):
            batch = paths[first : first + BATCH]
            images: list[NDArray[np.uint8]] = []
            errors: dict[int, str] = {}
            for position, path in enumerate(batch):
                try:
                    images.append(decode(path.read_bytes(), self.side))
                except (OSError, DataError) as error:
                    errors[position] = error.strerror or str(error) if isinstance(error, OSError) else str(error)
            rows = iter(self.probabilities(np.stack(images)) if images else ())
            for position, path in enumerate(batch):
                if position in errors:
                    yield Answer(str(path), [], errors[position])
                else:
                    yield Answer(str(path), self._named(next(rows), top))

    def probabilities(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Probabilities (n, classes), float32, of uint8 RGB images (n, side, side, 3)."""
        answers: NDArray[np.float32] = np.asarray(self.model.predict(images, verbose=0))
        return answers

    def _named(self, probabilities: NDArray[np.float32], top: int) -> list[tuple[str, float]]:
        order = np.argsort(-probabilities, kind="stable")[:top]
        return [(self.class_names[index], float(probabilities[index])) for index in order]


def open_bundle(folder: Path) -> Bundle:
    """Load a bundle, its hashes checked. Raises BundleError if it is not one, or has been changed."""
    try:
        facts = read_json(folder / "bundle.json")
        labels = read_json(folder / "labels.json")
        changed = [name for name, digest in facts["files"].items() if hash_file(folder / name) != digest]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise BundleError(f"{folder} is not a bundle ({error}); give the folder that `bakeoff run` wrote") from error
    if changed:
        raise BundleError(f"{folder / changed[0]} is not the file that was bundled (its hash differs); export it again")
    import keras

    model = keras.models.load_model(folder / "model.keras", compile=False)
    return Bundle(folder, facts["side"], labels["classes"], model)
