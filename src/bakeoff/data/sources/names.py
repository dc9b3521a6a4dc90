"""Opens data by name or path."""

from pathlib import Path

from bakeoff.data.sources.cifar import CIFARS, Cifar
from bakeoff.data.sources.digits import Digits
from bakeoff.data.sources.folder import ImageFolder
from bakeoff.data.sources.records import OnCount, Source
from bakeoff.errors import DataError, suggest
from bakeoff.runs.config import Data

__all__ = ["SOURCE_NAMES", "open_source"]

SOURCE_NAMES = (*CIFARS, "digits")


def open_source(
    data: Data,
    data_dir: Path | None = None,
    on_count: OnCount | None = None,
) -> Source:
    """Open a source of images.

    Args:
        data: Which images; `classes` and `seed` are not used. A name has precedence over a folder of the same name.
        data_dir: The first folder in which CIFAR archives are looked for, before `$BAKEOFF_DATA_DIR`, the cache, and
            the download.
        on_count: Called with (what is being done, how much is done, how much in all).

    Raises:
        DataError: There are no such data, or they cannot be used.
    """
    name_or_path = data.source
    if data_dir is not None and not data_dir.is_dir():
        raise DataError(f"--data-dir {data_dir} is not a folder; give the folder that holds the archives")
    if name_or_path in CIFARS:
        return Cifar(CIFARS[name_or_path], data_dir, on_count)
    if name_or_path == "digits":
        return Digits()
    folder = Path(name_or_path).expanduser()
    if folder.is_dir():
        return ImageFolder(folder, data.layout)
    if folder.exists():
        raise DataError(
            f"{name_or_path} is a file; give a folder of class folders, or one of {', '.join(SOURCE_NAMES)}"
        )
    hint = suggest(name_or_path.lower(), SOURCE_NAMES, f"give {', '.join(SOURCE_NAMES)} or the path of a folder")
    raise DataError(f"there is no data or folder called {name_or_path!r}; {hint}")
