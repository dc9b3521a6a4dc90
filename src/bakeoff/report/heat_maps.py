"""Heat maps of where the winner's model looked: drawn for the report in a worker process, if they are not there."""

import importlib.util
from collections.abc import Callable
from pathlib import Path

from bakeoff.data.shards import find_dataset
from bakeoff.errors import BakeoffError
from bakeoff.launch import draw_heat_maps
from bakeoff.report.winner import find_winner
from bakeoff.runs.folder import RunFolder, run_dir
from bakeoff.runs.heat_maps import HeatMaps, choose_images, read_heat_maps, write_heat_maps
from bakeoff.runs.predictions import has_predictions, read_predictions
from bakeoff.runs.record import RunRecord, list_records
from bakeoff.runs.shipped import find_confirmed
from bakeoff.runs.study_file import read_study

__all__ = ["provide_heat_maps"]

OnCount = Callable[[str, int, int], None]


def provide_heat_maps(out: Path, on_count: OnCount, *, wanted: bool = True) -> None:
    """Draw the heat maps of the winner, unless they are there, or its model or its images are not.

    Args:
        out: The study's folder.
        on_count: Called with a description, how much is done, and how much there is.
        wanted: False deletes them instead, so that the page has none.

    Raises:
        OutputError: A file of the study is damaged.
    """
    records = list_records(out)
    winner = find_winner(read_study(out), records)
    if winner is None:
        return
    shown = find_confirmed(winner, records)
    folder = run_dir(out, shown.id)
    if not wanted:
        RunFolder(folder).heat_maps.unlink(missing_ok=True)
    elif _can_draw(folder) and not _has_all(folder):
        _draw(shown, folder, on_count)


def _can_draw(folder: Path) -> bool:
    is_runnable = RunFolder(folder).model.is_file() and importlib.util.find_spec("tensorflow") is not None
    return is_runnable and has_predictions(folder, "val") and bool(read_predictions(folder, "val").ids)


def _has_all(folder: Path) -> bool:
    predictions, found = read_predictions(folder, "val"), read_heat_maps(folder)
    if found is None or not found.maps:
        return False
    shown = {predictions.ids[place] for places in choose_images(predictions) for place in places}
    return bool(found.missing) or shown <= found.maps.keys()


def _draw(record: RunRecord, folder: Path, on_count: OnCount) -> None:
    view = record.view
    dataset = find_dataset(record.data.fingerprint, view.classes, view.seed, view.fit)
    if dataset is None:
        return
    on_count("heat maps", 0, 100)
    try:
        draw_heat_maps(folder, dataset.folder, lambda event: on_count("heat maps", round(100 * event.fraction), 100))
    except BakeoffError as error:  # the report is written all the same, and says why it has no maps
        write_heat_maps(folder, HeatMaps(None, missing=f"The heat maps could not be drawn: {error}."))
