"""Makes the pictures of the site that show photographs, and the records from which pages describe them.

    python -m scripts.pictures gallery FOLDER   # every task, its own method; a sheet a task
    python -m scripts.pictures settings PHOTO   # every method with several values of its settings; a strip a method
    python -m scripts.pictures angles PHOTO     # SPGD's analysis of angles

They go to `docs/pictures/`. What is made of the same settings, prior and pictures is kept, so a run that was stopped
goes on with the same command. On two CPU cores the gallery of twelve photographs of 256x256 takes hours.
"""

import argparse
import pathlib
import time

import jaxrestore as jr
from benchmarks import _photographs
from jaxrestore import images
from scripts.drawn import angles, gallery, strips
from scripts.site.examples import PICTURES

STRIP_SIDE = 128


def main() -> None:
    """Make what is asked for and not there."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    sheets = commands.add_parser("gallery", help="a sheet for each task")
    _photographs.add_options(sheets, size=None)
    sheets.add_argument("--tasks", nargs="+", default=gallery.TASKS, choices=gallery.TASKS, metavar="TASK")
    rows = commands.add_parser("settings", help="a strip for each method")
    rows.add_argument("--methods", nargs="+", default=[*strips.STRIPS], choices=[*strips.STRIPS], metavar="METHOD")
    curves = commands.add_parser("angles", help="the angles of SPGD's paper")
    for command in (rows, curves):
        command.add_argument("photo", type=pathlib.Path, help="clean picture")
        command.add_argument("--size", type=int, default=STRIP_SIDE, help="use its centre of so many pixels each way")
    for command in (sheets, rows, curves):
        command.add_argument("--again", action="store_true", help="make what is finished again")
        command.add_argument("--out", type=pathlib.Path, default=PICTURES, help="folder for pictures and records")
    options = parser.parse_args()

    prior = jr.load_prior("photo")
    if options.command == "gallery":
        photographs = _photographs.load(options)
        for name in options.tasks:
            _timed(name, gallery.make, name, photographs, prior, options.out / "gallery", again=options.again)
        return
    picture = images.centre(images.load(options.photo), options.size)
    photograph = _photographs.Photographs([options.photo], picture[None])
    if options.command == "angles":
        _timed("angles", angles.make, photograph, prior, options.out, again=options.again)
        return
    for method in options.methods:
        _timed(method, strips.make, method, photograph, prior, options.out / "settings", again=options.again)


def _timed(label, make, *arguments, **options) -> None:
    """Say what was made, and in what time."""
    started = time.perf_counter()
    made = make(*arguments, **options)
    print(f"{label}: {time.perf_counter() - started:.0f} s" if made else f"{label} is there", flush=True)


if __name__ == "__main__":
    main()
