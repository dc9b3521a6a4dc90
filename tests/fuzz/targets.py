"""What reads bytes from outside: for each reader a few sound inputs, from which damaged ones are made."""

import csv
import gzip
import io
import json
import tarfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
from PIL import Image, PngImagePlugin

from bakeoff.data.checks import (
    Finding,
    FindingKind,
    SuspiciousLabel,
    format_findings,
    format_suspicious,
    read_excluded,
    read_relabelled,
)
from bakeoff.data.pixels import PIXEL_LIMIT, decode, read_rgb, read_size
from bakeoff.data.shards import open_dataset, prepare, read_blocks, read_manifest
from bakeoff.data.sources import open_source
from bakeoff.data.sources.cifar import CIFARS
from bakeoff.data.sources.table import read_table_file
from bakeoff.deploy.bundle import open_bundle
from bakeoff.deploy.serve.base64_images import decode_base64, parse_images
from bakeoff.networks.weights.keras_file import open_models
from bakeoff.networks.weights.torch_file import read_state_dict
from bakeoff.networks.weights.transfer import read_kit
from bakeoff.report import read_study
from bakeoff.report.board import parse_criteria
from bakeoff.runs.config import (
    Data,
    Run,
    override,
    parse_candidate,
    parse_duration,
    parse_weights,
    read_comparison,
    read_run,
)
from bakeoff.runs.folder import run_dir
from bakeoff.runs.history import read_history
from bakeoff.runs.paired import compare
from bakeoff.runs.record import read_record, write_record
from bakeoff.study import read_space
from factories import make_record
from profiles import ADOBE, cmyk_profile
from test_torch_file import ONE, SIX, Call, Name, write_legacy, write_zip

DEEP = b"[" * 100_000


@dataclass(frozen=True)
class Target:
    """A reader, and bytes that it accepts; `read` is given bytes and a folder to put them in."""

    name: str
    seeds: Callable[[Path], list[bytes]]
    read: Callable[[bytes, Path], object]


def _images(folder: Path) -> list[bytes]:  # noqa: ARG001
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (12, 9, 3), dtype=np.uint8)
    plain = Image.fromarray(pixels)
    rotated = Image.Exif()
    rotated[0x0112] = 6
    text = PngImagePlugin.PngInfo()
    text.add_text("comment", "x" * 40, zip=True)
    forms = [
        (plain, "PNG", {"pnginfo": text}),
        (plain.convert("RGBA"), "PNG", {}),
        (plain.convert("P"), "PNG", {"transparency": 3}),
        (Image.fromarray(rng.integers(0, 65536, (9, 7)).astype(np.uint16)), "PNG", {}),
        (plain, "JPEG", {"exif": rotated}),
        (plain, "JPEG", {"progressive": True}),
        (plain.convert("CMYK"), "JPEG", {}),
        (plain.convert("P"), "GIF", {"save_all": True, "append_images": [plain.convert("P")]}),
        (plain, "WEBP", {"lossless": True}),
        (plain, "BMP", {}),
        (plain, "DIB", {}),
        (plain, "TIFF", {"compression": "tiff_lzw"}),
        (Image.fromarray(rng.integers(0, 4096, (9, 7)).astype(np.uint16)), "TIFF", {}),
        (plain, "JPEG2000", {}),
        (plain, "AVIF", {}),
        (plain, "MPO", {"save_all": True, "append_images": [plain]}),
        (plain, "PPM", {}),
        (plain, "PNG", {"icc_profile": ADOBE}),
        (plain.convert("CMYK"), "JPEG", {"icc_profile": cmyk_profile()}),
    ]
    made = []
    for image, form, options in forms:
        stream = io.BytesIO()
        image.save(stream, form, **options)
        made.append(stream.getvalue())
    # A header that promises 30,000 by 30,000 pixels.
    bomb = made[0][:16] + (30_000).to_bytes(4, "big") * 2 + made[0][24:]
    return [*made, bomb, b"<svg xmlns='x'/>", b"%!PS-Adobe-3.0 EPSF-3.0"]


def _read_image(data: bytes, folder: Path) -> None:  # noqa: ARG001
    width, height = read_size(data)
    assert decode(data, 16).shape == (16, 16, 3)
    # A JPEG beyond the limit is decoded at a reduced size.
    assert read_rgb(data).shape == (height, width, 3) or width * height > PIXEL_LIMIT


