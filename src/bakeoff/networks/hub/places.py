"""Where a preset is on this machine: a given folder, an imported one, or the caches of the hubs. Downloads nothing."""

import contextlib
import functools
import hashlib
import importlib.util
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from bakeoff.errors import ConfigError, WeightsError, suggest
from bakeoff.files import PARTIAL, expand_home, imported_weights_dir, read_json
from bakeoff.locks import clear_left
from bakeoff.networks.hub.families import FAMILIES
from bakeoff.variables import HF_HOME, HF_HUB_CACHE, HUGGINGFACE_HUB_CACHE, KAGGLEHUB_CACHE, XDG_CACHE_HOME

__all__ = [
    "HOW_TO_INSTALL",
    "LABEL",
    "expect_bytes",
    "find_folder",
    "find_handle",
    "hub_cache",
    "is_folder",
    "is_preset",
    "kaggle_home",
    "kept_folder",
    "list_names",
    "read_label",
]

PREFIXES = ("hub:", "hf://", "kaggle://")
HOW_TO_INSTALL = (
    "run pip install 'bakeoff[hub]' and then pip install --no-deps keras-hub (without --no-deps, its text package"
    " brings a second TensorFlow)"
)
LABEL = "preset.json"
"""Beside an imported preset's files: its name and its hash."""
# A preset in one of KerasHub's lists: its name, its facts, and the texts that its place at Kaggle is written as.
_ENTRY = re.compile(r'^    "([\w.-]+)": \{(.*?)"kaggle_handle":\s*\(?\s*((?:"[^"]*"\s*)+)', re.MULTILINE | re.DOTALL)


class _Listed(NamedTuple):
    """A preset in KerasHub's lists."""

    handle: str
    """Its place at Kaggle: OWNER/MODEL/keras/NAME/VERSION."""
    parameters: int
    """0: not stated."""


def is_preset(name: str) -> bool:
    """Whether the name of a network is that of a preset."""
    return name.startswith(PREFIXES)


def is_folder(name: str) -> bool:
    """Whether the name of a preset is that of a folder of the user's, as in `hub:./my_preset`."""
    rest = name.removeprefix("hub:")
    return rest != name and ("/" in rest or rest.startswith((".", "~")))


def find_folder(name: str) -> Path | None:
    """The folder of a preset on this machine; None if it has not been downloaded or imported.

    Raises:
        ConfigError: The name is not of the form that its hub has, or there is no such folder.
    """
    hub, _, rest = name.partition(":")
    rest = rest.removeprefix("//")
    given = expand_home(rest).absolute() if is_folder(name) else None
    if given is not None and given.is_dir():
        return given
    kept = kept_folder(name)
    if kept.with_name(f"{PARTIAL}{kept.name}").is_dir() and not kept.is_dir():
        clear_left(kept.parent)  # a process was killed between moving the old one away and the new one in place
    if kept.is_dir():
        return kept
    if hub == "hf":
        return _find_hugging_face(name, rest)
    if hub == "kaggle":
        return _find_kaggle(name, rest)
    if given is not None:
        raise ConfigError(f"{name}: there is no folder {given}; give the folder of a preset")
    return _find_kaggle(name, find_handle(name))


def kept_folder(name: str) -> Path:
    """Where a preset from another machine is kept."""
    title = re.sub(r"[^\w.]+", "-", name).strip("-")
    return imported_weights_dir() / "presets" / f"{title[-60:]}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"


def find_handle(name: str) -> str:
    """Where Kaggle has a preset of KerasHub's own list, as OWNER/MODEL/keras/NAME/VERSION.

    Raises ConfigError, with the closest names, if KerasHub has no such preset, or is not installed.
    """
    presets = _list_presets()
    title = name.removeprefix("hub:")
    if not presets:
        raise ConfigError(f"{name}: KerasHub is not installed, so its presets are not known; {HOW_TO_INSTALL}")
    if title not in presets:
        hint = suggest(title, presets, "see https://keras.io/keras_hub/presets")
        raise ConfigError(f"KerasHub has no preset {title!r} of an image network; {hint}")
    return presets[title].handle


def expect_bytes(name: str) -> int:
    """About how much a download of a preset of KerasHub's own list is, in 32 bits; 0: not known."""
    listed = _list_presets().get(name.removeprefix("hub:"))
    return 4 * listed.parameters if listed else 0


def hub_cache(name: str) -> Path:
    """The cache that a preset is downloaded into."""
    return _hugging_face_cache() if name.startswith("hf://") else _kaggle_cache()


