"""Checkpoints are written without PyTorch here, so neither reading them nor these tests need it."""

import io
import pickle
import struct
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bakeoff.errors import WeightsError
from bakeoff.networks.backbone import Origin
from bakeoff.networks.table import TABLE
from bakeoff.networks.weights import locate_weights
from bakeoff.networks.weights.torch_file import read_state_dict

LITES = [row for row in TABLE if Origin.PACKAGE in row.weight_origins]


class Name:
    """Pickles as a global name, such as `os.system`."""

    def __init__(self, module: str, name: str) -> None:
        self.module, self.name = module, name


class Call:
    """Pickles as the call of a global name."""

    def __init__(self, function: Name, *arguments: Any) -> None:
        self.function, self.arguments = function, arguments


class Storage:
    def __init__(self, type_name: str, key: str, items: int) -> None:
        self.pid = ("storage", Name("torch", type_name), key, "cpu", items)


class Pickler(pickle._Pickler):  # type: ignore[name-defined]
    """The Python pickler, taught to write names that cannot be imported here."""

    view: tuple[Any, ...] = ()

    def persistent_id(self, value: Any) -> Any:
        return (*value.pid, *self.view) if isinstance(value, Storage) else None

    def save(self, value: Any, save_persistent_id: bool = True) -> None:
        if isinstance(value, Name):
            self.write(pickle.GLOBAL + f"{value.module}\n{value.name}\n".encode())
        elif isinstance(value, Call):
            self.save(value.function)
            self.save(value.arguments)
            self.write(pickle.REDUCE)
        else:
            super().save(value, save_persistent_id)


class LegacyPickler(Pickler):
    view = (None,)


def tensor(type_name: str, key: str, items: int, offset: int, shape: tuple[int, ...], strides: tuple[int, ...]) -> Call:
    rebuild = Name("torch._utils", "_rebuild_tensor_v2")
    return Call(rebuild, Storage(type_name, key, items), offset, shape, strides, False, OrderedDict())


def pickled(value: Any, pickler: type[Pickler] = Pickler) -> bytes:
    stream = io.BytesIO()
    pickler(stream, protocol=2).dump(value)
    return stream.getvalue()


