"""The descriptions in a bundle: `bundle.json` and `labels.json`.

bundle/model.keras      the model, or saved_model/1/, model.onnx, model.tflite:
                        uint8 RGB (n, side, side, 3) -> probabilities (n, classes), float32
bundle/labels.json      class names in the order of the outputs, and their superclasses
bundle/model_card.md    data, scores with intervals, cost and limits, for people
bundle/bundle.json      this module's BundleFacts, with the hashes of the other files
"""

from enum import StrEnum
from pathlib import Path
from typing import NamedTuple, TypeVar

from pydantic import ConfigDict, Field, ValidationError

from bakeoff.deploy.bundle.formats import Format, Quantize, format_label
from bakeoff.errors import BundleError
from bakeoff.files import read_json, write_json
from bakeoff.runs.config import Fit
from bakeoff.runs.facts import Facts, name_first
from bakeoff.runs.plugin import Plugin

__all__ = [
    "BUNDLE_SCHEMA",
    "BundleFacts",
    "Calibration",
    "Coverage",
    "Labels",
    "Parity",
    "Scores",
    "Threshold",
    "ThresholdKind",
    "ThresholdRule",
    "Timing",
    "read_facts",
    "read_labels",
    "write_facts",
]

BUNDLE_SCHEMA = 1


Part = TypeVar("Part", bound=Facts)


class _Facts(Facts):
    # Unknown fields are ignored, so that bundles of a newer bakeoff with the same schema can be used.
    model_config = ConfigDict(extra="ignore")


class Calibration(_Facts):
    """Temperature scaling (Guo et al. 2017, arXiv 1706.04599), and the expected calibration errors, in [0, 1]."""

    temperature: float
    """Logits are divided by it before the softmax, inside the model."""
    images: int
    """Validation images that it was fitted on."""
    run: str = ""
    """Id of the run whose predictions it was fitted on, if it is not the bundle's: that one has learned the images."""
    ece_before: float
    """On the images that the temperature was fitted on, before it is applied."""
    ece_after: float
    """The same with it."""
    test_ece_before: float | None = None
    """On the test split, which the temperature was not fitted on; None if it has not been opened."""
    test_ece_after: float | None = None
    """The same with the temperature."""


class ThresholdKind(StrEnum):
    """How a threshold of confidence is chosen."""

    PRECISION = "precision"
    """So that this share of the answers above it is right on validation."""
    MIN_CONFIDENCE = "min_confidence"
    """By hand."""


class ThresholdRule(NamedTuple):
    """How a threshold of confidence is chosen, and by what value in (0, 1)."""

    kind: ThresholdKind
    value: float


class Coverage(_Facts):
    """The images of a split whose answers reach a threshold, and how many of these answers are right."""

    images: int
    """Images of the split."""
    answered: int
    """Those whose answers reach the threshold."""
    coverage: float
    """answered / images."""
    precision: float
    """The share of answers that are right; 0 if there are none."""
    precision_ci95: tuple[float, float]

    def describe(self, split: str) -> str:
        """A sentence about the split of this name."""
        low, high = self.precision_ci95
        if not self.answered:
            return f"On {split}, no answer of {self.images:,} reaches the limit."
        return (
            f"On {split}, {self.answered:,} of {self.images:,} answers reach the limit ({self.coverage:.1%}), and"
            f" {self.precision:.1%} of these are right (95 % interval {low:.1%} to {high:.1%})."
        )


class Threshold(_Facts):
    """The confidence below which an answer is marked as unsure."""

    min_confidence: float = Field(gt=0, le=1)
    """The least probability of the most probable class, as the model returns it."""
    precision: float | None
    """The precision that was asked for; None if the confidence was given by hand."""
    cautious_confidence: float | None = None
    """The smallest confidence from which the lower end of the interval has that precision, too; None: there is none."""
    val: Coverage
    """Of this model, in its runtime, on the validation images on which the threshold was chosen; if it has learned
    these, of the run that the temperature is from."""
    test: Coverage | None = None
    """On the test split, on which nothing was chosen, by the predictions of the run; None if it has not been opened, or
    if the model is quantised."""

    @property
    def sentences(self) -> list[str]:
        """What the threshold means, for people."""
        limit = f"Answers with a probability below {self.min_confidence:.4g} are marked as unsure"
        if self.precision is None:
            sentences = [f"{limit}; the limit was given by hand.", self.val.describe("validation")]
        else:
            asked = f"{100 * self.precision:.4g} %"
            sentences = [
                f"{limit}: from this limit on, at least {asked} of the answers were right on validation.",
                self.val.describe("validation"),
                *self._warn(asked),
            ]
        return [*sentences, *([self.test.describe("test, on which nothing was chosen")] if self.test else [])]

    def _warn(self, asked: str) -> list[str]:
        """A limit is chosen where these images look best, so the share is usually lower on others."""
        if self.cautious_confidence is None:
            reached = "for no limit it is, so validation has too few images to be sure"
        elif self.cautious_confidence > self.min_confidence:
            reached = f"it is from a limit of {self.cautious_confidence:.4g} on"
        else:
            return []
        return [
            f"The interval's lower end is not at {asked}, so new answers above the limit may be right less often;"
            f" {reached}."
        ]


