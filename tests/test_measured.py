"""The figures that pages quote from the CSV files of `benchmarks/` are those of the files, rounded."""

import csv
import importlib
import math
import re
from collections.abc import Callable, Iterable, Sequence
from itertools import groupby
from pathlib import Path
from statistics import fmean

import pytest

from bakeoff.networks.find import find_network

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
Row = dict[str, str]


def read_rows(name: str) -> list[Row]:
    """The rows of a file of figures in `benchmarks/`."""
    with (ROOT / "benchmarks" / name).open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def read_table(page: Path, head: str) -> list[list[str]]:
    """The cells of the table of a page whose first line begins with `head`."""
    (table,) = re.findall(
        rf"^\| {re.escape(head)}.*\n\|[-|]+\|\n((?:\|.*\n)+)", page.read_text(encoding="utf-8"), re.MULTILINE
    )
    return [[cell.strip() for cell in line.strip().strip("|").split("|")] for line in table.splitlines()]


def numbers(cells: Iterable[str]) -> list[str]:
    """The numbers of some cells, as written; a sign that is not part of a word or a range belongs to its number."""
    return [text for cell in cells for text in re.findall(r"(?<![\w.@])-?\d[\d,]*(?:\.\d+)?(?:e-?\d+)?", cell)]


def is_rounded(text: str, value: float) -> bool:
    """Whether a number in a page is the value, rounded to its digits; zeros at the end of a whole number are none."""
    digits, _, exponent = text.replace(",", "").partition("e")
    whole, _, decimals = digits.partition(".")
    places = len(decimals) if decimals else len(whole.rstrip("0")) - len(whole)
    return abs(float(f"{digits}e{exponent or 0}") - value) <= 0.5001 * 10.0 ** (int(exponent or 0) - places)


def hold(cells: Sequence[str], values: Sequence[float]) -> bool:
    """Whether the numbers of some cells are the values."""
    found = numbers(cells)
    return len(found) == len(values) and all(map(is_rounded, found, values))


def take(row: Row, *names: str) -> list[float]:
    """Columns of a row as numbers; `100 NAME` is a share in percent, and `G NAME` billions."""
    factors = {"100": 100.0, "G": 1e-9}
    values = []
    for name in names:
        factor, _, column = name.rpartition(" ")
        values.append(factors.get(factor, 1.0) * float(row[column]))
    return values


@pytest.mark.parametrize(
    ("text", "value", "same"),
    [
        ("44,800", 44830, True),
        ("44,800", 44860, False),
        ("2.50", 2.504, True),
        ("2.50", 2.506, False),
        ("7.7e-06", 7.7486e-06, True),
        ("7.7e-06", 7.7586e-06, False),
    ],
)
def test_a_number_is_compared_at_its_digits(text: str, value: float, same: bool) -> None:
    assert is_rounded(text, value) is same


def claims() -> list[list[float]]:
    return [take(row, "100 test_top1", "100 ci95_low", "100 ci95_high", "seconds") for row in read_rows("claims.csv")]


def budgets() -> list[list[float]]:
    rows = sorted(read_rows("budgets.csv"), key=lambda row: (float(row["budget"]), row["beside"] != "idle"))
    return [take(row, "100 share", "trained", "100 test_top1") for row in rows]


def longtail() -> list[list[float]]:
    scores = ["100 balanced_accuracy", "100 macro_f1", "log_loss", "100 many", "100 medium", "100 few"]
    columns = [*scores, "100 top1_tail", "temperature", "ece_tail", "ece_even"]
    runs = groupby(read_rows("longtail.csv"), key=lambda row: (row["trained"], row["balance"]))
    return [[fmean(values) for values in zip(*(take(row, *columns) for row in rows), strict=True)] for _, rows in runs]


def growth() -> list[list[float]]:
    rows = read_rows("growth.csv")
    names = dict.fromkeys((row["data"], row["work"]) for row in rows)
    same = [[row for row in rows if (row["data"], row["work"]) == name] for name in names]
    return [[value for row in each for value in take(row, "seconds", "G peak_bytes")] for each in same]


def serving() -> list[list[float]]:
    rows, columns = read_rows("serving.csv"), ["requests_per_second", "p50_ms", "p99_ms"]
    pairs = zip(rows[::2], rows[1::2], strict=True)
    return [
        [*take(batched, "concurrency", *columns), *take(single, *columns), *take(batched, "over_one_at_a_time")]
        for batched, single in pairs
    ]


