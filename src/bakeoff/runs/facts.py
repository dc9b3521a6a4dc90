"""The base class of everything that is written to a JSON file and read back, and of configs."""

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import ErrorDetails

__all__ = ["Facts", "name_field", "name_first"]


class Facts(BaseModel):
    """An immutable part of a JSON file. Unknown fields are errors, and so are NaN and infinity, which JSON lacks."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


def name_first(error: ValidationError) -> str:
    """The first of the fields that were wrong, and what was wrong with it, on one line."""
    return name_field(error.errors()[0])


def name_field(wrong: ErrorDetails) -> str:
    """A field that was wrong, and what was wrong with it, on one line."""
    return f"{'.'.join(map(str, wrong['loc']))}: {wrong['msg']}"
