"""From raw images to a served answer by the commands a person types, on very little."""

import csv
import json
import re
import signal
import subprocess
import time
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits

from bakeoff.cache import list_entries, list_others
from bakeoff.machine import count_cores
from bakeoff.profile import add_observation
from bakeoff.runs.config import Mode
from factories import make_observation
from faults.machine import hear_interrupts
from running import BAKEOFF, run_cli

BUDGET, MORE = 300, 310
# Seconds for the confirmed run and what comes after it; it is trained for as short as there is.
LEFT = 24
STUDY = ["run", "digits", "--candidates", "lenet,cnn-small", "--budget", f"{BUDGET}s"]


def _pass_time(out):
    """Charge a study as if it had taken longer, so that LEFT seconds are left of its budget; how many those were."""
    facts = json.loads((out / "study.json").read_text())
    passed = BUDGET - LEFT - sum(facts["seconds"].values())
    facts["seconds"]["prepare"] += passed
    (out / "study.json").write_text(json.dumps(facts))
    return passed


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """A study that was interrupted once, and begun again: its folder, what was printed, and how often what was done."""
    folder = tmp_path_factory.mktemp("whole-path")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BAKEOFF_CACHE_DIR", str(folder / "cache"))
        out = folder / "study"
        # The plan must not depend on what else the machine does, so nothing is timed before it.
        add_observation(
            make_observation("lenet", size=32, mode=Mode.FIT, rate=3000.0, overhead=8.0, threads=count_cores())
        )
        started = time.monotonic()
        driver = subprocess.Popen(
            [*BAKEOFF, *STUDY, "--out", out], stderr=subprocess.PIPE, text=True, preexec_fn=hear_interrupts
        )
        while not _finished(out):
            assert driver.poll() is None, driver.stderr.read()
            time.sleep(0.2)
        driver.send_signal(signal.SIGINT)
        _, errors = driver.communicate(timeout=60)
        assert driver.returncode == 130
        assert "goes on from here" in errors
        before = {path: path.stat().st_mtime_ns for path in _finished(out).values()}
        passed = _pass_time(out)
        done = run_cli(*STUDY, "--out", out, "--json")
        assert done.returncode == 0, done.stderr
        yield SimpleNamespace(out=out, before=before, done=done, wall=passed + time.monotonic() - started)


@pytest.fixture
def shared(study, monkeypatch):
    """The study, with the cache that it was made with."""
    monkeypatch.setenv("BAKEOFF_CACHE_DIR", str(study.out.parent / "cache"))
    return study


def test_an_interrupted_study_goes_on_where_it_was(study):
    assert study.before
    assert {path: path.stat().st_mtime_ns for path in study.before} == study.before


@pytest.mark.usefixtures("shared")
def test_all_that_it_leaves_in_the_cache_is_known_as_its_own():
    assert {"data", "features", "profiles"} <= {entry.kind for entry in list_entries()}
    assert list_others() == []


def test_one_command_ends_with_a_board_a_report_and_an_honest_score(study):
    out, rows = study.out, json.loads(study.done.stdout)
    fields = (
        "rank name state reason stage id val_top1 val_top1_ci95 params_total params_trainable seconds_train"
        " images_seen images_per_second memory_predicted_bytes memory_peak_bytes pareto tie"
        " model_bytes batch micro_batch weights tensors_matched tensors_total mode metric"
        " val_balanced_accuracy val_balanced_accuracy_ci95 val_macro_f1 val_macro_f1_ci95 val_log_loss"
        " val_log_loss_ci95 val_auroc val_auroc_ci95 val_images folds licence"
    )
    assert all(set(row) == set(fields.split()) for row in rows)
    assert rows[0]["stage"] == "confirm"
    assert rows[0]["state"] == "COMPLETE"
    assert {row["name"] for row in rows if row["stage"] == "screen"} == {"lenet@32", "cnn-small@32"}

    spent = json.loads((out / "study.json").read_text())["seconds"]
    assert sum(spent.values()) <= study.wall
    record = json.loads((out / "runs" / rows[0]["id"] / "record.json").read_text())
    assert record["test"]["openings"] == 1
    assert record["test"]["n"] == record["data"]["counts"]["test"]
    assert record["test"]["top1"] > 0.6
    others = [path for path in out.glob("runs/*/record.json") if path.parent.name != rows[0]["id"]]
    assert others
    assert all(json.loads(path.read_text())["test"] is None for path in others)

    with (out / "board.csv").open(newline="") as file:
        assert [row["id"] for row in csv.DictReader(file)] == [row["id"] for row in rows]
    page = (out / "report.html").read_text()
    assert f"{100 * record['test']['top1']:.1f}" in page
    assert not re.search(r"""(src|href)=["']?(https?:)?//""", page)


