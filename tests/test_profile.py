"""The profile of a machine: what runs add to it, and what it predicts."""

from types import SimpleNamespace

import pytest

from bakeoff.networks.find import find_network
from bakeoff.networks.table import TABLE
from bakeoff.profile import (
    Basis,
    Device,
    Finish,
    Profile,
    add_finish,
    add_observation,
    find_device,
    observe,
    predict_fitting,
    predict_overhead,
    predict_rate,
    read_profile,
    relative_cost,
)
from bakeoff.profile.facts import KEPT
from bakeoff.runs.config import Mode
from bakeoff.runs.record import Seconds, State
from factories import make_observation as seen
from factories import make_record

DEVICE = Device(cpu="a processor", cores=2)
LITE = find_network("efficientnet-lite0")


def profile(*observations):
    return Profile(device=DEVICE, observations=observations)


def test_nothing_measured_is_assumed_and_said():
    estimate = predict_rate(profile(), LITE, 96, Mode.PROBE, threads=2)
    assert estimate.basis is Basis.ASSUMED
    assert estimate.value > 0


def test_what_was_measured_is_predicted_again_by_its_median():
    known = profile(*(seen(rate=rate) for rate in (100.0, 300.0, 310.0)))
    assert predict_rate(known, LITE, 96, Mode.PROBE, threads=2).value == pytest.approx(300.0)
    assert predict_rate(known, LITE, 96, Mode.PROBE, threads=2).basis is Basis.MEASURED


def test_another_size_is_scaled_from_the_nearest_one_that_was_measured():
    known = profile(seen(size=96, rate=300.0), seen(size=224, rate=50.0))
    near = predict_rate(known, LITE, 192, Mode.PROBE, threads=2)
    assert near.basis is Basis.SCALED
    assert near.value == pytest.approx(50.0 * relative_cost(LITE, 224) / relative_cost(LITE, 192))


def test_a_training_step_counts_as_three_forward_passes_until_it_is_measured():
    known = profile(seen(rate=300.0))
    assert predict_rate(known, LITE, 96, Mode.FIT, threads=2).value == pytest.approx(100.0)
    measured = known.with_observation(seen(mode=Mode.FIT, rate=150.0))
    assert predict_rate(measured, LITE, 96, Mode.FIT, threads=2).value == pytest.approx(150.0)


def test_another_network_is_scaled_by_its_arithmetic():
    estimate = predict_rate(profile(seen(rate=300.0)), find_network("vgg-16"), 96, Mode.PROBE, threads=2)
    assert estimate.basis is Basis.RELATED
    assert estimate.value < 50.0


def test_half_of_the_threads_are_half_as_fast_until_that_is_measured():
    estimate = predict_rate(profile(seen(rate=300.0)), LITE, 96, Mode.PROBE, threads=1)
    assert (estimate.value, estimate.basis) == (pytest.approx(150.0), Basis.RELATED)


def test_more_threads_are_faster_by_less_than_their_number():
    estimate = predict_rate(profile(seen(rate=300.0)), LITE, 96, Mode.PROBE, threads=8)
    assert 600.0 < estimate.value < 1200.0


def test_the_same_network_with_other_threads_says_more_than_another_network():
    known = profile(seen(rate=300.0, threads=2), seen(rate=200.0, threads=1), seen("vgg-16", rate=1.0, threads=4))
    alone = profile(seen(rate=300.0, threads=2))
    for mode in Mode:
        found, expected = (predict_rate(each, LITE, 96, mode, threads=4) for each in (known, alone))
        assert (found.value, found.basis) == (expected.value, Basis.RELATED)
    slow = profile(seen(overhead=10.0), seen("vgg-16", overhead=90.0, threads=4))
    assert predict_overhead(slow, LITE, Mode.PROBE, threads=4).value == pytest.approx(12.0)


@pytest.mark.parametrize("spec", TABLE, ids=lambda spec: spec.name)
def test_every_network_takes_longer_at_a_larger_input(spec):
    assert relative_cost(spec, 224) > relative_cost(spec, 96) > 0


def test_compiling_counts_for_each_input_size():
    known = profile(seen(mode=Mode.FIT))
    one = predict_overhead(known, LITE, Mode.FIT, threads=2)
    assert (one.value, one.basis) == (12.0, Basis.MEASURED)
    assert predict_overhead(known, LITE, Mode.FIT, threads=2, sizes=2).value == 17.0


def test_a_run_that_was_scored_tells_the_forward_pace_too():
    known = profile(seen(mode=Mode.FIT, rate=150.0, scored_per_second=420.0))
    assert predict_rate(known, LITE, 96, Mode.PROBE, threads=2).value == pytest.approx(420.0)


def test_features_from_the_cache_do_not_make_a_run_seem_to_start_sooner():
    times = Seconds(start=6.0, data=1.0, train=30.0, fit=2.0, total=10.0)
    cached = make_record("efficientnet-lite0@96", seconds=times, images_per_second=100.0, images_seen=1000)
    cached = cached.model_copy(update={"config": cached.config.revised(train={"mode": "probe", "epochs": None})})
    assert observe(cached, threads=2).overhead == 9.0
    fresh = cached.model_copy(update={"seconds": times.model_copy(update={"total": 32.0})})
    assert observe(fresh, threads=2).overhead == 32.0 - 20.0
    assert observe(cached.model_copy(update={"state": State.FAILED}), threads=2) is None


