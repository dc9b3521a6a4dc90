"""A study's figures computed again from what lies under them; nothing is written.

records from the logits of their images · board and report from the records · differences from the logits · each
bundle's hashes · its answers on the locked split's shards, or on validation where it has fewer bits

checks = [*audit_records(out), *audit_views(out), *audit_bundles(out, data)]
broken = [check for check in checks if not check.holds]
"""

import csv
import io
from collections.abc import Callable, Iterator, Sequence
from difflib import SequenceMatcher
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bakeoff.data.batches import Split, load_split
from bakeoff.data.shards import Dataset, open_dataset
from bakeoff.deploy.bundle import MODEL_NAMES, Bundle, missing_to_run, open_bundle, read_facts
from bakeoff.errors import BakeoffError, OutputError
from bakeoff.files import hash_file
from bakeoff.report.board import board_text, rank
from bakeoff.report.page import render_report
from bakeoff.runs.config import read_run, run_id
from bakeoff.runs.folder import RunFolder, SplitScored, run_dir
from bakeoff.runs.metrics import Metrics, score
from bakeoff.runs.paired import compare
from bakeoff.runs.predictions import has_predictions, read_predictions
from bakeoff.runs.record import RunRecord, State, list_records
from bakeoff.runs.study_file import read_study

__all__ = ["Check", "audit_bundles", "audit_data", "audit_records", "audit_views"]

# Share of images on which the bundle may name another class than the run did: the run computes with rearranged layers.
SLACK = 0.001
_BATCH = 256
OnCount = Callable[[str, int, int], None]


class Check(NamedTuple):
    """A figure, what is written, and what was computed from what lies under it."""

    where: str
    written: str
    computed: str

    @property
    def holds(self) -> bool:
        """Whether the two agree."""
        return self.written == self.computed


def audit_records(out: Path, dataset: Dataset | None = None) -> Iterator[Check]:
    """Every record against its config, its id and its logits; with the data, the logits' images and labels too.

    Raises OutputError if a record cannot be read.
    """
    superclass_of = dataset.superclass_of if dataset else None
    for record in list_records(out):
        folder, where = run_dir(out, record.id), f"runs/{record.id}/record.json"
        yield Check(f"{where}: id", record.id, run_id(record.config, record.data.fingerprint, record.weights.hash))
        same = read_run(RunFolder(folder).config) == record.config
        own = "as in config.json" if same else "other than in config.json"
        yield Check(f"{where}: config", own, "as in config.json")
        scored: dict[SplitScored, Metrics | None] = {"val": record.val, "test": record.test}
        for name, metrics in scored.items():
            if metrics is not None and record.state is State.COMPLETE:
                yield from _check_scores(folder, f"{where}: {name}", name, metrics, dataset, superclass_of)
        if record.test is not None:
            openings = len(RunFolder(folder).test_openings.read_text(encoding="utf-8").splitlines())
            yield Check(f"{where}: test.openings", str(record.test.openings), str(openings))


def audit_views(out: Path) -> Iterator[Check]:
    """`board.csv`, `report.html` and the differences in `study.json` against the records."""
    records = list_records(out)
    if (out / "board.csv").is_file():
        yield from _compare_boards(_read(out / "board.csv"), board_text(rank(records)))
    if (out / "report.html").is_file():
        yield from _compare_pages(_visible(_read(out / "report.html")), _visible(render_report(out)))
    yield from _check_differences(out)


def audit_data(shards: Path, records: list[RunRecord]) -> Iterator[Check]:
    """The shards that are at hand against their manifest, and against the data that the runs name."""
    for record in records:
        dataset = open_dataset(shards, record.config.data.classes, record.config.data.seed)
        where = f"runs/{record.id}/record.json: data.fingerprint"
        yield Check(where, record.data.fingerprint, dataset.fingerprint)
    for split in open_dataset(shards).manifest.splits.values():
        for file in split.files:
            yield Check(f"shard {file.name}: sha256", file.sha256, hash_file(shards / file.name))


def audit_bundles(out: Path, dataset: Dataset, tell: OnCount | None = None) -> Iterator[Check]:
    """The hashes of every bundle in the study's folder, and its answers where what runs it is at hand.

    As many bits as the run has: the same classes on the locked test split, image by image, as on record. Fewer: the
    accuracy on validation images that the bundle states.
    """
    for path in sorted(out.glob("bundle*/bundle.json")):
        folder, facts = path.parent, read_facts(path.parent)
        for name, digest in facts.files.items():
            found = hash_file(folder / name) if (folder / name).is_file() else "absent"
            yield Check(f"{folder.name}/{name}: sha256", digest, found)
        if not missing_to_run(facts.format):
            yield from _audit_answers(folder, run_dir(out, facts.run), dataset, tell)


