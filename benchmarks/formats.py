"""The cost of every exported format of a run: size, time for 1 and for 32 images, time to the first answer, memory.

Each bundle of a study's folder is measured in a separate process with two threads, as `bakeoff export` does. The
bundles alternate, and the medians are reported. The accuracy of a quantised bundle is read from its bundle.json (all of
validation); the other bundles predict what the run predicts and have its accuracy. Writes formats.csv next to this
file, and prints it.

    python benchmarks/formats.py STUDY
"""

import argparse
import statistics
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from rich.console import Console
from rich.table import Column, Table

from bakeoff.deploy.bundle import MODEL_NAMES, BundleFacts, Timing, measure_model, read_facts
from hardware import count_cores, name_cpu
from results import write

CSV = Path(__file__).with_suffix(".csv")
TURNS = 2


@dataclass(frozen=True)
class Row:
    """One format. Times are in milliseconds, the first answer in seconds, sizes in megabytes (10^6 bytes)."""

    form: str
    network: str
    on_disk_mb: float
    one_image_ms: float
    images_32_ms: float
    first_answer_s: float
    memory_mb: float
    top1: float
    agreement: float
    images: int
    cpu: str
    cores: int
    date: str


def main() -> None:
    """Measure all bundles alternately and write the figures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("study", type=Path, help="folder that contains bundle/ or bundle-FORMAT/ folders")
    folders = sorted(path.parent for path in parser.parse_args().study.glob("bundle*/bundle.json"))

    facts = {folder: read_facts(folder) for folder in folders}
    turns: dict[Path, list[Timing]] = {folder: [] for folder in folders}
    for _ in range(TURNS):
        for folder, own in facts.items():
            turns[folder].append(measure_model(folder / MODEL_NAMES[own.format], own.format, own.side))
    run_top1 = next(own.val.run_top1 for own in facts.values() if own.val)
    rows = sorted(
        (make_row(own, turns[folder], run_top1) for folder, own in facts.items()), key=lambda row: row.images_32_ms
    )
    write(CSV, rows)
    table = Table(Column("format", no_wrap=True), "MB", "1: ms", "32: ms", "first: s", "peak: MB", "top-1", "same")
    for row in rows:
        table.add_row(
            row.form,
            f"{row.on_disk_mb:.1f}",
            f"{row.one_image_ms:.1f}",
            f"{row.images_32_ms:.0f}",
            f"{row.first_answer_s:.1f}",
            f"{row.memory_mb:.0f}",
            f"{row.top1:.1%}",
            f"{row.agreement:.1%}",
        )
    Console().print(table)


def make_row(facts: BundleFacts, turns: list[Timing], run_top1: float) -> Row:
    """The medians over the measurements of a format."""
    assert facts.parity is not None
    return Row(
        form=facts.format_label,
        network=facts.candidate,
        on_disk_mb=round(facts.model_bytes / 1e6, 1),
        one_image_ms=round(1000 * statistics.median(turn.batch1_seconds for turn in turns), 1),
        images_32_ms=round(1000 * statistics.median(turn.batch32_seconds for turn in turns), 1),
        first_answer_s=round(statistics.median(turn.load_seconds for turn in turns), 2),
        memory_mb=round(statistics.median(turn.memory_peak_bytes for turn in turns) / 1e6),
        top1=facts.val.top1 if facts.val else run_top1,
        agreement=facts.parity.agreement,
        images=facts.parity.images,
        cpu=name_cpu(),
        cores=count_cores(),
        date=date.today().isoformat(),
    )


if __name__ == "__main__":
    main()
