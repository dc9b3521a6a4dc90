"""The shapes of what is answered."""

from pydantic import BaseModel

from bakeoff.deploy.bundle import BundleFacts, Named

__all__ = ["Health", "ImageAnswer", "ModelAnswer", "NamedClass", "Problem", "name_classes"]


class NamedClass(BaseModel):
    """A class, how probable it is, and the superclass it is of, if there are any."""

    label: str
    probability: float
    superclass: str | None = None


class ImageAnswer(BaseModel):
    """One image: its classes, likeliest first, or why there are none."""

    name: str
    top: list[NamedClass]
    error: str | None = None


class Problem(BaseModel):
    """Why a request was turned away."""

    detail: str


class Health(BaseModel):
    """Whether the server takes requests."""

    status: str


class ModelAnswer(BaseModel):
    """What the model is: the facts of its bundle, its classes, and its card as Markdown."""

    bundle: BundleFacts
    classes: tuple[str, ...]
    card: str
    report: bool
    """Whether there is a report at /report."""


def name_classes(named: list[Named]) -> list[NamedClass]:
    """Classes as they are answered."""
    return [NamedClass(label=one.label, probability=one.probability, superclass=one.superclass) for one in named]
