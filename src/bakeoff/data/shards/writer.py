"""Writes the images of a source as a folder of TFRecord shards: the second of two passes over the source.

A record is a tf.train.Example with `image`, `label`, `coarse_label` (if there are superclasses), `group` (if there are
groups), `id`, `height` and `width`; the last two are 0 if `image` is an encoded file rather than raw uint8 RGB.
"""

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bakeoff import __version__
from bakeoff.cache import SHARD_FILES, mark_used
from bakeoff.data.shards.columns import ImageColumns, ShardEntry
from bakeoff.data.shards.edits import NO_EDITS, Edits
from bakeoff.data.shards.manifest import (
    MANIFEST,
    SCHEMA,
    Manifest,
    ShardFile,
    SplitFacts,
    read_manifest,
    write_manifest,
)
from bakeoff.data.shards.plan import plan_shards, stored_form
from bakeoff.data.shards.splits import SPLITS
from bakeoff.data.sources import OnCount, Source, SplitName, open_source
from bakeoff.errors import ConfigError, DataError, OutputError
from bakeoff.files import cache_dir, hash_file, hash_json
from bakeoff.locks import check_replaceable, replacing_folder, waiting_for
from bakeoff.machine import import_tensorflow
from bakeoff.runs.config import Data

__all__ = ["prepare", "prepare_cached"]

_VAL_FRACTION = 0.1
# Largest size of a shard file.
_SHARD_BYTES = 64_000_000
# An upper bound of the bytes that an Example and the TFRecord format add to an image and its id.
_RECORD_OVERHEAD_BYTES = 200
# Images that are fetched at once, and after which progress is reported.
_CHUNK_IMAGES = 256


def prepare_cached(
    data: Data,
    data_dir: Path | None = None,
    *,
    edits: Edits = NO_EDITS,
    on_count: OnCount | None = None,
) -> Path:
    """Prepare data into the cache, unless that was done before.

    Args:
        data: Which images; `classes` and `seed` are not used.
        data_dir: Where to look for archives first.
        edits: Images to leave out, and images that get another label.
        on_count: Called with (what is being done, how much is done, how much in all).

    Returns:
        The folder of the shards.

    Raises:
        DataError: The data do not exist or cannot be used.
        OutputError: The cache cannot be written.
    """
    source = open_source(data, data_dir, on_count)
    folder = cache_dir() / "data" / f"{source.name}-{_compute_signature(source, _VAL_FRACTION, 0, edits)[:12]}"
    mark_used(folder)
    prepare(source, folder, edits=edits, on_count=on_count)
    return folder


def prepare(
    source: Source,
    folder: Path,
    *,
    val_fraction: float = _VAL_FRACTION,
    seed: int = 0,
    edits: Edits = NO_EDITS,
    on_count: OnCount | None = None,
) -> Manifest:
    """Write a source's shards and manifest into a folder, atomically.

    A folder that already holds these shards is not written again; one that holds other shards is replaced.

    Args:
        source: The images.
        folder: Where to write.
        val_fraction: Share of the images without a given split that becomes the validation split, above 0 and at most
            0.5.
        seed: Draws the splits and the order on disk.
        edits: Images to leave out, and images that get another label; the manifest keeps both.
        on_count: Called with (what is being done, how much is done, how much in all).

    Returns:
        The manifest.

    Raises:
        ConfigError: `val_fraction` is out of range.
        DataError: An image cannot be used, or a class has too few images.
        OutputError: The folder cannot be written, or holds something other than shards.
    """
    if not 0 < val_fraction <= 0.5:
        raise ConfigError(f"a validation fraction of {val_fraction} leaves nothing to train or to select by; try 0.1")
    signature = _compute_signature(source, val_fraction, seed, edits)
    if ready := _find_ready(folder, signature):
        return _renew_notes(source, folder, ready)

    def report_wait() -> None:
        if on_count:
            on_count("waiting for another process that prepares the same data", 0, 0)

    # Two processes that need the same data prepare it once.
    with waiting_for(folder, report_wait):
        return _find_ready(folder, signature) or _prepare(
            source, folder, signature, val_fraction, seed, edits, on_count
        )


def _prepare(
    source: Source,
    folder: Path,
    signature: str,
    val_fraction: float,
    seed: int,
    edits: Edits,
    on_count: OnCount | None,
) -> Manifest:
    check_replaceable(folder, "shards", MANIFEST, SHARD_FILES)
    plan = plan_shards(source, val_fraction, seed, edits, on_count)
    # Shuffled on disk, so that the first images of a split are a random sample of it.
    order = np.random.default_rng(seed).permutation(len(plan.images))
    with replacing_folder(folder) as temporary:
        manifest = Manifest(
            name=source.name,
            fingerprint=plan.fingerprint,
            signature=signature,
            side=plan.side,
            whole_side=plan.whole_side,
            large_sides=plan.large_sides,
            cut_area=plan.cut_area,
            cut_images=plan.cut_images,
            uniform=plan.uniform,
            class_names=source.class_names,
            coarse_names=source.coarse_names,
            coarse_of=source.coarse_of,
            may_mirror=source.may_mirror,
            splits={split: _write_split(source, temporary, split, plan.images, order, on_count) for split in SPLITS},
            quarantined=plan.quarantined,
            relabelled=plan.relabelled,
            given_fingerprint=plan.given_fingerprint,
            groups=plan.groups,
            drawn=plan.drawn,
            copies=plan.copies,
            warnings=plan.warnings,
            notes=plan.notes,
            changing_notes=len(source.changing_notes),
            licence=source.licence,
            version=__version__,
        )
        write_manifest(temporary, manifest)
    return manifest


