import io
import os
import sys
import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bakeoff.data.sources import BadImage, RawImage, Source, download, open_source
from bakeoff.data.sources.cifar import CIFARS
from bakeoff.errors import DataError
from bakeoff.runs.config import Data
from stand_in import serve

FINE = [f"fine_{label}" for label in range(6)]
COARSE = ["big", "small"]


@pytest.fixture(autouse=True)
def _no_cache_and_no_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BAKEOFF_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.delenv("BAKEOFF_DATA_DIR", raising=False)

    def refuse(url: str, timeout: float) -> None:
        raise OSError(f"no network in tests: {url} {timeout}")

    monkeypatch.setattr("urllib.request.urlopen", refuse)


def records(rows: list[tuple[int, ...]]) -> bytes:
    """CIFAR records whose red, green and blue planes are 10, 20 and 30 times their row's number."""
    planes = [
        bytes([10 * n % 256]) * 1024 + bytes([20 * n % 256]) * 1024 + bytes([30 * n % 256]) * 1024
        for n in range(len(rows))
    ]
    return b"".join(bytes(labels) + plane for labels, plane in zip(rows, planes, strict=True))


def members100() -> dict[str, bytes]:
    rows = [(label % 2, label) for label in range(6)] * 4
    return {
        "train.bin": records(rows),
        "test.bin": records(rows[:12]),
        "fine_label_names.txt": "\n".join(FINE).encode() + b"\n",
        "coarse_label_names.txt": "\n".join(COARSE).encode() + b"\n",
    }


def pack(folder: Path, members: dict[str, bytes], name: str = "cifar-100-binary") -> Path:
    path = folder / f"{name}.tar.gz"
    with tarfile.open(path, "w:gz") as tar:
        for member, data in members.items():
            info = tarfile.TarInfo(f"{name}/{member}")
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return path


def write_image(path: Path, colour: str = "red", size: tuple[int, int] = (20, 12)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, colour).save(path)


def read_all(source: Source) -> tuple[list[RawImage], list[BadImage]]:
    found = list(source.records())
    return [r for r in found if isinstance(r, RawImage)], [r for r in found if isinstance(r, BadImage)]


# CIFAR


def test_cifar100_gives_both_labels_and_pixels_channel_last(tmp_path: Path) -> None:
    pack(tmp_path, members100())
    source = open_source(Data(source="cifar100"), tmp_path)
    images, bad = read_all(source)
    assert (source.count, len(images), bad) == (36, 36, [])
    assert source.class_names == tuple(FINE)
    assert source.coarse_names == tuple(COARSE)
    assert source.coarse_of == (0, 1, 0, 1, 0, 1)
    assert (images[5].label, images[5].coarse_label, images[5].split, images[5].key) == (5, 1, "train", "train/00005")
    pixels = np.frombuffer(images[5].data, np.uint8).reshape(*images[5].shape, 3)
    assert pixels[3, 7].tolist() == [50, 100, 150]
    assert images[-1].split == "test"


def test_cifar10_has_one_label_and_five_batches(tmp_path: Path) -> None:
    rows = [(label,) for label in range(6)]
    members = {name: records(rows) for name in (*CIFARS["cifar10"].train, "test_batch.bin")}
    members["batches.meta.txt"] = "\n".join(FINE).encode() + b"\n\n"
    pack(tmp_path, members, "cifar-10-binary")
    source = open_source(Data(source="cifar10"), tmp_path)
    images, _ = read_all(source)
    assert len(images) == 36
    assert (source.class_names, source.coarse_names, images[3].coarse_label) == (tuple(FINE), None, None)


def test_fetching_gives_the_records_again_in_the_order_asked(tmp_path: Path) -> None:
    pack(tmp_path, members100())
    source = open_source(Data(source="cifar100"), tmp_path)
    images, _ = read_all(source)
    assert list(source.fetch([images[30].key, images[2].key])) == [images[30], images[2]]


def test_an_archive_that_is_not_the_published_one_is_used_and_says_so(tmp_path: Path) -> None:
    pack(tmp_path, members100())
    (note,) = open_source(Data(source="cifar100"), tmp_path).notes
    assert CIFARS["cifar100"].md5 in note


