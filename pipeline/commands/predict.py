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

from pipeline.commands._table import print_table
from pipeline.core.errors import PipelineError, printable
from pipeline.data import pictures
from pipeline.data.dataset import (
    DESCRIPTION,
    MODEL_DESCRIPTION,
    TEST,
    Description,
    load,
    load_description,
)
from pipeline.data.preprocessing import scale
from pipeline.evaluation.metrics import Probabilities
from pipeline.evaluation.prediction import load_model, predict
from pipeline.experiments.runs import Run, find_run
from pipeline.experiments.workspace import changes

MODEL = Path("models/model.keras")
LIKELIEST = 3  # classes shown of a single picture


class Subject(NamedTuple):
    """What is to be classified."""

    name: str
    pixels: NDArray[np.float32]  # an image of the data set, 0 (background) to 1
    actual: str | None = None  # its class, where that is known


def configure(parser: argparse.ArgumentParser) -> None:
    """Take pictures, or a row of the test set, and the revision of the model."""
    parser.add_argument(
        "images", nargs="*", type=Path, metavar="IMAGE", help="a picture, such as a PNG or JPEG"
    )
    parser.add_argument(
        "--test-index", type=int, metavar="ROW", help="classify this row of the test set, from 0"
    )
    parser.add_argument("--rev", help="the model is that of this branch, tag, commit or experiment")
    parser.add_argument(
        "--json", action="store_true", help="print JSON, with the probabilities of all classes"
    )


def execute(arguments: argparse.Namespace) -> int:
    """Classify what can be read; exit status 0 only if everything could."""
    if not arguments.images and arguments.test_index is None:
        raise PipelineError("name a picture, or a row of the test set with --test-index")
    with _model_files(find_run(arguments.rev)) as (model, dataset):
        description = load_description(dataset)
        readers = [partial(_picture, path, description) for path in arguments.images]
        if arguments.test_index is not None:
            readers.append(partial(_test_image, arguments.test_index, description))
        subjects = list(_readable(readers))
        probabilities: Probabilities = np.empty((0, len(description.classes)), np.float32)
        # Not before: TensorFlow takes seconds to start, and nothing should wait for it that cannot
        # be read.
        if subjects:
            name = f"{MODEL} of {arguments.rev}" if arguments.rev else ""
            images = np.stack([subject.pixels for subject in subjects])
            probabilities = predict(load_model(model, description, name=name), images)
    if arguments.json:
        _print_json(subjects, probabilities, description.classes)
    else:
        _print_text(subjects, probabilities, description.classes)
    return 0 if len(subjects) == len(readers) else 1


def _readable(readers: Iterable[Callable[[], Subject]]) -> Iterator[Subject]:
    """Yield what can be read; say of anything else, in a line, why not."""
    for read in readers:
        try:
            yield read()
        except PipelineError as error:
            print(f"error: {printable(str(error))}", file=sys.stderr)


def _picture(path: Path, description: Description) -> Subject:
    return Subject(str(path), scale(pictures.read(path, description)))


def _test_image(row: int, description: Description) -> Subject:
    own = load_description(DESCRIPTION)
    if own.classes != description.classes or own.shape != description.shape:
        raise PipelineError(f"the model is for {description.name}, and {TEST} holds {own.name}")
    test = load(TEST, own)
    if not 0 <= row < len(test.labels):
        raise PipelineError(f"--test-index is {row}; allowed are 0 to {len(test.labels) - 1}")
    return Subject(f"test image {row}", test.images[row], own.classes[test.labels[row]])


@contextmanager
def _model_files(run: Run) -> Iterator[tuple[Path, Path]]:
    """Give the paths of the model and of what it was trained on; nothing is checked out."""
    if run.commit is None:
        if stale := changes(str(MODEL)):
            reason = f"Changed since: {', '.join(stale)}"
            print(f"{MODEL} is stale; run `dvc repro`. {reason}", file=sys.stderr)
        yield MODEL, MODEL_DESCRIPTION
        return
    with tempfile.TemporaryDirectory(prefix="predict-") as folder:
        copies = Path(folder, MODEL.name), Path(folder, MODEL_DESCRIPTION.name)
        for path, copy in zip((MODEL, MODEL_DESCRIPTION), copies, strict=True):
            copy.write_bytes(run.read(str(path)))
        yield copies


def _print_json(
    subjects: Sequence[Subject], probabilities: Probabilities, classes: Sequence[str]
) -> None:
    content = [
        {
            "image": subject.name,
            "actual": subject.actual,
            "predicted": classes[row.argmax()],
            "probabilities": dict(zip(classes, row.tolist(), strict=True)),
        }
        for subject, row in zip(subjects, probabilities, strict=True)
    ]
    print(json.dumps(content, indent=2))


def _print_text(
    subjects: Sequence[Subject], probabilities: Probabilities, classes: Sequence[str]
) -> None:
    """Print the likeliest class of each picture, or the likeliest few of a single one."""
    if len(subjects) == 1:
        print(_label(subjects[0]))
        for index in np.argsort(-probabilities[0], kind="stable")[:LIKELIEST]:
            print(f"{probabilities[0][index]:8.1%}  {classes[index]}")
    elif subjects:
        rows = [
            [_label(subject), classes[row.argmax()], f"{row.max():.1%}"]
            for subject, row in zip(subjects, probabilities, strict=True)
        ]
        print_table(["image", "predicted", "probability"], rows, left=2)


def _label(subject: Subject) -> str:
    name = printable(subject.name)
    return f"{name}, actually {subject.actual}" if subject.actual else name
