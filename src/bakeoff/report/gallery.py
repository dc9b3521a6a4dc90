"""Images to look at: the mistakes that the winner was most sure of, and the hits that it was least sure of.

They are validation images: the test split stays locked, whoever looks. They are read from the shards in the cache once,
and kept beside the run from then on.
"""

import base64
import importlib.util
import io
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from bakeoff.data.shards import find_dataset, read_blocks
from bakeoff.errors import DataError
from bakeoff.files import read_arrays, replacing
from bakeoff.report.class_names import Classes, read_classes
from bakeoff.runs.folder import run_dir
from bakeoff.runs.predictions import Predictions, has_predictions, read_predictions
from bakeoff.runs.record import RunRecord

__all__ = ["Gallery", "Picture", "show_images"]

# By id, uint8 (height, width, 3).
Images = dict[str, NDArray[np.uint8]]

_EACH = 12
# Pixels along the side; smaller images are shown as they are, larger ones are shrunk to this.
_SIDE = 96
_LOSSLESS = 64
_FILE = "gallery.npz"


class Picture(NamedTuple):
    """An image as a data URL, what it is, what it was taken for, and how sure the model was of that."""

    url: str
    name: str
    said: str
    confidence: float


class Gallery(NamedTuple):
    """Mistakes and hits; where there are no images to show, `missing` says why."""

    mistakes: list[Picture]
    hits: list[Picture]
    missing: str = ""


def show_images(out: Path, record: RunRecord, *, keep: bool = False) -> Gallery | None:
    """The gallery of a run; None if its answers on validation were not kept. `keep` keeps its images."""
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
    path = run_dir(out, record.id) / _FILE
    kept = _read_kept(path, wanted)
    images = kept or _read_shards(record, wanted)
    if isinstance(images, str):
        return Gallery([], [], images)
    if keep and images and not kept:
        with replacing(path) as temporary:
            np.savez_compressed(temporary, ids=np.array(wanted), images=np.stack([images[key] for key in wanted]))
    classes = read_classes(out, record, predictions.classes)
    return Gallery(_frame(mistakes, predictions, classes, images), _frame(hits, predictions, classes, images))


def _frame(places: NDArray[np.intp], predictions: Predictions, classes: Classes, images: Images) -> list[Picture]:
    return [
        Picture(
            _encode(images[predictions.ids[place]]),
            classes.names[predictions.labels[place]],
            classes.names[predictions.predicted[place]],
            float(predictions.confidence[place]),
        )
        for place in places
    ]


def _read_kept(path: Path, wanted: Sequence[str]) -> Images:
    """The images kept by an earlier report; none if it showed others."""
    try:
        file = read_arrays(path)
        kept = dict(zip(file["ids"].tolist(), file["images"], strict=True))
    except (OSError, ValueError, KeyError):
        return {}  # none kept, or damaged: they are read anew
    return kept if set(wanted) <= set(kept) else {}


def _read_shards(record: RunRecord, wanted: Sequence[str]) -> Images | str:
    """Images by id, shrunk to thumbnails, or why there are none."""
    if not wanted:
        return {}
    dataset = find_dataset(record.data.fingerprint, record.config.data.classes, record.config.data.seed)
    if dataset is None:
        return "The shards of these images are no longer in the cache: prepare the data again to see them here."
    if importlib.util.find_spec("tensorflow") is None:
        return "TensorFlow, which reads the shards, is not installed here: run pip install 'bakeoff[cpu]' to see them."
    found: Images = {}
    try:
        for block in read_blocks(dataset, "val"):
            positions = {key: place for place, key in enumerate(block.ids)}
            found |= {key: _shrink(block.images[positions[key]]) for key in wanted if key in positions}
            if len(found) == len(set(wanted)):
                break
    except DataError as error:
        return f"The images cannot be read: {error}."
    return found if set(wanted) <= set(found) else "The shards in the cache are without some of these images."


def _shrink(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    picture = Image.fromarray(image)
    picture.thumbnail((_SIDE, _SIDE), Image.Resampling.LANCZOS)
    return np.asarray(picture)


def _encode(image: NDArray[np.uint8]) -> str:
    small = max(image.shape[:2]) <= _LOSSLESS
    file = io.BytesIO()
    Image.fromarray(image).save(file, "PNG" if small else "JPEG", optimize=True, **({} if small else {"quality": 82}))
    return f"data:image/{'png' if small else 'jpeg'};base64,{base64.b64encode(file.getvalue()).decode()}"
