"""The checks of the data, on data with known faults."""

import csv
import json

import numpy as np
import pytest
from PIL import Image

from bakeoff.data.checks import (
    FindingKind,
    examine,
    find_leaks,
    find_near_duplicates,
    have_near_duplicates,
    load_all,
    read_excluded,
    write_findings,
)
from bakeoff.data.contact_sheet import draw_pairs
from bakeoff.data.shards import open_dataset, prepare, read_manifest
from bakeoff.data.sources import open_source
from bakeoff.errors import DataError
from bakeoff.runs.config import Data


def _photographs(count, side=32, seed=0):
    """Smooth random images: blurred noise, all different."""
    rng = np.random.default_rng(seed)
    coarse = rng.uniform(0, 255, (count, 4, 4, 3)).astype(np.uint8)
    return np.stack(
        [np.asarray(Image.fromarray(image).resize((side, side), Image.Resampling.BICUBIC)) for image in coarse]
    )


def test_different_images_are_not_near_duplicates():
    images = _photographs(400)
    assert find_near_duplicates(images[:200], images[200:]) == []


@pytest.mark.parametrize(
    "change",
    [
        lambda image: image,
        lambda image: image[:, ::-1],
        lambda image: np.pad(image[1:, 1:], ((0, 1), (0, 1), (0, 0)), mode="edge"),
        lambda image: (image * 0.8 + 20).astype(np.uint8),
        lambda image: (0.3 * image.mean(axis=2, keepdims=True) + 0.7 * image).astype(np.uint8),
        lambda image: np.clip(image + np.random.default_rng(0).normal(0, 2, image.shape), 0, 255).astype(np.uint8),
    ],
    ids=["same", "mirrored", "shifted", "darker", "paler", "noisy"],
)
def test_a_changed_copy_is_a_near_duplicate_of_its_original_alone(change):
    images = _photographs(60)
    copies = np.stack([np.ascontiguousarray(change(image)) for image in images[20:40]])
    pairs = find_near_duplicates(images, copies)
    assert {(pair.first, pair.second) for pair in pairs} == {(number + 20, number) for number in range(20)}


def test_images_with_a_near_duplicate_are_marked():
    images = _photographs(60)
    others = np.concatenate([images[3:4, :, ::-1], images[40:41], _photographs(20, seed=9)])
    assert np.flatnonzero(have_near_duplicates(images, others)).tolist() == [3, 40]
    assert have_near_duplicates(images[:0], others).tolist() == []


def test_images_of_one_colour_are_not_near_duplicates():
    flat = np.full((5, 32, 32, 3), 120, np.uint8)
    assert find_near_duplicates(flat, flat) == []


@pytest.fixture
def folder(tmp_path):
    """Two classes with a leak, a near-leak, a conflict, a duplicate, a grey and a blank image, and a torn file."""
    images, home = _photographs(120), tmp_path / "images"
    place = 0
    for split, count in (("train", 40), ("test", 10)):
        for name in ("cat", "dog"):
            (home / split / name).mkdir(parents=True)
            for number in range(count):
                Image.fromarray(images[place]).save(home / split / name / f"{number:02d}.png")
                place += 1

    def read(path):
        return np.asarray(Image.open(home / path))

    def write(path, pixels):
        Image.fromarray(np.ascontiguousarray(pixels)).save(home / path)

    write("train/cat/leak.png", read("test/cat/00.png"))
    write("train/cat/near.png", read("test/cat/01.png")[:, ::-1] // 2 + 60)
    write("train/cat/conflict.png", read("train/dog/03.png"))
    write("train/dog/twice.png", read("train/dog/04.png"))
    write("train/dog/blank.png", np.full((32, 32, 3), 7, np.uint8))
    write("train/dog/grey.png", np.repeat(read("train/dog/05.png")[..., :1], 3, axis=2))
    (home / "train" / "cat" / "torn.png").write_bytes((home / "train" / "cat" / "00.png").read_bytes()[:80])
    return home


def _prepared(folder, out, **options):
    prepare(open_source(Data(source=str(folder))), out, **options)
    return open_dataset(out)


def test_every_fault_is_found_and_named(folder, tmp_path):
    findings = examine(_prepared(folder, tmp_path / "shards"))
    found = {kind: [finding for finding in findings if finding.kind is kind] for kind in FindingKind}
    assert [finding.id for finding in found[FindingKind.UNREADABLE]] == ["train/cat/torn.png"]
    (leak,) = found[FindingKind.LEAK]
    assert (leak.id, leak.other_id) == ("train/cat/leak.png", "test/cat/00.png")
    (near,) = found[FindingKind.NEAR_LEAK]
    assert (near.id, near.other_id) == ("train/cat/near.png", "test/cat/01.png")
    assert near.similarity > 0.9
    (conflict,) = found[FindingKind.CONFLICT]
    assert {conflict.id, conflict.other_id} == {"train/cat/conflict.png", "train/dog/03.png"}
    (twice,) = found[FindingKind.DUPLICATE]
    assert {twice.id, twice.other_id} == {"train/dog/twice.png", "train/dog/04.png"}
    assert [finding.id for finding in found[FindingKind.CONSTANT]] == ["train/dog/blank.png"]
    assert [finding.id for finding in found[FindingKind.GREY]] == ["train/dog/grey.png"]
    assert not found[FindingKind.TINY_CLASS]
    assert not found[FindingKind.IMBALANCE]


def test_listed_images_are_excluded_and_the_manifest_has_the_reason(folder, tmp_path):
    before = _prepared(folder, tmp_path / "before")
    findings = examine(before)
    path = tmp_path / "findings.csv"
    write_findings(path, findings)
    excluded = read_excluded(path)
    assert "train/cat/leak.png" in excluded
    assert "train/dog/grey.png" not in excluded
    assert not any(key.startswith("test/") for key in excluded)
    after = _prepared(folder, tmp_path / "after", excluded=excluded)
    assert (
        after.counts["train"] + after.counts["val"] == before.counts["train"] + before.counts["val"] - len(excluded) + 1
    )
    reasons = {bad.key: bad.reason for bad in read_manifest(tmp_path / "after").quarantined}
    assert reasons["train/cat/leak.png"] == "excluded: same image in two splits"
    kinds = {finding.kind for finding in examine(after)}
    assert kinds <= {FindingKind.UNREADABLE, FindingKind.GREY}


def test_leaks_that_were_found_before_are_read_when_the_test_split_is_scored(folder, tmp_path):
    dataset = _prepared(folder, tmp_path / "shards")
    splits = load_all(dataset)
    before = find_leaks(dataset, splits["test"])
    assert before.tolist() == have_near_duplicates(splits["test"].images, splits["train"].images).tolist()
    examine(dataset)
    path = dataset.folder / "near-duplicates.json"
    assert find_leaks(dataset, splits["test"]).tolist() == before.tolist()
    path.write_text(json.dumps(splits["test"].ids[:3]))
    assert find_leaks(dataset, splits["test"]).sum() == 3
    path.write_text("[")
    assert find_leaks(dataset, splits["test"]).tolist() == before.tolist()


def test_images_whose_rows_were_deleted_are_not_excluded(folder, tmp_path):
    path = tmp_path / "findings.csv"
    write_findings(path, examine(_prepared(folder, tmp_path / "shards")))
    rows = list(csv.DictReader(path.open()))
    kept = [row for row in rows if row["kind"] != FindingKind.NEAR_LEAK.value]
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0].keys())
        writer.writeheader()
        writer.writerows(kept)
    assert "train/cat/near.png" not in read_excluded(path)


