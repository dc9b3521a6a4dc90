"""The base class of everything that is written to a JSON file and read back, and of configs."""

from pydantic import BaseModel, ConfigDict

__all__ = ["Facts"]


class Facts(BaseModel):
    """An immutable part of a JSON file. Unknown fields are errors, and so are NaN and infinity, which JSON lacks."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
