"""Weights carried to a machine without a network: files with their hashes and licences in one folder.

kit/kit.json    what is in it
kit/<file>      weight files, unchanged

`import_weights` copies a kit into `imported_weights_dir()`, where `auto` looks.
"""

import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import platformdirs
from pydantic import BaseModel, ConfigDict, ValidationError

from bakeoff.errors import WeightsError
from bakeoff.files import hash_file, make_dir, replacing, write_text

__all__ = ["ExportedWeights", "export_weights", "find_in_kit", "import_weights", "imported_weights_dir", "read_kit"]

SCHEMA = 1
OnFile = Callable[[str, int, int], None]


class _Facts(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ExportedWeights(_Facts):
    """One network's weight file. `origin` is where it came from at first: package, hub or file."""

    network: str
    file: str
    sha256: str
    bytes: int
    origin: str
    licence: str


class _Kit(_Facts):
    schema_: int = SCHEMA
    files: tuple[ExportedWeights, ...] = ()

    model_config = ConfigDict(alias_generator=lambda name: name.rstrip("_"), populate_by_name=True)


def imported_weights_dir() -> Path:
    """The folder where kits are unpacked; `$BAKEOFF_WEIGHTS_DIR` overrides the platform's own."""
    return Path(os.environ.get("BAKEOFF_WEIGHTS_DIR") or Path(platformdirs.user_data_dir("bakeoff")) / "weights")


def read_kit(folder: Path) -> tuple[ExportedWeights, ...]:
    """What a kit says is in it; nothing if there is no kit. Raises WeightsError if `kit.json` is damaged."""
    path = folder / "kit.json"
    if not path.is_file():
        return ()
    try:
        kit = _Kit.model_validate_json(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, ValidationError) as error:
        raise WeightsError(f"cannot read {path}: {str(error).splitlines()[0]}; pack the kit again") from error
    if kit.schema_ != SCHEMA or any(Path(entry.file).name != entry.file for entry in kit.files):
        raise WeightsError(f"{path} is of another version, or names files outside its folder; pack the kit again")
    return kit.files


def find_in_kit(network: str) -> tuple[Path, ExportedWeights] | None:
    """The file that a kit brought for a network, and its facts."""
    home = imported_weights_dir()
    for entry in read_kit(home):
        if entry.network == network and (home / entry.file).is_file():
            return home / entry.file, entry
    return None


def export_weights(folder: Path, files: Sequence[tuple[Path, ExportedWeights]], on_file: OnFile) -> None:
    """Copy weight files into a kit and list them. Raises OutputError where it cannot be written.

    `on_file` is told (name, files done, files in all).
    """
    for done, (path, entry) in enumerate(files):
        on_file(entry.file, done, len(files))
        _copy(path, folder / entry.file)
    _write(folder, [entry for _, entry in files])


def import_weights(folder: Path, on_file: OnFile) -> tuple[ExportedWeights, ...]:
    """Bring a kit into `imported_weights_dir()`, all of it or nothing, beside what is there already.

    Raises WeightsError if it is no kit, or if a file is missing or is not the one that was packed.
    """
    entries = read_kit(folder)
    if not entries:
        raise WeightsError(f"{folder} holds no kit.json with files in it; make a kit with `bakeoff weights pack`")
    for done, entry in enumerate(entries):
        on_file(f"checking {entry.file}", done, 2 * len(entries))
        path = folder / entry.file
        if not path.is_file():
            raise WeightsError(f"{path} is missing from the kit; copy it again")
        if hash_file(path) != entry.sha256:
            raise WeightsError(f"{path} is damaged: its SHA-256 is not that of kit.json; copy the kit again")
    home = imported_weights_dir()
    for done, entry in enumerate(entries, len(entries)):
        on_file(f"copying {entry.file}", done, 2 * len(entries))
        _copy(folder / entry.file, home / entry.file)
    brought = {entry.network for entry in entries}
    _write(home, [*(entry for entry in read_kit(home) if entry.network not in brought), *entries])
    return entries


def _copy(source: Path, target: Path) -> None:
    with replacing(target) as temporary:
        shutil.copyfile(source, temporary)


def _write(folder: Path, entries: Sequence[ExportedWeights]) -> None:
    make_dir(folder)
    kit = _Kit(files=tuple(sorted(entries, key=lambda entry: entry.network)))
    write_text(folder / "kit.json", kit.model_dump_json(indent=2, by_alias=True) + "\n")
