"""What choices were worth: the rows of judgement.py, and the tables made of them."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from rich.console import Console
from rich.table import Table
from scipy.stats import weightedtau

__all__ = ["STUDIES", "TUNED", "StudyRow", "TunedRow", "check_length", "print_tables"]

TUNED, STUDIES = "judgement_tuned.csv", "judgement_studies.csv"

Text = dict[str, str]
# Columns of the terminal: names are not cut off in a log.
WIDTH = 150


@dataclass(frozen=True)
class TunedRow:
    """A candidate, fine-tuned on a data set by one seed. Top-1 as fractions of 1; empty: not known."""

    data: str
    network: str
    seed: int
    seconds: float
    """The training seconds that all candidates have, as images by the measured pace of each."""
    images: int
    """Training images, repeats counted: what it sees in these seconds."""
    took: float
    """Wall-clock seconds of the run, those around its training too."""
    val_top1: float
    test_top1: float
    test_images: int
    probe_val: float | None
    """Top-1 on validation of a linear head on its frozen features."""
    logme: float | None
    imagenet: float | None
    """ImageNet top-1 in percent."""
    parameters: int
    bakeoff: str
    code: str
    """Digits of a hash of the source that trained it; empty: measured before they were noted."""
    cpu: str
    date: str


@dataclass(frozen=True)
class StudyRow:
    """One `bakeoff run`. Names are separated by spaces, the best first."""

    data: str
    share: float
    """Its budget, as a share of what the exhaustive answer costs."""
    seed: int
    budget: int
    seconds: float
    chosen: str
    frozen: bool
    """Whether the probe was better than the fine-tuned network, and was kept."""
    test_top1: float
    screened: str
    raced: str
    """Of the last rung first, then those that went out before."""
    cut: str
    tied: str
    """Pairs that it calls a tie: `leader=other:low:high`, the 95 % interval of the difference."""
    load: float
    """Processes that were running or waiting to, on average of the last minute before it."""
    bakeoff: str
    code: str
    """Digits of a hash of the source that ran it; empty: measured before they were noted."""
    cpu: str
    date: str


@dataclass(frozen=True)
class Truth:
    """The exhaustive answer for one data set: test top-1 by candidate, the mean over seeds, in percent."""

    means: dict[str, float]
    by_seed: dict[str, dict[str, tuple[float, float]]]
    """Validation and test top-1 by candidate and seed."""
    facts: dict[str, Text]
    left_out: tuple[str, ...] = ()
    """Candidates that were not fine-tuned by the same seeds as the others."""

    @classmethod
    def of(cls, rows: Sequence[Text]) -> "Truth":
        """The answer that rows of one data set give."""
        by_seed: dict[str, dict[str, tuple[float, float]]] = {}
        for row in rows:
            scores = 100 * float(row["val_top1"]), 100 * float(row["test_top1"])
            by_seed.setdefault(row["network"], {})[row["seed"]] = scores
        counts = Counter(frozenset(seeds) for seeds in by_seed.values())
        wanted = max(counts, key=lambda seeds: (counts[seeds], len(seeds)))
        left_out = tuple(name for name, seeds in by_seed.items() if seeds.keys() != wanted)
        by_seed = {name: by_seed[name] for name in by_seed if name not in left_out}
        means = {name: fmean(test for _, test in seeds.values()) for name, seeds in by_seed.items()}
        return cls(means, by_seed, {row["network"]: row for row in rows if row["network"] in by_seed}, left_out)

    @property
    def best(self) -> str:
        """The candidate with the highest mean."""
        return max(self.means, key=lambda name: self.means[name])

    def regret(self, name: str) -> float:
        """How many points a candidate is below the best one."""
        return self.means[self.best] - self.means[name]

    @property
    def luck(self) -> float:
        """The regret of who fine-tunes everything by one seed and takes the best on validation; equal ones share it.
        The mean over seeds."""
        seeds = next(iter(self.by_seed.values()))
        return fmean(self._choose({name: scores[seed][0] for name, scores in self.by_seed.items()}) for seed in seeds)

    def rule(self, key: str, *, least: bool = False) -> float | None:
        """The regret of taking the candidate with the largest (or least) value of a fact; equal values share it. None
        if no candidate has the fact."""
        known = {name: float(row[key]) for name, row in self.facts.items() if row[key] not in ("", "None")}
        if not known:
            return None
        return self._choose({name: -value for name, value in known.items()} if least else known)

    def _choose(self, values: Mapping[str, float]) -> float:
        """The regret of taking the candidate with the largest value; equal ones share it."""
        largest = max(values.values())
        return fmean(self.regret(name) for name, value in values.items() if value == largest)

    def agreement(self, order: Sequence[str]) -> float | None:
        """Weighted Kendall tau (Vigna 2015) of an order, the best first; None for fewer than three known candidates."""
        known = [name for name in order if name in self.means]
        if len(known) < 3:
            return None
        return float(weightedtau([-place for place in range(len(known))], [self.means[n] for n in known]).statistic)

    def holds(self, tie: str) -> bool | None:
        """Whether the difference of a pair that is called a tie is inside its interval; None if it is not known."""
        names, low, high = tie.rsplit(":", 2)
        leader, other = names.split("=")
        if not {leader, other} <= self.means.keys():
            return None
        return float(low) <= (self.means[leader] - self.means[other]) / 100 <= float(high)


RULES = {
    "ImageNet": ("imagenet", False),
    "probe": ("probe_val", False),
    "LogME": ("logme", False),
    "smallest": ("parameters", True),
}


def check_length(tuned: Sequence[Text], seconds: float) -> None:
    """End if there are rows of candidates that were trained for another time: they cannot be compared."""
    if others := {row["seconds"] for row in tuned} - {str(seconds)}:
        raise SystemExit(f"{TUNED} has rows of {others.pop()} training seconds, not {seconds}: give another --csv")


def print_tables(tuned: Sequence[Text], studies: Sequence[Text]) -> None:
    """Print regret by data set, how far the orders and the ties hold, and what became of the best candidates."""
    truths = {name: Truth.of([row for row in tuned if row["data"] == name]) for name in _names(tuned)}
    shares = sorted({row["share"] for row in studies}, key=float)
    console = Console(width=WIDTH)
    console.print(_make_table(truths, studies, shares))
    for share in shares:
        known = [(truths[row["data"]], row) for row in studies if row["data"] in truths and row["share"] == share]
        screens = _describe(truth.agreement(row["screened"].split()) for truth, row in known)
        races = _describe(truth.agreement(row["raced"].split()) for truth, row in known)
        ties = [truth.holds(tie) for truth, row in known for tie in row["tied"].split()]
        checked = [each for each in ties if each is not None]
        console.print(f"{float(share):.0%}: weighted tau of the screen {screens}, of the race {races}")
        console.print(f"{float(share):.0%}: ties that hold: {sum(checked)} of {len(checked)}")
        for truth, row in known:
            console.print(f"{row['data']}, {float(share):.0%}, seed {row['seed']}: {_say_lost(truth, row)}")
    for share in shares:
        for name, missing in _list_missing(truths, studies, share).items():
            console.print(f"{name}, {float(share):.0%}: not in the mean, without a study of seed {missing}")
    for name, truth in truths.items():
        if truth.left_out:
            console.print(f"{name}: left out, not with the seeds of the others: {', '.join(truth.left_out)}")
    for file, rows in ((TUNED, tuned), (STUDIES, studies)):
        sources = {(row.get("bakeoff"), row.get("code"), row.get("cpu")) for row in rows}
        if len(sources) > 1:
            console.print(f"{file} has rows of {len(sources)} versions of bakeoff or processors: compare with care")


def _make_table(truths: Mapping[str, Truth], studies: Sequence[Text], shares: Sequence[str]) -> Table:
    """Regrets in points by data set; their mean and the worst over the data sets that have a study of every seed.

    A data set whose studies chose, even once, a network that every seed has not fine-tuned has none. A rule that cannot
    choose on one of these data sets has no mean.
    """
    runs = [f"run, {float(share):.0%}" for share in shares]
    table = Table("data", "best", "top-1", *("luck", *runs, *RULES), title="regret in points of test top-1")
    complete = []
    unfinished = {name for share in shares for name in _list_missing(truths, studies, share)}
    for name, truth in truths.items():
        values = [truth.luck]
        for share in shares:
            rows = [row for row in studies if (row["data"], row["share"]) == (name, share)]
            is_known = all(row["chosen"] in truth.means for row in rows)
            values.append(_mean(truth.regret(row["chosen"]) for row in rows) if is_known else None)
        rules = [truth.rule(key, least=least) for key, least in RULES.values()]
        if None not in values and name not in unfinished:
            complete.append([*values, *rules])
        table.add_row(name, truth.best, f"{truth.means[truth.best]:.1f}", *map(_show, [*values, *rules]))
    table.add_section()
    columns = [*zip(*complete, strict=True)]
    for title, combine in (("mean", _mean), ("worst", _largest)):
        values = [None if None in column else combine(column) for column in columns]
        table.add_row(f"{title} of {len(complete)}", "", "", *map(_show, values))
    return table


def _say_lost(truth: Truth, row: Text) -> str:
    """What became of the best candidate in a study."""
    best, chosen = truth.best, row["chosen"]
    if chosen == best:
        return "it was chosen"
    if best in row["cut"].split():
        where = "there was no time to screen it"
    elif best not in row["screened"].split():
        where = "it was no candidate, or its screen failed or was stopped"
    elif best not in row["raced"].split():
        where = f"the screen had it on place {row['screened'].split().index(best) + 1}"
    else:
        where = f"the race had it on place {row['raced'].split().index(best) + 1}"
    if chosen not in truth.means:
        return f"{where}; {chosen} was chosen, which was not fine-tuned by every seed: run tune again"
    return f"{where}; {chosen} was chosen, {_show(truth.regret(chosen))} points below"


def _list_missing(names: Iterable[str], studies: Sequence[Text], share: str) -> dict[str, str]:
    """The seeds by which a data set has no study of this share although another one has; without any it has none."""
    found = {name: {row["seed"] for row in studies if (row["data"], row["share"]) == (name, share)} for name in names}
    every = set[str]().union(*found.values())
    return {name: ", ".join(sorted(every - seeds)) for name, seeds in found.items() if seeds and seeds != every}


def _names(rows: Sequence[Text]) -> list[str]:
    return [*dict.fromkeys(row["data"] for row in rows)]


def _mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return fmean(known) if known else None


def _largest(values: Iterable[float | None]) -> float | None:
    return max((value for value in values if value is not None), default=None)


def _describe(values: Iterable[float | None]) -> str:
    """The mean, the least and the number of what is known."""
    known = [value for value in values if value is not None]
    return f"{fmean(known):.2f} (least {min(known):.2f}, of {len(known)})" if known else "not known"


def _show(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"
