"""The file formats of a bundle's model, and how each can be quantised."""

import importlib.util
from collections.abc import Iterable
from enum import StrEnum

from bakeoff.errors import BundleError

__all__ = [
    "MODEL_NAMES",
    "QUANTIZATIONS",
    "SAVED_MODEL_VERSION",
    "Format",
    "Quantize",
    "advise",
    "check_format",
    "closer_forms",
    "format_label",
    "missing_modules",
]


class Format(StrEnum):
    """The file format of a model."""

    KERAS = "keras"
    SAVED_MODEL = "saved_model"
    ONNX = "onnx"
    LITERT = "litert"


class Quantize(StrEnum):
    """How weights are quantised; `int8` quantises activations too."""

    INT8 = "int8"
    """Weights and activations in 8 bits, calibrated on training images."""
    FLOAT16 = "float16"
    DYNAMIC = "dynamic"
    """Weights in 8 bits; activations are quantised at run time."""


MODEL_NAMES = {
    Format.KERAS: "model.keras",
    Format.SAVED_MODEL: "saved_model",
    Format.ONNX: "model.onnx",
    Format.LITERT: "model.tflite",
}
"""Name of the model inside a bundle: a file, except for SavedModel, which is a folder."""

SAVED_MODEL_VERSION = "1"
"""The folder below `saved_model` that holds the model: TensorFlow Serving takes a folder of numbered versions."""

QUANTIZATIONS: dict[Format, tuple[Quantize, ...]] = {
    Format.KERAS: (),
    Format.SAVED_MODEL: (),
    # ONNX Runtime has no fast convolution for 8-bit weights with floating-point activations.
    Format.ONNX: (Quantize.INT8, Quantize.FLOAT16),
    Format.LITERT: (Quantize.INT8, Quantize.FLOAT16, Quantize.DYNAMIC),
}
"""The quantisations of each format."""

# Modules that running and writing a format needs.
_NEEDED_TO_RUN = {
    Format.KERAS: ("tensorflow",),
    Format.SAVED_MODEL: ("tensorflow",),
    Format.ONNX: ("onnxruntime",),
    Format.LITERT: ("ai_edge_litert",),
}
_NEEDED_TO_WRITE = {
    Format.KERAS: (),
    Format.SAVED_MODEL: (),
    Format.ONNX: ("onnx", "tf2onnx"),
    Format.LITERT: (),
}


def check_format(model_format: Format, quantize: Quantize | None) -> None:
    """Raise BundleError if a format has no such quantisation, or a module that writes or runs it is not installed."""
    if quantize is not None and quantize not in QUANTIZATIONS[model_format]:
        choices = " or ".join(QUANTIZATIONS[model_format])
        takes = f"takes --quantize {choices}" if choices else "cannot be quantised"
        others = " or ".join(other for other, quantizations in QUANTIZATIONS.items() if quantize in quantizations)
        raise BundleError(f"--format {model_format} {takes}; {quantize} goes with --format {others}")
    missing = [*_missing(_NEEDED_TO_WRITE[model_format]), *missing_modules(model_format)]
    if missing:
        raise BundleError(f"--format {model_format} needs {' and '.join(missing)}; run pip install 'bakeoff[export]'")


def missing_modules(model_format: Format) -> list[str]:
    """The modules that a format's runtime needs and that are not installed."""
    return _missing(_NEEDED_TO_RUN[model_format])


def _missing(modules: Iterable[str]) -> list[str]:
    return [name for name in modules if importlib.util.find_spec(name) is None]


def format_label(model_format: Format, quantize: Quantize | None) -> str:
    """Format and quantisation, as in `litert-int8`."""
    return model_format.value if quantize is None else f"{model_format.value}-{quantize.value}"


def closer_forms(model_format: Format, quantize: Quantize | None) -> list[Quantize | None]:
    """The quantisations of a format that are more exact than this one, the next one first; None is no quantisation."""
    if quantize is None:
        return []
    order = (Quantize.INT8, Quantize.DYNAMIC, Quantize.FLOAT16)
    return [*(kind for kind in order[order.index(quantize) + 1 :] if kind in QUANTIZATIONS[model_format]), None]


def advise(model_format: Format) -> str:
    """What to export instead of a format that fails."""
    return f"choose --format {' or '.join(other for other in Format if other is not model_format)}"