def _audit_answers(folder: Path, run: Path, dataset: Dataset, tell: OnCount | None) -> Iterator[Check]:
    try:
        bundle = open_bundle(folder)
    except BakeoffError as error:
        yield Check(folder.name, "can be opened", str(error))
        return
    stated = bundle.facts.val
    if stated is not None:
        name, split = "val", load_split(dataset, "val")
        hits = int((_answer(bundle, split, name, tell) == split.labels).sum())
        differing, source = abs(hits - round(stated.top1 * stated.images)), "bundle.json"
    elif has_predictions(run, "test"):
        name, split = "test", load_split(dataset, "test", unlock=True)
        named = read_predictions(run, "test").predicted
        answers = _answer(bundle, split, name, tell)
        differing = int((answers != named).sum()) if len(named) == len(split) else len(split)
        source = RunFolder(run).predictions("test").name
    else:
        return
    agree = f"as in {source}"
    where = f"{folder.name}/{MODEL_NAMES[bundle.facts.format]}: answers on the {name} split's {len(split):,} images"
    yield Check(where, agree, agree if differing <= SLACK * len(split) else f"{differing:,} are others")


def _answer(bundle: Bundle, split: Split, name: str, tell: OnCount | None) -> NDArray[np.intp]:
    """The likeliest class of each image of a split."""
    answers = []
    for start in range(0, len(split), _BATCH):
        answers.append(bundle.probabilities(split.images[start : start + _BATCH]).argmax(axis=1))
        if tell:
            tell(f"{bundle.folder.name} on the {name} split", min(start + _BATCH, len(split)), len(split))
    return np.concatenate(answers)


def _check_scores(
    folder: Path, where: str, name: SplitScored, metrics: Metrics, dataset: Dataset | None, superclass_of: Any
) -> Iterator[Check]:
    path = RunFolder(folder).predictions(name)
    try:
        predictions = read_predictions(folder, name)
    except OutputError as error:
        yield Check(where, "scored", f"cannot be computed: {error}")
        return
    computed = score(predictions.logits, predictions.labels, superclass_of)
    for key, value in computed.model_dump().items():
        if key != "superclass_top1" or dataset is not None:
            yield Check(f"{where}.{key}", _say(getattr(metrics, key)), _say(value))
    if dataset is not None:
        shown = load_split(dataset, name, unlock=True)
        own = dict(zip(shown.ids, shown.labels.tolist(), strict=True))
        labels = zip(predictions.ids, predictions.labels.tolist(), strict=True)
        wrong = sum(own.get(each) != label for each, label in labels)
        yield Check(
            f"{path.name} of {folder.name}: labels", "0 differ from the shards'", f"{wrong:,} differ from the shards'"
        )


def _compare_boards(written: str, computed: str) -> Iterator[Check]:
    old = {row["id"]: row for row in csv.DictReader(io.StringIO(written))}
    new = {row["id"]: row for row in csv.DictReader(io.StringIO(computed))}
    for name in dict.fromkeys([*old, *new]):
        for column in dict.fromkeys([*new.get(name, {}), *old.get(name, {})]):
            cells = (str(rows.get(name, {}).get(column, "(no such row)")) for rows in (old, new))
            yield Check(f"board.csv: {column} of {name}", *cells)


def _compare_pages(written: Sequence[str], computed: Sequence[str]) -> Iterator[Check]:
    """Text by text, aligned so that one that is new does not put all after it in the wrong."""
    for kind, first, last, start, end in SequenceMatcher(None, written, computed, autojunk=False).get_opcodes():
        if kind == "equal":
            yield from (Check("report.html", text, text) for text in written[first:last])
        else:
            texts = (" ".join(part) or "(nothing)" for part in (written[first:last], computed[start:end]))
            yield Check(f"report.html, after {' '.join(written[:first])[-40:]!r}", *texts)


def _check_differences(out: Path) -> Iterator[Check]:
    study = read_study(out)
    named = []
    if study.found is not None and study.found.difference and study.found.before and study.found.after:
        named.append(("found.difference", study.found.difference, study.found.before, study.found.after))
    if study.effects is not None:
        for effect in study.effects.effects:
            before = study.effects.base
            named.append((f"effects: {effect.key} {effect.value}", effect.difference, before, effect.arm))
    for where, difference, before, after in named:
        pairs = list(zip(before.ids, after.ids, strict=False))
        computed = compare(out, [first for first, _ in pairs], [second for _, second in pairs])
        yield Check(f"study.json: {where}", _say(difference.points), _say(computed.points))


class _Text(HTMLParser):
    """What a page says, without drawings, styles, scripts, and commands, which name the folder it was made in."""

    HIDDEN = ("style", "script", "svg", "kbd")

    def __init__(self) -> None:
        super().__init__()
        self.texts: list[str] = []
        self._depth = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:  # noqa: ARG002
        """Into something hidden."""
        self._depth += tag in self.HIDDEN

    def handle_endtag(self, tag: str) -> None:
        """Out of it."""
        self._depth -= tag in self.HIDDEN

    def handle_data(self, data: str) -> None:
        """Text, wherever it is."""
        if not self._depth and data.strip():
            self.texts.append(" ".join(data.split()))


def _visible(page: str) -> list[str]:
    parser = _Text()
    parser.feed(page)
    return parser.texts


def _say(value: Any) -> str:
    if isinstance(value, tuple):
        return ", ".join(map(_say, value))
    return f"{value:.9g}" if isinstance(value, float) else str(value)


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise OutputError(f"cannot read {path}: {error}; run the study again") from error
