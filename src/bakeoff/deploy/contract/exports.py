"""Export: the network in every format gives the same probabilities in the runtime of that format."""

from pathlib import Path

import numpy as np

from bakeoff.deploy.bundle import MODEL_NAMES, Format, check_format, open_runtime
from bakeoff.deploy.contract.subject import ContractError, Subject
from bakeoff.deploy.export.exported_model import build_exported_model
from bakeoff.deploy.export.model_file import write_model
from bakeoff.deploy.export.parity import TOLERANCES, check_parity
from bakeoff.errors import BundleError

__all__ = ["NotInstalledError", "check_export"]


class NotInstalledError(Exception):
    """A format cannot be tried here; the message says what is not installed."""


def check_export(subject: Subject, model_format: Format, folder: Path) -> str:
    """The exported model gives the network's probabilities.

    Args:
        subject: The network.
        model_format: The format.
        folder: Where the file is written.
    """
    try:
        check_format(model_format, None)
    except BundleError as error:
        raise NotInstalledError(str(error)) from error
    exported = build_exported_model(subject.model, flip=False, temperature=1.0)
    expected = np.asarray(exported(subject.images, training=False))
    path = folder / MODEL_NAMES[model_format]
    write_model(exported, path, model_format)
    written = open_runtime(path, model_format, plugin=subject.network.spec.plugin)(subject.images)
    try:
        parity = check_parity(expected, written, TOLERANCES[model_format, None])
    except BundleError as error:
        raise ContractError(str(error)) from error
    return f"probabilities differ by {parity.worst_gap:.1g} at most"
