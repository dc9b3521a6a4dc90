"""Files that are made to do harm: nothing outside the file is read, and nothing larger than the file is allocated."""

import json
import random
import re
import subprocess
import sys
import tracemalloc
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from bakeoff.errors import WeightsError
from bakeoff.networks.find import find_network
from bakeoff.networks.weights import locate_weights
from bakeoff.networks.weights.hdf5 import open_hdf5
from bakeoff.networks.weights.keras_file import StoredModel, open_models
from bakeoff.networks.weights.transfer import read_kit

PRIVATE = b"4929 1234 5678 9012"


def sound(path: Path) -> Path:
    with h5py.File(path, "w") as file:
        file["layers/dense/vars/0"] = np.ones((3, 2), np.float32)
        file["layers/dense/vars/1"] = np.ones(2, np.float32)
    return path


def external_link(file: Any, folder: Path) -> None:
    sound(folder / "other.h5")
    file["layers"] = h5py.ExternalLink("other.h5", "/layers")


def soft_link(file: Any, folder: Path) -> None:  # noqa: ARG001
    file["other/dense/vars/0"] = np.ones(2)
    file["layers"] = h5py.SoftLink("/other")


def external_storage(file: Any, folder: Path) -> None:
    file.create_dataset("layers/dense/vars/0", (4,), "f4", external=[(str(folder / "private.txt"), 0, 16)])


def virtual(file: Any, folder: Path) -> None:
    layout = h5py.VirtualLayout((4,), "f4")
    layout[:] = h5py.VirtualSource(str(folder / "other.h5"), "layers/dense/vars/0", (4,))
    file.create_virtual_dataset("layers/dense/vars/0", layout)


def undeclared(file: Any, folder: Path) -> None:  # noqa: ARG001
    file.create_dataset("layers/dense/vars/0", (1 << 30,), "f4", chunks=(1 << 20,))


def never_written(file: Any, folder: Path) -> None:  # noqa: ARG001
    file.create_dataset("layers/dense/vars/0", (1 << 30,), "f4")


def compressed(file: Any, folder: Path) -> None:  # noqa: ARG001
    file.create_dataset("layers/dense/vars/0", data=np.zeros(1 << 20, "f4"), compression="gzip")


def compressed_otherwise(file: Any, folder: Path) -> None:  # noqa: ARG001
    file.create_dataset("layers/dense/vars/0", data=np.zeros(8, "f4"), compression="lzf")


def compressed_unwritten(file: Any, folder: Path) -> None:  # noqa: ARG001
    file.create_dataset("layers/dense/vars/0", (1000,), "f4", compression="gzip")


def compressed_twice(file: Any, folder: Path) -> None:  # noqa: ARG001
    plan = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    plan.set_chunk((1 << 16,))
    plan.set_deflate(9)
    plan.set_deflate(9)
    space = h5py.h5s.create_simple((1 << 16,))
    h5py.h5d.create(file.create_group("layers/dense/vars").id, b"0", h5py.h5t.NATIVE_FLOAT, space, plan)


def part_larger_than_declared(file: Any, folder: Path) -> None:  # noqa: ARG001
    """A part of 16 KiB that unpacks to 400 MiB."""
    values = file.create_dataset("layers/dense/vars/0", (1 << 13,), "f4", chunks=(1 << 12,), compression="gzip")
    values[...] = np.arange(1 << 13)
    packer = zlib.compressobj(9)
    packed = b"".join([packer.compress(bytes(1 << 20)) for _ in range(400)]) + packer.flush()
    values.id.write_direct_chunk((1 << 12,), packed)


def part_that_unpacks(file: Any, folder: Path) -> None:  # noqa: ARG001
    """A part of 64 bytes that unpacks to 100 KiB, and is small."""
    values = file.create_dataset("layers/dense/vars/0", (64,), "f4", chunks=(16,), compression="gzip")
    values[...] = np.arange(64)
    values.id.write_direct_chunk((16,), zlib.compress(bytes(100 << 10)))


def part_that_is_damaged(file: Any, folder: Path) -> None:  # noqa: ARG001
    values = file.create_dataset("layers/dense/vars/0", (64,), "f4", chunks=(16,), compression="gzip")
    values[...] = np.arange(64)
    values.id.write_direct_chunk((16,), b"no stream")


def large_chunk(file: Any, folder: Path) -> None:  # noqa: ARG001
    file.create_dataset("layers/dense/vars/0", (4,), "f4", maxshape=(None,), chunks=(1 << 29,))


def array_type(file: Any, folder: Path) -> None:  # noqa: ARG001
    file.create_dataset("layers/dense/vars/0", (2,), np.dtype(("f4", (1 << 28,))))


def cycle(file: Any, folder: Path) -> None:  # noqa: ARG001
    file["layers/dense/vars/0"] = np.ones(2)
    file["layers/dense/again"] = file["layers"]


def doubling(file: Any, folder: Path) -> None:  # noqa: ARG001
    group = file.create_group("layers")
    for _ in range(60):
        below = group.create_group("a")
        group["b"] = below
        group = below


