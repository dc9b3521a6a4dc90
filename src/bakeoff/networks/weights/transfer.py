"""Copies pretrained weights to a machine without internet, through a folder.

kit.json   the files in the folder, with their hashes and licences
<file>     a weight file, unchanged

`import_weights` copies such a folder into `imported_weights_dir()`, where `--weights auto` finds the files. Several
processes write into one folder one after the other, because each keeps the entries in its `kit.json`.
"""

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

from pydantic import ConfigDict, ValidationError

from bakeoff.errors import WeightsError
from bakeoff.files import hash_file, imported_weights_dir, make_dir, replacing, write_text
from bakeoff.locks import waiting_for
from bakeoff.networks.hub import unpack_preset
from bakeoff.runs.facts import Facts

__all__ = ["PRESET", "ExportedWeights", "Kit", "export_weights", "find_imported", "import_weights", "read_kit"]

SCHEMA = 1
# The origin of what comes from a preset of a hub.
PRESET = "preset"
_MOST_KIT_BYTES = 1 << 20
_REPAIR = "delete it, and run `bakeoff weights export` again (of the folder of imported weights: `import`)"
OnFile = Callable[[str, int, int], None]
"""Called with (what is being done with which file, files done, files in all)."""


class ExportedWeights(Facts):
    """One network's weight file in an exported folder.

    `origin` is where the exporting machine had it from: `package`, `hub`, `file`, or `preset` (a folder, packed).
    """

    network: str
    """Name of the network."""
    file: str
    """Name of the file in the folder."""
    sha256: str
    """SHA-256 of the file."""
    bytes: int
    """Size of the file."""
    origin: str
    """Where the exporting machine had it from."""
    licence: str
    """Licence of the weights."""


class Kit(Facts):
    """`kit.json`: what is in an exported folder."""

    schema_: int = SCHEMA
    """Version of this format."""
    files: tuple[ExportedWeights, ...] = ()
    """One for each network."""

    model_config = ConfigDict(alias_generator=lambda name: name.rstrip("_"), populate_by_name=True)


def read_kit(folder: Path) -> tuple[ExportedWeights, ...]:
    """The entries of a folder's `kit.json`; none without that file. Raises WeightsError if it is damaged."""
    path = folder / "kit.json"
    if not path.is_file():
        return ()
    if path.stat().st_size > _MOST_KIT_BYTES:
        raise WeightsError(f"{path} is larger than {_MOST_KIT_BYTES:,} bytes, which no kit is; {_REPAIR}")
    try:
        kit = Kit.model_validate_json(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, ValidationError) as error:
        raise WeightsError(f"cannot read {path}: {str(error).splitlines()[0]}; {_REPAIR}") from error
    if kit.schema_ != SCHEMA or any(Path(entry.file).name != entry.file for entry in kit.files):
        raise WeightsError(f"{path} is of another version, or names files outside its folder; {_REPAIR}")
    return kit.files


def find_imported(network: str) -> tuple[Path, ExportedWeights] | None:
    """The imported weight file of a network and its entry; None if none was imported."""
    imported = imported_weights_dir()
    for entry in read_kit(imported):
        if entry.network == network and (imported / entry.file).is_file():
            return imported / entry.file, entry
    return None


def export_weights(
    folder: Path, files: Sequence[tuple[Path, ExportedWeights]], on_file: OnFile
) -> tuple[ExportedWeights, ...]:
    """Copy weight files into a folder and write its `kit.json`. Files exported into it before stay.

    Args:
        folder: The folder to write; it is made if it does not exist.
        files: Each file and its entry, from `describe_for_export`.
        on_file: Called before each file with (name, files done, files in all).

    Returns:
        The entries of the files of other networks that were exported into the folder before.

    Raises:
        OutputError: The folder cannot be written.
        WeightsError: It has a `kit.json` that is damaged.
    """
    read_kit(folder)  # before anything is copied
    with waiting_for(folder):
        for done, (path, entry) in enumerate(files):
            on_file(entry.file, done, len(files))
            _copy(path, folder / entry.file)
        return _add(folder, [entry for _, entry in files])


def import_weights(folder: Path, on_file: OnFile) -> tuple[ExportedWeights, ...]:
    """Check an exported folder and copy its files into `imported_weights_dir()`. Files imported before stay.

    All hashes are checked before the first file is copied.

    Args:
        folder: A folder that `export_weights` wrote.
        on_file: Called with (what is being done with which file, steps done, steps in all): two steps for a file.

    Returns:
        The entries of the imported files.

    Raises:
        WeightsError: The folder has no `kit.json`, a file is missing, or a hash differs.
    """
    entries = read_kit(folder)
    if not entries:
        raise WeightsError(f"{folder} holds no kit.json with files in it; write one with `bakeoff weights export`")
    for done, entry in enumerate(entries):
        on_file(f"checking {entry.file}", done, 2 * len(entries))
        path = folder / entry.file
        if not path.is_file():
            raise WeightsError(f"{path} is missing; copy the exported folder again")
        if hash_file(path) != entry.sha256:
            raise WeightsError(f"{path} is damaged: its SHA-256 differs from kit.json; copy the exported folder again")
    imported = imported_weights_dir()
    with waiting_for(imported):
        for done, entry in enumerate(entries, len(entries)):
            on_file(f"copying {entry.file}", done, 2 * len(entries))
            if entry.origin == PRESET:
                unpack_preset(folder / entry.file, entry.network)
            else:
                _copy(folder / entry.file, imported / entry.file)
        # An unpacked preset is found by its name.
        _add(imported, [entry for entry in entries if entry.origin != PRESET])
    return entries


def _copy(source: Path, target: Path) -> None:
    with replacing(target) as temporary:
        shutil.copyfile(source, temporary)


def _add(folder: Path, entries: Sequence[ExportedWeights]) -> tuple[ExportedWeights, ...]:
    """Add entries to a folder's `kit.json`; those of other networks stay whose files are there, and are returned."""
    make_dir(folder)
    networks = {entry.network for entry in entries}
    before = tuple(
        entry for entry in read_kit(folder) if entry.network not in networks and (folder / entry.file).is_file()
    )
    kit = Kit(files=tuple(sorted((*before, *entries), key=lambda entry: entry.network)))
    write_text(folder / "kit.json", kit.model_dump_json(indent=2, by_alias=True) + "\n")
    return before
