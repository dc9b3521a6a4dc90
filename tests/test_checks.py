"""The checks of the data, on data with known faults."""

import csv
import shlex
import sys

import numpy as np
import pytest
from PIL import Image

from bakeoff.data.checks import (
    Finding,
    FindingKind,
    examine,
    find_leaks,
    find_near_duplicates,
    format_findings,
    load_all,
    read_excluded,
    read_leaks,
    write_lists,
)
from bakeoff.data.contact_sheet import draw_pairs
from bakeoff.data.shards import Edits, open_dataset, prepare, read_manifest
from bakeoff.data.sources import open_source
from bakeoff.errors import DataError, OutputError
from bakeoff.runs.config import Data
from running import run_cli


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


def test_near_duplicates_are_found_among_other_images():
    images = _photographs(60)
    others = np.concatenate([images[3:4, :, ::-1], images[40:41], _photographs(20, seed=9)])
    assert {(pair.first, pair.second) for pair in find_near_duplicates(images, others)} == {(3, 0), (40, 1)}
    assert find_near_duplicates(images[:0], others) == []


def _frames(count, side=32, seed=0):
    """Pictures of one scene that hardly differ."""
    noise = np.random.default_rng(seed).normal(0, 2, (count, side, side, 3))
    return np.clip(_photographs(1, side, seed) + noise, 0, 255).astype(np.uint8)


@pytest.mark.parametrize("count", [20, 400])
def test_all_frames_of_a_scene_are_found_where_all_are_asked_for(count):
    frames = _frames(count + 3)
    frames[1::2] = frames[1::2, :, ::-1]
    others = np.concatenate([frames[3:], _photographs(40, seed=9)])
    pairs = find_near_duplicates(frames[:3], others, every=True)
    assert {pair.first for pair in pairs} == {0, 1, 2}
    assert {pair.second for pair in pairs} == set(range(count))
    assert all(pair.similarity > 0.7 for pair in pairs)


def test_the_list_has_all_frames_of_a_scene_to_leave_out_and_each_once(tmp_path):
    frames, others = _frames(30), _photographs(60, seed=9)
    for split, some in (("train", slice(0, 20)), ("val", slice(20, 24)), ("test", slice(24, 30))):
        for kind, name, images in (("frame", "cat", frames), ("other", "cat", others[30:]), ("other", "dog", others)):
            (tmp_path / "data" / split / name).mkdir(parents=True, exist_ok=True)
            for number, image in enumerate(images[some]):
                Image.fromarray(image).save(tmp_path / "data" / split / name / f"{kind}{number}.png")
    dataset = _prepared(tmp_path / "data", tmp_path / "shards")
    found = [finding for finding in examine(dataset) if finding.kind is FindingKind.NEAR_LEAK]
    train = sorted(f"train/cat/frame{number}.png" for number in range(20))
    for later in ("val", "test"):
        assert sorted(leak.id for leak in found if (leak.split, leak.other_split) == ("train", later)) == train
    assert len(read_leaks(dataset).test) == 6
    listed = {leak.id: "listed" for leak in found if leak.other_split == "test"}
    after = _prepared(tmp_path / "data", tmp_path / "after", edits=Edits(listed))
    assert not [finding for finding in examine(after) if finding.kind is FindingKind.NEAR_LEAK]


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
    write("train/dog/blank.png", np.full((32, 32, 3), (20, 40, 240), np.uint8))
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


def test_images_that_do_not_fit_into_memory_are_compared_in_parts(folder, tmp_path, monkeypatch):
    dataset = _prepared(folder, tmp_path / "shards")
    in_memory = examine(dataset)
    monkeypatch.setenv("BAKEOFF_MEMORY_LIMIT_BYTES", "0")
    monkeypatch.setattr(sys.modules[examine.__module__], "_COMPARED_BYTES", 7 * 3 * 32**2)
    told = []
    in_parts = examine(dataset, on_count=lambda *count: told.append(count))
    assert [finding._replace(similarity=0.0) for finding in in_parts] == [
        finding._replace(similarity=0.0) for finding in in_memory
    ]
    by_pair = {doing: [(done, total) for each, done, total in told if each == doing] for doing, *_ in told}
    assert len(by_pair) == 3
    assert all(counts == sorted(counts) and counts[-1][0] == counts[-1][1] for counts in by_pair.values())


