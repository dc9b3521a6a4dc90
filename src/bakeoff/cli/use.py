"""Verbs that use a result: export, predict."""

import shlex
import sys
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

import bakeoff
from bakeoff.cli.options import (
    BundleArgument,
    DataDirOption,
    JsonOption,
    MinConfidenceOption,
    ThreadsOption,
    name_choices,
)
from bakeoff.cli.output import exit_on_interrupt, print_error, print_json, print_line, print_text, shown_path
from bakeoff.deploy.bundle import Format, Quantize
from bakeoff.errors import BundleError, ConfigError
from bakeoff.text import counted

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from bakeoff.deploy.bundle import BundleFacts, Prediction

__all__ = ["export", "predict"]


def export(
    run_dir: Annotated[str, typer.Argument(help="OUT/runs/ID, or OUT of a study that is done.", metavar="RUN")],
    *,
    form: Annotated[
        Format, typer.Option("--format", metavar="FORMAT", help=f"File format of the model: {name_choices(Format)}.")
    ] = Format.KERAS,
    quantize: Annotated[
        Quantize | None,
        typer.Option(metavar="KIND", help="Fewer bits: int8 or float16 for onnx and litert, dynamic for litert."),
    ] = None,
    precision: Annotated[
        float | None,
        typer.Option(
            metavar="SHARE",
            help="Mark answers as unsure below the confidence from which this share of answers was right, as in 0.98.",
        ),
    ] = None,
    min_confidence: Annotated[
        float | None, typer.Option(metavar="SHARE", help="Mark answers of a lower probability as unsure, as in 0.9.")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="Folder of the bundle.",
            show_default="OUT/bundle-FORMAT; OUT/bundle for keras",
        ),
    ] = None,
    data_dir: DataDirOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write a trained run as a bundle (model, class names, card), checked against the run and timed.

    **Examples**

    - `bakeoff export bakeoff-cifar100 --format onnx`

    - `bakeoff export bakeoff-cifar100/runs/1f0c5ab3e2d4 --format litert`

    - `bakeoff export bakeoff-cifar100 --precision 0.98` — `predict` and `serve` then mark what is unsure
    """
    from bakeoff.report.bundled import note_other

    with exit_on_interrupt("nothing was written"):
        bundle, facts = bakeoff.export(
            run_dir,
            format=form,
            quantize=quantize,
            precision=precision,
            min_confidence=min_confidence,
            out=out,
            data_dir=data_dir,
        )
    if as_json:
        print_json({"bundle": str(shown_path(bundle))} | facts.model_dump(mode="json", by_alias=True))
    else:
        _print_export(shown_path(bundle), facts)
    if other := note_other(shown_path(bundle)):
        print_error(other)


def predict(
    bundle: BundleArgument,
    images: Annotated[
        list[str],
        typer.Argument(help="Image files, folders of them, globs, or - for one image's bytes.", metavar="PATH..."),
    ],
    *,
    top: Annotated[int, typer.Option(metavar="N", help="How many classes to name.", min=1)] = 5,
    min_confidence: MinConfidenceOption = None,
    threads: ThreadsOption = None,
    as_json: JsonOption = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print a row for each class as CSV.")] = False,
) -> None:
    """Say what is on images, likeliest class first. A file that cannot be read is named and does not stop the rest.

    **Examples**

    - `bakeoff predict bakeoff-cifar100/bundle cat.png`

    - `bakeoff predict bakeoff-cifar100/bundle holiday/ --top 1 --csv > named.csv`

    - `cat cat.png | bakeoff predict bakeoff-cifar100/bundle -`
    """
    from bakeoff.api.bundles import iterate_answers
    from bakeoff.cli.answers import print_csv, print_lines, print_list
    from bakeoff.console.bars import draw_bars

    if as_json and as_csv:
        raise ConfigError("--json and --csv exclude each other; give one of them")
    counts = {"all": 0, "unread": 0}
    with exit_on_interrupt("what was printed is complete"):
        # On a terminal the results, printed line by line, show the progress from the first of them on.
        shows_bar = as_json or not sys.stdout.isatty()
        with draw_bars() as move:
            move("opening the bundle", 0, 0)
            answers = iterate_answers(
                bundle, images, top=top, min_confidence=min_confidence, threads=threads, progress=shows_bar
            )
            if not shows_bar:
                answers = chain(list(islice(answers, 1)), answers)
        (print_list if as_json else print_csv if as_csv else print_lines)(_count(answers, counts))
    if counts["unread"]:
        raise BundleError(
            f"{counts['unread']} of {counted(counts['all'], 'image')} could not be read; the others were answered"
        )


def _print_export(bundle: Path, facts: "BundleFacts") -> None:
    assert facts.parity is not None
    assert facts.timing is not None
    timing, found = facts.timing, facts.calibration
    print_line(f"{bundle}: {facts.format_label}, {facts.model_bytes / 1e6:.1f} MB")
    print_text(
        f"  checked on {counted(facts.parity.images, 'validation image')}: the same class as the run for"
        f" {facts.parity.agreement:.1%} ({facts.parity.near_agreement:.1%} if near-ties count as the same);"
        f" probabilities differ by at most {facts.parity.worst_gap:.1g}"
    )
    if facts.val is not None:
        low, high = facts.val.top1_ci95
        print_text(
            f"  validation top-1 {facts.val.run_top1:.1%} before, {facts.val.top1:.1%} after"
            f" (95 % interval {low:.1%} to {high:.1%})"
            f"{'; it has learned these images, so only the difference counts' if facts.learned_val else ''}"
        )
    if found is None:
        print_text("  no temperature: it has learned the validation images, on which one is fitted")
    else:
        print_text(
            f"  temperature {found.temperature:.2f}: calibration error {found.ece_before:.3f} before,"
            f" {found.ece_after:.3f} after, on validation{f', of run {found.run}' if found.run else ''}"
        )
    for sentence in facts.threshold.sentences if facts.threshold else ():
        print_text(f"  {sentence}")
    if facts.threshold and found and found.run:
        print_text(f"  the figures on validation are those of run {found.run}, which has not learned these images")
    print_text(
        f"  {timing.batch1_seconds * 1000:.1f} ms for one image, {timing.batch32_seconds * 1000:.0f} ms for 32,"
        f" {counted(timing.threads, 'thread')}; first answer after {timing.load_seconds:.1f} s,"
        f" {timing.memory_peak_bytes / 1e6:,.0f} MB at the peak"
    )
    print_line(f"  try  bakeoff predict {shlex.quote(str(bundle))} IMAGE")
    print_line(f"  or   bakeoff serve {shlex.quote(str(bundle))}")


def _count(answers: "Iterable[Prediction]", counts: dict[str, int]) -> "Iterator[Prediction]":
    """Pass answers on, and count them."""
    for answer in answers:
        counts["all"] += 1
        counts["unread"] += answer.error is not None
        yield answer
