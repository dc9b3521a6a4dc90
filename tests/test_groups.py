"""Images of one subject stay on one side: which belong together, how splits are drawn, and what is told."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bakeoff.data.batches import load_split
from bakeoff.data.shards import Edits, open_dataset, prepare, prepare_cached, read_blocks, read_manifest
from bakeoff.data.shards.plan import plan_shards
from bakeoff.data.shards.splits import assign_splits
from bakeoff.data.sources import open_source
from bakeoff.data.sources.groups import group_images
from bakeoff.data.sources.listing import Labelled, Listing
from bakeoff.errors import ConfigError, DataError
from bakeoff.runs.config import Data
from running import run_cli


def listing(*paths, **changes):
    return Listing(tuple(Labelled(path, None, "cat", class_folder="cat") for path in paths), ("cat",), **changes)


def groups_of(rule, *paths):
    return [image.group for image in group_images(listing(*paths), rule).images]


def fill(folder, names, images=4, seed=0):
    """Write different images into folders of these names."""
    rng = np.random.default_rng([seed, len(str(folder))])
    for name in names:
        (folder / name).mkdir(parents=True)
        for index in range(images):
            Image.fromarray(rng.integers(0, 256, (8, 8, 3), np.uint8)).save(folder / name / f"{index}.png")


def subjects(classes=("cat", "dog"), count=6):
    return [f"{name}/{name}{number}" for name in classes for number in range(count)]


def open_grouped(folder, rule="folder", **changes):
    return open_source(Data(source=str(folder), group=rule, **changes))


# which images belong together


def test_the_first_folder_below_the_class_is_the_group():
    paths = ("cat/s1/1.png", "cat/s1/night/2.png", "cat/s2/1.png", "cat/3.png")
    assert groups_of("folder", *paths) == ["s1", "s1", "s2", None]


def test_without_class_folders_the_first_folder_of_the_path_is_the_group():
    images = (Labelled("s1/1.png", None, "cat"), Labelled("s2/a/1.png", None, "dog"), Labelled("3.png", None, "dog"))
    found = group_images(Listing(images, ("cat", "dog")), "folder")
    assert [image.group for image in found.images] == ["s1", "s2", None]
    assert found.grouped_by == "the first folder"


def test_a_pattern_is_searched_in_the_path():
    assert groups_of(r"/(s\d+)_", "cat/s1_1.png", "cat/s12_2.png", "cat/other.png") == ["s1", "s12", None]
    assert groups_of(r"(?:a|b)-(\d*)", "cat/a-1.png", "cat/b-1.png", "cat/a-.png") == ["1", "1", None]


def test_both_unicode_forms_of_a_name_are_one_group():
    paths = ("cat/Zo\u00e9/1.png", "cat/Zoe\u0301/2.png")
    assert len(set(groups_of("folder", *paths))) == 1
    assert len(set(groups_of("cat/(.*)/", *paths))) == 1


def test_the_groups_of_a_table_are_kept():
    images = (Labelled("1.png", None, "cat", "anna"), Labelled("2.png", None, "cat"))
    found = group_images(Listing(images, ("cat",)), "patient")
    assert (found.images, found.grouped_by) == (images, "column patient of the table")


def test_without_a_rule_nothing_is_grouped_but_folders_below_the_classes_are_pointed_out():
    plain = listing("cat/1.png", "cat/2.png", "cat/s1/1.png")
    assert group_images(plain, "") == plain
    (note,) = group_images(listing("cat/1.png", "cat/s1/1.png", "cat/s2/1.png"), "").notes
    assert note.startswith("images lie in folders below their classes, such as cat/s1; ")


@pytest.mark.parametrize(
    ("rule", "reason"),
    [
        ("patient", "give folder, a column of the table, or a regular expression with one group.*it has 0"),
        (r"(s)(\d)", "it has 2"),
        ("(s", "it is wrong: missing"),
    ],
)
def test_a_rule_that_is_none_is_refused(rule, reason):
    with pytest.raises(ConfigError, match=f"--group .*{reason}"):
        groups_of(rule, "cat/s1/1.png")


@pytest.mark.parametrize("rule", ["folder", "(subject)"])
def test_a_rule_that_finds_no_group_is_refused(rule):
    with pytest.raises(DataError, match=r"none of the 2 images .*such as cat/1\.png"):
        groups_of(rule, "cat/1.png", "cat/2.png")


def test_built_in_images_have_no_groups():
    with pytest.raises(ConfigError, match="--group folder: the images of digits have neither"):
        open_source(Data(source="digits", group="folder"))


# drawing


def draw(labels, groups, given=None, seed=0, val_fraction=0.1):
    hashes = [str(index) for index in range(len(labels))]
    splits = assign_splits(given or [None] * len(labels), labels, hashes, groups, val_fraction=val_fraction, seed=seed)
    inside = {group: {split for split, own in zip(splits, groups, strict=True) if own == group} for group in groups}
    return splits, inside


@pytest.mark.parametrize("seed", range(5))
def test_no_group_is_drawn_apart_and_classes_keep_their_shares(seed):
    rng = np.random.default_rng(seed)
    groups = rng.integers(0, 60, 3000)
    labels = rng.integers(0, 5, 3000).tolist()
    splits, inside = draw(labels, groups.astype(str).tolist(), seed=seed)
    assert all(len(found) == 1 for found in inside.values())
    pairs, totals = Counter(zip(labels, splits, strict=True)), Counter(labels)
    for label, total in totals.items():
        assert 0.05 < pairs[label, "test"] / total < 0.15
        assert 0.05 < pairs[label, "val"] / total < 0.15


def test_a_class_of_few_groups_is_in_every_split_and_the_others_keep_their_shares():
    labels = [0] * 1000 + [1] * 30
    groups = [f"common{index % 100}" for index in range(1000)] + [f"rare{index % 3}" for index in range(30)]
    splits, _ = draw(labels, groups)
    pairs = Counter(zip(labels, splits, strict=True))
    assert (pairs[0, "test"], pairs[0, "val"]) == (100, 100)
    assert [pairs[1, split] for split in ("train", "val", "test")] == [10, 10, 10]


def test_of_two_groups_one_is_to_train_on():
    splits, _ = draw([0] * 20 + [1] * 20, [str(index // 10) for index in range(40)])
    assert Counter(splits) == {"train": 20, "test": 20}


def test_large_groups_are_drawn_where_there_is_no_smaller_one():
    groups = ["a"] * 50 + ["b"] * 40 + ["c"] * 10
    splits, _ = draw([0] * 100, groups)
    assert Counter(splits) == {"train": 50, "val": 40, "test": 10}


def test_validation_is_drawn_by_groups_beside_a_given_test():
    given = ["test"] * 10 + ["train"] * 90
    splits, _ = draw([0] * 100, [str(index // 5) for index in range(100)], given, val_fraction=0.2)
    assert splits[:10] == ["test"] * 10
    # A fifth of the 90 images are 18; groups have 5.
    assert Counter(splits) == {"test": 10, "val": 20, "train": 70}


def test_the_names_of_groups_do_not_matter_for_the_draw():
    labels, numbers = [0, 1] * 100, [index // 8 for index in range(200)]
    first, _ = draw(labels, [f"a{number}" for number in numbers])
    assert draw(labels, [f"{99 - number}" for number in numbers])[0] == first


# shards


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    folder = tmp_path_factory.mktemp("subjects")
    fill(folder / "photos", subjects())
    fill(folder / "photos" / "cat", ["loose"], images=1)
    (folder / "photos" / "cat" / "loose" / "0.png").rename(folder / "photos" / "cat" / "loose.png")
    (folder / "photos" / "cat" / "loose").rmdir()
    prepare(open_grouped(folder / "photos"), folder / "shards")
    return folder


def read_groups(dataset):
    return {
        split: {group for block in read_blocks(dataset, split, unlock=True) for group in block.groups}
        for split in ("train", "val", "test")
    }


def test_shards_hold_the_groups_and_no_group_is_in_two_splits(prepared):
    groups = read_groups(open_dataset(prepared / "shards"))
    names = [name for inside in groups.values() for name in inside]
    assert sorted(names) == sorted(["cat/loose.png", *(path.partition("/")[2] for path in subjects())])
    block = next(read_blocks(open_dataset(prepared / "shards"), "train"))
    for key, group in zip(block.ids, block.groups, strict=True):
        assert key.split("/")[1] == group or key == group


def test_a_view_and_a_loaded_split_have_the_groups_of_their_images(prepared):
    split = load_split(open_dataset(prepared / "shards"), "train")
    assert [key.split("/")[1] for key in split.ids if key.count("/") == 2] == [
        group for key, group in zip(split.ids, split.groups, strict=True) if key.count("/") == 2
    ]
    some = split.take(np.array([2, 0]))
    assert some.groups == [split.groups[2], split.groups[0]]


def test_a_split_on_disk_has_its_groups(prepared, monkeypatch):
    dataset = open_dataset(prepared / "shards")
    in_memory = load_split(dataset, "train")
    monkeypatch.setenv("BAKEOFF_MEMORY_LIMIT_BYTES", "100")
    for _ in range(2):
        on_disk = load_split(dataset, "train")
        assert on_disk.is_on_disk
        assert on_disk.groups == in_memory.groups


def test_the_manifest_says_how_images_are_grouped(prepared):
    manifest = read_manifest(prepared / "shards")
    assert manifest.groups.by == "the folder below the class"
    assert manifest.groups.count == sum(manifest.groups.splits.values()) == 13
    assert manifest.drawn == ("val", "test")
    assert manifest.warnings == ()
    counts = manifest.groups.splits
    assert (
        f"grouped by the folder below the class: 13 groups, {counts['train']} in train, {counts['val']} in val,"
        f" {counts['test']} in test"
    ) in manifest.notes
    assert "images without a group, each on its own: 1, such as cat/loose.png" in manifest.notes
    assert any(note.startswith(f"few groups in val ({counts['val']}) and test (") for note in manifest.notes)


def test_images_without_groups_are_prepared_as_before(prepared, tmp_path):
    prepare(open_source(Data(source=str(prepared / "photos"))), tmp_path / "s")
    manifest = read_manifest(tmp_path / "s")
    assert manifest.groups is None
    assert next(read_blocks(open_dataset(tmp_path / "s"), "train")).groups is None
    assert load_split(open_dataset(tmp_path / "s"), "train").groups is None
    assert manifest.fingerprint != read_manifest(prepared / "shards").fingerprint


def test_another_rule_is_another_entry_of_the_cache(prepared):
    folders = {
        prepare_cached(Data(source=str(prepared / "photos"), group=rule)) for rule in ("", "folder", "/([^/]+)/")
    }
    assert len(folders) == 3


def test_renamed_groups_have_the_same_fingerprint(tmp_path):
    fill(tmp_path / "one", subjects())
    fill(tmp_path / "two", subjects())
    for path in sorted((tmp_path / "two").glob("*/*"), reverse=True):
        path.rename(path.with_name(f"{path.name[:3]}-{9 - int(path.name[-1])}"))
    manifests = [prepare(open_grouped(tmp_path / name), tmp_path / f"s-{name}") for name in ("one", "two")]
    assert manifests[0].fingerprint == manifests[1].fingerprint


def test_folders_of_one_name_in_two_classes_are_one_group(tmp_path):
    fill(tmp_path / "p", [f"{name}/s{number}" for name in ("cat", "dog") for number in range(5)])
    manifest = prepare(open_grouped(tmp_path / "p", layout="classes"), tmp_path / "s")
    assert manifest.groups.count == 5
    assert "groups with images of several classes: 5, such as s0, s1, s2, s3 and 1 more" in manifest.notes
    groups = read_groups(open_dataset(tmp_path / "s"))
    assert sum(map(len, groups.values())) == 5


def test_groups_that_share_a_copy_are_joined(tmp_path):
    fill(tmp_path / "p", subjects())
    copy = (tmp_path / "p/cat/cat0/0.png").read_bytes()
    (tmp_path / "p/cat/cat4/9.png").write_bytes(copy)
    manifest = prepare(open_grouped(tmp_path / "p"), tmp_path / "s")
    assert manifest.groups.count == 11
    assert "groups that are one because they share a byte-identical image: cat0 and cat4" in manifest.notes


def test_groups_stay_in_their_splits_without_images_that_are_left_out(tmp_path):
    fill(tmp_path / "p", subjects())
    source = open_grouped(tmp_path / "p")
    before = {entry.key: entry.split for entry in plan_shards(source, 0.1, 0, Edits()).images.rows()}
    left_out = {key: "listed" for key in before if key.startswith("cat/cat0/") or key.endswith("/1.png")}
    plan = plan_shards(source, 0.1, 0, Edits(left_out))
    after = {entry.key: entry.split for entry in plan.images.rows()}
    assert after == {key: split for key, split in before.items() if key not in left_out}
    assert plan.groups.count == 11


def test_groups_that_only_an_image_that_is_left_out_joins_are_apart(tmp_path):
    fill(tmp_path / "p", [f"train/{name}" for name in subjects(count=4)])
    fill(tmp_path / "p", [f"test/{name}/new{name}" for name in ("cat", "dog")], seed=1)
    (tmp_path / "p/train/cat/cat0/9.png").write_bytes((tmp_path / "p/test/cat/newcat/0.png").read_bytes())
    source = open_grouped(tmp_path / "p")
    assert "are in more than one split" in plan_shards(source, 0.1, 0, Edits()).warnings[0]
    assert plan_shards(source, 0.1, 0, Edits({"train/cat/cat0/9.png": "listed"})).warnings == ()


def test_groups_across_given_splits_are_a_warning(tmp_path):
    fill(tmp_path / "p", [f"{split}/{name}" for split in ("train", "test") for name in subjects(count=4)])
    (tmp_path / "p/test/cat/cat3").rename(tmp_path / "p/test/cat/new")
    manifest = prepare(open_grouped(tmp_path / "p"), tmp_path / "s")
    assert manifest.drawn == ("val",)
    (warning,) = manifest.warnings
    assert warning.startswith("7 of 9 groups are in more than one split, as the data give them: cat0 (")
    done = run_cli("data", "prepare", tmp_path / "p", "--group", "folder")
    assert done.stderr.startswith(f"warning: {warning[:40]}")


def test_a_class_of_one_group_is_refused(tmp_path):
    fill(tmp_path / "p", [*subjects(("cat", "dog")), "emu/only"])
    with pytest.raises(DataError, match=r"class emu has one group only \(only\), which cannot be in train and in test"):
        prepare(open_grouped(tmp_path / "p"), tmp_path / "s")
    assert not (tmp_path / "s").exists()


def test_too_few_groups_for_three_splits_are_refused(tmp_path):
    fill(tmp_path / "p", subjects(count=2))
    with pytest.raises(DataError, match="too few groups by the folder below the class to draw any for val"):
        prepare(open_grouped(tmp_path / "p"), tmp_path / "s")


def test_the_command_groups_by_a_pattern(prepared):
    done = run_cli("data", "prepare", prepared / "photos", "--group", r"/(\w+)\d/")
    assert done.returncode == 2
    assert "one group only (dog)" in done.stderr
    done = run_cli("data", "prepare", prepared / "photos", "--group", r"\d/(\d)")
    assert done.returncode == 0
    assert r"grouped by '\d/(\d)' in the path: 5 groups" in done.stderr


def test_a_class_of_other_files_says_what_they_are(tmp_path):
    fill(tmp_path / "p", ["cat", "dog"])
    for index in range(2):
        (tmp_path / "p" / "dog" / f"{index}.png").rename(tmp_path / "p" / "dog" / f"{index}.txt")
        (tmp_path / "p" / "dog" / f"{index}.txt").write_text("a note")
    with pytest.raises(DataError, match=r"fewer than 3 images \(2; left out: \.txt files: 2, such as dog/0\.txt\)"):
        open_source(Data(source=str(tmp_path / "p")))


def test_a_class_that_cannot_be_read_says_how_many_files_were_seen(tmp_path: Path) -> None:
    fill(tmp_path / "p", ["cat", "dog"])
    for index in range(2, 4):
        (tmp_path / "p" / "dog" / f"{index}.png").write_bytes(b"broken")
    with pytest.raises(
        DataError, match=r"class dog of p has fewer than 3 readable images \(2 of 4; dog/2\.png is left"
    ):
        prepare(open_source(Data(source=str(tmp_path / "p"))), tmp_path / "s")


def test_subjects_of_the_same_names_in_every_class_are_no_classes(tmp_path):
    """class/subject/image, where every subject shows every class."""
    fill(tmp_path, [f"{name}/s{number}" for name in ("happy", "sad") for number in range(6)])
    with pytest.raises(DataError, match="hold folders of the same names"):
        open_source(Data(source=str(tmp_path)))
    source = open_grouped(tmp_path)
    assert source.class_names == ("happy", "sad")
    assert {record.group for record in source.records()} == {f"s{number}" for number in range(6)}