def write_zip(path: Path, tree: Any, blobs: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(path, "w", compression) as archive:
        archive.writestr("model/data.pkl", pickled(tree))
        archive.writestr("model/byteorder", "little")
        for key, blob in blobs.items():
            archive.writestr(f"model/data/{key}", blob)
    return path


def write_legacy(path: Path, tree: Any, blobs: dict[str, bytes], itemsize: int = 4) -> Path:
    parts = [pickled(0x1950A86A20F9469CFC6C), pickled(1001), pickled({"little_endian": True})]
    parts += [pickled(tree, LegacyPickler), pickled(list(blobs))]
    parts += [struct.pack("<q", len(blob) // itemsize) + blob for blob in blobs.values()]
    path.write_bytes(b"".join(parts))
    return path


SIX = np.arange(6, dtype="<f4")
ONE = OrderedDict(a=tensor("FloatStorage", "0", 6, 0, (2, 3), (3, 1)))


@pytest.mark.parametrize("write", [write_zip, write_legacy])
def test_a_tensor_comes_back_with_its_name_shape_and_numbers(tmp_path: Path, write: Any) -> None:
    state = read_state_dict(write(tmp_path / "a.pth", ONE, {"0": SIX.tobytes()}))
    assert list(state) == ["a"]
    np.testing.assert_array_equal(state["a"], SIX.reshape(2, 3))


@pytest.mark.parametrize("write", [write_zip, write_legacy])
def test_tensors_may_share_a_storage_and_be_transposed_or_offset(tmp_path: Path, write: Any) -> None:
    tree = {
        "transposed": tensor("FloatStorage", "0", 6, 0, (3, 2), (1, 3)),
        "tail": tensor("FloatStorage", "0", 6, 4, (2,), (1,)),
        "scalar": tensor("FloatStorage", "0", 6, 3, (), ()),
        "empty": tensor("FloatStorage", "0", 6, 0, (0, 4), (4, 1)),
    }
    state = read_state_dict(write(tmp_path / "a.pth", tree, {"0": SIX.tobytes()}))
    np.testing.assert_array_equal(state["transposed"], SIX.reshape(2, 3).T)
    np.testing.assert_array_equal(state["tail"], [4, 5])
    assert state["scalar"] == 3
    assert state["empty"].shape == (0, 4)


def test_half_precision_and_integers_keep_their_types(tmp_path: Path) -> None:
    halves, counts = np.array([0.5, 2], "<f2"), np.array([7], "<i8")
    tree = {"h": tensor("HalfStorage", "0", 2, 0, (2,), (1,)), "n": tensor("LongStorage", "1", 1, 0, (), ())}
    state = read_state_dict(write_zip(tmp_path / "a.pth", tree, {"0": halves.tobytes(), "1": counts.tobytes()}))
    assert state["h"].dtype == np.float16
    assert state["n"].dtype == np.int64
    assert state["n"] == 7


@pytest.mark.parametrize(
    ("module", "name"),
    [("os", "system"), ("posix", "system"), ("builtins", "eval"), ("builtins", "getattr"), ("torch", "load")],
)
@pytest.mark.parametrize("write", [write_zip, write_legacy])
def test_a_hostile_pickle_is_refused_by_name_and_not_run(tmp_path: Path, write: Any, module: str, name: str) -> None:
    marker = tmp_path / "ran"
    tree = OrderedDict(a=Call(Name(module, name), f"touch {marker}"))
    path = write(tmp_path / "evil.pth", tree, {})
    with pytest.raises(WeightsError, match=f"refused {module}.{name}"):
        read_state_dict(path)
    assert not marker.exists()


def test_a_pickle_hidden_in_the_header_is_refused_too(tmp_path: Path) -> None:
    path = tmp_path / "evil.pth"
    path.write_bytes(pickled(Call(Name("os", "system"), "true")))
    with pytest.raises(WeightsError, match=r"refused os\.system"):
        read_state_dict(path)


@pytest.mark.parametrize(
    "view",
    [(6, 0, (2, 4), (4, 1)), (6, 5, (2,), (1,)), (6, 0, (1000,), (0,)), (6, 4, (2,), (-1,)), (8, 0, (2,), (1,))],
    ids=["too large", "offset too far", "repeated by stride 0", "backwards", "storage shorter than declared"],
)
def test_a_tensor_that_reaches_beyond_its_storage_is_an_error(tmp_path: Path, view: Any) -> None:
    path = write_zip(tmp_path / "a.pth", {"a": tensor("FloatStorage", "0", *view)}, {"0": SIX.tobytes()})
    with pytest.raises(WeightsError, match="fetch it again"):
        read_state_dict(path)


@pytest.mark.parametrize("write", [write_zip, write_legacy])
@pytest.mark.parametrize("kept", [0, 1, 20, 0.5, 0.9, -1])
def test_a_truncated_file_is_an_error_that_names_it(tmp_path: Path, write: Any, kept: float) -> None:
    whole = write(tmp_path / "a.pth", ONE, {"0": SIX.tobytes()}).read_bytes()
    path = tmp_path / "cut.pth"
    path.write_bytes(whole[: int(kept * len(whole)) if isinstance(kept, float) else kept])
    with pytest.raises(WeightsError, match=r"cut\.pth"):
        read_state_dict(path)


def test_a_flipped_bit_in_a_zip_is_an_error(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "a.pth", ONE, {"0": SIX.tobytes()})
    data = bytearray(path.read_bytes())
    data[data.index(SIX.tobytes()) + 5] ^= 1
    path.write_bytes(data)
    with pytest.raises(WeightsError, match="CRC"):
        read_state_dict(path)


def test_a_compressed_zip_is_refused_before_it_is_inflated(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "a.pth", ONE, {"0": SIX.tobytes()}, zipfile.ZIP_DEFLATED)
    with pytest.raises(WeightsError, match="compressed"):
        read_state_dict(path)


@pytest.mark.parametrize("tree", [[1, 2], {"model": {"a": 1}}, {"epoch": 3}, {1: 2}])
def test_anything_but_a_flat_state_dict_says_what_to_save(tmp_path: Path, tree: Any) -> None:
    with pytest.raises(WeightsError, match="state_dict"):
        read_state_dict(write_zip(tmp_path / "a.pth", tree, {}))


def test_a_missing_file_and_a_foreign_file_are_one_line_errors(tmp_path: Path) -> None:
    (tmp_path / "text.pth").write_text("not a checkpoint")
    for name in ("missing.pth", "text.pth"):
        with pytest.raises(WeightsError) as caught:
            read_state_dict(tmp_path / name)
        assert name in str(caught.value)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("row", LITES, ids=lambda row: row.name)
def test_the_installed_packages_are_read_whole(row: Any) -> None:
    path = locate_weights(row, "auto").path
    assert path is not None
    state = read_state_dict(path)
    assert len(state) == {"efficientnet-lite0": 296}.get(row.name, 386)
    assert state["_conv_stem.weight"].shape == (32, 3, 3, 3)
    assert state["_fc.weight"].shape == (1000, 1280)
    assert all(np.isfinite(value).all() for value in state.values())
