"""Images in ZIP and TAR archives: read in place, and safely."""

import bz2
import gzip
import io
import lzma
import stat
import struct
import tarfile
import tracemalloc
import zipfile
import zlib

import numpy as np
import pytest
from PIL import Image

from bakeoff.data.shards import prepare_cached, read_manifest
from bakeoff.data.sources import archives as archives_module
from bakeoff.data.sources import open_source
from bakeoff.errors import DataError
from bakeoff.runs.config import Data

CLASSES = ("cat", "dog")


def _png(value):
    file = io.BytesIO()
    Image.fromarray(np.full((8, 8, 3), value, np.uint8)).save(file, "PNG")
    return file.getvalue()


def _files(root="pets", images=4):
    """Contents by path, of a folder of two classes."""
    paths = [f"{root}/{name}/{index}.png" for name in CLASSES for index in range(images)]
    return {path: _png(10 * number) for number, path in enumerate(paths)}


def _write_zip(path, files):
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)


def _write_tar(path, files, mode="w"):
    with tarfile.open(path, mode) as archive:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))


def _write(path, files):
    if path.suffix == ".zip":
        _write_zip(path, files)
    else:
        _write_tar(path, files, "w:" + {".tar": "", ".tgz": "gz"}.get(path.suffix, path.suffix[1:]))


def _read(path):
    source = open_source(Data(source=str(path)))
    return source, {image.key: image for image in source.records()}


@pytest.mark.parametrize("name", ["p.zip", "p.tar", "p.tar.gz", "p.tgz", "p.tar.bz2", "p.tar.xz"])
def test_an_archive_gives_what_its_folder_gives(tmp_path, name):
    files = _files()
    _write(tmp_path / name, files)
    source, found = _read(tmp_path / name)
    assert (source.name, source.class_names) == ("p", CLASSES)
    assert {key: image.data for key, image in found.items()} == files
    assert {found[f"pets/{each}/0.png"].label for each in CLASSES} == {0, 1}
    assert [image.data for image in source.fetch(["pets/dog/1.png"])] == [files["pets/dog/1.png"]]


def test_it_is_what_its_contents_say(tmp_path):
    _write_zip(tmp_path / "p.zip", _files())
    (tmp_path / "p.zip").rename(tmp_path / "p.tar")
    assert len(_read(tmp_path / "p.tar")[1]) == 8


def test_prepared_archives_are_not_opened_again(tmp_path, monkeypatch):
    _write_zip(tmp_path / "p.zip", _files())
    data = Data(source=str(tmp_path / "p.zip"))
    folder = prepare_cached(data)
    assert sum(facts.count for facts in read_manifest(folder).splits.values()) == 8
    monkeypatch.setattr(zipfile, "ZipFile", None)
    assert prepare_cached(data) == folder


def test_another_archive_of_the_same_name_is_other_data(tmp_path):
    _write_zip(tmp_path / "p.zip", _files())
    before = open_source(Data(source=str(tmp_path / "p.zip"))).signature
    (tmp_path / "p.zip").rename(tmp_path / "old.zip")
    _write_zip(tmp_path / "p.zip", _files())
    assert open_source(Data(source=str(tmp_path / "p.zip"))).signature != before


@pytest.mark.parametrize("name", ["../out.png", "pets/../../out.png", "/pets/cat/root.png", "C:\\pets\\cat\\root.png"])
@pytest.mark.parametrize("suffix", [".zip", ".tar"])
def test_paths_that_lead_out_are_left_out_and_counted(tmp_path, name, suffix):
    _write(tmp_path / f"p{suffix}", {**_files(), name: _png(200)})
    source, found = _read(tmp_path / f"p{suffix}")
    assert len(found) == 8
    assert any("files whose paths lead out of the archive, or are too deep: 1" in note for note in source.notes)


