"""The command line as a shell sees it: exit codes, one clear line, JSON that scripts can read."""

import io
import json
import os
import re
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

import bakeoff
from bakeoff.cli.output import escape_what_cannot_be_encoded, print_json, print_line, print_uses
from factories import fill_profile
from running import run_cli, run_process


@pytest.fixture(autouse=True, scope="module")
def _shared_cache(tmp_path_factory):
    """One cache for all these tests, so that the digits are prepared once."""
    folder = tmp_path_factory.mktemp("shared")
    fill_profile(folder)
    return folder


@pytest.fixture(autouse=True)
def _use_shared_cache(_shared_cache, monkeypatch):
    monkeypatch.setenv("BAKEOFF_CACHE_DIR", str(_shared_cache))


def _assert_refused(done, *words):
    assert done.returncode == 2, done.stderr
    lines = done.stderr.strip().splitlines()
    assert len(lines) == 1, done.stderr
    assert lines[0].startswith("bakeoff: ")
    for word in words:
        assert word in lines[0]
    assert done.stdout == ""


@pytest.fixture
def photos(tmp_path):
    """Two classes of six images, of mixed formats and sizes."""
    rng = np.random.default_rng(0)
    folder = tmp_path / "photos"
    for label, name in enumerate(("dark", "light")):
        (folder / name).mkdir(parents=True)
        for number in range(6):
            height, width = rng.integers(40, 90, 2)
            pixels = rng.integers(128 * label, 128 * label + 128, (height, width, 3)).astype(np.uint8)
            suffix = ("png", "jpg", "bmp")[number % 3]
            Image.fromarray(pixels).save(folder / name / f"{number}.{suffix}")
    return folder