def test_listed_images_are_excluded_and_the_manifest_has_the_reason(folder, tmp_path):
    before = _prepared(folder, tmp_path / "before")
    findings = examine(before)
    path = tmp_path / "findings.csv"
    path.write_text(format_findings(findings))
    excluded = read_excluded(path)
    assert "train/cat/leak.png" in excluded
    assert "train/dog/grey.png" not in excluded
    assert not any(key.startswith("test/") for key in excluded)
    after = _prepared(folder, tmp_path / "after", edits=Edits(excluded))
    assert (
        after.counts["train"] + after.counts["val"] == before.counts["train"] + before.counts["val"] - len(excluded) + 1
    )
    reasons = {bad.key: bad.reason for bad in read_manifest(tmp_path / "after").quarantined}
    assert reasons["train/cat/leak.png"] == "excluded: same image in two splits"
    kinds = {finding.kind for finding in examine(after)}
    assert kinds <= {FindingKind.UNREADABLE, FindingKind.GREY}
    # What the user left out is not unreadable.
    unreadable = {finding.id for finding in examine(after) if finding.kind is FindingKind.UNREADABLE}
    assert "train/cat/leak.png" not in unreadable


def test_images_whose_rows_were_deleted_are_not_excluded(folder, tmp_path):
    path = tmp_path / "findings.csv"
    path.write_text(format_findings(examine(_prepared(folder, tmp_path / "shards"))))
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
    with pytest.raises(DataError, match=r"list\.csv.*; (mend it|give the CSV that `bakeoff data check` wrote)"):
        read_excluded(path)


TABLE = "kind,split,id,label\nsame image twice,train,cat/caf\u00e9.png,cat\ngrey,train,cat/2.png,cat\n"
EDITED = {
    "as written": TABLE.encode(),
    "byte-order mark and CRLF": b"\xef\xbb\xbf" + TABLE.replace("\n", "\r\n").encode(),
    "semicolons": TABLE.replace(",", ";").encode(),
    "tabs in UTF-16": TABLE.replace(",", "\t").encode("utf-16"),
    "Windows-1252": TABLE.encode("cp1252"),
    "capitals": TABLE.replace("kind", "Kind").replace("id", "ID").replace("grey", "Grey").encode(),
    "empty lines": TABLE.replace("\n", "\n\n").encode() + b",,,\n",
    "more columns": TABLE.replace("\n", ",x\n").replace("label,x", "label,my note").encode(),
}


@pytest.mark.parametrize("edited", EDITED)
def test_what_a_spreadsheet_makes_of_the_list_is_read(tmp_path, edited):
    path = tmp_path / "findings.csv"
    path.write_bytes(EDITED[edited])
    assert read_excluded(path) == {"cat/caf\u00e9.png": "same image twice"}


def test_a_list_of_ids_is_enough(tmp_path):
    path = tmp_path / "list.csv"
    path.write_text("id\ncat/1.png\ncat/2.png\n")
    assert read_excluded(path) == {"cat/1.png": "listed", "cat/2.png": "listed"}


def test_ids_of_any_form_are_written_and_read(tmp_path):
    ids = ["=cmd.png", "a,b;c.png", "new\nline.png", "'=x.png", '"q".png', "-1"]
    (tmp_path / "findings.csv").write_text(format_findings([Finding(FindingKind.CONSTANT, id=key) for key in ids]))
    assert list(read_excluded(tmp_path / "findings.csv")) == ids
    assert "\none colour,,'=cmd.png," in (tmp_path / "findings.csv").read_text()


