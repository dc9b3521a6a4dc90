"""Downloads ImageNet weights through Keras, atomically, and fails within seconds if the server does not answer.

Runs in a process of its own, because a hanging download can only be stopped by ending its process.
"""

import os
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path

from bakeoff.errors import WeightsError
from bakeoff.networks.backbone import Backbone, build_with_hub_weights

__all__ = ["STALL_SECONDS", "download_weights"]

# A read from the server fails after so many seconds without a byte; `_watch` gives up after twice as long.
STALL_SECONDS = 10.0


def download_weights(
    spec: Backbone, target: Path, on_fraction: Callable[[float], None], give_up: Callable[[str], None]
) -> None:
    """Let Keras download a network's weights into `$KERAS_HOME` and check their hash, then move the file to `target`.

    Args:
        spec: A network of keras.applications.
        target: Where the file goes, on the same file system as `$KERAS_HOME`.
        on_fraction: Called with the fraction of the file that has arrived, 0..1.
        give_up: Called from another thread, with a reason, if nothing arrives. It must end the process: a DNS look-up
            can hang where no timeout applies.

    Raises:
        WeightsError: The download failed, with the reason that Keras gives.
    """
    assert spec.hub_file is not None
    written = Path(os.environ["KERAS_HOME"]) / "models" / spec.hub_file
    socket.setdefaulttimeout(STALL_SECONDS)
    done = threading.Event()
    threading.Thread(
        target=_watch, args=(written, 4 * spec.params_total, done, on_fraction, give_up), daemon=True
    ).start()
    try:
        build_with_hub_weights(spec)
    except Exception as error:  # Keras raises `Exception` itself.
        raise WeightsError(" ".join(str(error).rpartition(" -- ")[2].split()) or type(error).__name__) from error
    finally:
        done.set()
    written.replace(target)


def _watch(
    written: Path,
    expected_bytes: int,
    done: threading.Event,
    on_fraction: Callable[[float], None],
    give_up: Callable[[str], None],
) -> None:
    size, since = 0, time.monotonic()
    # After the last bytes, Keras checks and loads the file, which may take any time.
    while size < 0.9 * expected_bytes and not done.wait(0.1):
        now = written.stat().st_size if written.is_file() else 0
        if now > size:
            size, since = now, time.monotonic()
            on_fraction(min(1.0, size / expected_bytes))
        elif time.monotonic() - since > 2 * STALL_SECONDS:
            give_up(f"nothing came from the network for {2 * STALL_SECONDS:.0f} s")
            return
