import keras
import numpy as np
import pytest

from bakeoff.networks.find import find_network
from bakeoff.networks.model import build_network
from bakeoff.runs.config import Model, Optim, Optimizer, Schedule
from bakeoff.training.optimizer import build_optimizer, learning_rate, rate_multipliers


def test_the_rate_warms_up_peaks_and_ends_at_zero():
    config = Optim(learning_rate=0.1, warmup=0.1)
    rates = [learning_rate(config, progress) for progress in np.linspace(0, 1, 101)]
    assert rates[0] == 0
    assert max(rates) == rates[10] == pytest.approx(0.1)
    assert rates[10:] == sorted(rates[10:], reverse=True)
    assert rates[100] == pytest.approx(0, abs=1e-12)


def test_a_constant_schedule_stays_at_its_rate_after_the_warm_up():
    config = Optim(learning_rate=0.1, warmup=0.5, schedule=Schedule.CONSTANT)
    assert learning_rate(config, 0.25) == pytest.approx(0.05)
    assert learning_rate(config, 0.9) == 0.1


def test_a_linear_schedule_falls_in_a_straight_line_to_zero():
    config = Optim(learning_rate=0.1, warmup=0.2, schedule=Schedule.LINEAR)
    assert [learning_rate(config, progress) for progress in (0.2, 0.6, 1.0)] == pytest.approx([0.1, 0.05, 0.0])


def test_multipliers_rise_from_the_first_layer_to_the_head():
    network = build_network(find_network("cnn-small"), Model(name="cnn-small", size=32), side=32, classes=5)
    multipliers = rate_multipliers(Optim(first_layer=0.01), network)
    by_layer = [
        multipliers[variable.path] for layer in network.backbone.layers for variable in layer.trainable_variables[:1]
    ]
    assert by_layer == sorted(by_layer)
    assert 0.01 <= by_layer[0] < by_layer[-1] < 1
    assert not {variable.path for variable in network.head.trainable_variables} & multipliers.keys()
    assert rate_multipliers(Optim(), network) == {}


def test_no_warm_up_starts_at_the_peak():
    assert learning_rate(Optim(learning_rate=0.1, warmup=0.0), 0.0) == pytest.approx(0.1)


@pytest.mark.parametrize("name", Optimizer)
def test_weight_decay_shrinks_kernels_and_not_biases(name):
    kernel = keras.Variable(np.ones((2, 2), np.float32), name="kernel")
    bias = keras.Variable(np.ones(2, np.float32), name="bias")
    optimizer = build_optimizer(Optim(name=name, weight_decay=0.5))
    optimizer.build([kernel, bias])
    optimizer.learning_rate.assign(0.1)
    optimizer.apply([np.zeros((2, 2), np.float32), np.zeros(2, np.float32)], [kernel, bias])
    assert (np.asarray(kernel) < 1).all()
    assert (np.asarray(bias) == 1).all()


@pytest.mark.parametrize("name", Optimizer)
def test_every_optimiser_decreases_the_loss(name):
    weight = keras.Variable(np.array([5.0], np.float32), name="kernel")
    optimizer = build_optimizer(Optim(name=name, weight_decay=0.0))
    optimizer.build([weight])
    optimizer.learning_rate.assign(0.1)
    for _ in range(5):
        optimizer.apply([2 * np.asarray(weight)], [weight])
    assert np.asarray(weight)[0] < 5


@pytest.mark.parametrize(
    ("name", "reference"), [(Optimizer.ADAM, keras.optimizers.Adam), (Optimizer.ADAMW, keras.optimizers.AdamW)]
)
def test_fused_steps_of_adam_are_those_of_keras(name, reference):
    rng = np.random.default_rng(0)
    shapes = [(3, 4), (4,), (2, 2, 3, 1)]
    start = [rng.normal(size=shape).astype(np.float32) for shape in shapes]
    gradients = [[rng.normal(size=shape).astype(np.float32) for shape in shapes] for _ in range(20)]
    ends = []
    for optimizer in (
        build_optimizer(Optim(name=name, weight_decay=0.1, clip_norm=1.0)),
        reference(0.0, weight_decay=0.1, global_clipnorm=1.0),
    ):
        weights = [keras.Variable(array, name="kernel") for array in start]
        optimizer.build(weights)
        optimizer.learning_rate.assign(0.01)
        for gradient in gradients:
            optimizer.apply(gradient, weights)
        ends.append([np.asarray(variable) for variable in (*weights, *optimizer.variables)])
    for ours, theirs in zip(*ends, strict=True):
        assert np.allclose(ours, theirs, rtol=1e-5, atol=1e-6)
