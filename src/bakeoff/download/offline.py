"""Whether anything may be downloaded."""

import contextlib
from collections.abc import Iterator

from bakeoff.machine import changed_environment
from bakeoff.variables import HF_HUB_OFFLINE, OFFLINE

__all__ = ["is_offline", "working_offline"]


def is_offline(*, hugging_face: bool = False) -> bool:
    """Whether nothing may be downloaded: `BAKEOFF_OFFLINE=1`, and for Hugging Face's files also `HF_HUB_OFFLINE=1`."""
    return OFFLINE.is_on or (hugging_face and HF_HUB_OFFLINE.is_on)


@contextlib.contextmanager
def working_offline(offline: bool = True) -> Iterator[None]:
    """For the block, let this process and those that it starts download nothing, if `offline`."""
    switches = (OFFLINE, HF_HUB_OFFLINE) if offline else ()
    with changed_environment({switch.name: "1" for switch in switches}):
        yield
