"""Write the model as ONNX, in 32, 16 or 8 bits."""

import contextlib
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np

from bakeoff.deploy.bundle import Images, Quantize
from bakeoff.deploy.export.onnx_operations import register_operations
from bakeoff.networks.graph import list_inner

__all__ = ["write_onnx"]

# ONNX Runtime reads it since version 1.15 (2023), and tf2onnx exports TensorFlow's resizing exactly with it.
_OPSET = 18
# Operations with fast integer kernels. Softmax and temperature stay in float32, for the sake of small probabilities.
# Activation functions are included: otherwise their inputs are quantised over a much wider range, which doubled the
# error.
_INTEGER_OPERATIONS = ["Conv", "MatMul", "Gemm", "Add", "GlobalAveragePool", "Relu", "Clip"]
_CALIBRATION_BATCH = 16
# float16 leaves these in float32: the scaling of pixels and the softmax need more than its 11 significant bits.
_FLOAT32_OPERATIONS = ["Resize", "Softmax", "Log", "Mul", "Cast", "ReverseSequence"]


def write_onnx(model: keras.Model, path: Path, quantize: Quantize | None, training_images: Images) -> None:
    """Write `model.onnx`: input `image`, output `probability`, for any number of images.

    Args:
        model: The exported model.
        path: The file to write.
        quantize: The quantisation, if any.
        training_images: (n, side, side, 3), to calibrate the ranges of activations for int8.
    """
    with contextlib.redirect_stdout(sys.stderr), tempfile.TemporaryDirectory(dir=path.parent) as temporary:
        float_model = Path(temporary) / "model.onnx"
        register_operations()
        # Without a signature Keras exports only models that have been called on values.
        signature = [keras.InputSpec(shape=(None, *model.input_shape[1:]), dtype="uint8", name="image")]
        with _tensors_as_numbers(model):
            model.export(float_model, format="onnx", verbose=False, input_signature=signature, opset_version=_OPSET)
        _name_input_and_output(float_model)
        match quantize:
            case Quantize.INT8:
                _write_int8(float_model, path, training_images)
            case Quantize.FLOAT16:
                _write_float16(float_model, path)
            case _:
                float_model.replace(path)


@contextlib.contextmanager
def _tensors_as_numbers(model: keras.Model) -> Iterator[None]:
    """For the block, layers keep arrays of NumPy instead of tensors, which tf2onnx takes for inputs of the model."""
    import tensorflow as tf

    kept = [
        (layer, name, value)
        for layer in list_inner(model, all_levels=True)
        for name, value in vars(layer).items()
        if isinstance(value, tf.Tensor) and hasattr(value, "numpy")
    ]
    for layer, name, value in kept:
        setattr(layer, name, value.numpy())
    try:
        yield
    finally:
        for layer, name, value in kept:
            setattr(layer, name, value)


def _name_input_and_output(path: Path) -> None:
    """Give input, output and batch dimension fixed names; the converter's names differ between exports."""
    import onnx

    model = onnx.load(path)
    graph = model.graph
    (output,) = graph.output
    for node in graph.node:
        for position, name in enumerate(node.output):
            if name == output.name:
                node.output[position] = "probability"
    output.name = "probability"
    for value in (graph.input[0], output):
        value.type.tensor_type.shape.dim[0].dim_param = "images"
    onnx.checker.check_model(model)
    onnx.save(model, path)


def _write_float16(float_model: Path, path: Path) -> None:
    import onnx
    from onnxruntime.transformers.float16 import convert_float_to_float16

    model = onnx.load(float_model)
    head = _softmax_and_after(model.graph)
    model = convert_float_to_float16(
        model, keep_io_types=True, op_block_list=_FLOAT32_OPERATIONS, node_block_list=sorted(head)
    )
    _join_float32(model.graph)
    onnx.save(model, path)


def _softmax_and_after(graph: Any) -> set[str]:
    """Names of the operations from the softmax on, which may be followed by the mean with the mirrored image."""
    names: set[str] = set()
    values: set[str] = set()
    for node in graph.node:  # in the order of computation
        if node.op_type == "Softmax" or values.intersection(node.input):
            names.add(node.name)
            values.update(node.output)
    return names


def _join_float32(graph: Any) -> None:
    """Connect operations in float32 directly. The converter rounds every value between them to float16."""
    import onnx

    casts = [node for node in graph.node if node.op_type == "Cast"]
    # The converter's names for float32 results of operations that it was told to leave, by their names in float16.
    exact = {
        node.output[0]: node.input[0]
        for node in casts
        if node.attribute[0].i == onnx.TensorProto.FLOAT16 and node.input[0].endswith("_cast_to_fp16")
    }
    for node in casts:
        if node.attribute[0].i == onnx.TensorProto.FLOAT:
            node.input[0] = exact.get(node.input[0], node.input[0])
    used = {name for node in graph.node for name in node.input} | {output.name for output in graph.output}
    for node in [node for node in graph.node if not used.intersection(node.output)]:
        graph.node.remove(node)


def _write_int8(float_model: Path, path: Path, images: Images) -> None:
    import onnx
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            batches = np.split(images, range(_CALIBRATION_BATCH, len(images), _CALIBRATION_BATCH))
            self._batches = iter(batches)

        def get_next(self) -> dict[str, Any] | None:
            batch = next(self._batches, None)
            return None if batch is None else {"image": batch}

    prepared = float_model.with_name("prepared.onnx")
    quant_pre_process(str(float_model), str(prepared), skip_symbolic_shape=True)
    graph = onnx.load(prepared).graph
    # Layer normalisation adds a small constant to the variance and divides by the result: in 8 bits, by zero. Its other
    # sums, and those of GELU beside it, lose most of what 8 bits lose of a transformer.
    in_float32 = {"Add"} if _divides_by_deviations(graph) else set()
    signed = {"quant_type": QuantType.QInt8, "symmetric": True, "axis": 0}
    quantize_static(
        str(prepared),
        str(path),
        Reader(),
        quant_format=QuantFormat.QDQ,
        per_channel=True,
        activation_type=QuantType.QUInt8,
        # Weights are unsigned like activations: processors without VNNI sum products of unsigned and signed bytes in 16
        # bits, which overflow. Weights of 7 bits, the usual workaround, lose three times as much accuracy. Depthwise
        # kernels stay signed: they are summed in 32 bits, and are slow if unsigned.
        weight_type=QuantType.QUInt8,
        op_types_to_quantize=[kind for kind in _INTEGER_OPERATIONS if kind not in in_float32],
        extra_options={
            "TensorQuantOverrides": {name: [signed] for name in _depthwise_kernels(graph)},
            # A channel whose weights are all zero would get so small a scale that its bias overflows 32 bits.
            "MinimumRealRange": 1e-4,
        },
    )


def _divides_by_deviations(graph: Any) -> bool:
    """Whether activations are normalised by their own variance. Batch normalisation is by constants, and in kernels."""
    sums = {node.output[0] for node in graph.node if node.op_type == "Add"}
    return any(node.op_type == "Sqrt" and node.input[0] in sums for node in graph.node)


def _depthwise_kernels(graph: Any) -> set[str]:
    return {
        node.input[1]
        for node in graph.node
        if node.op_type == "Conv"
        if any(attribute.name == "group" and attribute.i > 1 for attribute in node.attribute)
    }
