"""Whether anything may be downloaded."""

import contextlib
import os
from collections.abc import Iterator

from bakeoff.machine import changed_environment

__all__ = ["is_offline", "working_offline"]

_OFFLINE = "BAKEOFF_OFFLINE"
_HUGGING_FACE_OFFLINE = "HF_HUB_OFFLINE"


def is_offline(*, hugging_face: bool = False) -> bool:
    """Whether nothing may be downloaded: `BAKEOFF_OFFLINE=1`, and for Hugging Face's files also `HF_HUB_OFFLINE=1`."""
    names = (_OFFLINE, _HUGGING_FACE_OFFLINE) if hugging_face else (_OFFLINE,)
    return any(os.environ.get(name, "").lower() not in ("", "0", "false", "no", "off") for name in names)


@contextlib.contextmanager
def working_offline(offline: bool = True) -> Iterator[None]:
    """For the block, let this process and those that it starts download nothing, if `offline`."""
    names = (_OFFLINE, _HUGGING_FACE_OFFLINE) if offline else ()
    with changed_environment(dict.fromkeys(names, "1")):
        yield
