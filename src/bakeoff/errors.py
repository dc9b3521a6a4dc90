"""The exceptions of bakeoff.

    BakeoffError
    ├── InputError            exit code 2: the user's input is wrong
    │   ├── ConfigError         a recipe, a --set, a budget, a candidate
    │   ├── DataError           images, archives, shards
    │   ├── WeightsError        pretrained weights that are missing or damaged, or that do not fit the network
    │   ├── BundleError         a bundle that cannot be opened, or an image that it cannot read
    │   └── OutputError         a folder that cannot be written, or that holds something else
    └── NothingTrainedError   exit code 3: every candidate failed

Any other exception that reaches the user is a bug (exit code 1).
"""

import difflib
from collections.abc import Iterable
from pathlib import Path

__all__ = [
    "EXIT_CODES",
    "BakeoffError",
    "BundleError",
    "ConfigError",
    "DataError",
    "InputError",
    "NothingTrainedError",
    "OutputError",
    "WeightsError",
    "suggest",
]

EXIT_CODES = {
    0: "success",
    1: "a bug in bakeoff; or a check that failed: `verify` found figures that differ, `models --check` a fault",
    2: "an input is wrong: one line says what, where, and how to fix it",
    3: "no candidate could be trained",
    130: "interrupted; the same command continues",
}
"""What the command line ends with, and what each code means."""


class BakeoffError(Exception):
    """The base class of all."""

    exit_code = 1
    """The exit code of the command line."""


class InputError(BakeoffError):
    """The user's input is wrong. The message is one line: what is wrong, where, how to fix it."""

    exit_code = 2


class ConfigError(InputError):
    """A recipe, an override, a budget or a candidate that cannot be used."""


class DataError(InputError):
    """Images, archives or shards that cannot be used."""


class WeightsError(InputError):
    """Pretrained weights that are missing or damaged, or that do not fit the network."""


class BundleError(InputError):
    """A bundle that cannot be opened, or an image that it cannot read."""


class OutputError(InputError):
    """A folder that cannot be written, or that holds something else."""


class NothingTrainedError(BakeoffError):
    """No candidate could be trained."""

    exit_code = 3
    out: Path | None = None
    """The study's folder, where it has records that say why."""


def suggest(name: str, known: Iterable[str], otherwise: str) -> str:
    """The hint for a name that is not known: `did you mean a or b?`, or `otherwise` if no known name is close."""
    close = difflib.get_close_matches(name, list(known), n=3)
    return f"did you mean {' or '.join(close)}?" if close else otherwise
