"""Classify pictures of your own, or an image of the test set."""

import argparse
import json
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipeline.core.errors import PipelineError
from pipeline.data import pictures
from pipeline.data.dataset import CLASS_NAMES, TEST, load
from pipeline.data.preprocessing import scale
from pipeline.evaluation.metrics import Probabilities
from pipeline.evaluation.prediction import load_model, predict
from pipeline.experiments import revisions

MODEL = Path("models/model.keras")
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
        _print_table(subjects, probabilities)
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
    test = load(TEST)
    if not 0 <= row < len(test.labels):
        raise PipelineError(f"--test-index is {row}; allowed are 0 to {len(test.labels) - 1}")
    return Subject(f"test image {row}", test.images[row], CLASS_NAMES[test.labels[row]])


def _classify(subjects: Sequence[Subject], revision: str | None) -> Probabilities:
    """Return the probabilities of the classes, by the model of `revision`, or the current one."""
    with _model_file(revision) as path:
        model = load_model(path, name=f"{MODEL} of {revision}" if revision else "")
    return predict(model, np.stack([subject.pixels for subject in subjects]))


@contextmanager
def _model_file(revision: str | None) -> Iterator[Path]:
    """Give the path of the model, for as long as the block runs; nothing is checked out."""
    if revision is None:
        yield MODEL
        return
    with tempfile.TemporaryDirectory(prefix="predict-") as folder:
        path = Path(folder, MODEL.name)
        path.write_bytes(_recorded_model(revision))
        yield path


def _recorded_model(revision: str) -> bytes:
    try:
        return revisions.read_bytes(str(MODEL), revisions.resolve(revision))
    except FileNotFoundError:
        raise PipelineError(
            f"{MODEL} of {revision} is neither in DVC's cache nor in its remote; "
            "try `dvc fetch --all-commits`"
        ) from None


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


def _print_table(subjects: Sequence[Subject], probabilities: Probabilities) -> None:
    labels = ["image", *map(_label, subjects)]
    predicted = ["predicted", *(CLASS_NAMES[row.argmax()] for row in probabilities)]
    confidence = ["probability", *(f"{row.max():.1%}" for row in probabilities)]
    widths = [max(map(len, column)) for column in (labels, predicted, confidence)]
    for label, kind, share in zip(labels, predicted, confidence, strict=True):
        print(f"{label:<{widths[0]}}  {kind:<{widths[1]}}  {share:>{widths[2]}}")


def _label(subject: Subject) -> str:
    name = _printable(subject.name)
    return f"{name}, actually {subject.actual}" if subject.actual else name


def _printable(text: str) -> str:
    """Return text as it is, or escaped where a file's name would break the line."""
    return text if text.isprintable() else ascii(text)
