"""The arithmetic of a network for one image: with it, a pace measured with one network says something of others."""

from bakeoff.networks.backbone import Backbone

__all__ = ["FORWARD_PER_TRAINING_STEP", "SECONDS_PER_FIT", "count_forwards", "relative_cost"]

# A training step (forward, backward, update) takes about as long as this many forward passes.
FORWARD_PER_TRAINING_STEP = 3
# Seconds of fitting a linear head that do not depend on the number of images.
SECONDS_PER_FIT = 0.02
# Depthwise convolutions and many small layers take longer for the same number of multiply-adds: 1.6 times, the median
# over the networks of benchmarks/step.csv.
DEPTHWISE_FAMILIES = ("efficientnet", "efficientnet-lite", "efficientnet-v2", "mobilenet", "nasnet")
DEPTHWISE_FACTOR = 1.6
# Where only its size is known; the networks of the table have 54 (MobileNetV3 Small) to 1040 (VGG-16).
MULTIPLY_ADDS_PER_PARAMETER = 200
# What decoding, augmenting and copying one image take, in multiply-adds: it bounds the pace of the smallest networks.
IMAGE_COST = 5e6


def count_forwards(spec: Backbone) -> float:
    """A training step of a network's default recipe takes about as long as this many forward passes."""
    return 1 + (FORWARD_PER_TRAINING_STEP - 1) * spec.trained_share


def relative_cost(spec: Backbone, size: int) -> float:
    """Multiply-adds of one image of `size` x `size` pixels, forward, weighted by how fast they are done."""
    weight = DEPTHWISE_FACTOR if spec.family in DEPTHWISE_FAMILIES else 1.0
    multiply_adds = spec.multiply_adds or MULTIPLY_ADDS_PER_PARAMETER * spec.params_total
    return weight * multiply_adds * (size / spec.native_size) ** 2 + IMAGE_COST
