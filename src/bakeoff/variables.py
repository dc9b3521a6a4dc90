"""The environment variables that bakeoff reads or sets: the one list of them.

CACHE_DIR.read()                  its text, empty where it is not set
CACHE_BYTES.read_number(20e9)     its number

Messages, `bakeoff info` and the documentation take their names and words from here.
"""

import math
import os
from dataclasses import dataclass

from bakeoff.errors import ConfigError

__all__ = ["VARIABLES", "Variable"]


@dataclass(frozen=True)
class Variable:
    """An environment variable. A value that is empty counts as none."""

    name: str
    about: str
    """What it does, in a sentence or two."""
    default: str
    """What holds without it, in words."""
    owner: str = "bakeoff"
    """Whose it is."""
    unit: str = ""
    """What its number counts; empty if its value is text."""

    def read(self) -> str:
        """Its text; empty where it is not set."""
        return os.environ.get(self.name, "")

    def read_number(self, otherwise: float) -> float:
        """Its number, at least 0; `otherwise` where it is not set. Raises ConfigError for a value that is none."""
        text = self.read()
        try:
            number = float(text or otherwise)
        except ValueError:
            number = math.nan
        if not 0 <= number < math.inf:
            raise ConfigError(
                f"{self.name} is {text!r}; give a number of {self.unit}, at least 0, as in 30, 4000000000 or 20e9"
            )
        return number

    @property
    def is_on(self) -> bool:
        """Whether it is set, and to something else than a word for no."""
        return self.read().lower() not in ("", "0", "false", "no", "off")


DATA_DIR = Variable(
    "BAKEOFF_DATA_DIR", "Folder in which the archives of CIFAR are searched, after `--data-dir`.", "the cache alone"
)
CACHE_DIR = Variable(
    "BAKEOFF_CACHE_DIR",
    "Folder of what can be made again: shards, decoded images, features, downloads, measurements of this machine.",
    "the platform's cache folder, as in `~/.cache/bakeoff`",
)
CACHE_BYTES = Variable(
    "BAKEOFF_CACHE_BYTES",
    "Size above which a study that starts deletes what has been unused longest.",
    "20 GB",
    unit="bytes",
)
WEIGHTS_DIR = Variable(
    "BAKEOFF_WEIGHTS_DIR",
    "Folder of weights that `bakeoff weights import` has copied.",
    "`weights` in the platform's data folder, as in `~/.local/share/bakeoff`",
)
OFFLINE = Variable("BAKEOFF_OFFLINE", "`1`: download nothing, as with `--offline`.", "downloads as far as needed")
MEMORY_LIMIT_BYTES = Variable(
    "BAKEOFF_MEMORY_LIMIT_BYTES",
    "Size of a split's decoded images above which they are read from disk, batch by batch.",
    "1 GiB",
    unit="bytes",
)
RUN_MEMORY_BYTES = Variable(
    "BAKEOFF_RUN_MEMORY_BYTES",
    "Memory that a run may take: a batch whose predicted peak exceeds it is divided.",
    "the memory that is free, divided among runs side by side",
    unit="bytes",
)
CHECKPOINT_SECONDS = Variable(
    "BAKEOFF_CHECKPOINT_SECONDS",
    "Least time between two checkpoints of a run; 0: one after each step.",
    "30",
    unit="seconds",
)
TOKEN = Variable("BAKEOFF_TOKEN", "Token that requests to `bakeoff serve` must have, as with `--token`.", "none")
LOGICAL_CPUS = Variable(
    "BAKEOFF_LOGICAL_CPUS",
    "For tests: divides the CPU into so many devices, among which each batch is divided.",
    "one device",
    unit="devices",
)

