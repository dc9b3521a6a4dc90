"""Which network should I fine-tune for these images, how, and at what cost?

results = bakeoff.run("photos/", budget="30m")
results = bakeoff.load("bakeoff-photos")
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bakeoff.api import Results, load, run

__all__ = ["Results", "__version__", "load", "run"]

__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    # On demand, so that importing bakeoff costs nothing.
    if name in __all__:
        from bakeoff import api

        return getattr(api, name)
    raise AttributeError(f"module 'bakeoff' has no attribute {name!r}")
