"""The model as ONNX, in 32, 16 or 8 bits."""

import contextlib
import sys
import tempfile
from pathlib import Path
from typing import Any

import keras
import numpy as np

from bakeoff.deploy.bundle import Images, Quantize

__all__ = ["write_onnx"]

# ONNX Runtime reads it since 1.15 of 2023, and tf2onnx writes resizing as TensorFlow means it.
_OPSET = 18
# What has integer kernels worth having; softmax and temperature stay in float32, where small probabilities live.
# Activations are among it, or what goes into them would be kept in its own, far wider range, which doubled the error.
_INTEGER_OPERATIONS = ["Conv", "MatMul", "Gemm", "Add", "GlobalAveragePool", "Relu", "Clip"]
_CALIBRATION_BATCH = 16


def write_onnx(shipped: keras.Model, path: Path, quantize: Quantize | None, training_images: Images) -> None:
    """Write `model.onnx`: input `image`, output `probability`, for any number of images."""
    with contextlib.redirect_stdout(sys.stderr), tempfile.TemporaryDirectory(dir=path.parent) as scratch:
        whole = Path(scratch) / "model.onnx"
        # Without a signature Keras exports only what has been called on values.
        signature = [keras.InputSpec(shape=(None, *shipped.input_shape[1:]), dtype="uint8", name="image")]
        shipped.export(whole, format="onnx", verbose=False, input_signature=signature, opset_version=_OPSET)
        _name_ends(whole)
        match quantize:
            case Quantize.INT8:
                _write_int8(whole, path, training_images)
            case Quantize.FLOAT16:
                _write_float16(whole, path)
            case _:
                whole.replace(path)


def _name_ends(path: Path) -> None:
    """Call input, output and batch what they are; the converter's names change from one export to the next."""
    import onnx

    model = onnx.load(path)
    graph = model.graph
    (output,) = graph.output
    for node in graph.node:
        for position, name in enumerate(node.output):
            if name == output.name:
                node.output[position] = "probability"
    output.name = "probability"
    for end in (graph.input[0], output):
        end.type.tensor_type.shape.dim[0].dim_param = "images"
    onnx.checker.check_model(model)
    onnx.save(model, path)


def _write_float16(whole: Path, path: Path) -> None:
    import onnx
    from onnxruntime.transformers.float16 import convert_float_to_float16

    model = convert_float_to_float16(
        onnx.load(whole),
        keep_io_types=True,
        # The pixels' scaling and the ends of a softmax need more than 11 bits.
        op_block_list=["Resize", "Softmax", "Log", "Mul", "Cast", "ReverseSequence"],
    )
    onnx.save(model, path)


def _write_int8(whole: Path, path: Path, images: Images) -> None:
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            batches = np.split(images, range(_CALIBRATION_BATCH, len(images), _CALIBRATION_BATCH))
            self._batches = iter(batches)

        def get_next(self) -> dict[str, Any] | None:
            batch = next(self._batches, None)
            return None if batch is None else {"image": batch}

    prepared = whole.with_name("prepared.onnx")
    quant_pre_process(str(whole), str(prepared), skip_symbolic_shape=True)
    signed = {"quant_type": QuantType.QInt8, "symmetric": True, "axis": 0}
    quantize_static(
        str(prepared),
        str(path),
        Reader(),
        quant_format=QuantFormat.QDQ,
        per_channel=True,
        activation_type=QuantType.QUInt8,
        # Processors that lack VNNI add products of unsigned and signed bytes up in 16 bits, which overflow; 7 bits,
        # the usual way out, lose three times as much. Depthwise kernels are added up in 32 bits, and are slow unsigned.
        weight_type=QuantType.QUInt8,
        op_types_to_quantize=_INTEGER_OPERATIONS,
        extra_options={
            "TensorQuantOverrides": {name: [signed] for name in _depthwise_kernels(prepared)},
            # A channel without weights would get a scale so small that its bias overflows 32 bits.
            "MinimumRealRange": 1e-4,
        },
    )


def _depthwise_kernels(path: Path) -> set[str]:
    import onnx

    return {
        node.input[1]
        for node in onnx.load(path).graph.node
        if node.op_type == "Conv"
        if any(attribute.name == "group" and attribute.i > 1 for attribute in node.attribute)
    }
