"""Finds a published archive on this machine, or downloads it.

The order is: the given folder, `$BAKEOFF_DATA_DIR`, `downloads` in the cache, then the download.
"""

import hashlib
import http.client
import os
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from bakeoff.data.sources.records import OnCount
from bakeoff.errors import DataError
from bakeoff.files import cache_dir, replacing

__all__ = ["find_archive", "hash_md5"]

_TIMEOUT_SECONDS = 20
_CHUNK_BYTES = 1 << 20


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
    variable = os.environ.get("BAKEOFF_DATA_DIR")
    folders = [folder for folder in (data_dir, Path(variable) if variable else None, downloads) if folder is not None]
    for folder in folders:
        if (folder / name).is_file():
            return folder / name
    try:
        _download(url, md5, downloads / name, on_count)
    except DataError as error:
        raise DataError(f"{name} {error}; fetch {url} and give its folder with --data-dir") from error
    return downloads / name


def hash_md5(path: Path) -> str:
    """MD5 of a file, as the publishers of these archives print it. It detects damage, not tampering."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def _download(url: str, md5: str, path: Path, on_count: OnCount | None) -> None:
    digest = hashlib.md5(usedforsecurity=False)
    done = 0
    try:
        response = urllib.request.urlopen(url, timeout=_TIMEOUT_SECONDS)
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise DataError(f"is not on this machine and cannot be downloaded ({error})") from error
    with response, replacing(path) as temporary, temporary.open("wb") as file:
        total = int(response.headers.get("Content-Length") or 0)
        for chunk in _chunks(response):
            file.write(chunk)
            digest.update(chunk)
            done += len(chunk)
            if on_count:
                on_count(f"downloading {path.name}", done, total)
        if digest.hexdigest() != md5:
            raise DataError(f"arrived damaged ({done:,} of {total:,} bytes, MD5 not the published one)")


def _chunks(response: http.client.HTTPResponse) -> Iterator[bytes]:
    # Network failures are OSErrors, as are failures to write the file. Only the former are caught here.
    try:
        while chunk := response.read(_CHUNK_BYTES):
            yield chunk
    except (OSError, http.client.HTTPException) as error:
        raise DataError(f"could not be downloaded completely ({error})") from error