def deep(file: Any, folder: Path) -> None:  # noqa: ARG001
    file["layers/" + "a/" * 2000 + "vars/0"] = np.ones(2)


def long_name(file: Any, folder: Path) -> None:  # noqa: ARG001
    file["layers/dense/vars/0"] = np.ones(2)
    file["layers/dense/vars"].attrs["name"] = "x" * (1 << 20)


def repeated_text(file: Any, folder: Path) -> None:
    """Many names point to one long text: 1 MiB that would be read 2000 times."""
    file.close()
    path = folder / "a.weights.h5"
    with h5py.File(path, "w") as again:
        names = np.array(["x" * (1 << 20), *["y"] * 1999], dtype=object)
        again.attrs.create("layer_names", names, dtype=h5py.string_dtype())
    data = bytearray(path.read_bytes())
    heaps = [match.start() for match in re.finditer(b"GCOL", data)]
    (long,) = [place for place in heaps if int.from_bytes(data[place + 8 : place + 16], "little") > 1 << 20]
    first = data.index(long.to_bytes(8, "little")) - 4  # before the address is the length
    data[first : first + 16 * 2000] = data[first : first + 16] * 2000
    path.write_bytes(data)


HARMS: list[Callable[[Any, Path], None]] = [
    external_link,
    soft_link,
    external_storage,
    virtual,
    undeclared,
    never_written,
    compressed,
    compressed_otherwise,
    compressed_unwritten,
    compressed_twice,
    part_larger_than_declared,
    part_that_unpacks,
    part_that_is_damaged,
    large_chunk,
    array_type,
    cycle,
    doubling,
    deep,
    long_name,
    repeated_text,
]


def make(harm: Callable[[Any, Path], None], folder: Path) -> Path:
    (folder / "private.txt").write_bytes(PRIVATE)
    with h5py.File(folder / "a.weights.h5", "w") as file:
        harm(file, folder)
    return folder / "a.weights.h5"


@pytest.mark.parametrize("inside", ["weights.h5", "keras"])
@pytest.mark.parametrize("harm", HARMS, ids=lambda harm: harm.__name__)
def test_what_no_file_of_weights_needs_is_refused_in_one_line(
    tmp_path: Path, harm: Callable[[Any, Path], None], inside: str
) -> None:
    path = make(harm, tmp_path)
    if inside == "keras":
        with zipfile.ZipFile(tmp_path / "a.keras", "w") as archive:
            archive.writestr("config.json", "{}")
            archive.write(path, "model.weights.h5")
        path = tmp_path / "a.keras"
    if harm is array_type:  # It is no tensor, so it is no layer.
        with open_models(path) as models:
            assert not models
        return
    with pytest.raises(WeightsError, match=path.name) as caught, open_models(path) as models:
        read_all(models)
    assert "\n" not in str(caught.value)


def read_all(models: list[StoredModel]) -> None:
    for model in models:
        for layer in model.layers:
            for tensor in layer.tensors:
                tensor.read()


def test_numbers_that_look_like_pointers_to_a_long_text_are_no_pointers(tmp_path: Path) -> None:
    """Tensors and tables of names may hold the address of the model's long description by chance."""
    path = sound(tmp_path / "a.h5")
    with h5py.File(path, "r+") as file:
        file.attrs.create("model_config", "x" * (1 << 20), dtype=h5py.string_dtype())
    data = path.read_bytes()
    (address,) = [
        match.start()
        for match in re.finditer(b"GCOL", data)
        if int.from_bytes(data[match.start() + 8 : match.start() + 16], "little") > 1 << 20
    ]
    near = b"D\x01\0\x08" + address.to_bytes(8, "little")  # so begins a table of names
    with h5py.File(path, "r+") as file:
        file["layers/dense_1/vars/0"] = np.frombuffer((near + b"\0\0\0\0") * 1000, np.float32)
    with open_models(path) as models:
        read_all(models)


def pack(path: Path, config: bytes, weights: bytes) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("config.json", config)
        archive.writestr("model.weights.h5", weights)
    return path


@pytest.mark.parametrize(
    ("config", "weights", "why"),
    [
        (b"{}", bytes(20 << 20), r"declares 20,971,520 bytes for model\.weights\.h5"),
        (b" " * (5 << 20), random.Random(0).randbytes(1 << 20), r"declares 5,242,880 bytes for config\.json"),
        (b"[]," * 100_000, b"", r"declares 300,000 bytes for config\.json"),
        (b"[" * 200_000, random.Random(0).randbytes(1 << 20), "is not a Keras weight file"),
    ],
    ids=["weights", "config", "small file", "depth"],
)
def test_a_member_that_grows_when_it_is_unpacked_is_refused(
    tmp_path: Path, config: bytes, weights: bytes, why: str
) -> None:
    path = pack(tmp_path / "a.keras", config, weights)
    with pytest.raises(WeightsError, match=why), open_models(path):
        pass


