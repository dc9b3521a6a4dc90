"""Verbs that look: evaluate, board, report, models."""

from pathlib import Path
from typing import Annotated

import typer

from bakeoff.cli.options import DataDirOption, JsonOption, StudyArgument, WeighOption
from bakeoff.cli.output import (
    interruptible,
    make_console,
    parse_weigh,
    prepare_data,
    print_board,
    print_json,
    print_line,
)
from bakeoff.errors import OutputError

__all__ = ["board", "evaluate", "models", "report"]


def evaluate(
    run_dir: Annotated[str, typer.Argument(help="OUT/runs/ID, or OUT of a study that is done.", metavar="RUN")],
    *,
    data_dir: DataDirOption = None,
    as_json: JsonOption = False,
) -> None:
    """Open the locked test split for one run. Every opening is counted and printed.

    **Example**: `bakeoff evaluate bakeoff-cifar100`
    """
    from bakeoff.console import reporting
    from bakeoff.launch import open_test
    from bakeoff.runs import find_run, read_record

    with interruptible():
        folder = find_run(run_dir)
        config = read_record(folder).config
        shards, _ = prepare_data(config.data.source, config.data.classes, config.data.seed, data_dir)
        with reporting(make_console()) as watcher:
            watcher.run_began(config)
            test = open_test(folder, shards, watcher.run_moved).test
    assert test is not None
    if as_json:
        print_json(test.model_dump(mode="json"))
        return
    low, high = test.top1_ci95
    print_line(f"test top-1 {test.top1:.2%} (95 % interval {low:.2%} to {high:.2%}), {test.n:,} images")
    print_line(f"top-5 {test.top5:.2%}, macro F1 {test.macro_f1:.3f}, log loss {test.log_loss:.3f}, ECE {test.ece:.3f}")
    print_line(f"the test split has been opened {test.openings} time(s) for this run")


def board(out: StudyArgument, *, weigh: WeighOption = None, as_json: JsonOption = False) -> None:
    """Rebuild board.csv from the records and print it.

    **Examples**

    - `bakeoff board bakeoff-cifar100`

    - `bakeoff board bakeoff-compare-cifar100 --weigh accuracy=3,memory=1,time=1`
    """
    from bakeoff.board import rank, write_board
    from bakeoff.runs import list_records

    _require_study(out)
    weighed = parse_weigh(weigh)
    write_board(out, rank(list_records(out), weigh=weighed))
    print_board(out, as_json, weighed)


def report(out: StudyArgument) -> None:
    """Rebuild report.html from the records and print where it is.

    **Example**: `bakeoff report bakeoff-cifar100`
    """
    from bakeoff.report import write_report

    _require_study(out)
    print_line(str(write_report(out)))


def models(*, as_json: JsonOption = False) -> None:
    """List the networks: size, parameters, licence, and whether their weights are at hand.

    **Example**: `bakeoff models --json`
    """
    from bakeoff.backbones import TABLE
    from bakeoff.weights import is_at_hand

    rows = [
        {
            "name": row.name,
            "family": row.family,
            "params_total": row.params_total,
            "min_size": row.min_size,
            "native_size": row.native_size,
            "input_scaling": row.scaling.value,
            "imagenet_top1": row.imagenet_top1,
            "licence": row.licence,
            "weights": [origin.value for origin in row.weight_origins],
            "weights_at_hand": is_at_hand(row),
        }
        for row in TABLE
    ]
    if as_json:
        print_json(rows)
        return
    from rich.console import Console

    from bakeoff.console import render_models

    Console().print(render_models(TABLE))


def _require_study(out: Path) -> None:
    if not (out / "runs").is_dir():
        raise OutputError(f"{out} holds no runs; give the folder that `bakeoff run` or `bakeoff train` wrote")
