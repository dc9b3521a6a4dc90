"""bakeoff's side of step.py: the training step of this package."""

from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf

from bakeoff.networks.blocks import freeze
from bakeoff.networks.find import find_network
from bakeoff.networks.model import build_network
from bakeoff.runs.config import BatchNorm, Model, Optim
from bakeoff.training.optimizer import build_optimizer
from bakeoff.training.step import compile_step
from bakeoff.training.weight_copies import MovingAverage
from turns import answer

CLASSES = 100
# The stored size of CIFAR images. Resizing and scaling are part of the step here, but not of PyTorch's step.
STORED_SIDE = 32


def open_step(name: str, size: int, batch: int, batch_norm: str, precision: str, mode: str) -> Callable[[], None]:
    """One training step as in a run, but without the moving average, which the PyTorch side does not have either."""
    del mode  # always a graph
    keras.backend.clear_session()
    keras.config.set_dtype_policy("mixed_bfloat16" if precision == "bfloat16" else "float32")
    network = build_network(find_network(name), Model(name=name, size=size), side=STORED_SIDE, classes=CLASSES)
    freeze(network.backbone, 1.0, BatchNorm(batch_norm))
    model = network.model(size)
    optimizer = build_optimizer(Optim(ema=0.0))
    optimizer.build(model.trainable_variables)
    step = compile_step(model, optimizer, MovingAverage(model, 0.0), 0.1, batch)
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (batch, STORED_SIDE, STORED_SIDE, 3), dtype=np.uint8)
    targets = np.eye(CLASSES, dtype=np.float32)[rng.integers(0, CLASSES, batch)]
    return lambda: float(step(images, targets, 1e-4, 0.0)) and None


if __name__ == "__main__":
    answer(open_step, f"tensorflow {tf.__version__}, keras {keras.__version__}")
