"""Jobs besides runs, each in a fresh process on this machine: test split, bundle, predictions, weights, labels."""

import math
import tempfile
from collections.abc import Sequence
from pathlib import Path

from bakeoff.data.checks import HeldOut
from bakeoff.deploy.bundle import Format, Quantize, ThresholdRule, advise, closer_forms, format_label
from bakeoff.deploy.contract import ContractCheck
from bakeoff.errors import BakeoffError, BundleError, InputError, WeightsError
from bakeoff.files import read_json, write_json
from bakeoff.launch.process import ENDED_BY_SIGNAL, OVER_LIMIT, Ended, Worker
from bakeoff.launch.spare import Spare
from bakeoff.locks import clear_left
from bakeoff.machine import count_cores, thread_environment
from bakeoff.networks.backbone import Backbone
from bakeoff.profile import Timing, add_observation, keep_variant, observe_timing
from bakeoff.runs.config import Run
from bakeoff.runs.events import OnProgress, RunProgress
from bakeoff.runs.folder import SPLITS_SCORED, RunFolder, SplitScored
from bakeoff.runs.predictions import Predictions, has_predictions, read_predictions
from bakeoff.runs.record import OUT_OF_MEMORY, RunRecord, read_record

__all__ = [
    "check_weights",
    "draw_heat_maps",
    "export_bundle",
    "fetch_preset",
    "open_test",
    "predict_again",
    "score_held_out",
    "time_network",
    "try_contract",
]


def open_test(
    folder: Path,
    data: Path,
    on_progress: OnProgress | None = None,
    *,
    bundle: Path | None = None,
    maps: bool = False,
    spare: Spare | None = None,
) -> RunRecord:
    """Score a finished run on the locked test split. Each opening is counted in the record.

    Args:
        folder: The run's folder.
        data: The folder of the shards.
        on_progress: Called with each progress event.
        bundle: Where to write the bundle, in the same process; None for no bundle.
        maps: Whether to draw heat maps for the report as well, in the same process; only with a bundle.
        spare: The process that may have been started ahead.

    Returns:
        The record, with its test scores.

    Raises:
        InputError: The run or the data cannot be used.
        BakeoffError: The process failed.
    """
    try:
        arguments: list[str | Path] = [folder, data]
        if bundle:
            arguments += [bundle, "maps"] if maps else [bundle]
        _run_job("test", arguments, RunFolder(folder).log, on_progress, spare)
    finally:
        # A worker that is killed cannot delete its half-written folder.
        if bundle:
            clear_left(bundle.absolute().parent)
    return read_record(folder)


def draw_heat_maps(folder: Path, data: Path, on_progress: OnProgress | None = None) -> None:
    """Draw heat maps of where a finished run's model looked, for the images that the report shows.

    Args:
        folder: The run's folder.
        data: The folder of the shards.
        on_progress: Called with each progress event.

    Raises:
        BakeoffError: The process failed. If only the maps did, their file says why.
    """
    _run_job("maps", [folder, data], RunFolder(folder).log, on_progress)


