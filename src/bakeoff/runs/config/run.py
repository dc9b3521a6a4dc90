"""The whole config of a run, and its id. Configs are immutable and validated on creation."""

import re
from typing import Any, Self

from bakeoff.files import hash_json
from bakeoff.runs.config.augment import Augment
from bakeoff.runs.config.data import Data, Section
from bakeoff.runs.config.model import Model, Side
from bakeoff.runs.config.optim import Optim
from bakeoff.runs.config.train import Train

__all__ = ["RECIPE_VERSION", "Candidate", "Run", "WeightsChoice", "run_id"]

# Raise it by hand whenever an unchanged config would train differently: it is part of every run id.
RECIPE_VERSION = 1
# Keys that version 0.1.0 did not have, by section: an id leaves them out where they have their default.
_ADDED = {"model": ("source", "lora"), "train": ("xla", "metric", "balance", "with_val", "folds", "probe_views")}


class Run(Section):
    """The config of a run: everything that its result depends on, apart from the data and the weights themselves."""

    data: Data = Data()
    model: Model = Model()
    augment: Augment = Augment()
    optim: Optim = Optim()
    train: Train = Train(epochs=5)
    seed: int = 0
    """Seed of the initial weights, the order of the data, augmentation and dropout."""

    @property
    def candidate(self) -> str:
        """The network and its input size, as in `mobilenet-v2@96`."""
        return f"{self.model.name}@{self.model.size}"

    def revised(self, **changes: dict[str, Any]) -> Self:
        """A validated copy with some keys replaced, as in `run.revised(train={"epochs": 3})`."""
        raw = self.model_dump()
        for section, values in changes.items():
            raw[section] |= values
        return self.model_validate(raw)


class Candidate(Section):
    """A network by name, and its input size; None: the study chooses the size."""

    name: str
    size: Side | None = None

    @classmethod
    def of(cls, run: Run) -> Self:
        """The network of a run, at the run's input size."""
        return cls(name=run.model.name, size=run.model.size)

    @classmethod
    def read(cls, text: str) -> Self:
        """The candidate of `NAME` or `NAME@SIZE`, as `str` writes it. A name may be a path with an `@` of its own."""
        match = re.fullmatch(r"(.+)@(\d{1,4})", text, re.DOTALL)
        return cls(name=match[1], size=int(match[2])) if match else cls(name=text)

    def __str__(self) -> str:
        return self.name if self.size is None else f"{self.name}@{self.size}"


class WeightsChoice(Section):
    """The starting weights of each network of a study: `auto`, `none`, or the path of a weights file."""

    default: str = "auto"
    """The choice for networks that `named` lacks."""
    named: dict[str, str] = {}
    """Choices for single networks, by name; they override the default."""
    partial: bool = False
    """Whether files may hold only some of their network's tensors."""

    def of(self, network: str) -> str:
        """The choice for a network, by name."""
        return self.named.get(network, self.default)


def run_id(run: Run, data_fingerprint: str, weights_fingerprint: str) -> str:
    """The id of a run: 12 hexadecimal digits, a hash of its config, its data, its weights and RECIPE_VERSION.

    Paths (`data.source`, `model.weights`, `model.start`) are left out: the fingerprints identify the contents, wherever
    they are stored. A key that version 0.1.0 did not have is left out at its default, so that older ids hold.
    """
    config = run.model_dump(mode="json", exclude={"data": True, "model": {"weights", "start"}})
    for section, keys in _ADDED.items():
        fields = type(getattr(run, section)).model_fields
        for key in keys:
            if getattr(getattr(run, section), key) == fields[key].default:
                del config[section][key]
    parts = [RECIPE_VERSION, config, data_fingerprint, weights_fingerprint]
    return hash_json(parts)[:12]
