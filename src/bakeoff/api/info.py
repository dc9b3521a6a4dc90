"""info: what bakeoff runs on, for a report of a fault."""

import importlib.util
import os
import platform
import shutil
from collections import Counter

from bakeoff.cache import list_entries
from bakeoff.files import cache_dir
from bakeoff.machine import free_memory, own_settings
from bakeoff.networks.table import TABLE
from bakeoff.networks.weights import is_available_locally
from bakeoff.profile import find_device
from bakeoff.runs.facts import Facts
from bakeoff.runs.versions import find_versions
from bakeoff.variables import VARIABLES

__all__ = ["Info", "info"]

# What each extra is for, by a module that it installs.
_EXTRAS = {
    "onnx": "onnxruntime",
    "litert": "ai_edge_litert",
    "export": "tf2onnx",
    "serve": "fastapi",
    "ray": "ray",
    "heic": "pillow_heif",
    "parquet": "pyarrow",
    "hub": "keras_hub",
    "notebook": "pandas",
}


class Info(Facts):
    """What bakeoff runs on. Nothing in it names a person, a host, a folder or data."""

    versions: dict[str, str]
    """Of bakeoff (`code`: 12 digits of a hash of its source), Python, TensorFlow, Keras, NumPy; `none`: not there."""
    system: str
    """Operating system, its version, and the kind of processor."""
    cpu: str
    """Name of the processor, with its instruction sets."""
    cores: int
    """CPU cores that this process may use."""
    gpus: tuple[str, ...]
    """Names of the GPUs."""
    memory_bytes: int
    """Memory of the machine."""
    free_memory_bytes: int
    """Memory that this process could still get."""
    free_disk_bytes: int
    """Space that is left where the cache is."""
    cache_bytes: dict[str, int]
    """Size of the cache by kind."""
    extras: tuple[str, ...]
    """Optional parts that are installed."""
    weights_at_hand: tuple[str, ...]
    """Networks whose pretrained weights are on this machine."""
    settings: dict[str, str]
    """Environment variables that change what bakeoff, TensorFlow or the math libraries do, without those that bakeoff
    sets itself; of a folder only that it is set."""


def info() -> Info:
    """Describe the installation and the machine, without importing TensorFlow.

    Returns:
        Versions, hardware, free space, the size of the cache, and what is at hand.
    """
    device, folder = find_device(), cache_dir()
    sizes: Counter[str] = Counter()
    for entry in list_entries():
        sizes[entry.kind] += entry.bytes
    while not folder.exists():
        folder = folder.parent
    return Info(
        versions=find_versions(),
        system=f"{platform.system()} {platform.release()} {platform.machine()}",
        cpu=device.cpu,
        cores=device.cores,
        gpus=device.gpus,
        memory_bytes=os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"),
        free_memory_bytes=free_memory(),
        free_disk_bytes=shutil.disk_usage(folder).free,
        cache_bytes=dict(sizes),
        extras=tuple(name for name, module in _EXTRAS.items() if importlib.util.find_spec(module)),
        weights_at_hand=tuple(spec.name for spec in TABLE if not spec.from_scratch and is_available_locally(spec)),
        settings=_read_settings(),
    )


def _read_settings() -> dict[str, str]:
    known = {variable.name for variable in VARIABLES}
    prefixes = ("BAKEOFF_", "TF_", "OMP_", "OPENBLAS_", "MKL_", "CUDA_", "KERAS_", "XLA_")
    found = {name: value for name, value in sorted(os.environ.items()) if name in known or name.startswith(prefixes)}
    for name, own in own_settings().items():
        if found.get(name) == own:
            del found[name]
    # A number or a switch says nothing of a person; a path or a token may.
    return {
        name: value if value.isdigit() or value in ("", "true", "false") else "set" for name, value in found.items()
    }
