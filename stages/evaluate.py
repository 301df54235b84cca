"""Measure the trained model on the test, the validation and the training set."""

from pathlib import Path

from pipeline.core import stage
from pipeline.core.artifacts import rounded, write_csv, write_json, write_npz
from pipeline.core.params import Section
from pipeline.data.dataset import (
    CLASS_NAMES,
    TEST,
    TEST_PROBABILITIES,
    TRAIN,
    VALIDATION,
    Dataset,
    DataSource,
    label,
    load,
)
from pipeline.evaluation import metrics
from pipeline.evaluation.metrics import EvaluateParams, Probabilities
from pipeline.evaluation.prediction import load_model, predict


class Params(Section):
    """What the stage declares."""

    data: DataSource
    evaluate: EvaluateParams


def evaluate(params: Params) -> None:
    """Write `metrics/evaluate.json`, four tables in `plots`, and the test probabilities."""
    model = load_model(Path("models/model.keras"))
    sets = {"test": load(TEST), "validation": load(VALIDATION), "train": load(TRAIN)}
    sets = {name: dataset for name, dataset in sets.items() if len(dataset.labels)}
    probabilities = {name: predict(model, dataset.images) for name, dataset in sets.items()}
    results = {
        name: metrics.evaluate(probabilities[name], dataset.labels, params.evaluate)
        for name, dataset in sets.items()
    }
    content = {name: rounded(result.metrics) for name, result in results.items()}
    # Of the training images, which the model has seen, only what shows over-fitting.
    content["train"] = {name: content["train"][name] for name in ("accuracy", "loss")}
    gap = results["train"].metrics["accuracy"] - results["test"].metrics["accuracy"]
    write_json(
        Path("metrics/evaluate.json"),
        {"source": params.data.source, **content, **rounded({"generalization_gap": gap})},
    )
    write_tables(results["test"])
    write_predictions("plots/predictions.csv", sets, probabilities, "test")
    write_predictions("plots/validation.csv", sets, probabilities, "validation")
    write_npz(TEST_PROBABILITIES, probabilities=probabilities["test"])
    for name, result in results.items():
        print(
            f"{name}: accuracy {result.metrics['accuracy']:.4f}, "
            f"loss {result.metrics['loss']:.4f}{label(params.data.source)}"
        )


def write_predictions(
    path: str, sets: dict[str, Dataset], probabilities: dict[str, Probabilities], name: str
) -> None:
    """Write the actual and the predicted class of each image of a set, in its order."""
    rows = []
    if name in sets:  # where there are no validation images, there are no rows
        pairs = zip(sets[name].labels, probabilities[name].argmax(axis=1), strict=True)
        rows = [(CLASS_NAMES[actual], CLASS_NAMES[predicted]) for actual, predicted in pairs]
    write_csv(Path(path), ("actual", "predicted"), rows)


def write_tables(result: metrics.Evaluation) -> None:
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
        zip(CLASS_NAMES, *columns, strict=True),
    )


if __name__ == "__main__":
    with stage.active("evaluate", Params) as this:
        evaluate(this.params)
