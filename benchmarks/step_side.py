"""A side of step.py: the process that takes the steps, and the choice of its fastest variant."""

import statistics
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from commanded import Commanded, GivenUpError
from disturbance import Measured, measure_undisturbed

__all__ = ["Choice", "Side", "Task", "Variant"]

# Steps of a variant whose median decides.
TRIAL_STEPS = 5
# A variant whose last untimed step took this many times as long as a step of the best one is given up.
TOO_SLOW = 3.0
# Seconds for building a network, compiling it and the untimed steps; and without compiling. On a CPU without
# instructions for bfloat16, one step in it can take minutes.
COMPILE_SECONDS, BUILD_SECONDS = 600.0, 120.0


@dataclass(frozen=True)
class Task:
    """What a step computes."""

    network: str
    size: int
    batch: int
    batch_norm: str


@dataclass(frozen=True)
class Variant:
    """How a step computes it."""

    precision: str
    mode: str
    """`graph` for TensorFlow; for PyTorch `eager`, or `compiled` by torch.compile."""

    def __str__(self) -> str:
        return f"{self.precision} {self.mode}"


@dataclass(frozen=True)
class Choice:
    """The fastest variant, which is open now, and what was found of all."""

    variant: Variant
    trials: str
    """Each variant with its images per second, or why it was given up."""


class Side:
    """A process that takes training steps on demand."""

    def __init__(self, python: str, script: Path, variants: Sequence[Variant]) -> None:
        self._process = Commanded([python, str(script)])
        self._variants = variants
        self._batch = 0
        self.versions: str = self._process.greeting["versions"]

    def open_fastest(self, task: Task) -> Choice:
        """Time every variant, by the median of five steps, and open the fastest."""
        rates: dict[Variant, float] = {}
        trials = []
        for variant in self._variants:
            best = task.batch / max(rates.values()) if rates else None
            try:
                measured = self._try(task, variant, best)
                rates[variant] = measured.value
                trials.append(f"{variant} {measured.value:.1f}{' (disturbed)' if measured.is_disturbed else ''}")
            except GivenUpError as error:
                trials.append(f"{variant} given up: {error}")
            sys.stderr.write(f"{task.network}, {task.batch_norm}: {trials[-1]}\n")
        if not rates:
            raise SystemExit(f"no variant of {task.network} could be timed: {'; '.join(trials)}")
        fastest = max(rates, key=rates.__getitem__)
        self._open(task, fastest, COMPILE_SECONDS)
        return Choice(fastest, "; ".join(trials))

    def time(self, steps: int) -> float:
        """Images per second of what is open, from the median of these steps."""
        return self._batch / statistics.median(self._process.ask(f"time {steps}")["seconds"])

    def close(self) -> None:
        """End the process."""
        self._process.close()

    def _try(self, task: Task, variant: Variant, best: float | None) -> Measured[float]:
        """Images per second of a variant; `best` are the seconds of a step of the best variant so far."""
        compiles = variant.mode == "compiled" or best is None
        seconds = self._open(task, variant, COMPILE_SECONDS if compiles else BUILD_SECONDS)
        if best is not None and seconds > TOO_SLOW * best:
            raise GivenUpError(f"a step took {seconds:.1f} s, and {best:.1f} s in the best variant")
        return measure_undisturbed(lambda: self.time(TRIAL_STEPS))

    def _open(self, task: Task, variant: Variant, patience: float) -> float:
        """Build a network and take the steps that are not timed; returns the seconds of the last one."""
        self._batch = task.batch
        question = f"open {task.network} {task.size} {task.batch} {task.batch_norm} {variant.precision} {variant.mode}"
        seconds: list[float] = self._process.ask(question, patience)["seconds"]
        return seconds[-1]