def _compute_signature(source: Source, val_fraction: float, seed: int, edits: Edits) -> str:
    """A hash of all that the shards depend on; cheap, because the source's signature reads no image."""
    parts: list[Any] = [SCHEMA, source.name, source.signature, val_fraction, seed]
    if edits.excluded:
        parts.append({"excluded": sorted(edits.excluded)})
    if edits.relabelled:
        parts.append({"relabelled": sorted(edits.relabelled.items())})
    return hash_json(parts)


def _find_ready(folder: Path, signature: str) -> Manifest | None:
    """The manifest of a folder that already has the shards with this signature, all files at their size."""
    try:
        manifest = read_manifest(folder)
    except DataError:
        # The manifest is missing, damaged or of another schema: preparing writes a new one.
        return None
    files = [file for facts in manifest.splits.values() for file in facts.files]
    paths = [folder / file.name for file in files]
    complete = all(
        path.is_file() and path.stat().st_size == file.bytes for path, file in zip(paths, files, strict=True)
    )
    return manifest if complete and manifest.signature == signature else None


def _renew_notes(source: Source, folder: Path, manifest: Manifest) -> Manifest:
    """Write down what files beside the images have changed, such as a table or a folder that is left out."""
    count, notes = manifest.changing_notes, source.changing_notes
    if count is None or notes == manifest.notes[:count]:
        return manifest
    renewed = manifest.model_copy(
        update={"notes": (*notes, *manifest.notes[count:]), "changing_notes": len(notes)},
    )
    write_manifest(folder, renewed)
    return renewed


def _write_split(
    source: Source,
    folder: Path,
    split: SplitName,
    images: ImageColumns,
    order: NDArray[np.intp],
    on_count: OnCount | None,
) -> SplitFacts:
    chosen = order[images.splits[order] == SPLITS.index(split)]
    shards = list(_cut_into_shards(_record_sizes(images, chosen)))
    files = []
    done = 0
    for number, shard in enumerate(shards):
        path = folder / f"{split}-{number:05d}-of-{len(shards):05d}.tfrecord"
        for written in _write_shard(source, path, images, chosen[shard]):
            if on_count:
                on_count(f"writing {split}", done + written, len(chosen))
        count = shard.stop - shard.start
        done += count
        files.append(_finish_shard(path, count))
    class_counts = np.bincount(images.labels[chosen], minlength=len(source.class_names))
    return SplitFacts(count=len(chosen), class_counts=tuple(class_counts.tolist()), files=tuple(files))


def _record_sizes(images: ImageColumns, places: NDArray[np.intp]) -> NDArray[np.int64]:
    """About the bytes of each record, and no fewer."""
    sizes = images.sizes[places] + images.key_sizes[places] + _RECORD_OVERHEAD_BYTES
    if images.groups:
        sizes += [len((images.groups[place] or "").encode()) for place in places]
    return sizes


def _cut_into_shards(sizes: NDArray[np.int64]) -> Iterator[slice]:
    """Consecutive records that fit into one shard file each."""
    ends = np.cumsum(sizes)
    start = 0
    while not start or start < len(sizes):
        before = ends[start - 1] if start else 0
        stop = max(start + 1, int(np.searchsorted(ends, before + _SHARD_BYTES, side="right")))
        yield slice(start, min(stop, len(sizes)))
        start = stop


def _write_shard(source: Source, path: Path, images: ImageColumns, places: NDArray[np.intp]) -> Iterator[int]:
    """Write one shard file; yields the number of records written so far."""
    tf = import_tensorflow()
    try:
        with tf.io.TFRecordWriter(str(path)) as writer:
            for start in range(0, len(places), _CHUNK_IMAGES):
                chunk = images.take(places[start : start + _CHUNK_IMAGES])
                for entry, record in zip(chunk, source.fetch([entry.key for entry in chunk]), strict=True):
                    data, raw = stored_form(record, entry.shape)
                    if hashlib.sha256(data).hexdigest() != entry.sha256:
                        raise DataError(f"{entry.key} of {source.name} changed while it was prepared; prepare again")
                    writer.write(_serialize_example(tf, entry, data, raw))
                yield start + len(chunk)
    except tf.errors.OpError as error:
        raise OutputError(f"cannot write {path.name}: {error.message}; free some space") from error


def _serialize_example(tf: Any, entry: ShardEntry, data: bytes, raw: bool) -> bytes:
    def integer(value: int) -> Any:
        return tf.train.Feature(int64_list=tf.train.Int64List(value=[value]))

    def text(value: bytes) -> Any:
        return tf.train.Feature(bytes_list=tf.train.BytesList(value=[value]))

    height, width = entry.shape if raw else (0, 0)
    feature = {
        "image": text(data),
        "label": integer(entry.label),
        "id": text(entry.key.encode()),
        "height": integer(height),
        "width": integer(width),
    }
    if entry.coarse_label is not None:
        feature["coarse_label"] = integer(entry.coarse_label)
    if entry.group is not None:
        feature["group"] = text(entry.group.encode())
    example = tf.train.Example(features=tf.train.Features(feature=feature))
    serialized: bytes = example.SerializeToString()
    return serialized


def _finish_shard(path: Path, records: int) -> ShardFile:
    with path.open("rb") as written:
        os.fsync(written.fileno())
    return ShardFile(name=path.name, records=records, bytes=path.stat().st_size, sha256=hash_file(path))