KERAS_HOME = Variable(
    "KERAS_HOME", "Folder in which Keras keeps downloaded weights, in `models`.", "`~/.keras`", owner="Keras"
)
XDG_CACHE_HOME = Variable(
    "XDG_CACHE_HOME",
    "Folder of the cache of Hugging Face, and on Linux of bakeoff's, where their own variables are not set.",
    "`~/.cache`",
    owner="XDG",
)
HF_HOME = Variable(
    "HF_HOME",
    "Folder of Hugging Face, with the cache of its presets in `hub`.",
    "`huggingface` in `XDG_CACHE_HOME`",
    owner="Hugging Face",
)
HF_HUB_CACHE = Variable("HF_HUB_CACHE", "Folder of that cache alone.", "`hub` in `HF_HOME`", owner="Hugging Face")
HUGGINGFACE_HUB_CACHE = Variable(
    "HUGGINGFACE_HUB_CACHE", "Earlier name of `HF_HUB_CACHE`, which comes first.", "the same", owner="Hugging Face"
)
HF_HUB_OFFLINE = Variable(
    "HF_HUB_OFFLINE",
    "`1`: download no presets from Hugging Face. `--offline` sets it.",
    "downloads as far as needed",
    owner="Hugging Face",
)
KAGGLEHUB_CACHE = Variable(
    "KAGGLEHUB_CACHE", "Folder of the cache of Kaggle's presets.", "`~/.cache/kagglehub`", owner="Kaggle"
)
PROXY = Variable(
    "https_proxy", "Proxy for downloads; `http_proxy` and `no_proxy` count, too.", "no proxy", owner="Python"
)
PYTHONSAFEPATH = Variable(
    "PYTHONSAFEPATH",
    "Look for networks of your own on the path of Python alone.",
    "in the current folder first",
    owner="Python",
)
CUDA_VISIBLE_DEVICES = Variable(
    "CUDA_VISIBLE_DEVICES", "GPUs that may be used, by number; `-1`: none.", "all", owner="CUDA"
)
SLURM_CPUS_PER_TASK = Variable(
    "SLURM_CPUS_PER_TASK",
    "Cores of a task, by Slurm. It counts where Slurm does not bind the job to its cores.",
    "the cores that this process may use",
    owner="Slurm",
)
SLURM_CPUS_ON_NODE = Variable(
    "SLURM_CPUS_ON_NODE", "The same of the whole job on this node.", "the same", owner="Slurm"
)
FORWARDED_ALLOW_IPS = Variable(
    "FORWARDED_ALLOW_IPS",
    "Addresses of proxies that `bakeoff serve` believes, without `--trust-proxy`.",
    "127.0.0.1",
    owner="uvicorn",
)
TF_NUM_INTRAOP_THREADS = Variable(
    "TF_NUM_INTRAOP_THREADS",
    "Threads of one operation of TensorFlow. With `1`, bakeoff leaves oneDNN off: it can crash then.",
    "set by bakeoff for runs side by side, and where a process may use one core, or fewer than it sees",
    owner="TensorFlow",
)
TF_NUM_INTEROP_THREADS = Variable(
    "TF_NUM_INTEROP_THREADS", "Operations of TensorFlow at once.", "the same", owner="TensorFlow"
)
OMP_NUM_THREADS = Variable("OMP_NUM_THREADS", "Threads of libraries with OpenMP.", "the same", owner="OpenMP")
OPENBLAS_NUM_THREADS = Variable(
    "OPENBLAS_NUM_THREADS", "Threads of the library under NumPy.", "the same", owner="OpenBLAS"
)
TF_ENABLE_ONEDNN_OPTS = Variable(
    "TF_ENABLE_ONEDNN_OPTS",
    "`0`: the kernels of TensorFlow instead of those of oneDNN, in the processes that train.",
    "set to 1 by bakeoff",
    owner="TensorFlow",
)
TF_CPP_MIN_LOG_LEVEL = Variable(
    "TF_CPP_MIN_LOG_LEVEL",
    "How much TensorFlow prints: 0 everything, 3 nothing.",
    "set to 2 by bakeoff",
    owner="TensorFlow",
)
KERAS_BACKEND = Variable(
    "KERAS_BACKEND", "Backend of Keras. bakeoff needs TensorFlow, whatever is set.", "set to tensorflow", owner="Keras"
)
ORT_DISABLE_TELEMETRY = Variable(
    "ORT_DISABLE_TELEMETRY",
    "`1`: ONNX Runtime reports nothing to its maker.",
    "set to 1 by bakeoff",
    owner="ONNX Runtime",
)
RAY_USAGE_STATS_ENABLED = Variable(
    "RAY_USAGE_STATS_ENABLED", "`0`: Ray reports nothing to its maker.", "set to 0 by bakeoff", owner="Ray"
)

VARIABLES = tuple(value for value in list(globals().values()) if isinstance(value, Variable))
"""All of them, in the order of the documentation."""
