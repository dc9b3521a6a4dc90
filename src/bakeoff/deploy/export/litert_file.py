"""Write the model for LiteRT (TensorFlow Lite), in 32, 16 or 8 bits."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import keras

from bakeoff.deploy.bundle import Images, Quantize
from bakeoff.deploy.export.saved_model import write_saved_model
from bakeoff.files import without_wildcards

__all__ = ["write_litert"]

# Probabilities in 8 bits are multiples of 1/256: small ones are lost, and they do not sum to one. A reversal (of the
# colours, for VGG and ResNet-50) copies bytes, but the converter may give its result another scale than its input.
_FLOAT_OPERATIONS = ["SOFTMAX", "LOG", "REVERSE_V2"]


def write_litert(model: keras.Model, path: Path, quantize: Quantize | None, training_images: Images) -> None:
    """Write `model.tflite`: uint8 images in, float32 probabilities out, for any number of images.

    Args:
        model: The exported model.
        path: The file to write.
        quantize: The quantisation, if any. With int8, the softmax and the few operations without an integer kernel
            stay in float32.
        training_images: (n, side, side, 3), to calibrate the ranges of activations for int8.
    """
    import tensorflow as tf

    def representative() -> Iterator[list[Images]]:
        for image in training_images:
            yield [image[None]]

    with tempfile.TemporaryDirectory(dir=path.parent) as temporary, without_wildcards(Path(temporary)) as folder:
        write_saved_model(model, folder / "saved_model")
        converter = tf.lite.TFLiteConverter.from_saved_model(str(folder / "saved_model"))
        if quantize is not None:
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
        if quantize is Quantize.FLOAT16:
            converter.target_spec.supported_types = [tf.float16]
        if quantize is not Quantize.INT8:
            path.write_bytes(converter.convert())
            return
        converter.representative_dataset = representative
        # Only the debugger can leave operations in float32.
        options = tf.lite.experimental.QuantizationDebugOptions(denylisted_ops=_FLOAT_OPERATIONS)
        debugger = tf.lite.experimental.QuantizationDebugger(
            converter=converter, debug_dataset=representative, debug_options=options
        )
        path.write_bytes(debugger.get_nondebug_quantized_model())
