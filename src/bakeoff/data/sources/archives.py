"""Where a published archive lies on this machine, and how it gets there if it does not.

Looked for in the folder given, `$BAKEOFF_DATA_DIR`, then the cache's `downloads`, then downloaded.
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


def find_archive(name: str, url: str, md5: str, data_dir: Path | None, progress: OnCount | None) -> Path:
    """The path of an archive, downloaded into the cache and checked against `md5` if it is nowhere.

    Raises DataError that says where to put the file by hand if the download fails.
    """
    downloads = cache_dir() / "downloads"
    given = os.environ.get("BAKEOFF_DATA_DIR")
    places = [place for place in (data_dir, Path(given) if given else None, downloads) if place is not None]
    for place in places:
        if (place / name).is_file():
            return place / name
    try:
        _download(url, md5, downloads / name, progress)
    except DataError as error:
        raise DataError(f"{name} {error}; fetch {url} and give its folder with --data-dir") from error
    return downloads / name


def hash_md5(path: Path) -> str:
    """MD5 of a file's bytes: what the publishers of these archives print, no protection against malice."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def _download(url: str, md5: str, path: Path, progress: OnCount | None) -> None:
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
            if progress:
                progress(f"downloading {path.name}", done, total)
        if digest.hexdigest() != md5:
            raise DataError(f"arrived damaged ({done:,} of {total:,} bytes, MD5 not the published one)")


def _chunks(response: http.client.HTTPResponse) -> Iterator[bytes]:
    # Network failures are OSErrors too; told apart here from those of writing the file.
    try:
        while chunk := response.read(_CHUNK_BYTES):
            yield chunk
    except (OSError, http.client.HTTPException) as error:
        raise DataError(f"could not be downloaded to its end ({error})") from error