def test_the_bundle_answers(study, tmp_path):
    digits = load_digits()
    pixels = (digits.images[:10] / 16 * 255).round().astype(np.uint8)
    paths = []
    for number, image in enumerate(pixels):
        paths.append(tmp_path / f"{number}.png")
        Image.fromarray(image).save(paths[-1])
    answered = run_cli("predict", study.out / "bundle", *paths, "--json")
    assert answered.returncode == 0, answered.stderr
    answers = json.loads(answered.stdout)
    hits = sum(answer["top"][0]["label"] == str(label) for answer, label in zip(answers, digits.target, strict=False))
    assert hits >= 6
    assert all(len(answer["top"]) == 5 for answer in answers)


def test_all_figures_hold_until_one_is_edited(shared):
    held = run_cli("verify", shared.out)
    assert held.returncode == 0, held.stdout + held.stderr
    assert "figures hold" in held.stdout
    winner = json.loads(shared.done.stdout)[0]["id"]
    path = shared.out / "runs" / winner / "record.json"
    text = path.read_text()
    top1 = json.loads(text)["test"]["top1"]
    path.write_text(text.replace(f'"top1": {top1}', f'"top1": {top1 - 0.01}'))
    broken = run_cli("verify", shared.out, "--records-only", "--json")
    path.write_text(text)
    assert broken.returncode == 1, broken.stderr
    named = [check["where"] for check in json.loads(broken.stdout)["broken"]]
    assert f"runs/{winner}/record.json: test.top1" in named


def test_the_same_command_again_trains_nothing_and_another_budget_is_another_study(shared):
    before = {path: path.stat().st_mtime_ns for path in shared.out.glob("runs/*/record.json")}
    again = run_cli(*STUDY, "--out", shared.out, "--json")
    assert json.loads(again.stdout) == json.loads(shared.done.stdout)
    assert {path: path.stat().st_mtime_ns for path in before} == before
    held = run_cli("verify", shared.out, "--records-only")
    assert held.returncode == 0, held.stdout + held.stderr

    other = run_cli("run", "digits", "--candidates", "lenet,cnn-small", "--budget", f"{MORE}s", "--out", shared.out)
    assert other.returncode == 2
    assert "another study" in other.stderr


def _finished(out):
    """Paths of completed records by network."""
    found = {}
    for path in out.glob("runs/*/record.json"):
        record = json.loads(path.read_text())
        if record["state"] == "COMPLETE" and record["stage"] == "screen":
            found[record["config"]["model"]["name"]] = path
    return found


# In workers: the peak of a run in the tests' process is above what that process has held before, which may be nothing.
def test_a_comparison_is_fair_says_why_and_keeps_the_test_split_locked(tmp_path):
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(
        'candidates = ["lenet", "cnn-small"]\n[train]\nimages = 1000\nbatch = 32\n[augment]\npolicy = "crop"\n'
    )
    command = ["compare", "digits", "--recipe", recipe, "--images", "320", "--out", tmp_path / "out"]
    done = run_cli(*command, "--json")
    assert done.returncode == 0, done.stderr
    rows = json.loads(done.stdout)
    assert {row["name"] for row in rows} == {"lenet@32", "cnn-small@32"}
    for row in rows:
        assert (row["stage"], row["state"], row["weights"]) == ("compare", "COMPLETE", "scratch")
        assert min(row["memory_predicted_bytes"], row["memory_peak_bytes"], row["model_bytes"]) > 0
        record = json.loads((tmp_path / "out" / "runs" / row["id"] / "record.json").read_text())
        assert record["images_seen"] == 320
        assert record["test"] is None
    assert (tmp_path / "out" / "report.html").is_file()
    assert "320 images of training for each" in done.stderr.replace("\n", " ")
    weighed = run_cli("board", tmp_path / "out", "--weigh", "accuracy=0,params=1")
    assert "cnn-small@32 won" in weighed.stdout.replace("\n", " ")
    assert "With the weights accuracy 0 and params 1, it scores" in weighed.stdout.replace("\n", " ")

    other = run_cli("run", "digits", "--out", tmp_path / "out")
    assert other.returncode == 2
    assert "bakeoff compare" in other.stderr