def test_the_commands_that_follow_look_for_archives_in_the_same_place(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    print_uses(tmp_path / "out" / "runs" / "1", tmp_path / "my archives")
    print_uses(tmp_path / "out" / "runs" / "2")
    words = [" ".join(line.split()[1:]) for line in capsys.readouterr().err.splitlines()]
    assert words[0] == f"bakeoff evaluate out/runs/1 --data-dir '{tmp_path}/my archives'"
    assert words[1:] == [
        words[0].replace("evaluate", "export"),
        *(f"bakeoff {verb} out/runs/2" for verb in ("evaluate", "export")),
    ]


def test_help_names_every_verb_and_has_examples():
    done = run_process("--help")
    assert done.returncode == 0
    for verb in (
        "run",
        "screen",
        "compare",
        "train",
        "evaluate",
        "board",
        "report",
        "models",
        "export",
        "predict",
        "serve",
        "data",
        "weights",
    ):
        assert verb in done.stdout
    assert "bakeoff run cifar100" in run_cli("run", "--help").stdout


def test_help_loads_no_tensorflow():
    code = (
        "import sys; from bakeoff.cli.app import app; print([m for m in ('tensorflow', 'keras') if m in sys.modules])"
    )
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "[]"


def test_standard_streams_may_be_closed():
    look = "import os, sys, bakeoff.cli as cli; cli._fill_closed_streams(); sys.exit(os.open(os.devnull, 0) <= 2)"
    for arguments in ("-m bakeoff --version", f"-c '{look}'"):
        script = f'"$0" {arguments} <&- >&- 2>&-'
        assert subprocess.run(["sh", "-c", script, sys.executable], check=False).returncode == 0


def test_models_as_json_has_the_contracts_fields():
    rows = json.loads(run_cli("models", "--json").stdout)
    fields = "name family params_total min_size native_size input_scaling imagenet_top1 licence weights weights_at_hand"
    later = "size_step weights_here download_bytes multiply_adds pace fields offered_by"
    assert all(set(row) == {*fields.split(), *later.split()} for row in rows)
    at_hand = {row["name"] for row in rows if row["weights_at_hand"]}
    assert {"efficientnet-lite0", "efficientnet-lite1", "efficientnet-lite2"} <= at_hand


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["run", "digits", "--budget", "10 parsecs"], ["10 parsecs", "10m"]),
        (["run", "digits", "--budget", "3s"], ["30s"]),
        (["run", "nowhere/at/all"], ["nowhere/at/all", "cifar100"]),
        (["run", "digits", "--candidates", "resnet-5"], ["resnet-5", "resnet-50"]),
        (["run", "digits", "--candidates", "inception-v3@32", "--weights", "none"], ["75"]),
        (["run", "digits", "--classes", "1"], ["1"]),
        (["run", "digits", "--classes", "coarse"], ["superclasses"]),
        (["run", "digits", "--classes", "3,banana"], ["banana"]),
        (["compare", "digits", "--budget", "1m", "--images", "5"], ["not both"]),
        (["compare", "digits", "--weigh", "speed=1"], ["speed", "accuracy"]),
        (["compare", "digits", "--candidates", "lenet", "--weights", "xception=x.h5"], ["xception", "no candidate"]),
        (["compare", "digits", "--candidates", "vgg-16,vgg-19", "--weights", "w.h5"], ["which network"]),
        (["compare", "digits", "--candidates", "vgg-16", "--weights", "w.h5"], ["no weight file", "w.h5"]),
        (["compare", "digits", "--candidates", "lenet,cnn-small", "--budget", "40s"], ["2 candidates", "at least"]),
        (["weights", "import", "nowhere"], ["nowhere", "kit.json"]),
        (["weights", "export", "kit", "--networks", "vgg-99"], ["vgg-99", "vgg-16"]),
        (["weights", "export", "kit", "--networks", "lenet"], ["no network with pretrained weights is named"]),
        (["weights", "export", "kit", "--networks", ""], ["no network with pretrained weights is named"]),
        (["train", "digits", "--set", "optim.lr=1"], ["optim.lr", "learning_rate"]),
        (["train", "digits", "--recipe", "missing.toml"], ["missing.toml"]),
        (["models", "--family", "convnex"], ["convnex", "convnext"]),
        (["models", "--max-params", "few"], ["few", "10M"]),
        (["board", "nowhere"], ["nowhere"]),
        (["evaluate", "nowhere"], ["nowhere"]),
        (["predict", "nowhere", "cat.png"], ["nowhere", "bundle"]),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_bad_input_gets_one_line_and_exit_code_2(arguments, words, tmp_path, tmp_path_factory, monkeypatch):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path_factory.mktemp("keras")))
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")  # where nobody listens
    monkeypatch.chdir(tmp_path)
    _assert_refused(run_cli(*arguments), *words)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "arguments",
    [
        ["run", "digits", "--candidates", "vgg-16"],
        ["compare", "digits", "--candidates", "lenet,vgg-16"],
        ["weights", "export", "kit", "--networks", "vgg-16"],
    ],
    ids=lambda words: words[0],
)
@pytest.mark.parametrize("offline", ["0", "1"], ids=["nobody answers", "offline"])
def test_weights_that_cannot_be_downloaded_are_one_line_and_exit_code_2(
    arguments, offline, tmp_path, tmp_path_factory, monkeypatch
):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path_factory.mktemp("keras")))
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")  # where nobody listens
    monkeypatch.setenv("BAKEOFF_OFFLINE", offline)
    monkeypatch.chdir(tmp_path)
    reason = "BAKEOFF_OFFLINE=1" if offline == "1" else "storage.googleapis.com does not answer"
    _assert_refused(run_cli(*arguments), "vgg-16", "cannot download", reason, "--weights")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "verb",
    [
        ["screen", "digits", "--candidates", "mobilenet-v2"],
        ["compare", "digits", "--candidates", "lenet,mobilenet-v2"],
        ["tune", "digits", "--candidate", "mobilenet-v2"],
        ["train", "digits", "--set", "model.name=mobilenet-v2", "--set", "model.size=48"],
    ],
    ids=lambda words: words[0],
)
@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--offline"], ["mobilenet-v2", "--offline"]),
        (["--download-limit", "1MB"], ["mobilenet-v2", "1 MB", "--download-limit"]),
        (["--download-limit", "much"], ["much", "500MB"]),
    ],
    ids=lambda value: " ".join(value),
)
def test_what_may_not_be_downloaded_is_one_line_and_exit_code_2(verb, arguments, words, tmp_path, monkeypatch):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
    monkeypatch.delenv("BAKEOFF_OFFLINE")
    monkeypatch.chdir(tmp_path)
    _assert_refused(run_cli(*verb, *arguments), *words)


@pytest.mark.parametrize("cache", ["empty", "filled"])
def test_a_terminal_sees_that_line_and_nothing_else(cache, tmp_path, tmp_path_factory, monkeypatch):
    """Whether TensorFlow was started for it or not."""
    if cache == "empty":
        monkeypatch.setenv("BAKEOFF_CACHE_DIR", str(tmp_path_factory.mktemp("cache")))
    else:
        assert run_cli("data", "prepare", "digits").returncode == 0
    monkeypatch.chdir(tmp_path)
    _assert_refused(run_process("run", "digits", "--budget", "3s"), "30s")
    assert not list(tmp_path.iterdir())


def test_letters_that_the_terminal_lacks_are_printed_as_escapes(monkeypatch):
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", stream)
    escape_what_cannot_be_encoded()
    print_line("猫 cat")
    print_json({"label": "🐱"})
    stream.flush()
    line, _, text = stream.buffer.getvalue().decode().partition("\n")
    assert line == r"\u732b cat"
    assert json.loads(text) == {"label": "🐱"}


def test_the_version_is_printed_and_is_that_of_the_package():
    done = run_cli("--version")
    assert (done.returncode, done.stdout, done.stderr) == (0, f"bakeoff {bakeoff.__version__}\n", "")


