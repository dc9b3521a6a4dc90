"""Write the model for LiteRT (TensorFlow Lite), in 32, 16 or 8 bits."""

import contextlib
import csv
import io
import itertools
import math
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras

from bakeoff.deploy.bundle import Images, Quantize
from bakeoff.deploy.export.litert_operations import known_operations
from bakeoff.deploy.export.saved_model import write_saved_model
from bakeoff.files import without_wildcards

__all__ = ["find_wrong_operation", "write_litert"]

# Probabilities in 8 bits are multiples of 1/256: small ones are lost, and they do not sum to one. A reversal (of the
# colours, for VGG and ResNet-50) copies bytes, but the converter may give its result another scale than its input.
_FLOAT_OPERATIONS = ["SOFTMAX", "LOG", "REVERSE_V2"]
# What layer normalisation consists of. It divides by deviations, and loses most of what 8 bits lose of a transformer.
# Batch normalisation is by constants, which the converter puts into kernels.
_NORMALISING = ["RSQRT", "SQUARED_DIFFERENCE", "MEAN", "NEG", "SUB", "MUL", "ADD"]
# Images on which every operation of an int8 model is compared with the same operation in float32.
_EXAMINED = 16
# Rounding alone is about 0.3 steps of an operation's 8 bits.
_WRONG_STEPS = 5


def write_litert(model: keras.Model, path: Path, quantize: Quantize | None, training_images: Images) -> None:
    """Write `model.tflite`: uint8 images in, float32 probabilities out, for any number of images.

    Args:
        model: The exported model.
        path: The file to write.
        quantize: The quantisation, if any. With int8, the softmax, layer normalisation and the few operations
            without an integer kernel stay in float32.
        training_images: (n, side, side, 3), to calibrate the ranges of activations for int8.
    """
    import tensorflow as tf

    with _open_converter(model, path.parent) as converter:
        if quantize is Quantize.INT8:
            # Only the debugger can leave operations in float32.
            path.write_bytes(_debug_int8(converter, training_images).get_nondebug_quantized_model())
            return
        if quantize is not None:
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
        if quantize is Quantize.FLOAT16:
            converter.target_spec.supported_types = [tf.float16]
        path.write_bytes(converter.convert())


def find_wrong_operation(model: keras.Model, folder: Path, training_images: Images) -> str:
    """Which operation of the int8 model is the first to be far off float32, or else which has the largest error.

    Args:
        model: The exported model.
        folder: An existing folder for temporary files.
        training_images: (n, side, side, 3), to calibrate the ranges; some are run.

    Returns:
        The operation, its place in the network, and its root mean square error in steps of its 8 bits, in a few words.
    """
    with _open_converter(model, folder) as converter:
        debugger = _debug_int8(converter, training_images)
        debugger.run()
    table = io.StringIO()
    debugger.layer_statistics_dump(table)
    rows = csv.DictReader(table.getvalue().splitlines())
    steps = {
        (row["op_name"], row["tensor_name"]): math.sqrt(float(row["mean_squared_error"])) / float(row["scale"])
        for row in rows
    }
    # What follows an operation that is wrong may be worse still, so the first counts.
    wrong = [found for found in steps if steps[found] > _WRONG_STEPS]
    operation, name = wrong[0] if wrong else max(steps, key=lambda found: steps[found])
    place = "/".join(name.split(";")[-1].split("/")[-2:])
    which = "is the first operation that is far off" if wrong else "has the largest error of an operation"
    return f"{operation} at {place} {which}, by {steps[operation, name]:.1f} of its 8-bit steps"


@contextlib.contextmanager
def _open_converter(model: keras.Model, folder: Path) -> Iterator[Any]:
    import tensorflow as tf

    with tempfile.TemporaryDirectory(dir=folder) as temporary, without_wildcards(Path(temporary)) as plain:
        with known_operations():
            write_saved_model(model, plain / "saved_model")
        yield tf.lite.TFLiteConverter.from_saved_model(str(plain / "saved_model"))


def _debug_int8(converter: Any, training_images: Images) -> Any:
    import tensorflow as tf

    def representative() -> Iterator[list[Images]]:
        for image in training_images:
            yield [image[None]]

    def examined() -> Iterator[list[Images]]:
        return itertools.islice(representative(), _EXAMINED)

    normalises = "RSQRT" in _list_operations(converter.convert())
    in_float32 = [*_FLOAT_OPERATIONS, *(_NORMALISING if normalises else ())]
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = representative
    options = tf.lite.experimental.QuantizationDebugOptions(denylisted_ops=in_float32)
    return tf.lite.experimental.QuantizationDebugger(converter=converter, debug_dataset=examined, debug_options=options)


def _list_operations(content: bytes) -> set[str]:
    import tensorflow as tf

    with contextlib.redirect_stdout(io.StringIO()) as table:
        tf.lite.experimental.Analyzer.analyze(model_content=content)
    return set(re.findall(r"Op#\d+ (\w+)\(", table.getvalue()))
