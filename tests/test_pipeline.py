from itertools import islice, pairwise

import numpy as np
import pytest
from PIL import Image

import bakeoff.data.batches as pipeline
from bakeoff.data.batches import Split, eval_batches, load_split, sample_stratified, train_batches
from bakeoff.data.shards import open_dataset, prepare, prepare_cached
from bakeoff.data.sources import open_source
from bakeoff.errors import DataError
from bakeoff.runs.config import Augment, Data

PLAIN = Augment(policy="none")


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BAKEOFF_CACHE_DIR", str(tmp_path_factory.mktemp("digits")))
        return open_dataset(prepare_cached(Data(source="digits")))


def _split(n=50):
    images = np.zeros((n, 2, 2, 3), np.uint8) + np.arange(n, dtype=np.uint8)[:, None, None, None]
    return Split(images, np.arange(n, dtype=np.int32) % 5, [str(i) for i in range(n)])


def test_an_epoch_shows_every_image_once():
    batches = list(islice(train_batches(_split(), 5, 10, PLAIN, seed=0), 10))
    for epoch in (batches[:5], batches[5:]):
        assert sorted(np.concatenate([images[:, 0, 0, 0] for images, _ in epoch])) == list(range(50))


def test_two_epochs_are_in_different_orders():
    batches = [images[:, 0, 0, 0] for images, _ in islice(train_batches(_split(), 5, 50, PLAIN, seed=0), 2)]
    assert not np.array_equal(*batches)


def test_a_batch_may_straddle_two_epochs_and_stays_full():
    batches = list(islice(train_batches(_split(), 5, 32, PLAIN, seed=0), 3))
    assert [len(targets) for _, targets in batches] == [32, 32, 32]
    assert sorted(np.concatenate([images[:, 0, 0, 0] for images, _ in batches])[:50]) == list(range(50))


def test_training_can_resume_at_any_batch():
    whole = list(islice(train_batches(_split(), 5, 8, Augment(), seed=3), 12))
    rest = list(islice(train_batches(_split(), 5, 8, Augment(), seed=3, start=7), 5))
    for (images, targets), (same_images, same_targets) in zip(whole[7:], rest, strict=True):
        assert np.array_equal(images, same_images)
        assert np.array_equal(targets, same_targets)


def test_labels_stay_with_their_images():
    for images, targets in islice(train_batches(_split(), 5, 16, PLAIN, seed=1), 5):
        assert np.array_equal(images[:, 0, 0, 0] % 5, targets.argmax(axis=1))
        assert np.array_equal(targets.sum(axis=1), np.ones(16))


def test_evaluation_counts_every_image_once_and_in_order():
    seen = np.concatenate([images[:, 0, 0, 0] for images, _ in eval_batches(_split(), 16)])
    assert np.array_equal(seen, np.arange(50))


def test_a_stratified_sample_keeps_proportions_and_contains_smaller_samples():
    labels = np.repeat(np.arange(4, dtype=np.int32), [400, 200, 100, 100])
    sample = sample_stratified(labels, 80)
    assert np.bincount(labels[sample]).tolist() == [40, 20, 10, 10]
    assert set(sample_stratified(labels, 40)) <= set(sample)


def test_a_stratified_sample_has_every_class_as_far_as_there_are_places():
    labels = np.repeat(np.arange(5, dtype=np.int32), [5000, 3000, 1, 2, 0])
    assert np.bincount(labels[sample_stratified(labels, 100)]).tolist() == [61, 37, 1, 1]
    assert set(labels[sample_stratified(labels, 3)]) == {0, 1, 3}
    samples = [set(sample_stratified(labels, size)) for size in (2, 3, 4, 50, 8003)]
    assert all(small < large for small, large in pairwise(samples))


def test_load_split_gives_all_images_of_the_split(digits):
    split = load_split(digits, "train")
    assert len(split) == digits.counts["train"] == len(set(split.ids))
    assert split.images.shape == (len(split), 8, 8, 3)
    assert set(split.labels) == set(range(10))


def test_the_test_split_is_locked(digits):
    with pytest.raises(DataError, match="locked"):
        load_split(digits, "test")
    assert len(load_split(digits, "test", unlock=True)) == digits.counts["test"]


def test_a_large_split_is_read_from_disk_with_the_same_contents(digits, monkeypatch):
    held = load_split(digits, "val")
    monkeypatch.setenv("BAKEOFF_MEMORY_LIMIT_BYTES", "0")
    for _ in range(2):  # written, then found
        mapped = load_split(digits, "val")
        assert isinstance(mapped.images, pipeline.ImagesOnDisk)
        assert np.array_equal(mapped.images, held.images)
        assert np.array_equal(mapped.labels, held.labels)
        assert mapped.ids == held.ids


def test_images_on_disk_have_the_ids_of_their_own_shards(tmp_path, monkeypatch):
    photos = tmp_path / "photos"
    for place in range(24):
        folder = photos / ("cat", "dog")[place % 2]
        folder.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8), (place, 0, 0)).save(folder / f"{place}.png")
    before = _prepare_photos(photos, tmp_path / "before")
    for path in [*photos.rglob("*.png")]:
        path.rename(path.with_name(f"renamed-{path.name}"))
    after = _prepare_photos(photos, tmp_path / "after")
    assert after.decoded_key == before.decoded_key
    expected = [load_split(dataset, "train").ids for dataset in (before, after)]
    monkeypatch.setenv("BAKEOFF_MEMORY_LIMIT_BYTES", "0")
    assert [load_split(dataset, "train").ids for dataset in (before, after)] == expected
    assert expected[0] != expected[1]


def _prepare_photos(photos, folder):
    prepare(open_source(Data(source=str(photos))), folder)
    return open_dataset(folder)


def test_joined_splits_are_read_like_one(digits, monkeypatch):
    val = load_split(digits, "val")
    in_memory = load_split(digits, "train", subset=50)
    monkeypatch.setenv("BAKEOFF_MEMORY_LIMIT_BYTES", "0")
    on_disk = load_split(digits, "train")
    for first in (in_memory, on_disk):
        both = first.joined(val)
        images = np.concatenate([first.images[:], val.images[:]])
        assert both.images.shape == images.shape
        assert both.ids == [*first.ids, *val.ids]
        assert np.array_equal(both.labels, np.concatenate([first.labels, val.labels]))
        edge = len(first)
        order = np.array([edge, 3, len(both) - 1, edge - 1, 3])
        for key in (slice(None), slice(edge - 2, edge + 2), order, order[:0]):
            assert np.array_equal(both.images[key], images[key])
        assert np.array_equal(both.take(order).images, images[order])
