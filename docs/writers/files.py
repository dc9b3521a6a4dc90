"""The pages of the files that bakeoff writes, and their JSON schemas, from the models that read and write them."""

from typing import Any, NamedTuple

from bakeoff.api.info import Info
from bakeoff.data.checks.findings import Finding
from bakeoff.data.checks.labels import SuspiciousLabel
from bakeoff.data.shards.manifest import Manifest
from bakeoff.deploy.bundle.facts import BundleFacts, Labels
from bakeoff.deploy.contract.facts import ContractCheck
from bakeoff.networks.weights.transfer import Kit
from bakeoff.profile.listing import ListedNetwork
from bakeoff.report.board import Row
from bakeoff.runs.history import CurvePoint, HistoryRow
from bakeoff.runs.record import RunRecord
from bakeoff.study.ablate import Ablation
from bakeoff.study.compare import Comparison
from bakeoff.study.plan import StudyPlan
from bakeoff.study.search import Search
from bakeoff.study.state import StudyState
from writers.markdown import code, page, paragraphs, table
from writers.schemas import as_text, describe, docstrings, schema_of

ABOUT = """\
All files are written whole or not at all. JSON is UTF-8; memory and sizes are in bytes, times in seconds, shares are
fractions of 1. Files that any release has written are read by later ones: a field that a file lacks has its default.
New fields may be added at any time, so a program should ignore those that it does not know.

The schemas are [JSON Schema](https://json-schema.org) of 2020-12. They describe what this version reads.
"""
OTHERS = {
    "`OUT/report.html`": "the report: one file without external parts",
    "`OUT/runs/ID/model.keras`": "the trained network, in the format of Keras; the probes of a screen have none",
    "`OUT/runs/ID/val-logits.npz`, `test-logits.npz`": "arrays of NumPy: `logits`, `labels` and `ids` of the images",
    "`OUT/runs/ID/confusion.csv`": "counts on the test split: rows are true classes, columns are predicted ones",
    "`OUT/runs/ID/test-openings.txt`": "a line with the time for each opening of the test split",
    "`OUT/runs/ID/events.out…`": "the history for TensorBoard",
    "`OUT/runs/ID/log.txt`": "the output of the run's process",
    "`OUT/runs/ID/checkpoint.npz`": "what a run needs to go on; deleted when it ends",
    "`OUT/runs/ID/labels.json`": "the names of the classes as in a bundle, of the runs that the report is about",
    "`OUT/runs/ID/heat-maps.npz`": "where the model looked on the images that the report shows",
    "`OUT/recipe.toml`": "by `bakeoff tune`: the best [recipe](recipe.md)",
    "`OUT/bundle/model_card.md`": "data, scores with intervals, cost and limits, for people",
}
RECIPE = "../recipe.md"
# The kinds that the page of recipes describes.
RECIPE_KINDS = dict.fromkeys(("Run", "Data", "Model", "Augment", "Optim", "Train"), RECIPE)
PLANS = {"a whole study": StudyPlan, "a comparison": Comparison, "a search": Search, "factor by factor": Ablation}
PLAN_KINDS = {kind.__name__: f"plan.md#{kind.__name__.lower()}" for kind in PLANS.values()}


class Part(NamedTuple):
    """One file on a page."""

    name: str
    """Where it is."""
    about: str
    """What is in it; may have Markdown."""
    kind: Any
    """The type that is stored."""
    schema: str = ""
    """The name of its schema; empty for tables, which have none."""


class Page(NamedTuple):
    """A page, and the files on it."""

    title: str
    parts: tuple[Part, ...]


