"""Parse values of the command line: candidates, durations, weights."""

import math
import re
from collections.abc import Iterable

from pydantic import ValidationError

from bakeoff.errors import ConfigError
from bakeoff.files import expand_home
from bakeoff.runs.config.model import resolve_name
from bakeoff.runs.config.run import Candidate, WeightsChoice

__all__ = ["first_message", "parse_bytes", "parse_candidate", "parse_duration", "parse_weights"]


# The name of a network in the table or of an installed package, in any case; not that of a file of Python.
_NAME = r"[A-Za-z0-9_][\w.-]*(?<!\.py)"
# A preset of a hub; that of a folder may have any character in it.
_PRESET = r"(?:hub:|hf://|kaggle://)[^\s@=].*?"
# A network in somebody's own module.
_OWN = r"[A-Za-z_][\w.]*:[A-Za-z_]\w*"


def parse_candidate(text: str) -> Candidate:
    """Parse `NAME` or `NAME@SIZE`. Whether the network exists is not checked here. Raises ConfigError."""
    try:
        candidate = Candidate.read(text.strip())
    except ValidationError as error:
        raise ConfigError(f"candidate {text!r}: {first_message(error)}; sizes are pixels along the side") from error
    if not re.fullmatch(f"{_NAME}|{_PRESET}|{_OWN}", candidate.name):
        if ".py" in text or "/" in text:
            raise ConfigError(
                f"candidate {text!r} is a path; name a network of your own as MODULE:NETWORK, as in my_networks:TINY"
                " for my_networks.py in the current folder or on PYTHONPATH, and the folder of a preset as hub:FOLDER"
            )
        raise ConfigError(f"candidate {text!r} is not NAME or NAME@SIZE, as in efficientnet-lite0@96")
    return Candidate(name=_read_name(candidate.name), size=candidate.size)


def parse_weights(texts: Iterable[str], *, partial: bool = False) -> WeightsChoice:
    """Parse the values of `--weights`.

    Args:
        texts: Each is `auto`, `none` or PATH for all networks, or the same as `NAME=…` for one network. A later value
            overrides an earlier one. Paths become absolute. A path that begins as `NAME=` does is given as `./…`.
        partial: Whether files may hold only some of their network's tensors.

    Raises:
        ConfigError: A value is empty.
    """
    default, named = "auto", {}
    for text in texts:
        match = re.fullmatch(rf"({_NAME}|{_PRESET}|{_OWN})=(.+)", text.strip())
        value = match[2] if match else text.strip()
        if not value:
            raise ConfigError("--weights is empty; give auto, none, PATH, or NAME=PATH for one network")
        if value not in ("auto", "none"):
            value = str(expand_home(value).absolute())
        if match:
            named[_read_name(match[1])] = value
        else:
            default = value
    return WeightsChoice(default=default, named=named, partial=partial)


def parse_duration(text: str) -> float:
    """Parse a duration such as `90`, `90s`, `10m`, `1.5h` or `1h30m`, into seconds.

    A number without a unit is of the next smaller unit than the one before it: minutes in `1h30`, seconds in `1m30`.

    Raises ConfigError.
    """
    number = r"(\d+(?:\.\d+)?)"
    stated = re.sub(rf"(?<=h){number}$", r"\1m", text.strip().lower())
    match = re.fullmatch(rf"(?:{number}h)?(?:{number}m)?(?:{number}s?)?", stated)
    hours, minutes, seconds = (float(part or 0) for part in match.groups()) if match else (0.0, 0.0, 0.0)
    total = hours * 3600 + minutes * 60 + seconds
    if not 0 < total < math.inf:
        raise ConfigError(f"{text!r} is not a duration; write seconds, minutes or hours, as in 90s, 10m, 1h30m")
    return total


def parse_bytes(text: str) -> float:
    """Parse an amount of data such as `500MB`, `2 GB` or `0`, in decimal units, into bytes. Raises ConfigError."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(?:([kmgt])?b?)", text.strip().lower())
    if not match:
        raise ConfigError(f"{text!r} is not an amount of data; write megabytes or gigabytes, as in 500MB, 2GB")
    return float(match[1]) * 1000.0 ** (" kmgt".index(match[2]) if match[2] else 0)


def first_message(error: ValidationError) -> str:
    """The message of the first error of a failed validation."""
    return error.errors()[0]["msg"].removeprefix("Value error, ")


def _read_name(text: str) -> str:
    """The name of a network as everything else has it. Case matters only in the names of presets and of modules."""
    return text.lower() if re.fullmatch(_NAME, text) else resolve_name(text)
