"""Training a model with Keras `fit`: many batches at a call, and resumable after any epoch."""

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from pipeline import checkpoint, optimizers, transfer
from pipeline.augmentation import augment
from pipeline.callbacks import (
    Checkpointing,
    Divergence,
    LearningRate,
    Progress,
    Seeding,
    TargetAccuracy,
)
from pipeline.checkpoint import Checkpoint, History
from pipeline.dataset import CLASS_NAMES, Dataset
from pipeline.errors import PipelineError
from pipeline.hyperparameters import Hyperparameters, TrainParams, TransferParams
from pipeline.optimizers import Phase
from pipeline.record import Record

# Each call into TensorFlow costs about as much as a batch of a small model, so a call is given a
# chunk of batches: this many images, so that a chunk stays in the processor's cache.
CHUNK_IMAGES = 4_000
VALIDATION_BATCH_SIZE = 1_000

Chunk = tuple[NDArray[np.float32], NDArray[np.uint8], NDArray[np.int32]]


class ChunkTrainer(keras.Model):
    """A model whose training step takes a chunk of batches.

    A chunk is images float32 `[steps, batch, 28, 28]`, labels `[steps, batch]`, and int32 `[1]`,
    how many of the steps to train: the last chunk of an epoch may be filled up.
    """

    def train_step(self, data: tuple[tf.Tensor, tf.Tensor, tf.Tensor]) -> dict[str, tf.Tensor]:
        """Train on each batch in turn; Keras calls this once for each chunk."""
        images, labels, steps = data

        def train_on_batch(step: tf.Tensor) -> tuple[tf.Tensor]:
            super(ChunkTrainer, self).train_step((images[step], labels[step]))
            return (step + 1,)

        tf.while_loop(lambda step: step < steps[0], train_on_batch, (tf.constant(0),))
        metrics: dict[str, tf.Tensor] = self.get_metrics_result()
        return metrics


