"""Checks of images and of a study's numbers: check, verify."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from bakeoff.api.arguments import (
    Classes,
    DataLike,
    PathLike,
    read_data,
    read_flag,
    read_optional_flag,
    read_optional_path,
)
from bakeoff.api.plain import plain_arguments
from bakeoff.api.progress import ProgressOption, count_progress
from bakeoff.api.results import load
from bakeoff.data.checks import (
    MIN_SIDE_PIXELS,
    Finding,
    FindingKind,
    HeldOut,
    SuspiciousLabel,
    examine,
    find_suspicious,
    format_findings,
    format_suspicious,
    judge_conflicts,
    write_lists,
)
from bakeoff.data.contact_sheet import choose_path, draw_pairs, draw_suspicious
from bakeoff.data.shards import Dataset
from bakeoff.data.sources import OnCount
from bakeoff.errors import ConfigError, OutputError
from bakeoff.machine import count_cores, tensorflow_settings
from bakeoff.profile import read_profile
from bakeoff.report.board import format_seconds
from bakeoff.report.verify import (
    Check,
    Datasets,
    verify_bundles,
    verify_data,
    verify_models,
    verify_records,
    verify_views,
)
from bakeoff.runs.record import RunRecord
from bakeoff.study.forecast import Forecast
from bakeoff.study.labels import UNASKED_SECONDS, forecast_labels, score_labels
from bakeoff.study.provide import prepare_again, prepare_data, require_tensorflow
from bakeoff.text import counted

__all__ = ["CheckResult", "check", "verify"]

# With a larger share of suspicious labels, a note says that most are not wrong. Of flowers, which the network knows, a
# sixteenth was listed with a twentieth of all labels changed (benchmarks/labels.csv).
MANY_SUSPICIOUS = 0.1


@dataclass(frozen=True)
class CheckResult:
    """What was found in a data set."""

    findings: tuple[Finding, ...]
    """What is wrong, the worst kinds first; empty if nothing is."""
    table: Path
    """`findings.csv`, for `exclude`."""
    pairs: Path | None
    """`pairs.png`, the pairs of images that are the same or nearly so; None if there are none."""
    dataset: Dataset
    """The prepared data: classes, splits, and `notes` on how they were read."""
    notes: tuple[str, ...] = ()
    """What could not be examined, and where the lists are if others stay in their place."""
    suspicious: tuple[SuspiciousLabel, ...] | None = None
    """Images whose label is probably wrong, the most suspicious first; None if they were not searched for."""
    suspicious_table: Path | None = None
    """`suspicious_labels.csv`, for `exclude` or `relabel`; None if they were not searched for."""
    suspicious_sheet: Path | None = None
    """`suspicious_labels.png`, the first of them; None if there are none."""

    @property
    def counts(self) -> dict[str, int]:
        """Images or classes of each kind of finding, 0 included; suspicious labels if they were searched for."""
        counted = Counter(finding.kind for finding in self.findings)
        counts = {kind.value: counted[kind] for kind in FindingKind}
        return counts if self.suspicious is None else counts | {"suspicious label": len(self.suspicious)}


@plain_arguments
@tensorflow_settings()
def check(
    data: DataLike = "digits",
    *,
    classes: Classes = "all",
    seed: int = 0,
    near: bool = True,
    labels: bool | None = None,
    layout: str | None = None,
    image_folder: PathLike | None = None,
    label: str | None = None,
    group: str | None = None,
    fit: str | None = None,
    exclude: PathLike | None = None,
    relabel: PathLike | None = None,
    out: PathLike | None = None,
    data_dir: PathLike | None = None,
    progress: ProgressOption = True,
) -> CheckResult:
    """Find what is wrong with images and labels, as `bakeoff data check` does. No image is changed or deleted.

    Unreadable files, the same image twice, in two splits or under two labels, near-duplicates across splits, images of
    one colour, tiny and uneven classes: the list is written to `out/findings.csv`. Images whose label is probably
    wrong: the list is written to `out/suspicious_labels.csv`.

    Args:
        data: `cifar100`, `cifar10`, `digits`; a folder or archive: class/image, or train/class/image beside
            test/class/image; a table of labels as a file or a pandas DataFrame; or (images, labels): uint8 (n, height,
            width, 3) or grey (n, height, width), or a list of such images, and n labels.
        classes: "all", "coarse" (superclasses), a number of classes that `seed` draws, or names.
        seed: Draws the classes.
        near: Compare all images across splits, pair by pair, to find near-duplicates.
        labels: Search for suspicious labels, by a linear head on frozen features; None: if that takes less than about
            two minutes on this machine.
        layout: "classes" or "splits": what the folders directly below a folder of images are; None: found out by their
            names and contents.
        image_folder: Where the images of a table are; None: beside the table.
        label: The table's column of labels; None: found out by the names of its columns.
        group: What keeps images of one subject in one split: "folder" (the folder below the class), a regular
            expression with one group, which is searched in the image's path, or a column of the table.
        fit: "crop", "pad" or "squash": how pictures that are not square become square; None: the centre is cropped
            where that cuts off at most a tenth of the median picture, else they are padded.
        exclude: CSV of an earlier check: the images that it lists are left out.
        relabel: `suspicious_labels.csv` that `check` wrote: the images that it lists get the label that it suggests.
        out: Folder for both lists and their pictures; None: `bakeoff-check-DATA` in the current folder, or if a list
            there differs, `bakeoff-check-DATA.2` and so on.
        data_dir: Where archives are; None: `$BAKEOFF_DATA_DIR`, else the cache.
        progress: True draws bars on standard error, False is silent, a function is called with a ProgressEvent.

    Returns:
        The findings, their counts by kind, and the files that were written.

    Raises:
        DataError: The images or classes cannot be used.
        OutputError: The folder cannot be written, or `out` has a list that differs.
        BakeoffError: The search for suspicious labels failed.
    """
    wanted, directory = (
        read_data(
            data,
            classes,
            seed,
            exclude,
            relabel=relabel,
            layout=layout,
            image_folder=image_folder,
            label=label,
            group=group,
            fit=fit,
        ),
        read_optional_path("data_dir", data_dir),
    )
    folder, near = read_optional_path("out", out), read_flag("near", near)
    labels = read_optional_flag("labels", labels)
    with count_progress(progress) as on_count:
        shards, dataset = prepare_data(wanted, directory, on_count)
        findings = examine(dataset, near=near, on_count=on_count)
        notes = _note_no_near(dataset, near)
        if labels is None:
            late = _note_no_labels(dataset)
            notes, labels = [*notes, *late], not late
        scored = score_labels(wanted, shards, dataset, on_count) if labels else None
        if scored:
            findings = judge_conflicts(findings, scored, dataset.class_names)
        on_count("writing lists and pictures", 0, 0)
        return _write(dataset, findings, scored, notes, folder)


def _note_no_near(dataset: Dataset, near: bool) -> list[str]:
    if not near or dataset.side >= MIN_SIDE_PIXELS:
        return []
    return [f"near-duplicates were not searched for: {dataset.side} pixels are too few to tell images apart"]


def _note_no_labels(dataset: Dataset) -> list[str]:
    """That suspicious labels are not searched for unasked; empty if that is quick on this machine."""
    seconds = forecast_labels(dataset, Forecast(read_profile(), count_cores()))
    if seconds <= UNASKED_SECONDS:
        return []
    return [
        f"suspicious labels were not searched for, because that takes about {format_seconds(seconds)} here;"
        " `bakeoff data check --labels` does"
    ]


def _write(
    dataset: Dataset, findings: Sequence[Finding], scored: HeldOut | None, notes: list[str], out: Path | None
) -> CheckResult:
    """Write the lists and their pictures."""
    suspicious = find_suspicious(scored, dataset.class_names) if scored else None
    lists = {"findings.csv": format_findings(findings)}
    if suspicious is not None:
        lists["suspicious_labels.csv"] = format_suspicious(suspicious)
    folder, kept = write_lists(lists, out and out.absolute(), Path(f"bakeoff-check-{dataset.name}").absolute())
    notes = [*notes, *kept]
    pairs, beside_pairs = choose_path(folder / "pairs.png")
    sheet, beside_sheet = choose_path(folder / "suspicious_labels.png")
    has_pairs = any(finding.other_id for finding in findings)
    if has_pairs:
        notes += [*draw_pairs(dataset, findings, pairs), *beside_pairs]
    else:
        pairs.unlink(missing_ok=True)  # that of an earlier check
    if scored and suspicious is not None:
        notes += _note_suspicious(dataset, scored, suspicious)
        if suspicious:
            notes += [*draw_suspicious(dataset, suspicious, sheet), *beside_sheet]
        else:
            sheet.unlink(missing_ok=True)  # that of an earlier check
    return CheckResult(
        tuple(findings),
        folder / "findings.csv",
        pairs if has_pairs else None,
        dataset,
        tuple(dict.fromkeys(notes)),
        suspicious=None if suspicious is None else tuple(suspicious),
        suspicious_table=None if suspicious is None else folder / "suspicious_labels.csv",
        suspicious_sheet=sheet if suspicious else None,
    )


def _note_suspicious(dataset: Dataset, scored: HeldOut, found: Sequence[SuspiciousLabel]) -> Iterator[str]:
    if missing := sum(dataset.counts.values()) - len(scored.ids):
        few = counted(missing, "image")
        yield f"labels of {few} were not checked: there are no others of their class to learn from"
    if len(found) > MANY_SUSPICIOUS * len(scored.ids):
        yield (
            f"{len(found) / len(scored.ids):.0%} of all labels are suspicious: the network that scores does not know"
            " these classes well, so most rows are its own errors; the first ones are worth a look"
        )


@plain_arguments
@tensorflow_settings()
def verify(
    out: PathLike,
    *,
    records_only: bool = False,
    deep: bool = False,
    data_dir: PathLike | None = None,
    progress: ProgressOption = True,
) -> list[Check]:
    """Recompute every number of a study from its files, as `bakeoff verify` does.

    Scores are recomputed from the saved logits, board and report from the records, and what a bundle says of itself
    from its run. Shards, models and bundles are checked by their hashes. The shipped model, the bundles, and models
    without a hash on record predict again, and must predict what is stored. Nothing is written, and nothing is chosen
    on the test split.

    Args:
        out: The folder of the study.
        records_only: Skip the checks that need the data: shards, labels, what models and bundles predict.
        deep: Let the models of all runs predict again, not only the shipped one; that takes about a minute for each.
        data_dir: Where archives are; None: `$BAKEOFF_DATA_DIR`, else the cache.
        progress: True draws bars on standard error, False is silent, a function is called with a ProgressEvent.

    Returns:
        A Check for each number: `where`, `written`, `computed`, and `matches`, whether the two agree. Where `note` is
        not empty, it says what could not be checked, or what is to be known.

    Raises:
        OutputError: The folder holds no runs, or a file in it is damaged.
        DataError: The data cannot be prepared again.
        InputError: TensorFlow is not installed.
    """
    records_only, deep = read_flag("records_only", records_only), read_flag("deep", deep)
    if records_only and deep:
        raise ConfigError("give --records-only or --deep, not both: a model predicts images of the data")
    results = load(out)
    require_tensorflow()
    records = results.records
    if not records:
        raise OutputError(f"{results.out} holds no runs; give the folder of a study, the one with runs/ in it")
    with count_progress(progress) as on_count:
        on_count("board and report", 0, 0)
        checks = list(verify_views(results.out))
        on_count("board and report", 1, 1)
        datasets = None if records_only else _open_data(records, read_optional_path("data_dir", data_dir), on_count)
        on_count("images and scores", 0, 0)
        if datasets is not None:
            checks += verify_data(records, datasets)
        checks += verify_records(results.out, records, datasets)
        on_count("images and scores", 1, 1)
        checks += verify_models(results.out, records, datasets=datasets, deep=deep, on_progress=on_count)
        checks += verify_bundles(results.out, records, datasets, on_count)
    return checks


def _open_data(records: Sequence[RunRecord], directory: Path | None, on_count: OnCount) -> Datasets:
    """Prepare the data of each run, unless they are there: runs in one folder may have other images or classes."""
    by_view = {record.view: record for record in records}
    opened = {view: prepare_again(record, directory, on_count)[1] for view, record in by_view.items()}
    return {record.id: opened[record.view] for record in records}
