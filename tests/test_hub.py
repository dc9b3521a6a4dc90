"""Presets by their files: where they are, what they say, and what is refused. KerasHub itself is not needed here."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bakeoff.cache import list_others
from bakeoff.errors import ConfigError, WeightsError
from bakeoff.files import PARTIAL
from bakeoff.locks import LOCK
from bakeoff.networks import hub
from bakeoff.networks.backbone import Affine, Features, Origin, check_size, fit_size
from bakeoff.networks.find import find_network, is_known
from bakeoff.networks.weights import import_weights, locate_weights
from bakeoff.networks.weights.locate import describe_for_export
from bakeoff.networks.weights.transfer import export_weights
from bakeoff.runs.config import parse_candidate
from running import run_cli

VIT = {
    "image_shape": [32, 32, 3],
    "patch_size": [8, 8],
    "num_layers": 2,
    "num_heads": 2,
    "hidden_dim": 16,
    "mlp_dim": 32,
    "name": "vit_backbone",
}
CONVERTER = {"scale": 1 / 127.5, "offset": [-1.0, -1.0, -1.0], "image_size": [32, 32], "interpolation": "bicubic"}


@pytest.fixture(autouse=True)
def _bare_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BAKEOFF_WEIGHTS_DIR", str(tmp_path / "kits"))
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    monkeypatch.setenv("KAGGLEHUB_CACHE", str(tmp_path / "kaggle"))


def write(path: Path, value: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value), encoding="utf-8")


def write_preset(folder: Path, kind: str = "ViTBackbone", config: Any = VIT, **more: Any) -> Path:
    """A preset as KerasHub writes it, with weights of no meaning."""
    package = more.pop("package", "keras_hub")
    table = {
        "module": f"{package}.src.models.any",
        "class_name": kind,
        "config": config,
        "registered_name": f"{package}>{kind}",
    }
    write(folder / "config.json", table | more)
    write(folder / "image_converter.json", {"class_name": "ImageConverter", "config": CONVERTER})
    write_hdf5(folder / "model.weights.h5", b"weights")
    return folder


def write_hdf5(path: Path, content: bytes, *, missing: int = 0) -> None:
    """What begins as HDF5 does, and ends where it says."""
    head = b"\x89HDF\r\n\x1a\n".ljust(40, b"\0")
    path.write_bytes(head + (64 + len(content)).to_bytes(8, "little") + bytes(16 - missing) + content)


def write_safetensors(path: Path, *, missing: int = 0) -> None:
    header = json.dumps({"a": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}}).encode()
    path.write_bytes(len(header).to_bytes(8, "little") + header + bytes(24 - missing))


def write_timm(folder: Path, architecture: str = "resnet18") -> Path:
    facts = {
        "tag": "a1_in1k",
        "input_size": [3, 224, 224],
        "mean": [0.485, 0.456, 0.406],
        "std": [0.229, 0.224, 0.225],
        "interpolation": "bilinear",
        "license": "apache-2.0",
    }
    write(folder / "config.json", {"architecture": architecture, "num_features": 512, "pretrained_cfg": facts})
    write_safetensors(folder / "model.safetensors")
    return folder


def write_transformers(folder: Path) -> Path:
    config = {
        "model_type": "dinov2",
        "image_size": 518,
        "patch_size": 14,
        "num_hidden_layers": 12,
        "num_attention_heads": 6,
        "hidden_size": 384,
        "mlp_ratio": 4,
        "use_swiglu_ffn": False,
        "layerscale_value": 1.0,
        "drop_path_rate": 0.0,
    }
    write(folder / "config.json", config)
    facts = {
        "image_mean": [0.5] * 3,
        "image_std": [0.5] * 3,
        "rescale_factor": 1 / 255,
        "crop_size": {"height": 224, "width": 224},
        "resample": 3,
    }
    write(folder / "preprocessor_config.json", facts)
    (folder / "README.md").write_text("---\nlicense: apache-2.0\ntags:\n- vision\n---\n# DINOv2\n", encoding="utf-8")
    write_safetensors(folder / "model.safetensors")
    return folder


def test_the_facts_of_a_preset_of_kerashub(tmp_path: Path) -> None:
    spec = find_network(f"hub:{write_preset(tmp_path / 'mine')}")
    assert spec.family == "vit"
    assert spec.scaling == Affine((1 / 127.5,) * 3, (-1.0,) * 3)
    assert (spec.native_size, spec.size_step, spec.min_size) == (32, 8, 16)
    assert spec.features is Features.CLASS_TOKEN
    assert spec.interpolation == "bicubic"
    assert spec.weight_origins == (Origin.PRESET,)
    assert spec.licence == "not stated in the preset"
    assert not spec.from_scratch
    with pytest.raises(ConfigError, match=r"multiple of 8 pixels; give 32 or 40"):
        check_size(spec, 36)
    assert [fit_size(spec, size) for size in (8, 47, 48)] == [16, 40, 48]


def test_the_facts_of_a_checkpoint_of_timm(tmp_path: Path) -> None:
    spec = find_network(f"hub:{write_timm(tmp_path / 'mine')}")
    assert spec.family == "resnet"
    assert isinstance(spec.scaling, Affine)
    np.testing.assert_allclose(spec.scaling.scale, [1 / 255 / 0.229, 1 / 255 / 0.224, 1 / 255 / 0.225])
    np.testing.assert_allclose(spec.scaling.offset, [-0.485 / 0.229, -0.456 / 0.224, -0.406 / 0.225])
    assert (spec.native_size, spec.size_step, spec.one_size) == (224, 1, False)
    assert (spec.licence, spec.params_total) == ("apache-2.0", 6)


def test_the_facts_of_a_checkpoint_of_transformers(tmp_path: Path) -> None:
    spec = find_network(f"hub:{write_transformers(tmp_path / 'mine')}")
    assert spec.family == "dinov2"
    assert (spec.native_size, spec.size_step, spec.features) == (518, 14, Features.CLASS_TOKEN)
    assert spec.scaling == Affine((1 / 127.5,) * 3, (-1.0,) * 3)
    assert spec.licence == "apache-2.0"
    assert 22_000_000 < spec.params_total < 22_200_000  # DINOv2 small


def test_presets_are_found_where_the_hubs_keep_them(tmp_path: Path) -> None:
    kept = tmp_path / "hf" / "hub" / "models--timm--resnet18.a1_in1k"
    write_timm(kept / "snapshots" / "0123abcd")
    (kept / "refs").mkdir()
    (kept / "refs" / "main").write_text("0123abcd")
    assert find_network("hf://timm/resnet18.a1_in1k").family == "resnet"
    for version in ("2", "10"):
        write_preset(tmp_path / "kaggle" / "models" / "keras" / "vit" / "keras" / "vit_tiny" / version)
    assert find_network("kaggle://keras/vit/keras/vit_tiny").preset.endswith("/10")
    assert find_network("kaggle://keras/vit/keras/vit_tiny/2").preset.endswith("/2")


@pytest.mark.parametrize(
    ("variables", "cache"),
    [
        ({}, "~/.cache/huggingface/hub"),
        ({"XDG_CACHE_HOME": "/xdg"}, "/xdg/huggingface/hub"),
        ({"XDG_CACHE_HOME": "/xdg", "HF_HOME": "$PLACE/hf", "PLACE": "/home"}, "/home/hf/hub"),
        ({"HF_HOME": "/hf", "HUGGINGFACE_HUB_CACHE": "~/earlier"}, "~/earlier"),
        ({"HF_HUB_CACHE": "/now", "HUGGINGFACE_HUB_CACHE": "/earlier"}, "/now"),
    ],
)
def test_the_cache_of_hugging_face_is_where_its_package_has_it(
    variables: dict[str, str], cache: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HF_HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert hub.places.hub_cache("hf://me/mine") == Path(cache).expanduser()


def test_a_name_of_kerashub_is_that_of_a_preset_at_kaggle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("keras_hub")
    handle = hub.places.find_handle("hub:vit_base_patch16_224_imagenet")
    assert handle.startswith("keras/vit/keras/vit_base_patch16_224_imagenet/")
    write_preset(tmp_path / "kaggle" / "models" / handle)
    assert find_network("hub:vit_base_patch16_224_imagenet").family == "vit"
    with pytest.raises(
        ConfigError, match=r"no preset 'vit_base_patch16_224'.*did you mean .*vit_base_patch16_224_imagenet"
    ):
        find_network("hub:vit_base_patch16_224")
    with pytest.raises(ConfigError, match="no preset 'bert_base_en' of an image network"):
        find_network("hub:bert_base_en")
    monkeypatch.setattr(hub.places, "_list_presets", dict)
    with pytest.raises(ConfigError, match=r"not installed.*bakeoff\[hub\].*--no-deps keras-hub"):
        find_network("hub:vit_large_patch16_224_imagenet")


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("hf://timm/resnet18.a1_in1k", "not on this machine; fetch it with `bakeoff weights export"),
        ("hf://resnet18", "not of the form hf://OWNER/NAME"),
        ("kaggle://keras/vit", "not of the form kaggle://OWNER/MODEL/keras/NAME"),
        ("hub:./nothing", "there is no folder .*nothing; give the folder of a preset"),
    ],
)
def test_a_preset_that_is_not_here_is_one_line(name: str, says: str) -> None:
    with pytest.raises((ConfigError, WeightsError), match=says):
        find_network(name)
    assert not is_known(name)


def _change(folder: Path, name: str, **changes: Any) -> None:
    table = json.loads((folder / name).read_text())
    write(folder / name, table | changes)


def _nest(folder: Path, **changes: Any) -> None:
    _change(folder, "config.json", config=VIT | changes)


def _half(folder: Path) -> None:
    text = (folder / "config.json").read_text()
    (folder / "config.json").write_text(text[: len(text) // 2])


LAMBDA = {"class_name": "Lambda", "module": "keras.layers", "config": {"function": "x"}, "registered_name": None}
OWN = {"class_name": "Evil", "module": "evil", "config": {}, "registered_name": "evil>Evil"}
DAMAGE = {
    "no-config": (lambda folder: (folder / "config.json").unlink(), "has no config.json, so it is no preset"),
    "half": (_half, "has a damaged config.json"),
    "a-list": (lambda folder: write(folder / "config.json", [1]), "config.json that is no table"),
    "empty": (lambda folder: write(folder / "config.json", {}), "neither KerasHub nor timm nor Transformers"),
    "no-weights": (lambda folder: (folder / "model.weights.h5").unlink(), "has no weights"),
    "no-converter": (lambda folder: (folder / "image_converter.json").unlink(), "does not say how images are scaled"),
    "text": (
        lambda folder: _change(folder, "config.json", registered_name="keras_hub>BertBackbone"),
        "is a BertBackbone, and bakeoff knows image networks of these families: .*densenet.*vit",
    ),
    "own-class": (
        lambda folder: _change(folder, "config.json", registered_name="evil>Backbone", module="evil"),
        "asks for evil>Backbone of evil, which is not KerasHub's; bakeoff runs no code of a preset",
    ),
    "own-module": (lambda folder: _change(folder, "config.json", module="os"), "bakeoff runs no code of a preset"),
    "lambda": (lambda folder: _nest(folder, dtype=LAMBDA), "asks for Lambda of keras.layers"),
    "own-part": (lambda folder: _nest(folder, dtype=[{"deep": OWN}]), "asks for Evil of evil"),
    "quantised": (lambda folder: _nest(folder, dtype={"class_name": "DTypePolicyMap"}), "is quantised"),
    "incomplete": (lambda folder: _change(folder, "config.json", config={"image_shape": [32, 32, 3]}), "lacks"),
    "not-square": (lambda folder: _nest(folder, image_shape=[32, 64, 3]), "takes images of 64 x 32 pixels"),
    "remote-code": (
        lambda folder: write(folder / "config.json", {"model_type": "vit", "auto_map": {"AutoModel": "x.Y"}}),
        r"asks for code of its own \(auto_map\)",
    ),
    "language": (
        lambda folder: write(folder / "config.json", {"model_type": "llama"}),
        "is a llama of Transformers, and bakeoff knows deit",
    ),
    "no-converter-of-timm": (
        lambda folder: write(folder / "config.json", {"architecture": "beit_base"}),
        "is beit_base of timm, which KerasHub cannot convert",
    ),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_folder_that_is_no_preset_is_one_line(damage: str, tmp_path: Path) -> None:
    folder = write_preset(tmp_path / "mine")
    change, says = DAMAGE[damage]
    change(folder)
    with pytest.raises(WeightsError, match=says) as raised:
        find_network(f"hub:{folder}")
    assert str(raised.value).startswith(f"hub:{folder}: {folder} ")
    assert "\n" not in str(raised.value)


def test_half_a_file_of_safetensors_is_one_line(tmp_path: Path) -> None:
    folder = write_timm(tmp_path / "mine")
    write_safetensors(folder / "model.safetensors", missing=5)
    with pytest.raises(WeightsError, match=r"damaged model.safetensors: [\d,]+ of [\d,]+ bytes are there"):
        find_network(f"hub:{folder}")
    (folder / "model.safetensors").write_bytes(b"\xff" * 40)
    with pytest.raises(WeightsError, match="does not begin as safetensors do"):
        find_network(f"hub:{folder}")


def test_half_a_file_of_hdf5_is_one_line(tmp_path: Path) -> None:
    folder = write_preset(tmp_path / "mine")
    write_hdf5(folder / "model.weights.h5", b"weights", missing=3)
    with pytest.raises(WeightsError, match=r"damaged model.weights.h5: 68 of 71 bytes are there"):
        find_network(f"hub:{folder}")
    (folder / "model.weights.h5").write_bytes(b"weights")
    with pytest.raises(WeightsError, match="does not begin as HDF5 does"):
        find_network(f"hub:{folder}")


def test_parts_of_weights_stay_in_the_folder(tmp_path: Path) -> None:
    folder = write_timm(tmp_path / "mine")
    (folder / "model.safetensors").unlink()
    write(folder / "model.safetensors.index.json", {"weight_map": {"a": "../outside.safetensors"}})
    with pytest.raises(WeightsError, match=r"lacks \.\./outside\.safetensors"):
        find_network(f"hub:{folder}")


def test_the_hash_covers_the_configuration_and_the_weights(tmp_path: Path) -> None:
    folder = write_preset(tmp_path / "mine")
    name = f"hub:{folder}"
    first, source = locate_weights(find_network(name), "auto").hash, find_network(name).source
    write_hdf5(folder / "model.weights.h5", b"other weights")
    second = locate_weights(find_network(name), "auto").hash
    assert find_network(name).source == source
    _nest(folder, num_heads=4)
    third = locate_weights(find_network(name), "auto").hash
    assert len({first, second, third}) == 3
    assert find_network(name).source != source
    _nest(folder, num_heads=4, name="renamed")
    assert locate_weights(find_network(name), "auto").hash == third


def test_a_damaged_file_in_the_cache_of_hugging_face_is_found(tmp_path: Path) -> None:
    kept = tmp_path / "hf" / "hub" / "models--me--mine"
    folder = write_timm(kept / "snapshots" / "0123abcd")
    (kept / "refs").mkdir()
    (kept / "refs" / "main").write_text("0123abcd")
    blob = kept / "blobs" / ("0" * 64)
    blob.parent.mkdir()
    shutil.move(folder / "model.safetensors", blob)
    (folder / "model.safetensors").symlink_to(blob)
    with pytest.raises(WeightsError, match=r"is damaged: its SHA-256 is [0-9a-f]{16}…, not 0000000000000000…"):
        locate_weights(find_network("hf://me/mine"), "auto")


def test_a_preset_travels_as_one_file(tmp_path: Path) -> None:
    folder = write_preset(tmp_path / "mine")
    name = f"hub:{folder}"
    digest = locate_weights(find_network(name), "auto").hash
    (folder / "evil.py").write_text("raise SystemExit")
    kit = tmp_path / "kit"
    export_weights(kit, [describe_for_export(find_network(name), "auto")], lambda *_: None)
    shutil.rmtree(folder)
    assert not is_known(name)
    (entry,) = import_weights(kit, lambda *_: None)
    assert (entry.network, entry.origin) == (name, "preset")
    assert list_others() == []
    spec = find_network(name)
    assert locate_weights(spec, "auto").hash == digest
    assert not list(Path(spec.preset).glob("*.py"))
    write_hdf5(Path(spec.preset) / "model.weights.h5", b"changed")
    with pytest.raises(WeightsError, match="is damaged: its SHA-256 is not that of the import"):
        locate_weights(spec, "auto")
    (Path(spec.preset) / "preset.json").write_text("{")
    with pytest.raises(WeightsError, match=r"is damaged \(preset\.json: .*; import it again"):
        locate_weights(spec, "auto")
    assert name not in hub.list_names()


def test_a_preset_that_is_imported_again_is_there_whatever_interrupts_that(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_preset(tmp_path / "mine")
    name = f"hub:{folder}"
    packed = hub.pack_preset(name)
    shutil.rmtree(folder)
    kept = hub.unpack_preset(packed, name)
    replace, interrupts = Path.rename, [KeyboardInterrupt()]

    def rename(path: Path, target: Path) -> Path:
        if target == kept and interrupts:
            raise interrupts.pop()
        return replace(path, target)

    monkeypatch.setattr(Path, "rename", rename)
    with pytest.raises(KeyboardInterrupt):
        hub.unpack_preset(packed, name)
    assert hub.find_folder(name) == kept
    before = hub.hash_preset(name)
    # As a process leaves it that is killed after it has moved the old one away.
    left = kept.with_name(f"{PARTIAL}{kept.name}")
    left.mkdir()
    (left / LOCK).touch()
    shutil.copytree(kept, left / "new")
    kept.rename(left / "old")
    assert hub.find_folder(name) == kept
    assert hub.hash_preset(name) == before
    assert [path.name for path in kept.parent.iterdir()] == [kept.name]


def test_a_packed_preset_leads_nowhere_else(tmp_path: Path) -> None:
    import io
    import tarfile

    packed = tmp_path / "evil.tar"
    with tarfile.open(packed, "w") as archive:
        entry = tarfile.TarInfo("../outside.json")
        entry.size = 2
        archive.addfile(entry, io.BytesIO(b"{}"))
    with pytest.raises(WeightsError, match="no packed preset"):
        hub.unpack_preset(packed, "hub:evil")
    assert not (tmp_path / "kits" / "outside.json").exists()
    packed.write_bytes(b"not an archive")
    with pytest.raises(WeightsError, match="is damaged"):
        hub.unpack_preset(packed, "hub:evil")
    assert not hub.find_folder("hf://evil/evil")


def test_a_relative_folder_is_the_same_in_every_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert parse_candidate("hub:./mine@64").name == f"hub:{tmp_path / 'mine'}"
    assert parse_candidate("hub:mine/tiny").name == f"hub:{tmp_path / 'mine' / 'tiny'}"
    assert parse_candidate("hub:resnet_18_imagenet").name == "hub:resnet_18_imagenet"


@pytest.mark.parametrize("variable", ["BAKEOFF_OFFLINE", "HF_HUB_OFFLINE"])
def test_nothing_is_downloaded_where_that_is_switched_off(variable: str, tmp_path: Path) -> None:
    pytest.importorskip("keras_hub")
    done = run_cli(
        "run", "digits", "--candidates", "hf://timm/resnet18.a1_in1k", "--out", tmp_path / "s", **{variable: "1"}
    )
    assert done.returncode == 2
    assert "hf://timm/resnet18.a1_in1k is not on this machine, and downloads are switched off" in done.stderr
    assert not (tmp_path / "s").exists()


def test_a_missing_kerashub_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import importlib.util

    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *_: None if name == "keras_hub" else found(name))
    done = run_cli("run", "digits", "--candidates", "hf://timm/resnet18.a1_in1k", "--out", tmp_path / "s")
    assert done.returncode == 2
    assert "needs KerasHub: run pip install 'bakeoff[hub]' and then pip install --no-deps keras-hub" in done.stderr


def test_neither_facts_nor_help_import_kerashub(tmp_path: Path) -> None:
    folder = write_preset(tmp_path / "mine")
    code = (
        "import sys; from bakeoff.networks.find import find_network; from bakeoff.cli import app;"
        f"find_network('hub:{folder}');"
        "print({'keras_hub', 'kagglehub', 'huggingface_hub', 'tensorflow', 'keras'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