@pytest.mark.parametrize("form", ["train/cafe\u0301/ 1.png", "train\\caf\u00e9\\ 1.png", "train/caf\u00e9/ 1.png "])
def test_an_image_is_left_out_in_whatever_form_its_id_is_listed(tmp_path, form):
    for name in ("caf\u00e9", "tea"):
        for split, count in (("train", 10), ("test", 4)):
            (tmp_path / "data" / split / name).mkdir(parents=True)
            for number, image in enumerate(_photographs(count, seed=len(name + split))):
                Image.fromarray(image).save(tmp_path / "data" / split / name / f" {number}.png")
    dataset = _prepared(tmp_path / "data", tmp_path / "shards", edits=Edits({form: "listed"}))
    assert [bad.key for bad in dataset.manifest.quarantined] == ["train/caf\u00e9/ 1.png"]


def test_a_list_about_other_images_is_refused(folder, tmp_path):
    with pytest.raises(DataError, match=r"has no image for any of 2 ids to exclude, such as 'a/1.png'; give the list"):
        _prepared(folder, tmp_path / "shards", edits=Edits({"a/1.png": "listed", "b/2.png": "listed"}))
    assert not (tmp_path / "shards").exists()


def test_ids_of_no_image_and_an_empty_list_are_told(folder, tmp_path):
    excluded = {"train/cat/00.png": "listed", "a/1.png": "listed", "b/2.png": "listed"}
    (tmp_path / "list.csv").write_text("\n".join(["id", *excluded]))
    done = run_cli("data", "prepare", folder, "--exclude", tmp_path / "list.csv", "--out", tmp_path / "shards")
    assert "images has no image for 2 of its 3 ids, such as a/1.png" in " ".join(done.stderr.split())
    (tmp_path / "empty.csv").write_text("kind,id\ngrey,train/cat/00.png\n")
    done = run_cli("data", "prepare", folder, "--exclude", tmp_path / "empty.csv", "--out", tmp_path / "all")
    assert done.returncode == 0
    assert "leaves nothing out" in done.stderr


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
    near, *by_chance = (finding for finding in findings if finding.kind is FindingKind.NEAR_LEAK)
    assert len(by_chance) <= 1
    assert (near.id, near.other_id) == ("train/cat/near.png", "test/cat/130.png")
    (blank,) = (finding for finding in findings if finding.kind is FindingKind.CONSTANT)
    assert blank.id == "train/cat/blank.png"
    saved = find_leaks(dataset)
    for path in dataset.folder.glob("near-duplicates-*.json"):
        path.unlink()
    assert find_leaks(dataset).test == saved.test
    assert saved.test == ("test/cat/130.png",)


