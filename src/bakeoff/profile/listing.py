"""The networks that can be candidates, with what this machine knows of each: its weights and its pace."""

from collections.abc import Collection, Mapping

from bakeoff.errors import ConfigError, suggest
from bakeoff.networks.backbone import Backbone, Scaling
from bakeoff.networks.find import list_offered, list_presets
from bakeoff.networks.plugin import Entry
from bakeoff.networks.table import TABLE
from bakeoff.networks.weights import local_weights_origin
from bakeoff.profile.facts import Profile
from bakeoff.runs.config import Mode
from bakeoff.runs.facts import Facts

__all__ = ["ListedNetwork", "Pace", "list_networks"]


class Pace(Facts):
    """The newest pace of a network that was measured on this machine."""

    images_per_second: float
    """Images per second."""
    mode: Mode
    """FIT: in training. PROBE: forward through the frozen network, where no training was measured."""
    size: int
    """Side of the input in pixels."""
    threads: int
    """CPU threads that the run had."""


class ListedNetwork(Facts):
    """One network: its facts, and what this machine knows of it."""

    name: str
    """Name, as `--candidates` takes it."""
    family: str
    """The family that it is of."""
    params_total: int | None
    """With a head of 100 classes. This and other facts of a network that an installed package offers are None until it
    was used: listing it imports nothing."""
    min_size: int | None
    """Smallest side of the input in pixels."""
    native_size: int | None
    """Side of the input that it was designed for."""
    size_step: int | None
    """The side of the input is a multiple of so many pixels."""
    input_scaling: str | None
    """The range that it was trained on: `unit`, `symmetric`, `torch`, `caffe`, `none` (0 to 255), or `affine`."""
    imagenet_top1: float | None
    """Published accuracy on ImageNet in percent; None without such weights."""
    licence: str | None
    """Licence of the pretrained weights."""
    weights: tuple[str, ...]
    """Where pretrained weights can come from: `package`, `hub`, `preset`, `file` (the network's own); `none` if the
    network is trained from scratch."""
    weights_at_hand: bool | None
    """Whether it can be a candidate without a download."""
    weights_here: str | None
    """Where its weights are on this machine: `package`, `kit` (imported), `download` or `preset`; None if they are
    not."""
    download_bytes: int | None
    """Size of the file that is downloaded if the weights are not at hand."""
    multiply_adds: int | None
    """For one image at the native size, without the head."""
    pace: Pace | None
    """None if nothing was measured on this machine."""
    fields: tuple[str, ...] = ()
    """The named fields of candidates that it is in."""
    offered_by: str | None = None
    """Name and version of the installed package that offers it; None for a network of bakeoff's own."""


def list_networks(
    profile: Profile,
    *,
    families: Collection[str] = (),
    at_hand: bool = False,
    max_params: int | None = None,
    fields: Mapping[str, Collection[str]] | None = None,
) -> list[ListedNetwork]:
    """The networks of the table, in its order, those that installed packages offer, and the presets on this machine.

    Args:
        profile: What was measured on this machine.
        families: Only networks of these families; all if empty.
        at_hand: Only networks that can be candidates without a download.
        max_params: Only networks of at most so many parameters, with a head of 100 classes.
        fields: The names of the networks in each named field.

    Raises:
        ConfigError: There is no such family.
    """
    offered = [_describe_offered(profile, entry, spec) for entry, spec in list_offered()]
    presets = [_describe(profile, spec, {}) for spec in list_presets()]
    further = (*offered, *presets)
    known = list(dict.fromkeys([*(spec.family for spec in TABLE), *(row.family for row in further if row.family)]))
    for family in families:
        if family not in known:
            hint = suggest(family, known, f"families are {', '.join(known)}")
            raise ConfigError(f"there is no family {family!r}; {hint}")
    return [
        row
        for row in (*(_describe(profile, spec, fields or {}) for spec in TABLE), *further)
        if (not families or row.family in families)
        and (max_params is None or (row.params_total is not None and row.params_total <= max_params))
        and (row.weights_at_hand or not at_hand)
    ]


def _describe_offered(profile: Profile, entry: Entry, spec: Backbone | None) -> ListedNetwork:
    if spec is not None:
        return _describe(profile, spec, {}).model_copy(update={"offered_by": entry.package})
    unknown: dict[str, None] = dict.fromkeys(
        name for name, field in ListedNetwork.model_fields.items() if field.is_required()
    )
    return ListedNetwork(**unknown | {"name": entry.name, "family": "", "weights": (), "offered_by": entry.package})


def _describe(profile: Profile, spec: Backbone, fields: Mapping[str, Collection[str]]) -> ListedNetwork:
    here = None if spec.from_scratch else local_weights_origin(spec)
    return ListedNetwork(
        name=spec.name,
        family=spec.family,
        params_total=spec.params_total,
        min_size=spec.min_size,
        native_size=spec.native_size,
        size_step=spec.size_step,
        input_scaling=spec.scaling.value if isinstance(spec.scaling, Scaling) else "affine",
        imagenet_top1=spec.imagenet_top1,
        licence=spec.licence,
        weights=tuple(origin.value for origin in spec.weight_origins),
        weights_at_hand=spec.from_scratch or here is not None,
        weights_here=here,
        download_bytes=spec.download_bytes,
        multiply_adds=spec.multiply_adds,
        pace=_find_pace(profile, spec),
        fields=tuple(name for name, networks in fields.items() if spec.name in networks),
    )


def _find_pace(profile: Profile, spec: Backbone) -> Pace | None:
    seen = [each for each in profile.observations if each.network == spec.name and each.images_per_second > 0]
    # Of training if there is one, and of those the newest, which is the last.
    newest = max(enumerate(seen), key=lambda each: (each[1].mode is Mode.FIT, each[0]), default=None)
    if newest is None:
        return None
    each = newest[1]
    return Pace(images_per_second=each.images_per_second, mode=each.mode, size=each.size, threads=each.threads)
