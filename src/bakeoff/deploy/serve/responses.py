"""The JSON responses. The names of these classes are part of openapi.json."""

from pydantic import BaseModel

from bakeoff.deploy.bundle import BundleFacts, ClassScore

__all__ = ["Health", "ImageAnswer", "ModelAnswer", "NamedClass", "Problem", "to_response"]


class NamedClass(BaseModel):
    """A class, its probability, and its superclass if there are any."""

    label: str
    probability: float
    superclass: str | None = None


class ImageAnswer(BaseModel):
    """The prediction for an image: its classes, most probable first, or why it cannot be read."""

    name: str
    top: list[NamedClass]
    error: str | None = None


class Problem(BaseModel):
    """Why a request was rejected."""

    detail: str


class Health(BaseModel):
    """Whether the server accepts requests."""

    status: str


class ModelAnswer(BaseModel):
    """The model: the facts of its bundle, its classes, and its model card as Markdown."""

    bundle: BundleFacts
    classes: tuple[str, ...]
    card: str
    report: bool
    """Whether the study's report is at /report."""


def to_response(classes: list[ClassScore]) -> list[NamedClass]:
    """Convert predicted classes for a response."""
    return [NamedClass(**score._asdict()) for score in classes]
