"""The environment that TensorFlow is started in, the same for every process of bakeoff."""

import os

__all__ = ["tensorflow_environment"]


def tensorflow_environment() -> dict[str, str]:
    """The process's environment with bakeoff's settings; what the user has set stays, but for the backend."""
    defaults = {
        "TF_CPP_MIN_LOG_LEVEL": "2",
        # TensorFlow leaves oneDNN off on CPUs without AVX-512; on one such, a training step of EfficientNet-Lite0 at
        # 96 pixels ran 1.26 times and a forward pass 1.5 times as fast with it.
        "TF_ENABLE_ONEDNN_OPTS": "1",
    }
    return defaults | os.environ | {"KERAS_BACKEND": "tensorflow"}
