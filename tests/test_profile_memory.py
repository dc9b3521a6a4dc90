"""Predicted memory and its uncertainty, corrected by the peaks that runs on this device had."""

import pytest

from bakeoff.networks.find import find_network
from bakeoff.profile import Basis, Device, Observation, Profile, correct_memory, observe
from bakeoff.runs.config import Mode
from factories import make_record

GB = 10**9


def seen(network="resnet-50", modelled=GB, measured=GB, mode=Mode.FIT, precision="float32"):
    return Observation(
        network=network,
        size=96,
        mode=mode,
        precision=precision,
        threads=2,
        images_per_second=100.0,
        overhead=7.0,
        memory_modelled=modelled,
        memory_measured=measured,
    )


def correct(*observations, network="resnet-50", modelled=GB, mode=Mode.FIT, precision="float32"):
    profile = Profile(device=Device(cpu="a processor", cores=2), observations=observations)
    return correct_memory(profile, find_network(network), mode, precision, modelled)


def test_before_any_run_the_modelled_bytes_are_predicted_and_their_uncertainty_is_said():
    estimate = correct()
    assert (estimate.value, estimate.basis) == (GB, Basis.ASSUMED)
    assert 1.1 * GB < estimate.safe < 1.4 * GB
    assert 0.2 < estimate.margin < 0.8


def test_the_same_run_again_is_predicted_as_it_was_measured():
    estimate = correct(seen(measured=1.4 * GB))
    assert estimate.basis is Basis.MEASURED
    assert estimate.value == pytest.approx(1.4 * GB, rel=0.02)
    assert estimate.margin < 0.15


def test_the_same_probe_again_may_take_more_or_less_by_chance():
    low, high = (seen(mode=Mode.PROBE, measured=measured * GB) for measured in (1.1, 1.5))
    once, twice = correct(low, mode=Mode.PROBE), correct(low, high, mode=Mode.PROBE)
    assert once.value * (1 + once.margin) > 1.5 * GB
    assert 1.1 * GB < twice.value < 1.5 * GB


def test_the_more_two_runs_share_the_more_one_says_of_the_other():
    measured = seen(measured=1.4 * GB)
    cases = [
        correct(measured),
        correct(measured, modelled=3 * GB),
        correct(measured, network="resnet-152-v2", modelled=3 * GB),
        correct(measured, network="vgg-16", modelled=3 * GB),
        correct(measured, network="vgg-16", modelled=3 * GB, mode=Mode.PROBE),
    ]
    ratios = [case.value / modelled for case, modelled in zip(cases, [GB, *[3 * GB] * 4], strict=True)]
    assert ratios == sorted(ratios, reverse=True)
    assert ratios[-1] > 1.05
    deviations = [case.deviation for case in cases]
    assert deviations == sorted(deviations)
    bases = [case.basis for case in cases]
    assert bases == [Basis.MEASURED, Basis.SCALED, Basis.RELATED, Basis.RELATED, Basis.RELATED]


def test_other_modes_and_precisions_are_kept_apart():
    probes = [seen(mode=Mode.PROBE, measured=0.7 * GB, network=name) for name in ("resnet-50", "vgg-16", "xception")]
    fit = seen(measured=1.3 * GB)
    assert correct(*probes, fit).value == pytest.approx(1.3 * GB, rel=0.04)
    half = correct(fit, precision="mixed_bfloat16")
    assert half.deviation > correct(fit).deviation
    assert half.value < correct(fit).value


def test_many_runs_leave_less_doubt_than_one_and_never_none():
    estimates = [correct(*[seen(measured=1.2 * GB)] * count) for count in (0, 1, 5, 200)]
    deviations = [estimate.deviation for estimate in estimates]
    assert deviations == sorted(deviations, reverse=True)
    assert deviations[-1] > 0.01


def test_a_correction_is_not_corrected_again():
    record = make_record(memory_modelled_bytes=GB, memory_predicted_bytes=2 * GB, memory_peak_bytes=2 * GB)
    observation = observe(record, threads=2)
    assert (observation.memory_modelled, observation.memory_predicted) == (GB, 2 * GB)
    assert correct(observation, network=observation.network).value == pytest.approx(2 * GB, rel=0.05)


def test_what_was_not_measured_or_not_modelled_counts_for_nothing():
    assert correct(seen(measured=0), seen(modelled=0)) == correct()


def test_the_peak_of_a_process_that_only_ended_a_run_counts_for_nothing():
    assert correct(seen(measured=GB // 10)) == correct()
    assert correct(seen(measured=10 * GB)).value > 8 * GB
