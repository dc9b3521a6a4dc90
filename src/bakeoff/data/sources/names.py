"""The names that stand for data, and what each opens."""

from pathlib import Path

from bakeoff.data.sources.cifar import CIFARS, Cifar
from bakeoff.data.sources.digits import Digits
from bakeoff.data.sources.folder import Folder
from bakeoff.data.sources.records import OnCount, Source
from bakeoff.errors import DataError, suggest

__all__ = ["SOURCE_NAMES", "open_source"]

SOURCE_NAMES = (*CIFARS, "digits")


def open_source(text: str, data_dir: Path | None = None, progress: OnCount | None = None) -> Source:
    """Open `cifar100`, `cifar10`, `digits` or a folder of images; a name wins over a folder called the same.

    CIFAR archives are looked for in `data_dir`, `$BAKEOFF_DATA_DIR` and the cache, then downloaded.
    Raises DataError if there is no such data.
    """
    if data_dir is not None and not data_dir.is_dir():
        raise DataError(f"--data-dir {data_dir} is not a folder; give the folder that holds the archives")
    if text in CIFARS:
        return Cifar(CIFARS[text], data_dir, progress)
    if text == "digits":
        return Digits()
    folder = Path(text).expanduser()
    if folder.is_dir():
        return Folder(folder)
    if folder.exists():
        raise DataError(f"{text} is a file; give a folder of class folders, or one of {', '.join(SOURCE_NAMES)}")
    hint = suggest(text.lower(), SOURCE_NAMES, f"give {', '.join(SOURCE_NAMES)} or the path of a folder")
    raise DataError(f"there is no data or folder called {text!r}; {hint}")
