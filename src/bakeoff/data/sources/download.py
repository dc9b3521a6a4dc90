"""Finds a published archive on this machine, or downloads it.

The order is: the given folder, `$BAKEOFF_DATA_DIR`, `downloads` in the cache, then the download.
"""

import hashlib
from pathlib import Path

from bakeoff.data.sources.records import OnCount
from bakeoff.errors import DataError
from bakeoff.files import cache_dir, expand_home
from bakeoff.variables import DATA_DIR

__all__ = ["find_archive", "hash_md5"]

# No archive that is published is larger.
MOST_BYTES = 400_000_000


def find_archive(name: str, url: str, md5: str, data_dir: Path | None, on_count: OnCount | None) -> Path:
    """Find an archive, or download it into the cache.

    Args:
        name: The archive's file name.
        url: Where to download it.
        md5: The published MD5, which a download must have; a file found on this machine is not checked here.
        data_dir: The first folder to look in.
        on_count: Called with (what is being done, bytes done, bytes in all, 0 if unknown).

    Returns:
        The path of the archive.

    Raises:
        DataError: The download failed. The message says where to put the file instead.
    """
    downloads = cache_dir() / "downloads"
    named = DATA_DIR.read()
    folders = [folder for folder in (data_dir, expand_home(named) if named else None, downloads) if folder is not None]
    for folder in folders:
        if (folder / name).is_file():
            return folder / name
    # Loaded only here, so that the command line starts quickly.
    from bakeoff.download import DownloadError, Remote, download, is_offline

    if is_offline():
        raise DataError(
            f"{name} is not on this machine, and downloads are off; fetch {url} and give its folder with --data-dir"
        )
    doing, remote = f"downloading {name}", Remote(url, md5, MOST_BYTES)
    try:
        download(remote, downloads / name, lambda done, total: on_count(doing, done, total) if on_count else None)
    except DownloadError as error:
        raise DataError(
            f"{name} is not on this machine and cannot be downloaded ({error}); fetch {url} and give its folder with"
            " --data-dir"
        ) from error
    return downloads / name


def hash_md5(path: Path) -> str:
    """MD5 of a file, as the publishers of these archives print it. It detects damage, not tampering."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
