"""Archives of images, read in place: ZIP, and TAR, which may be compressed.

Only regular files are read. Links, devices, paths that lead out of the archive, and files beyond a size are left out
and counted. Nothing is unpacked into the user's folders: a compressed TAR, whose files cannot be reached singly, is
decompressed into a temporary file that has no name.
"""

import bz2
import gzip
import lzma
import os
import shutil
import stat
import struct
import tarfile
import tempfile
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from functools import cached_property
from pathlib import Path
from typing import IO, Generic, TypeVar, cast

from bakeoff.data.sources.records import OnCount
from bakeoff.data.sources.trees import Entry, Tree, stamp_file
from bakeoff.errors import DataError
from bakeoff.files import cache_dir

__all__ = ["ARCHIVE_SUFFIXES", "is_archive", "open_archive"]

ARCHIVE_SUFFIXES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz")

# The largest file that is read out of an archive, in bytes: more than an uncompressed image at the limit of pixels.
_FILE_LIMIT_BYTES = 1 << 29
# Decompressed, an archive may grow by this factor, and by this many bytes more. Images hardly compress.
_MOST_GROWTH, _GROWTH_BYTES = 200, 1 << 26
# Bytes of free space that decompressing leaves on the disk.
_LEFT_FREE_BYTES = 1 << 30
_CHUNK_BYTES = 1 << 20
# A TAR ends with at least two blocks of zeros; this is the size of one.
_TAR_BLOCK = 512
# A ZIP ends with a record that begins so, and is at most so long.
_ZIP_END, _ZIP_END_BYTES = b"PK\x05\x06", 22 + 65_535
# The kind of a field of a ZIP in which some programs write a name in UTF-8, beside the one in another encoding.
_UNICODE_PATH = 0x7075
# The deepest path that is read.
_MOST_FOLDERS = 64

_READ_ERRORS = (
    zipfile.BadZipFile,
    tarfile.TarError,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    NotImplementedError,
    UnicodeDecodeError,
)

Member = TypeVar("Member")


def is_archive(path: Path) -> bool:
    """Whether a file's name is that of an archive which can be read."""
    return path.name.lower().endswith(ARCHIVE_SUFFIXES)


def open_archive(path: Path, on_count: OnCount | None = None) -> Tree:
    """An archive as a tree. It is opened at first use.

    Args:
        path: The archive; what it is is decided by its contents, not by its suffix.
        on_count: Called with (what is being done, bytes done, bytes in all) while a TAR is decompressed.

    Raises:
        DataError: The file is no ZIP and no TAR, or cannot be read.
    """
    try:
        with path.open("rb") as file:
            head = file.read(6)
        if zipfile.is_zipfile(path):
            return _Zip(path)
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}; make it readable") from error
    for magic, open_stream in _COMPRESSED:
        if head.startswith(magic):
            return _Tar(path, open_stream, on_count)
    if tarfile.is_tarfile(path):
        return _Tar(path, None, on_count)
    raise DataError(f"{path} is not a ZIP or TAR archive; fetch it again, or unpack it and give the folder")


def _open_gzip(file: IO[bytes]) -> IO[bytes]:
    return cast("IO[bytes]", gzip.GzipFile(fileobj=file))


def _open_bzip2(file: IO[bytes]) -> IO[bytes]:
    return cast("IO[bytes]", bz2.BZ2File(file))


def _open_xz(file: IO[bytes]) -> IO[bytes]:
    return cast("IO[bytes]", lzma.LZMAFile(file))


# What a compressed file begins with.
_COMPRESSED = ((b"\x1f\x8b", _open_gzip), (b"BZh", _open_bzip2), (b"\xfd7zXZ", _open_xz))