def steps() -> list[list[float]]:
    rows = [row for row in read_rows("step.csv") if "avx512f" in row["cpu"]]
    return [take(row, "ours_rate", "peer_rate", "ratio", "ratio_low", "ratio_high") for row in rows]


def scaling() -> list[list[float]]:
    rows = [take(row, "100 val_top1", "100 ci95_low", "100 ci95_high") for row in read_rows("scaling.csv")]
    return [[*right, *wrong] for right, wrong in zip(rows[::2], rows[1::2], strict=True)]


def simple(name: str, *columns: str) -> Callable[[], list[list[float]]]:
    """What a table shows that has the rows of a file in their order."""
    return lambda: [take(row, *columns) for row in read_rows(name)]


def ends(row: Row) -> dict[str, str]:
    """How many requests of a row of endurance.csv ended how."""
    return dict(each.split(": ") for each in row["ends"].split(", "))


def endurance() -> list[list[float]]:
    columns = ["p50_ms", "p99_ms", "wrong", "memory_start_mb", "memory_end_mb", "slope_mb_per_hour"]
    found = []
    for row in read_rows("endurance.csv"):
        counts = ends(row)
        found.append([*take(row, "minutes"), float(counts["200"]), float(counts["503"]), *take(row, *columns)])
    return found


LEVERS = {
    240: [
        "base",
        "sizes-96-128",
        "batch-32",
        "batch-32-sizes-96-128",
        "batch-32-sizes-96-128-160",
        "size-160",
        "rate-1e-3",
    ],
    400: ["sizes-96-128", "sizes-96-128-lite2", "sizes-96-128-layers", "sizes-96-128-cutmix"],
}


FORMATS = ("on_disk_mb", "one_image_ms", "images_32_ms", "first_answer_s", "memory_mb")
# By page and head of the table: the columns with figures, and their values from the file.
TABLES: dict[tuple[str, str], tuple[list[int], Callable[[], list[list[float]]]]] = {
    ("README.md", "classes | budget"): ([4, 5], claims),
    ("docs/why/speed.md", "budget"): ([2, 4, 5], budgets),
    ("docs/why/speed.md", "network | batch"): ([2, 3, 4, 5], steps),
    ("docs/why/speed.md", "the next process"): (
        [1, 2, 3],
        simple("startup.csv", "median", "fastest", "slowest", "images_per_second"),
    ),
    ("docs/why/speed.md", "data | work"): ([2, 3, 4], growth),
    ("docs/why/uneven-classes.md", "trained"): ([2, 3, 4, 5, 6, 7, 8], longtail),
    ("docs/why/serving.md", "bundle"): ([1, 2, 3, 4, 5, 6, 7, 8], serving),
    ("docs/why/serving.md", "minutes"): ([0, 1, 2, 3, 4, 5, 6, 7], endurance),
    ("docs/why/original-study.md", "network | correct"): ([1, 2], scaling),
    ("docs/how-to/predict.md", "method"): ([1, 2], simple("predict.csv", "images_per_second", "over_keras")),
    ("docs/how-to/presets.md", "network of timm"): (
        [1, 2],
        simple("presets.csv", "largest_difference", "largest_feature"),
    ),
    ("docs/how-to/export.md", "format | on disk"): (
        [1, 2, 3, 4, 5, 7],
        simple("formats.csv", *FORMATS, "100 agreement"),
    ),
}


@pytest.mark.parametrize(("page", "head"), list(TABLES), ids=lambda value: value.replace(" | ", " "))
def test_a_table_has_the_figures_of_its_file(page: str, head: str) -> None:
    columns, expected = TABLES[page, head]
    for cells, values in zip(read_table(ROOT / page, head), expected(), strict=True):
        assert hold([re.sub(r"bfloat16|float32", "", cells[column]) for column in columns], values), (cells, values)