def _tar(members: dict[str, bytes]) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as tar:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
        link = tarfile.TarInfo("cifar-100-binary/../../etc/passwd")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(link)
    return stream.getvalue()


def _archives(folder: Path) -> list[bytes]:  # noqa: ARG001
    records = b"".join(bytes([label // 2, label]) + bytes(3072) for label in range(4))
    names = {"fine_label_names.txt": b"a\nb\nc\nd\n", "coarse_label_names.txt": b"x\ny\n"}
    members = {"train.bin": records, "test.bin": records, **names}
    return [_tar({f"cifar-100-binary/{name}": data for name, data in members.items()}), _tar(members)]


def _read_archive(data: bytes, folder: Path) -> None:
    # Half of the cases are damaged inside the compression, half outside.
    packed = gzip.compress(data, 1) if len(data) % 2 else gzip.compress(data[:-1], 1) + data[-1:]
    (folder / CIFARS["cifar100"].file).write_bytes(packed)
    source = open_source(Data(source="cifar100"), folder)
    assert source.count == sum(1 for _ in source.records())


def _packed_images(folder: Path) -> list[bytes]:
    image = _images(folder)[0]
    members = {f"pets/{name}/{index}.png": image for name in ("cat", "dog") for index in range(3)}
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return [stream.getvalue(), _tar(members), gzip.compress(_tar(members), 1)]


def _read_packed_images(data: bytes, folder: Path) -> None:
    (folder / "pets.zip").write_bytes(data)
    source = open_source(Data(source=str(folder / "pets.zip")))
    assert source.count == sum(1 for _ in source.records())


def _tables(folder: Path) -> list[bytes]:  # noqa: ARG001
    rows = [("image", "label"), *((f"{index}.png", f"{index % 2}") for index in range(8))]
    text = "\n".join(",".join(row) for row in rows)
    return [text.encode(), b"\xef\xbb\xbf" + text.replace(",", ";").encode(), text.encode("utf-16"), DEEP]


def _read_any_table(data: bytes, folder: Path) -> None:
    for suffix in (".csv", ".jsonl", ".json"):
        (folder / f"table{suffix}").write_bytes(data)
        read_table_file(folder / f"table{suffix}")


def _digits(folder: Path) -> Path:
    prepare(open_source(Data(source="digits")), folder / "shards")
    return folder / "shards"


def _shard(folder: Path) -> list[bytes]:
    (path,) = _digits(folder).glob("val-*.tfrecord")
    return [path.read_bytes()]


def _read_shard(data: bytes, folder: Path) -> None:
    (path,) = (folder / "shards").glob("val-*.tfrecord")
    path.write_bytes(data)
    for _ in read_blocks(open_dataset(folder / "shards"), "val"):
        pass


def _manifest(folder: Path) -> list[bytes]:
    return [(_digits(folder) / "manifest.json").read_bytes(), DEEP]


def _read_manifest(data: bytes, folder: Path) -> None:
    (folder / "shards" / "manifest.json").write_bytes(data)
    read_manifest(folder / "shards")
    for _ in read_blocks(open_dataset(folder / "shards"), "val"):
        pass


def _record(folder: Path) -> list[bytes]:
    write_record(folder, make_record())
    return [(folder / "record.json").read_bytes(), DEEP]


def _read_record(data: bytes, folder: Path) -> None:
    (folder / "record.json").write_bytes(data)
    read_record(folder)


def _study(folder: Path) -> list[bytes]:  # noqa: ARG001
    facts = {"name": "digits", "counts": {"train": 10}, "classes": 2, "notes": ["x"]}
    stage = {"stage": "screen", "seconds": 3.5, "runs": ["a"], "dropped": [{"id": "a", "why": "slow"}]}
    return [
        json.dumps({"data": facts, "budget_seconds": 60.0, "seconds": {"screen": 1.0}, "stages": [stage]}).encode(),
        DEEP,
    ]


def _read_study(data: bytes, folder: Path) -> None:
    (folder / "study.json").write_bytes(data)
    read_study(folder)


def _recipes(folder: Path) -> list[bytes]:  # noqa: ARG001
    shipped = [path.read_bytes() for path in Path(__file__).parents[2].glob("recipes/*.toml")]
    return [*shipped, b"a = " + DEEP]


def _read_recipe(data: bytes, folder: Path) -> None:
    (folder / "recipe.toml").write_bytes(data)
    read_comparison(folder / "recipe.toml")


def _configs(folder: Path) -> list[bytes]:  # noqa: ARG001
    return [Run().model_dump_json().encode(), DEEP]


def _read_config(data: bytes, folder: Path) -> None:
    (folder / "config.json").write_bytes(data)
    read_run(folder / "config.json")


def _settings(folder: Path) -> list[bytes]:  # noqa: ARG001
    return [
        b"optim.learning_rate=0.01",
        b"train.sizes=[64, 96]",
        b"model.name=lenet",
        b"augment.policy=flip-crop",
        b"train.batch=" + DEEP,
    ]


def _read_setting(data: bytes, folder: Path) -> None:  # noqa: ARG001
    override(Run(), [data.decode("utf-8", "surrogateescape")])


def _words(folder: Path) -> list[bytes]:  # noqa: ARG001
    return [b"efficientnet-lite0@96", b"1h30m", b"mobilenet-v2=mine.h5", b"accuracy=3,memory=1"]


def _read_word(data: bytes, folder: Path) -> None:  # noqa: ARG001
    text = data.decode("utf-8", "surrogateescape")
    reader = (parse_candidate, parse_duration, parse_criteria, lambda each: parse_weights([each]))[len(data) % 4]
    reader(text)


def _findings(folder: Path) -> list[bytes]:  # noqa: ARG001
    found = [
        Finding(FindingKind.LEAK, "train", "a", "cat", "test", "b", "cat", 1.0),
        Finding(FindingKind.GREY, "val", "c", "dog"),
    ]
    return [format_findings(found).encode()]


def _read_findings(data: bytes, folder: Path) -> None:
    (folder / "findings.csv").write_bytes(data)
    read_excluded(folder / "findings.csv")


def _suspicious(folder: Path) -> list[bytes]:  # noqa: ARG001
    return [format_suspicious([SuspiciousLabel("a", "cat", "dog", 0.9, "train")]).encode()]


def _read_suspicious(data: bytes, folder: Path) -> None:
    (folder / "labels.csv").write_bytes(data)
    read_relabelled(folder / "labels.csv")


def _history(folder: Path) -> list[bytes]:  # noqa: ARG001
    stream = io.StringIO()
    fields = [
        "seconds",
        "progress",
        "epoch",
        "images_seen",
        "size",
        "learning_rate",
        "train_loss",
        "val_loss",
        "val_top1",
    ]
    csv.writer(stream).writerows([fields, [1.5, 0.5, 1.0, 100, 32, 0.01, 2.0, 2.1, 0.4]])
    return [stream.getvalue().encode()]


def _read_history(data: bytes, folder: Path) -> None:
    (folder / "history.csv").write_bytes(data)
    read_history(folder)


def _logits(folder: Path) -> list[bytes]:
    for name in ("one", "other"):
        run_dir(folder, name).mkdir(parents=True, exist_ok=True)
        path = run_dir(folder, name) / "val-logits.npz"
        np.savez_compressed(path, logits=np.eye(4, dtype=np.float16), labels=np.arange(4), ids=np.array(list("abcd")))
    return [path.read_bytes()]


def _read_logits(data: bytes, folder: Path) -> None:
    (run_dir(folder, "one") / "val-logits.npz").write_bytes(data)
    compare(folder, ["one"], ["other"])


def _checkpoints(folder: Path) -> list[bytes]:
    paths = [
        write_zip(folder / "zip.pth", ONE, {"0": SIX.tobytes()}),
        write_legacy(folder / "old.pth", ONE, {"0": SIX.tobytes()}),
        write_zip(folder / "evil.pth", Call(Name("os", "mkdir"), str(folder / "evil")), {}),
        write_legacy(folder / "evil-old.pth", Call(Name("os", "mkdir"), str(folder / "evil")), {}),
    ]
    return [path.read_bytes() for path in paths]


def _read_checkpoint(data: bytes, folder: Path) -> None:
    (folder / "weights.pth").write_bytes(data)
    try:
        read_state_dict(folder / "weights.pth")
    finally:
        assert not (folder / "evil").exists(), "the file's code was run"


def _keras_files(folder: Path) -> list[bytes]:
    with h5py.File(folder / "a.weights.h5", "w") as file:
        file["layers/dense/vars/0"] = np.ones((3, 2), np.float32)
        file["layers/dense/vars/1"] = np.ones(2, np.float32)
    with h5py.File(folder / "b.h5", "w") as file:
        group = file.create_group("dense")
        group["dense/kernel:0"] = np.ones((3, 2), np.float32)
        group.attrs["weight_names"] = [b"dense/kernel:0"]
        file.attrs["layer_names"] = [b"dense"]
    with h5py.File(folder / "d.weights.h5", "w") as file:
        file.create_dataset("layers/dense/vars/0", data=np.ones((64, 64), np.float32), compression="gzip", shuffle=True)
    layer = {"class_name": "Dense", "config": {"name": "top"}}
    with zipfile.ZipFile(folder / "c.keras", "w") as archive:
        archive.writestr("config.json", json.dumps({"config": {"layers": [layer]}}))
        archive.write(folder / "a.weights.h5", "model.weights.h5")
    return [(folder / name).read_bytes() for name in ("a.weights.h5", "b.h5", "c.keras", "d.weights.h5")]


def _read_keras_file(data: bytes, folder: Path) -> None:
    (folder / "weights.h5").write_bytes(data)
    with open_models(folder / "weights.h5") as models:
        for tensor in (tensor for model in models for layer in model.layers for tensor in layer.tensors):
            assert tensor.read().nbytes <= 10 * len(data) + (1 << 20)


def _kits(folder: Path) -> list[bytes]:  # noqa: ARG001
    entry = {"network": "lenet", "file": "a.h5", "sha256": "0" * 64, "bytes": 3, "origin": "file", "licence": "MIT"}
    return [json.dumps({"schema": 1, "files": [entry, entry | {"file": "../../a.h5"}]}).encode(), DEEP]


def _read_kit(data: bytes, folder: Path) -> None:
    (folder / "kit.json").write_bytes(data)
    assert all("/" not in entry.file for entry in read_kit(folder))


def _spaces(folder: Path) -> list[bytes]:  # noqa: ARG001
    knob = b'[[knob]]\nkey = "optim.learning_rate"\nlow = 1e-4\nhigh = 1e-2\nlog = true\n'
    return [knob + b'[[knob]]\nkey = "optim.name"\nchoices = ["adam", "sgd"]\n', b"a = " + DEEP]


def _read_space(data: bytes, folder: Path) -> None:
    (folder / "space.toml").write_bytes(data)
    read_space(folder / "space.toml")


def _bundles(folder: Path) -> list[bytes]:  # noqa: ARG001
    facts = {"schema": 1, "run": "a", "side": 32, "files": {"labels.json": "0" * 64, "../../etc/passwd": "0" * 64}}
    return [json.dumps(facts).encode(), DEEP]


def _read_bundle(data: bytes, folder: Path) -> None:
    (folder / "labels.json").write_text('{"classes": ["a"]}')
    (folder / "bundle.json").write_bytes(data)
    open_bundle(folder)


def _encoded_images(folder: Path) -> list[bytes]:  # noqa: ARG001
    texts = ["aGVsbG8=", "data:image/png;base64,aGVsbG8%3D", "aGVs\n bG8", "aGVsbG8-_w"]
    return [json.dumps({"image": texts[1]}).encode(), json.dumps({"images": texts}).encode(), b'{"image": ' + DEEP]


def _read_encoded_images(data: bytes, folder: Path) -> None:  # noqa: ARG001
    for text in parse_images(data, 32).values():
        decode_base64(text)


TARGETS = [
    Target("images", _images, _read_image),
    Target("CIFAR archives", _archives, _read_archive),
    Target("image archives", _packed_images, _read_packed_images),
    Target("tables", _tables, _read_any_table),
    Target("shards", _shard, _read_shard),
    Target("manifests", _manifest, _read_manifest),
    Target("records", _record, _read_record),
    Target("studies", _study, _read_study),
    Target("recipes", _recipes, _read_recipe),
    Target("configs", _configs, _read_config),
    Target("settings", _settings, _read_setting),
    Target("words", _words, _read_word),
    Target("findings", _findings, _read_findings),
    Target("suspicious labels", _suspicious, _read_suspicious),
    Target("histories", _history, _read_history),
    Target("logits", _logits, _read_logits),
    Target("checkpoints", _checkpoints, _read_checkpoint),
    Target("keras files", _keras_files, _read_keras_file),
    Target("kits", _kits, _read_kit),
    Target("spaces", _spaces, _read_space),
    Target("bundles", _bundles, _read_bundle),
    Target("images in JSON", _encoded_images, _read_encoded_images),
]
