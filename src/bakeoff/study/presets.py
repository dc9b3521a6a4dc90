"""The presets among the candidates: downloaded, and checked before anything is done with them."""

import logging
import math
from collections.abc import Iterable

from bakeoff.data.sources import OnCount
from bakeoff.download import is_offline
from bakeoff.errors import WeightsError
from bakeoff.launch import check_weights, fetch_preset
from bakeoff.networks.find import find_network
from bakeoff.networks.hub import find_folder, find_lack, is_preset, require_kerashub
from bakeoff.networks.weights import is_known_to_fit, note_fit
from bakeoff.runs.events import RunProgress
from bakeoff.study.provide import require_tensorflow

__all__ = ["fetch_presets"]

_log = logging.getLogger("bakeoff")


def fetch_presets(names: Iterable[str], on_count: OnCount, limit_bytes: float = math.inf) -> float:
    """Download the presets among the names of networks that are not whole on this machine, and check them all.

    Args:
        names: Names of networks.
        on_count: Called with (what is being done, done, total); a total of 0 means unknown.
        limit_bytes: Bytes that may be downloaded.

    Returns:
        What is left of the limit.

    Raises:
        ConfigError: There is no such preset, or KerasHub is not installed.
        WeightsError: A preset cannot be had, or its weights are of another network.
    """
    names = list(dict.fromkeys(filter(is_preset, names)))
    for name in names:
        if not (lack := find_lack(name)):
            continue
        require_kerashub(name)
        if is_offline(hugging_face=name.startswith("hf://")):
            raise WeightsError(
                f"{name} {lack}, and downloads are switched off; copy it from a machine with internet"
                " (`bakeoff weights export`, then `bakeoff weights import`)"
            )
        doing = f"downloading {name}"
        _log.info(doing)
        on_count(doing, 0, 0)

        def count(event: RunProgress, doing: str = doing) -> None:
            on_count(f"{doing}, {event.doing}", 0, 0)

        held = _count_bytes(name)
        fetch_preset(name, count, limit_bytes=limit_bytes)
        came = max(0, _count_bytes(name) - held)
        limit_bytes = max(0, limit_bytes - came)
    _check_presets(names, on_count)
    return limit_bytes


def _count_bytes(name: str) -> int:
    """Bytes of what is on this machine of a preset."""
    folder = find_folder(name)
    return sum(path.stat().st_size for path in folder.iterdir() if path.is_file()) if folder else 0


def _check_presets(names: Iterable[str], on_count: OnCount) -> None:
    """Check that the weights of presets are those of their configurations; of some networks this takes seconds, once.

    Raises WeightsError if they are of another network.
    """
    for name in names:
        require_kerashub(name)
        spec = find_network(name)
        if not is_known_to_fit(spec):
            require_tensorflow()
            on_count(f"checking the weights of {name}, once", 0, 0)
            check_weights(spec, spec.native_size)
            note_fit(spec)
