"""The process of gpu.py that takes training steps: one network in one variant for each command."""

import gc
import sys
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from bakeoff.machine import start_keras
from bakeoff.networks.blocks import freeze
from bakeoff.networks.find import find_network
from bakeoff.networks.model import build_network
from bakeoff.runs.config import Precision, Run
from bakeoff.runs.versions import find_versions
from bakeoff.training.memory import PeakMemory, available_memory, predict_memory
from bakeoff.training.tryout import Variant, find_xla_error, try_step
from turns import say

CLASSES = 100


def main() -> None:
    """Answer `step NETWORK SIZE BATCH PRECISION XLA` and `xla NETWORK SIZE SIDE` until the input ends."""
    start_keras()
    say(**describe())
    for line in sys.stdin:
        match line.split():
            case ["step", name, size, batch, precision, xla]:
                say(**take_steps(name, int(size), int(batch), Variant(precision=precision, jit_compile=xla == "xla")))
            case ["xla", name, size, side]:
                say(difference=find_xla_error(_run(name, int(size)), side=int(side), classes=CLASSES))


def describe() -> dict[str, Any]:
    """The GPUs as TensorFlow sees them, and all versions."""
    build = tf.sysconfig.get_build_info()
    driver = Path("/proc/driver/nvidia/version")
    return {
        "gpus": [
            tf.config.experimental.get_device_details(gpu) | {"name": gpu.name}
            for gpu in tf.config.list_physical_devices("GPU")
        ],
        "memory_bytes": available_memory(),
        "versions": find_versions()
        | {name: build[name] for name in ("cuda_version", "cudnn_version") if name in build},
        "driver": driver.read_text(encoding="utf-8").splitlines()[0] if driver.is_file() else "",
    }


def take_steps(name: str, size: int, batch: int, variant: Variant) -> dict[str, Any]:
    """Images per second, and the memory that was predicted and measured; or why there was no step."""
    run = _run(name, size).revised(train={"batch": batch, "precision": variant.precision})
    predicted = _predict(run)
    gc.collect()
    memory = PeakMemory()
    # Images are not resized, because XLA does not compile that.
    trial = try_step(run, variant, side=size, classes=CLASSES)
    return {
        "images_per_second": round(batch / trial.seconds, 1) if trial.seconds else None,
        "reason": trial.reason,
        "memory_predicted_bytes": predicted,
        "memory_measured_bytes": memory.read(),
    }


def _run(name: str, size: int) -> Run:
    return Run().revised(model={"name": name, "size": size, "weights": "none"})


def _predict(run: Run) -> int:
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy(Precision(run.train.precision).value)
    try:
        with keras.StatelessScope():
            network = build_network(find_network(run.model.name), run.model, side=run.model.size, classes=CLASSES)
            freeze(network.backbone, run.model.unfreeze, run.model.batch_norm)
            return predict_memory(network, run)
    finally:
        keras.config.set_dtype_policy(policy)


if __name__ == "__main__":
    main()
