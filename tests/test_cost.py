"""Memory: the prediction's parts, and the measured peak."""

import json
import subprocess
import sys

import keras
import pytest
from keras import layers

from bakeoff.machine import available_host_memory, tensorflow_environment
from bakeoff.networks.blocks import freeze
from bakeoff.networks.find import find_network
from bakeoff.networks.model import build_network, count_parameters
from bakeoff.runs.config import BatchNorm, Model, Run
from bakeoff.runs.record import State
from bakeoff.training.memory import PeakMemory, available_memory, measure, predict, predict_memory
from bakeoff.training.memory.measure import find_gpu
from bakeoff.training.memory.predict import backward_numbers, folded_numbers, forward_numbers
from bakeoff.training.memory.walk import walk

SIZE = 64


def _build():
    return build_network(find_network("efficientnet-lite0"), Model(size=SIZE), side=32, classes=10)


@pytest.fixture(scope="module")
def network():
    keras.utils.set_random_seed(0)
    return _build()


@pytest.fixture(autouse=True)
def _all_learns(network):
    yield
    freeze(network.backbone, 1.0, BatchNorm.TRAIN)


def _predict(network, *, parts=1, **train):
    run = Run(model=Model(size=SIZE)).revised(train={"val_images": 1} | train)
    return predict_memory(network, run, batch=run.train.batch // parts)


def _kept(*stack, image=(8, 8, 3)):
    """Numbers per image that these layers, in sequence, keep for their gradients."""
    x = images = keras.Input(image)
    for layer in stack:
        x = layer(x)
    steps = walk(keras.Model(images, x), image[0])
    return sum(tensor.numbers for tensor in {tensor for step in steps for tensor in step.kept})


def _convolution(**settings):
    return layers.Conv2D(4, 3, padding="same", use_bias=False, **settings)


IMAGE, MAP = 8 * 8 * 3, 8 * 8 * 4


def test_a_convolution_keeps_its_input():
    assert _kept(_convolution()) == IMAGE


def test_relu_keeps_its_output_which_the_next_convolution_shares():
    assert _kept(_convolution(), layers.ReLU(), _convolution()) == IMAGE + MAP
    assert _kept(_convolution(activation="relu"), _convolution()) == IMAGE + MAP


def test_silu_keeps_its_input_and_the_next_convolution_its_own():
    assert _kept(_convolution(), layers.Activation("silu"), _convolution()) == IMAGE + 2 * MAP


def test_batch_normalisation_keeps_its_input_only_while_it_learns():
    assert _kept(_convolution(), layers.BatchNormalization()) == IMAGE + MAP
    assert _kept(_convolution(), layers.BatchNormalization(trainable=False)) == IMAGE


def test_max_pooling_keeps_both_sides_and_average_pooling_neither():
    assert _kept(_convolution(), layers.MaxPooling2D(2)) == IMAGE + MAP + MAP // 4
    assert _kept(_convolution(), layers.AveragePooling2D(2)) == IMAGE


def test_padding_adding_and_flattening_keep_nothing():
    assert _kept(_convolution(), layers.ZeroPadding2D(), layers.Flatten()) == IMAGE
    images = keras.Input((8, 8, 3))
    first = _convolution()(images)
    model = keras.Model(images, layers.Add()([first, _convolution()(first)]))
    assert sum(tensor.numbers for step in walk(model, 8) for tensor in step.kept) == IMAGE + MAP


def test_a_gate_keeps_what_it_multiplies():
    images = keras.Input((8, 8, 3))
    x = _convolution()(images)
    gate = layers.Dense(4)(layers.GlobalAveragePooling2D(keepdims=True)(x))
    kept = [step.kept for step in walk(keras.Model(images, layers.Multiply()([x, gate])), 8)]
    assert [tensor.numbers for tensor in kept[-1]] == [MAP, 4]


def test_nothing_is_kept_before_the_first_layer_that_learns():
    frozen = [_convolution(trainable=False), layers.ReLU(), layers.MaxPooling2D(2)]
    assert _kept(*frozen) == 0
    assert _kept(*frozen, _convolution()) == MAP // 4


def test_a_layer_that_does_not_learn_still_passes_the_gradient_through():
    assert _kept(_convolution(), _convolution(trainable=False), layers.ReLU()) == IMAGE + MAP


def _steps_of_attention(attend):
    images = keras.Input((8, 8, 3))
    tokens = layers.Reshape((64, 3))(images)
    return [(step.output.numbers, len({*step.kept})) for step in walk(keras.Model(images, attend(tokens)), 8)]


@pytest.mark.parametrize(
    "attend",
    [
        lambda x: layers.MultiHeadAttention(2, 4)(query=x, value=x),
        lambda x: layers.MultiHeadAttention(2, 4)(value=x, key=x, query=x),
    ],
)
def test_a_layer_that_is_called_with_keywords_keeps_the_same(attend):
    assert _steps_of_attention(attend) == _steps_of_attention(lambda x: layers.MultiHeadAttention(2, 4)(x, x))
    by_keyword = keras.Input((8, 8, 3))
    (step,) = walk(keras.Model(by_keyword, _convolution()(inputs=by_keyword)), 8)
    assert [tensor.numbers for tensor in step.kept] == [IMAGE]


def test_an_attention_may_have_a_mask_and_return_its_scores():
    def attend(x):
        mask = keras.ops.ones_like(keras.ops.matmul(x, keras.ops.transpose(x, (0, 2, 1))))
        return layers.MultiHeadAttention(2, 4)(x, x, attention_mask=mask, return_attention_scores=True)[0]

    inside = _steps_of_attention(lambda x: layers.MultiHeadAttention(2, 4)(x, x))[0][0]
    assert inside in [numbers for numbers, _ in _steps_of_attention(attend)]


def test_the_activation_of_a_layer_may_be_another_layer():
    assert _kept(_convolution(activation=layers.LeakyReLU(0.2))) == IMAGE + MAP


def test_models_inside_a_model_are_walked_through():
    flat = [_convolution(), layers.ReLU(), layers.BatchNormalization(), layers.ReLU()]
    images = keras.Input((8, 8, 4))
    inner = keras.Model(images, layers.ReLU()(layers.BatchNormalization()(images)))
    nested = [keras.Sequential([keras.Input((8, 8, 3)), _convolution(), layers.ReLU()]), inner]
    assert _kept(*nested) == _kept(*flat) == IMAGE + 2 * MAP


def test_normalisation_keeps_its_input_in_float32_at_half_precision():
    images = keras.Input((8, 8, 3))
    model = keras.Model(images, layers.BatchNormalization()(_convolution()(images)))
    assert [[tensor.numbers for tensor in step.kept] for step in walk(model, 8, half=True)] == [[IMAGE], [2 * MAP]]


def test_inference_needs_only_the_tensors_alive_at_its_peak():
    images = keras.Input((8, 8, 3))
    x = _convolution()(images)
    steps = walk(keras.Model(images, layers.Add()([x, _convolution()(layers.ReLU()(x))])), 8)
    # The shortcut, what the second convolution reads, its own copy of that, and what it writes.
    assert forward_numbers(steps) == 4 * MAP
    assert backward_numbers(steps) > forward_numbers(steps)


def test_inference_writes_an_activation_over_what_only_it_reads():
    images = keras.Input((8, 8, 3))
    x = _convolution()(images)
    once = walk(keras.Model(images, layers.ReLU()(x)), 8)
    twice = walk(keras.Model(images, layers.Multiply()([layers.ReLU()(x), x])), 8)
    # A convolution's copy of its input, and its output; or three maps, because the first has a second reader.
    assert forward_numbers(once) == IMAGE + MAP
    assert forward_numbers(twice) == 3 * MAP


def test_a_kernel_is_copied_where_a_normalisation_is_folded_into_it():
    kernel = 3 * 3 * 3 * 4
    for trainable, in_training in ((True, 0), (False, kernel)):
        images = keras.Input((8, 8, 3))
        norm = layers.BatchNormalization(trainable=trainable)
        steps = walk(keras.Model(images, norm(_convolution()(images))), 8)
        assert (folded_numbers(steps), folded_numbers(steps, training=True)) == (kernel, in_training)


def test_a_convolution_with_a_group_for_each_channel_needs_no_copy_of_its_input():
    images = keras.Input((8, 8, 3))
    x = _convolution()(images)
    sizes = [forward_numbers(walk(keras.Model(images, _convolution(groups=groups)(x)), 8)) for groups in (1, 4)]
    assert sizes == [3 * MAP, 2 * MAP]


def test_a_probe_of_more_images_needs_more(network):
    run = Run(model=Model(size=SIZE))
    few, many = (predict_memory(network, run, training=False, probed=images) for images in (1_000, 101_000))
    assert many - few == pytest.approx(3 * 4 * 100_000 * 1280, rel=0.1)  # features and two copies of them


def test_only_the_tensors_grow_with_the_batch(network):
    first, second, third = (_predict(network, batch=batch) for batch in (128, 192, 256))
    assert third - second == pytest.approx(second - first, rel=0.01)
    assert third > second > first


def test_a_batch_in_two_parts_needs_one_more_copy_of_the_gradients(network):
    gradients = 4 * count_parameters(network.model(SIZE))[1]
    assert _predict(network, batch=64, parts=2) - _predict(network, batch=32) == gradients


def test_half_precision_saves_activations(network):
    assert _predict(network, precision="mixed_bfloat16") < _predict(network)


def test_a_larger_input_needs_more(network):
    small, large = (predict_memory(network, Run(model=Model(size=size))) for size in (64, 96))
    assert large > 1.3 * small


def test_a_further_input_size_needs_another_graph(network):
    assert _predict(network, sizes=(48,)) > _predict(network)
    assert _predict(network, probe_images=500) > _predict(network)


def test_frozen_batch_normalisation_needs_less(network):
    learning = _predict(network)
    freeze(network.backbone, 1.0, BatchNorm.FROZEN)
    assert _predict(network) < 0.8 * learning


def test_the_more_layers_are_frozen_the_less_is_needed(network):
    needs = []
    for unfreeze in (1.0, 0.5, 0.0):
        freeze(network.backbone, unfreeze, BatchNorm.TRAIN)
        needs.append(_predict(network))
    assert needs[0] > needs[1] > needs[2]


def test_inference_needs_less_than_training(network):
    run = Run(model=Model(size=SIZE)).revised(train={"batch": 128})
    assert predict_memory(network, run, training=False) < predict_memory(network, run)


def test_no_moving_average_and_fewer_slots_save_copies_of_the_weights(network):
    total, trainable = count_parameters(network.model(SIZE))
    plain = Run(model=Model(size=SIZE)).revised(optim={"name": "sgd", "ema": 0.0})
    averaged = plain.revised(optim={"ema": 0.9})
    adam = plain.revised(optim={"name": "adam"})
    assert predict_memory(network, averaged) - predict_memory(network, plain) == 2 * 4 * total
    assert predict_memory(network, adam) - predict_memory(network, plain) == 4 * trainable


def test_a_network_without_variables_can_be_predicted(network):
    # Variables that are asked for in such a scope are not made before its end, and here not even then.
    with keras.StatelessScope(initialize_variables=False):
        planned = _build()
        predicted = _predict(planned)
    assert all(weight._value is None for weight in planned.model(SIZE).weights)
    assert predicted == _predict(network)


def test_a_gpu_holds_the_tensors_but_not_the_graph(network, monkeypatch):
    host = _predict(network)
    monkeypatch.setattr(predict, "find_gpu", lambda: "GPU:0")
    assert _predict(network) < host - 50e6


@pytest.mark.skipif(sys.platform != "linux" or find_gpu() is not None, reason="fitted to the peaks of Linux processes")
def test_a_small_run_peaks_within_a_factor_of_two_of_its_prediction(finished):
    record = finished.record
    assert record.state is State.COMPLETE, record.reason
    assert 0.5 < record.memory_predicted_bytes / record.memory_peak_bytes < 2


@pytest.fixture(scope="module")
def measured():
    """Peaks and a limit, measured in a process of its own: only oneDNN's allocator keeps statistics of a CPU, and it is
    chosen at the start."""
    code = """
import json
import numpy as np
from bakeoff.training.memory import PeakMemory
ballast = np.ones(200_000_000, np.uint8)
del ballast
memory = PeakMemory()
held = np.ones(300_000_000, np.uint8)
del held
host = memory.read()

import tensorflow as tf
from bakeoff.training.memory.measure import device_available
held = tf.zeros([2**23])
memory = PeakMemory("CPU:0")
more = tf.zeros([2**25])
del more
print(json.dumps({"host": host, "device": memory.read(), "left": device_available("CPU:0")}))
"""
    environment = tensorflow_environment() | {"TF_ENABLE_ONEDNN_OPTS": "1"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    return json.loads(done.stdout)


def test_the_peak_is_measured_above_the_baseline_and_survives_the_release(measured):
    # The kernel counts resident pages per CPU and adds them up now and then, so the mark is a little coarse.
    assert 290e6 < measured["host"] < 340e6


def test_where_the_peak_cannot_be_reset_what_exceeds_the_peak_so_far_counts(monkeypatch, tmp_path):
    monkeypatch.setattr(measure, "RESET", tmp_path / "no" / "clear_refs")
    peaks = iter([700, 700, 1000])
    monkeypatch.setattr(measure, "peak_memory", lambda: next(peaks))
    memory = PeakMemory()
    assert [memory.read(), memory.read()] == [0, 300]


def test_the_peak_of_a_device_is_what_its_allocator_gave_out_and_its_limit_what_is_left(measured):
    # It rounds up to regions of its own.
    assert 2**27 <= measured["device"] < 1.5 * 2**27
    # TensorFlow says 256 MiB of every CPU, whatever it has.
    assert 0 < measured["left"] <= 2**28 - 2**25


@pytest.fixture
def machine(tmp_path):
    """Writes files as Linux has them and returns what `available_host_memory` reads from them."""

    def read(membership, files):
        (tmp_path / "meminfo").write_text("MemTotal: 9000 kB\nMemFree: 1000 kB\nMemAvailable: 8000 kB\n")
        (tmp_path / "cgroup").write_text(membership)
        for name, text in files.items():
            path = tmp_path / "mount" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return available_host_memory(tmp_path / "meminfo", tmp_path / "cgroup", tmp_path / "mount")

    return read


def _group(name, limit, used, cached=0):
    return {
        f"{name}/memory.max": f"{limit}\n",
        f"{name}/memory.current": f"{used}\n",
        f"{name}/memory.stat": f"anon 1\ninactive_file {cached}\n",
    }


def test_without_control_groups_the_machine_gives_what_is_available(machine):
    assert machine("", {}) == 8000 * 1024


def test_a_control_group_without_a_limit_changes_nothing(machine):
    assert machine("0::/job\n", _group("job", "max", 5000)) == 8000 * 1024


def test_a_control_group_gives_what_is_left_of_its_limit_and_its_cached_files(machine):
    assert machine("0::/job\n", _group("job", 4_000_000, 3_000_000, cached=500_000)) == 1_500_000


def test_the_tightest_group_above_a_process_counts(machine):
    files = _group("outer", 2_000_000, 1_900_000) | _group("outer/inner", 4_000_000, 1_900_000)
    assert machine("0::/outer/inner\n", files) == 100_000


def test_a_group_beyond_its_limit_gives_nothing(machine):
    assert machine("0::/job\n", _group("job", 1000, 2000)) == 0


def test_the_first_version_of_control_groups_is_read_too(machine):
    files = {
        "memory/memory.limit_in_bytes": "3000000",
        "memory/memory.usage_in_bytes": "1000000",
        "memory/memory.stat": "inactive_file 1\ntotal_inactive_file 200000\n",
    }
    assert machine("5:cpu,cpuacct:/\n4:memory:/elsewhere/on/the/host\n0::/\n", files) == 2_200_000


def test_this_machine_has_memory_left():
    assert available_memory() > 2**20
