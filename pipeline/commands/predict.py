"""Classify pictures of your own, or an image of the test set."""

import argparse
import json
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipeline.commands._table import print_table
from pipeline.core.errors import PipelineError, printable
from pipeline.data import pictures
from pipeline.data.dataset import (
    DESCRIPTION,
    MODEL_DESCRIPTION,
    TEST,
    VALIDATION,
    Description,
    load,
    load_description,
)
from pipeline.data.preprocessing import scale
from pipeline.evaluation.novelty import USUAL, Novelty
from pipeline.evaluation.prediction import load_model, predict
from pipeline.experiments.runs import Run, find_run
from pipeline.experiments.workspace import changes
from pipeline.report.formats import percent

if TYPE_CHECKING:
    import keras

MODEL = Path("models/model.keras")
LIKELIEST = 3  # classes shown of a single picture
HINT = "none of these?"


class Subject(NamedTuple):
    """What is to be classified."""

    name: str
    pixels: NDArray[np.float32]  # an image of the data set, 0 (background) to 1
    actual: str | None = None  # its class, where that is known


class Prediction(NamedTuple):
    """What the model made of it."""

    subject: Subject
    probabilities: NDArray[np.float32]  # [classes]
    novel: bool | None  # whether it seems to be of no class; None where that is not known


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
    run = find_run(arguments.rev)
    with _files(run) as file:
        model_path, description = file(MODEL), load_description(file(MODEL_DESCRIPTION))
        readers = [partial(_picture, path, description) for path in arguments.images]
        if arguments.test_index is not None:
            readers.append(partial(_test_image, arguments.test_index, file, description))
        subjects = list(_readable(readers))
        predictions: list[Prediction] = []
        # Not before: TensorFlow takes seconds to start, and nothing should wait for it that cannot
        # be read.
        if subjects:
            name = f"{MODEL} of {run.name}" if run.commit else ""
            model = load_model(model_path, description, name=name)
            predictions = _classified(model, subjects, file, description)
    about = _about(run, description)
    if predictions and description.source == "synthetic":
        print("warning: the model was trained on synthetic images", file=sys.stderr)
    if arguments.json:
        _print_json(about, predictions, description.classes)
    elif predictions:
        _print_text(predictions, description.classes)
        _print_model(about)
    return 0 if len(subjects) == len(readers) else 1


def _readable(readers: Iterable[Callable[[], Subject]]) -> Iterator[Subject]:
    """Yield what can be read; say of anything else, in a line, why not."""
    for read in readers:
        try:
            yield read()
        except PipelineError as error:
            print(f"error: {printable(str(error))}", file=sys.stderr)


def _picture(path: Path, description: Description) -> Subject:
    pixels = pictures.read(path, description)
    if not np.ptp(pixels, axis=(0, 1)).any():
        raise PipelineError(f"{path} has the same colour everywhere: there is nothing to classify")
    return Subject(str(path), scale(pixels))


def _test_image(row: int, file: Callable[[Path], Path], description: Description) -> Subject:
    own = load_description(file(DESCRIPTION))
    if own.classes != description.classes or own.shape != description.shape:
        raise PipelineError(f"the model is for {description.name}, and {TEST} holds {own.name}")
    test = load(file(TEST), own)
    if not 0 <= row < len(test.labels):
        raise PipelineError(f"--test-index is {row}; allowed are 0 to {len(test.labels) - 1}")
    return Subject(f"test image {row}", test.images[row], own.classes[test.labels[row]])


@contextmanager
def _files(run: Run) -> Iterator[Callable[[Path], Path]]:
    """Give what returns where to read an output of `run`; nothing is checked out."""
    if run.commit is None:
        if stale := changes(str(MODEL)):
            reason = f"Changed since: {', '.join(stale)}"
            print(f"{MODEL} is stale; run `dvc repro`. {reason}", file=sys.stderr)
        yield lambda path: path
        return
    with run.copies() as copied:
        yield copied


def _classified(
    model: "keras.Model",
    subjects: Sequence[Subject],
    file: Callable[[Path], Path],
    description: Description,
) -> list[Prediction]:
    images = np.stack([subject.pixels for subject in subjects])
    novel: list[bool | None] = [None] * len(subjects)
    try:
        novelty = Novelty(model, load(file(VALIDATION), description).images)
        novel = (novelty.distances(images) > novelty.threshold).tolist()
    except PipelineError as error:
        reason = printable(str(error))
        print(f"note: whether a picture is none of these is not known: {reason}", file=sys.stderr)
    return list(map(Prediction, subjects, predict(model, images), novel))


def _about(run: Run, description: Description) -> dict[str, Any]:
    """Return which model it is, its validation accuracy None where that is not recorded."""
    try:
        if run.commit is None:
            run.read(str(MODEL))  # an error where it is not the one that is recorded
        metrics = run.metrics().by_name() if run.recipe() else {}
    except PipelineError:
        metrics = {}
    return {
        "revision": run.name,
        "commit": run.commit,
        "data_set": description.name,
        "source": description.source,
        "validation_accuracy": metrics.get("validation.accuracy"),
    }


def _print_json(
    about: dict[str, Any], predictions: Sequence[Prediction], classes: Sequence[str]
) -> None:
    images = [
        {
            "image": subject.name,
            "actual": subject.actual,
            "predicted": classes[int(probabilities.argmax())],
            "probabilities": dict(zip(classes, probabilities.tolist(), strict=True)),
            "none_of_these": novel,
        }
        for subject, probabilities, novel in predictions
    ]
    text = json.dumps({"model": about, "images": images}, indent=2, ensure_ascii=False)
    # JSON is UTF-8 (RFC 8259, section 8.1), and bytes of a name that are not have an escape there.
    sys.stdout.buffer.write(f"{text}\n".encode("utf-8", "backslashreplace"))


def _print_text(predictions: Sequence[Prediction], classes: Sequence[str]) -> None:
    """Print the likeliest class of each picture, or the likeliest few of a single one."""
    if len(predictions) == 1:
        subject, probabilities, novel = predictions[0]
        print(_label(subject))
        for index in np.argsort(-probabilities, kind="stable").tolist()[:LIKELIEST]:
            print(f"{percent(float(probabilities[index])):>8}  {classes[index]}")
        if novel:
            print(f"    {HINT} It is less like the validation images than {USUAL:.0%} of them are")
        return
    rows = [
        [
            _label(subject),
            classes[int(probabilities.argmax())],
            percent(float(probabilities.max())),
            HINT if novel else "",
        ]
        for subject, probabilities, novel in predictions
    ]
    print_table(["image", "predicted", "probability", "hint"], rows, left=2)


def _print_model(about: dict[str, Any]) -> None:
    accuracy = about["validation_accuracy"]
    measured = "not recorded" if accuracy is None else percent(accuracy)
    print(
        f"model: {printable(about['revision'])}, trained on {printable(about['data_set'])}, "
        f"validation accuracy {measured}"
    )


def _label(subject: Subject) -> str:
    name = printable(subject.name)
    return f"{name}, actually {subject.actual}" if subject.actual else name
