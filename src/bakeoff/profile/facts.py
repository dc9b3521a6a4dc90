"""The facts of a profile: what single runs were measured to take on one device, and an estimate with its basis."""

from enum import StrEnum

from bakeoff.profile.device import Device
from bakeoff.runs.config import Mode, Precision
from bakeoff.runs.facts import Facts

__all__ = ["Basis", "Estimate", "Finish", "Observation", "Profile", "Timing", "Variant"]

# The newest observations of the same kind that are kept, and used.
KEPT = 5


class Basis(StrEnum):
    """What an estimate rests on, the best first."""

    MEASURED = "measured"
    """The same network at the same input size, on this device."""
    SCALED = "scaled"
    """The same network at another input size, on this device."""
    RELATED = "related"
    """Other runs on this device: with other threads, or of other networks, by the arithmetic that each needs."""
    ASSUMED = "assumed"
    """Nothing was measured on this device yet."""


class Estimate(Facts):
    """A predicted quantity and what it rests on."""

    value: float
    basis: Basis


class Observation(Facts):
    """What one finished run measured. Times in seconds, memory in bytes."""

    network: str
    size: int
    """Side of the input in pixels."""
    mode: Mode
    precision: str
    threads: int
    """CPU threads that the run had."""
    images_per_second: float
    """In training; for a probe, forward through the frozen backbone. 0 where it was not measured."""
    scored_per_second: float = 0.0
    """Images per second when scoring; 0 where it was not measured."""
    overhead: float
    """Wall clock of the run besides training, scoring and compiling: start, imports, loading, saving."""
    compile: float = 0.0
    """Compiling, for each input size."""
    fitted_per_second: float = 0.0
    """In fitting a linear head: images times classes per second; 0 where it was not measured."""
    memory_predicted: int = 0
    memory_modelled: int = 0
    """What `training/memory` counts, before it is corrected by the profile."""
    memory_measured: int = 0
    """Peak above the framework and the images; 0 where it was not measured."""
    date: str = ""
    """When it was measured, in ISO 8601."""

    @property
    def kind(self) -> tuple[str, int, Mode, str, int]:
        """Observations of the same kind replace each other."""
        return self.network, self.size, self.mode, self.precision, self.threads


class Variant(Facts):
    """How a training step is computed."""

    precision: Precision = Precision.FLOAT32
    jit_compile: bool = False
    """Whether XLA compiles it."""


class Timing(Facts):
    """What a few seconds with one network have measured, before any run."""

    forward: float
    """Images per second forward through the backbone."""
    training: float
    """Images per second in training."""
    compiling_forward: float
    """Seconds of the first forward pass, which compiles it."""
    compiling_step: float
    """Seconds of the first training step, which compiles it."""
    timed: float
    """Seconds of the passes, steps and trials of variants that were timed."""
    variant: Variant | None = None
    """The variant of a training step that was the fastest; None without a GPU, where none is tried."""


class Finish(Facts):
    """What followed the last run of a study: the test split, the bundle and the report."""

    network: str
    size: int
    images: int
    """Images that were scored in it."""
    seconds: float


class Profile(Facts):
    """Everything that was measured on one device."""

    device: Device
    observations: tuple[Observation, ...] = ()
    """The oldest first."""
    finishes: tuple[Finish, ...] = ()
    variant: Variant | None = None
    """The fastest variant of a training step; None if none was tried."""

    @property
    def is_timed(self) -> bool:
        """Whether paces were measured, and on a GPU the variants of a training step tried."""
        return bool(self.observations) and (self.variant is not None or not self.device.gpus)

    def with_observation(self, observation: Observation) -> "Profile":
        """The profile with one more observation; of each kind the newest few are kept."""
        same = [each for each in self.observations if each.kind == observation.kind]
        dropped = same[: max(0, len(same) - KEPT + 1)]
        kept = [each for each in self.observations if not any(each is old for old in dropped)]
        return self.model_copy(update={"observations": (*kept, observation)})

    def with_finish(self, finish: Finish) -> "Profile":
        """The profile with one more measured end of a study."""
        return self.model_copy(update={"finishes": (*self.finishes, finish)[-4 * KEPT :]})
