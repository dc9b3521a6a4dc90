"""Images that get another label by `--relabel`: what changes, what stays, and lists that are refused."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bakeoff.data.checks import SuspiciousLabel, format_suspicious, read_edits, read_excluded, read_relabelled
from bakeoff.data.shards import Dataset, Edits, open_dataset, prepare, read_blocks
from bakeoff.data.sources import open_source
from bakeoff.errors import DataError
from bakeoff.runs.config import Data
from running import run_cli
from test_shards import Invented

COUNT = 20


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Noise of two classes, whose splits are drawn."""
    home, rng = tmp_path_factory.mktemp("relabel") / "pets", np.random.default_rng(0)
    for name in ("cat", "dog"):
        (home / name).mkdir(parents=True)
        for number in range(COUNT):
            Image.fromarray(rng.integers(0, 256, (12, 12, 3), np.uint8)).save(home / name / f"{number:02d}.png")
    return home


def open_with(folder: Path, out: Path, relabelled: dict[str, str]) -> Dataset:
    prepare(open_source(Data(source=str(folder))), out, edits=Edits(relabelled=relabelled))
    return open_dataset(out)


def list_images(dataset: Dataset) -> dict[str, tuple[str, str]]:
    """The split and the class of each image."""
    return {
        key: (split, dataset.class_names[label])
        for split in ("train", "val", "test")
        for block in read_blocks(dataset, split, unlock=True)
        for key, label in zip(block.ids, block.labels, strict=True)
    }


def test_an_image_gets_the_suggested_label_and_nothing_else_changes(folder: Path, tmp_path: Path) -> None:
    before = open_with(folder, tmp_path / "before", {})
    after = open_with(folder, tmp_path / "after", {"cat/03.png": "dog"})
    was, now = list_images(before), list_images(after)
    assert now == was | {"cat/03.png": (was["cat/03.png"][0], "dog")}
    assert after.counts == before.counts
    (changed,) = after.manifest.relabelled
    assert (changed.key, changed.given, changed.label) == ("cat/03.png", "cat", "dog")
    assert before.manifest.relabelled == ()
    assert "images with another label than the data give: 1" in " ".join(after.notes)


def test_other_labels_are_other_data_with_the_same_pixels(folder: Path, tmp_path: Path) -> None:
    before = open_with(folder, tmp_path / "before", {})
    after = open_with(folder, tmp_path / "after", {"cat/03.png": "dog"})
    assert after.fingerprint != before.fingerprint
    assert after.decoded_key != before.decoded_key
    assert after.manifest.given_fingerprint == before.manifest.fingerprint
    assert after.pixels_key == before.pixels_key == before.decoded_key


def test_a_label_that_an_image_has_already_changes_nothing(folder: Path, tmp_path: Path) -> None:
    before = open_with(folder, tmp_path / "before", {})
    after = open_with(folder, tmp_path / "after", {"cat/03.png": "cat"})
    assert after.fingerprint == before.fingerprint
    assert (after.manifest.relabelled, after.manifest.given_fingerprint) == ((), "")


def test_a_relabelled_test_image_is_told(folder: Path, tmp_path: Path) -> None:
    images = list_images(open_with(folder, tmp_path / "before", {}))
    key = next(key for key, place in images.items() if place == ("test", "cat"))
    after = open_with(folder, tmp_path / "after", {key: "dog"})
    (note,) = (note for note in after.notes if "another label" in note)
    assert note.endswith("1, 1 of them in test, whose scores count the new labels")


def test_the_superclass_follows_the_class(tmp_path: Path) -> None:
    source = Invented()
    names, key = source.class_names, "é0"
    assert source.images[key].label == 0
    prepare(source, tmp_path / "shards", edits=Edits(relabelled={key: names[3]}))
    coarse = list_images(open_dataset(tmp_path / "shards", "coarse"))
    assert coarse[key][1] == "other"


