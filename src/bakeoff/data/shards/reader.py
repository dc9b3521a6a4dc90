"""Reads shards as blocks of decoded images, in the order on disk, with the labels of the view. Checks the CRCs.

The test split is locked: reading it needs `unlock`, which only evaluation and the checks of the data pass.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from bakeoff.data.pixels import decode, resize_to_square
from bakeoff.data.shards.manifest import ShardFile
from bakeoff.data.shards.view import Dataset
from bakeoff.data.sources import SplitName
from bakeoff.errors import DataError
from bakeoff.machine import count_cores, import_tensorflow

__all__ = ["Block", "read_blocks", "read_images"]

# Images per block if they are encoded. A photograph takes more memory while it is decoded than its result does.
_ENCODED_BLOCK_IMAGES = 256


@dataclass(frozen=True)
class Block:
    """Consecutive images of a split."""

    images: np.ndarray
    """uint8 (n, side, side, 3)."""
    labels: np.ndarray
    """int32 (n,), the labels of the view."""
    ids: list[str]
    """n ids of records."""
    groups: list[str] | None = None
    """The n groups that the images are in, which stay on one side of every split; None if there are no groups."""


def read_blocks(dataset: Dataset, split: SplitName, block: int = 1024, *, unlock: bool = False) -> Iterator[Block]:
    """Read a split in blocks, every image of the view once.

    Args:
        dataset: The view.
        split: The split's name.
        block: The largest number of images in a block.
        unlock: Must be set to read the test split.

    Raises:
        DataError: The test split is locked; or a shard, which is named, is missing, damaged or incomplete.
    """
    if split == "test" and not unlock:
        raise DataError("the test split is locked: train and select on train and val, open it with `bakeoff evaluate`")
    return _read(dataset, split, block)


def read_images(dataset: Dataset, splits: Iterable[SplitName], ids: Collection[str]) -> dict[str, np.ndarray]:
    """Read some images of these splits, which are not test: uint8 (side, side, 3) by the id of the record.

    Ids that are not there are left out. Raises DataError as `read_blocks` does.
    """
    wanted = set(ids)
    found: dict[str, np.ndarray] = {}
    for block in chain.from_iterable(read_blocks(dataset, split) for split in splits) if wanted else ():
        # A copy, so that the block can be freed.
        found |= {key: block.images[place].copy() for place, key in enumerate(block.ids) if key in wanted}
        if len(found) == len(wanted):
            break
    return found


def _read(dataset: Dataset, split: SplitName, block: int) -> Iterator[Block]:
    label_map = np.array(dataset.label_map, np.int32)
    with ThreadPoolExecutor(count_cores()) as pool:
        for file in dataset.manifest.splits[split].files:
            for batch in _read_file(dataset, file, block):
                labels = label_map[batch["label"]]
                kept = np.flatnonzero(labels >= 0)
                if not len(kept):
                    continue
                ids = [key.decode() for key in batch["id"][kept]]
                if dataset.manifest.uniform:
                    # The common case, a view with every class, needs no copy.
                    images = batch["image"] if len(kept) == len(labels) else batch["image"][kept]
                else:
                    columns = (batch["image"][kept], batch["height"][kept], batch["width"][kept], ids)
                    images = np.stack(list(pool.map(partial(_unpack, dataset), *columns)))
                groups = [group.decode() for group in batch["group"][kept]] if dataset.manifest.groups else None
                yield Block(images, labels[kept], ids, groups)


def _read_file(dataset: Dataset, file: ShardFile, block: int) -> Iterator[Mapping[str, np.ndarray]]:
    tf = import_tensorflow()
    path = dataset.folder / file.name
    size = block if dataset.manifest.uniform else min(block, _ENCODED_BLOCK_IMAGES)
    count = 0
    try:
        records = tf.data.TFRecordDataset(str(path), buffer_size=1 << 20).batch(size)
        parse = tf.autograph.experimental.do_not_convert(partial(_parse, tf, dataset))
        parsed = records.map(parse, num_parallel_calls=2).prefetch(2)
        for batch in parsed.as_numpy_iterator():
            count += len(batch["label"])
            yield batch
    except tf.errors.OpError as error:
        reason = str(error.message).splitlines()[0].split("[")[0].strip(" ;:")
        raise _damaged(dataset, path, reason or type(error).__name__) from error
    if count != file.records:
        raise _damaged(dataset, path, f"it has {count} records instead of {file.records}")


def _parse(tf: Any, dataset: Dataset, batch: Any) -> dict[str, Any]:
    features = {
        "image": tf.io.FixedLenFeature([], tf.string),
        "label": tf.io.FixedLenFeature([], tf.int64),
        "id": tf.io.FixedLenFeature([], tf.string),
        "height": tf.io.FixedLenFeature([], tf.int64),
        "width": tf.io.FixedLenFeature([], tf.int64),
    }
    if dataset.manifest.groups:
        features["group"] = tf.io.FixedLenFeature([], tf.string)
    parsed: dict[str, Any] = tf.io.parse_example(batch, features)
    if dataset.manifest.uniform:
        shape = [-1, dataset.side, dataset.side, 3]
        parsed["image"] = tf.reshape(tf.io.decode_raw(parsed["image"], tf.uint8), shape)
    return parsed


def _unpack(dataset: Dataset, data: bytes, height: int, width: int, key: str) -> np.ndarray:
    if height:
        return resize_to_square(np.frombuffer(data, np.uint8).reshape(height, width, 3), dataset.side, dataset.fit)
    try:
        return decode(data, dataset.side, dataset.fit)
    except DataError as error:
        raise DataError(f"{key} in {dataset.folder}: {error}") from error


def _damaged(dataset: Dataset, path: Path, reason: str) -> DataError:
    return DataError(f"{path} is damaged ({reason}); delete {dataset.folder} and prepare the data again")
