import dataclasses
import importlib.util
import json
import resource
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bakeoff.cache import list_others
from bakeoff.data.shards import (
    Block,
    Dataset,
    Edits,
    open_dataset,
    prepare,
    prepare_cached,
    read_blocks,
    read_manifest,
)
from bakeoff.data.shards.classes import choose_classes, find_class
from bakeoff.data.shards.plan import plan_shards
from bakeoff.data.shards.splits import assign_splits
from bakeoff.data.shards.writer import _cut_into_shards
from bakeoff.data.sources import BadImage, RawImage, Source, SplitName, open_source
from bakeoff.errors import ConfigError, DataError, OutputError
from bakeoff.files import PARTIAL, cache_dir
from bakeoff.runs.config import Data, Fit

CLASSES = ("apple", "bear", "chair", "dog")


class Invented(Source):
    """Noise of 8x8 pixels, 20 images of each of four classes in two superclasses."""

    name = "invented"
    licence = "none"

    def __init__(self, test: bool = False, signature: str = "a", per_class: int = 20) -> None:
        rng = np.random.default_rng(0)
        self.signature = signature
        self.images: dict[str, RawImage] = {}
        for number in range(per_class * len(CLASSES)):
            label = number % len(CLASSES)
            split: SplitName | None = None if not test else "test" if number < 20 else "train"
            data = rng.integers(0, 256, (8, 8, 3), np.uint8).tobytes()
            self.images[f"é{number}"] = RawImage(f"é{number}", split, label, label // 2, data, (8, 8))
        self.bad: list[BadImage] = []

    @property
    def class_names(self) -> tuple[str, ...]:
        return CLASSES

    @property
    def coarse_names(self) -> tuple[str, ...]:
        return ("living", "other")

    @property
    def coarse_of(self) -> tuple[int, ...]:
        return (0, 0, 1, 1)

    @property
    def count(self) -> int:
        return len(self.images) + len(self.bad)

    def records(self) -> Iterator[RawImage | BadImage]:
        yield from self.bad
        yield from self.images.values()

    def fetch(self, keys: Sequence[str]) -> Iterator[RawImage]:
        for key in keys:
            yield self.images[key]


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data") / "shards"
    prepare(Invented(), folder)
    return folder


def read_all(dataset: Dataset, split: SplitName, block: int = 1024) -> Block:
    blocks = list(read_blocks(dataset, split, block, unlock=True))
    images = np.concatenate([b.images for b in blocks])
    return Block(images, np.concatenate([b.labels for b in blocks]), [i for b in blocks for i in b.ids])


# splitting


def draw(
    labels: list[int], hashes: list[str] | None = None, given: SplitName | None = None, seed: int = 0
) -> list[SplitName]:
    hashes = hashes or [str(index) for index in range(len(labels))]
    return assign_splits([given] * len(labels), labels, hashes, val_fraction=0.1, seed=seed)


def test_without_a_test_split_the_images_part_80_10_10_in_every_class() -> None:
    labels = [0] * 100 + [1] * 50
    pairs = Counter(zip(draw(labels), labels, strict=True))
    assert (pairs["test", 0], pairs["val", 0], pairs["train", 0]) == (10, 10, 80)
    assert (pairs["test", 1], pairs["val", 1], pairs["train", 1]) == (5, 5, 40)


def test_validation_is_cut_from_train_and_leaves_a_given_test_alone() -> None:
    given: list[SplitName | None] = ["test"] * 10 + ["train"] * 90
    splits = assign_splits(given, [0] * 100, [str(n) for n in range(100)], val_fraction=0.2, seed=0)
    assert splits[:10] == ["test"] * 10
    assert Counter(splits) == {"test": 10, "val": 18, "train": 72}


def test_a_given_validation_split_is_kept() -> None:
    given: list[SplitName | None] = ["val"] * 10 + ["train"] * 90
    splits = assign_splits(given, [0] * 100, [str(n) for n in range(100)], val_fraction=0.5, seed=0)
    assert Counter(splits) == {"val": 10, "test": 9, "train": 81}


def test_the_seed_decides_which_images_are_drawn() -> None:
    labels = [0, 1] * 50
    assert draw(labels, seed=1) == draw(labels, seed=1)
    assert draw(labels, seed=1) != draw(labels, seed=2)


def test_byte_identical_images_stay_on_one_side() -> None:
    hashes = [str(index // 3) for index in range(300)]
    splits = draw([index // 3 % 2 for index in range(300)], hashes)
    sides = {(sha, split) for sha, split in zip(hashes, splits, strict=True)}
    assert len(sides) == 100
    assert set(splits) == {"train", "val", "test"}


def place(source: Source, edits: Edits) -> dict[str, SplitName | None]:
    """The split of each image."""
    return {entry.key: entry.split for entry in plan_shards(source, 0.1, 0, edits).images.rows()}


@pytest.mark.parametrize("test", [False, True], ids=["drawn", "given"])
def test_images_that_are_left_out_leave_all_others_in_their_splits(test: bool) -> None:
    before = place(Invented(test=test), Edits())
    left_out = {f"é{number}": "listed" for number in range(0, 80, 5)}
    after = place(Invented(test=test), Edits(left_out, {"é1": "apple"}))
    assert after == {key: split for key, split in before.items() if key not in left_out}


def test_a_list_that_leaves_nothing_to_train_on_or_to_score_is_refused() -> None:
    source = Invented()
    before = place(source, Edits())
    apples = {key: "listed" for key, split in before.items() if split == "train" and source.images[key].label == 0}
    with pytest.raises(DataError, match=r"class apple .* to train on; é\d+ is left out: excluded: listed; add some"):
        place(source, Edits(apples))
    validation = {key: "listed" for key, split in before.items() if split == "val"}
    with pytest.raises(DataError, match="--exclude leaves no image of invented in val; delete rows of its list"):
        place(source, Edits(validation))


def test_the_smallest_class_has_one_image_in_each_split() -> None:
    assert sorted(draw([0, 0, 0])) == ["test", "train", "val"]


def test_a_class_of_copies_stays_in_train() -> None:
    assert set(draw([0] * 5, ["same"] * 5)) == {"train"}


def test_an_image_under_two_labels_stays_in_train() -> None:
    splits = draw([0, 1] * 20, ["same", "same", *map(str, range(38))])
    assert splits[:2] == ["train", "train"]
    assert Counter(splits) == {"train": 32, "val": 4, "test": 4}


# preparing


def test_every_image_comes_back_bit_for_bit_under_its_label(shards: Path) -> None:
    source = Invented()
    dataset = open_dataset(shards)
    seen: list[str] = []
    for split in ("train", "val", "test"):
        block = read_all(dataset, split)
        assert (block.images.dtype, block.labels.dtype, block.images.shape[1:]) == (np.uint8, np.int32, (8, 8, 3))
        assert len(block.ids) == dataset.counts[split]
        for image, label, key in zip(block.images, block.labels, block.ids, strict=True):
            assert image.tobytes() == source.images[key].data
            assert label == source.images[key].label
        seen += block.ids
    assert sorted(seen) == sorted(source.images)


def test_the_manifest_lists_what_was_written(shards: Path) -> None:
    manifest = read_manifest(shards)
    assert (manifest.name, manifest.side, manifest.uniform) == ("invented", 8, True)
    assert {split: facts.count for split, facts in manifest.splits.items()} == {"train": 64, "val": 8, "test": 8}
    assert manifest.splits["train"].class_counts == (16, 16, 16, 16)
    assert manifest.coarse_of == (0, 0, 1, 1)
    raw = json.loads((shards / "manifest.json").read_text(encoding="utf-8"))
    assert raw["schema"] == 1
    assert sorted(p.name for p in shards.iterdir()) == [
        "manifest.json",
        "test-00000-of-00001.tfrecord",
        "train-00000-of-00001.tfrecord",
        "val-00000-of-00001.tfrecord",
    ]


def test_records_are_examples_that_other_tools_can_read(shards: Path) -> None:
    import tensorflow as tf

    path = next(shards.glob("val-*"))
    record = next(iter(tf.data.TFRecordDataset(str(path)))).numpy()
    feature = tf.train.Example.FromString(record).features.feature
    assert set(feature) == {"image", "label", "coarse_label", "id", "height", "width"}
    assert feature["height"].int64_list.value[0] == 8
    assert feature["coarse_label"].int64_list.value[0] == feature["label"].int64_list.value[0] // 2


def test_images_are_shuffled_on_disk(shards: Path) -> None:
    numbers = [int(key[1:]) for key in read_all(open_dataset(shards), "train").ids]
    assert numbers != sorted(numbers)
    assert len({number % 4 for number in numbers[:12]}) == 4


def test_preparing_again_does_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = prepare(Invented(), tmp_path / "s")
    monkeypatch.setattr(Invented, "records", lambda _: pytest.fail("read again"))
    assert prepare(Invented(), tmp_path / "s") == first


def test_a_changed_source_or_seed_replaces_the_shards(tmp_path: Path) -> None:
    first = prepare(Invented(), tmp_path / "s")
    second = prepare(Invented(signature="b", per_class=10), tmp_path / "s")
    assert second.splits["train"].count == 32
    assert open_dataset(tmp_path / "s").manifest == second
    third = prepare(Invented(signature="b", per_class=10), tmp_path / "s", seed=1)
    assert len({first.fingerprint, second.fingerprint, third.fingerprint}) == 3
    assert [p.name for p in tmp_path.iterdir()] == ["s"]


def test_truncated_shards_are_prepared_again(tmp_path: Path) -> None:
    manifest = prepare(Invented(), tmp_path / "s")
    path = tmp_path / "s" / manifest.splits["train"].files[0].name
    path.write_bytes(path.read_bytes()[:100])
    prepare(Invented(), tmp_path / "s")
    assert len(read_all(open_dataset(tmp_path / "s"), "train").labels) == 64


def test_equal_images_have_equal_fingerprints_in_any_folder(tmp_path: Path) -> None:
    one = prepare(Invented(signature="here"), tmp_path / "one")
    two = prepare(Invented(signature="there"), tmp_path / "two")
    assert one.fingerprint == two.fingerprint
    assert one.signature != two.signature


def test_renamed_files_make_the_same_shards_in_the_same_order(tmp_path: Path) -> None:
    renamed = Invented()
    renamed.images = {
        f"{999 - number}": RawImage(f"{999 - number}", None, old.label, old.coarse_label, old.data, old.shape)
        for number, old in reversed(list(enumerate(renamed.images.values())))
    }
    one, two = prepare(Invented(), tmp_path / "one"), prepare(renamed, tmp_path / "two")
    assert one.fingerprint == two.fingerprint
    blocks = [read_all(open_dataset(tmp_path / name), "train") for name in ("one", "two")]
    assert blocks[0].ids != blocks[1].ids
    assert np.array_equal(blocks[0].images, blocks[1].images)


def test_duplicates_and_conflicting_labels_are_noted(tmp_path: Path) -> None:
    source = Invented(test=True)
    keys = list(source.images)
    for key, copied in ((keys[0], keys[40]), (keys[21], keys[22])):
        old = source.images[key]
        source.images[key] = RawImage(key, old.split, old.label, old.coarse_label, source.images[copied].data, (8, 8))
    assert prepare(source, tmp_path / "s").notes == (
        "byte-identical copies of other images: 2",
        "images that occur in more than one split, as the source has them: 1",
        "images that occur under more than one label: 1",
    )


def test_notes_follow_the_files_beside_the_images_and_shards_stay(tmp_path: Path) -> None:
    for number in range(8):
        path = tmp_path / "photos" / ("bear", "dog")[number % 2] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8), (min(number, 6), 0, 0)).save(path)
    data = Data(source=str(tmp_path / "photos"))
    first = prepare(open_source(data), tmp_path / "s")
    (tmp_path / "photos" / "dog" / "notes.txt").write_text("not an image")
    second = prepare(open_source(data), tmp_path / "s")
    assert second.notes == ("left out: .txt files: 1, such as dog/notes.txt", *first.notes)
    assert second.splits == first.splits
    assert open_dataset(tmp_path / "s").manifest == second
    (tmp_path / "photos" / "dog" / "notes.txt").unlink()
    assert prepare(open_source(data), tmp_path / "s") == first


def test_bad_images_are_quarantined(tmp_path: Path) -> None:
    source = Invented()
    source.bad = [BadImage("x.png", "it is broken")]
    (bad,) = prepare(source, tmp_path / "s").quarantined
    assert (bad.key, bad.reason) == ("x.png", "it is broken")


def test_a_class_that_loses_its_images_to_the_quarantine_is_a_data_error(tmp_path: Path) -> None:
    source = Invented()
    source.images = {key: image for key, image in source.images.items() if image.label != 2}
    with pytest.raises(DataError, match=r"class chair of invented has fewer than 3 readable images \(0\)"):
        prepare(source, tmp_path / "s")
    assert list(tmp_path.iterdir()) == []


def test_an_image_that_changes_between_the_passes_is_a_data_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blank = RawImage("é0", None, 0, 0, bytes(192), (8, 8))
    monkeypatch.setattr(Invented, "fetch", lambda _, keys: iter([blank] * len(keys)))
    with pytest.raises(DataError, match="changed while it was prepared"):
        prepare(Invented(), tmp_path / "s")
    assert list(tmp_path.iterdir()) == []


def test_shards_are_cut_at_64_megabytes() -> None:
    def counts(*sizes: int) -> list[int]:
        return [shard.stop - shard.start for shard in _cut_into_shards(np.array(sizes, np.int64))]

    assert counts(*[20_000_000] * 7) == [3, 3, 1]
    assert counts(32_000_000, 32_000_000, 1) == [2, 1]
    assert counts(1, 90_000_000, 1, 1) == [1, 1, 2]
    assert counts() == [0]


def test_a_folder_of_something_else_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(OutputError, match=r"holds something other than shards: thesis\.txt; move it away"):
        prepare(Invented(), tmp_path)
    assert (tmp_path / "thesis.txt").read_text() == "mine"


@pytest.mark.parametrize("manifest", ['{"name": "web app"}', '[{"schema": 1}]', '{"audio_filepath": "a.wav"}\n', ""])
def test_a_folder_with_the_manifest_of_another_program_is_not_overwritten(tmp_path: Path, manifest: str) -> None:
    (tmp_path / "manifest.json").write_text(manifest)
    with pytest.raises(OutputError, match=r"holds something other than shards: manifest\.json"):
        prepare(Invented(), tmp_path)
    (tmp_path / "train-00000-of-00001.tfrecord").write_text("mine")
    with pytest.raises(OutputError, match="holds something other than shards"):
        prepare(Invented(), tmp_path)
    assert (tmp_path / "train-00000-of-00001.tfrecord").read_text() == "mine"


@pytest.mark.parametrize("name", ["notes.txt", "figures/1.png", "train.tfrecord"])
def test_a_file_beside_shards_is_not_deleted(tmp_path: Path, name: str) -> None:
    before = prepare(Invented(), tmp_path)
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text("mine")
    assert prepare(Invented(), tmp_path) == before
    with pytest.raises(OutputError, match=f"holds something other than shards: {name.split('/')[0]}"):
        prepare(Invented(signature="b"), tmp_path)
    assert (tmp_path / name).read_text() == "mine"


def test_the_source_is_never_the_place_of_the_shards(tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    for place in range(24):
        folder = photos / ("cat", "dog")[place % 2]
        folder.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8), (place, 0, 0)).save(folder / f"{place}.png")
    (photos / "manifest.json").write_text('{"name": "web app"}')
    for out in (photos, tmp_path):
        with pytest.raises(OutputError, match="holds something other than shards"):
            prepare(open_source(Data(source=str(photos))), out)
    assert len([*photos.rglob("*.png")]) == 24


def test_what_systems_and_killed_processes_leave_beside_shards_is_no_hindrance(tmp_path: Path) -> None:
    prepare(Invented(), tmp_path)
    (tmp_path / ".DS_Store").touch()
    (tmp_path / f"{PARTIAL}a.json").touch()
    prepare(Invented(signature="b"), tmp_path)


def test_a_place_that_cannot_be_written_is_an_output_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="cannot write"):
        prepare(Invented(), tmp_path / "file" / "s")


def test_a_full_disk_leaves_nothing_behind(tmp_path: Path) -> None:
    prepare(Invented(), tmp_path / "warm")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4000, hard))
    try:
        with pytest.raises(OutputError, match="cannot write"):
            prepare(Invented(), tmp_path / "s")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert [p.name for p in tmp_path.iterdir()] == ["warm"]


