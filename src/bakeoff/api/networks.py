"""The networks that can be candidates: models, check_network."""

from bakeoff.api.arguments import Names, Network, read_candidates, read_flag, read_names, read_optional_count
from bakeoff.api.plain import plain_arguments
from bakeoff.api.progress import ProgressOption, count_progress
from bakeoff.deploy.contract import ContractCheck
from bakeoff.errors import ConfigError
from bakeoff.launch import try_contract
from bakeoff.machine import tensorflow_settings
from bakeoff.profile import ListedNetwork, list_networks, read_profile
from bakeoff.runs.events import RunProgress
from bakeoff.study.fields import FIELDS
from bakeoff.study.provide import provide_networks

__all__ = ["ContractCheck", "check_network", "models"]


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
        A ListedNetwork for each, in the order of the table; presets that are on this machine come last.

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


@plain_arguments
@tensorflow_settings()
def check_network(network: Network, *, progress: ProgressOption = True) -> list[ContractCheck]:
    """Try on a network what every network must do, as `bakeoff models --check` does; takes about a minute.

    It is built at two sizes; its features are numbers, and the same for the same image; its input is scaled once; it
    learns, and what is frozen stays; a saved model opens again; its memory is about as predicted; it leaves in every
    format.

    Args:
        network: "module:NETWORK", the Backbone itself, or a name of the table.
        progress: True draws a bar on standard error, False is silent, a function is called with a ProgressEvent.

    Returns:
        What came of each check. `passed` is None where a format could not be tried.

    Raises:
        ConfigError: The network cannot be imported, or its builder returns something else.
        InputError: It cannot be used.
    """
    wanted = read_candidates("network", network)
    if len(wanted) != 1 or wanted[0].size is not None:
        raise ConfigError(f"network={network!r}: name one network, without a size")
    (candidate,) = wanted
    with count_progress(progress) as on_count:
        provide_networks([candidate.name], on_count)

        def count(event: RunProgress) -> None:
            on_count(f"checking {candidate.name}: {event.doing}", round(1000 * event.fraction), 1000)

        return try_contract(candidate.name, count)
