"""ResNet in older versions of Keras, whose files are still in use: what its layers were called, and its epsilon.

Its layers are those of today's ResNet: same shapes, strides and biases. Until Keras 2.3 they were called as in the
first publication (`res3b_branch2a`, `bn3b_branch2a`), and a shortcut was listed behind the branch that it goes around.
"""

import re

__all__ = ["EPSILON", "rename"]

EPSILON = 1e-3
"""What its batch normalisation added to the variance, Keras' default; today's ResNet adds 1.001e-5."""

_FIRST = {"conv1": "conv1_conv", "bn_conv1": "conv1_bn"}
_OTHERS = re.compile(r"(res|bn)([2-5])([a-z])_branch(1|2[abc])")


def rename(name: str) -> str | None:
    """What a layer is called today, as in `conv3_block2_1_conv`; None if ResNet had no layer of this name.

    Args:
        name: Its name in the file, `canonical`.
    """
    if not (match := _OTHERS.fullmatch(name)):
        return _FIRST.get(name)
    kind, stage, block, branch = match.groups()
    # Branch 1 is the shortcut, 0 today.
    part = "1abc".index(branch[-1])
    return f"conv{stage}_block{ord(block) - ord('a') + 1}_{part}_{'conv' if kind == 'res' else 'bn'}"
