"""A board that follows a study: it waits, says what is running, and ends with the report."""

import io
from pathlib import Path

import pytest
from rich.console import Console

from bakeoff.console.watch import watch_study
from bakeoff.errors import OutputError
from bakeoff.locks import LOCK, hold, is_free, release
from bakeoff.runs.folder import run_dir
from bakeoff.runs.history import HistoryRow, write_history
from bakeoff.runs.record import Stage, State, write_record
from factories import make_record
from running import run_cli

DONE = make_record("a@96", 0.8)
ROW = HistoryRow(
    seconds=30,
    progress=0.5,
    epoch=1,
    images_seen=9,
    size=32,
    learning_rate=0.1,
    train_loss=1,
    val_loss=1,
    val_top1=0.625,
)


@pytest.fixture
def screen() -> Console:
    return Console(file=io.StringIO(), width=100, force_terminal=True)


def shown(screen: Console) -> str:
    assert isinstance(screen.file, io.StringIO)
    return screen.file.getvalue()


def test_it_follows_a_study_from_its_first_run_to_its_report(
    tmp_path: Path, screen: Console, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "study.json").write_text("{}")
    folder, looks = run_dir(tmp_path, DONE.id), []

    def go_on(seconds: float) -> None:
        looks.append(seconds)
        match len(looks):
            case 1:
                write_record(folder, DONE.model_copy(update={"state": State.RUNNING, "val": None}))
            case 2:
                write_history(folder, [ROW])
            case 3:
                write_record(folder, DONE)
            case 4:
                (tmp_path / "report.html").write_text("x")

    monkeypatch.setattr("time.sleep", go_on)
    watch_study(screen, tmp_path, every=7)
    assert looks == [7] * 4
    text = shown(screen)
    assert text.index("waiting for a run") < text.index("race: a@96 is running") < text.index("80.0 ±2.5")
    assert "scored at 50% of its length, after 30 s of training: 62.5 % on validation" in text


def test_an_older_report_is_not_the_end(tmp_path: Path, screen: Console, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "report.html").write_text("x")
    write_record(run_dir(tmp_path, DONE.id), DONE)

    def look_away(_: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("time.sleep", look_away)
    with pytest.raises(KeyboardInterrupt):
        watch_study(screen, tmp_path)
    # On the command line looking away is no error, and leaves the board.
    done = run_cli("board", tmp_path, "--watch")
    assert done.returncode == 0, done.stderr
    assert "a@96" in done.stdout
    assert (tmp_path / "board.csv").is_file()


def test_nothing_to_watch_and_nothing_to_parse_are_refused(tmp_path: Path, screen: Console) -> None:
    with pytest.raises(OutputError, match="holds no study"):
        watch_study(screen, tmp_path)
    assert "not both" in run_cli("board", tmp_path, "--watch", "--json").stderr


@pytest.mark.parametrize(
    ("stage", "command", "goes_on"),
    [
        (Stage.COMPARE, "bakeoff compare digits", "continue with: bakeoff compare digits"),
        (Stage.SCREEN, "bakeoff screen digits", "continue with: bakeoff screen digits"),
        (Stage.RACE, "bakeoff screen digits", "continue with: bakeoff run digits"),
        (Stage.TRAIN, "bakeoff run digits", "the same command goes on from there"),
    ],
)
def test_a_study_that_was_killed_is_said_to_be_interrupted(
    tmp_path: Path, screen: Console, monkeypatch: pytest.MonkeyPatch, stage: Stage, command: str, goes_on: str
) -> None:
    (tmp_path / "study.json").write_text(f'{{"command": "{command}"}}')
    write_record(run_dir(tmp_path, DONE.id), DONE.model_copy(update={"stage": stage, "state": State.RUNNING}))
    looks = []

    def look(_: float) -> None:
        looks.append(shown(screen)[sum(map(len, looks)) :])
        if len(looks) == 2:
            raise KeyboardInterrupt
        release(tmp_path)

    hold(tmp_path)
    monkeypatch.setattr("time.sleep", look)
    with pytest.raises(KeyboardInterrupt):
        watch_study(screen, tmp_path)
    assert f"{stage}: a@96 is running" in looks[0]
    assert f"{stage}: a@96 was interrupted" in looks[1]
    assert goes_on in looks[1]
    assert is_free(tmp_path)
    (tmp_path / LOCK).unlink()
    assert not is_free(tmp_path)  # nobody has held it, as far as is known