def test_links_and_devices_are_left_out_and_counted(tmp_path):
    _write_tar(tmp_path / "p.tar", _files())
    with tarfile.open(tmp_path / "p.tar", "a") as archive:
        for kind, name in ((tarfile.SYMTYPE, "link"), (tarfile.LNKTYPE, "hard"), (tarfile.FIFOTYPE, "pipe")):
            member = tarfile.TarInfo(f"pets/cat/{name}.png")
            member.type, member.linkname = kind, "/etc/passwd"
            archive.addfile(member)
    _write_zip(tmp_path / "p.zip", _files())
    with zipfile.ZipFile(tmp_path / "p.zip", "a") as archive:
        info = zipfile.ZipInfo("pets/cat/link.png")
        info.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(info, "/etc/passwd")
    for name, count in (("p.tar", 3), ("p.zip", 1)):
        source, found = _read(tmp_path / name)
        assert len(found) == 8
        assert any(f"links and special files: {count}" in note for note in source.notes)


@pytest.mark.parametrize("name", ["p.zip", "p.tar"])
def test_files_beyond_the_limit_are_left_out_and_counted(tmp_path, name, monkeypatch):
    monkeypatch.setattr(archives_module, "_FILE_LIMIT_BYTES", 1 << 20)
    _write(tmp_path / name, {**_files(), "pets/cat/big.png": bytes((1 << 20) + 1)})
    source, found = _read(tmp_path / name)
    assert len(found) == 8
    assert any("files of more than 1 MiB: 1" in note for note in source.notes)


def test_a_tar_that_grows_without_end_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(archives_module, "_GROWTH_BYTES", 1 << 20)
    _write(tmp_path / "p.tgz", {"pets/cat/zeros.bin": bytes(1 << 25)})
    with pytest.raises(DataError, match="grows without end"):
        _read(tmp_path / "p.tgz")


@pytest.mark.parametrize("name", ["p.zip", "p.tar", "p.tgz", "p.tar.xz"])
@pytest.mark.parametrize("share", [0.1, 0.4, 0.7])
def test_a_truncated_archive_is_refused(tmp_path, name, share):
    _write(tmp_path / name, _files())
    data = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(data[: int(share * len(data))])
    with pytest.raises(DataError, match=r"damaged|has no end|has one class only|fewer than|not a ZIP"):
        list(_read(tmp_path / name)[1])


def _pack(path):
    """The bytes of an uncompressed TAR, packed as a file of that name has them."""
    return {".gz": gzip.compress, ".bz2": bz2.compress, ".xz": lzma.compress}.get(path.suffix, bytes)


@pytest.mark.parametrize("name", ["p.tar", "p.tar.gz"])
@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_a_tar_with_a_damaged_header_is_refused(tmp_path, name, form):
    path = tmp_path / "whole.tar"
    with tarfile.open(path, "w", format=form) as archive:
        for inner, data in _files(root="p" * 120).items():
            member = tarfile.TarInfo(inner)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    whole = path.read_bytes()
    with tarfile.open(path) as archive:
        at = archive.getmembers()[5].offset_data - tarfile.BLOCKSIZE
    packed = tmp_path / name
    packed.write_bytes(_pack(packed)(whole[: at + 8] + bytes([whole[at + 8] ^ 1]) + whole[at + 9 :]))
    with pytest.raises(DataError, match="is damaged"):
        _read(packed)
    packed.write_bytes(_pack(packed)(whole))
    assert len(_read(packed)[1]) == 8


@pytest.mark.parametrize("end", [512, 1024, 10_240, 3 << 20])
def test_a_tar_may_end_with_any_number_of_zeros(tmp_path, end):
    _write_tar(tmp_path / "p.tar", _files())
    (tmp_path / "p.tar").write_bytes((tmp_path / "p.tar").read_bytes().rstrip(b"\0") + bytes(512 + end))
    size = (tmp_path / "p.tar").stat().st_size
    with (tmp_path / "p.tar").open("r+b") as file:
        file.truncate(size - size % 512)
    assert len(_read(tmp_path / "p.tar")[1]) == 8


def test_a_tar_that_is_cut_off_between_two_files_is_refused(tmp_path):
    _write_tar(tmp_path / "p.tar", {**_files(), "pets/last": bytes(512)})
    with tarfile.open(tmp_path / "p.tar") as archive:
        ends = [member.offset_data + 512 for member in archive.getmembers()[-2:]]
    whole = (tmp_path / "p.tar").read_bytes()
    for end in (*ends, ends[0] + 100):
        (tmp_path / "p.tar").write_bytes(whole[:end])
        with pytest.raises(DataError, match="has no end: it was cut off"):
            _read(tmp_path / "p.tar")