def export_bundle(
    folder: Path,
    data: Path,
    bundle: Path,
    kind: tuple[Format, Quantize | None] | None = None,
    on_progress: OnProgress | None = None,
    *,
    rule: ThresholdRule | None = None,
) -> None:
    """Write the bundle of a finished run.

    Args:
        folder: The run's folder.
        data: The folder of the shards.
        bundle: The folder to write.
        kind: The format, and how it is quantised; None for Keras. If it is given, the exported model is timed as well.
        on_progress: Called with each progress event.
        rule: From which confidence answers count; None marks no answer as unsure. It needs a format.

    Raises:
        InputError: The run or the data cannot be used, the rule cannot be kept, or the format cannot be written.
        BakeoffError: The process failed.
    """
    model_format, quantize = kind or (Format.KERAS, None)
    arguments: list[str | Path] = [folder, data, bundle]
    if kind:
        arguments += [model_format, quantize or "", *map(str, rule or ())]
    steps = [""]

    def watch(event: RunProgress) -> str | None:
        steps.append(event.doing)
        return on_progress(event) if on_progress else None

    log = RunFolder(folder).log
    try:
        ended = Worker("bundle", arguments, log).follow(on_progress=watch)
    finally:
        # A worker that is killed cannot delete its half-written folder.
        clear_left(bundle.absolute().parent)
    if ended.input_error:
        raise InputError(ended.input_error)
    if ended.failure:
        what = f"{format_label(model_format, quantize)} of run {folder.name}"
        while_doing = f" while {steps[-1]}" if steps[-1] else ""
        message = f"{what} cannot be written: {ended.failure}{while_doing}"
        if ended.failure.startswith(OUT_OF_MEMORY):
            mend = "close other programs, or export the run on a machine with more memory"
        elif ended.lost:
            mend = "export it again"
        elif ended.failure.startswith(ENDED_BY_SIGNAL) and while_doing:
            closer = [
                f"--quantize {kind}" if kind else "no --quantize" for kind in closer_forms(model_format, quantize)
            ]
            mend = f"choose {closer[0]}" if closer else advise(model_format)
        else:
            raise BakeoffError(f"{message}; see {log}")
        raise BundleError(f"{message}; {mend}; see {log}")


def predict_again(folder: Path, data: Path, on_progress: OnProgress | None = None) -> dict[SplitScored, Predictions]:
    """Compute the predictions of a finished run's model again, on the splits for which the run has stored some.

    Args:
        folder: The run's folder, in which nothing is changed.
        data: The folder of the shards.
        on_progress: Called with each progress event.

    Returns:
        The predictions by split.

    Raises:
        InputError: The run's model or the data cannot be used.
        BakeoffError: The process failed.
    """
    with tempfile.TemporaryDirectory(prefix="bakeoff-") as temporary:
        target = Path(temporary)
        log = RunFolder(target).log
        ended = Worker("again", [folder, data, target], log).follow(on_progress=on_progress)
        if ended.input_error:
            raise InputError(ended.input_error)
        if ended.failure:
            raise BakeoffError(_with_last_line(ended, log))
        return {split: read_predictions(target, split) for split in SPLITS_SCORED if has_predictions(target, split)}


def fetch_preset(name: str, on_progress: OnProgress | None = None, *, limit_bytes: float = math.inf) -> None:
    """Download a preset into the cache of its hub, and check that it is an image network.

    Args:
        name: The preset.
        on_progress: Called with each progress event.
        limit_bytes: Bytes that may be downloaded.

    Raises:
        WeightsError: That fails; without a connection this takes seconds.
    """
    with tempfile.TemporaryDirectory(prefix="bakeoff-") as home:
        ended = Worker("preset", [name, str(limit_bytes)], RunFolder(Path(home)).log).follow(on_progress=on_progress)
        if ended.input_error:
            raise WeightsError(ended.input_error)
        if ended.failure:
            raise WeightsError(f"cannot download {name} ({_with_last_line(ended, RunFolder(Path(home)).log)})")


def check_weights(spec: Backbone, size: int, file: Path | None = None, *, partial: bool = False) -> None:
    """Load a weight file into a network and forget it, so that a wrong file is known before anything is trained.

    Args:
        spec: The network.
        size: Side of its input in pixels.
        file: The weight file; None for the weights that the network has on this machine.
        partial: Whether the file may hold only a part of the network.

    Raises:
        WeightsError: The file does not fit.
        BakeoffError: The process failed.
    """
    arguments = [spec.name, str(size), str(file or ""), *(["partial"] if partial else [])]
    with tempfile.TemporaryDirectory() as home:
        log = RunFolder(Path(home)).log
        ended = Worker("check", arguments, log).follow()
        if ended.input_error:
            raise WeightsError(ended.input_error)
        if ended.failure:
            raise BakeoffError(f"cannot check {file or spec.preset}: {_with_last_line(ended, log)}")