@pytest.mark.parametrize(
    ("head", "seconds"), [("changed | val top-1 | images", 240), ("changed | val top-1 | log", 400)]
)
def test_the_levers_have_the_figures_of_their_file(head: str, seconds: int) -> None:
    rows = {row["lever"]: row for row in read_rows("levers.csv") if float(row["seconds"]) == seconds}
    shown = read_table(DOCS / "why" / "training.md", head)
    assert sorted(rows) == sorted(LEVERS[seconds])
    ranges = []
    for cells, lever in zip(shown, LEVERS[seconds], strict=True):
        top1, low, high, images = take(rows[lever], "100 val_top1", "100 ci95_low", "100 ci95_high", "images_seen")
        assert hold([cells[1], cells[-1]], [top1, (high - low) / 2, images]), (cells, lever)
        ranges.append((low, high))
    # What the page says of chance.
    assert max(low for low, _ in ranges) < min(high for _, high in ranges)


def test_the_page_about_what_it_reaches_has_the_figures_of_its_file() -> None:
    shown = read_table(DOCS / "why" / "what-it-reaches.md", "classes")
    rows = read_rows("claims.csv")
    for cells, values, row in zip([cells for cells in shown if cells[5]], claims(), rows, strict=True):
        assert hold(cells[3:6], values), cells
        assert cells[6] == row["network"]
        assert hold([cells[7]], take(row, "G peak_bytes"))
    means = [cells[3].strip("*") for cells in shown if cells[2] == "mean"]
    for cell, work in zip(means, ("20-classes-10m", "20-classes-30m"), strict=True):
        assert hold([cell], [fmean(100 * float(row["test_top1"]) for row in rows if row["work"] == work)])


def test_the_readme_has_the_networks_of_its_results_and_the_test_was_opened_once() -> None:
    rows = read_rows("claims.csv")
    shown = [cells[2:4] for cells in read_table(ROOT / "README.md", "classes | budget")]
    assert shown == [[row["seed"], row["network"]] for row in rows]
    assert {row["test_openings"] for row in rows} == {"1"}


def test_the_text_about_growth_has_the_figures_of_its_file() -> None:
    text = " ".join((DOCS / "why" / "speed.md").read_text(encoding="utf-8").split())
    rows = {(row["data"], row["work"], row["factor"]): row for row in read_rows("growth.csv")}

    def grow(column: str, work: str, data: str, first: str = "1", last: str = "16") -> float:
        return float(rows[data, work, last][column]) / float(rows[data, work, first][column])

    kinds = list(dict.fromkeys((work, data) for data, work, _ in rows))
    higher = [100 * (grow("peak_bytes", *kind) - 1) for kind in kinds]
    (said,) = re.findall(r"the peak is (\d+ to \d+) % higher", text)
    assert hold([said], [min(higher), max(higher)])
    (said,) = re.findall(r"an epoch took ([\d.]+ and [\d.]+) times as long", text)
    assert hold([said], [grow("seconds", "epoch", data, last="4") for data in ("cifar100", "photos")])
    (said,) = re.findall(r"the version of the table kept ([\d.]+) kB", text)
    small, large = (rows["cifar100", "prepare", factor] for factor in ("1", "16"))
    more = [float(large[name]) - float(small[name]) for name in ("peak_bytes", "images")]
    assert hold([said], [more[0] / more[1] / 1000])


def test_the_text_about_the_loaded_server_has_the_requests_without_an_answer() -> None:
    text = " ".join((DOCS / "why" / "serving.md").read_text(encoding="utf-8").split())
    half, other = ({end: int(count) for end, count in ends(row).items()} for row in read_rows("endurance.csv"))
    (said,) = re.findall(r"In the half hour (.+?) requests got no answer", text)
    assert hold([said], [half["closed"], sum(half.values())])
    assert "In the twenty minutes every request got one." in text
    assert all(end[:3].isdigit() for end in other)


def test_the_page_about_clusters_has_the_figures_of_its_file() -> None:
    rows = [row for row in read_rows("scale_out.csv") if row["work"].startswith("tune")]
    columns = ["nodes", "hours", "node_hours", "100 nodes_busy", "100 cable_busy", "100 driver_busy"]
    for cells, row in zip(read_table(DOCS / "why" / "cluster.md", "nodes"), rows, strict=True):
        assert hold(cells, take(row, *columns)), cells


