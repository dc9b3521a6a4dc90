"""A preset as one file, for other machines: an archive of its own files, without any other."""

import shutil
import tarfile
from pathlib import Path

from bakeoff.cache import mark_used
from bakeoff.errors import WeightsError
from bakeoff.files import cache_dir, explained_errors, replacing, write_json
from bakeoff.locks import replacing_folder, waiting_for
from bakeoff.networks.hub.files import KEPT_FILES, PresetFiles, hash_files, read_files
from bakeoff.networks.hub.places import LABEL, find_folder, kept_folder, read_label

__all__ = ["hash_preset", "pack_preset", "unpack_preset"]


def hash_preset(name: str) -> str:
    """SHA-256 of the configuration and the weights of a preset on this machine.

    Raises WeightsError if it is not here, is damaged, or is not the one that was imported or downloaded.
    """
    files = _find(name)
    digest = hash_files(files)
    label = read_label(files.folder)
    if label and label[1] != digest:
        raise WeightsError(f"{files.folder} is damaged: its SHA-256 is not that of the import; import it again")
    return digest


def pack_preset(name: str) -> Path:
    """Pack a preset of this machine into one file in the cache, the same file each time.

    Raises WeightsError if the preset is not on this machine, or is damaged.
    """
    files = _find(name)
    packed = cache_dir() / "presets" / f"{kept_folder(name).name}-{hash_files(files)[:12]}.tar"
    mark_used(packed)
    if packed.is_file():
        return packed
    kept = {path.name: path for path in files.weights}
    kept |= {title: files.folder / title for title in KEPT_FILES if (files.folder / title).is_file()}
    with replacing(packed) as temporary, tarfile.open(temporary, "w") as archive:
        for title, path in sorted(kept.items()):
            # Neither times nor owners, so that the same preset is the same file.
            entry = tarfile.TarInfo(title)
            entry.size = path.stat().st_size
            with path.open("rb") as file:
                archive.addfile(entry, file)
    return packed


def unpack_preset(packed: Path, name: str) -> Path:
    """Unpack a preset into the folder where `find_folder(name)` looks first. One that is there stays until then.

    Args:
        packed: From `pack_preset`.
        name: The preset.

    Returns:
        Its folder.

    Raises:
        WeightsError: The file is damaged, or holds anything else.
    """
    target = kept_folder(name)
    with waiting_for(target.parent), replacing_folder(target) as whole, explained_errors(target):
        try:
            with tarfile.open(packed, "r:") as archive:
                for entry in archive:
                    # Nothing of an archive decides where a file goes.
                    if not entry.isfile() or Path(entry.name).name != entry.name or entry.name.startswith("."):
                        raise WeightsError(f"{packed} is no packed preset: it holds {entry.name!r}")
                    source = archive.extractfile(entry)
                    assert source is not None
                    with source, (whole / entry.name).open("wb") as file:
                        shutil.copyfileobj(source, file)
        except (tarfile.TarError, EOFError) as error:
            raise WeightsError(f"{packed} is damaged ({error}); export it again") from error
        digest = hash_files(read_files(name, whole))
        write_json(whole / LABEL, {"name": name, "sha256": digest})
    return target


def _find(name: str) -> PresetFiles:
    folder = find_folder(name)
    if folder is None:
        raise WeightsError(f"{name} is not on this machine; download or import it first")
    return read_files(name, folder)
