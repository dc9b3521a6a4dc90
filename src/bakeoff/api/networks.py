"""The networks that can be candidates: models."""

from bakeoff.api.arguments import Names, read_flag, read_names, read_optional_count
from bakeoff.api.plain import plain_arguments
from bakeoff.profile import ListedNetwork, list_networks, read_profile
from bakeoff.study.fields import FIELDS

__all__ = ["models"]


@plain_arguments
def models(
    *, family: Names | None = None, at_hand: bool = False, max_params: str | int | None = None
) -> list[ListedNetwork]:
    """List the networks, as `bakeoff models` does: facts, where their weights are, and the pace on this machine.

    Args:
        family: Only networks of this family, or of several: "mobilenet,resnet" or a list.
        at_hand: Only networks that can be candidates without a download: their weights are on this machine, or they
            are trained from scratch.
        max_params: Only networks of at most so many parameters, with a head of 100 classes: 10_000_000 or "10M".

    Returns:
        A ListedNetwork for each, in the order of the table.

    Raises:
        ConfigError: There is no such family, or a value is invalid.
    """
    return list_networks(
        read_profile(),
        families=read_names("family", family),
        at_hand=read_flag("at_hand", at_hand),
        max_params=read_optional_count("max_params", max_params),
        fields={name: field.networks for name, field in FIELDS.items()},
    )
