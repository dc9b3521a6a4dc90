"""The model as LiteRT (TensorFlow Lite), in 32, 16 or 8 bits."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import keras

from bakeoff.deploy.bundle import Images, Quantize
from bakeoff.deploy.export.saved_model import write_saved_model

__all__ = ["write_litert"]


def write_litert(shipped: keras.Model, path: Path, quantize: Quantize | None, training_images: Images) -> None:
    """Write `model.tflite`: uint8 images in, float32 probabilities out, for any number of images.

    Under int8, operations without an integer kernel (there are few) stay in float32.
    """
    import tensorflow as tf

    def representative() -> Iterator[list[Images]]:
        for image in training_images:
            yield [image[None]]

    with tempfile.TemporaryDirectory(dir=path.parent) as scratch:
        write_saved_model(shipped, Path(scratch) / "saved_model")
        converter = tf.lite.TFLiteConverter.from_saved_model(str(Path(scratch) / "saved_model"))
        if quantize is not None:
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
        if quantize is Quantize.FLOAT16:
            converter.target_spec.supported_types = [tf.float16]
        if quantize is Quantize.INT8:
            converter.representative_dataset = representative
        path.write_bytes(converter.convert())
