"""What runs will take on this machine: wall-clock seconds from the machine's profile. Pure functions."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

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
from bakeoff.runs.config import INTERIM_IMAGES, Candidate, Mode, Run
from bakeoff.runs.record import RunRecord

__all__ = ["Forecast", "count_scored"]


def count_scored(
    val_images: int, *, evaluations: int, from_head: bool = True, flips: bool = False, patience: bool = False
) -> int:
    """Images that a training run scores; an image whose mirror image is scored too counts twice.

    They are a part of the validation images at the start and at each evaluation on the way; at the end all of them, and
    that part again, to compare it with the start. Where both are the same, they are scored once.

    Args:
        val_images: Validation images of the run.
        evaluations: Its evaluations; the last is the one at the end.
        from_head: Whether it starts from a trained head, whose score is compared with that at the end.
        flips: Whether mirror images are scored too.
        patience: Whether it may stop early: then all images are scored each time, and at the end those of the last
            weights and of the best.
    """
    part, whole = min(INTERIM_IMAGES, val_images), (1 + flips) * val_images
    if patience:
        part = val_images
    on_the_way = (evaluations - 1) * (whole if patience else part)
    compared = part if from_head and (flips or part < val_images) else 0
    return from_head * part + on_the_way + compared + (1 + patience) * whole


@dataclass(frozen=True)
class Forecast:
    """Predicts the time of runs from a machine's profile."""

    profile: Profile
    threads: int
    """CPU threads of each run, where as many as there are slots run in parallel."""

    def for_stage(self, runs: int) -> "Forecast":
        """The forecast for a stage of this many runs. If they are fewer than the slots, each has more threads.

        They are as many as `Executor.for_stage` gives it.
        """
        return replace(self, threads=max(self.threads, self.profile.device.cores // runs))

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

    def whole(self, run: Run, counts: Mapping[str, int]) -> float:
        """Wall-clock seconds of a training run; `counts` are the images of the data by split."""
        return self.training(run, counts) + self.around(run, counts)

    def training(self, run: Run, counts: Mapping[str, int]) -> float:
        """Wall-clock seconds that a run trains for; `counts` are the images of the data by split."""
        train = run.train
        if train.seconds is not None:
            return train.seconds
        learned = (train.subset or counts.get("train", 0)) + (counts.get("val", 0) if train.with_val else 0)
        images = train.images or (train.epochs or 0.0) * learned
        return images / self.rate(Candidate.of(run), Mode.FIT).value

    def around(self, run: Run, counts: Mapping[str, int]) -> float:
        """Wall-clock seconds of a training run besides its training; `counts` are the images of the data by split."""
        candidate = Candidate.of(run)
        return self.overhead(candidate, Mode.FIT, sizes=1 + len(run.train.sizes)) + self.scoring_of(run, counts)

    def scoring_of(self, run: Run, counts: Mapping[str, int]) -> float:
        """Wall-clock seconds that a training run scores for; `counts` are the images of the data by split."""
        train = run.train
        if train.with_val:
            return 0.0
        scored = count_scored(
            min(train.val_images or counts.get("val", 0), counts.get("val", 0)),
            evaluations=train.evaluations,
            from_head=bool(train.probe_images or run.model.start),
            flips=train.flip_test,
            patience=train.patience > 0,
        )
        return self.scoring(Candidate.of(run), scored)

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
            Basis.RELATED: "scaled from other runs on this machine",
            Basis.ASSUMED: "assumed, because nothing was measured on this machine yet",
        }
        parts = [(text, by_basis[basis]) for basis, text in texts.items() if basis in by_basis]
        if len(parts) == 1:
            return f"images per second {parts[0][0]}"
        return "images per second " + "; ".join(f"{text} ({', '.join(names)})" for text, names in parts)


def _side(candidate: Candidate) -> int:
    assert candidate.size is not None
    return candidate.size
