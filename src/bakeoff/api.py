"""bakeoff in a notebook: what the command line does, under the same names.

results = bakeoff.run("digits", budget="2m")      as `bakeoff run digits --budget 2m`
results = bakeoff.load("bakeoff-digits")          what an earlier study left
results.board                                     a pandas DataFrame with the fields of `board --json`
results.best.test.top1                            the winner's record
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bakeoff.errors import ConfigError, OutputError
from bakeoff.locks import release
from bakeoff.runs.record import RunRecord, list_records

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Results", "load", "run"]


@dataclass(frozen=True)
class Results:
    """A study's folder, opened. Every property reads the files anew, so that a study can be followed as it runs."""

    out: Path

    @property
    def records(self) -> list[RunRecord]:
        """All runs, in order of id."""
        return list_records(self.out)

    @property
    def best(self) -> RunRecord | None:
        """The run that the study ended with, or that leads so far; None if none has completed."""
        from bakeoff.report import find_winner, read_study

        return find_winner(read_study(self.out), self.records)

    @property
    def board(self) -> "pd.DataFrame":
        """The ranking, one row a run, numbers in full. Raises ConfigError where pandas is not installed."""
        try:
            import pandas as pd
        except ModuleNotFoundError as error:
            raise ConfigError("a board as a table needs pandas: run pip install 'bakeoff[notebook]'") from error
        from bakeoff.report.board import Row, rank

        rows = [row.model_dump(mode="json") for row in rank(self.records)]
        return pd.DataFrame(rows, columns=list(Row.model_fields))

    @property
    def report(self) -> Path:
        """The page, written anew from the records."""
        from bakeoff.report import write_report

        return write_report(self.out)

    @property
    def bundle(self) -> Path:
        """The model to ship. Raises OutputError where the study wrote none."""
        folder = self.out / "bundle"
        if not folder.is_dir():
            raise OutputError(f"{self.out} has no bundle; `bakeoff run` writes one at its end")
        return folder

    def _repr_html_(self) -> str:
        from bakeoff.report import render_summary

        return render_summary(self.out)


def load(out: str | Path) -> Results:
    """Open a study's folder. Raises OutputError if it holds no runs."""
    folder = Path(out)
    if not (folder / "runs").is_dir():
        raise OutputError(f"{folder} holds no runs; give the folder that `bakeoff run` or `bakeoff train` wrote")
    return Results(folder)


def run(
    data: str | Path = "digits",
    *,
    budget: str = "10m",
    classes: str | int = "all",
    seed: int = 0,
    candidates: str | Sequence[str] | None = None,
    weights: str | Sequence[str] | None = None,
    partial: bool = False,
    tune: bool | None = None,
    exclude: str | Path | None = None,
    workers: int | None = None,
    cluster: str | None = None,
    out: str | Path | None = None,
    data_dir: str | Path | None = None,
) -> Results:
    """Do the whole job inside a budget, as `bakeoff run` does; the same call again goes on from where it was.

    Raises the errors of `bakeoff.errors`, where the command line prints one line and exits.
    """
    from bakeoff.cli.begin import begin_study, choose_data, executing
    from bakeoff.cli.console import reporting
    from bakeoff.cli.output import make_console
    from bakeoff.machine import tensorflow_environment
    from bakeoff.study import run_study

    os.environ.update(tensorflow_environment())
    chosen = choose_data(str(data), str(classes), seed, Path(exclude) if exclude else None)
    with executing(workers, cluster) as executor:
        study, folder, shards = begin_study(
            chosen,
            budget,
            ",".join(_list(candidates)) or None,
            _list(weights),
            partial,
            Path(out) if out else None,
            Path(data_dir) if data_dir else None,
            tune,
            command=f"bakeoff.run({str(data)!r}, budget={budget!r})",
            slots=executor.slots,
        )
        try:
            with reporting(make_console()) as watcher:
                run_study(study, folder, shards, watcher, executor)
        finally:
            # A notebook's process outlives its studies.
            release(folder)
    return Results(folder)


def _list(given: str | Sequence[str] | None) -> list[str]:
    return [given] if isinstance(given, str) else list(given or ())
