"""Say what a run would see: images by class and split, pixels, copies within and across splits."""

import argparse
import json
from typing import Any

from pipeline.commands._table import print_table
from pipeline.data import summary
from pipeline.data.dataset import DESCRIPTION, load_description


def configure(parser: argparse.ArgumentParser) -> None:
    """Take the form of the output."""
    parser.add_argument("--json", action="store_true", help="print one JSON document instead")


def execute(arguments: argparse.Namespace) -> int:
    """Summarise the processed sets, as `dvc repro preprocess` leaves them."""
    found = summary.summarise(load_description(DESCRIPTION))
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
        for first, row, second, copy in found[kind]["examples"]:
            print(f"  {second} image {copy} of {first} image {row}")
