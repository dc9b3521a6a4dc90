"""The kinds of bundle: a format, and what becomes of the weights in it."""

import importlib.util
from collections.abc import Iterable
from enum import StrEnum

from bakeoff.errors import BundleError

__all__ = ["KINDS", "MODEL_NAMES", "Format", "Quantize", "check_kind", "format_kind", "missing_to_run"]


class Format(StrEnum):
    """The form that a model leaves in."""

    KERAS = "keras"
    SAVED_MODEL = "saved_model"
    ONNX = "onnx"
    LITERT = "litert"


class Quantize(StrEnum):
    """What becomes of the weights, and under int8 of the activations."""

    INT8 = "int8"
    FLOAT16 = "float16"
    DYNAMIC = "dynamic"


MODEL_NAMES = {
    Format.KERAS: "model.keras",
    Format.SAVED_MODEL: "saved_model",
    Format.ONNX: "model.onnx",
    Format.LITERT: "model.tflite",
}
"""The model inside a bundle: a file, but for SavedModel, which is a folder."""

KINDS: dict[Format, tuple[Quantize, ...]] = {
    Format.KERAS: (),
    Format.SAVED_MODEL: (),
    # ONNX Runtime has no fast convolution with weights alone in 8 bits.
    Format.ONNX: (Quantize.INT8, Quantize.FLOAT16),
    Format.LITERT: (Quantize.INT8, Quantize.FLOAT16, Quantize.DYNAMIC),
}
"""How each format can be quantised."""

_RUNS = {
    Format.KERAS: ("tensorflow",),
    Format.SAVED_MODEL: ("tensorflow",),
    Format.ONNX: ("onnxruntime",),
    Format.LITERT: ("ai_edge_litert",),
}
_WRITES = {
    Format.KERAS: (),
    Format.SAVED_MODEL: (),
    Format.ONNX: ("onnx", "tf2onnx"),
    Format.LITERT: (),
}


def check_kind(form: Format, quantize: Quantize | None) -> None:
    """Raise BundleError if a format cannot be quantised so, or if what writes and checks it is not installed."""
    if quantize is not None and quantize not in KINDS[form]:
        able = " or ".join(KINDS[form])
        takes = f"takes --quantize {able}" if able else "cannot be quantised"
        others = " or ".join(other for other, known in KINDS.items() if quantize in known)
        raise BundleError(f"--format {form} {takes}; {quantize} goes with --format {others}")
    missing = [*_missing(_WRITES[form]), *missing_to_run(form)]
    if missing:
        raise BundleError(f"--format {form} needs {' and '.join(missing)}; run pip install 'bakeoff[export]'")


def missing_to_run(form: Format) -> list[str]:
    """The modules that a format's runtime lacks here."""
    return _missing(_RUNS[form])


def _missing(modules: Iterable[str]) -> list[str]:
    return [name for name in modules if importlib.util.find_spec(name) is None]


def format_kind(form: Format, quantize: Quantize | None) -> str:
    """Format and quantisation in a word, as in `litert-int8`."""
    return form.value if quantize is None else f"{form.value}-{quantize.value}"