def test_earlier_names_of_verbs_work_and_are_not_shown():
    listed = run_cli("weights", "--help").stdout
    for name, earlier in (("export", "pack"), ("import", "use")):
        assert re.search(rf"\b{name}\b", listed)
        assert not re.search(rf"^\W*{earlier}\b", listed, re.MULTILINE)
        assert f"bakeoff weights {name} weights/" in run_cli("weights", earlier, "--help").stdout


def test_weights_exported_here_are_on_a_machine_that_had_none(tmp_path):
    exported = run_cli("weights", "export", tmp_path / "kit", "--networks", "efficientnet-lite0,lenet")
    assert exported.returncode == 0, exported.stderr
    assert "note: left out: lenet; networks that are trained from scratch have no pretrained weights" in exported.stderr
    assert "Apache-2.0" in exported.stdout
    bare = {"BAKEOFF_WEIGHTS_DIR": str(tmp_path / "home")}
    used = json.loads(run_cli("weights", "import", tmp_path / "kit", "--json", **bare).stdout)
    assert [(entry["network"], entry["origin"]) for entry in used] == [("efficientnet-lite0", "package")]
    assert (tmp_path / "home" / used[0]["file"]).stat().st_size == used[0]["bytes"]


@pytest.mark.parametrize("shape", ["empty", "one class", "text only"])
def test_folders_that_cannot_be_learned_from_are_refused(shape, tmp_path):
    folder = tmp_path / "images"
    folder.mkdir()
    if shape == "one class":
        (folder / "only").mkdir()
        for number in range(5):
            Image.new("RGB", (20, 20), (number, 0, 0)).save(folder / "only" / f"{number}.png")
    if shape == "text only":
        (folder / "a").mkdir()
        (folder / "a" / "notes.txt").write_text("no image")
    _assert_refused(run_cli("run", folder, "--out", tmp_path / "out"), "images")
    assert not (tmp_path / "out").exists()


def test_a_truncated_archive_is_refused(tmp_path):
    (tmp_path / "cifar-100-binary.tar.gz").write_bytes(b"\x1f\x8b\x08\x00" + bytes(100))
    _assert_refused(run_cli("data", "prepare", "cifar100", "--data-dir", tmp_path), "cifar-100-binary.tar.gz")


def test_a_folder_that_holds_something_else_is_refused_and_untouched(tmp_path):
    (tmp_path / "thesis.tex").write_text("important")
    _assert_refused(run_cli("run", "digits", "--out", tmp_path), "not empty")
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_an_output_that_cannot_be_written_is_refused(tmp_path):
    (tmp_path / "file").write_text("in the way")
    _assert_refused(run_cli("run", "digits", "--out", tmp_path / "file" / "out"), "file")


def test_a_corrupt_photo_is_left_out_by_name_and_the_rest_prepared(photos, tmp_path):
    (photos / "dark" / "broken.jpg").write_bytes((photos / "dark" / "1.jpg").read_bytes()[:200])
    done = run_cli("data", "prepare", photos, "--out", tmp_path / "shards")
    assert done.returncode == 0, done.stderr
    assert "dark/broken.jpg" in done.stderr
    manifest = json.loads((tmp_path / "shards" / "manifest.json").read_text())
    assert [bad["key"] for bad in manifest["quarantined"]] == ["dark/broken.jpg"]
    assert sum(split["count"] for split in manifest["splits"].values()) == 12
    assert (photos / "dark" / "broken.jpg").exists()


def test_many_images_that_are_left_out_are_counted_by_reason(photos, tmp_path):
    for number in range(5):
        (photos / "dark" / f"page{number}.jpg").write_text("<html>")
    (photos / "dark" / "empty.jpg").touch()
    done = run_cli("data", "prepare", photos, "--out", tmp_path / "shards")
    assert "left out: 5 images, such as dark/page0.jpg: an HTML page" in done.stderr
    assert "left out: dark/empty.jpg: the image is empty" in done.stderr


def test_a_missing_tensorflow_is_one_clear_line(tmp_path, monkeypatch):
    monkeypatch.setenv("BAKEOFF_CACHE_DIR", str(tmp_path / "empty"))
    (tmp_path / "tensorflow.py").write_text(
        "raise ModuleNotFoundError(\"No module named 'tensorflow'\", name='tensorflow')"
    )
    places = os.pathsep.join(filter(None, (str(tmp_path), os.environ.get("PYTHONPATH"))))
    done = run_process("run", "digits", "--out", tmp_path / "out", PYTHONPATH=places)
    _assert_refused(done, "bakeoff[cpu]", "bakeoff[gpu]")


def test_show_writes_a_contact_sheet(tmp_path):
    done = run_cli("data", "show", "digits", "--out", tmp_path / "sheet.png")
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == str(tmp_path / "sheet.png")
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert min(sheet.size) > 200
