"""Validation images: the wrong predictions with the highest confidence, and the correct ones with the lowest.

Of a cross-validated probe there are training images too, which its heads had not seen. Test images are never shown. The
images are read once from the shards in the cache, and then saved in the run's folder.
"""

import base64
import importlib.util
import io
from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from bakeoff.data.shards import find_dataset, read_blocks
from bakeoff.data.sources import SplitName
from bakeoff.errors import DataError
from bakeoff.files import read_arrays, replacing
from bakeoff.report.class_names import Classes, read_classes
from bakeoff.runs.folder import run_dir
from bakeoff.runs.predictions import Predictions, has_predictions, read_predictions
from bakeoff.runs.record import RunRecord

__all__ = ["Gallery", "Picture", "show_images"]

# uint8 RGB (height, width, 3) by image id.
Images = dict[str, NDArray[np.uint8]]

_EACH = 12
# The longest side of a thumbnail in pixels; smaller images keep their size.
_SIDE = 96
# Thumbnails up to this side are saved as PNG, larger ones as JPEG.
_LOSSLESS = 64
_FILE = "gallery.npz"


class Picture(NamedTuple):
    """A thumbnail with its true class and its prediction."""

    url: str
    """A data URL."""
    name: str
    """The true class."""
    predicted: str
    confidence: float
    """The probability of the predicted class."""


class Gallery(NamedTuple):
    """Wrong and correct predictions; if the images are not available, both are empty and `missing` gives the reason."""

    mistakes: list[Picture]
    hits: list[Picture]
    missing: str = ""
    split: str = "validation"
    """What the images are, in a sentence."""


def show_images(out: Path, record: RunRecord, *, keep: bool = False) -> Gallery | None:
    """Build the gallery of a run.

    Args:
        out: The study's folder.
        record: The run, usually the winner.
        keep: Save the images in the run's folder, so that later reports do not need the shards.

    Returns:
        The gallery; None if the run has no saved predictions with image ids on validation.

    Raises:
        OutputError: The predictions are damaged.
    """
    folder = run_dir(out, record.id)
    if not has_predictions(folder, "val"):
        return None
    predictions = read_predictions(folder, "val")
    if not predictions.ids:
        return None
    wrong, right = np.flatnonzero(~predictions.correct), np.flatnonzero(predictions.correct)
    mistakes = wrong[np.argsort(-predictions.confidence[wrong], kind="stable")][:_EACH]
    hits = right[np.argsort(predictions.confidence[right], kind="stable")][:_EACH]
    wanted = [predictions.ids[place] for place in (*mistakes, *hits)]
    path = folder / _FILE
    saved = _read_saved(path, wanted)
    images = saved or _read_shards(record, wanted, ("val",) if predictions.folds is None else ("val", "train"))
    if isinstance(images, str):
        return Gallery([], [], images)
    if keep and images and not saved:
        with replacing(path) as temporary:
            np.savez_compressed(temporary, ids=np.array(wanted), images=np.stack([images[key] for key in wanted]))
    classes = read_classes(out, record, predictions.classes)
    return Gallery(
        mistakes=_make_pictures(mistakes, predictions, classes, images),
        hits=_make_pictures(hits, predictions, classes, images),
        split=predictions.split_name,
    )


def _make_pictures(
    places: NDArray[np.intp], predictions: Predictions, classes: Classes, images: Images
) -> list[Picture]:
    return [
        Picture(
            _encode(images[predictions.ids[place]]),
            classes.names[predictions.labels[place]],
            classes.names[predictions.predicted[place]],
            float(predictions.confidence[place]),
        )
        for place in places
    ]


def _read_saved(path: Path, wanted: Sequence[str]) -> Images:
    """The images that an earlier report saved; empty unless all wanted ones are there."""
    try:
        file = read_arrays(path)
        saved = dict(zip(file["ids"].tolist(), file["images"], strict=True))
    except (OSError, ValueError, KeyError):
        return {}  # absent or damaged: they are read from the shards again
    return saved if set(wanted) <= set(saved) else {}


def _read_shards(record: RunRecord, wanted: Sequence[str], splits: Sequence[SplitName]) -> Images | str:
    """Thumbnails by image id, or the reason why they are not available."""
    if not wanted:
        return {}
    dataset = find_dataset(record.data.fingerprint, record.view.classes, record.view.seed, record.view.fit)
    if dataset is None:
        return "The shards of these images are no longer in the cache. Prepare the data again to see the images here."
    if importlib.util.find_spec("tensorflow") is None:
        return "TensorFlow is needed to read the shards and is not installed: run pip install 'bakeoff[cpu]'."
    found: Images = {}
    try:
        for block in chain.from_iterable(read_blocks(dataset, split) for split in splits):
            positions = {key: place for place, key in enumerate(block.ids)}
            found |= {key: _shrink(block.images[positions[key]]) for key in wanted if key in positions}
            if len(found) == len(set(wanted)):
                break
    except DataError as error:
        return f"The images cannot be read: {error}."
    return found if set(wanted) <= set(found) else "Some of these images are not in the shards in the cache."


def _shrink(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    picture = Image.fromarray(image)
    picture.thumbnail((_SIDE, _SIDE), Image.Resampling.LANCZOS)
    return np.asarray(picture)


def _encode(image: NDArray[np.uint8]) -> str:
    small = max(image.shape[:2]) <= _LOSSLESS
    file = io.BytesIO()
    Image.fromarray(image).save(file, "PNG" if small else "JPEG", optimize=True, **({} if small else {"quality": 82}))
    return f"data:image/{'png' if small else 'jpeg'};base64,{base64.b64encode(file.getvalue()).decode()}"
