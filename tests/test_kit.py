"""A kit carries weights to a machine without a network, and brings all that was packed or nothing."""

import hashlib
import json
import shutil
from pathlib import Path

import pytest

from bakeoff.errors import WeightsError
from bakeoff.networks.table import find_network
from bakeoff.networks.weights import (
    ExportedWeights,
    export_weights,
    import_weights,
    is_available_locally,
    locate_weights,
)

MOBILE, VGG = find_network("mobilenet-v3-small"), find_network("vgg-16")


@pytest.fixture(autouse=True)
def _bare_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    monkeypatch.setenv("BAKEOFF_WEIGHTS_DIR", str(tmp_path / "kits"))


def _ignore(name: str, done: int, total: int) -> None:
    assert 0 <= done < total, name


def pack(folder: Path, contents: dict[str, bytes]) -> Path:
    """A kit of files that hold these bytes, by network."""
    files = []
    for network, content in contents.items():
        path = folder.parent / f"{network}.h5"
        path.write_bytes(content)
        entry = ExportedWeights(
            network=network,
            file=path.name,
            sha256=hashlib.sha256(content).hexdigest(),
            bytes=len(content),
            origin="hub",
            licence=find_network(network).licence,
        )
        files.append((path, entry))
    export_weights(folder, files, _ignore)
    return folder


@pytest.fixture
def kit(tmp_path: Path) -> Path:
    return pack(tmp_path / "kit", {"mobilenet-v3-small": b"mobile", "vgg-16": b"vgg"})


def test_what_was_packed_on_one_machine_is_found_on_another(kit: Path, tmp_path: Path) -> None:
    assert not is_available_locally(MOBILE)
    moved = Path(shutil.move(kit, tmp_path / "stick"))
    assert [entry.network for entry in import_weights(moved, _ignore)] == ["mobilenet-v3-small", "vgg-16"]
    shutil.rmtree(moved)
    assert is_available_locally(MOBILE)
    source = locate_weights(VGG, "auto")
    assert source.path is not None
    assert (source.origin, source.path.read_bytes()) == ("hub", b"vgg")
    assert source.hash == hashlib.sha256(b"vgg").hexdigest()


def test_a_kit_lists_hashes_and_licences(kit: Path) -> None:
    files = json.loads((kit / "kit.json").read_text())["files"]
    assert files[0]["licence"] == MOBILE.licence
    assert files[1]["sha256"] == hashlib.sha256(b"vgg").hexdigest()


def test_a_second_kit_is_added_to_the_first(kit: Path, tmp_path: Path) -> None:
    import_weights(kit, _ignore)
    import_weights(pack(tmp_path / "second", {"vgg-19": b"19"}), _ignore)
    assert is_available_locally(find_network("vgg-19"))
    assert is_available_locally(MOBILE)


def test_a_damaged_or_missing_file_is_named_and_nothing_is_brought(kit: Path) -> None:
    (kit / "vgg-16.h5").write_bytes(b"vgh")
    with pytest.raises(WeightsError, match=r"vgg-16\.h5 is damaged"):
        import_weights(kit, _ignore)
    (kit / "vgg-16.h5").unlink()
    with pytest.raises(WeightsError, match=r"vgg-16\.h5 is missing"):
        import_weights(kit, _ignore)
    assert not is_available_locally(MOBILE)


def test_a_folder_that_is_no_kit_or_reaches_outside_itself_is_refused(kit: Path, tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"holds no kit\.json"):
        import_weights(tmp_path, _ignore)
    text = (kit / "kit.json").read_text()
    (kit / "kit.json").write_text(text.replace("vgg-16.h5", "../vgg-16.h5"))
    with pytest.raises(WeightsError, match="outside its folder"):
        import_weights(kit, _ignore)
    (kit / "kit.json").write_text(text[:40])
    with pytest.raises(WeightsError, match="run `bakeoff weights pack` again"):
        import_weights(kit, _ignore)


def test_what_has_changed_since_it_was_brought_is_found_out(kit: Path, tmp_path: Path) -> None:
    import_weights(kit, _ignore)
    (tmp_path / "kits" / "vgg-16.h5").write_bytes(b"other")
    with pytest.raises(WeightsError, match="is damaged"):
        locate_weights(VGG, "auto")