def test_the_archive_is_found_through_the_environment_and_the_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for folder in ("env", "cache/downloads"):
        (tmp_path / folder).mkdir(parents=True)
    pack(tmp_path / "cache/downloads", members100())
    cached = open_source(Data(source="cifar100")).signature
    pack(tmp_path / "env", members100())
    monkeypatch.setenv("BAKEOFF_DATA_DIR", str(tmp_path / "env"))
    assert open_source(Data(source="cifar100")).signature != cached


def test_opening_an_archive_does_not_unpack_it(tmp_path: Path) -> None:
    (tmp_path / "cifar-100-binary.tar.gz").write_bytes(b"not an archive at all")
    source = open_source(Data(source="cifar100"), tmp_path)
    assert source.signature
    with pytest.raises(DataError, match=r"cifar-100-binary\.tar\.gz is not a usable"):
        _ = source.class_names


@pytest.mark.parametrize(
    ("member", "data", "reason"),
    [
        ("train.bin", b"x" * 3075, "not a multiple of 3074"),
        ("train.bin", b"", "0 bytes"),
        ("train.bin", records([(0, 6)]), "label 6, but there are 6 names"),
        ("test.bin", records([(2, 0)]), "label 2, but there are 2 names"),
        ("test.bin", records([(1, 0)]), "several superclasses"),
        ("fine_label_names.txt", b"one\none\n", "1 different name in 2 lines"),
    ],
)
def test_wrong_contents_are_a_data_error_that_names_the_file(
    tmp_path: Path, member: str, data: bytes, reason: str
) -> None:
    path = pack(tmp_path, members100() | {member: data})
    with pytest.raises(DataError, match=reason) as caught:
        read_all(open_source(Data(source="cifar100"), tmp_path))
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_class_without_images_is_a_data_error(tmp_path: Path) -> None:
    names = "\n".join([*FINE, "unseen"]).encode()
    pack(tmp_path, members100() | {"fine_label_names.txt": names})
    with pytest.raises(DataError, match="no image of class unseen"):
        read_all(open_source(Data(source="cifar100"), tmp_path))


def test_a_truncated_archive_is_a_data_error(tmp_path: Path) -> None:
    path = pack(tmp_path, members100())
    path.write_bytes(path.read_bytes()[:-60])
    with pytest.raises(DataError, match="fetch it again"):
        read_all(open_source(Data(source="cifar100"), tmp_path))


def test_a_missing_member_is_named(tmp_path: Path) -> None:
    members = members100()
    del members["test.bin"]
    pack(tmp_path, members)
    with pytest.raises(DataError, match=r"holds no test\.bin \(the binary version"):
        read_all(open_source(Data(source="cifar100"), tmp_path))


