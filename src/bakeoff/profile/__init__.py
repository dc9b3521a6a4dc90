"""What this machine has been measured to take: paces, times around training and memory, kept in the cache.

    profile = read_profile()
    predict_rate(profile, find_network("mobilenet-v2"), 96, Mode.PROBE, threads=2).value   # images per second
    add_observation(observe(record, threads=2))                                            # after a run

A plan is made from a profile, so it holds for the machine that it is made on.
"""

from bakeoff.profile.costs import FORWARD_PER_TRAINING_STEP, relative_cost
from bakeoff.profile.device import Device, find_device
from bakeoff.profile.facts import Basis, Estimate, Finish, Observation, Profile, Timing, Variant
from bakeoff.profile.listing import ListedNetwork, Pace, list_networks
from bakeoff.profile.memory import MemoryEstimate, correct_memory
from bakeoff.profile.observe import observe, observe_timing
from bakeoff.profile.predict import predict_finish, predict_fitting, predict_overhead, predict_rate
from bakeoff.profile.store import add_finish, add_observation, keep_variant, read_profile

__all__ = [
    "FORWARD_PER_TRAINING_STEP",
    "Basis",
    "Device",
    "Estimate",
    "Finish",
    "ListedNetwork",
    "MemoryEstimate",
    "Observation",
    "Pace",
    "Profile",
    "Timing",
    "Variant",
    "add_finish",
    "add_observation",
    "correct_memory",
    "find_device",
    "keep_variant",
    "list_networks",
    "observe",
    "observe_timing",
    "predict_finish",
    "predict_fitting",
    "predict_overhead",
    "predict_rate",
    "read_profile",
    "relative_cost",
]
