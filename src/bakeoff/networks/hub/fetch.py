"""Downloads a preset into the cache of its hub, in a process of its own: a download that hangs can only be ended.

A download that was interrupted leaves a part of the files in that cache. The next one fetches the others.
"""

import contextlib
import hashlib
import importlib.util
import math
import os
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from bakeoff.errors import ConfigError, InputError, WeightsError
from bakeoff.files import cache_dir, write_json
from bakeoff.locks import waiting_for
from bakeoff.networks.hub.facts import find_preset
from bakeoff.networks.hub.files import KEPT_FILES, read_files
from bakeoff.networks.hub.formats import UnfinishedError
from bakeoff.networks.hub.places import (
    HOW_TO_INSTALL,
    expect_bytes,
    find_folder,
    find_handle,
    hub_cache,
    is_folder,
    kaggle_home,
)
from bakeoff.variables import KAGGLEHUB_CACHE

__all__ = ["download_preset", "find_lack", "require_kerashub"]

STALL_SECONDS = 10.0
# Parts of divided weights.
_PARTS = ("model_*.weights.h5", "model-*.safetensors")


def require_kerashub(name: str) -> None:
    """Raise ConfigError, with what to install, where KerasHub is missing. Does not import it."""
    if importlib.util.find_spec("keras_hub") is None:
        raise ConfigError(f"{name} needs KerasHub: {HOW_TO_INSTALL}")


def find_lack(name: str) -> str:
    """Why a preset has to be downloaded, as the end of a sentence about it; empty if it has not.

    A folder of the user's, and an imported preset, are never downloaded.

    Args:
        name: The preset.

    Raises:
        ConfigError: There is no such preset or folder.
    """
    folder = find_folder(name)
    if folder is None:
        return "is not on this machine"
    is_downloaded = folder.is_relative_to(hub_cache(name)) and not is_folder(name)
    return "" if not is_downloaded or _is_whole(name) else "is not whole on this machine"


def _is_whole(name: str) -> bool:
    """Whether all files of a preset in the cache of its hub have arrived, as far as can be told without asking it."""
    if _note(name).is_file():
        return False
    try:
        find_preset(name)
    except WeightsError as error:  # with all its files it may still be of no use, and stays so
        return not isinstance(error, UnfinishedError)
    return True


def _note(name: str) -> Path:
    """The file that is there from the begin of a preset's download until its last file has arrived.

    Without it a preset that lacks a file which not every preset has, such as task.json, would be taken for whole.
    """
    return cache_dir() / "presets" / f"{hashlib.sha256(name.encode()).hexdigest()[:32]}-download.json"


