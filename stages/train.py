"""Build the model, train it, and keep it with the history of its training."""

import os
import time
from functools import partial
from pathlib import Path

from pipeline.core import stage, tensorflow_runtime
from pipeline.core.artifacts import rounded, write_csv, write_json, write_model
from pipeline.core.guard import Inputs
from pipeline.data import dataset
from pipeline.training import checkpoint, summary
from pipeline.training.batches import steps_by_epoch
from pipeline.training.checkpoint import History
from pipeline.training.hyperparameters import Hyperparameters

Params = Hyperparameters  # what the stage declares
# Of an epoch, as Keras calls them, and in the metrics: what was measured while the weights changed
# is not to be taken for the accuracy of the model.
RESULTS = {
    "accuracy": "running_accuracy",
    "loss": "running_loss",
    "val_accuracy": "val_accuracy",
    "val_loss": "val_loss",
}
COLUMNS = (*RESULTS, "learning_rate")


def train(params: Hyperparameters, inputs: Inputs) -> None:
    """Write the model, its data set, its summary, `metrics/train.json` and `plots/history.csv`."""
    tensorflow_runtime.start(jit_compile=params.jit_compile, gpu=params.train.device == "gpu")
    from pipeline.training import fit, models  # these import TensorFlow

    description = dataset.load_description(dataset.DESCRIPTION)
    train_set = dataset.load(dataset.TRAIN, description)
    validation_set = dataset.load(dataset.VALIDATION, description)
    model = models.build(params, description)
    operations = params.train.batch_size * summary.operations(model)  # of a step
    write_results = partial(
        write_history,
        params,
        description.source,
        model.count_params(),
        [steps * operations for steps in steps_by_epoch(params.train, len(train_set.labels))],
    )
    started = time.perf_counter(), time.process_time()
    history = fit.fit(
        model,
        train_set,
        validation_set,
        params,
        inputs=inputs,
        on_epoch=write_results,  # for those who watch `dvc metrics show` or an editor's plots
        label=description.suffix,
    )
    wall, processor = time.perf_counter() - started[0], time.process_time() - started[1]
    ending = summary.ending(params, history)
    print(f"{ending}{description.suffix}")
    print(
        f"trained in {wall:.1f} s, {processor:.1f} s of processor time, "
        f"load {os.getloadavg()[0]:.1f}{description.suffix}",
        flush=True,
    )
    write_results(history)
    finished = models.finished(model, params)
    write_model(Path("models/model.keras"), finished)
    content = {"ending": ending, "layers": summary.layers(finished)}
    write_json(Path("models/summary.json"), content)
    description.write(dataset.MODEL_DESCRIPTION)


def write_history(
    params: Hyperparameters,
    source: str,
    parameters: int,
    operations: list[int],  # of each epoch
    history: History,
) -> None:
    """Write what the epochs so far have given."""
    rows = [rounded(row) for row in history]
    kept = summary.kept_epoch(params, history)
    results = {
        "source": source,
        "epochs": len(rows),
        "kept_epoch": kept,
        "parameters": parameters,
        "operations": sum(operations[: len(rows)]),
        **{key: rows[kept - 1][name] for name, key in RESULTS.items() if name in rows[kept - 1]},
    }
    write_csv(
        Path("plots/history.csv"),
        ("epoch", *COLUMNS),
        [[epoch, *map(row.get, COLUMNS)] for epoch, row in enumerate(rows, start=1)],
    )
    write_json(Path("metrics/train.json"), results)


if __name__ == "__main__":
    with stage.active("train", Params, scratch=[checkpoint.PATH]) as this:
        train(this.params, this.inputs)
    checkpoint.discard()  # only now: its results are written, and its inputs were still the same
