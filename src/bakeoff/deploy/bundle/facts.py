"""What a bundle says of itself.

bundle/model.keras      the model, or saved_model/, model.onnx, model.tflite:
                        uint8 RGB (n, side, side, 3) -> probabilities (n, classes), float32
bundle/labels.json      class names in the order of the outputs, and their superclasses
bundle/model_card.md    data, scores with intervals, cost, limits
bundle/bundle.json      this module's BundleFacts; the hashes of the other files
"""

from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from bakeoff.deploy.bundle.kinds import Format, Quantize, format_kind
from bakeoff.errors import BundleError
from bakeoff.files import read_json, write_json

__all__ = [
    "BUNDLE_SCHEMA",
    "BundleFacts",
    "Calibration",
    "Labels",
    "Parity",
    "Scores",
    "Timing",
    "read_facts",
    "read_labels",
    "write_facts",
]

BUNDLE_SCHEMA = 1


Kind = TypeVar("Kind", bound=BaseModel)


class _Facts(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)


class Calibration(_Facts):
    """Temperature scaling (Guo et al., arXiv 1706.04599), fitted on validation images. Errors are fractions of 1."""

    temperature: float
    """Logits are divided by it before the softmax, inside the model."""
    images: int
    ece_before: float
    ece_after: float
    test_ece_before: float | None = None
    """On the test split, which the temperature was not fitted on, where it has been opened."""
    test_ece_after: float | None = None


class Parity(_Facts):
    """How the model's answers, through its own runtime, compare with those of the run's own evaluation."""

    images: int
    agreement: float
    """Share of images with the same likeliest class."""
    near_agreement: float
    """The same, where a class that the run held nearly as likely (by the format's tolerance) counts as the same."""
    mean_gap: float
    """Mean over images of the largest difference of a probability."""
    worst_gap: float


class Scores(_Facts):
    """How often this very model is right on validation images, and how often the run was."""

    images: int
    run_top1: float
    top1: float
    top1_ci95: tuple[float, float]


class Timing(_Facts):
    """What the model takes in a fresh process, on which machine. Seconds are medians of whole batches."""

    threads: int
    batch1_seconds: float
    batch32_seconds: float
    load_seconds: float
    """From the start of the process to the first answer."""
    memory_peak_bytes: int
    device: str


class BundleFacts(_Facts):
    """`bundle.json`. What was not measured is None."""

    schema_: int = BUNDLE_SCHEMA
    run: str
    candidate: str
    side: int
    bakeoff: str
    format: Format = Format.KERAS
    quantize: Quantize | None = None
    model_bytes: int = 0
    calibration: Calibration | None = None
    parity: Parity | None = None
    val: Scores | None = None
    timing: Timing | None = None
    files: dict[str, str]
    """SHA-256 of each file, by its path inside the bundle."""

    model_config = ConfigDict(alias_generator=lambda name: name.rstrip("_"), populate_by_name=True)

    @property
    def kind(self) -> str:
        """Format and quantisation in a word, as in `litert-int8`."""
        return format_kind(self.format, self.quantize)


class Labels(_Facts):
    """`labels.json`: class names in the order of the outputs, and the superclass of each if there are any."""

    classes: tuple[str, ...]
    superclasses: tuple[str, ...] | None = None
    superclass_of: tuple[int, ...] | None = None

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
    """Write `bundle.json` whole or not at all."""
    write_json(folder / "bundle.json", facts.model_dump(mode="json", by_alias=True))


def _read(folder: Path, name: str, kind: type[Kind]) -> Kind:
    try:
        return kind.model_validate(read_json(folder / name))
    except (OSError, ValueError) as error:
        found = error.errors()[0] if isinstance(error, ValidationError) else None
        reason = f"{name}: {'.'.join(map(str, found['loc']))}: {found['msg']}" if found else str(error)
        mend = "give the folder that `bakeoff run` or `bakeoff export` wrote"
        raise BundleError(f"{folder} is not a bundle ({reason}); {mend}") from error