@pytest.mark.parametrize("content", [b"a,b\n1,2\n", b"\xff\xfe\x00"])
def test_a_file_that_is_no_list_of_findings_is_an_error(tmp_path, content):
    path = tmp_path / "list.csv"
    path.write_bytes(content)
    with pytest.raises(DataError, match="bakeoff data check"):
        read_excluded(path)


def test_tiny_and_imbalanced_classes_are_reported(tmp_path):
    images = _photographs(330)
    for name, count in (("many", 300), ("few", 12)):
        (tmp_path / "data" / name).mkdir(parents=True)
        for number in range(count):
            Image.fromarray(images[number + (0 if name == "many" else 305)]).save(
                tmp_path / "data" / name / f"{number}.png"
            )
    findings = examine(_prepared(tmp_path / "data", tmp_path / "shards"), near=False)
    assert {finding.kind for finding in findings} == {FindingKind.TINY_CLASS, FindingKind.IMBALANCE}
    assert findings[0].label == "few"


def test_the_pairs_are_drawn(folder, tmp_path):
    dataset = _prepared(folder, tmp_path / "shards")
    draw_pairs(dataset, examine(dataset), tmp_path / "pairs.png")
    assert Image.open(tmp_path / "pairs.png").width > 300


def test_the_bars_of_padded_images_make_no_near_duplicates_and_hide_none(tmp_path):
    images = 170 + _photographs(200, side=96)[:, 36:60] // 3  # light, and 4:1, as receipts are
    for number, image in enumerate(images):
        split, label = ("train", "test")[number >= 120], ("cat", "dog")[number % 2]
        (tmp_path / "wide" / split / label).mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(tmp_path / "wide" / split / label / f"{number}.png")
    home = tmp_path / "wide" / "train" / "cat"
    Image.fromarray(np.ascontiguousarray(images[130][:, ::-1]) - 60).save(home / "near.png")
    Image.fromarray(np.full((24, 96, 3), 7, np.uint8)).save(home / "blank.png")
    dataset = _prepared(tmp_path / "wide", tmp_path / "shards")
    padded = load_all(dataset)
    assert len(find_near_duplicates(padded["test"].images, padded["train"].images)) > 20
    findings = examine(dataset)
    (near,) = (finding for finding in findings if finding.kind is FindingKind.NEAR_LEAK)
    assert (near.id, near.other_id) == ("train/cat/near.png", "test/cat/130.png")
    (blank,) = (finding for finding in findings if finding.kind is FindingKind.CONSTANT)
    assert blank.id == "train/cat/blank.png"
    saved = find_leaks(dataset, padded["test"])
    (dataset.folder / "near-duplicates-whole.json").unlink()
    assert np.array_equal(find_leaks(dataset, padded["test"]), saved)
    assert np.array(padded["test"].ids)[saved].tolist() == ["test/cat/130.png"]
