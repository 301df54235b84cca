"""Measure the trained model on the test, the validation and the training set."""

from pathlib import Path

import numpy as np

from pipeline.core import stage
from pipeline.core.artifacts import rounded, write_csv, write_json, write_npz
from pipeline.core.params_file import Section
from pipeline.data import dataset
from pipeline.evaluation import metrics
from pipeline.evaluation.metrics import EvaluateParams
from pipeline.evaluation.prediction import load_model, predict


class Params(Section):
    """What the stage declares."""

    evaluate: EvaluateParams


def evaluate(params: Params) -> None:
    """Write `metrics/evaluate.json`, four tables in `plots`, and the probabilities."""
    description = dataset.load_description(dataset.DESCRIPTION)
    model = load_model(Path("models/model.keras"), description)
    paths = {"test": dataset.TEST, "validation": dataset.VALIDATION, "train": dataset.TRAIN}
    sets = {name: dataset.load(path, description) for name, path in paths.items()}
    labels = {name: data.labels for name, data in sets.items() if len(data.labels)}
    probabilities = {name: predict(model, sets[name].images) for name in labels}
    results = {
        name: metrics.evaluate(probabilities[name], labels[name], params.evaluate)
        for name in labels
    }
    content = {name: rounded(result.metrics) for name, result in results.items()}
    # Of the training images, which the model has seen, only what shows over-fitting.
    content["train"] = {name: content["train"][name] for name in ("accuracy", "loss")}
    gap = results["train"].metrics["accuracy"] - results["test"].metrics["accuracy"]
    write_json(
        Path("metrics/evaluate.json"),
        {"source": description.source, **content, **rounded({"generalization_gap": gap})},
    )
    write_tables(results["test"], description.classes)
    nothing = np.empty((0, len(description.classes)), np.float32)  # without validation images
    for table, path, name in (
        ("plots/predictions.csv", dataset.TEST_PROBABILITIES, "test"),
        ("plots/validation.csv", dataset.VALIDATION_PROBABILITIES, "validation"),
    ):
        given = probabilities.get(name, nothing)
        numbers = zip(sets[name].labels, given.argmax(axis=1), strict=True)
        pairs = [(description.classes[a], description.classes[p]) for a, p in numbers]
        write_csv(Path(table), ("actual", "predicted"), pairs)
        write_npz(path, probabilities=given)
    for name, result in results.items():
        print(
            f"{name}: accuracy {result.metrics['accuracy']:.4f}, "
            f"loss {result.metrics['loss']:.4f}{description.suffix}"
        )


def write_tables(result: metrics.Evaluation, classes: tuple[str, ...]) -> None:
    """Write how the test images came out by confidence and by class."""
    write_csv(
        Path("plots/calibration.csv"),
        tuple(result.calibration),
        zip(*(column.round(6) for column in result.calibration.values()), strict=True),
    )
    scores = metrics.per_class(result.confusion)
    columns = [*(score.round(6) for score in scores.values()), result.confusion.sum(axis=1)]
    write_csv(
        Path("plots/per_class.csv"),
        ("class", *scores, "images"),
        zip(classes, *columns, strict=True),
    )


if __name__ == "__main__":
    with stage.active("evaluate", Params) as this:
        evaluate(this.params)
