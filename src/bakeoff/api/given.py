"""Images and labels that Python users give as objects: a DataFrame, or two arrays."""

import os
from typing import TYPE_CHECKING, Any, TypeAlias

from bakeoff.errors import ConfigError

if TYPE_CHECKING:
    from pandas import DataFrame

    from bakeoff.data.sources.table import Table

__all__ = ["DataLike", "is_frame", "keep_given", "name_given"]

DataLike: TypeAlias = "str | os.PathLike[str] | DataFrame | tuple[Any, Any]"
"""A name or path; a table with a row for each image; or images and their labels."""


def keep_given(data: Any) -> str | None:
    """Keep a DataFrame, or images and labels, in the cache.

    Returns:
        Their address, which stands where other data have a path; None if `data` is neither.

    Raises:
        DataError: The table or the arrays cannot be used.
        OutputError: The cache cannot be written.
    """
    # Loaded only here, so that the command line starts quickly.
    if is_frame(data):
        from bakeoff.data.sources.given import keep_table

        return keep_table(_read_frame(data))
    if isinstance(data, tuple):
        from bakeoff.data.sources.arrays import keep_arrays

        if len(data) != 2:
            raise ConfigError(f"data is a tuple of {len(data)}; give (images, labels)")
        return keep_arrays(*data)
    return None


def name_given(data: Any) -> str | None:
    """How a call with such data is written in Python; None if `data` is something else."""
    if is_frame(data):
        return "frame"
    return "(images, labels)" if isinstance(data, tuple) else None


def is_frame(data: Any) -> bool:
    """Whether something is a pandas DataFrame; pandas is not loaded for that."""
    kind = type(data)
    return kind.__name__ == "DataFrame" and kind.__module__.partition(".")[0] == "pandas"


def _read_frame(frame: "DataFrame") -> "Table":
    from bakeoff.data.sources.table import make_table

    # An index of names holds the images or something else that is worth a column; mere numbers of rows do not.
    names = [name for name in frame.index.names if name is not None]
    if not set(names) & set(frame.columns) and (names or frame.index.dtype.kind not in "iuf"):
        frame = frame.reset_index()
    cells = frame.astype(object).where(frame.notna(), None)
    return make_table(f"DataFrame of {len(frame)} rows", list(frame.columns), cells.itertuples(index=False, name=None))
