"""The model's file in any format, checked against the run; and what holds instead, if it is not exact enough."""

import contextlib
import tempfile
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np

from bakeoff.data.batches import Split, load_split
from bakeoff.data.shards import Dataset
from bakeoff.deploy.bundle import (
    MODEL_NAMES,
    SAVED_MODEL_VERSION,
    Floats,
    Format,
    Images,
    Parity,
    Quantize,
    advise,
    closer_forms,
    format_label,
    open_runtime,
)
from bakeoff.deploy.export.convertible import make_convertible
from bakeoff.deploy.export.keras_file import write_keras
from bakeoff.deploy.export.litert_file import find_wrong_operation, write_litert
from bakeoff.deploy.export.onnx_file import write_onnx
from bakeoff.deploy.export.parity import PRECISIONS, TOLERANCES, check_parity, predict_split
from bakeoff.deploy.export.saved_model import write_saved_model
from bakeoff.errors import BakeoffError, BundleError
from bakeoff.files import explained_errors
from bakeoff.runs.config import Precision
from bakeoff.runs.plugin import Plugin

__all__ = ["Expected", "find_closer", "write_checked", "write_model"]

# Training images that calibrate the ranges of activations for int8.
CALIBRATION_IMAGES = 256


@dataclass(frozen=True)
class Expected:
    """What an exported model must predict for validation images."""

    candidate: str
    """The run's network and input size, for messages."""
    dataset: Dataset
    val: Split
    precision: Precision
    """The run's."""
    plugin: Plugin | None
    """The plug-in network that it is; None if it is a network of bakeoff's own."""
    of_run: Floats
    """The run's own probabilities (n, classes)."""
    in_float32: Floats
    """The probabilities of the same weights computed in float32; those of the run if it computes so."""


def write_checked(
    exported: keras.Model, path: Path, model_format: Format, quantize: Quantize | None, expected: Expected
) -> tuple[Floats, Parity]:
    """Write the model's file, run it on validation images, and compare it with the run.

    Args:
        exported: The exported model.
        path: The file to write.
        model_format: Its format.
        quantize: The quantisation, if any.
        expected: What it must predict.

    Returns:
        The file's probabilities (n, classes), and how far they are from the run's.

    Raises:
        BundleError: The converter or the runtime fails, or the file's probabilities differ from the run's.
    """
    with _explained(expected.candidate, path, format_label(model_format, quantize)):
        calibration = _load_calibration(expected.dataset) if quantize is Quantize.INT8 else None
        write_model(exported, path, model_format, quantize, calibration)
        written = predict_split(open_runtime(path, model_format, plugin=expected.plugin), expected.val)
    tolerance = TOLERANCES[model_format, quantize]
    try:
        # A failed conversion is smaller than the tolerance of 16-bit operations may be.
        check_parity(expected.in_float32, written, tolerance)
        return written, check_parity(expected.of_run, written, tolerance.widened(PRECISIONS[expected.precision]))
    except BundleError as error:
        if (model_format, quantize) != (Format.LITERT, Quantize.INT8):
            raise
        images = _load_calibration(expected.dataset)
        wrong = find_wrong_operation(make_convertible(exported), path.parent, images)
        raise BundleError(f"{error}; {wrong}") from error


def find_closer(
    exported: keras.Model,
    folder: Path,
    model_format: Format,
    quantize: Quantize | None,
    expected: Expected,
    on_try: Callable[[str], object] = lambda _label: None,
) -> str:
    """What to export instead of a form that failed. Of a quantised one, the closer ones are tried until one holds.

    Args:
        exported: The exported model.
        folder: An existing folder; the files that are tried are written below it, and deleted.
        model_format: The format that failed.
        quantize: Its quantisation, if any.
        expected: What the model must predict.
        on_try: Called with the name of a form before it is tried.
    """
    failed: list[str] = []
    for closer in closer_forms(model_format, quantize):
        option = f"--quantize {closer}" if closer else "no --quantize"
        on_try(format_label(model_format, closer))
        with tempfile.TemporaryDirectory(dir=folder) as temporary:
            try:
                _, parity = write_checked(
                    exported, Path(temporary) / MODEL_NAMES[model_format], model_format, closer, expected
                )
            except BundleError:
                failed.append(option)
                continue
        return f"choose {option}, which was tried and holds (off by {parity.mean_gap:.2g} in the mean)"
    tried = f"{' and '.join(failed)} fail too; " if failed else ""
    return tried + advise(model_format)


@contextlib.contextmanager
def _explained(candidate: str, path: Path, label: str) -> Iterator[None]:
    """Turn an exception of a converter or a runtime into a BundleError of one line."""
    try:
        with explained_errors(path):
            yield
    except (BakeoffError, MemoryError):
        raise
    except Exception as error:  # each converter and runtime has exceptions of its own
        traceback.print_exc()
        reason = ": ".join([type(error).__name__, *str(error).splitlines()[:1]])
        raise BundleError(f"{candidate} cannot be exported as {label} ({reason})") from error


def write_model(
    model: keras.Model,
    path: Path,
    model_format: Format,
    quantize: Quantize | None = None,
    calibration: Images | None = None,
) -> None:
    """Write an exported model's file, unchecked.

    Args:
        model: The exported model.
        path: The file to write.
        model_format: Its format.
        quantize: The quantisation, if any.
        calibration: Training images (n, side, side, 3), for int8.
    """
    training_images = np.empty(0, np.uint8) if calibration is None else calibration
    match model_format:
        case Format.KERAS:
            write_keras(model, path)
        case Format.SAVED_MODEL:
            write_saved_model(model, path / SAVED_MODEL_VERSION)
        case Format.ONNX:
            write_onnx(make_convertible(model), path, quantize, training_images)
        case Format.LITERT:
            write_litert(make_convertible(model), path, quantize, training_images)


def _load_calibration(dataset: Dataset) -> Images:
    return load_split(dataset, "train", subset=CALIBRATION_IMAGES).images[:]
