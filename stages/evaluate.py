"""Measure the trained model on the training and the test set."""

from pathlib import Path

from pipeline.core import stage
from pipeline.core.artifacts import rounded, write_csv, write_json, write_npz
from pipeline.core.params import Section
from pipeline.data.dataset import (
    CLASS_NAMES,
    TEST,
    TEST_PROBABILITIES,
    TRAIN,
    DataSource,
    label,
    load,
)
from pipeline.evaluation import metrics
from pipeline.evaluation.metrics import EvaluateParams
from pipeline.evaluation.prediction import load_model, predict


class Params(Section):
    """What the stage declares."""

    data: DataSource
    evaluate: EvaluateParams


def evaluate(params: Params) -> None:
    """Write `metrics/evaluate.json`, three tables in `plots`, and the test probabilities."""
    model = load_model(Path("models/model.keras"))
    train, test = load(TRAIN), load(TEST)
    probabilities = predict(model, test.images)
    on_test = metrics.evaluate(probabilities, test.labels, params.evaluate)
    on_train = metrics.evaluate(predict(model, train.images), train.labels, params.evaluate)
    gap = on_train.metrics["accuracy"] - on_test.metrics["accuracy"]

    write_json(
        Path("metrics/evaluate.json"),
        {
            "source": params.data.source,
            "test": rounded(on_test.metrics),
            "train": rounded({name: on_train.metrics[name] for name in ("accuracy", "loss")}),
            **rounded({"generalization_gap": gap}),
        },
    )
    write_csv(
        Path("plots/calibration.csv"),
        tuple(on_test.calibration),
        zip(*(column.round(6) for column in on_test.calibration.values()), strict=True),
    )
    scores = metrics.per_class(on_test.confusion)
    write_csv(
        Path("plots/per_class.csv"),
        ("class", *scores, "images"),
        zip(
            CLASS_NAMES,
            *(score.round(6) for score in scores.values()),
            on_test.confusion.sum(axis=1),
            strict=True,
        ),
    )
    predicted = probabilities.argmax(axis=1)
    write_csv(
        Path("plots/predictions.csv"),
        ("actual", "predicted"),
        [(CLASS_NAMES[a], CLASS_NAMES[p]) for a, p in zip(test.labels, predicted, strict=True)],
    )
    write_npz(TEST_PROBABILITIES, probabilities=probabilities)
    for name, result in (("test", on_test), ("train", on_train)):
        print(
            f"{name}: accuracy {result.metrics['accuracy']:.4f}, "
            f"loss {result.metrics['loss']:.4f}{label(params.data.source)}"
        )


if __name__ == "__main__":
    with stage.active("evaluate", Params) as this:
        evaluate(this.params)
