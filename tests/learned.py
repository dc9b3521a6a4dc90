"""A run on handwritten digits, and networks that have learned them, for tests of what becomes of a model afterwards."""

import keras

from bakeoff.data.batches import load_split
from bakeoff.data.shards import Dataset
from bakeoff.deploy.export import FinishedRun
from bakeoff.networks.find import find_network
from bakeoff.networks.model import build_network
from bakeoff.networks.weights import load_weights, locate_weights
from bakeoff.runs.config import Model, Run
from bakeoff.runs.predictions import Predictions
from bakeoff.training.head import fit_head
from bakeoff.training.inference import compile_forward, predict_logits
from factories import make_record

__all__ = ["TINY", "learn"]

# Everything that has a state: dropout, augmentation, the order of balanced batches, a moving average, a schedule.
TINY = Run().revised(
    model={"name": "cnn-small", "size": 32, "dropout": 0.3},
    augment={"policy": "crop-mixup"},
    optim={"ema": 0.9},
    train={
        "epochs": None,
        "images": 640,
        "batch": 32,
        "evaluations": 4,
        "deterministic": True,
        "balance": "sampler",
    },
)
EPOCHS = 2


def learn(name: str, size: int, dataset: Dataset) -> FinishedRun:
    """A from-scratch network trained for some epochs, or pretrained weights with a probe for a head."""
    keras.utils.set_random_seed(0)
    row, classes = find_network(name), len(dataset.class_names)
    network = build_network(row, Model(name=name, size=size), side=dataset.side, classes=classes)
    model, train, val = network.model(size), load_split(dataset, "train"), load_split(dataset, "val")
    if row.from_scratch:
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile(keras.optimizers.Adam(2e-3), loss, jit_compile=False)
        model.fit(train.images, train.labels, batch_size=32, epochs=EPOCHS, verbose=0)
    else:
        load_weights(network.backbone, row, locate_weights(row, "auto"))
        sample = load_split(dataset, "train", subset=400)
        head = fit_head(predict_logits(compile_forward(network.features(size)), sample), sample.labels, classes)
        network.head.set_weights([head.kernel, head.bias])
    forward = compile_forward(model)
    predictions = Predictions(predict_logits(forward, val), val.labels, val.ids)
    return FinishedRun(model, make_record(f"{name}@{size}"), dataset, {"val": predictions}, forward)