@pytest.mark.parametrize("form", ["cat\\03.png", " cat/03.png"])
def test_an_image_is_relabelled_in_whatever_form_its_id_is_listed(folder: Path, tmp_path: Path, form: str) -> None:
    after = open_with(folder, tmp_path / "after", {form: "dog"})
    assert [changed.key for changed in after.manifest.relabelled] == ["cat/03.png"]


BAD = {
    "no such image": ("id,suggested\ncat/99.png,dog\ncat/03.png,dog\n", "pets has no image for 1 of its 2 ids"),
    "no such class": ("id,suggested\ncat/03.png,dgo\n", "pets has no class 'dgo', which is to be the label of cat/03"),
    "no column suggested": ("id,label\ncat/03.png,dog\n", "has no column suggested; give the suspicious_labels.csv"),
    "no column id": ("image,suggested\ncat/03.png,dog\n", "has no column id; give the CSV that"),
    "empty file": ("", "has no column id"),
    "no suggestion": ("id,suggested,split\ncat/03.png,,train\n", "suggests no label for cat/03.png; fill it in"),
    "no id": ("id,suggested\n,dog\n", "suggests 'dog' for an image without an id"),
    "two suggestions": (
        "id,suggested\ncat/03.png,dog\ncat/03.png,cat\n",
        "suggests two labels for cat/03.png, dog and",
    ),
}


@pytest.mark.parametrize("fault", BAD)
def test_a_bad_list_is_refused_in_one_line(folder: Path, tmp_path: Path, fault: str) -> None:
    text, message = BAD[fault]
    path = tmp_path / "list.csv"
    path.write_text(text)
    done = run_cli("data", "prepare", folder, "--relabel", path, "--out", tmp_path / "shards")
    assert done.returncode == 2
    assert message in " ".join(done.stderr.split())
    assert len(done.stderr.strip().splitlines()) == 1
    assert not (tmp_path / "shards").exists()


def test_a_superclass_is_no_label(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="it is a superclass: run `bakeoff data check` without --classes coarse"):
        prepare(Invented(), tmp_path / "shards", edits=Edits(relabelled={"é0": "living"}))


def test_an_image_in_both_lists_is_refused(folder: Path, tmp_path: Path) -> None:
    found = [SuspiciousLabel("cat/03.png", "cat", "dog", 0.9, "train")]
    (tmp_path / "list.csv").write_text(format_suspicious(found))
    options = ("--exclude", tmp_path / "list.csv", "--relabel", tmp_path / "list.csv")
    done = run_cli("data", "prepare", folder, *options, "--out", tmp_path / "shards")
    assert done.returncode == 2
    assert "1 image in both --exclude" in " ".join(done.stderr.split())


def test_a_list_without_rows_changes_nothing_and_is_told(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "list.csv").write_text(format_suspicious([]))
    done = run_cli("data", "prepare", folder, "--relabel", tmp_path / "list.csv", "--out", tmp_path / "shards")
    assert done.returncode == 0
    assert "changes nothing: it lists no images" in " ".join(done.stderr.split())


def test_the_list_of_a_check_goes_to_either_option(tmp_path: Path) -> None:
    found = [
        SuspiciousLabel("=cmd.png", "cat", "-wild dog", 0.91239, "train"),
        SuspiciousLabel("a,b;c.png", "new\nline", "café", 0.5, "test"),
    ]
    path = tmp_path / "suspicious_labels.csv"
    path.write_text(format_suspicious(found))
    assert path.read_text().splitlines()[:2] == [
        "id,label,suggested,confidence,split",
        "'=cmd.png,cat,'-wild dog,0.9124,train",
    ]
    assert read_relabelled(path) == {"=cmd.png": "-wild dog", "a,b;c.png": "café"}
    assert read_excluded(path) == {"=cmd.png": "suspicious label", "a,b;c.png": "suspicious label"}
    assert read_edits(Data(relabel=str(path))) == Edits({}, {"=cmd.png": "-wild dog", "a,b;c.png": "café"})