def repeat_names(path: Path, depth: int) -> None:
    """Put nodes above the tree of a group's names, each of which has the one below it 16 times."""
    data = bytearray(path.read_bytes())
    top = data.index(b"TREE", data.index(b"TREE") + 1)
    node, size = bytes(data[top : top + 48]), 24 + 8 + 32 * 16
    for level in range(depth + 1):
        below = (len(data) - size).to_bytes(8, "little")
        head = node[:5] + bytes([level]) + (16).to_bytes(2, "little") + b"\xff" * 16
        new = head + (node[24:32] + below) * 16 + node[40:48] if level else node
        data += new.ljust(size, b"\0")
    data[top : top + size] = data[-size:]
    data[40:48] = len(data).to_bytes(8, "little")
    path.write_bytes(data)


def test_a_tree_that_leads_to_the_same_names_in_exponentially_many_ways_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.weights.h5"
    with h5py.File(path, "w") as file:
        file["layers/0"] = np.ones(2)
    repeat_names(path, 12)
    with pytest.raises(WeightsError, match="has a part of a tree many times"), open_models(path):
        pass


def test_trees_of_many_names_and_of_many_parts_are_read(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    values = np.arange(100_000, dtype="f4").reshape(1000, 100)
    with h5py.File(path, "w") as file:
        for number in range(1000):
            file[f"dense_{number}"] = np.ones(1)
        file.create_dataset("parts", data=values, chunks=(10, 10), compression="gzip")
    with open_hdf5(path) as root:
        assert len(root.tensors) == 1001
        np.testing.assert_array_equal(root.tensors["parts"].read(), values)


@pytest.mark.parametrize("shift", [1, 512])
def test_addresses_begin_at_the_beginning_of_the_file(tmp_path: Path, shift: int) -> None:
    data = bytearray(sound(tmp_path / "a.weights.h5").read_bytes())
    data[24:32] = shift.to_bytes(8, "little")
    (tmp_path / "a.weights.h5").write_bytes(data)
    with pytest.raises(WeightsError, match="does not begin as an HDF5 file"), open_models(tmp_path / "a.weights.h5"):
        pass


def test_no_more_is_unpacked_than_a_member_declares(tmp_path: Path) -> None:
    path = pack(tmp_path / "a.keras", b"{}", bytes(64 << 20))
    data = path.read_bytes().replace((64 << 20).to_bytes(4, "little"), (1000).to_bytes(4, "little"))
    path.write_bytes(data)
    tracemalloc.start()
    try:
        with pytest.raises(WeightsError, match=path.name), open_models(path):
            pass
        assert tracemalloc.get_traced_memory()[1] < 8 << 20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("way", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_compressions_that_keras_and_people_do_not_use_are_refused(tmp_path: Path, way: int) -> None:
    with zipfile.ZipFile(tmp_path / "a.keras", "w", way) as archive:
        archive.writestr("config.json", b"{}")
        archive.write(sound(tmp_path / "a.weights.h5"), "model.weights.h5")
    with (
        pytest.raises(WeightsError, match=r"has config\.json compressed in an unusual way"),
        open_models(tmp_path / "a.keras"),
    ):
        pass


def test_the_index_of_weights_in_parts_names_no_other_folder(tmp_path: Path) -> None:
    sound(tmp_path / "a.h5")
    (tmp_path / "below").mkdir()
    index = tmp_path / "below" / "a.weights.json"
    for name in ("../a.h5", str(tmp_path / "a.h5"), "..", "", "gone.h5"):
        index.write_text(json.dumps({"weight_map": {"/layers/dense/vars": name}}))
        with pytest.raises(WeightsError, match=r"is not an index|is missing"):
            locate_weights(find_network("lenet"), str(index))


def test_a_kit_larger_than_any_is_refused_before_it_is_read(tmp_path: Path) -> None:
    (tmp_path / "kit.json").write_text('{"schema":1,"files":[' + "{}," * 500_000 + "{}]}")
    with pytest.raises(WeightsError, match="is larger than 1,048,576 bytes"):
        read_kit(tmp_path)


MEASURE = """
import resource, sys
from pathlib import Path
from bakeoff.errors import WeightsError
from bakeoff.networks.weights.keras_file import open_models
import h5py
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    with open_models(Path(sys.argv[1])) as models:
        for model in models:
            for layer in model.layers:
                [tensor.read() for tensor in layer.tensors]
except WeightsError:
    pass
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


@pytest.mark.slow
@pytest.mark.parametrize("harm", HARMS, ids=lambda harm: harm.__name__)
def test_a_small_file_takes_little_memory(tmp_path: Path, harm: Callable[[Any, Path], None]) -> None:
    path = make(harm, tmp_path)
    done = subprocess.run([sys.executable, "-c", MEASURE, path], capture_output=True, text=True, check=True)
    kilobytes = int(done.stdout)
    assert kilobytes * 1024 < 64 * 2**20 + 4 * path.stat().st_size
