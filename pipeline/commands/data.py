"""Say what a run would see: images by class and split, pixels, copies within and across splits."""

import argparse
import json
import sys
from typing import Any

from pipeline.commands._table import print_table
from pipeline.core.params_file import check_params, read_declared
from pipeline.data import summary
from pipeline.data.dataset import DESCRIPTION, TRAIN, load_description
from pipeline.experiments.workspace import changes
from stages.preprocess import Params


def configure(parser: argparse.ArgumentParser) -> None:
    """Take the form of the output."""
    parser.add_argument("--json", action="store_true", help="print one JSON document instead")


def execute(arguments: argparse.Namespace) -> int:
    """Summarise the processed sets, as `dvc repro preprocess` leaves them.

    Files are named only where parameters and raw data are those that the sets were made with.
    """
    description = load_description(DESCRIPTION)
    if stale := changes(str(TRAIN)):
        paths = {}
        print(
            "stale, so that files are not named; run `dvc repro preprocess`. "
            f"Changed since: {', '.join(stale)}",
            file=sys.stderr,
        )
    else:
        params = check_params(Params, read_declared(["preprocess"])).preprocess
        paths = summary.file_paths(description, params)
    found = {"stale": stale} | summary.summarise(description)
    for kind in ("copies", "near_copies"):
        found[kind]["examples"] = [
            [first, row, second, copy, *(paths.get(p) for p in ((first, row), (second, copy)))]
            for first, row, second, copy in found[kind]["examples"]
        ]
    if arguments.json:
        print(json.dumps(found, indent=2, ensure_ascii=False))
    else:
        _print(found)
    return 0


def _print(found: dict[str, Any]) -> None:
    splits = list(found["images"])
    print(f"{found['name']}: images of {' by '.join(map(str, found['shape']))}\n")
    rows = [[name, *map(str, counts.values())] for name, counts in found["classes"].items()]
    print_table(
        ["images", *splits],
        [*rows, ["all", *map(str, found["images"].values())]],
    )
    print(f"\nSmallest classes: {', '.join(found['smallest'])}")
    for split, pixels in found["pixels"].items():
        values = ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in pixels.items())
        print(f"Pixels of {split}, 0 to 1: {values or 'none'}")
    for kind in ("copies", "near_copies"):
        counts = found[kind]["images"]
        listed = ", ".join(f"{count} {where}" for where, count in counts.items())
        print(f"{kind.replace('_', ' ').capitalize()}: {listed or 'none'}")
        for first, row, second, copy, path, other in found[kind]["examples"]:
            files = f" ({other}, {path})" if path else ""
            print(f"  {second} image {copy} of {first} image {row}{files}")
