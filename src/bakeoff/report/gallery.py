"""Validation images: the wrong predictions with the highest confidence, and the correct ones with the lowest.

Of a cross-validated probe there are training images too, which its heads had not seen. Test images are never shown. The
images are read once from the shards in the cache, and then saved in the run's folder.
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

from bakeoff.data.shards import find_dataset, read_images
from bakeoff.data.sources import SplitName
from bakeoff.errors import DataError
from bakeoff.files import read_arrays, replacing
from bakeoff.report.class_names import Classes, read_classes
from bakeoff.runs.folder import run_dir
from bakeoff.runs.heat_maps import HeatMaps, choose_images, read_heat_maps
from bakeoff.runs.predictions import Predictions, has_predictions, read_predictions
from bakeoff.runs.record import RunRecord

__all__ = ["Gallery", "Picture", "show_images"]

# uint8 RGB (height, width, 3) by image id.
Images = dict[str, NDArray[np.uint8]]

# The longest side of a thumbnail in pixels; smaller images keep their size.
_SIDE = 96
# The colour of heat maps, and how opaque their hottest part is: most of the image stays visible.
_HEAT, _OPACITY = (213, 94, 0), 0.85
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
    heat: str
    """A data URL: a transparent image to lay over the thumbnail; empty if there is no map."""
    no_heat: str
    """Why there is none, in a few words; empty without maps at all."""


class Gallery(NamedTuple):
    """Wrong and correct predictions; if the images are not available, both are empty and `missing` gives the reason."""

    mistakes: list[Picture]
    hits: list[Picture]
    missing: str = ""
    split: str = "validation"
    """What the images are, in a sentence."""
    method: str = ""
    """How the heat maps were drawn, `grad-cam` or `occlusion`; empty if there are none."""
    no_maps: str = ""
    """Why some or all images have no heat map, as far as it is known."""


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
    mistakes, hits = choose_images(predictions)
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
    heat_maps = read_heat_maps(folder) or HeatMaps(None)
    return Gallery(
        mistakes=_make_pictures(mistakes, predictions, classes, images, heat_maps),
        hits=_make_pictures(hits, predictions, classes, images, heat_maps),
        method=heat_maps.method or "",
        no_maps=heat_maps.missing,
        split=predictions.split_name,
    )


def _make_pictures(
    places: NDArray[np.intp], predictions: Predictions, classes: Classes, images: Images, heat_maps: HeatMaps
) -> list[Picture]:
    pictures = []
    for place in places:
        key = predictions.ids[place]
        heat = heat_maps.maps.get(key)
        is_flat = heat is not None and not heat.any()
        pictures.append(
            Picture(
                _encode(images[key]),
                classes.names[predictions.labels[place]],
                classes.names[predictions.predicted[place]],
                float(predictions.confidence[place]),
                "" if heat is None or is_flat else _encode_heat(heat),
                "no part stands out" if is_flat else "no heat map" if heat is None and heat_maps.method else "",
            )
        )
    return pictures


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
    try:
        found = {key: _shrink(image) for key, image in read_images(dataset, splits, wanted).items()}
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


def _encode_heat(heat: NDArray[np.uint8]) -> str:
    """A map as a small PNG of one colour, whose opacity is the heat; the browser enlarges and smooths it."""
    pixels = np.empty((*heat.shape, 4), np.uint8)
    pixels[..., :3] = _HEAT
    pixels[..., 3] = np.round(_OPACITY * heat)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG", optimize=True)
    return f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}"
