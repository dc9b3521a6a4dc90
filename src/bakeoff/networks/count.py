"""Counts the multiplications of a model for one image, from the operations of its graph."""

import math
from typing import Any

import keras

__all__ = ["count_multiply_adds"]


def count_multiply_adds(model: keras.Model, side: int) -> int | None:
    """The multiplications of a model's convolutions and matrix products for one image.

    What layers of the user's own compute counts too. A convolution in groups that Keras compiles with XLA is left out.

    Args:
        model: From float32 images (n, side, side, 3).
        side: Side of the image in pixels.

    Returns:
        The number; None if the graph has no such operation.
    """
    import tensorflow as tf

    image = tf.TensorSpec([1, side, side, 3], tf.float32)
    traced = tf.function(lambda images: model(images, training=False)).get_concrete_function(image)
    return sum(map(_count, traced.graph.get_operations())) or None


def _count(operation: Any) -> int:
    match operation.type:
        case "Conv2D":
            # Each output is a sum over a window of its group's input channels.
            return _outputs(operation) * int(math.prod(operation.inputs[1].shape[:3]))
        case "DepthwiseConv2dNative":
            return _outputs(operation) * int(math.prod(operation.inputs[1].shape[:2]))
        case "MatMul":
            dimension = 0 if operation.get_attr("transpose_a") else 1
            return _outputs(operation) * int(operation.inputs[0].shape[dimension])
        case "BatchMatMulV2" | "BatchMatMulV3":
            dimension = -2 if operation.get_attr("adj_x") else -1
            return _outputs(operation) * int(operation.inputs[0].shape[dimension])
        case "Einsum":
            return _count_einsum(operation)
    return 0


def _count_einsum(operation: Any) -> int:
    terms = operation.get_attr("equation").decode().partition("->")[0].split(",")
    sizes: dict[str, int] = {}
    for term, tensor in zip(terms, operation.inputs, strict=True):
        letters = term.replace("...", "")
        sizes |= dict(zip(letters, tensor.shape[len(tensor.shape) - len(letters) :], strict=True))
    return math.prod(sizes.values())


def _outputs(operation: Any) -> int:
    count: int = math.prod(operation.outputs[0].shape)
    return count
