"""Which network should I fine-tune for these images, how, and at what cost?

results = bakeoff.run("photos/", budget="30m")
results = bakeoff.load("bakeoff-photos")

Functions, each named as the verb of the command line that it is: run, screen, compare, tune, train, evaluate, export,
predict, check, verify, models, info; check_network, which is `bakeoff models --check`; and load. `help(bakeoff.run)`
describes one. Errors are exceptions of `bakeoff.errors`. Progress is drawn unless `progress=False`; notes go to the
logger `bakeoff`.
"""

import importlib
import logging
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bakeoff.api.audits import CheckResult, check, verify
    from bakeoff.api.bundles import ExportedBundle, export, predict
    from bakeoff.api.comparisons import compare
    from bakeoff.api.info import Info, info
    from bakeoff.api.networks import ContractCheck, check_network, models
    from bakeoff.api.progress import ProgressEvent
    from bakeoff.api.results import Results, load
    from bakeoff.api.runs import evaluate, train
    from bakeoff.api.studies import run, screen
    from bakeoff.api.tuning import tune

__all__ = [
    "CheckResult",
    "ContractCheck",
    "ExportedBundle",
    "Info",
    "ProgressEvent",
    "Results",
    "__version__",
    "check",
    "check_network",
    "compare",
    "evaluate",
    "export",
    "info",
    "load",
    "models",
    "predict",
    "run",
    "screen",
    "train",
    "tune",
    "verify",
]

__version__ = "0.1.0"

# Without a handler of the program that imports bakeoff, nothing that is logged is shown.
logging.getLogger("bakeoff").addHandler(logging.NullHandler())

_MODULES = {
    "api.audits": ("CheckResult", "check", "verify"),
    "api.bundles": ("ExportedBundle", "export", "predict"),
    "api.info": ("Info", "info"),
    "api.networks": ("ContractCheck", "check_network", "models"),
    "api.progress": ("ProgressEvent",),
    "api.results": ("Results", "load"),
    "api.runs": ("evaluate", "train"),
    "api.comparisons": ("compare",),
    "api.studies": ("run", "screen"),
    "api.tuning": ("tune",),
}


def __getattr__(name: str) -> Any:
    # On demand, so that importing bakeoff costs nothing.
    for module, names in _MODULES.items():
        if name in names:
            globals()[name] = value = getattr(importlib.import_module(f"bakeoff.{module}"), name)
            return value
    raise AttributeError(f"module 'bakeoff' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
