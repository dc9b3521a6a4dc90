"""A trained model as a folder to ship, put to use. Nothing here knows of training: a bundle's files are all it needs.

kinds.py      formats, and how each can be quantised
facts.py      bundle.json and labels.json
runtimes.py   a model file of any format as a function of images
opening.py    a folder as a Bundle, its hashes checked
finding.py    files, folders, globs and standard input as images to read
answering.py  many images: read and decoded in threads, answered in order
trial.py      what a model takes in a fresh process: time and memory

    for answer in predict(open_bundle(folder), paths): ...
"""

from bakeoff.deploy.bundle.benchmark import measure_model
from bakeoff.deploy.bundle.facts import (
    BUNDLE_SCHEMA,
    BundleFacts,
    Calibration,
    Labels,
    Parity,
    Scores,
    Timing,
    read_facts,
    write_facts,
)
from bakeoff.deploy.bundle.formats import (
    MODEL_NAMES,
    QUANTIZATIONS,
    Format,
    Quantize,
    check_format,
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
    "Bundle",
    "BundleFacts",
    "Calibration",
    "ClassScore",
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
    "Timing",
    "check_format",
    "find_inputs",
    "format_label",
    "measure_model",
    "missing_modules",
    "open_bundle",
    "open_runtime",
    "predict",
    "read_facts",
    "write_facts",
]
