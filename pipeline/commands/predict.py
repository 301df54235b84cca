"""Classify pictures of your own, or an image of the test set."""

import argparse
import json
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipeline.commands.table import print_table
from pipeline.core.errors import PipelineError
from pipeline.data import pictures
from pipeline.data.dataset import CLASS_NAMES, TEST, load
from pipeline.data.preprocessing import scale
from pipeline.evaluation.metrics import Probabilities
from pipeline.evaluation.prediction import load_model, predict
from pipeline.experiments.runs import Run, find_run
from pipeline.experiments.workspace import changes

MODEL = Path("models/model.keras")
# What a damaged archive raises, and what Keras does for classes or settings that it does not know.
LOAD_ERRORS = (KeyError, OSError, TypeError, ValueError, zipfile.BadZipFile)
LIKELIEST = 3  # classes shown of a single picture
NONE: Probabilities = np.empty((0, len(CLASS_NAMES)), np.float32)


class Subject(NamedTuple):
    """What is to be classified.

    Attributes:
        name: what to call it.
        pixels: float32 `[28, 28]`, 0 (background) to 1.
        actual: its class, where that is known.
    """

    name: str
    pixels: NDArray[np.float32]
    actual: str | None = None


def configure(parser: argparse.ArgumentParser) -> None:
    """Take pictures, or a row of the test set, and the revision of the model."""
    parser.add_argument(
        "images", nargs="*", type=Path, metavar="IMAGE", help="a PNG, JPEG or WebP file"
    )
    parser.add_argument(
        "--test-index", type=int, metavar="ROW", help="classify this row of the test set, from 0"
    )
    parser.add_argument(
        "--rev",
        help="take the model of this branch, tag, commit or experiment, not the current one",
    )
    parser.add_argument(
        "--json", action="store_true", help="print JSON, with the probabilities of all classes"
    )


def execute(arguments: argparse.Namespace) -> int:
    """Classify what can be read; exit status 0 only if everything could."""
    readers: list[Callable[[], Subject]] = [partial(_picture, path) for path in arguments.images]
    if arguments.test_index is not None:
        readers.append(partial(_test_image, arguments.test_index))
    if not readers:
        raise PipelineError("name a picture, or a row of the test set with --test-index")
    subjects = list(_readable(readers))
    # Not before: TensorFlow takes seconds to start, and nothing should wait that cannot be read.
    probabilities = _classify(subjects, arguments.rev) if subjects else NONE
    if arguments.json:
        _print_json(subjects, probabilities)
    elif len(subjects) > 1:
        header = ["image", "predicted", "probability"]
        print_table(header, _rows(subjects, probabilities), left=2)
    elif subjects:
        _print_likeliest(subjects[0], probabilities[0])
    return 0 if len(subjects) == len(readers) else 1


def _readable(readers: Iterable[Callable[[], Subject]]) -> Iterator[Subject]:
    """Yield what can be read; say of anything else, in a line, why not."""
    for read in readers:
        try:
            yield read()
        except PipelineError as error:
            print(f"error: {_printable(str(error))}", file=sys.stderr)


def _picture(path: Path) -> Subject:
    return Subject(str(path), scale(pictures.read(path)))


def _test_image(row: int) -> Subject:
    try:
        test = load(TEST)
    except FileNotFoundError:
        raise PipelineError(f"{TEST} is missing; run `dvc repro`") from None
    if not 0 <= row < len(test.labels):
        raise PipelineError(f"--test-index is {row}; allowed are 0 to {len(test.labels) - 1}")
    return Subject(f"test image {row}", test.images[row], CLASS_NAMES[test.labels[row]])


def _classify(subjects: Sequence[Subject], revision: str | None) -> Probabilities:
    """Return the probabilities of the classes, by the model of `revision`, or the current one."""
    with _model_file(find_run(revision)) as path:
        try:
            model = load_model(path)
        except LOAD_ERRORS:
            whose = f" of {revision}" if revision else ""
            raise PipelineError(
                f"{MODEL}{whose} is not a model that this version of the project can load"
            ) from None
    return predict(model, np.stack([subject.pixels for subject in subjects]))


@contextmanager
def _model_file(run: Run) -> Iterator[Path]:
    """Give the path of the model, for as long as the block runs; nothing is checked out."""
    if run.commit is None:
        if not MODEL.is_file():
            raise PipelineError(f"{MODEL} is missing; run `dvc repro`")
        if stale := changes(str(MODEL)):
            changed = ", ".join(stale)
            print(f"{MODEL} is stale; run `dvc repro`. Changed since: {changed}", file=sys.stderr)
        yield MODEL
        return
    with tempfile.TemporaryDirectory(prefix="predict-") as folder:
        path = Path(folder, MODEL.name)
        path.write_bytes(run.read(str(MODEL)))
        yield path


def _print_json(subjects: Sequence[Subject], probabilities: Iterable[Probabilities]) -> None:
    content = [
        {
            "image": subject.name,
            "actual": subject.actual,
            "predicted": CLASS_NAMES[row.argmax()],
            "probabilities": dict(zip(CLASS_NAMES, row.tolist(), strict=True)),
        }
        for subject, row in zip(subjects, probabilities, strict=True)
    ]
    print(json.dumps(content, indent=2))


def _print_likeliest(subject: Subject, probabilities: Probabilities) -> None:
    print(_label(subject))
    for index in np.argsort(-probabilities, kind="stable")[:LIKELIEST]:
        print(f"{probabilities[index]:8.1%}  {CLASS_NAMES[index]}")


def _rows(subjects: Sequence[Subject], probabilities: Probabilities) -> list[list[str]]:
    return [
        [_label(subject), CLASS_NAMES[row.argmax()], f"{row.max():.1%}"]
        for subject, row in zip(subjects, probabilities, strict=True)
    ]


def _label(subject: Subject) -> str:
    name = _printable(subject.name)
    return f"{name}, actually {subject.actual}" if subject.actual else name


def _printable(text: str) -> str:
    """Return text as it is, or escaped where a file's name would break the line."""
    return text if text.isprintable() else ascii(text)
