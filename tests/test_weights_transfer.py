"""Weights are exported and imported through a folder: all files, checked by hash, or none."""

import hashlib
import json
import shutil
from pathlib import Path

import pytest

from bakeoff.errors import WeightsError
from bakeoff.networks import Backbone, Origin, Scaling
from bakeoff.networks.find import find_network
from bakeoff.networks.weights import (
    ExportedWeights,
    describe_for_export,
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


def export(folder: Path, contents: dict[str, bytes]) -> Path:
    """An exported folder of files with these bytes, by network."""
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
def exported(tmp_path: Path) -> Path:
    return export(tmp_path / "kit", {"mobilenet-v3-small": b"mobile", "vgg-16": b"vgg"})


def test_exported_weights_are_found_on_another_machine(exported: Path, tmp_path: Path) -> None:
    assert not is_available_locally(MOBILE)
    moved = Path(shutil.move(exported, tmp_path / "stick"))
    assert [entry.network for entry in import_weights(moved, _ignore)] == ["mobilenet-v3-small", "vgg-16"]
    shutil.rmtree(moved)
    assert is_available_locally(MOBILE)
    source = locate_weights(VGG, "auto")
    assert source.path is not None
    assert (source.origin, source.path.read_bytes()) == ("hub", b"vgg")
    assert source.hash == hashlib.sha256(b"vgg").hexdigest()


def test_an_exported_folder_lists_hashes_and_licences(exported: Path) -> None:
    files = json.loads((exported / "kit.json").read_text())["files"]
    assert files[0]["licence"] == MOBILE.licence
    assert files[1]["sha256"] == hashlib.sha256(b"vgg").hexdigest()


def test_a_second_import_keeps_the_first(exported: Path, tmp_path: Path) -> None:
    import_weights(exported, _ignore)
    import_weights(export(tmp_path / "second", {"vgg-19": b"19"}), _ignore)
    assert is_available_locally(find_network("vgg-19"))
    assert is_available_locally(MOBILE)


def test_a_damaged_or_missing_file_is_named_and_nothing_is_imported(exported: Path) -> None:
    (exported / "vgg-16.h5").write_bytes(b"vgh")
    with pytest.raises(WeightsError, match=r"vgg-16\.h5 is damaged"):
        import_weights(exported, _ignore)
    (exported / "vgg-16.h5").unlink()
    with pytest.raises(WeightsError, match=r"vgg-16\.h5 is missing"):
        import_weights(exported, _ignore)
    assert not is_available_locally(MOBILE)


def test_a_folder_without_a_valid_kit_json_is_an_error(exported: Path, tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"holds no kit\.json"):
        import_weights(tmp_path, _ignore)
    text = (exported / "kit.json").read_text()
    (exported / "kit.json").write_text(text.replace("vgg-16.h5", "../vgg-16.h5"))
    with pytest.raises(WeightsError, match="outside its folder"):
        import_weights(exported, _ignore)
    (exported / "kit.json").write_text(text[:40])
    with pytest.raises(WeightsError, match="run `bakeoff weights export` again"):
        import_weights(exported, _ignore)


def test_a_file_changed_after_the_import_is_detected(exported: Path, tmp_path: Path) -> None:
    import_weights(exported, _ignore)
    (tmp_path / "kits" / "vgg-16.h5").write_bytes(b"other")
    with pytest.raises(WeightsError, match="is damaged"):
        locate_weights(VGG, "auto")


def test_weights_that_an_import_would_not_bring_are_not_exported(tmp_path: Path) -> None:
    own = Backbone(
        name="nets:NET",
        builder="nets:build",
        scaling=Scaling.UNIT,
        weight_origins=(Origin.FILE,),
        weights=tmp_path / "plugin.weights.h5",
    )
    given = tmp_path / "given.h5"
    for path in (Path(str(own.weights)), given):
        path.write_bytes(b"weights")
    with pytest.raises(WeightsError, match="weights of nets:NET come with its module; copy that to the other machine"):
        describe_for_export(own, "auto")
    for spec in (own, find_network("lenet")):
        with pytest.raises(
            WeightsError, match=r"not take an imported file; copy .*given\.h5 itself, and give --weights"
        ):
            describe_for_export(spec, str(given))
    assert describe_for_export(VGG, str(given))[1].file == "vgg-16.h5"