def test_the_pipeline_has_the_figures_of_its_file() -> None:
    rows = {row["stage"]: row for row in read_rows("pipeline.csv")}
    shown = read_table(DOCS / "why" / "speed.md", "stage")
    for cells in shown:
        (stage, *_) = re.findall(r"`([\w-]+)`", cells[0]) or [""]
        row = rows[f"batches, {stage}" if stage else "read and decode shards"]
        assert hold(cells[1:], take(row, "images_per_second", "over_lenet", "over_efficientnet_lite0")), cells
    assert len(shown) > 5


def test_the_page_about_wrong_labels_has_the_figures_of_its_file() -> None:
    page = DOCS / "why" / "suspicious-labels.md"
    rows = read_rows("labels.csv")

    def mean(data: str, planted: str, ranking: str, column: str) -> float:
        (*found,) = (row for row in rows if (row["data"], row["planted"], row["ranking"]) == (data, planted, ranking))
        return 100 * fmean(float(row[column]) for row in found)

    kinds = [("cifar100-20", "uniform"), ("cifar100-20", "superclass"), ("flowers12", "uniform")]
    rankings = ["bakeoff", "cleanlab rank self_confidence", "cleanlab rank normalized_margin"]
    for cells, kind in zip(read_table(page, "data"), kinds, strict=True):
        assert hold(cells[2:], [mean(*kind, ranking, "precision") for ranking in rankings]), cells
    text = " ".join(page.read_text(encoding="utf-8").split())
    uniform, superclass, flowers = (
        [mean(*kind, "bakeoff", name) for name in ("recall_listed", "restored")] for kind in kinds
    )
    (listed,) = re.findall(r"The lists contained (.+? superclass)\.", text)
    assert hold([listed], [uniform[0], flowers[0], superclass[0]]), listed
    (restored,) = re.findall(r"before the change for (.+?) of those", text)
    assert hold([restored], [uniform[1], superclass[1], flowers[1]]), restored
    (count,) = re.findall(r"of the flowers, (\d+) labels were listed", text)
    assert hold([count], [mean("flowers12", "uniform", "bakeoff", "listed") / 100])


class SmallData:
    """What the choice of a network by its probe costs, from the rows of one data set."""

    def __init__(self, rows: list[Row]) -> None:
        self.rows = rows
        self.best = max(float(row["tuned_test"]) for row in rows)
        self.by_val, self.by_cross = self.regret("probe_val"), self.regret("probe_cross")

    def regret(self, key: str) -> float:
        """The points of test accuracy below the best; equal scores share the choice."""
        first = max(float(row[key]) for row in self.rows)
        return 100 * (self.best - fmean(float(row["tuned_test"]) for row in self.rows if float(row[key]) == first))


