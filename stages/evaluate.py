"""Measure the trained model on the training and the test set."""

from pathlib import Path

from pipeline import evaluation, stage
from pipeline.artifacts import write_csv, write_json, write_npz
from pipeline.dataset import CLASS_NAMES, PREDICTIONS, TEST, TRAIN, load
from pipeline.evaluation import EvaluateParams
from pipeline.params import DataSource, Section, label
from pipeline.prediction import load_model, predict


class Params(Section):
    """What the stage declares."""

    data: DataSource
    evaluate: EvaluateParams


def evaluate(params: Params) -> None:
    """Write `metrics/evaluate.json`, three tables in `plots`, and the test probabilities."""
    model = load_model(Path("models/model.keras"))
    train, test = load(TRAIN), load(TEST)
    probabilities = predict(model, test.images)
    metrics = {"source": params.data.source} | evaluation.metrics(
        (probabilities, test.labels),
        (predict(model, train.images), train.labels),
        params.evaluate,
    )
    predicted = probabilities.argmax(axis=1)
    confusion = evaluation.confusion_matrix(predicted, test.labels)
    scores = evaluation.per_class(confusion)
    calibration = evaluation.calibration(
        probabilities, test.labels, params.evaluate.calibration_bins
    )

    write_json(Path("metrics/evaluate.json"), metrics)
    write_csv(
        Path("plots/calibration.csv"),
        tuple(calibration),
        zip(*(column.round(6) for column in calibration.values()), strict=True),
    )
    write_csv(
        Path("plots/per_class.csv"),
        ("class", *scores, "images"),
        zip(
            CLASS_NAMES, *(s.round(6) for s in scores.values()), confusion.sum(axis=1), strict=True
        ),
    )
    write_csv(
        Path("plots/predictions.csv"),
        ("actual", "predicted"),
        [(CLASS_NAMES[a], CLASS_NAMES[p]) for a, p in zip(test.labels, predicted, strict=True)],
    )
    write_npz(PREDICTIONS, probabilities=probabilities)

    for side in ("test", "train"):
        values = metrics[side]
        print(
            f"{side}: accuracy {values['accuracy']:.4f}, loss {values['loss']:.4f}"
            f"{label(params.data.source)}"
        )


if __name__ == "__main__":
    with stage.running("evaluate", Params) as this:
        evaluate(this.params)
