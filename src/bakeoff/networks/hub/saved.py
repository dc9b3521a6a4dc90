"""Which saved models need KerasHub wherever they are opened."""

import importlib.util
import zipfile
from pathlib import Path

from bakeoff.networks.hub.places import HOW_TO_INSTALL

__all__ = ["explain_missing", "needs_kerashub"]

_MOST_BYTES = 64 << 20


def needs_kerashub(path: Path) -> bool:
    """Whether a `.keras` file has layers of KerasHub."""
    try:
        with zipfile.ZipFile(path) as archive:
            info = archive.getinfo("config.json")
            return info.file_size <= _MOST_BYTES and b"keras_hub" in archive.read(info)
    except (OSError, KeyError, zipfile.BadZipFile):
        return False  # whoever opens it says what is wrong with it


def explain_missing(path: Path) -> str:
    """What to install if a saved model needs KerasHub and it is not installed; else empty."""
    if importlib.util.find_spec("keras_hub") is None and needs_kerashub(path):
        return f"{path} has layers of KerasHub, which is not installed: {HOW_TO_INSTALL}"
    return ""
