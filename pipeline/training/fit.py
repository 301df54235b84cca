"""Training a model, epoch by epoch, so that it can go on after any of them."""

import math
import sys
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from pipeline.core.errors import PipelineError
from pipeline.core.guard import Inputs
from pipeline.data.dataset import Dataset
from pipeline.training import checkpoint, optimizers, summary, transfer
from pipeline.training.batches import Chunk, TrainingBatches, steps_by_epoch
from pipeline.training.checkpoint import Checkpoint, History
from pipeline.training.hyperparameters import Hyperparameters, Phase, TrainParams, TransferParams
from pipeline.training.trainer import Trainer


def fit(
    model: keras.Model,
    train: Dataset,
    validation: Dataset,
    params: Hyperparameters,
    *,
    inputs: Inputs,
    on_epoch: Callable[[History], None],
    label: str = "",
) -> History:
    """Train `model` in place and return a row for each epoch.

    A training on the same `inputs` that was cut off goes on after its last finished epoch, to the
    same result. `on_epoch` is called after each epoch with the rows so far; `label` is put after
    each line of progress.

    Raises:
        PipelineError: the data cannot serve the parameters, training diverged, or an input was
            changed meanwhile.
    """
    _check(train, validation, params.train)
    batches = TrainingBatches(train, params)
    epochs = params.train.epochs
    state = checkpoint.load(inputs.fingerprint()) or Checkpoint(inputs.fingerprint())
    history = state.history
    if history:
        print(f"going on after epoch {len(history)} of {epochs}{label}", flush=True)
        model.set_weights(state.weights)
        if state.label_probabilities:
            [batches.label_probabilities] = state.label_probabilities
    with _progress(batches.chunks(len(history))) as progress:
        for phase in params.phases:
            if isinstance(params.model, TransferParams):
                transfer.set_trainable(model, params.model, frozen=phase.frozen)
            if len(history) >= phase.end:
                continue
            trainer = _trainer(model, batches, params, phase)
            if len(history) > phase.first:
                trainer.restore(state.optimizer)
            while len(history) < phase.end and not summary.stopped(params, history):
                progress.set_description_str(f"epoch {len(history) + 1} of {epochs}")
                _train_for_an_epoch(trainer, batches, validation, params, state, progress)
                inputs.check()  # or training on edited inputs would be saved under a wrong name
                checkpoint.save(state)
                on_epoch(history)
                results = ", ".join(f"{name} {value:.4g}" for name, value in history[-1].items())
                progress.write(f"epoch {len(history)} of {epochs}: {results}{label}")
                sys.stdout.flush()
    if state.best:
        model.set_weights(state.best)
    return history


def _train_for_an_epoch(
    trainer: Trainer,
    batches: TrainingBatches,
    validation: Dataset,
    params: Hyperparameters,
    state: Checkpoint,
    progress: "tqdm[Any]",
) -> None:
    """Train for the epoch that follows `state`, and bring `state` to its end."""
    number = len(state.history) + 1
    _seed_layers(trainer.model, params.seed, number - 1)
    chunks = _counted(batches.epoch(number - 1), progress)
    results, label_probabilities = trainer.train(chunks)
    if params.train.skip_easy:
        batches.note(label_probabilities)
        state.label_probabilities = [batches.label_probabilities]
    if len(validation.labels):
        measured = trainer.evaluate(validation)
        results |= {f"val_{name}": value for name, value in measured.items()}
    for name, value in results.items():
        if not math.isfinite(value):
            raise PipelineError(
                f"training diverged in epoch {number}: its {name} is {value}; "
                "a smaller learning rate may help"
            )
    state.history.append(results | {"learning_rate": trainer.last_rate()})
    state.weights, state.optimizer = trainer.model.get_weights(), trainer.state()
    if params.train.early_stopping and summary.kept_epoch(params, state.history) == number:
        state.best = state.weights


def _seed_layers(model: keras.Model, seed: int, epoch: int) -> None:
    """Set the state of each random layer by seed and epoch alone, so that training can resume.

    Layers count from 1: NumPy takes (seed, epoch, 0) for (seed, epoch), which orders the images.
    """
    kept = {id(variable) for variable in model.weights}
    states = [variable for variable in model.variables if id(variable) not in kept]
    for index, state in enumerate(states):
        state.assign(np.random.SeedSequence([seed, epoch, index + 1]).generate_state(2))


def _progress(chunks: int) -> "tqdm[Any]":
    """Return a bar that shows on a terminal how long there is to go."""
    return tqdm(
        total=chunks,
        bar_format="{desc} {bar} {percentage:3.0f} %, {remaining} to go",
        leave=False,
        disable=not sys.stderr.isatty(),
    )


def _counted(chunks: Iterable[Chunk], progress: "tqdm[Any]") -> Iterator[Chunk]:
    for chunk in chunks:
        yield chunk
        progress.update()


def _check(train: Dataset, validation: Dataset, params: TrainParams) -> None:
    if not min(steps_by_epoch(params, len(train.labels))):
        raise PipelineError(
            f"train.batch_size is {params.batch_size}, "
            f"but there are only {len(train.labels)} training images"
            + (f", and train.skip_easy is {params.skip_easy:g}" if params.skip_easy else "")
            + "; lower it, or add images"
        )
    if params.early_stopping and not len(validation.labels):
        raise PipelineError(
            f"train.early_stopping is {params.early_stopping}, but there are no validation images: "
            "preprocess.validation_fraction is too small"
        )
    smaller = min(train.images.shape[1:3])
    if params.augmentation.shift > smaller // 2:
        raise PipelineError(
            f"train.augmentation.shift is {params.augmentation.shift}; "
            f"it can be at most {smaller // 2}, half of the {smaller} pixels of the images"
        )


def _trainer(
    model: keras.Model, batches: TrainingBatches, params: Hyperparameters, phase: Phase
) -> Trainer:
    return Trainer(
        model,
        params.train,
        optimizers.schedule(params.train, phase, batches.steps),
        _class_weights(batches.train, params.train, classes=model.output_shape[-1]),
        jit_compile=params.jit_compile,
        note_probabilities=params.train.skip_easy is not None,
    )


def _class_weights(train: Dataset, params: TrainParams, classes: int) -> NDArray[np.float32] | None:
    """Return weights by which the images of each class count as much as those of any other.

    What `train.skip_easy` skips is not taken into account.

    Source: King and Zeng, Logistic Regression in Rare Events Data, 2001; as in scikit-learn.
    """
    if params.class_weight is None:
        return None
    images = np.bincount(train.labels, minlength=classes)
    return (len(train.labels) / (classes * np.maximum(images, 1))).astype(np.float32)
