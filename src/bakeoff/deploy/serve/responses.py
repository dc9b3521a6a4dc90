"""The JSON responses. The names of these classes are part of openapi.json."""

from collections.abc import Mapping

from pydantic import BaseModel
from starlette.responses import JSONResponse

from bakeoff.deploy.bundle import Bundle, BundleFacts, Floats

__all__ = ["Health", "ImageAnswer", "ModelAnswer", "NamedClass", "Problem", "refuse", "to_answer"]


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
    unsure: bool | None = None
    """Whether the first probability is below the least confidence; None if there is none, or no answer."""


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
    min_confidence: float | None = None
    """Answers of a lower probability are marked as unsure; None: no answer is."""


def to_answer(name: str, bundle: Bundle, probabilities: Floats, top: int) -> ImageAnswer:
    """Convert the probabilities (classes,) of one image for a response with its `top` most probable classes."""
    classes = [NamedClass(**score._asdict()) for score in bundle.top_classes(probabilities, top)]
    return ImageAnswer(name=name, top=classes, unsure=bundle.is_unsure(probabilities))


def refuse(status: int, detail: str, headers: Mapping[str, str] | None = None) -> JSONResponse:
    """A response that says why a request is rejected, and closes its connection.

    Args:
        status: The status.
        detail: The reason.
        headers: Further headers.
    """
    return JSONResponse({"detail": detail}, status, {"Connection": "close"} | dict(headers or {}))