@pytest.mark.parametrize("fraction", [0.0, 0.9, float("nan")])
def test_a_validation_fraction_out_of_range_is_a_config_error(tmp_path: Path, fraction: float) -> None:
    with pytest.raises(ConfigError, match="validation fraction"):
        prepare(Invented(), tmp_path / "s", val_fraction=fraction)


def test_progress_ends_at_the_total(tmp_path: Path) -> None:
    steps: list[tuple[str, int, int]] = []
    prepare(Invented(), tmp_path / "s", on_count=lambda *step: steps.append(step))
    assert ("reading invented", 0, 80) in steps
    assert ("writing train", 64, 64) in steps


def test_prepared_data_are_found_in_the_cache() -> None:
    folder = prepare_cached(Data(source="digits"))
    assert folder.parent == cache_dir() / "data"
    assert list_others() == []
    assert prepare_cached(Data(source="digits")) == folder
    assert open_dataset(folder).counts == {"train": 1439, "val": 179, "test": 179}


# views


def test_a_view_of_named_classes_keeps_their_order_and_relabels(shards: Path) -> None:
    dataset = open_dataset(shards, " dog, bear")
    block = read_all(dataset, "train")
    assert (dataset.name, dataset.class_names, dataset.counts["train"]) == ("invented-2", ("bear", "dog"), 32)
    assert (dataset.superclass_names, dataset.superclass_of) == (("living", "other"), (0, 1))
    expected = [{1: 0, 3: 1}[int(key[1:]) % 4] for key in block.ids]
    assert block.labels.tolist() == expected


