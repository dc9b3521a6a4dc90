"""What choices were worth: the rows of judgement.py, and the tables made of them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

from rich.console import Console
from rich.table import Table
from scipy.stats import weightedtau

__all__ = ["STUDIES", "TUNED", "StudyRow", "TunedRow", "print_tables"]

TUNED = Path(__file__).parent / "judgement_tuned.csv"
STUDIES = Path(__file__).parent / "judgement_studies.csv"

Text = dict[str, str]


@dataclass(frozen=True)
class TunedRow:
    """A candidate, fine-tuned on a data set by one seed. Top-1 as fractions of 1; empty: not known."""

    data: str
    network: str
    seed: int
    images: int
    """Training images, repeats counted: what it sees in the seconds that all candidates have."""
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
    cut: str
    tied: str
    """Pairs that it calls a tie: `leader=other:low:high`, the 95 % interval of the difference."""
    load: float
    bakeoff: str
    cpu: str
    date: str


@dataclass(frozen=True)
class Truth:
    """The exhaustive answer for one data set: test top-1 by candidate, the mean over seeds, in percent."""

    means: dict[str, float]
    by_seed: dict[str, dict[str, tuple[float, float]]]
    """Validation and test top-1 by candidate and seed."""
    facts: dict[str, Text]

    @classmethod
    def of(cls, rows: Sequence[Text]) -> "Truth":
        """The answer that rows of one data set give; candidates with fewer seeds than others are left out."""
        by_seed: dict[str, dict[str, tuple[float, float]]] = {}
        for row in rows:
            scores = 100 * float(row["val_top1"]), 100 * float(row["test_top1"])
            by_seed.setdefault(row["network"], {})[row["seed"]] = scores
        most = max(map(len, by_seed.values()))
        by_seed = {name: seeds for name, seeds in by_seed.items() if len(seeds) == most}
        means = {name: fmean(test for _, test in seeds.values()) for name, seeds in by_seed.items()}
        return cls(means, by_seed, {row["network"]: row for row in rows if row["network"] in by_seed})

    @property
    def best(self) -> str:
        """The candidate with the highest mean."""
        return max(self.means, key=lambda name: self.means[name])

    def regret(self, name: str) -> float:
        """How many points a candidate is below the best one."""
        return self.means[self.best] - self.means[name]

    @property
    def luck(self) -> float:
        """The regret of who fine-tunes everything by one seed and takes the best on validation; mean over seeds."""
        seeds = next(iter(self.by_seed.values()))
        return fmean(self.regret(max(self.means, key=lambda name, s=seed: self.by_seed[name][s][0])) for seed in seeds)

    def rule(self, key: str, *, least: bool = False) -> float:
        """The regret of taking the candidate with the largest (or least) value of a fact; equal values share it."""
        known = {name: float(row[key]) for name, row in self.facts.items() if row[key] not in ("", "None")}
        wanted = (min if least else max)(known.values())
        return fmean(self.regret(name) for name, value in known.items() if value == wanted)

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


def print_tables(tuned: Sequence[Text], studies: Sequence[Text]) -> None:
    """Print regret by data set, and what became of the best candidate; then how far the orders and the ties hold."""
    truths = {name: Truth.of([row for row in tuned if row["data"] == name]) for name in _names(tuned)}
    shares = sorted({row["share"] for row in studies}, key=float)
    table = Table("data", "best", "top-1", "luck", *(f"run, {float(share):.0%}" for share in shares), *RULES)
    lost = []
    for name, truth in truths.items():
        by_share = {share: [r for r in studies if (r["data"], r["share"]) == (name, share)] for share in shares}
        regrets = [
            _mean(truth.regret(r["chosen"]) for r in rows if r["chosen"] in truth.means) for rows in by_share.values()
        ]
        rules = [truth.rule(key, least=least) for key, least in RULES.values()]
        values = [truth.luck, *regrets, *rules]
        table.add_row(name, truth.best, f"{truth.means[truth.best]:.1f}", *map(_show, values))
        lost += [
            f"{name}, {float(row['share']):.0%}, seed {row['seed']}: {_say_lost(truth, row)}"
            for rows in by_share.values()
            for row in rows
        ]
    console = Console()
    console.print(table)
    known = [(truths[row["data"]], row) for row in studies if row["data"] in truths]
    screens = [truth.agreement(row["screened"].split()) for truth, row in known]
    races = [truth.agreement(row["raced"].split()) for truth, row in known]
    ties = [truth.holds(tie) for truth, row in known for tie in row["tied"].split()]
    checked = [each for each in ties if each is not None]
    console.print(f"weighted tau of the screen {_show(_mean(screens))}, of the race {_show(_mean(races))}")
    console.print(f"ties that hold: {sum(checked)} of {len(checked)}")
    for line in lost:
        console.print(line)


def _say_lost(truth: Truth, row: Text) -> str:
    """What became of the best candidate in a study."""
    best, regret = truth.best, truth.means[truth.best] - truth.means.get(row["chosen"], float("nan"))
    if row["chosen"] == best:
        return "it was chosen"
    if best in row["cut"].split():
        where = "there was no time to screen it"
    elif best not in row["screened"].split():
        where = "its screen failed"
    elif best not in row["raced"].split():
        where = f"the screen had it on place {row['screened'].split().index(best) + 1}"
    else:
        where = f"the race had it on place {row['raced'].split().index(best) + 1}"
    return f"{where}; {row['chosen']} was chosen, {_show(regret)} points below"


def _names(rows: Sequence[Text]) -> list[str]:
    return [*dict.fromkeys(row["data"] for row in rows)]


def _mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return fmean(known) if known else None


def _show(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"
