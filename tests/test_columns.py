"""The images of a source as columns: what they hold, their order, and what they take."""

import hashlib
import tracemalloc

import numpy as np

from bakeoff.data.shards.columns import ColumnsBuilder
from bakeoff.data.sources import RawImage


def _image(key, *, split=None, label=0, coarse=None, content=b"", group=None, shape=(2, 3)):
    return RawImage(key, split, label, coarse, content or key.encode(), shape, group=group)


def _collect(*images, has_groups=False):
    builder = ColumnsBuilder(has_groups=has_groups)
    for image in images:
        builder.add(image, hashlib.sha256(image.data).digest(), len(image.data), True)
    return builder.finish()


def test_rows_hold_what_was_read():
    images = [
        _image("é/1.png", split="test", label=300, coarse=0, shape=(70_000, 3), group="s1"),
        _image("b", split="val", label=2, coarse=19, content=bytes(70_000)),
        _image("", content=b"x", group="s1"),
    ]
    rows = {row.key: row for row in _collect(*images, has_groups=True).rows()}
    for image in images:
        row, digest = rows[image.key], hashlib.sha256(image.data).hexdigest()
        assert (row.split, row.label, row.coarse_label, row.group) == (
            image.split,
            image.label,
            image.coarse_label,
            image.group,
        )
        assert (row.sha256, row.size, row.shape) == (digest, len(image.data), image.shape)
    assert all(row.group is None for row in _collect(*images).rows())


def test_the_order_is_by_content_then_by_label_split_and_key_whatever_the_order_of_reading():
    images = [_image(str(number)) for number in range(50)]
    images += [
        _image(key, content=b"same", label=label, split=split)
        for key, label, split in (("d", 1, None), ("c", 0, "val"), ("b", 0, "train"), ("a", 0, "train"), ("e", 0, None))
    ]
    rng = np.random.default_rng(0)
    orders = [[images[place] for place in rng.permutation(len(images))] for _ in range(5)]
    found = [list(_collect(*order).rows()) for order in orders]
    assert all(rows == found[0] for rows in found)
    assert [row.sha256 for row in found[0]] == sorted(row.sha256 for row in found[0])
    assert [row.key for row in found[0] if row.size == 4] == ["e", "a", "b", "c", "d"]


def test_byte_identical_images_have_one_number():
    columns = _collect(*(_image(f"{number}", content=b"%d" % (number % 7)) for number in range(20)))
    by_hash = {}
    for row, number in zip(columns.rows(), columns.contents, strict=True):
        assert by_hash.setdefault(row.sha256, number) == number
    assert sorted(by_hash.values()) == list(range(7))


def test_some_images_can_be_taken_in_any_order():
    columns = _collect(*(_image(str(number)) for number in range(9)))
    rows = list(columns.rows())
    places = np.array([7, 0, 7, 3])
    assert columns.take(places) == [rows[place] for place in places]
    assert [columns.key(place) for place in places] == [rows[place].key for place in places]
    assert columns.key_sizes.tolist() == [1] * 9


def test_an_image_takes_less_than_a_tenth_of_a_kilobyte():
    count = 20_000
    tracemalloc.start()
    try:
        builder = ColumnsBuilder(has_groups=False)
        for number in range(count):
            data = number.to_bytes(4, "little")
            image = RawImage(f"train/{number:05d}#12", "train", number % 100, number % 20, data, (32, 32))
            builder.add(image, hashlib.sha256(data).digest(), 3072, True)
        columns = builder.finish()
        del builder, image
        taken, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(columns) == count
    assert taken < 100 * count
