"""A network with random weights and a few images, on which its contract is tried."""

from dataclasses import dataclass

import keras
import numpy as np
from numpy.typing import NDArray
from sklearn.datasets import load_digits

from bakeoff.networks.backbone import Backbone
from bakeoff.networks.graph import list_inner
from bakeoff.networks.model import Network, build_network
from bakeoff.runs.config import Model

__all__ = ["ContractError", "Subject", "contract_model", "make_subject", "smallest_size"]

# Handwritten digits of 8x8 pixels, which come with scikit-learn.
IMAGES, SIDE, CLASSES = 8, 8, 10
LEAST_SIZE = 32


class ContractError(Exception):
    """A network does not do what every network must; the message says what it does."""


@dataclass(frozen=True)
class Subject:
    """A network and a batch."""

    network: Network
    size: int
    """Side of its input in pixels."""
    images: NDArray[np.uint8]
    """(8, 8, 8, 3)."""
    labels: NDArray[np.int64]
    """(8,)."""

    @property
    def model(self) -> keras.Model:
        """uint8 images to logits."""
        return self.network.model(self.size)


def make_subject(spec: Backbone) -> Subject:
    """A network with random weights at its smallest size, in which a few steps of training can be judged."""
    keras.utils.set_random_seed(0)
    digits = load_digits()
    grey = (digits.images[:IMAGES] * 15.9).astype(np.uint8)
    size = smallest_size(spec)
    network = build_network(spec, contract_model(spec, size), side=SIDE, classes=CLASSES)
    for layer in list_inner(network.backbone, all_levels=True):
        match layer:
            case keras.layers.BatchNormalization():
                # A few steps are too few for moving averages, and without them inference is arbitrarily far off.
                layer.momentum = 0.0
            case keras.layers.Dropout():
                # EfficientNets drop whole blocks: a loss through other blocks each time is no measure of learning.
                layer.rate = 0.0
    return Subject(network, size, np.repeat(grey[..., None], 3, axis=-1), digits.target[:IMAGES])


def contract_model(spec: Backbone, size: int) -> Model:
    """The config of a network for its contract."""
    return Model(name=spec.name, source=spec.source, size=size, dropout=0.0, weights="none")


def smallest_size(spec: Backbone) -> int:
    """The smallest side in pixels, at least 32, that a network takes."""
    least = max(LEAST_SIZE, spec.min_size)
    return -(-least // spec.size_step) * spec.size_step
