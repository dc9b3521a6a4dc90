"""`bakeoff predict` as a command: predictions in order, and errors for what cannot be read."""

import contextlib
import csv
import io
import json
import os
import pty
import subprocess
import sys
import threading
from types import SimpleNamespace

import pytest

from bakeoff.cli.answers import print_csv
from bakeoff.data.batches import load_split
from bakeoff.deploy.bundle import Format, Prediction, find_inputs, open_bundle, predict
from bakeoff.deploy.bundle.opened import ClassScore
from bakeoff.errors import BundleError
from factories import encode_png
from running import BAKEOFF, run_cli

COUNT = 70  # from 64 on there is a bar


@pytest.fixture(scope="module")
def pictures(digits, tmp_path_factory):
    """Images in a folder and in one below it, and their classes."""
    folder, val = tmp_path_factory.mktemp("pictures"), load_split(digits, "val", subset=COUNT)
    (folder / "below").mkdir()
    for number, image in enumerate(val.images):
        place = folder / "below" if number % 2 else folder
        (place / f"{number:02d}.png").write_bytes(encode_png(image))
    (folder / "notes.txt").write_text("no image, and nobody asked for it")
    return folder


@pytest.fixture(scope="module")
def bundle(bundled):
    return bundled(Format.ONNX)


def _predict(bundle, *arguments, stdin=b""):
    done = run_cli("predict", bundle, *arguments, stdin=stdin)
    return done.returncode, done.stdout, done.stderr


def test_all_images_of_a_folder_are_predicted_in_order_and_without_tensorflow(bundle, pictures):
    code = (
        "import sys; from bakeoff.cli.app import app; app(sys.argv[1:], standalone_mode=False);"
        "print([name for name in sys.modules if name in ('tensorflow', 'keras')], file=sys.stderr)"
    )
    arguments = ["predict", str(bundle), str(pictures), "--json", "--top", "3"]
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False)
    assert done.stderr.splitlines()[-1] == "[]"
    rows = json.loads(done.stdout)
    assert [row["path"] for row in rows] == [str(path) for path in sorted(pictures.rglob("*.png"))]
    opened = open_bundle(bundle)
    for row in rows:
        assert row["error"] is None
        assert len(row["top"]) == 3
        assert set(row["top"][0]) == {"label", "probability"}
        assert row["top"][0]["label"] in opened.class_names
        shares = [named["probability"] for named in row["top"]]
        assert shares == sorted(shares, reverse=True)


def test_an_unreadable_image_is_reported_and_does_not_stop_the_rest(bundle, pictures, tmp_path):
    bad = tmp_path / "bad.png"
    bad.write_text("this is no image")
    first, last, missing = pictures / "00.png", pictures / "02.png", tmp_path / "missing.png"
    status, stdout, stderr = _predict(bundle, first, bad, missing, last, "--csv", "--top", 1)
    assert status == 2
    assert stderr.strip() == "bakeoff: 2 of 4 images could not be read; the others were answered"
    rows = list(csv.DictReader(io.StringIO(stdout)))
    assert [row["path"] for row in rows] == [str(path) for path in (first, bad, missing, last)]
    assert [bool(row["label"]) for row in rows] == [True, False, False, True]
    assert "not a JPEG, PNG" in rows[1]["error"]
    assert "No such file" in rows[2]["error"]
    assert 0 < float(rows[0]["probability"]) <= 1


def test_a_table_of_answers_runs_no_formula_and_holds_any_file_name(capsys):
    print_csv([Prediction("=1.png", [ClassScore("@sum(a)", 0.5, None)]), Prediction("caf\udce9.png", [], "torn")])
    _, *rows = csv.reader(io.StringIO(capsys.readouterr().out))
    assert rows == [["'=1.png", "1", "'@sum(a)", "0.500000", "", ""], ["caf\\udce9.png", "", "", "", "torn", ""]]


def test_answers_below_the_least_confidence_are_marked_in_every_form(bundle, pictures, tmp_path):
    bad = tmp_path / "bad.png"
    bad.write_text("this is no image")
    rows = json.loads(_predict(bundle, pictures, "--json", "--top", 1)[1])
    assert {row["unsure"] for row in rows} == {None}
    shares = [row["top"][0]["probability"] for row in rows]
    limit = max(share for share in shares if share < 1)
    marks = [share < limit for share in shares]
    arguments = [bundle, pictures, bad, "--top", 1, "--min-confidence", limit]
    rows = json.loads(_predict(*arguments, "--json")[1])
    assert [row["unsure"] for row in rows] == [*marks, None]
    assert {True, False} <= {row["unsure"] for row in rows}
    table = list(csv.DictReader(io.StringIO(_predict(*arguments, "--csv")[1])))
    assert [row["unsure"] for row in table] == [*(str(mark).lower() for mark in marks), ""]
    lines = [line for line in _predict(*arguments)[1].splitlines() if not line.startswith("  ")]
    assert [line.endswith(": unsure") for line in lines] == [*marks, False]


