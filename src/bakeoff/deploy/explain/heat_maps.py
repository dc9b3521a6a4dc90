"""The heat maps of a run, for the images that the report shows of it."""

import time
import traceback
from collections.abc import Callable, Collection
from pathlib import Path

import keras
import numpy as np
from numpy.typing import NDArray

from bakeoff.data.batches import Split
from bakeoff.data.shards import read_images
from bakeoff.data.sources import SplitName
from bakeoff.deploy.bundle import Floats, Images
from bakeoff.deploy.explain.grad_cam import GradCam, compile_grad_cam
from bakeoff.deploy.explain.occlusion import COARSE_GRID, GRID, draw_occlusion_map
from bakeoff.deploy.export.full_precision import build_in_float32
from bakeoff.errors import DataError
from bakeoff.runs.events import RunProgress, write_event
from bakeoff.runs.heat_maps import HeatMaps, MapMethod, choose_images, write_heat_maps
from bakeoff.runs.predictions import read_predictions
from bakeoff.runs.record import read_record
from bakeoff.text import counted
from bakeoff.training.inference import Forward, compile_forward, predict_logits
from bakeoff.training.model import OpenedRun, open_run

__all__ = ["draw_heat_maps", "explain_images"]

# No map is begun after so many seconds. Grad-CAM takes two or three for all images, occlusion a few.
SECONDS = 10.0


def draw_heat_maps(folder: Path, data: Path, opened: OpenedRun | None = None) -> None:
    """Draw the heat maps of a finished run into its folder; where that fails, the file says why.

    A refit has learned the images that the report shows, so the maps are those of the run whose recipe it repeats.

    Args:
        folder: The run's folder, `OUT/runs/ID`.
        data: The folder of shards that it was trained on.
        opened: The run, if it is opened already.
    """
    if repeated := read_record(folder).refit_of:
        folder, opened = folder.parent / repeated, None
    try:
        heat_maps = _draw(opened or open_run(folder, data))
    except Exception as error:  # a report without maps is better than none, and it says what failed
        traceback.print_exc()
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        heat_maps = HeatMaps(None, missing=f"The heat maps could not be drawn: {reason}.")
    write_heat_maps(folder, heat_maps)


def _draw(run: OpenedRun) -> HeatMaps:
    model = build_in_float32(run.model, run.record.config)
    predictions = read_predictions(run.folder, "val")
    places = np.concatenate(choose_images(predictions))
    predicted = {predictions.ids[place]: int(predictions.predicted[place]) for place in places}
    splits: tuple[SplitName, ...] = ("val",) if predictions.folds is None else ("val", "train")
    images = read_images(run.dataset, splits, predicted)
    if absent := predicted.keys() - images.keys():
        raise DataError(
            f"{run.dataset.folder} lacks {counted(len(absent), 'image')} of this study; prepare the same data again"
        )
    forward = run.forward if model is run.model else None
    return explain_images(model, images, predicted, flip=run.record.config.train.flip_test, forward=forward)


def explain_images(
    model: keras.Model,
    images: dict[str, NDArray[np.uint8]],
    labels: dict[str, int],
    *,
    flip: bool,
    forward: Forward | None = None,
) -> HeatMaps:
    """Draw a heat map for each image, as long as there is time.

    Args:
        model: uint8 images (n, side, side, 3) -> logits (n, classes).
        images: uint8 (side, side, 3) by id.
        labels: The class to be explained, by id; the first ones are drawn first.
        flip: Whether the model is shipped with a mirrored pass, whose map is added.
        forward: The compiled model, if it is compiled already.
    """
    write_event(RunProgress("heat maps", 0.0))
    ids, started = list(labels), time.monotonic()
    maps: dict[str, NDArray[np.uint8]] = {}
    if ids and (grad_cam := compile_grad_cam(model)):
        stacked = np.stack([images[key] for key in ids])
        sums = _add_mirrored(grad_cam, stacked, np.array([labels[key] for key in ids], np.int32), flip=flip)
        return HeatMaps(MapMethod.GRAD_CAM, dict(zip(ids, map(_scale, sums), strict=True)))
    compiled = forward or compile_forward(model)

    def predict(batch: Images) -> Floats:
        return predict_logits(compiled, Split(batch, np.zeros(len(batch), np.int32), []), flip=flip)

    grid = _choose_grid(predict, images[ids[0]], len(ids)) if ids else GRID
    for key in ids:
        if time.monotonic() - started > SECONDS:
            break
        maps[key] = _scale(draw_occlusion_map(predict, images[key], labels[key], grid))
        write_event(RunProgress("heat maps", len(maps) / len(ids)))
    return HeatMaps(MapMethod.OCCLUSION, maps, _count_missing(labels, maps))


def _choose_grid(predict: Callable[[Images], Floats], image: NDArray[np.uint8], maps: int) -> int:
    """The rows and columns of the maps: fewer, if so many maps with all of them would take too long."""
    tried = np.stack([image] * 4)
    predict(tried[:1])  # the first call compiles the network
    began = time.monotonic()
    predict(tried)
    per_image = (time.monotonic() - began) / len(tried)
    return GRID if maps * per_image * (1 + GRID**2) <= SECONDS else COARSE_GRID


def _add_mirrored(grad_cam: GradCam, images: Images, labels: NDArray[np.int32], *, flip: bool) -> Floats:
    maps = grad_cam(images, labels)
    return maps + grad_cam(np.ascontiguousarray(images[:, :, ::-1]), labels)[:, :, ::-1] if flip else maps


def _scale(values: Floats) -> NDArray[np.uint8]:
    """To 255 at the largest value; 0 everywhere if no value is positive."""
    largest = float(values.max())
    return np.round(255 * values / largest).astype(np.uint8) if largest > 0 else np.zeros(values.shape, np.uint8)


def _count_missing(labels: Collection[str], maps: Collection[str]) -> str:
    left = len(labels) - len(maps)
    return f"{left} of {counted(len(labels), 'map')} not drawn, because that would have taken too long." if left else ""
