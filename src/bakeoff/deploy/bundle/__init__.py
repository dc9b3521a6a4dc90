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

from bakeoff.deploy.bundle.answering import Answer, ImageInput, predict
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
from bakeoff.deploy.bundle.finding import find_inputs
from bakeoff.deploy.bundle.kinds import KINDS, MODEL_NAMES, Format, Quantize, check_kind, format_kind, missing_to_run
from bakeoff.deploy.bundle.opening import Bundle, Named, open_bundle
from bakeoff.deploy.bundle.runtimes import Floats, Images, Runtime, open_runtime
from bakeoff.deploy.bundle.trial import try_out

__all__ = [
    "BUNDLE_SCHEMA",
    "KINDS",
    "MODEL_NAMES",
    "Answer",
    "Bundle",
    "BundleFacts",
    "Calibration",
    "Floats",
    "Format",
    "ImageInput",
    "Images",
    "Labels",
    "Named",
    "Parity",
    "Quantize",
    "Runtime",
    "Scores",
    "Timing",
    "check_kind",
    "find_inputs",
    "format_kind",
    "missing_to_run",
    "open_bundle",
    "open_runtime",
    "predict",
    "read_facts",
    "try_out",
    "write_facts",
]
