"""Features: numbers at every size, the same for the same image, of the range of values that the network is for."""

import keras
import numpy as np
from numpy.typing import NDArray

from bakeoff.deploy.contract.subject import CLASSES, ContractError, Subject, contract_model, smallest_size
from bakeoff.networks.backbone import Backbone, Scaling
from bakeoff.networks.model import build_network

__all__ = ["check_finite", "check_repeatable", "check_scaling"]

IMAGES = 4
# Rounding in another order of additions.
TOLERANCE = 1e-3
# How many of the first layers may scale the input.
FIRST_LAYERS = 4


def check_finite(spec: Backbone) -> str:
    """Features are numbers at the smallest size and at a larger one, also of black, white and noise."""
    widths = []
    smallest = smallest_size(spec)
    sizes = (smallest, spec.native_size if spec.native_size > smallest else 2 * smallest)
    for size in sizes:
        network = build_network(spec, contract_model(spec, size), side=size, classes=CLASSES)
        features = np.asarray(network.features(size)(_pictures(size), training=False))
        if features.ndim != 2 or len(features) != IMAGES:
            raise ContractError(f"features of {IMAGES} images of {size} pixels have the shape {features.shape}")
        if not np.isfinite(features).all():
            raise ContractError(f"some features of images of {size} pixels are no numbers")
        if np.ptp(features, axis=0).max() == 0:
            raise ContractError(f"black, white and noise of {size} pixels have the same features")
        widths.append(features.shape[1])
    if len(set(widths)) > 1 and not spec.from_scratch:
        raise ContractError(f"{' and '.join(map(str, widths))} features at {' and '.join(map(str, sizes))} pixels")
    return f"{' and '.join(map(str, dict.fromkeys(widths)))} features at {' and '.join(map(str, sizes))} pixels"


def check_repeatable(subject: Subject) -> str:
    """An image has the same features twice, and whatever other images are in its batch."""
    features = subject.network.features(subject.size)
    first, second = (np.asarray(features(subject.images, training=False)) for _ in range(2))
    if not np.array_equal(first, second):
        raise ContractError("the same batch has other features the second time; is there chance in inference, too?")
    alone = np.concatenate([features(subject.images[[place]], training=False) for place in range(len(subject.images))])
    gap = float(np.abs(alone - first).max()) / max(float(np.abs(first).max()), 1e-12)
    if not gap <= TOLERANCE:
        raise ContractError(f"features of an image alone and in a batch differ by {gap:.1%} of the largest one")
    return "twice, alone and in a batch"


def check_scaling(subject: Subject) -> str:
    """The network's input is scaled once, to the range that its Backbone states."""
    spec = subject.network.spec
    layers = subject.network.backbone.layers
    first = [layer for layer in layers if not isinstance(layer, keras.layers.InputLayer)][:FIRST_LAYERS]
    own = [layer for layer in first if isinstance(layer, keras.layers.Rescaling | keras.layers.Normalization)]
    if own and spec.scaling is not Scaling.NONE:
        raise ContractError(
            f"its layer {own[0].name} scales the input, which bakeoff has scaled already ({spec.scaling}); state"
            " Scaling.NONE, or leave that layer out"
        )
    if own:
        return f"0 to 255, which its layer {own[0].name} scales"
    if spec.scaling is Scaling.NONE:
        return f"0 to 255 go into its layer {first[0].name} as they are"
    return f"{spec.scaling}, by bakeoff"


def _pictures(size: int) -> NDArray[np.uint8]:
    """Black, white, noise and a ramp: uint8 (4, size, size, 3)."""
    noise = np.random.default_rng(0).integers(0, 256, (size, size, 3), np.uint8)
    ramp = np.broadcast_to(np.linspace(0, 255, size).astype(np.uint8)[:, None, None], (size, size, 3))
    return np.stack([np.zeros_like(noise), np.full_like(noise, 255), noise, ramp])