def download_preset(
    name: str, on_bytes: Callable[[int], None], give_up: Callable[[str], None], limit_bytes: float = math.inf
) -> None:
    """Download the files of a preset that are read and are not here, and check them, but for the weights' contents.

    The hubs' own packages download: `kagglehub` and `huggingface_hub`. They keep files in caches that are shared with
    other programs, and check what arrives. A preset that another process is downloading is waited for.

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
    note = _note(name)
    with waiting_for(note):
        if find_lack(name):
            write_json(note, {"network": name})
            try:
                _download(name, on_bytes, give_up, limit_bytes)
            except InputError:
                if find_folder(name) is None:  # nothing has arrived
                    note.unlink(missing_ok=True)
                raise
            note.unlink(missing_ok=True)
    folder = find_folder(name)
    if folder is None:
        raise WeightsError(f"{name}: nothing arrived; see its page")
    read_files(name, folder)


def _download(name: str, on_bytes: Callable[[int], None], give_up: Callable[[str], None], limit_bytes: float) -> None:
    hub, _, rest = name.partition("://")
    cache = hub_cache(name)
    socket.setdefaulttimeout(STALL_SECONDS)
    try:
        # Both print progress.
        with contextlib.redirect_stdout(sys.stderr):
            if hub == "hf":
                # How many bytes there are is known before, so that they need not be counted.
                with _watching(cache, on_bytes, give_up, math.inf):
                    _hugging_face(rest, cache, limit_bytes)
            else:
                handle = rest if hub == "kaggle" else find_handle(name)
                _check_limit(expect_bytes(name) - _size(cache / handle), limit_bytes)
                with _watching(cache.joinpath(*handle.split("/")[:4]), on_bytes, give_up, limit_bytes):
                    _kaggle(handle)
    except _TooLargeError as error:
        raise WeightsError(f"cannot download {name} ({error}); raise it") from error
    except ImportError as error:
        raise ConfigError(f"{name} needs {error.name}: {HOW_TO_INSTALL}") from error
    except (ConfigError, WeightsError):
        raise
    except Exception as error:  # the packages raise their own, those of HTTP clients, and OSError
        raise WeightsError(_explain(name, error)) from error


class _TooLargeError(Exception):
    """A download is larger than what is left of the limit."""


def _check_limit(size: int, limit_bytes: float) -> None:
    if size > limit_bytes:
        raise _TooLargeError(_say_too_large(f"{size / 1e6:,.0f}", limit_bytes))


def _say_too_large(megabytes: str, limit_bytes: float) -> str:
    return f"its {megabytes} MB are more than the {limit_bytes / 1e6:,.0f} MB that --download-limit leaves"


def _hugging_face(repository: str, cache: Path, limit_bytes: float) -> None:
    from huggingface_hub import HfApi, snapshot_download, try_to_load_from_cache
    from huggingface_hub.utils import filter_repo_objects

    patterns = [*KEPT_FILES, *_PARTS]
    if math.isfinite(limit_bytes):
        info = HfApi().model_info(repository, files_metadata=True, timeout=STALL_SECONDS)
        files = filter_repo_objects(info.siblings or [], allow_patterns=patterns, key=lambda file: file.rfilename)
        missing = [
            file
            for file in files
            if not isinstance(try_to_load_from_cache(repository, file.rfilename, cache, revision=info.sha), str)
        ]
        _check_limit(sum(file.size or 0 for file in missing), limit_bytes)
    snapshot_download(repository, cache_dir=cache, allow_patterns=patterns, etag_timeout=STALL_SECONDS)


def _kaggle(handle: str) -> None:
    import kagglehub

    # That package takes `~` and an empty text for names of folders.
    os.environ[KAGGLEHUB_CACHE.name] = str(kaggle_home())
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


@contextlib.contextmanager
def _watching(
    place: Path, on_bytes: Callable[[int], None], give_up: Callable[[str], None], limit_bytes: float
) -> Iterator[None]:
    """For the block, watch a folder in a thread of its own."""
    done = threading.Event()
    watched = (place, done, on_bytes, give_up, limit_bytes)
    threading.Thread(target=_watch, args=watched, daemon=True).start()
    try:
        yield
    finally:
        done.set()


def _watch(
    place: Path,
    done: threading.Event,
    on_bytes: Callable[[int], None],
    give_up: Callable[[str], None],
    limit_bytes: float,
) -> None:
    """Count what arrives in a folder; give up when nothing does, or when it is too much."""
    first, first_archives = _size(place), _size(place, "*.archive")
    size, since, unpacks = 0, time.monotonic(), False
    while not done.wait(0.5):
        now = _size(place) - first
        if now != size:
            size, since = now, time.monotonic()
            on_bytes(size)
        elif time.monotonic() - since > 2 * STALL_SECONDS:
            give_up(f"nothing came from the network for {2 * STALL_SECONDS:.0f} s")
            return
        # Many files come as an archive, which is unpacked beside itself: what comes out of it is not downloaded.
        unpacks = unpacks or any(place.rglob("*.archive"))
        arrived = _size(place, "*.archive") - first_archives if unpacks else now
        if arrived > limit_bytes:
            give_up(_say_too_large(f"{arrived / 1e6:,.0f} or more", limit_bytes))
            return


def _size(folder: Path, pattern: str = "*") -> int:
    total = 0
    for path in folder.rglob(pattern):
        with contextlib.suppress(OSError):  # it has just been renamed
            total += 0 if path.is_symlink() else path.stat().st_size
    return total