@pytest.mark.parametrize("value", ["0", "1", "nan", "98", "-0.5"])
def test_a_least_confidence_that_is_no_share_is_refused(bundle, pictures, value):
    status, stdout, stderr = _predict(bundle, pictures, f"--min-confidence={value}")
    assert (status, stdout) == (2, "")
    assert "give a share between 0 and 1, as in 0.98" in stderr
    assert len(stderr.splitlines()) == 1


def test_globs_and_standard_input_are_read(bundle, pictures):
    image = (pictures / "00.png").read_bytes()
    status, stdout, stderr = _predict(bundle, str(pictures / "**" / "0[13].png"), "-", "--top", 2, stdin=image)
    assert (status, stderr) == (0, "")
    lines = stdout.splitlines()
    assert lines[0::3] == [str(pictures / "below" / "01.png"), str(pictures / "below" / "03.png"), "<stdin>"]
    assert all("%" in line for line in lines if line.startswith("  "))


@pytest.mark.parametrize("pattern", ["**", "**/*", "*"])
def test_a_glob_that_matches_folders_and_what_is_in_them_gives_each_image_once(pattern, tmp_path):
    images = [tmp_path / "a.png", tmp_path / "below" / "b.png", tmp_path / "below" / "further" / "c.png"]
    for path in images:
        path.parent.mkdir(exist_ok=True)
        path.touch()
    assert sorted(each.name for each in find_inputs([str(tmp_path / pattern)])) == sorted(map(str, images))


def test_an_image_that_is_named_twice_is_answered_twice(tmp_path):
    (tmp_path / "a.png").touch()
    assert len(find_inputs([str(tmp_path / "a.png"), str(tmp_path)])) == 2


def test_a_name_that_is_too_long_for_a_file_is_answered_by_its_error(tmp_path):
    (tmp_path / "a.png").touch()
    long, image = find_inputs([str(tmp_path / f"{'a' * 300}.png"), str(tmp_path)])
    assert image.name == str(tmp_path / "a.png")
    with pytest.raises(OSError, match="too long"):
        long.read()


def test_what_may_wait_forever_is_read_by_the_thread_that_ctrl_c_interrupts(bundle, pictures, tmp_path, monkeypatch):
    readers, outcomes = [], iter([(pictures / "00.png").read_bytes(), OSError(5, "Input/output error")])

    def read():
        readers.append(threading.current_thread())
        if isinstance(outcome := next(outcomes), OSError):
            raise outcome
        return outcome

    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=SimpleNamespace(read=read)))
    answers = list(predict(open_bundle(bundle), find_inputs(["-", "-", str(pictures / "02.png")])))
    assert [answer.error for answer in answers] == [None, "Input/output error", None]
    assert readers == [threading.main_thread()] * 2
    os.mkfifo(tmp_path / "pipe")
    waits = [each.may_wait for each in find_inputs(["-", str(tmp_path / "pipe"), str(pictures / "00.png")])]
    assert waits == [True, True, False]


def test_a_standard_input_that_is_closed_is_one_clear_line(monkeypatch):
    monkeypatch.setattr(sys, "stdin", None)
    with pytest.raises(BundleError, match="no image on standard input, which is closed; send one"):
        find_inputs(["-"])


def test_results_go_to_standard_output_while_a_bar_is_drawn(bundle, pictures):
    leader, follower = pty.openpty()
    drawn = []

    def watch():
        with contextlib.suppress(OSError):  # the other end is closed
            while part := os.read(leader, 65536):
                drawn.append(part)

    watching = threading.Thread(target=watch)
    watching.start()
    command = [*BAKEOFF, "predict", bundle, pictures, "--csv", "--top", "1"]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=follower, check=False, timeout=300)
    os.close(follower)
    watching.join(20)
    os.close(leader)
    assert done.returncode == 0
    assert len(done.stdout.splitlines()) == 1 + COUNT
    assert b"predicting" in b"".join(drawn)
    assert b".png" not in b"".join(drawn)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nowhere/*.png"], "there are no images in nowhere/*.png"),
        (["-", "--json", "--csv"], "exclude each other"),
        (["cat.png", "--top", "0"], "--top"),
    ],
)
def test_wrong_arguments_are_refused(bundle, arguments, words):
    status, stdout, stderr = _predict(bundle, *arguments)
    assert (status, stdout) == (2, "")
    assert words in stderr
    assert "Traceback" not in stderr
