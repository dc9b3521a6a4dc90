"""What the user asks of a study."""

import math
from dataclasses import dataclass
from pathlib import Path

from bakeoff.runs.config import Candidate, Data, Metric, Run

__all__ = ["StudyRequest"]


@dataclass(frozen=True)
class StudyRequest:
    """What the user asks of a study, before the data are read."""

    data: Data
    seed: int | None = None
    """Seed of the runs; None: the recipe's."""
    candidates: tuple[Candidate, ...] = ()
    """Networks and named fields; empty: the default field."""
    weights: tuple[str, ...] = ()
    """`auto`, `none`, PATH or NAME=PATH each; empty: the recipe's."""
    partial: bool = False
    """Whether weight files may hold only a part of their network."""
    recipe: Run | None = None
    mirror: bool | None = None
    """Whether images may be mirrored; None: as in the study that goes on, else the data decide. It is True where a
    recipe or a setting names `augment.policy`, which holds then."""
    metric: Metric | None = None
    """What decides; None: chosen by the classes."""
    budget: float | None = None
    """Wall-clock seconds of a whole job: with more of them for each image, inputs are larger by default."""
    shared: float | None = None
    """Wall-clock seconds that the candidates of a comparison share; None for no limit."""
    out: Path | None = None
    """Folder of the study; None: a name made of `prefix` and the data's name."""
    prefix: str = "bakeoff"
    data_dir: Path | None = None
    offline: bool = False
    """Whether nothing may be downloaded."""
    download_limit: float = math.inf
    """Bytes of weights that may be downloaded."""
    command: str = ""
    """What started the study, as its report names it."""

    def folder(self, data: str) -> Path:
        """Folder of the study of data of this name."""
        return self.out or Path(f"{self.prefix}-{data}")