def test_judgement_has_the_figures_of_its_files(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    judged = importlib.import_module("judged")
    page = DOCS / "why" / "where-it-chooses-badly.md"
    *shown, last = read_table(page, "data set | best")
    studies = read_rows(judged.STUDIES)
    all_regrets = []
    for (name, rows), cells in zip(groupby(read_rows(judged.TUNED), key=lambda row: row["data"]), shown, strict=True):
        truth = judged.Truth.of(list(rows))
        chosen = fmean(truth.regret(row["chosen"]) for row in studies if row["data"] == name)
        rules = [truth.rule(key, least=least) for key, least in judged.RULES.values()]
        all_regrets.append([chosen, truth.luck, *rules])
        assert hold(cells[1:], [truth.means[truth.best], *all_regrets[-1]]), cells
    assert hold(last, [fmean(column) for column in zip(*all_regrets, strict=True)]), last


def test_the_text_about_the_judged_studies_has_the_figures_of_their_files(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    judged = importlib.import_module("judged")
    tuned = read_rows(judged.TUNED)
    truths = {
        name: judged.Truth.of([row for row in tuned if row["data"] == name]) for name in {r["data"] for r in tuned}
    }
    studies = [(truths[row["data"]], row) for row in read_rows(judged.STUDIES)]
    text = " ".join((DOCS / "why" / "where-it-chooses-badly.md").read_text(encoding="utf-8").split())
    missed = {truth.regret(row["chosen"]) for truth, row in studies if row["chosen"] != truth.best}
    assert sum(row["chosen"] == truth.best for truth, row in studies) == 7
    assert len(studies) == 9
    assert "In seven of nine studies the best candidate was chosen." in text
    (said,) = re.findall(r"Lite1 at 96 pixels was taken, ([\d.]+) points below the best", text)
    assert hold([said], list(missed))
    (said,) = re.findall(r"its weighted Kendall tau is ([\d.]+) in the mean of nine screens", text)
    assert hold([said], [fmean(truth.agreement(row["screened"].split()) for truth, row in studies)])
    ties = [(truth, tie) for truth, row in studies for tie in row["tied"].split()]
    (said,) = re.findall(r"Of (\d+ pairs that the screen calls a tie, \d+) were so", text)
    assert hold([said], [len(ties), sum(truth.holds(tie) for truth, tie in ties)])
    # Every candidate tied with the first.
    assert len(ties) == sum(len(row["screened"].split()) - 1 for _, row in studies)
    pairs = [(truth, *tie.partition(":")[0].split("=")) for truth, tie in ties]
    (said,) = re.findall(r"no pair was more than ([\d.]+) points apart", text)
    assert hold([said], [max(abs(truth.regret(one) - truth.regret(other)) for truth, one, other in pairs)])


def test_small_data_has_the_figures_of_its_file() -> None:
    page = DOCS / "why" / "where-it-chooses-badly.md"
    sets = [SmallData(list(rows)) for _, rows in groupby(read_rows("small_data.csv"), key=lambda row: row["data"])]
    *shown, last = read_table(page, "data | images of validation")
    for cells, each in zip(shown, sets, strict=True):
        images = take(each.rows[0], "val_images", "cross_images", "test_images")
        assert hold(cells[1:], [*images, each.by_val, each.by_cross]), cells
    means = [fmean(each.by_val for each in sets), fmean(each.by_cross for each in sets)]
    assert hold(last, means), last
    how_to = " ".join((DOCS / "how-to" / "small-data.md").read_text(encoding="utf-8").split())
    assert hold(re.findall(r"mean regret of the choice from (.+?) points", how_to), means)
    larger = [
        each.best - float(row["tuned_test"])
        for each in sets
        for row in each.rows
        if row["network"].endswith("lite0@128")
    ]
    chance = [each.best - fmean(float(row["tuned_test"]) for row in each.rows) for each in sets]
    text = " ".join(page.read_text(encoding="utf-8").split())
    (always,) = re.findall(r"mean regret of (.+?) points, and choosing at random ([\d.]+)", text)
    assert hold(always, [100 * fmean(larger), 100 * fmean(chance)]), always


def find_loss(rows: dict[str, Row], size: int) -> float:
    """The power of the native input size with which Lite2 loses against Lite0 at this size."""
    small, large = (find_network(f"efficientnet-lite{number}") for number in (0, 2))
    errors = [1 - float(rows[f"{spec.name}@{size}"]["screen_top1"]) for spec in (small, large)]
    expected = (100 - (large.imagenet_top1 or 0)) / (100 - (small.imagenet_top1 or 0))
    return math.log(errors[1] / errors[0] / expected) / math.log(large.native_size / small.native_size)


def test_the_page_about_bad_choices_has_the_figures_of_the_files() -> None:
    page = DOCS / "why" / "where-it-chooses-badly.md"
    rows = {row["network"]: row for row in read_rows("screening.csv")}
    shown = read_table(page, "network | rank in the screen")
    assert sorted(cells[0] for cells in shown) == sorted(rows)
    for network, screened, probe, place, compared, rate in shown:
        row = rows[network]
        assert [screened.split()[0], place] == [row["screen_place"], row["compare_place"]]
        for cell, top1 in ((probe, row["screen_top1"]), (compared.split()[0], row["compare_top1"])):
            assert (cell == "–") if not top1 else hold([cell], [100 * float(top1)])
        assert hold([rate], take(row, "compare_images_per_second"))
    plan = " ".join((DOCS / "why" / "plan.md").read_text(encoding="utf-8").split())
    (said,) = re.findall(r"EfficientNet-Lite2 \(260 pixels\) loses (.+?) against Lite0", plan)
    assert hold([said], [find_loss(rows, size) for size in (128, 96, 64)])
    for balance in ("none", "sampler"):
        few = [row for row in read_rows("longtail.csv") if (row["trained"], row["balance"]) == ("fine-tuned", balance)]
        assert f"{100 * fmean(float(row['few']) for row in few):.1f}" in page.read_text(encoding="utf-8")
