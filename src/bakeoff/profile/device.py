"""Which machine it is: what a measurement holds for. Found without importing TensorFlow."""

import importlib.util
import os
import platform
import re
from pathlib import Path

from bakeoff.files import hash_json
from bakeoff.machine import count_cores
from bakeoff.runs.facts import Facts
from bakeoff.runs.versions import find_library_versions
from bakeoff.text import counted
from bakeoff.variables import CUDA_VISIBLE_DEVICES

__all__ = ["Device", "find_device"]

# Instruction sets that decide which kernels are used; processors of one name may differ in them.
_INSTRUCTION_SETS = ("avx2", "avx512f", "avx512_bf16", "amx_bf16", "asimd", "sve")
_VERSIONS = ("python", "tensorflow", "keras")


class Device(Facts):
    """The hardware and the versions that figures of a profile were measured with."""

    cpu: str
    """Name and instruction sets of the processor."""
    cores: int
    """CPU cores that this process may use."""
    gpus: tuple[str, ...] = ()
    """Names of the GPUs that a process may use."""
    versions: dict[str, str] = {}

    @property
    def key(self) -> str:
        """16 hexadecimal digits that are the same for the same hardware and versions."""
        return hash_json(self.model_dump(mode="json"))[:16]

    def __str__(self) -> str:
        return ", ".join((*self.gpus, f"{self.cpu}, {counted(self.cores, 'core')}"))


def find_device(cpuinfo: Path = Path("/proc/cpuinfo"), gpu_folder: Path = Path("/proc/driver/nvidia/gpus")) -> Device:
    """The device of this process.

    Args:
        cpuinfo: Linux' description of the processors; where it is missing, the platform's name is used.
        gpu_folder: The folder in which NVIDIA's driver describes each GPU.
    """
    versions = find_library_versions()
    return Device(
        cpu=_describe_cpu(cpuinfo),
        cores=count_cores(),
        gpus=_find_gpus(gpu_folder),
        versions={name: versions[name] for name in _VERSIONS},
    )


def _describe_cpu(cpuinfo: Path) -> str:
    if not cpuinfo.is_file():
        return platform.processor() or platform.machine()
    text = cpuinfo.read_text(encoding="utf-8", errors="replace")
    name = re.search(r"^model name\s*:\s*(.+)$", text, re.MULTILINE)
    flags = re.search(r"^(?:flags|Features)\s*:\s*(.+)$", text, re.MULTILINE)
    has = set(flags.group(1).split()) if flags else set()
    sets = [each for each in _INSTRUCTION_SETS if each in has]
    return " ".join(filter(None, (name.group(1).strip() if name else platform.machine(), *sets)))


def _find_gpus(folder: Path) -> tuple[str, ...]:
    """The names of NVIDIA's GPUs; none if the user hides them from CUDA, or TensorFlow is built without it."""
    if os.environ.get(CUDA_VISIBLE_DEVICES.name) in ("", "-1") or not folder.is_dir() or not _is_built_for_gpus():
        return ()
    texts = (path.read_text(encoding="utf-8", errors="replace") for path in sorted(folder.glob("*/information")))
    return tuple(
        found.group(1).strip() for text in texts if (found := re.search(r"^Model:\s*(.+)$", text, re.MULTILINE))
    )


def _is_built_for_gpus() -> bool:
    """Whether the installed TensorFlow is a build with CUDA: the versions of the two builds are the same."""
    found = importlib.util.find_spec("tensorflow")
    if found is None or found.origin is None:
        return False
    facts = Path(found.origin).parent / "python" / "platform" / "build_info.py"
    return not facts.is_file() or "('is_cuda_build', False)" not in facts.read_text(encoding="utf-8")