# fmt: off
PAGES = {
    "study": Page("The study", (
        Part("OUT/study.json", "What a study is, what its stages spent, and why they dropped what they dropped.",
             StudyState, "study"),)),
    "run": Page("A run", (
        Part("OUT/runs/ID/config.json", f"All keys of the run's [recipe]({RECIPE}), defaults filled in.", None,
             "recipe"),
        Part("OUT/runs/ID/record.json", "What the run was, what it scored and what it cost.", RunRecord, "record"),
        Part("OUT/runs/ID/history.csv", "A row for each evaluation during training.", HistoryRow),
        Part("OUT/runs/ID/curve.csv", "A row for each point of the learning curve; it decides nothing.", CurvePoint))),
    "board": Page("The board", (
        Part("OUT/board.csv", "Every run, ranked. `bakeoff board --json` prints the same as a list. In the CSV, the"
             " interval of a metric is two columns.", list[Row], "board"),)),
    "data": Page("The data", (
        Part("manifest.json", "Beside the shards in the cache: everything about prepared data except the images.",
             Manifest, "manifest"),
        Part("findings.csv", "By `bakeoff data check`: what is wrong with images and labels. For `--exclude`.",
             Finding),
        Part("suspicious_labels.csv", "By `bakeoff data check`: labels that are probably wrong. For `--relabel`.",
             SuspiciousLabel))),
    "bundle": Page("The bundle", (
        Part("OUT/bundle/bundle.json", "What the model is, and how it was checked and timed.", BundleFacts, "bundle"),
        Part("OUT/bundle/labels.json", "The classes, in the order of the model's outputs.", Labels, "labels"))),
    "weights": Page("Exported weights", (
        Part("kit.json", "In a folder by `bakeoff weights export`: its files, with their hashes and licences.", Kit,
             "kit"),)),
    "output": Page("What `--json` prints", (
        Part("bakeoff models --json", "A list with an object for each network.", list[ListedNetwork], "models"),
        Part("bakeoff models --check --json", "A list with an object for each thing that was tried.",
             list[ContractCheck], "contract"),
        Part("bakeoff info --json", "What bakeoff runs on.", Info, "info"))),
}
# fmt: on
OUTPUT = """\
Other verbs print what is in a file: `board`, `run`, `screen`, `compare` and `train` a list of the rows of [the
board](board.md), `tune` the `found` or the `effects` of [the study](study.md), `evaluate` the `test` of [the
record](run.md#testmetrics), `export` [the bundle](bundle.md) with its folder as `bundle`, a dry run the `plan` of [the
study](plan.md), `weights export` and `weights import` a list of the `files` of [the kit](weights.md#exportedweights).

`predict` prints a list of objects with `path`, `top` (a list of `label` and `probability`), `error` and `unsure`;
`verify` an object with `checked` (a number), `broken` (a list of `where`, `written`, `computed` and `note`) and `notes`
(a list of texts); `data check` an object with the number of images or classes for each kind of finding; `cache show` a
list of objects with `kind`, `name`, `bytes`, `used` (seconds since 1970) and `paths`. `bakeoff serve` describes its
answers at `/docs`.
"""


def make_files() -> dict[str, str]:
    """The pages and the schemas by their path in docs/reference."""
    made = {"files.md": _index(), "files/plan.md": _plans()}
    for name, (title, parts) in PAGES.items():
        texts = [text for part in parts for text in _describe(part)]
        made[f"files/{name}.md"] = page(title, *texts, OUTPUT if name == "output" else "")
        made |= {
            _schema_path(part): as_text(schema_of(part.kind, part.name)) for part in parts if part.schema and part.kind
        }
    return made


def _schema_path(part: Part) -> str:
    return f"schemas/{part.schema}.schema.json"


def _index() -> str:
    rows = [
        (
            f"[`{part.name}`](files/{name}.md)",
            part.about.replace(RECIPE, "recipe.md"),
            f"[schema]({_schema_path(part)})" if part.schema else "",
        )
        for name, (_, parts) in PAGES.items()
        for part in parts
    ]
    rows += [(name, about, "") for name, about in OTHERS.items()]
    return page("Files", ABOUT, table(["file", "what is in it", "schema"], rows))


def _describe(part: Part) -> list[str]:
    """The parts of a page about a file."""
    link = f" Its schema: [{part.schema}.schema.json](../{_schema_path(part)})." if part.schema else ""
    head = [f"## {part.name}", paragraphs(part.about + link)]
    if part.kind is None:
        return head
    if not part.schema and part.kind not in (HistoryRow, CurvePoint):
        return [*head, _columns(part.kind)]
    links = RECIPE_KINDS | (PLAN_KINDS if part.kind is StudyState else {})
    return [*head, *describe(schema_of(part.kind, part.name), links=links)]


def _columns(kind: Any) -> str:
    """The columns of a table that is made of a named tuple."""
    said = docstrings(kind)
    rows = [(code(name), said[name]) for name in kind._fields]
    return table(["column", "what it is"], rows)


def _plans() -> str:
    """The page of the four kinds of `plan` in study.json."""
    parts = ["The field `plan` of [study.json](study.md), by the kind of study."]
    schema = schema_of(StudyState, "")
    links = RECIPE_KINDS | {name: link.partition(".md")[2] for name, link in PLAN_KINDS.items()}
    for what, kind in PLANS.items():
        name = kind.__name__
        text = paragraphs(schema["$defs"][name]["description"])
        parts += [f"## {name}", f"The plan of {what}." if what not in text else "", text]
        found = describe(schema, name, links=links)
        parts += found
        # What one plan has described need not be described again below the next.
        kinds = (each.removeprefix("### ") for each in found if each.startswith("### "))
        links |= {kind: f"#{kind.lower()}" for kind in kinds}
    return page("The plan of a study", *parts)
