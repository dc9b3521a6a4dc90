"""A result put to use: export, predict."""

import logging
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import NamedTuple, TypeVar

from bakeoff.api.arguments import (
    PathLike,
    Paths,
    read_optional_path,
    read_optional_share,
    read_optional_whole,
    read_path,
    read_texts,
    read_whole,
)
from bakeoff.api.plain import plain_arguments
from bakeoff.api.progress import ProgressOption, count_progress
from bakeoff.deploy.bundle import (
    BundleFacts,
    Format,
    Prediction,
    Quantize,
    ThresholdKind,
    ThresholdRule,
    check_format,
    find_inputs,
    format_label,
    open_bundle,
    read_facts,
)
from bakeoff.deploy.bundle import predict as answer
from bakeoff.errors import ConfigError
from bakeoff.machine import tensorflow_settings

__all__ = ["ExportedBundle", "export", "iterate_answers", "predict"]


# Fewer images are answered before a bar is worth drawing.
BAR_FROM = 64

Choice = TypeVar("Choice", bound=StrEnum)

_log = logging.getLogger("bakeoff")


class ExportedBundle(NamedTuple):
    """A bundle that was written."""

    folder: Path
    facts: BundleFacts
    """What `bundle.json` says: format, size in bytes, parity with the run, calibration, threshold, time and memory."""


@plain_arguments
@tensorflow_settings()
def export(
    run: PathLike,
    *,
    format: str = "keras",  # noqa: A002
    quantize: str | None = None,
    precision: float | None = None,
    min_confidence: float | None = None,
    out: PathLike | None = None,
    data_dir: PathLike | None = None,
    progress: ProgressOption = True,
) -> ExportedBundle:
    """Write a trained run as a bundle, as `bakeoff export` does: model, class names, card; checked and timed.

    Args:
        run: The run's folder `OUT/runs/ID`, or the folder of a study that is done, for its winner.
        format: "keras", "saved_model", "onnx" or "litert".
        quantize: "int8" or "float16" for onnx and litert, "dynamic" for litert; None leaves float32.
        precision: Share of answers that shall be right, as in 0.98: answers below the confidence from which they were
            that often right on validation are marked as unsure. None marks none.
        min_confidence: That confidence, given by hand instead, as in 0.9.
        out: Folder of the bundle; None: `OUT/bundle` for keras, `OUT/bundle-FORMAT` for others.
        data_dir: Where archives are; None: `$BAKEOFF_DATA_DIR`, else the cache.
        progress: True draws a bar on standard error, False is silent, a function is called with a ProgressEvent.

    Returns:
        The folder of the bundle, and its facts.

    Raises:
        ConfigError: The format is unknown, or a share is not between 0 and 1.
        BundleError: The format cannot be quantised so, a package is missing, or the model's answers differ from those
            of the run.
        InputError: Validation has no threshold of this precision.
        OutputError: The folder holds no such run, or no trained model.
        DataError: The data cannot be prepared again.
    """
    from bakeoff.launch import export_bundle
    from bakeoff.report import write_report
    from bakeoff.report.bundled import note_other
    from bakeoff.runs.record import read_record
    from bakeoff.runs.shipped import find_run
    from bakeoff.study.provide import prepare_again

    form = _read_choice("format", format, Format)
    bits = None if quantize is None else _read_choice("quantize", quantize, Quantize)
    rule = _read_rule(precision, min_confidence)
    check_format(form, bits)
    kind, folder = format_label(form, bits), find_run(str(read_path("run", run)))
    study = folder.resolve().parent.parent
    bundle = read_optional_path("out", out) or study / ("bundle" if form is Format.KERAS else f"bundle-{kind}")
    record = read_record(folder)
    with count_progress(progress) as on_count:
        shards, _ = prepare_again(record, read_optional_path("data_dir", data_dir), on_count)
        doing = f"exporting {kind}"
        on_count(doing, 0, 100)
        export_bundle(
            folder,
            shards,
            bundle,
            (form, bits),
            lambda event: on_count(doing, round(100 * event.fraction), 100),
            rule=rule,
        )
    if other := note_other(bundle):
        _log.warning(other)
    if (study / "report.html").is_file() and bundle.resolve().parent == study:
        write_report(study)
    return ExportedBundle(bundle.absolute(), read_facts(bundle))


@plain_arguments
def predict(
    bundle: PathLike,
    images: Paths,
    *,
    top: int = 5,
    min_confidence: float | None = None,
    threads: int | None = None,
    progress: ProgressOption = True,
) -> list[Prediction]:
    """Name what is on images, as `bakeoff predict` does. An image that cannot be read does not stop the others.

    Args:
        bundle: The bundle's folder, as in `results.bundle`.
        images: Image files of any size, folders of them, or globs as in "scans/**/*.jpg"; one or a list.
        top: How many classes to name for each image.
        min_confidence: Mark answers of a lower probability as unsure, as in 0.9; None: the bundle's threshold, if it
            has one.
        threads: Threads of the model; None: one for each core. In the formats "keras" and "saved_model" a process has
            one number of threads, that of the first model or of your own use of TensorFlow.
        progress: True draws a bar on standard error, False is silent, a function is called with a ProgressEvent.

    Returns:
        An answer for each image, in order: `path`; `top`, the classes with their probabilities in [0, 1], likeliest
        first; `error`, which is None unless the image cannot be read; `unsure`, whether the first probability is below
        the threshold, None without one.

    Raises:
        BundleError: The bundle cannot be opened, its runtime is not installed, TensorFlow has another number of
            threads already, or no images are found.
    """
    answers = iterate_answers(
        bundle, images, top=top, min_confidence=min_confidence, threads=threads, progress=progress
    )
    return list(answers)


def iterate_answers(
    bundle: PathLike,
    images: Paths,
    *,
    top: int = 5,
    min_confidence: float | None = None,
    threads: int | None = None,
    progress: ProgressOption = True,
) -> Iterator[Prediction]:
    """Open a bundle now, and answer images one by one as they are asked for; see `predict`."""
    named, width = read_path("bundle", bundle), read_whole("top", top, 1)
    least = read_optional_share("min_confidence", min_confidence)
    with tensorflow_settings():
        opened = open_bundle(named, read_optional_whole("threads", threads, 1), least)
    sources = find_inputs(read_texts("images", images))
    shown = False if progress is True and len(sources) < BAR_FROM else progress

    def iterate() -> Iterator[Prediction]:
        with count_progress(shown) as on_count:
            for count, one in enumerate(answer(opened, sources, top=width), start=1):
                on_count("predicting", count, len(sources))
                yield one

    return iterate()


def _read_rule(precision: float | None, min_confidence: float | None) -> ThresholdRule | None:
    by_precision = read_optional_share("precision", precision)
    by_hand = read_optional_share("min_confidence", min_confidence)
    if by_precision is not None and by_hand is not None:
        raise ConfigError("precision and min_confidence exclude each other; give one of them")
    if by_precision is not None:
        return ThresholdRule(ThresholdKind.PRECISION, by_precision)
    return None if by_hand is None else ThresholdRule(ThresholdKind.MIN_CONFIDENCE, by_hand)


def _read_choice(name: str, value: str, kind: type[Choice]) -> Choice:
    try:
        return kind(value)
    except ValueError as error:
        raise ConfigError(f"{name}={value!r}: give one of {', '.join(kind)}") from error