@pytest.fixture
def twice(tmp_path, monkeypatch):
    """A table of 24 images in two classes, one of which is there twice, and the folder of the images."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "my photos"
    folder.mkdir()
    images = _photographs(24)
    images[1] = images[0]
    rows = ["image,y,patient"]
    for number, image in enumerate(images):
        Image.fromarray(image).save(folder / f"{number}.png")
        rows.append(f"{number}.png,{'ab'[number // 12]},p{number // 2}")
    (tmp_path / "train.csv").write_text("\n".join(rows))
    return "train.csv", "--images", "my photos", "--label", "y", "--group", "patient"


def _next_command(done):
    assert done.returncode == 0, done.stderr
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("  next ")]
    return line.removeprefix("  next ").strip()


def test_the_command_after_a_check_is_for_the_same_data(twice):
    options = ["--no-near", "--no-labels", "--fit", "squash", "--classes", "b,a", "--seed", 3, "--out", "checked"]
    shown = _next_command(run_cli("data", "check", *twice, *options))
    assert shown == (
        "bakeoff run train.csv --classes b,a --seed 3 --images 'my photos' --label y --group patient --fit squash"
        " --exclude checked/findings.csv"
    )
    assert run_cli(*shlex.split(shown)[1:], "--dry-run", "--budget", "30m", "--offline").returncode == 0


def test_a_check_of_what_an_earlier_list_leaves_says_that_a_run_takes_one_list(twice, tmp_path):
    (tmp_path / "old.csv").write_text("id\n")
    done = run_cli("data", "check", *twice, "--no-near", "--no-labels", "--exclude", "old.csv", "--out", "new")
    assert _next_command(done) == (
        "copy the rows of new/findings.csv into old.csv, then bakeoff run train.csv --images 'my photos' --label y"
        " --group patient --exclude old.csv"
    )


def test_a_list_that_differs_is_never_replaced(tmp_path):
    usual, lists = tmp_path / "check", {"findings.csv": "id\n1\n2\n", "suspicious_labels.csv": "id\n3\n"}
    for _ in range(2):
        assert write_lists(lists, None, usual) == (usual, [])
    (usual / "findings.csv").write_text("id\n1\n")
    kept = (
        "check/findings.csv is another list, perhaps edited, and stays as it is; the lists of this check are in check.2"
    )
    for _ in range(2):
        assert write_lists(lists, None, usual) == (tmp_path / "check.2", [kept])
    assert write_lists({"findings.csv": "id\n"}, None, usual)[0] == tmp_path / "check.3"
    with pytest.raises(OutputError, match=r"findings\.csv is not the list .* choose another --out, or delete it"):
        write_lists(lists, usual, tmp_path / "unused")
    assert (usual / "findings.csv").read_text() == "id\n1\n"
    assert not (tmp_path / "unused").exists()


def test_a_further_check_leaves_the_list_that_it_was_given(twice, tmp_path):
    options = ["--no-near", "--no-labels"]
    first = run_cli("data", "check", *twice, *options)
    (table,) = (tmp_path / line for line in first.stdout.splitlines() if line.endswith("findings.csv"))
    (pairs,) = tmp_path.glob("bakeoff-check-*/pairs.png")
    edited = table.read_text().splitlines()[:2]
    assert "same image twice" in edited[1]
    table.write_text("\n".join(edited))
    done = run_cli("data", "check", *twice, *options, "--exclude", table)
    assert table.read_text().splitlines() == edited
    assert f"{table.parent.name}.2/findings.csv" in _next_command(done)
    assert f"the lists of this check are in {table.parent.name}.2" in " ".join(done.stderr.split())
    # Pictures of pairs go with their list.
    assert pairs.is_file()
    assert not (tmp_path / f"{table.parent.name}.2" / "pairs.png").exists()


def test_pictures_of_an_earlier_check_do_not_stay_without_their_list(twice, tmp_path):
    options = ["--no-near", "--no-labels", "--out", "checked"]
    run_cli("data", "check", *twice, *options)
    listed = (tmp_path / "checked" / "findings.csv").rename(tmp_path / "list.csv")
    assert (tmp_path / "checked" / "pairs.png").is_file()
    run_cli("data", "check", *twice, *options, "--exclude", listed)
    assert (tmp_path / "checked" / "findings.csv").is_file()
    assert not (tmp_path / "checked" / "pairs.png").exists()
    (tmp_path / "checked" / "pairs.png").write_bytes(b"a picture of somebody")
    run_cli("data", "check", *twice, *options, "--exclude", listed)
    (tmp_path / "checked" / "findings.csv").unlink()
    done = run_cli("data", "check", *twice, *options)
    assert (tmp_path / "checked" / "pairs.png").read_bytes() == b"a picture of somebody"
    assert Image.open(tmp_path / "checked" / "pairs.2.png").width > 300
    assert "and stays as it is; the picture is pairs.2.png" in " ".join(done.stderr.split())


def test_a_list_that_leaves_out_nothing_is_not_to_be_copied_into_itself(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for number, image in enumerate(_photographs(24)):
        home = tmp_path / "data" / "ab"[number // 12]
        home.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(home / f"{number}.png")
    check = ["data", "check", "data", "--no-near", "--no-labels", "--out", "checked"]
    run_cli(*check)
    done = run_cli(*check, "--exclude", "checked/findings.csv")
    assert _next_command(done) == "bakeoff run data --exclude checked/findings.csv"
