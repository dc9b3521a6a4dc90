"""Verbs that show what there is: evaluate, board, report, verify, models, info."""

import contextlib
import shlex
from typing import Annotated

import typer

import bakeoff
from bakeoff.cli.contract import show_contract
from bakeoff.cli.options import DataDirOption, JsonOption, MapsOption, StudyArgument, WeighOption
from bakeoff.cli.output import (
    exit_on_interrupt,
    parse_weigh,
    print_board,
    print_json,
    print_line,
    print_place,
    print_text,
    shown_path,
)
from bakeoff.errors import ConfigError
from bakeoff.text import counted, times

__all__ = ["board", "evaluate", "info", "models", "report", "verify"]


def evaluate(
    run_dir: Annotated[str, typer.Argument(help="OUT/runs/ID, or OUT of a study that is done.", metavar="RUN")],
    *,
    data_dir: DataDirOption = None,
    as_json: JsonOption = False,
) -> None:
    """Score one run on the locked test split. Every opening is counted and printed.

    **Examples**

    - `bakeoff evaluate bakeoff-cifar100`

    - `bakeoff evaluate bakeoff-compare-cifar100/runs/1f0c5ab3e2d4`
    """
    from bakeoff.report.class_names import read_classes
    from bakeoff.runs.metrics import describe_absent
    from bakeoff.runs.record import read_record
    from bakeoff.runs.shipped import find_run

    with exit_on_interrupt():
        test = bakeoff.evaluate(run_dir, data_dir=data_dir)
    if as_json:
        print_json(test.model_dump(mode="json"))
        return
    low, high = test.top1_ci95
    print_text(f"test top-1 {test.top1:.2%} (95 % interval {low:.2%} to {high:.2%}), {counted(test.n, 'image')}")
    assert test.balanced_accuracy is not None
    print_text(
        f"top-5 {test.top5:.2%}, macro F1 {test.macro_f1:.3f}, balanced accuracy {test.balanced_accuracy:.2%},"
        f" log loss {test.log_loss:.3f}, ECE {test.ece:.3f}"
        f"{'' if test.auroc is None else f', AUROC {test.auroc:.3f}'}"
    )
    folder = find_run(run_dir).resolve()
    record = read_record(folder)
    names = read_classes(folder.parents[1], record, record.data.classes).names
    for sentence in describe_absent("test", test, names):
        print_text(sentence)
    if test.near_duplicates and test.top1_without is not None and test.top1_without_ci95:
        low, high = test.top1_without_ci95
        print_text(
            f"top-1 {test.top1_without:.2%} ({low:.2%} to {high:.2%}) without the"
            f" {counted(test.near_duplicates, 'image')} that"
            " have a near-duplicate in training"
        )
    elif test.near_duplicates:
        print_text(
            "every test image has a near-duplicate in training, so this accuracy says nothing about new pictures"
        )
    if test.near_duplicates_unsearched:
        print_text(
            f"test images were not compared with {test.near_duplicates_unsearched}, because that would take long;"
            " `bakeoff data check` does"
        )
    print_text(f"the test split has been opened {times(test.openings)} for this run")