def fit(
    model: keras.Model,
    train: Dataset,
    validation: Dataset,
    params: Hyperparameters,
    *,
    inputs: Record,
    on_epoch: Callable[[History], None],
    label: str = "",
) -> History:
    """Train `model` in place and return a row for each epoch.

    Each epoch takes the images in a new order and leaves out the last of them where they do not
    fill a batch. A training on the same `inputs` that was cut off goes on after its last
    finished epoch, to the same result. `on_epoch` is called after each epoch with the rows so far;
    `label` is put after each line of progress.

    Raises:
        PipelineError: the data cannot serve the parameters, training diverged, or an input was
            changed meanwhile.
    """
    _check(train, validation, params.train)
    resumed = checkpoint.load(inputs.fingerprint())
    history: History = resumed.progress["history"] if resumed else []
    if resumed:
        print(f"going on after epoch {len(history)} of {params.train.epochs}{label}", flush=True)
        model.set_weights(resumed.weights)

    steps = len(train.labels) // params.train.batch_size
    chunk_steps = min(steps, max(1, CHUNK_IMAGES // params.train.batch_size))
    for phase in _phases(params, resumed):
        if isinstance(params.model, TransferParams):
            transfer.set_trainable(model, params.model, frozen=phase.frozen)
        schedule = optimizers.schedule(params.train, phase, steps)
        early_stopping = None if phase.frozen else _early_stopping(params.train)
        target = None if phase.frozen else params.train.target_accuracy
        going_on = resumed if phase.first < len(history) else None
        trainer = _trainer(model, params, optimizers.build(params.train, schedule))
        trainer.fit(
            _training_data(train, params, chunk_steps, first_epoch=len(history)),
            initial_epoch=len(history),
            epochs=phase.end,
            steps_per_epoch=-(-steps // chunk_steps),
            validation_data=_validation_data(validation),
            callbacks=[
                Seeding(params.seed),
                LearningRate(schedule),
                Divergence(),
                *([TargetAccuracy(target)] if target else []),
                *([early_stopping] if early_stopping else []),
                Checkpointing(inputs, history, going_on, early_stopping),
                keras.callbacks.LambdaCallback(on_epoch_end=lambda *_: on_epoch(history)),
                Progress(len(history), params.train.epochs, label),
            ],
            shuffle=False,
            verbose=0,
        )
    return history


def _check(train: Dataset, validation: Dataset, params: TrainParams) -> None:
    if len(train.labels) < params.batch_size:
        raise PipelineError(
            f"train.batch_size is {params.batch_size}, "
            f"but there are only {len(train.labels)} training images"
        )
    if params.early_stopping and not len(validation.labels):
        raise PipelineError(
            f"train.early_stopping is {params.early_stopping}, but there are no validation images: "
            "preprocess.validation_fraction is too small"
        )


def _phases(params: Hyperparameters, resumed: Checkpoint | None) -> list[Phase]:
    """Return what is left to do; where nothing is, the last phase, cut to what is done."""
    epochs, frozen = params.train.epochs, params.frozen_epochs
    phases = [Phase(0, epochs, params.train.learning_rate)]
    if isinstance(params.model, TransferParams) and params.model.fine_tuning_rate:
        phases = [
            Phase(0, frozen, params.train.learning_rate, frozen=True),
            Phase(frozen, epochs, params.model.fine_tuning_rate),
        ]
    if resumed is None:
        return phases
    done = len(resumed.progress["history"])
    if resumed.progress["stopped"] or done == epochs:
        return [phases[-1]._replace(end=done)]
    return [phase for phase in phases if phase.end > done]


def _early_stopping(params: TrainParams) -> keras.callbacks.EarlyStopping | None:
    if params.early_stopping is None:
        return None
    return keras.callbacks.EarlyStopping(
        monitor="val_loss", patience=params.early_stopping, restore_best_weights=True
    )


def _trainer(
    model: keras.Model, params: Hyperparameters, optimizer: keras.Optimizer
) -> ChunkTrainer:
    """Return a trainer of `model`, which shares its weights."""
    trainer = ChunkTrainer(model.inputs, model.outputs)
    trainer.compile(
        optimizer, _loss(params.train), metrics=["accuracy"], jit_compile=params.jit_compile
    )
    optimizer.build(trainer.trainable_variables)  # so that its state can be restored
    # Makes the metrics' variables now: made in the first step, they would have it traced again.
    trainer.compute_metrics(None, tf.zeros(1), tf.zeros((1, len(CLASS_NAMES))))
    return trainer


def _loss(params: TrainParams) -> Any:
    """Return the cross-entropy in nats; Keras knows label smoothing for one-hot labels alone."""
    if not params.label_smoothing:
        return keras.losses.SparseCategoricalCrossentropy()
    smoothed = keras.losses.CategoricalCrossentropy(label_smoothing=params.label_smoothing)

    def loss(labels: tf.Tensor, probabilities: tf.Tensor) -> tf.Tensor:
        one_hot = keras.ops.one_hot(keras.ops.reshape(labels, (-1,)), len(CLASS_NAMES))
        return smoothed(one_hot, probabilities)

    return loss


def _training_data(
    train: Dataset, params: Hyperparameters, chunk_steps: int, first_epoch: int
) -> tf.data.Dataset:
    """Return the chunks of one epoch after another.

    The next is made while one is trained on; not where TensorFlow is told to be deterministic.
    """
    chunk = (chunk_steps, params.train.batch_size)
    chunks = tf.data.Dataset.from_generator(
        lambda: _chunks(train, params, chunk_steps, first_epoch),
        output_signature=(
            tf.TensorSpec((*chunk, *train.images.shape[1:]), train.images.dtype),
            tf.TensorSpec(chunk, train.labels.dtype),
            tf.TensorSpec((1,), tf.int32),
        ),
    )
    return _untuned(chunks.prefetch(1))


def _validation_data(validation: Dataset) -> tf.data.Dataset | None:
    """Return the validation set in batches; None where it is empty."""
    if not len(validation.labels):
        return None
    batches = tf.data.Dataset.from_tensor_slices(tuple(validation)).batch(VALIDATION_BATCH_SIZE)
    return _untuned(batches)


def _untuned(dataset: tf.data.Dataset) -> tf.data.Dataset:
    """Keep tf.data from tuning itself, which it can take two seconds to end after training."""
    options = tf.data.Options()
    options.autotune.enabled = False
    return dataset.with_options(options)


def _chunks(
    train: Dataset, params: Hyperparameters, chunk_steps: int, first_epoch: int
) -> Iterator[Chunk]:
    """Yield the chunks of one epoch after another, without end."""
    batch_size = params.train.batch_size
    shape = (chunk_steps, batch_size)
    for epoch in itertools.count(first_epoch):
        rng = np.random.default_rng([params.seed, epoch])
        order = rng.permutation(len(train.labels))
        steps = len(order) // batch_size
        for first in range(0, steps, chunk_steps):
            rows = order[first * batch_size : (first + chunk_steps) * batch_size]
            rows = np.resize(rows, chunk_steps * batch_size)
            images = augment(train.images[rows], params.train.augmentation, rng)
            yield (
                images.reshape(*shape, *images.shape[1:]),
                train.labels[rows].reshape(shape),
                np.array([min(chunk_steps, steps - first)], np.int32),
            )
