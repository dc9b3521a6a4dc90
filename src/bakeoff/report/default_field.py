"""The default field in words: which networks take part and why, which do not and why."""

from collections.abc import Iterator

from pydantic import ValidationError

from bakeoff.report.board import format_bytes
from bakeoff.runs.default_field import DefaultField, Entrant
from bakeoff.runs.facts import name_first
from bakeoff.runs.study_file import AnyStudy
from bakeoff.text import name_some

__all__ = ["describe_absent", "describe_entrants", "read_default_field"]

# Names of networks that do not take part, in one line.
SHOWN = 6


def read_default_field(study: AnyStudy) -> tuple[DefaultField | None, str]:
    """The default field of a study, and a sentence on why it cannot be shown, if another version wrote other fields.

    None and no sentence if its candidates were named, and for studies of older versions.
    """
    field = study.plan.get("field")
    if field is None:
        return None, ""
    try:
        return DefaultField.model_validate(field), ""
    except ValidationError as error:
        return None, (
            "How the candidates were chosen cannot be shown, because another version of bakeoff wrote it"
            f" (plan.field.{name_first(error)})."
        )


def describe_entrants(field: DefaultField) -> Iterator[tuple[str, str]]:
    """Each candidate that takes part, with the reason; those from scratch together."""
    for entrant in field.entrants:
        if not entrant.from_scratch:
            yield entrant.candidate, _say_why(entrant)
    if scratch := [entrant.candidate for entrant in field.entrants if entrant.from_scratch]:
        yield ", ".join(scratch), "from scratch, for comparison"


def describe_absent(field: DefaultField) -> Iterator[tuple[str, str]]:
    """Networks that do not take part, with the reason, in one line for each reason."""
    for absent in field.absent:
        yield name_some(absent.networks, SHOWN), absent.why


def _say_why(entrant: Entrant) -> str:
    if entrant.expected_error is None:
        return "its weights were given"
    accuracy = "" if entrant.imagenet_top1 is None else f"{entrant.imagenet_top1:.1f} % on ImageNet, "
    pace = f"{entrant.images_per_second:,.0f} images/s" if entrant.images_per_second >= 1 else "below 1 image/s"
    download = (
        f", {format_bytes(entrant.download_bytes)} to download" if entrant.download_bytes else ", on this machine"
    )
    return f"{accuracy}{pace}{download}"
