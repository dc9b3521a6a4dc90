"""The answer in two sentences: which network with which accuracy, and what to run next."""

import re
import shlex
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from bakeoff.report.board import format_headline, read_row
from bakeoff.report.bundled import find_bundled
from bakeoff.runs.config import Metric, Mode
from bakeoff.runs.folder import run_dir
from bakeoff.runs.metrics import Metrics
from bakeoff.runs.record import RunRecord, Stage, State
from bakeoff.runs.study_file import AnyStudy
from bakeoff.text import counted

__all__ = [
    "Answer",
    "NextStep",
    "describe_answer",
    "describe_failure",
    "describe_losses",
    "describe_next",
    "find_data_dir",
    "find_whole_job",
]


class Answer(NamedTuple):
    """The first sentence of the page, in parts: `{do} {network}{how} {score} {standing}`."""

    do: str
    network: str
    how: str
    score: str
    """The score that decides; empty if there is none."""
    standing: str
    """What it is a score of, with its interval."""
    top1: str
    """Top-1, if another metric decides."""


class NextStep(NamedTuple):
    """What to do next, and the command that does it, for the folder above the study's; empty if it is no command."""

    words: str
    command: str = ""


def describe_answer(winner: RunRecord, confirmed: RunRecord, metric: Metric) -> Answer:
    """Name the network, how it was trained, and its score: on test if that was opened, otherwise on validation.

    Args:
        winner: The run to use.
        confirmed: The run that has the validation scores of its recipe.
        metric: The metric that decides.
    """
    do, how = _describe_training(winner)
    scored = winner.test or confirmed.val
    if scored is None:
        return Answer(do, winner.config.model.name, how, "", "It has learned the validation images: no score yet.", "")
    shown = format_headline(scored, metric)
    images = _name_images(winner, confirmed, scored)
    if shown.title == Metric.TOP1.label:
        standing = f"of {images} were classified correctly (top-1), 95 % interval {shown.interval}."
    else:
        standing = f"{shown.title} on {images}, 95 % interval {shown.interval}."
    return Answer(do, winner.config.model.name, how, shown.value, standing, shown.top1)


def describe_next(out: Path, study: AnyStudy, winner: RunRecord | None) -> NextStep:
    """Say what to run next: use the model, score it, fine-tune it, or look why nothing was trained.

    Args:
        out: The study's folder.
        study: The study's file.
        winner: The run that the study ended with; None if no run completed.
    """
    folder = Path(out.resolve().name)
    if winner is None:
        return NextStep(
            "Next, read why: the reasons are in the table of candidates, the output of each run in its log."
        )
    if find_bundled(out / "bundle") == winner.id:
        return NextStep(
            "Next, let it name what is on your own images:", f"bakeoff predict {_quote(folder / 'bundle')} image.png"
        )
    if not winner.model_bytes:
        if command := find_whole_job(study.command):
            return NextStep("Next, fine-tune it:", command)
        return NextStep("Next, fine-tune it: give bakeoff run a longer budget.")
    run = _quote(run_dir(folder, winner.id)) + find_data_dir(study.command)
    if winner.test is None and winner.data.counts.get("test", 1):
        return NextStep("Next, once all choices are made, score it on the test images:", f"bakeoff evaluate {run}")
    return NextStep("Next, write it as a bundle, which predicts and serves:", f"bakeoff export {run}")


def find_data_dir(command: str) -> str:
    """` --data-dir PLACE` of the command that started a study, which others on its data need too; empty if it has none.

    Args:
        command: As a shell takes it, or a call in Python.
    """
    found = re.search(r""" --data-dir(?: |=)(?:'[^']*'|"[^"]*"|[^\s'"])+""", command)
    return found[0] if found else ""


def find_whole_job(command: str) -> str:
    """The command that does the whole job of which a command does the screen; empty for other commands.

    Args:
        command: As a shell takes it, or a call in Python.
    """
    whole, found = re.subn(r"^bakeoff([ .])screen\b", r"bakeoff\1run", command)
    return whole if found else ""


def describe_losses(records: Sequence[RunRecord]) -> str:
    """Say how many runs there were and what most of them stopped for, where none completed."""
    ended = [record for record in records if record.state is not State.RUNNING]
    if not ended:
        return "No run has ended yet."
    reasons = Counter(record.reason.rstrip(".") or "no reason was recorded" for record in ended)
    ((why, times),) = reasons.most_common(1)
    if len(ended) == 1:
        return f"The only run stopped: {why}."
    if times == len(ended):
        return f"All {times} runs stopped: {why}."
    return f"{counted(len(ended), 'run')} stopped, {times} of them for this reason: {why}."


def describe_failure(winner: RunRecord, records: Sequence[RunRecord]) -> str:
    """Say that the run that should have confirmed the winner failed; empty if it did not."""
    failed = [record for record in records if record.stage is Stage.CONFIRM and record.state is State.FAILED]
    if not failed or winner.stage in (Stage.CONFIRM, Stage.REFIT):
        return ""
    names = ", ".join(dict.fromkeys(record.candidate for record in failed))
    why = failed[-1].reason.rstrip(".") or "no reason was recorded"
    return f"The confirming run of {names} failed: {why}. The result on this page is of the {winner.stage} stage."


def _describe_training(winner: RunRecord) -> tuple[str, str]:
    """What to do with the network, and how it was trained."""
    model, size = winner.config.model, f"{winner.config.model.size} by {winner.config.model.size} pixels"
    if winner.stage is Stage.SCREEN:
        return "Fine-tune", f" at {size}."
    if winner.config.train.mode is Mode.PROBE or (winner.start_kept and not model.start):
        return "Use", f", frozen, with a linear classifier on its features, at {size}."
    # A run that continues another has the weights of that one, which may have begun from random ones.
    from_random = read_row(winner).weights in ("scratch", "random")
    return "Use", f", {'trained' if from_random else 'fine-tuned'} at {size}."


def _name_images(winner: RunRecord, confirmed: RunRecord, scored: Metrics) -> str:
    """The images that a score stands on, and how they were scored if it is not the usual way."""
    if winner.test is not None:
        return f"{scored.n:,} test images"
    return f"{scored.n:,} images {confirmed.scoring}" if confirmed.folds else f"{scored.n:,} validation images"


def _quote(path: Path) -> str:
    return shlex.quote(path.as_posix())
