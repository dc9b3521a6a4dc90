"""What runs will take on this machine: wall-clock seconds from the machine's profile. Pure functions."""

from collections.abc import Iterable
from dataclasses import dataclass

from bakeoff.networks.find import find_network
from bakeoff.profile import (
    Basis,
    Estimate,
    Profile,
    observe,
    predict_finish,
    predict_fitting,
    predict_overhead,
    predict_rate,
)
from bakeoff.runs.config import Candidate, Mode
from bakeoff.runs.record import RunRecord

__all__ = ["Forecast"]


@dataclass(frozen=True)
class Forecast:
    """Predicts the time of runs from a machine's profile."""

    profile: Profile
    threads: int
    """CPU threads of each run."""

    def with_records(self, records: Iterable[RunRecord]) -> "Forecast":
        """The forecast with what these runs have measured as well."""
        profile = self.profile
        for record in records:
            if observation := observe(record, self.threads):
                profile = profile.with_observation(observation)
        return Forecast(profile, self.threads)

    def rate(self, candidate: Candidate, mode: Mode) -> Estimate:
        """Images per second through a candidate, in training or forward."""
        return predict_rate(self.profile, find_network(candidate.name), _side(candidate), mode, threads=self.threads)

    def overhead(self, candidate: Candidate, mode: Mode, *, sizes: int = 1) -> float:
        """Wall-clock seconds of a run besides training and scoring. It trains at so many input sizes."""
        network = find_network(candidate.name)
        return predict_overhead(self.profile, network, mode, threads=self.threads, sizes=sizes).value

    def scoring(self, candidate: Candidate, images: int) -> float:
        """Wall-clock seconds for scoring so many images; an image whose mirror image is scored too counts twice."""
        return images / self.rate(candidate, Mode.PROBE).value

    def fitting(self, candidate: Candidate, fits: int, images: int, classes: int) -> float:
        """Wall-clock seconds for fitting so many linear heads, each on so many images of so many classes."""
        network = find_network(candidate.name)
        return predict_fitting(self.profile, network, fits, images, classes, threads=self.threads).value

    def finish(self, candidate: Candidate, images: int) -> float:
        """Wall-clock seconds after the last run of a study, with so many images of test to score."""
        network = find_network(candidate.name)
        return predict_finish(self.profile, network, _side(candidate), images, threads=self.threads).value

    def describe(self, candidates: Iterable[Candidate]) -> str:
        """What the predictions for these candidates rest on, in one line."""
        by_basis: dict[Basis, list[str]] = {}
        for candidate in candidates:
            by_basis.setdefault(self.rate(candidate, Mode.PROBE).basis, []).append(str(candidate))
        texts = {
            Basis.MEASURED: "measured on this machine",
            Basis.SCALED: "measured at another input size",
            Basis.RELATED: "scaled from other networks on this machine",
            Basis.ASSUMED: "assumed, because nothing was measured on this machine yet",
        }
        parts = [(text, by_basis[basis]) for basis, text in texts.items() if basis in by_basis]
        if len(parts) == 1:
            return f"images per second {parts[0][0]}"
        return "images per second " + "; ".join(f"{text} ({', '.join(names)})" for text, names in parts)


def _side(candidate: Candidate) -> int:
    assert candidate.size is not None
    return candidate.size