def _with_last_line(ended: Ended, log: Path) -> str:
    """Why a process failed, with the last line of its log, which is not kept."""
    last = log.read_text(encoding="utf-8", errors="replace").strip().rpartition("\n")[2]
    return ended.failure if last in ended.failure else f"{ended.failure}: {last}"


def time_network(run: Run, threads: int, limit: float | None = None) -> bool:
    """Time the network of a recipe for about two seconds, and add what was measured to this machine's profile.

    Args:
        run: The recipe.
        threads: CPU threads of the process.
        limit: Wall-clock seconds after which the process is ended; None for no limit.

    Returns:
        Whether it was done within the limit.

    Raises:
        BakeoffError: The process failed.
    """
    with tempfile.TemporaryDirectory(prefix="bakeoff-") as temporary:
        folder = Path(temporary)
        target = folder / "timing.json"
        write_json(RunFolder(folder).config, run.model_dump(mode="json"))
        environment = thread_environment(threads) if threads < count_cores() else {}
        ended = Worker("time", [folder, target], RunFolder(folder).log, environment).follow(limit)
        if ended.failure.startswith(OVER_LIMIT):
            return False
        if ended.failure or ended.input_error:
            reason = ended.input_error or _with_last_line(ended, RunFolder(folder).log)
            raise BakeoffError(f"cannot time {run.candidate}: {reason}")
        timing = Timing.model_validate(read_json(target))
    if timing.variant is not None:
        keep_variant(timing.variant)
        run = run.revised(train={"precision": timing.variant.precision, "xla": timing.variant.jit_compile})
    for observation in observe_timing(run, timing, ended.seconds, threads):
        add_observation(observation)
    return True


def try_contract(network: str, on_progress: OnProgress | None = None) -> list[ContractCheck]:
    """Try what every network must do on one of them, in about a minute.

    Args:
        network: Its name.
        on_progress: Called with each progress event.

    Raises:
        InputError: The network cannot be used at all.
        BakeoffError: The process failed.
    """
    with tempfile.TemporaryDirectory(prefix="bakeoff-") as temporary:
        target, log = Path(temporary) / "contract.json", RunFolder(Path(temporary)).log
        ended = Worker("contract", [network, target], log).follow(on_progress=on_progress)
        if ended.input_error:
            raise InputError(ended.input_error)
        if ended.failure:
            raise BakeoffError(f"{network} cannot be checked: {_with_last_line(ended, log)}")
        return [ContractCheck.model_validate(each) for each in read_json(target)]


def score_held_out(run: Run, data: Path, on_progress: OnProgress | None = None) -> HeldOut:
    """Score the images of all splits, each by a linear head that has not seen it.

    Args:
        run: The recipe of a probe: network, input size, classes.
        data: The folder of the shards.
        on_progress: Called with each progress event.

    Returns:
        The images with their probabilities.

    Raises:
        InputError: The data or the weights cannot be used.
        BakeoffError: The process failed.
    """
    with tempfile.TemporaryDirectory(prefix="bakeoff-") as temporary:
        folder = Path(temporary)
        target = folder / "held-out.npz"
        write_json(RunFolder(folder).config, run.model_dump(mode="json"))
        ended = Worker("labels", [folder, data, target], RunFolder(folder).log).follow(on_progress=on_progress)
        if ended.input_error:
            raise InputError(ended.input_error)
        if ended.failure:
            reason = _with_last_line(ended, RunFolder(folder).log)
            raise BakeoffError(f"suspicious labels cannot be searched for: {reason}; --no-labels leaves them out")
        return HeldOut.read(target)


def _run_job(
    job: str, arguments: Sequence[str | Path], log: Path, on_progress: OnProgress | None, spare: Spare | None = None
) -> None:
    ended = Worker(job, arguments, log, spare=spare).follow(on_progress=on_progress)
    if ended.input_error:
        raise InputError(ended.input_error)
    if ended.failure:
        raise BakeoffError(f"{ended.failure}; see {log}")
