"""What a run left behind: `runs/<id>/record.json`, its states, and how records are written and found.

runs/<id>/config.json    the effective config
runs/<id>/record.json    this module's RunRecord
runs/<id>/history.csv    one row per evaluation
runs/<id>/events.out…    the same for TensorBoard
runs/<id>/model.keras    the trained network (fit runs that completed)
runs/<id>/log.txt        everything the run's process printed
"""

import csv
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path

from pydantic import ConfigDict, ValidationError

from bakeoff.errors import OutputError
from bakeoff.files import read_json, replacing, write_json
from bakeoff.runs.config import Run
from bakeoff.runs.facts import Facts
from bakeoff.runs.folder import RunFolder, run_dir
from bakeoff.runs.metrics import Metrics, TestMetrics

__all__ = [
    "OUT_OF_MEMORY",
    "SCHEMA",
    "DataFacts",
    "HistoryRow",
    "RunRecord",
    "Seconds",
    "Stage",
    "State",
    "WeightsFacts",
    "find_run",
    "list_records",
    "read_history",
    "read_record",
    "write_history",
    "write_record",
]

SCHEMA = 1
# How the reason of a run begins that failed for want of memory.
OUT_OF_MEMORY = "out of memory"


class Stage(StrEnum):
    """The part of a study that asked for a run."""

    SCREEN = "screen"
    RACE = "race"
    TUNE = "tune"
    COMPARE = "compare"
    CONFIRM = "confirm"
    TRAIN = "train"


class State(StrEnum):
    """RUNNING until its process says otherwise; the other three are final."""

    RUNNING = "RUNNING"
    COMPLETE = "COMPLETE"
    PRUNED = "PRUNED"
    FAILED = "FAILED"


class DataFacts(Facts):
    """The data a run saw."""

    name: str
    fingerprint: str
    counts: dict[str, int]
    classes: int


class WeightsFacts(Facts):
    """Where the starting weights came from; `origin` is `random` when there were none."""

    origin: str
    hash: str
    tensors_matched: int = 0
    """Tensors of the backbone that were set from a file; fewer than there are only where that was asked for."""
    tensors_total: int = 0


class Seconds(Facts):
    """Wall-clock seconds; `total` is the whole process, so it exceeds the sum of the others."""

    train: float = 0.0
    compile: float = 0.0
    data: float = 0.0
    evaluate: float = 0.0
    total: float = 0.0


class RunRecord(Facts):
    """Everything that a claim about a run needs. Numbers are numbers, bytes are bytes, seconds are seconds."""

    schema_: int = SCHEMA
    id: str
    stage: Stage
    state: State
    reason: str = ""
    config: Run
    data: DataFacts
    weights: WeightsFacts
    params_total: int = 0
    params_trainable: int = 0
    memory_predicted_bytes: int = 0
    memory_peak_bytes: int = 0
    model_bytes: int = 0
    micro_batch: int = 0
    """Images of a batch that were in memory at once; gradients are summed over a batch."""
    replicas: int = 1
    """Devices that shared each batch between them."""
    seconds: Seconds = Seconds()
    images_seen: int = 0
    images_per_second: float = 0.0
    epochs: float = 0.0
    val: Metrics | None = None
    test: TestMetrics | None = None
    seed: int = 0
    versions: dict[str, str] = {}
    device: str = ""
    precision: str = ""

    model_config = ConfigDict(alias_generator=lambda name: name.rstrip("_"), populate_by_name=True)

    @property
    def candidate(self) -> str:
        """The network at its input size, as in `mobilenet-v2@96`."""
        return self.config.candidate


class HistoryRow(Facts):
    """One evaluation during a run."""

    seconds: float
    progress: float
    epoch: float
    images_seen: int
    size: int
    learning_rate: float
    train_loss: float
    val_loss: float
    val_top1: float


def write_record(folder: Path, record: RunRecord) -> None:
    """Write `record.json` whole or not at all."""
    write_json(RunFolder(folder).record, record.model_dump(mode="json", by_alias=True))


def read_record(folder: Path) -> RunRecord:
    """Read a run's record. Raises OutputError if it is missing, damaged or of another schema."""
    path = RunFolder(folder).record
    try:
        raw = read_json(path)
        if raw.get("schema") != SCHEMA:
            raise OutputError(f"{path} has schema {raw.get('schema')!r}; this bakeoff reads {SCHEMA}")
        return RunRecord.model_validate(raw)
    except ValidationError as error:
        raise OutputError(f"cannot read {path}: {_first_message(error)}; remove that run's folder") from error
    except FileNotFoundError as error:
        raise OutputError(f"{folder} holds no record.json; give a run's folder, as in OUT/runs/ID") from error
    except (OSError, ValueError, AttributeError) as error:
        raise OutputError(f"cannot read {path}: {str(error).splitlines()[0]}; remove that run's folder") from error


def list_records(out: Path) -> list[RunRecord]:
    """All records of a study, in order of id. A record that cannot be read is an OutputError, not a gap."""
    return [read_record(path.parent) for path in sorted((out / "runs").glob(f"*/{RunFolder(Path()).record}"))]


def find_run(text: str) -> Path:
    """The folder of a run given as `OUT/runs/ID`, or as `OUT` when the study has confirmed exactly one run."""
    folder = Path(text)
    if RunFolder(folder).record.is_file():
        return folder
    confirmed = [record for record in list_records(folder) if record.stage is Stage.CONFIRM]
    confirmed = [record for record in confirmed if record.state is State.COMPLETE]
    if len(confirmed) != 1:
        raise OutputError(f"{folder} is neither a run nor a study with one confirmed run; give OUT/runs/ID")
    return run_dir(folder, confirmed[0].id)


def write_history(folder: Path, rows: Sequence[HistoryRow]) -> None:
    """Write `history.csv`, one row per evaluation."""
    with replacing(RunFolder(folder).history) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, fieldnames=list(HistoryRow.model_fields))
        writer.writeheader()
        writer.writerows(row.model_dump() for row in rows)


def read_history(folder: Path) -> list[HistoryRow]:
    """The rows of `history.csv`; none if the run has not evaluated yet. Raises OutputError if it is damaged."""
    path = RunFolder(folder).history
    if not path.is_file():
        return []
    try:
        with path.open(newline="", encoding="utf-8") as file:
            return [
                HistoryRow.model_validate({str(key): cell for key, cell in row.items()}) for row in csv.DictReader(file)
            ]
    except ValidationError as error:
        raise OutputError(f"cannot read {path}: {_first_message(error)}; remove that run's folder") from error
    except (OSError, ValueError, csv.Error) as error:
        raise OutputError(f"cannot read {path}: {error}; remove that run's folder") from error


def _first_message(error: ValidationError) -> str:
    first = error.errors()[0]
    return f"{'.'.join(str(part) for part in first['loc'])}: {first['msg']}"
