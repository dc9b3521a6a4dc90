"""A model file as a function of images. The runtime of its format is imported when a model is opened."""

import importlib
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bakeoff.deploy.bundle.formats import SAVED_MODEL_VERSION, Format
from bakeoff.errors import BundleError
from bakeoff.files import without_wildcards
from bakeoff.machine import count_cores, import_tensorflow
from bakeoff.networks.hub import explain_missing
from bakeoff.networks.saved import open_model
from bakeoff.runs.plugin import Plugin
from bakeoff.text import counted
from bakeoff.variables import KERAS_BACKEND

__all__ = ["Floats", "Images", "Runtime", "open_runtime"]

Images = NDArray[np.uint8]
Floats = NDArray[np.float32]
Runtime = Callable[[Images], Floats]
"""uint8 RGB (n, side, side, 3) -> probabilities (n, classes), for any n >= 1. It may be called from any thread."""

# LiteRT allocates memory for a fixed batch size; batches are padded to the next of these.
_LITERT_BATCH_SIZES = (1, 2, 4, 8, 16, 32, 64)


def open_runtime(path: Path, model_format: Format, threads: int | None = None, plugin: Plugin | None = None) -> Runtime:
    """Open a model file in the runtime of its format.

    Args:
        path: The model.
        model_format: Its format.
        threads: Threads that the runtime computes on; if not given, all cores, or for TensorFlow (Keras, SavedModel)
            as many as it has in this process.
        plugin: The plug-in network that it holds; None if it is a network of bakeoff's own.

    Raises:
        ConfigError: The plug-in network cannot be imported.
        BundleError: The runtime is not installed, Keras runs with another backend than TensorFlow, or TensorFlow was
            used before with another number of threads.
    """
    match model_format:
        case Format.KERAS:
            return _open_keras(path, threads, plugin)
        case Format.SAVED_MODEL:
            return _open_saved_model(path, threads)
        case Format.ONNX:
            return _open_onnx(path, threads)
        case Format.LITERT:
            return _LiteRT(path, threads or count_cores()).run


def _open_keras(path: Path, threads: int | None, plugin: Plugin | None) -> Runtime:
    tf = _import_tensorflow(path, threads)
    import keras

    if (backend := keras.config.backend()) != "tensorflow":
        raise BundleError(
            f"{path} runs on Keras with TensorFlow, but this program has started Keras with {backend}; set"
            " KERAS_BACKEND=tensorflow before Keras is imported, or export the run as onnx"
        )
    if missing := explain_missing(path):
        raise BundleError(missing)
    model = open_model(path, plugin)
    # With a fixed n, a shorter last batch would be traced again, which takes longer than many batches.
    images_of_any_number = tf.TensorSpec([None, *model.input_shape[1:]], tf.uint8)
    # XLA stays off: its bilinear resize is wrong on CPUs in TF 2.21.
    graph = tf.function(
        lambda images: model(images, training=False), jit_compile=False, input_signature=[images_of_any_number]
    )
    return lambda images: np.asarray(graph(tf.constant(images)))


def _open_saved_model(path: Path, threads: int | None) -> Runtime:
    tf = _import_tensorflow(path, threads)
    # Older versions of bakeoff wrote the model without the folder of its version.
    version = path / SAVED_MODEL_VERSION
    with without_wildcards(version if version.is_dir() else path) as plain:
        loaded = tf.saved_model.load(str(plain))
    signature = loaded.signatures["serving_default"]
    ((name, _),) = signature.structured_input_signature[1].items()

    def run(images: Images) -> Floats:
        (probabilities,) = signature(**{name: tf.constant(images)}).values()
        return np.asarray(probabilities)

    # The signature has only weak references to its variables, so the model must stay referenced.
    run.loaded = loaded  # type: ignore[attr-defined]
    return run


def _open_onnx(path: Path, threads: int | None) -> Runtime:
    runtime = _import("onnxruntime", path, "bakeoff[onnx]")
    options = runtime.SessionOptions()
    options.intra_op_num_threads = threads or count_cores()
    options.log_severity_level = 3
    session = runtime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name

    def run(images: Images) -> Floats:
        probabilities: Floats = session.run(None, {name: images})[0]
        return probabilities

    return run


class _LiteRT:
    """One interpreter for each batch size in use, created at its first batch. One runs at a time.

    All of them are made of the bytes that the file had when it was opened: it may be replaced while it is in use.
    """

    def __init__(self, path: Path, threads: int) -> None:
        self._content = path.read_bytes()
        self._threads = threads
        self._interpreters: dict[int, Any] = {}
        self._lock = threading.Lock()
        self._interpreter_class = _import("ai_edge_litert.interpreter", path, "bakeoff[litert]").Interpreter
        self._interpreter_for(1)

    def run(self, images: Images) -> Floats:
        largest = _LITERT_BATCH_SIZES[-1]
        with self._lock:
            parts = [self._run(images[first : first + largest]) for first in range(0, len(images), largest)]
        return np.concatenate(parts)

    def _run(self, images: Images) -> Floats:
        batch_size = next(size for size in _LITERT_BATCH_SIZES if size >= len(images))
        interpreter = self._interpreter_for(batch_size)
        padded = np.zeros((batch_size, *images.shape[1:]), np.uint8)
        padded[: len(images)] = images
        interpreter.set_tensor(interpreter.get_input_details()[0]["index"], padded)
        interpreter.invoke()
        probabilities: Floats = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])
        return probabilities[: len(images)]

    def _interpreter_for(self, batch_size: int) -> Any:
        if batch_size not in self._interpreters:
            interpreter = self._interpreter_class(model_content=self._content, num_threads=self._threads)
            details = interpreter.get_input_details()[0]
            interpreter.resize_tensor_input(details["index"], [batch_size, *details["shape"][1:]])
            interpreter.allocate_tensors()
            self._interpreters[batch_size] = interpreter
        return self._interpreters[batch_size]


def _import_tensorflow(path: Path, threads: int | None) -> Any:
    os.environ.setdefault(KERAS_BACKEND.name, "tensorflow")
    tf = _import("tensorflow", path, "bakeoff[cpu]")
    if threads is not None:
        try:
            tf.config.threading.set_intra_op_parallelism_threads(threads)
        except RuntimeError as error:
            raise BundleError(
                f"{path} cannot have {counted(threads, 'thread')}: TensorFlow was used before in this process, which"
                " fixed their number; start a new one, or leave `threads` out"
            ) from error
    return tf


def _import(module: str, path: Path, extra: str) -> Any:
    try:
        return import_tensorflow() if module == "tensorflow" else importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or not module.startswith(error.name.partition(".")[0]):
            raise
        raise BundleError(f"{path} cannot be run without {error.name}; run pip install '{extra}'") from error