class Parity(_Facts):
    """Comparison of the exported model, in its runtime, with the run's own evaluation of the same images."""

    images: int
    """Validation images that were compared."""
    agreement: float
    """Share of images with the same predicted class."""
    near_agreement: float
    """The same, where a class that the run found nearly as probable (by the format's tolerance) counts as the same."""
    mean_gap: float
    """Mean over images of the largest difference of a probability."""
    worst_gap: float
    """Largest difference of a probability on any image."""


class Scores(_Facts):
    """Validation top-1 of the exported model and of the run, on the same images."""

    images: int
    """Validation images that both were scored on."""
    run_top1: float
    """Of the run."""
    top1: float
    """Of the exported model, in its runtime."""
    top1_ci95: tuple[float, float]


class Timing(_Facts):
    """Latency and memory of the model in a fresh process. Batch times are medians."""

    threads: int
    """Threads that the model had."""
    batch1_seconds: float
    """For one image."""
    batch32_seconds: float
    """For 32 images at once."""
    load_seconds: float
    """From the start of the process to the first prediction."""
    memory_peak_bytes: int
    """Peak of the whole process, runtime included."""
    device: str
    """The processor."""


class BundleFacts(_Facts):
    """`bundle.json`. Fields that were not measured are None."""

    schema_: int = BUNDLE_SCHEMA
    """Version of this format."""
    run: str
    """Id of the run."""
    candidate: str
    """Network and input size, as in `mobilenet-v2@96`."""
    side: int
    """Side in pixels of the images that the model takes; it resizes them to its input size itself."""
    fit: Fit = Fit.CROP
    """How pictures become square images of that side, in training and in predictions."""
    bakeoff: str
    """Version of bakeoff that wrote the bundle."""
    versions: dict[str, str] = Field(default_factory=dict)
    """Versions of Keras and TensorFlow that wrote the model; empty in bundles of older versions of bakeoff."""
    format: Format = Format.KERAS
    quantize: Quantize | None = None
    model_bytes: int = 0
    """Size of the model."""
    plugin: Plugin | None = None
    """Where the network is imported from, if it is not one of bakeoff's own. A model in Keras' format needs its
    `objects`; the other formats need nothing of it."""
    learned_val: bool = False
    """Whether the model was trained on the validation images too, so that what is measured on them is no accuracy."""
    calibration: Calibration | None = None
    threshold: Threshold | None = None
    """None: no answer is marked as unsure."""
    parity: Parity | None = None
    val: Scores | None = None
    timing: Timing | None = None
    files: dict[str, str]
    """SHA-256 of each file, by its path inside the bundle."""

    model_config = ConfigDict(alias_generator=lambda name: name.rstrip("_"), populate_by_name=True)

    @property
    def format_label(self) -> str:
        """Format and quantisation, as in `litert-int8`."""
        return format_label(self.format, self.quantize)


class Labels(_Facts):
    """`labels.json`: class names in the order of the outputs, and the superclass of each if there are any."""

    classes: tuple[str, ...]
    """Names of the classes."""
    superclasses: tuple[str, ...] | None = None
    """Names of the superclasses, if there are any."""
    superclass_of: tuple[int, ...] | None = None
    """The position in `superclasses` of each class's superclass."""

    def superclass(self, index: int) -> str | None:
        """The name of a class's superclass."""
        if self.superclasses is None or self.superclass_of is None:
            return None
        return self.superclasses[self.superclass_of[index]]


def read_facts(folder: Path) -> BundleFacts:
    """Read `bundle.json`. Raises BundleError if it is missing, damaged or of another schema."""
    facts = _read(folder, "bundle.json", BundleFacts)
    if facts.schema_ != BUNDLE_SCHEMA:
        raise BundleError(f"{folder} has schema {facts.schema_}; this bakeoff reads {BUNDLE_SCHEMA}: export it again")
    return facts


def read_labels(folder: Path) -> Labels:
    """Read `labels.json`. Raises BundleError if it is missing or damaged."""
    return _read(folder, "labels.json", Labels)


def write_facts(folder: Path, facts: BundleFacts) -> None:
    """Write `bundle.json` atomically."""
    write_json(folder / "bundle.json", facts.model_dump(mode="json", by_alias=True))


_HINT = "give the folder that `bakeoff run` or `bakeoff export` wrote"


def _read(folder: Path, name: str, part: type[Part]) -> Part:
    try:
        return part.model_validate(read_json(folder / name))
    except FileNotFoundError as error:
        inside = folder / "bundle"
        hint = f"give {inside}" if (inside / name).is_file() else _HINT
        raise BundleError(f"{folder} is not a bundle (it has no {name}); {hint}") from error
    except (OSError, ValueError) as error:
        reason = f"{name}: {name_first(error)}" if isinstance(error, ValidationError) else str(error)
        raise BundleError(f"{folder} is not a bundle ({reason}); {_HINT}") from error