@pytest.mark.parametrize("name", ["p.zip", "p.tar", "p.tar.gz", "p.tar.bz2", "p.tar.xz"])
def test_joined_archives_are_refused(tmp_path, name):
    parts = []
    for root in ("one", "two"):
        _write(tmp_path / name, _files(root))
        parts.append((tmp_path / name).read_bytes())
    (tmp_path / name).write_bytes(b"".join(parts))
    with pytest.raises(DataError, match="is several archives in one file"):
        _read(tmp_path / name)


@pytest.mark.parametrize(
    ("place", "value"), [(-12, 9), (-6, 0xFF)], ids=["fewer files than it says", "a table elsewhere"]
)
def test_a_zip_whose_end_is_wrong_is_refused(tmp_path, place, value):
    _write_zip(tmp_path / "p.zip", _files())
    data = bytearray((tmp_path / "p.zip").read_bytes())
    data[place] = value
    (tmp_path / "p.zip").write_bytes(data)
    with pytest.raises(DataError, match=r"p\.zip is damaged \(.*\); fetch it again"):
        _read(tmp_path / "p.zip")


@pytest.mark.parametrize("name", ["p.zip", "p.tar"])
def test_files_without_a_name_are_left_out_and_counted(tmp_path, name):
    _write(tmp_path / name, {**_files(), ".": _png(200)})
    source, found = _read(tmp_path / name)
    assert len(found) == 8
    assert any("files without a name: 1" in note for note in source.notes)


@pytest.mark.parametrize("at", [0, len("pets/")])
def test_a_file_with_a_zero_in_its_name_is_left_out_and_counted(tmp_path, at):
    _write_zip(tmp_path / "p.zip", _files())
    data = (tmp_path / "p.zip").read_bytes()
    at += data.rindex(b"pets")
    (tmp_path / "p.zip").write_bytes(data[:at] + b"\0" + data[at + 1 :])
    source, found = _read(tmp_path / "p.zip")
    assert len(found) == 7
    assert any("lead out of the archive, or are too deep: 1" in note for note in source.notes)


def test_a_zip_behind_a_program_that_unpacks_it_is_read(tmp_path):
    _write_zip(tmp_path / "p.zip", _files())
    (tmp_path / "p.zip").write_bytes(b"MZ" + bytes(100_000) + (tmp_path / "p.zip").read_bytes())
    assert len(_read(tmp_path / "p.zip")[1]) == 8


def test_a_name_that_is_not_in_utf_8_as_it_says_is_refused(tmp_path):
    name = "pets/dog/\u00e9.png"
    _write_zip(tmp_path / "p.zip", {**_files(), name: _png(200)})
    before, local, table = (tmp_path / "p.zip").read_bytes().split(name.encode())
    wrong = name.encode("latin-1") + b"\xff"
    # In the table of the archive, and in front of the file alone.
    (tmp_path / "p.zip").write_bytes(before + name.encode() + local + wrong + table)
    with pytest.raises(DataError, match="says that a name is in UTF-8, which it is not; unpack it"):
        _read(tmp_path / "p.zip")
    (tmp_path / "p.zip").write_bytes(before + wrong + local + name.encode() + table)
    assert "damaged in p.zip" in _read(tmp_path / "p.zip")[1][name].reason


@pytest.mark.parametrize("way", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA, 9], ids=["bzip2", "lzma", "deflate64"])
def test_a_zip_compressed_in_an_unusual_way_is_refused_before_it_is_unpacked(tmp_path, way):
    _write_zip(tmp_path / "p.zip", _files())
    data = bytearray((tmp_path / "p.zip").read_bytes())
    place = data.rindex(b"PK\x01\x02")
    data[place + 10] = way
    (tmp_path / "p.zip").write_bytes(data)
    with pytest.raises(DataError, match=r"p\.zip is compressed in an unusual way; unpack it"):
        _read(tmp_path / "p.zip")