def test_only_the_newest_observations_of_a_kind_are_kept():
    known = profile(seen(network="vgg-16"))
    for rate in range(1, KEPT + 4):
        known = known.with_observation(seen(rate=float(rate)))
    rates = [each.images_per_second for each in known.observations if each.network == LITE.name]
    assert rates == [float(rate) for rate in range(4, KEPT + 4)]
    assert known.observations[0].network == "vgg-16"


def test_a_profile_is_kept_in_the_cache_for_this_device_alone(tmp_path, monkeypatch):
    monkeypatch.setenv("BAKEOFF_CACHE_DIR", str(tmp_path))
    assert read_profile() == Profile(device=find_device())
    add_observation(seen())
    add_observation(seen(size=128))
    assert read_profile().observations == (seen(), seen(size=128))
    monkeypatch.setattr("bakeoff.profile.device.count_cores", lambda: 64)
    assert read_profile().observations == ()


def test_a_damaged_profile_is_measured_anew_and_said(tmp_path, monkeypatch, caplog):
    monkeypatch.setenv("BAKEOFF_CACHE_DIR", str(tmp_path))
    add_observation(seen())
    (path,) = (tmp_path / "profiles").glob("*.json")
    path.write_text(path.read_text()[:100])
    assert read_profile().observations == ()
    assert "damaged" in caplog.text


def test_networks_that_this_version_does_not_have_are_left_out_said_and_kept(tmp_path, monkeypatch, caplog):
    monkeypatch.setenv("BAKEOFF_CACHE_DIR", str(tmp_path))
    add_observation(seen())
    add_observation(seen("a-later-network"))
    add_finish(Finish(network="a-later-network", size=96, images=100, seconds=20.0))
    assert [each.network for each in read_profile().observations] == ["efficientnet-lite0"]
    assert read_profile().finishes == ()
    assert [record.message for record in caplog.records if "a-later-network" in record.message][1:] == []
    assert "left out" in caplog.text
    add_observation(seen(rate=310.0))
    (file,) = (tmp_path / "profiles").glob("*.json")
    kept = Profile.model_validate_json(file.read_text())
    assert [each.network for each in kept.observations] == [
        "efficientnet-lite0",
        "a-later-network",
        "efficientnet-lite0",
    ]


def test_processors_of_one_name_differ_by_their_instruction_sets(tmp_path):
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text("processor : 0\nmodel name : AMD EPYC\nflags : fpu avx2 sse\n")
    old = find_device(cpuinfo, tmp_path)
    cpuinfo.write_text("processor : 0\nmodel name : AMD EPYC\nflags : fpu avx2 avx512f sse\n")
    new = find_device(cpuinfo, tmp_path)
    assert (old.cpu, new.cpu) == ("AMD EPYC avx2", "AMD EPYC avx2 avx512f")
    assert old.key != new.key


@pytest.fixture
def gpu(tmp_path, monkeypatch):
    """A folder in which a driver describes a GPU, and a function that installs a build of TensorFlow."""
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    folder, package = tmp_path / "gpus", tmp_path / "tensorflow"
    (folder / "0000:01:00.0").mkdir(parents=True)
    (folder / "0000:01:00.0" / "information").write_text("Model: \t\t NVIDIA A10\nIRQ: 1\n")
    (package / "python" / "platform").mkdir(parents=True)
    found = SimpleNamespace(origin=str(package / "__init__.py"))
    monkeypatch.setattr("bakeoff.profile.device.importlib.util.find_spec", lambda _: found)

    def install(with_cuda):
        text = f"build_info = OrderedDict([('is_cuda_build', {with_cuda}), ('is_rocm_build', False)])\n"
        (package / "python" / "platform" / "build_info.py").write_text(text)

    return SimpleNamespace(folder=folder, install=install)


def test_a_gpu_makes_another_device_unless_it_is_hidden(gpu, monkeypatch):
    gpu.install(with_cuda=True)
    assert find_device(gpu_folder=gpu.folder).gpus == ("NVIDIA A10",)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert find_device(gpu_folder=gpu.folder).gpus == ()


def test_a_build_of_tensorflow_without_gpus_makes_another_device_of_the_same_version(gpu):
    gpu.install(with_cuda=False)
    before = find_device(gpu_folder=gpu.folder)
    gpu.install(with_cuda=True)
    after = find_device(gpu_folder=gpu.folder)
    assert (before.gpus, after.gpus) == ((), ("NVIDIA A10",))
    assert before.versions == after.versions
    assert before.key != after.key


def test_the_fits_of_a_cross_validation_are_measured_by_themselves():
    times = Seconds(start=6.0, data=1.0, train=14.5, fit=4.5, total=22.5)
    probe = make_record("efficientnet-lite0@96", seconds=times, images_per_second=100.0, images_seen=900, n=1000)
    probe = probe.model_copy(update={"config": probe.config.revised(train={"mode": "probe", "epochs": None})})
    folded = observe(probe.model_copy(update={"folds": 10}), threads=2)
    # 1,000 images take 10 s; of ten fits of 0.45 s nine are left out.
    assert folded.overhead == pytest.approx(22.5 - 10 - 0.9 * 4.5)
    assert folded.fitted_per_second == pytest.approx(10 * 900 * 100 / (4.5 - 10 * 0.02))
    known = profile(folded)
    assert predict_fitting(known, LITE, 10, 900, 100, threads=2).value == pytest.approx(4.5)
    assert predict_fitting(known, LITE, 9, 900, 100, threads=1).value > 4.5
    assert predict_fitting(profile(), LITE, 10, 900, 100, threads=2).basis is Basis.ASSUMED
