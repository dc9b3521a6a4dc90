"""Verbs that use a result: predict."""

from pathlib import Path
from typing import Annotated

import typer

from bakeoff.cli.options import JsonOption
from bakeoff.cli.output import print_json, print_line, require_tensorflow
from bakeoff.errors import BundleError

__all__ = ["predict"]


def predict(
    bundle: Annotated[Path, typer.Argument(help="The bundle folder of a study.", metavar="BUNDLE")],
    images: Annotated[list[Path], typer.Argument(help="Image files, or folders of them.", metavar="IMAGE...")],
    *,
    top: Annotated[int, typer.Option(help="How many classes to name.", min=1)] = 5,
    as_json: JsonOption = False,
) -> None:
    """Name what is on images, likeliest class first.

    **Example**: `bakeoff predict bakeoff-cifar100/bundle cat.png`
    """
    from bakeoff.pixels import IMAGE_SUFFIXES
    from bakeoff.serve import open_bundle

    paths: list[Path] = []
    for path in images:
        if path.is_dir():
            paths.extend(sorted(found for found in path.rglob("*") if found.suffix.lower() in IMAGE_SUFFIXES))
        else:
            paths.append(path)
    if not paths:
        raise BundleError(f"there are no images in {images[0]}; give files ending in {', '.join(IMAGE_SUFFIXES)}")
    require_tensorflow()
    answers = list(open_bundle(bundle).predict(paths, top=top))
    if as_json:
        print_json(
            [
                {
                    "path": answer.path,
                    "top": [{"label": label, "probability": probability} for label, probability in answer.top],
                    "error": answer.error,
                }
                for answer in answers
            ]
        )
    else:
        for answer in answers:
            print_line(answer.path if answer.error is None else f"{answer.path}: {answer.error}")
            for label, probability in answer.top:
                print_line(f"  {probability:7.2%}  {label}")
    unread = sum(answer.error is not None for answer in answers)
    if unread:
        raise BundleError(f"{unread} of {len(answers)} images could not be read; the others were answered")