def test_superclasses_can_be_the_labels(shards: Path) -> None:
    dataset = open_dataset(shards, "coarse")
    block = read_all(dataset, "val")
    assert (dataset.class_names, dataset.superclass_names) == (("living", "other"), None)
    assert block.labels.tolist() == [int(key[1:]) % 4 // 2 for key in block.ids]


def test_superclasses_without_a_chosen_class_are_left_out(shards: Path) -> None:
    dataset = open_dataset(shards, "chair,dog")
    assert (dataset.superclass_names, dataset.superclass_of) == (("other",), (0, 0))


def test_classes_with_few_or_no_images_to_score_are_noted_for_the_view_that_has_them(tmp_path: Path) -> None:
    def split_of(number: int) -> SplitName:
        # 20 images of each class; validation has 0 apples, 4 bears and 5 of the others, test has 5 of each.
        place = number // 4
        return "test" if place < 5 else "val" if place < (5, 9, 10, 10)[number % 4] else "train"

    source = Invented()
    for number, (key, old) in enumerate(source.images.items()):
        source.images[key] = dataclasses.replace(old, split=split_of(number))
    prepare(source, tmp_path / "s")
    assert open_dataset(tmp_path / "s").notes == (
        "1 of 4 classes has no validation images: apple",
        "1 of 4 classes has fewer than 5 validation images, so the accuracy of each is uncertain: bear (4)",
    )
    whole, some = open_dataset(tmp_path / "s"), open_dataset(tmp_path / "s", "bear,dog")
    assert (whole.class_counts("val").tolist(), some.class_counts("val").tolist()) == ([0, 4, 5, 5], [4, 5])
    assert whole.class_counts("train").tolist() == [15, 11, 10, 10]
    assert (whole.imbalance, some.imbalance) == (1.5, 1.1)
    (note,) = some.notes
    assert note.startswith("1 of 2 classes has fewer than 5 validation images")
    assert open_dataset(tmp_path / "s", "chair,dog").notes == ()
    (note,) = open_dataset(tmp_path / "s", "coarse").notes
    assert note.endswith("living (4)")


def test_classes_of_which_a_split_has_no_image_are_refused(tmp_path: Path) -> None:
    splits: tuple[SplitName, ...] = ("train", "val", "test")
    source = Invented()
    for number, (key, old) in enumerate(source.images.items()):
        source.images[key] = dataclasses.replace(old, split=splits[number // 4 % 3] if old.label < 2 else "train")
    prepare(source, tmp_path / "s")
    assert open_dataset(tmp_path / "s", "bear,chair").class_names == ("bear", "chair")
    with pytest.raises(DataError, match="no validation and no test images of chair, dog; choose other classes"):
        open_dataset(tmp_path / "s", "chair,dog")


def test_a_number_draws_classes_by_the_seed(shards: Path) -> None:
    drawn = {open_dataset(shards, "2", seed).class_names for seed in range(8)}
    assert len(drawn) > 1
    assert open_dataset(shards, "2", 3) == open_dataset(shards, "2", 3)
    assert all(names == tuple(sorted(names)) for names in drawn)


def test_the_fingerprint_of_a_view_depends_on_its_classes(shards: Path) -> None:
    views = [open_dataset(shards, classes).fingerprint for classes in ("all", "coarse", "apple,bear", "bear,dog")]
    assert len(set(views)) == 4
    assert open_dataset(shards, "bear,apple").fingerprint == views[2]
    assert open_dataset(shards, "4").fingerprint == views[0]


NAMES = ("cat", "dog", "salt, pepper", "new\nline", " cat", "caf\u00e9", "20", "all", "a", "b", "a,b", "caf\\xe9")


@pytest.mark.parametrize(
    ("classes", "chosen"),
    [
        ("dog, cat", ["cat", "dog"]),
        ("dog,salt, pepper", ["dog", "salt, pepper"]),
        ("a,b", ["a", "b"]),
        ('["a,b", "dog"]', ["dog", "a,b"]),
        ('[" cat", "cat"]', ["cat", " cat"]),
        ("dog,new\nline", ["dog", "new\nline"]),
        ("dog,new\\nline", ["dog", "new\nline"]),
        ("dog,cafe\u0301", ["dog", "caf\u00e9"]),
        ('["dog", "cafe\u0301"]', ["dog", "caf\u00e9"]),
        ("dog,caf\\xe9", ["dog", "caf\\xe9"]),
        ("all,20", ["20", "all"]),
        ("[20, 3]", ["20", "3"]),
    ],
    ids=lambda value: None if isinstance(value, list) else value.encode("unicode_escape").decode(),
)
def test_any_name_of_a_class_can_be_chosen(classes: str, chosen: list[str]) -> None:
    names = (*NAMES, "3")
    assert [names[label] for label in choose_classes(classes, names, 0, "pictures")] == chosen


def test_of_two_names_in_two_forms_of_unicode_each_is_found_by_its_own() -> None:
    names = ("caf\u00e9", "cafe\u0301", "tea")
    assert choose_classes("tea,cafe\u0301", names, 0, "drinks") == [1, 2]
    assert choose_classes("tea,caf\u00e9", names, 0, "drinks") == [0, 2]


def test_a_class_is_found_as_a_spreadsheet_saves_its_number_unless_two_can_be_meant() -> None:
    assert find_class("7", ("007", "008")) == 0
    assert find_class("7", ("007", "7")) == 1
    assert find_class("7", ("007", "07")) is None


def test_a_comma_in_a_name_is_explained_where_a_name_is_not_found() -> None:
    with pytest.raises(DataError, match=r"no class 'salt'; .*as a JSON list: \[\"a, b\", \"c\"\]"):
        choose_classes("dog,salt, peper", NAMES, 0, "pictures")


@pytest.mark.parametrize(
    ("classes", "reason"),
    [
        ("1", "number from 2"),
        ("5", "has 4 classes"),
        ("aple,bear", "no class 'aple'; did you mean apple"),
        ("bear", "fewer than two"),
        ("", "fewer than two"),
    ],
)
def test_unknown_classes_are_a_data_error(shards: Path, classes: str, reason: str) -> None:
    with pytest.raises(DataError, match=reason):
        open_dataset(shards, classes)


def test_missing_superclasses_are_a_data_error(tmp_path: Path) -> None:
    prepare(open_source(Data(source="digits")), tmp_path / "s")
    with pytest.raises(DataError, match="no superclasses"):
        open_dataset(tmp_path / "s", "coarse")


# reading


def test_the_test_split_is_locked_at_once(shards: Path) -> None:
    dataset = open_dataset(shards)
    with pytest.raises(DataError, match="locked"):
        read_blocks(dataset, "test")
    assert sum(len(block.ids) for block in read_blocks(dataset, "test", unlock=True)) == 8


def test_blocks_have_at_most_the_requested_size(shards: Path) -> None:
    sizes = [len(block.ids) for block in read_blocks(open_dataset(shards), "train", 10)]
    assert sizes == [10] * 6 + [4]


@pytest.fixture
def own(tmp_path: Path) -> tuple[Dataset, Path]:
    prepare(Invented(), tmp_path / "s")
    dataset = open_dataset(tmp_path / "s")
    return dataset, dataset.folder / dataset.manifest.splits["train"].files[0].name


def test_a_flipped_bit_is_found_and_the_file_named(own: tuple[Dataset, Path]) -> None:
    dataset, path = own
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(DataError, match=r"is damaged .* prepare the data again") as caught:
        read_all(dataset, "train")
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("keep", [0.5, 0.0])
def test_a_truncated_shard_is_found(own: tuple[Dataset, Path], keep: float) -> None:
    dataset, path = own
    path.write_bytes(path.read_bytes()[: int(keep * path.stat().st_size)])
    with pytest.raises(DataError, match="is damaged"):
        read_all(dataset, "train") if keep else list(read_blocks(dataset, "train"))


def test_a_shard_truncated_between_two_records_is_detected_by_its_count(own: tuple[Dataset, Path]) -> None:
    dataset, path = own
    length = int.from_bytes(path.read_bytes()[:8], "little") + 16
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(DataError, match="1 records instead of 64"):
        read_all(dataset, "train")


def test_a_missing_shard_is_found(own: tuple[Dataset, Path]) -> None:
    dataset, path = own
    path.unlink()
    with pytest.raises(DataError, match="is damaged"):
        read_all(dataset, "train")


def test_a_folder_without_a_manifest_says_how_to_get_one(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="data prepare"):
        read_manifest(tmp_path)
    (tmp_path / "manifest.json").write_text("{")
    with pytest.raises(DataError, match="prepare again"):
        read_manifest(tmp_path)
    (tmp_path / "manifest.json").write_text('{"schema": 99}')
    with pytest.raises(DataError, match="schema 99"):
        read_manifest(tmp_path)


# folders of images


def test_a_folder_of_mixed_images_is_read_as_squares_of_one_side(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for name in ("a", "b"):
        (tmp_path / "pics" / name).mkdir(parents=True)
        for index, suffix in enumerate(("png", "jpg", "bmp", "gif", "webp", "png")):
            size = (40, 30) if index == 5 else (100 + index, 80)
            image = Image.fromarray(rng.integers(0, 256, (size[1], size[0], 3), np.uint8))
            image.save(tmp_path / "pics" / name / f"{index}.{suffix}")
        (tmp_path / "pics" / name / "bad.png").write_bytes(b"bad")
    folder = prepare_cached(Data(source=str(tmp_path / "pics")))
    manifest = read_manifest(folder)
    assert (manifest.side, manifest.uniform, len(manifest.quarantined)) == (80, False, 2)
    dataset = open_dataset(folder, fit=Fit.CROP)
    blocks = [read_all(dataset, split) for split in ("train", "val", "test")]
    assert sum(len(block.ids) for block in blocks) == 12
    assert {block.images.shape[1:] for block in blocks} == {(80, 80, 3)}
    # Lossless files that only had to be cropped come back exactly.
    for block in blocks:
        for image, key in zip(block.images, block.ids, strict=True):
            if key.endswith("0.png"):
                original = np.asarray(Image.open(tmp_path / "pics" / key))
                assert np.array_equal(image, original[:, 10:90])


def test_small_images_of_one_square_are_stored_as_pixels(tmp_path: Path) -> None:
    for name, colour in (("a", "red"), ("b", "blue")):
        (tmp_path / "pics" / name).mkdir(parents=True)
        for index in range(5):
            Image.new("RGB", (12, 12), colour).point(lambda v, i=index: max(0, v - i)).save(
                tmp_path / "pics" / name / f"{index}.png"
            )
    manifest = read_manifest(prepare_cached(Data(source=str(tmp_path / "pics"))))
    assert (manifest.side, manifest.uniform) == (12, True)


# the module


def test_importing_data_loads_no_tensorflow() -> None:
    assert importlib.util.find_spec("tensorflow")
    code = "import sys, bakeoff.data.contact_sheet, bakeoff.data.sources; sys.exit('tensorflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_two_threads_that_need_the_same_data_prepare_it_once(tmp_path: Path) -> None:
    inside, said = threading.Event(), []

    class Slow(Invented):
        def records(self) -> Iterator[RawImage | BadImage]:
            inside.set()
            yield from super().records()

    def prepare_again() -> None:
        inside.wait(30)
        prepare(Slow(), tmp_path / "s", on_count=lambda doing, _done, _total: said.append(doing))

    second = threading.Thread(target=prepare_again)
    second.start()

    def hold_up(doing: str, done: int, total: int) -> None:  # noqa: ARG001
        # The first goes on only when the second has begun to wait.
        while not said:
            time.sleep(0.01)

    prepare(Slow(), tmp_path / "s", on_count=hold_up)
    second.join()
    assert said == ["waiting for another process that prepares the same data"]
    assert [path.name for path in tmp_path.iterdir()] == ["s"]