class _Packed(Tree, Generic[Member]):
    """What ZIP and TAR share: a table of members by path, and the folders that their paths make."""

    is_archive = True

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._skipped: Counter[str] = Counter()

    def entries(self, folder: str) -> list[Entry]:
        """The files and folders in a folder, sorted by name."""
        return self._folders.get(folder, [])

    def has(self, path: str) -> bool:
        """Whether there is a file at a path."""
        return path in self._members

    def stamp(self, path: str) -> tuple[int, ...]:  # noqa: ARG002
        """The stamp of the archive itself."""
        return stamp_file(self.path)

    @property
    def notes(self) -> tuple[str, ...]:
        """Members that are not read, counted by kind."""
        _ = self._members
        return tuple(f"left out of {self.path.name}: {kind}: {count:,}" for kind, count in self._skipped.most_common())

    @cached_property
    def _members(self) -> dict[str, Member]:
        members: dict[str, Member] = {}
        try:
            for name, member in self._read_members():
                if (path := _clean(name)) is None:
                    self._skipped["files whose paths lead out of the archive, or are too deep"] += 1
                elif path in members:
                    self._skipped["files of the same path as another"] += 1
                elif not path:
                    self._skipped["files without a name"] += 1
                else:
                    members[path] = member
        except (*_READ_ERRORS, OSError) as error:
            raise self._damaged(error) from error
        return members

    @cached_property
    def _folders(self) -> dict[str, list[Entry]]:
        folders: dict[str, dict[str, Entry]] = {"": {}}
        for path in self._members:
            parts = path.split("/")
            for depth in range(len(parts)):
                folder, inner = "/".join(parts[:depth]), "/".join(parts[: depth + 1])
                is_folder = depth < len(parts) - 1
                folders.setdefault(folder, {}).setdefault(parts[depth], Entry(inner, is_folder))
        return {folder: [found[name] for name in sorted(found)] for folder, found in folders.items()}

    def _accept(self, size: int, is_regular: bool) -> bool:
        if not is_regular:
            self._skipped["links and special files"] += 1
        elif size > _FILE_LIMIT_BYTES:
            self._skipped[f"files of more than {_FILE_LIMIT_BYTES >> 20} MiB"] += 1
        else:
            return True
        return False

    def _read_members(self) -> Iterator[tuple[str, Member]]:
        raise NotImplementedError

    def _damaged(self, reason: Exception | str) -> DataError:
        return DataError(f"{self.path} is damaged ({reason or type(reason).__name__}); fetch it again")

    def _joined(self) -> DataError:
        return DataError(
            f"{self.path} is several archives in one file, or has other data behind its end; unpack each and give the"
            " folder"
        )


class _Zip(_Packed[zipfile.ZipInfo]):
    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._guessed: list[str] = []

    @property
    def notes(self) -> tuple[str, ...]:
        """Members that are not read, and names of which the encoding is not known."""
        notes = super().notes  # reads the names
        if not self._guessed:
            return notes
        some = f"{len(self._guessed):,}, such as {self._guessed[0]}"
        return (
            *notes,
            f"names in {self.path.name} that are not in UTF-8, read in code page 437: {some}; if they look wrong,"
            " unpack the archive and give the folder",
        )

    def read(self, path: str) -> bytes:
        """The contents of a file. Raises DataError if it is damaged or larger than it says."""
        return self.head(path, self._members[path].file_size)

    def head(self, path: str, size: int) -> bytes:
        """The first `size` bytes of a file."""
        try:
            with self._zip.open(self._members[path]) as file:
                return file.read(size)
        except _READ_ERRORS as error:
            raise DataError(f"damaged in {self.path.name} ({error}); fetch the archive again") from error

    @cached_property
    def _zip(self) -> zipfile.ZipFile:
        try:
            return zipfile.ZipFile(self.path)
        except UnicodeDecodeError as error:
            raise DataError(
                f"{self.path} says that a name is in UTF-8, which it is not; unpack it and give the folder"
            ) from error
        except (*_READ_ERRORS, OSError) as error:
            raise self._damaged(error) from error

    def _check_complete(self) -> None:
        """Check that zipfile found all files: of several ZIPs it reads the last one, and it does not count."""
        infos = self._zip.infolist()
        start = min((info.header_offset for info in infos), default=0)
        if start < 0:
            raise self._damaged("the place of its files")
        if _ZIP_END in self._read_before(start):
            raise self._joined()
        end = self._read_before(self.path.stat().st_size)
        at = end.rindex(_ZIP_END) + 10
        # Where the number needs more than two bytes, it may be elsewhere.
        if (count := int.from_bytes(end[at : at + 2], "little")) not in (0xFFFF, len(infos) & 0xFFFF):
            raise self._damaged(f"{len(infos):,} of {count:,} files in its table")

    def _read_before(self, end: int) -> bytes:
        """The bytes before a place in which the end of a ZIP can be."""
        start = max(0, end - _ZIP_END_BYTES)
        with self.path.open("rb") as file:
            file.seek(start)
            return file.read(end - start)

    def _read_members(self) -> Iterator[tuple[str, zipfile.ZipInfo]]:
        self._check_complete()
        left = _MOST_GROWTH * self.path.stat().st_size + _GROWTH_BYTES
        for info in self._zip.infolist():
            name, is_known = _decode_zip_name(info)
            if name.endswith("/"):
                continue
            if not is_known:
                self._guessed.append(name)
            if info.flag_bits & 0x1:
                raise DataError(f"{self.path} is encrypted; unpack it and give the folder")
            # Of the other ways, zipfile reads some, and then unpacks all that is there, whatever is declared.
            if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                raise DataError(f"{self.path} is compressed in an unusual way; unpack it and give the folder")
            kind = stat.S_IFMT(info.external_attr >> 16)
            if self._accept(info.file_size, kind in (0, stat.S_IFREG)):
                left -= info.file_size
                if left < 0:
                    raise DataError(f"{self.path}: its files grow without end; unpack it and give the folder")
                yield name, info


