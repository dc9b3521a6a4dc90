"""A bundle: a trained model as a folder to ship. It needs only its own files, and imports nothing of training.

formats.py      file formats, and how each can be quantised
facts.py        bundle.json and labels.json
runtimes.py     a model file of any format as a function of images
opened.py       a bundle that is opened, with its hashes checked
prediction.py   predictions for many images, in their order
inputs.py       files, folders, globs and standard input as images
benchmark.py    latency and memory of a model in a fresh process

    for prediction in predict(open_bundle(folder), find_inputs(["photos/"])): ...
"""

from bakeoff.deploy.bundle.benchmark import measure_model
from bakeoff.deploy.bundle.facts import (
    BUNDLE_SCHEMA,
    BundleFacts,
    Calibration,
    Coverage,
    Labels,
    Parity,
    Scores,
    Threshold,
    ThresholdKind,
    ThresholdRule,
    Timing,
    read_facts,
    read_labels,
    write_facts,
)
from bakeoff.deploy.bundle.formats import (
    MODEL_NAMES,
    QUANTIZATIONS,
    SAVED_MODEL_VERSION,
    Format,
    Quantize,
    advise,
    check_format,
    closer_forms,
    format_label,
    missing_modules,
)
from bakeoff.deploy.bundle.inputs import find_inputs
from bakeoff.deploy.bundle.opened import Bundle, ClassScore, open_bundle
from bakeoff.deploy.bundle.prediction import ImageInput, Prediction, predict
from bakeoff.deploy.bundle.runtimes import Floats, Images, Runtime, open_runtime

__all__ = [
    "BUNDLE_SCHEMA",
    "MODEL_NAMES",
    "QUANTIZATIONS",
    "SAVED_MODEL_VERSION",
    "Bundle",
    "BundleFacts",
    "Calibration",
    "ClassScore",
    "Coverage",
    "Floats",
    "Format",
    "ImageInput",
    "Images",
    "Labels",
    "Parity",
    "Prediction",
    "Quantize",
    "Runtime",
    "Scores",
    "Threshold",
    "ThresholdKind",
    "ThresholdRule",
    "Timing",
    "advise",
    "check_format",
    "closer_forms",
    "find_inputs",
    "format_label",
    "measure_model",
    "missing_modules",
    "open_bundle",
    "open_runtime",
    "predict",
    "read_facts",
    "read_labels",
    "write_facts",
]
