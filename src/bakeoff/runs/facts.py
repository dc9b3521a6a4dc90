"""The base of everything that is written to a JSON file and read back."""

from pydantic import BaseModel, ConfigDict

__all__ = ["Facts"]


class Facts(BaseModel):
    """A frozen part of a file that bakeoff writes: unknown fields, NaN and infinity are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