def test_links_in_an_archive_are_not_followed_and_nothing_is_extracted(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(records([(0, 0)]))
    members = members100()
    del members["test.bin"]
    path = tmp_path / "cifar-100-binary.tar.gz"
    with tarfile.open(path, "w:gz") as tar:
        for member, data in members.items():
            info = tarfile.TarInfo(f"../../{member}")
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
        link = tarfile.TarInfo("cifar-100-binary/test.bin")
        link.type, link.linkname = tarfile.SYMTYPE, str(secret)
        tar.addfile(link)
    with pytest.raises(DataError, match=r"holds no test\.bin"):
        read_all(open_source(Data(source="cifar100"), tmp_path))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["cifar-100-binary.tar.gz", "secret"]


def test_without_a_network_the_error_says_where_to_put_the_file(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="--data-dir") as caught:
        open_source(Data(source="cifar100"))
    assert CIFARS["cifar100"].url in str(caught.value)
    assert not list((tmp_path / "cache").rglob("*.tar.gz"))


def test_an_archive_that_takes_the_place_of_one_of_equal_size_and_time_is_other_data(tmp_path: Path) -> None:
    pack(tmp_path, members100())
    (path,) = tmp_path.iterdir()
    os.utime(path, (1, 1))
    before = open_source(Data(source="cifar100"), tmp_path).signature
    path.rename(tmp_path / "old")
    path.write_bytes((tmp_path / "old").read_bytes())
    os.utime(path, (1, 1))
    assert open_source(Data(source="cifar100"), tmp_path).signature != before


def test_a_download_is_checked_before_it_gets_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("http_proxy", raising=False)
    monkeypatch.delenv("BAKEOFF_OFFLINE")
    path = pack(tmp_path, members100())
    counts: list[tuple[str, int, int]] = []

    def find(md5: str) -> Path:
        url = f"{place.url}/{path.name}"
        return download.find_archive(path.name, url, md5, None, lambda *step: counts.append(step))

    with serve() as place:
        place.files[f"/{path.name}"] = path.read_bytes()
        with pytest.raises(DataError, match=r"cannot be downloaded \(.*hash differs\); fetch http.*--data-dir"):
            find("0" * 32)
        assert list((tmp_path / "cache" / "downloads").iterdir()) == []
        assert find(download.hash_md5(path)).read_bytes() == path.read_bytes()
    size = path.stat().st_size
    assert counts[-1] == (f"downloading {path.name}", size, size)


def test_offline_no_archive_is_downloaded() -> None:
    with pytest.raises(DataError, match=r"downloads are off; fetch https:.*cifar-10.* give its folder with --data-dir"):
        open_source(Data(source="cifar10"), None)


# digits


def test_digits_are_grey_squares_of_all_ten_classes() -> None:
    source = open_source(Data(source="digits"))
    images, bad = read_all(source)
    assert (len(images), bad) == (source.count, [])
    assert {image.label for image in images} == set(range(10))
    assert {image.split for image in images} == {None}
    pixels = np.stack([np.frombuffer(image.data, np.uint8).reshape(8, 8, 3) for image in images])
    assert pixels.max() == 255
    assert np.array_equal(pixels[..., 0], pixels[..., 2])


# folders


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("cat", "ant"):
        for index in range(3):
            write_image(tmp_path / "My Pets" / name / f"{index}.png")
    return tmp_path / "My Pets"


def test_a_folder_of_classes_is_read_in_sorted_order(folder: Path) -> None:
    source = open_source(Data(source=str(folder)))
    images, _ = read_all(source)
    assert source.name == "my-pets"
    assert source.class_names == ("ant", "cat")
    assert [image.key for image in images][:4] == ["ant/0.png", "ant/1.png", "ant/2.png", "cat/0.png"]
    assert (images[0].shape, images[0].encoded, images[3].label, images[3].split) == ((12, 20), True, 1, None)
    assert next(source.fetch(["cat/2.png"])).data == (folder / "cat" / "2.png").read_bytes()


def test_given_splits_are_kept(tmp_path: Path) -> None:
    for split in ("train", "valid", "test"):
        for name in ("a", "b"):
            for index in range(3):
                write_image(tmp_path / split / name / f"{index}.png")
    images, _ = read_all(open_source(Data(source=str(tmp_path))))
    assert [image.split for image in images].count("val") == 6
    assert {image.split for image in images} == {"train", "val", "test"}
    assert {image.label for image in images} == {0, 1}


def test_unreadable_images_are_named_with_a_reason_and_left_alone(folder: Path) -> None:
    (folder / "cat" / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0 broken")
    (folder / "cat" / "empty.png").touch()
    (folder / "cat" / "gone.png").symlink_to(folder / "nowhere.png")
    images, bad = read_all(open_source(Data(source=str(folder))))
    assert len(images) == 6
    assert [image.key for image in bad] == ["cat/broken.jpg", "cat/empty.png", "cat/gone.png"]
    assert all(image.reason for image in bad)
    assert (folder / "cat" / "empty.png").exists()


def test_hidden_files_are_skipped_and_foreign_ones_are_counted(folder: Path) -> None:
    (folder / ".git").mkdir()
    (folder / "cat" / ".thumbs.png").touch()
    (folder / "cat" / "readme.txt").touch()
    source = open_source(Data(source=str(folder)))
    assert source.count == 6
    (note,) = source.notes
    assert ".txt files: 1, such as cat/readme.txt" in note
    assert "hidden files and files of systems: 1, such as cat/.thumbs.png" in note


def test_images_that_are_converted_are_counted(folder: Path) -> None:
    deep = np.full((8, 8), 4000, np.uint16)
    deep[0, 0] = 0
    for name in ("x", "y"):
        Image.fromarray(deep).save(folder / "cat" / f"{name}.png")
    source = open_source(Data(source=str(folder)))
    for _ in range(2):
        read_all(source)
        assert source.notes == ("16-bit images scaled as 12 bits, by the range of their values: 2, such as cat/x.png",)


@pytest.mark.parametrize(
    ("name", "expected"),
    [("猫と犬", "猫と犬"), ("बिल्ली!", "बिल्ली"), ("!?", "images"), ("n" * 200, "n" * 50)],
    ids=range(4),
)
def test_data_are_called_like_their_folder_as_files_can_be(tmp_path: Path, name: str, expected: str) -> None:
    for label in ("cat", "dog"):
        for number in range(3):
            write_image(tmp_path / name / label / f"{number}.png")
    assert open_source(Data(source=str(tmp_path / name))).name == expected


def test_links_are_followed_but_not_in_circles(folder: Path, tmp_path: Path) -> None:
    write_image(tmp_path / "elsewhere" / "0.png")
    (folder / "cat" / "more").symlink_to(tmp_path / "elsewhere")
    (folder / "cat" / "loop").symlink_to(folder)
    (folder / "cat" / "up").symlink_to(tmp_path)
    images, _ = read_all(open_source(Data(source=str(folder))))
    assert [image.key for image in images if "/" in image.key[4:]] == ["cat/more/0.png"]


def test_the_signature_changes_with_the_files(folder: Path) -> None:
    before = open_source(Data(source=str(folder))).signature
    assert open_source(Data(source=str(folder))).signature == before
    write_image(folder / "cat" / "0.png", "blue", (40, 40))
    changed = open_source(Data(source=str(folder))).signature
    write_image(folder / "cat" / "new.png")
    assert len({before, changed, open_source(Data(source=str(folder))).signature}) == 3


@pytest.mark.skipif(sys.platform == "darwin", reason="its file names are always UTF-8")
def test_names_that_are_not_utf8_still_work(folder: Path) -> None:
    odd = os.fsencode(folder / "cat") + b"/caf\xe9.png"
    (folder / "cat" / "0.png").rename(os.fsdecode(odd))
    images, bad = read_all(open_source(Data(source=str(folder))))
    assert (len(images), bad) == (6, [])
    assert "cat/caf\\xe9.png" in [image.key for image in images]


def test_a_file_that_vanishes_between_the_passes_is_a_data_error(folder: Path) -> None:
    source = open_source(Data(source=str(folder)))
    (folder / "cat" / "0.png").unlink()
    with pytest.raises(DataError, match="was removed in the meantime"):
        list(source.fetch(["cat/0.png"]))


def test_an_unknown_name_gets_the_closest_name_as_a_hint() -> None:
    with pytest.raises(DataError, match="did you mean cifar100"):
        open_source(Data(source="cifar1000"))
    with pytest.raises(DataError, match="give cifar100, cifar10, digits or the path"):
        open_source(Data(source="/no/such/place"))


def test_a_home_folder_that_is_not_known_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="there is no data or folder called '~nosuch'"):
        open_source(Data(source="~nosuch"))
    (tmp_path / "labels.csv").write_text("image,label\n1.png,cat\n2.png,dog\n")
    with pytest.raises(DataError, match="--image-folder ~nosuch/photos is no folder and no archive"):
        open_source(Data(source=str(tmp_path / "labels.csv"), image_folder="~nosuch/photos"))


def test_a_file_is_not_a_folder(tmp_path: Path) -> None:
    write_image(tmp_path / "x.png")
    with pytest.raises(DataError, match="is a file"):
        open_source(Data(source=str(tmp_path / "x.png")))
    with pytest.raises(DataError, match="--data-dir"):
        open_source(Data(source="digits"), tmp_path / "x.png")


def test_unusable_folders_are_errors_with_the_reason(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds no images"):
        open_source(Data(source=str(tmp_path)))
    write_image(tmp_path / "flat.png")
    with pytest.raises(DataError, match="no class folders"):
        open_source(Data(source=str(tmp_path)))
    for index in range(3):
        write_image(tmp_path / "cat" / f"{index}.png")
    with pytest.raises(DataError, match="one class only, cat"):
        open_source(Data(source=str(tmp_path)))
    write_image(tmp_path / "dog" / "0.png")
    with pytest.raises(DataError, match=r"class dog in .* has fewer than 3 images \(1\)"):
        open_source(Data(source=str(tmp_path)))


def test_a_class_that_is_only_tested_is_a_data_error(tmp_path: Path) -> None:
    for place in ("train/a", "train/b", "test/a", "test/c"):
        for index in range(3):
            write_image(tmp_path / place / f"{index}.png")
    with pytest.raises(DataError, match=r"class c in .* has no images to train on"):
        open_source(Data(source=str(tmp_path)))
