"""Downloads a preset into the cache of its hub, in a process of its own: a download that hangs can only be ended."""

import contextlib
import importlib.util
import math
import socket
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

from bakeoff.errors import ConfigError, WeightsError
from bakeoff.networks.hub.files import KEPT_FILES, read_files
from bakeoff.networks.hub.places import HOW_TO_INSTALL, expect_bytes, find_folder, find_handle, hub_cache

__all__ = ["download_preset", "require_kerashub"]

STALL_SECONDS = 10.0
# Parts of divided weights.
_PARTS = ("model_*.weights.h5", "model-*.safetensors")


def require_kerashub(name: str) -> None:
    """Raise ConfigError, with what to install, where KerasHub is missing. Does not import it."""
    if importlib.util.find_spec("keras_hub") is None:
        raise ConfigError(f"{name} needs KerasHub: {HOW_TO_INSTALL}")


def download_preset(
    name: str, on_bytes: Callable[[int], None], give_up: Callable[[str], None], limit_bytes: float = math.inf
) -> None:
    """Download the files of a preset that are read, and check them, but for the weights' contents.

    The hubs' own packages download: `kagglehub` and `huggingface_hub`. They keep files in caches that are shared with
    other programs, and check what arrives.

    Args:
        name: The preset.
        on_bytes: Called with the bytes that have arrived.
        give_up: Called from another thread, with a reason, if nothing arrives, or more than may. It must end the
            process.
        limit_bytes: Bytes that may be downloaded. Kaggle says only while it sends how many there are.

    Raises:
        ConfigError: There is no such preset, or a package is missing.
        WeightsError: The download failed, is larger than the limit, or what arrived is no image network.
    """
    require_kerashub(name)
    hub, _, rest = name.partition("://")
    socket.setdefaulttimeout(STALL_SECONDS)
    done = threading.Event()
    watched = (hub_cache(name), done, on_bytes, give_up, limit_bytes)
    threading.Thread(target=_watch, args=watched, daemon=True).start()
    try:
        # Both print progress.
        with contextlib.redirect_stdout(sys.stderr):
            if hub == "hf":
                _hugging_face(rest, limit_bytes)
            else:
                handle = rest if hub == "kaggle" else find_handle(name)
                _check_limit(expect_bytes(name), limit_bytes)
                _kaggle(handle)
    except _TooLargeError as error:
        raise WeightsError(f"cannot download {name} ({error}); raise it") from error
    except ImportError as error:
        raise ConfigError(f"{name} needs {error.name}: {HOW_TO_INSTALL}") from error
    except (ConfigError, WeightsError):
        raise
    except Exception as error:  # the packages raise their own, those of HTTP clients, and OSError
        raise WeightsError(_explain(name, error)) from error
    finally:
        done.set()
    folder = find_folder(name)
    if folder is None:
        raise WeightsError(f"{name}: nothing arrived; see its page")
    read_files(name, folder)


class _TooLargeError(Exception):
    """A download is larger than what is left of the limit."""


def _check_limit(size: int, limit_bytes: float) -> None:
    if size > limit_bytes:
        raise _TooLargeError(_say_too_large(f"{size / 1e6:,.0f}", limit_bytes))


def _say_too_large(megabytes: str, limit_bytes: float) -> str:
    return f"its {megabytes} MB are more than the {limit_bytes / 1e6:,.0f} MB that --download-limit leaves"


def _hugging_face(repository: str, limit_bytes: float) -> None:
    from huggingface_hub import HfApi, snapshot_download
    from huggingface_hub.utils import filter_repo_objects

    patterns = [*KEPT_FILES, *_PARTS]
    if math.isfinite(limit_bytes):
        found = HfApi().model_info(repository, files_metadata=True, timeout=STALL_SECONDS).siblings or []
        files = filter_repo_objects(found, allow_patterns=patterns, key=lambda file: file.rfilename)
        _check_limit(sum(file.size or 0 for file in files), limit_bytes)
    snapshot_download(repository, allow_patterns=patterns, etag_timeout=STALL_SECONDS)


def _kaggle(handle: str) -> None:
    import kagglehub

    # The archive of a whole preset has also the files of its classifier and, of some, of a text encoder.
    kagglehub.model_download(handle)


def _explain(name: str, error: Exception) -> str:
    """One line for what a hub's package raises."""
    reason = " ".join((str(error).strip() or type(error).__name__).split())
    kind = type(error).__name__
    if kind == "GatedRepoError" or "403 Client Error" in reason or "401 Client Error" in reason:
        return f"{name} is gated, or private: accept its terms on its page, and log in as its hub describes"
    if kind in ("RepositoryNotFoundError", "EntryNotFoundError") or "404 Client Error" in reason:
        return f"there is no preset {name}; see its hub for the names"
    return f"cannot download {name} ({reason[:200]}); copy it from a machine with internet (`bakeoff weights import`)"


def _watch(
    cache: Path,
    done: threading.Event,
    on_bytes: Callable[[int], None],
    give_up: Callable[[str], None],
    limit_bytes: float,
) -> None:
    """Count what arrives in the cache; give up when nothing does, or when it is too much."""
    first, size, since = _size(cache), 0, time.monotonic()
    while not done.wait(0.5):
        now = _size(cache) - first
        if now != size:
            size, since = now, time.monotonic()
            on_bytes(size)
        elif time.monotonic() - since > 2 * STALL_SECONDS:
            give_up(f"nothing came from the network for {2 * STALL_SECONDS:.0f} s")
            return
        # An archive that has arrived is unpacked beside itself.
        if (archive := _size(cache, "*.archive")) > limit_bytes:
            give_up(_say_too_large(f"{archive / 1e6:,.0f} or more", limit_bytes))
            return


def _size(folder: Path, pattern: str = "*") -> int:
    total = 0
    for path in folder.rglob(pattern):
        with contextlib.suppress(OSError):  # it has just been renamed
            total += 0 if path.is_symlink() else path.stat().st_size
    return total