def kaggle_home() -> Path:
    """The folder of all that `kagglehub` keeps."""
    return expand_home(KAGGLEHUB_CACHE.read() or "~/.cache/kagglehub")


def list_names() -> list[str]:
    """The names of what is in the caches of the hubs, or was imported: among them presets that are no image network."""
    return sorted({*_list_imported(), *_list_hugging_face(), *_list_kaggle()})


def read_label(folder: Path) -> tuple[str, str] | None:
    """The name and the SHA-256 of an imported preset; None if it was not imported.

    Raises WeightsError if the file that says so is damaged.
    """
    path = folder / LABEL
    if not path.is_file():
        return None
    try:
        label = read_json(path)
        return str(label["name"]), str(label["sha256"])
    except (OSError, ValueError, TypeError, LookupError) as error:
        raise WeightsError(f"{folder} is damaged ({LABEL}: {error}); import it again") from error


def _list_imported() -> Iterator[str]:
    for path in imported_weights_dir().glob(f"presets/*/{LABEL}"):
        with contextlib.suppress(WeightsError):  # whoever uses it is told
            if label := read_label(path.parent):
                yield label[0]


def _list_hugging_face() -> Iterator[str]:
    for kept in _hugging_face_cache().glob("models--*--*"):
        yield f"hf://{kept.name.removeprefix('models--').replace('--', '/', 1)}"


def _list_kaggle() -> Iterator[str]:
    cache = _kaggle_cache()
    names = {
        listed.handle.rpartition("/")[0]: f"hub:{name}"
        for name, listed in _list_presets().items()
        if (cache / listed.handle).is_dir()
    }
    for folder in cache.glob("*/*/keras/*"):
        handle = folder.relative_to(cache).as_posix()
        yield names.get(handle, f"kaggle://{handle}")


@functools.cache
def _list_presets() -> dict[str, _Listed]:
    """The presets of KerasHub's image networks, by name, as it lists them; read without importing it.

    `find_spec` runs no code of a package at top level.
    """
    module = importlib.util.find_spec("keras_hub")
    folders = module.submodule_search_locations if module else None
    found: dict[str, _Listed] = {}
    for folder in folders or ():
        for family in {family.folder for family in FAMILIES.values()}:
            for path in Path(folder).glob(f"src/models/{family}/{family}_presets.py"):
                for name, facts, texts in _ENTRY.findall(path.read_text(encoding="utf-8")):
                    handle = "".join(re.findall(r'"([^"]*)"', texts)).removeprefix("kaggle://")
                    stated = re.search(r'"params": ([\d_]+)', facts)
                    found[name] = _Listed(handle, int(stated[1]) if stated else 0)
    return found


def _find_hugging_face(name: str, repository: str) -> Path | None:
    """The snapshot of a repository's main branch in the cache of `huggingface_hub`."""
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", repository):
        raise ConfigError(f"{name} is not of the form hf://OWNER/NAME")
    kept = _hugging_face_cache() / f"models--{repository.replace('/', '--')}"
    try:
        revision = (kept / "refs" / "main").read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError):
        return None
    folder = kept / "snapshots" / revision
    return folder if re.fullmatch(r"[0-9a-f]{4,64}", revision) and folder.is_dir() else None


def _find_kaggle(name: str, handle: str) -> Path | None:
    """The newest version, or the one that is named, in the cache of `kagglehub`."""
    if not re.fullmatch(r"[\w.-]+/[\w.-]+/[\w.-]+/[\w.-]+(?:/\d+)?", handle):
        raise ConfigError(f"{name} is not of the form kaggle://OWNER/MODEL/keras/NAME, or the same with /VERSION")
    folder = _kaggle_cache() / handle
    if handle.count("/") == 4:
        return folder if folder.is_dir() else None
    versions = [path for path in folder.iterdir() if path.name.isdecimal()] if folder.is_dir() else []
    return max(versions, key=lambda path: int(path.name), default=None)


def _hugging_face_cache() -> Path:
    """Where `huggingface_hub` keeps its files."""
    caches = XDG_CACHE_HOME.read() or "~/.cache"
    home = HF_HOME.read() or f"{caches}/huggingface"
    cache = HF_HUB_CACHE.read() or HUGGINGFACE_HUB_CACHE.read() or f"{home}/hub"
    # That package replaces variables in it, too.
    return expand_home(os.path.expandvars(cache))


def _kaggle_cache() -> Path:
    """Where `kagglehub` keeps models."""
    return kaggle_home() / "models"
