"""Profiles in the cache: one file for each device, read and written whole."""

import logging
from collections.abc import Callable
from pathlib import Path

from pydantic import ValidationError

from bakeoff.files import cache_dir, make_dir, read_json, write_json
from bakeoff.locks import waiting_for
from bakeoff.profile.device import find_device
from bakeoff.profile.facts import Finish, Observation, Profile, Variant

__all__ = ["add_finish", "add_observation", "keep_variant", "read_profile"]

_log = logging.getLogger("bakeoff")


def read_profile() -> Profile:
    """The profile of this device; an empty one if nothing was measured yet, or if its file is damaged."""
    device = find_device()
    path = _path(device.key)
    if not path.is_file():
        return Profile(device=device)
    try:
        return Profile.model_validate(read_json(path))
    except (OSError, ValueError, ValidationError):
        _log.warning("%s is damaged, so paces are measured anew", path)
        return Profile(device=device)


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
        profile = change(read_profile())
        write_json(_path(profile.device.key), profile.model_dump(mode="json"))


def _path(key: str) -> Path:
    return cache_dir() / "profiles" / f"{key}.json"
