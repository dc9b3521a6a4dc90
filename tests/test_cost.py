import subprocess
import sys

import keras
import pytest

from bakeoff.backbones import find_backbone
from bakeoff.config import Model, Run
from bakeoff.cost import predict_memory
from bakeoff.model import build_network, freeze


@pytest.fixture(scope="module")
def network():
    keras.utils.set_random_seed(0)
    return build_network(find_backbone("efficientnet-lite0"), Model(size=64), side=32, classes=10)


def _predict(network, **train):
    return predict_memory(network, Run(model=Model(size=64)).revised(train=train))


def test_memory_grows_with_the_batch_by_its_activations_alone(network):
    first, second, third = (_predict(network, batch=batch) for batch in (16, 32, 48))
    assert third - second == second - first > 0


def test_half_precision_saves_activations(network):
    assert _predict(network, precision="mixed_bfloat16") < _predict(network)


def test_a_larger_input_needs_more(network):
    small, large = (predict_memory(network, Run(model=Model(size=size))) for size in (64, 96))
    assert large > 1.3 * small


def test_frozen_weights_need_no_gradients(network):
    whole = _predict(network)
    freeze(network.backbone, 0.0, "train")
    head_only = _predict(network)
    freeze(network.backbone, 1.0, "train")
    assert head_only < whole


def test_inference_needs_less_than_training(network):
    run = Run(model=Model(size=64)).revised(train={"batch": 128})
    assert predict_memory(network, run, training=False) < predict_memory(network, run)


def test_the_peak_is_measured_above_the_baseline_and_survives_the_release():
    code = """
import numpy as np
from bakeoff.cost import PeakMemory
ballast = np.ones(200_000_000, np.uint8)
del ballast
memory = PeakMemory()
held = np.ones(300_000_000, np.uint8)
del held
print(memory.read())
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    # The kernel counts resident pages per CPU and adds them up now and then, so the mark is a little coarse.
    assert 290e6 < int(done.stdout) < 340e6