def board(
    out: StudyArgument,
    *,
    weigh: WeighOption = None,
    watch: Annotated[bool, typer.Option("--watch", help="Follow a study until its report is written.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Print the ranking of a study, rebuilt from its records; or follow it while it runs in another terminal.

    It is written to board.csv too, unless it is by weights of your own.

    **Examples**

    - `bakeoff board bakeoff-cifar100`

    - `bakeoff board bakeoff-compare-cifar100 --weigh accuracy=3,memory=1,time=1`

    - `bakeoff board bakeoff-cifar100 --watch` — Ctrl-C ends the display only
    """
    from bakeoff.report.board import rank, write_board
    from bakeoff.runs.record import list_records

    if watch and as_json:
        raise ConfigError("give --watch or --json, not both")
    weighed = parse_weigh(weigh)
    if watch:
        from rich.console import Console

        from bakeoff.console.watch import watch_study

        # Ctrl-C ends the display; the study that is followed goes on.
        with contextlib.suppress(KeyboardInterrupt):
            watch_study(Console(), out, weighed)
    bakeoff.load(out)
    if weighed is None:
        write_board(out, rank(list_records(out), out=out))
    print_board(out, as_json, weighed)


def report(out: StudyArgument, *, maps: MapsOption = True) -> None:
    """Rebuild report.html from the records and print where it is.

    Heat maps that are not there are drawn, which takes seconds; `--no-maps` deletes those that are.

    **Example**: `bakeoff report bakeoff-cifar100`
    """
    with exit_on_interrupt():
        print_line(str(shown_path(bakeoff.load(out).report(maps=maps))))


def verify(
    out: StudyArgument,
    *,
    records_only: Annotated[
        bool,
        typer.Option("--records-only", help="Skip what needs the data: shards, labels, what models predict."),
    ] = False,
    deep: Annotated[bool, typer.Option("--deep", help="Let the models of all runs predict again.")] = False,
    data_dir: DataDirOption = None,
    as_json: JsonOption = False,
) -> None:
    """Recompute every number of a study from its files, and list those that differ (exit code 1).

    Scores are recomputed from the saved logits, board and report from the records, and what a bundle says of itself
    from its run. Shards, models and bundles are checked by their hashes.

    The shipped model and the bundles predict again, and must predict what is stored. Nothing is written, and nothing is
    chosen on the test split.

    **Examples**

    - `bakeoff verify bakeoff-cifar100`

    - `bakeoff verify bakeoff-cifar100 --records-only --json`

    - `bakeoff verify bakeoff-cifar100 --deep` — about a minute for each run
    """
    with exit_on_interrupt():
        found = bakeoff.verify(out, records_only=records_only, deep=deep, data_dir=data_dir)
    checks, notes = [check for check in found if not check.note], [check.note for check in found if check.note]
    broken = [check for check in checks if not check.matches]

    def shorten(text: str) -> str:
        return text if len(text) <= 120 else f"{text[:119]}…"

    if as_json:
        print_json({"checked": len(checks), "broken": [check._asdict() for check in broken], "notes": notes})
    else:
        for check in broken:
            print_text(f"{check.where} is written as {shorten(check.written)}, but is {shorten(check.computed)}")
        for note in notes:
            print_text(note)
        print_line(f"{len(checks) - len(broken):,} of {counted(len(checks), 'figure')} hold")
    for view, verb in (("board.csv", "board"), ("report.html", "report")):
        if any(check.where.startswith(view) for check in broken):
            print_place("next", f"bakeoff {verb} {shlex.quote(str(out))} writes {view} anew from the records")
    if broken:
        raise typer.Exit(1)


def models(
    *,
    family: Annotated[
        str | None,
        typer.Option(metavar="NAMES", help="Only these families, separated by commas, as in mobilenet,resnet."),
    ] = None,
    at_hand: Annotated[bool, typer.Option("--at-hand", help="Only networks that need no download.")] = False,
    max_params: Annotated[
        str | None,
        typer.Option(help="Only networks of at most this many parameters, as in 500k or 10M.", metavar="COUNT"),
    ] = None,
    check: Annotated[
        str | None,
        typer.Option(
            metavar="NETWORK",
            help="Try on your own network, as MODULE:NETWORK, what every network must do; exit code 1 if it fails.",
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """List the networks: parameters, input size, accuracy, weights, licence, and their pace on this machine.

    **Examples**

    - `bakeoff models --family mobilenet,efficientnet --max-params 10M`

    - `bakeoff models --at-hand --json`

    - `bakeoff models --check my_networks:TINY` — your own network, in about a minute
    """
    if check is not None:
        show_contract(check, as_json)
        return
    rows = bakeoff.models(family=family, at_hand=at_hand, max_params=max_params)
    if as_json:
        print_json([row.model_dump(mode="json") for row in rows])
        return
    from rich.console import Console

    from bakeoff.console.results import render_fields, render_models

    Console().print(render_models(rows))
    if family is None and max_params is None and not at_hand:
        Console().print(render_fields())


def info(*, as_json: JsonOption = False) -> None:
    """Show what bakeoff runs on: versions, processor or GPU, memory, cache, weights. Copy it into a bug report.

    Nothing in it names a person, a host, a folder or data.

    **Example**: `bakeoff info`
    """
    found = bakeoff.info()
    if as_json:
        print_json(found.model_dump(mode="json"))
        return
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from bakeoff.report.board import format_bytes

    table = Table(box=None, show_header=False)
    table.add_column(no_wrap=True, style="bold")
    table.add_column(overflow="fold")
    for name, value in {
        "versions": ", ".join(f"{name} {version}" for name, version in found.versions.items()),
        "system": found.system,
        "processor": f"{found.cpu}, {counted(found.cores, 'core')}",
        "GPU": ", ".join(found.gpus) or "none",
        "memory": f"{format_bytes(found.free_memory_bytes)} free of {format_bytes(found.memory_bytes)}",
        "disk": f"{format_bytes(found.free_disk_bytes)} free where the cache is",
        "cache": ", ".join(f"{kind} {format_bytes(size)}" for kind, size in found.cache_bytes.items()) or "empty",
        "extras": ", ".join(found.extras) or "none",
        "weights": ", ".join(found.weights_at_hand) or "none",
        "settings": ", ".join(f"{name}={value}" for name, value in found.settings.items()) or "none",
    }.items():
        table.add_row(name, escape(value))
    Console().print(table)
