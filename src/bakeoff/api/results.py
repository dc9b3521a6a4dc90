"""A study's folder, opened."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bakeoff.api.arguments import PathLike, read_flag, read_path
from bakeoff.api.progress import ProgressOption, count_progress
from bakeoff.errors import ConfigError, OutputError
from bakeoff.machine import tensorflow_settings
from bakeoff.runs.folder import run_dir
from bakeoff.runs.record import RunRecord, list_records
from bakeoff.runs.shipped import find_confirmed
from bakeoff.runs.study_file import read_study

if TYPE_CHECKING:
    import pandas as pd

    from bakeoff.runs.findings import Effects, SearchResult

__all__ = ["Results", "load"]


@dataclass(frozen=True)
class Results:
    """A study's folder, opened. Every property reads the files anew, so a study can be followed while it runs.

    Everything raises OutputError for a file that is damaged. In a notebook, results show the answer, the reason for it
    and every run.
    """

    out: Path
    """The study's folder, absolute, so that the results stay where they are after `os.chdir`."""
    run: str = ""
    """Id of the run, where these are the results of `train`; else empty."""
    planned: Mapping[str, Any] | None = field(default=None, repr=False, compare=False)
    """The plan of a dry run, which wrote none."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "out", self.out.absolute())

    @property
    def records(self) -> list[RunRecord]:
        """The records of all runs, in order of id."""
        return list_records(self.out)

    @property
    def best(self) -> RunRecord | None:
        """The record of the run that the study ended with, or that leads so far; None if no run has completed.

        For the results of `train` it is the record of the run that was trained. A refit has no validation scores; its
        recipe's are in `confirmed`.
        """
        from bakeoff.report import find_winner

        records = self.records
        if self.run:
            return next((record for record in records if record.id == self.run), None)
        return find_winner(read_study(self.out), records)

    @property
    def confirmed(self) -> RunRecord | None:
        """The record with the validation scores of the best run's recipe: the best run, or the one that it refits."""
        best = self.best
        return find_confirmed(best, self.records) if best else None

    @property
    def best_dir(self) -> Path:
        """The folder of the best run, for `evaluate` and `export`. Raises OutputError if no run has completed."""
        if (best := self.best) is None:
            raise OutputError(f"no run in {self.out} has completed; report.html and board.csv there say why")
        return run_dir(self.out, best.id)

    @property
    def board(self) -> "pd.DataFrame":
        """The ranking by accuracy, one row for each run, with the fields of `board --json`.

        Raises ConfigError if pandas is not installed.
        """
        return self.rank()

    @property
    def plan(self) -> Mapping[str, Any]:
        """The plan of the study, with the fields of `plan` in `study.json`; empty if there is none."""
        return read_study(self.out).plan if self.planned is None else self.planned

    @property
    def search(self) -> "SearchResult | None":
        """What the search for a recipe found; None if there was none, or if it has not ended."""
        return read_study(self.out).found

    @property
    def effects(self) -> "Effects | None":
        """What each factor is worth, from `tune(strategy="ablate")`; None for another study."""
        return read_study(self.out).effects

    @property
    def bundle(self) -> Path:
        """The folder of the model to ship.

        Raises OutputError if the study wrote none, or if another run's model was exported there since.
        """
        from bakeoff.report.bundled import explain_other, note_other

        folder = self.out / "bundle"
        if not folder.is_dir():
            raise OutputError(f"{self.out} has no bundle; `bakeoff run` writes one at its end")
        if other := explain_other(folder, self.run) if self.run else note_other(folder):
            raise OutputError(other)
        return folder

    def rank(self, weigh: Mapping[str, float] | None = None) -> "pd.DataFrame":
        """Rank the runs by criteria of different weight.

        Args:
            weigh: Weights of the criteria `accuracy`, `memory`, `params` and `time`, as in
                `{"accuracy": 3, "memory": 1}`; None ranks by accuracy alone.

        Returns:
            One row for each run, best first, with the fields of `board --json`. Shares are in [0, 1], memory is in
            bytes, time in seconds.

        Raises:
            ConfigError: pandas is not installed, or a criterion is unknown.
        """
        try:
            import pandas as pd
        except ModuleNotFoundError as error:
            raise ConfigError("a board as a table needs pandas: run pip install 'bakeoff[notebook]'") from error
        from bakeoff.report.board import Row, rank

        rows = rank(self.records, criteria=_check_criteria(weigh), out=self.out)
        columns = [name for name, field in Row.model_fields.items() if not field.exclude]
        return pd.DataFrame([row.model_dump(mode="json") for row in rows], columns=columns)

    def explain(self, weigh: Mapping[str, float] | None = None) -> str:
        """Explain in a few sentences why the first of the ranking is first.

        Args:
            weigh: As for `rank`.

        Returns:
            The sentences that `bakeoff board` prints below its table.

        Raises:
            ConfigError: A criterion is unknown.
        """
        from bakeoff.report.board import explain, rank

        criteria = _check_criteria(weigh)
        winner = read_study(self.out).winner
        decided = winner.why if winner and criteria is None else ""
        rows = rank(self.records, criteria=criteria, out=self.out)
        return "\n".join(filter(None, (explain(rows, criteria), decided)))

    @tensorflow_settings()
    def report(self, *, maps: bool = True, progress: ProgressOption = True) -> Path:
        """Write `report.html` from the records and return its path.

        Args:
            maps: Draw heat maps of where the best run's model looked, if they are not there; False deletes them.
            progress: True draws a bar on standard error, False is silent, a function is called with a ProgressEvent.
        """
        from bakeoff.report import provide_heat_maps, write_report

        with count_progress(progress) as on_count:
            provide_heat_maps(self.out, on_count, wanted=read_flag("maps", maps))
        return write_report(self.out)

    def _repr_html_(self) -> str:
        from bakeoff.report import render_summary

        return render_summary(self.out)


def load(out: PathLike) -> Results:
    """Open the folder of a study, finished or under way.

    Args:
        out: The folder that `run`, `screen`, `compare`, `tune` or `train` wrote.

    Returns:
        Its results.

    Raises:
        OutputError: The folder holds no runs, or cannot be read.
    """
    folder = read_path("out", out)
    try:
        has_runs = (folder / "runs").is_dir()
    except OSError as error:
        raise OutputError(f"cannot read {folder}: {error.strerror}; give the folder of a study") from error
    if not has_runs:
        raise OutputError(f"{folder} holds no runs; give the folder that `bakeoff run` or `bakeoff train` wrote")
    return Results(folder)


def _check_criteria(weigh: Mapping[str, float] | None) -> dict[str, float] | None:
    from bakeoff.report.board import parse_criteria

    if weigh is None:
        return None
    if not isinstance(weigh, Mapping):
        raise ConfigError(f'weigh={weigh!r}: give weights by criterion, as in {{"accuracy": 3, "memory": 1}}')
    return parse_criteria(",".join(f"{name}={value}" for name, value in weigh.items()))