class _Tar(_Packed[tuple[int, int]]):
    """A TAR. A member is its place and its size in the (decompressed) file, in bytes."""

    def __init__(
        self, path: Path, open_stream: Callable[[IO[bytes]], IO[bytes]] | None, on_count: OnCount | None
    ) -> None:
        super().__init__(path)
        self._open_stream = open_stream
        self._on_count = on_count

    def read(self, path: str) -> bytes:
        """The contents of a file."""
        return self.head(path, self._members[path][1])

    def head(self, path: str, size: int) -> bytes:
        """The first `size` bytes of a file. Raises DataError if the archive ends before them."""
        start, length = self._members[path]
        wanted = min(size, length)
        data = os.pread(self._file.fileno(), wanted, start)
        if len(data) < wanted:
            raise DataError(f"{self.path} has no end: it was cut off; fetch it again")
        return data

    @cached_property
    def _file(self) -> IO[bytes]:
        try:
            file = self.path.open("rb")
            return file if self._open_stream is None else self._decompress(file, self._open_stream)
        except (*_READ_ERRORS, OSError) as error:
            raise self._damaged(error) from error

    def _decompress(self, packed: IO[bytes], open_stream: Callable[[IO[bytes]], IO[bytes]]) -> IO[bytes]:
        total = self.path.stat().st_size
        folder = cache_dir()
        folder.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(folder).free - _LEFT_FREE_BYTES
        limit = min(_MOST_GROWTH * total + _GROWTH_BYTES, free)
        unpacked = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115
        done = 0
        with packed, open_stream(packed) as stream:
            while chunk := stream.read(_CHUNK_BYTES):
                done += len(chunk)
                if done > limit:
                    unpacked.close()
                    reason = "there is no room to decompress it" if limit == free else "it grows without end"
                    raise DataError(f"{self.path}: {reason} (more than {limit:,} bytes); unpack it and give the folder")
                unpacked.write(chunk)
                if self._on_count:
                    self._on_count(f"decompressing {self.path.name}", packed.tell(), total)
        unpacked.flush()
        return unpacked

    def _read_members(self) -> Iterator[tuple[str, tuple[int, int]]]:
        self._file.seek(0)
        with tarfile.open(fileobj=self._file, mode="r:") as tar:
            for member in tar:
                if not member.isdir() and self._accept(member.size, member.isreg() and not member.issparse()):
                    yield member.name, (member.offset_data, member.size)
                # tarfile remembers every member.
                tar.members.clear()  # type: ignore[attr-defined]
            self._check_end(tar.offset)

    def _check_end(self, start: int) -> None:
        """Check that nothing but zeros follows the last member: tarfile stops without a word at a damaged header."""
        self._file.seek(start)
        block = self._file.read(_TAR_BLOCK)
        if len(block) < _TAR_BLOCK:
            raise DataError(f"{self.path} has no end: it was cut off; fetch it again")
        if any(block):
            raise self._damaged(f"the header of the file at byte {start:,}")
        while chunk := self._file.read(_CHUNK_BYTES):
            if any(chunk):
                raise self._joined()


def _clean(name: str) -> str | None:
    """A member's path with `/` between names; None if it leads out of the archive."""
    parts = [part for part in name.replace("\\", "/").split("/") if part not in ("", ".")]
    is_absolute = name.startswith(("/", "\\")) or (name[1:2] == ":" and name[:1].isalpha())
    return None if is_absolute or ".." in parts or "\0" in name or len(parts) > _MOST_FOLDERS else "/".join(parts)


def _decode_zip_name(info: zipfile.ZipInfo) -> tuple[str, bool]:
    """A name, and whether its encoding is known: else it is read in code page 437, the one of the first ZIPs.

    It is UTF-8 where the archive says so, where the bytes are, as those of macOS, and where a field has the name again.
    """
    # Of a name with a zero byte in it, zipfile's `filename` has what is before it, which may be that of a folder.
    name = info.orig_filename
    if info.flag_bits & 0x800:
        return name, True
    written = name.encode("cp437")
    try:
        return (_read_unicode_path(info.extra, written) or written).decode("utf-8"), True
    except UnicodeDecodeError:
        return name, False


def _read_unicode_path(fields: bytes, written: bytes) -> bytes:
    """The name in UTF-8 among the fields of a member; empty if there is none, or only one of an earlier name."""
    while len(fields) >= 4:
        kind, size = struct.unpack_from("<HH", fields)
        field, fields = fields[4 : 4 + size], fields[4 + size :]
        if kind == _UNICODE_PATH and field[:5] == b"\1" + zlib.crc32(written).to_bytes(4, "little"):
            return field[5:]
    return b""
