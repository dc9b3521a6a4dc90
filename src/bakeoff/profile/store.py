"""Profiles in the cache: one file for each device, read and written whole."""

import functools
import logging
from collections.abc import Callable
from pathlib import Path

from pydantic import ValidationError

from bakeoff.cache import mark_used
from bakeoff.files import cache_dir, make_dir, read_json, write_json
from bakeoff.locks import waiting_for
from bakeoff.networks.find import is_known
from bakeoff.profile.device import find_device
from bakeoff.profile.facts import Finish, Observation, Profile, Variant

__all__ = ["add_finish", "add_observation", "keep_variant", "read_profile"]

_log = logging.getLogger("bakeoff")


def read_profile() -> Profile:
    """The profile of this device; an empty one if nothing was measured yet, or if its file is damaged.

    What was measured of networks that this version does not have stays in the file and is left out here.
    """
    profile = _read()
    measured = {each.network for each in profile.observations} | {each.network for each in profile.finishes}
    known = {name for name in measured if is_known(name)}
    if known == measured:
        return profile
    # Networks of the user's own are known where their modules are.
    if gone := sorted(name for name in measured - known if ":" not in name):
        _note_unknown(_path(profile.device.key), tuple(gone))
    return profile.model_copy(
        update={
            "observations": tuple(each for each in profile.observations if each.network in known),
            "finishes": tuple(each for each in profile.finishes if each.network in known),
        }
    )


def add_observation(observation: Observation) -> None:
    """Add a run's measurements to the profile of this device. Raises OutputError if the cache cannot be written."""
    _update(lambda profile: profile.with_observation(observation))


def add_finish(finish: Finish) -> None:
    """Add what followed a study's last run. Raises OutputError if the cache cannot be written."""
    _update(lambda profile: profile.with_finish(finish))


def keep_variant(variant: Variant) -> None:
    """Keep the fastest variant of a training step. Raises OutputError if the cache cannot be written."""
    _update(lambda profile: profile.model_copy(update={"variant": variant}))


def _update(change: Callable[[Profile], Profile]) -> None:
    folder = make_dir(cache_dir() / "profiles")
    with waiting_for(folder):  # studies may run side by side
        profile = change(_read())
        write_json(_path(profile.device.key), profile.model_dump(mode="json"))


def _read() -> Profile:
    """The profile as it is in the cache."""
    device = find_device()
    path = _path(device.key)
    mark_used(path)
    if not path.is_file():
        return Profile(device=device)
    try:
        return Profile.model_validate(read_json(path))
    except (OSError, ValueError, ValidationError):
        _log.warning("%s is damaged, so paces are measured anew", path)
        return Profile(device=device)


@functools.cache  # a study reads its profile often
def _note_unknown(path: Path, networks: tuple[str, ...]) -> None:
    names = ", ".join(networks)
    _log.warning("%s has measurements of %s: not in this version, so they are left out", path, names)


def _path(key: str) -> Path:
    return cache_dir() / "profiles" / f"{key}.json"