def test_no_more_of_a_file_in_a_zip_is_unpacked_than_it_declares(tmp_path):
    size = 64 << 20
    with zipfile.ZipFile(tmp_path / "p.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a/1.png", bytes(size))
    data = (tmp_path / "p.zip").read_bytes().replace(size.to_bytes(4, "little"), (1000).to_bytes(4, "little"))
    (tmp_path / "p.zip").write_bytes(data)
    tracemalloc.start()
    try:
        with pytest.raises(DataError, match=r"damaged in p\.zip"):
            archives_module.open_archive(tmp_path / "p.zip").read("a/1.png")
        assert tracemalloc.get_traced_memory()[1] < 8 << 20
    finally:
        tracemalloc.stop()


def test_a_zip_that_grows_without_end_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(archives_module, "_GROWTH_BYTES", 0)
    files = _files()
    with zipfile.ZipFile(tmp_path / "p.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
        archive.writestr("pets/zeros.bin", bytes(1 << 20))
    with pytest.raises(DataError, match=r"p\.zip: its files grow without end"):
        _read(tmp_path / "p.zip")


def test_an_encrypted_archive_is_refused(tmp_path):
    _write_zip(tmp_path / "p.zip", _files())
    data = bytearray((tmp_path / "p.zip").read_bytes())
    start = data.index(b"PK\x01\x02")
    data[start + 8] |= 1
    (tmp_path / "p.zip").write_bytes(data)
    with pytest.raises(DataError, match="is encrypted; unpack it"):
        _read(tmp_path / "p.zip")


def test_what_macos_and_windows_put_into_archives_is_read(tmp_path):
    files = {f"pets/{name}/{index}.png": _png(10 * index) for name in ("ca\u0301t", "dog") for index in range(3)}
    files |= {f"pets\\emu\\{index}.png": _png(90 + index) for index in range(3)}
    _write_zip(tmp_path / "p.zip", {**files, **{f"__MACOSX/{name}": b"x" for name in files}})
    # Names in UTF-8 without the flag that says so.
    data = (tmp_path / "p.zip").read_bytes()
    for header, place in ((b"PK\x03\x04", 7), (b"PK\x01\x02", 9)):
        parts = data.split(header)
        at = place - len(header)
        data = header.join([parts[0], *(part[:at] + bytes([part[at] & 0xF7]) + part[at + 1 :] for part in parts[1:])])
    (tmp_path / "p.zip").write_bytes(data)
    source, found = _read(tmp_path / "p.zip")
    assert source.class_names == ("c\u00e1t", "dog", "emu")
    assert len(found) == 9


class _Named(zipfile.ZipInfo):
    """A file whose name is stored in some encoding, which the archive does not say."""

    stored = b""

    def _encodeFilenameFlags(self):  # noqa: N802 - of zipfile
        return self.stored, self.flag_bits


@pytest.mark.parametrize("again", ["utf-8", "of an earlier name", "none"])
def test_names_in_an_encoding_that_a_zip_does_not_say_are_told_unless_they_are_there_again(tmp_path, again):
    with zipfile.ZipFile(tmp_path / "p.zip", "w") as archive:
        for name, data in _files(root="\u72d7").items():
            info = _Named(name)
            info.stored = name.encode("gbk")
            number = zlib.crc32(info.stored) - (again != "utf-8")
            unicode_path = struct.pack("<BI", 1, number) + name.encode()
            if again != "none":
                info.extra = struct.pack("<HHBHH", 0x9999, 1, 0, 0x7075, len(unicode_path)) + unicode_path
            archive.writestr(info, data)
    source, found = _read(tmp_path / "p.zip")
    is_there = again == "utf-8"
    assert ("\u72d7/cat/0.png" in found) == is_there
    assert len(found) == 8
    told = "names in p.zip that are not in UTF-8, read in code page 437: 8, such as \u2563\u2556/cat/0.png; if"
    assert any(told in note for note in source.notes) != is_there


def test_a_file_that_is_no_archive_is_refused(tmp_path):
    (tmp_path / "p.zip").write_bytes(b"<html>404</html>")
    with pytest.raises(DataError, match="is not a ZIP or TAR archive"):
        _read(tmp_path / "p.zip")
    (tmp_path / "p.rar").write_bytes(b"Rar!")
    with pytest.raises(DataError, match=r"p\.rar is a file; give a folder of class folders, an archive"):
        _read(tmp_path / "p.rar")
