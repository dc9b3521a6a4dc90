"""Keras' own download of ImageNet weights, in a process that may end: it fails in seconds, and whole or not at all."""

import os
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path

from bakeoff.errors import WeightsError
from bakeoff.networks.table import NetworkSpec, build_with_hub_weights

__all__ = ["STALL_SECONDS", "download_weights"]

# Seconds without a byte after which a download is given up.
STALL_SECONDS = 10.0


def download_weights(
    row: NetworkSpec, target: Path, tell: Callable[[float], None], give_up: Callable[[str], None]
) -> None:
    """Let Keras fetch a network's weights into `$KERAS_HOME` and check their hash, then move the file to `target`.

    `tell` gets the fraction that has come; `give_up`, called from another thread with a reason, has to end the
    process: a look-up of a name can hang where no timeout reaches. Raises WeightsError with the reason Keras gives.
    """
    assert row.hub_file is not None
    written = Path(os.environ["KERAS_HOME"]) / "models" / row.hub_file
    socket.setdefaulttimeout(STALL_SECONDS)
    done = threading.Event()
    threading.Thread(target=_watch, args=(written, 4 * row.params_total, done, tell, give_up), daemon=True).start()
    try:
        build_with_hub_weights(row)
    except Exception as error:  # Keras raises plain exceptions here
        raise WeightsError(" ".join(str(error).rpartition(" -- ")[2].split()) or type(error).__name__) from error
    finally:
        done.set()
    written.replace(target)


def _watch(
    written: Path,
    expected_bytes: int,
    done: threading.Event,
    tell: Callable[[float], None],
    give_up: Callable[[str], None],
) -> None:
    size, since = 0, time.monotonic()
    # What follows the last bytes is Keras at work on them, which takes what it takes.
    while size < 0.9 * expected_bytes and not done.wait(0.1):
        now = written.stat().st_size if written.is_file() else 0
        if now > size:
            size, since = now, time.monotonic()
            tell(min(1.0, size / expected_bytes))
        elif time.monotonic() - since > 2 * STALL_SECONDS:
            give_up(f"nothing came from the network for {2 * STALL_SECONDS:.0f} s")
            return
