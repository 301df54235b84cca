"""Training a model with Keras's `fit`: many batches a call, and resumable after any epoch."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from pipeline.core.errors import PipelineError
from pipeline.core.guard import Inputs
from pipeline.data.dataset import Dataset
from pipeline.training import callbacks, checkpoint, optimizers, transfer
from pipeline.training.batches import TrainingBatches, validation_batches
from pipeline.training.checkpoint import Checkpoint, History
from pipeline.training.hyperparameters import Hyperparameters, Phase, TrainParams, TransferParams


class ChunkTrainer(keras.Model):
    """A model whose training step takes a chunk of batches, as `TrainingBatches` makes them.

    Keras's own `steps_per_execution` is not enough: XLA compiles only the single step there, so
    that each batch still costs a call and a fetch from tf.data.

    Attributes:
        class_weights: float32 `[classes]`, how much an image of each counts; None for all alike.
    """

    class_weights: NDArray[np.float32] | None = None

    def train_step(self, data: tuple[tf.Tensor, tf.Tensor, tf.Tensor]) -> dict[str, tf.Tensor]:
        """Train on each batch in turn; Keras calls this once for each chunk."""
        images, labels, steps = data

        def train_on_batch(step: tf.Tensor) -> tuple[tf.Tensor]:
            batch = [images[step], labels[step]]
            if self.class_weights is not None:
                batch.append(tf.gather(self.class_weights, tf.cast(batch[1], tf.int32)))
            super(ChunkTrainer, self).train_step(tuple(batch))
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
    resumed = checkpoint.load(inputs.fingerprint())
    history: History = resumed.progress["history"] if resumed else []
    if resumed:
        print(f"going on after epoch {len(history)} of {params.train.epochs}{label}", flush=True)
        model.set_weights(resumed.weights)
    batches = TrainingBatches(train, params)
    for phase in _remaining(params.phases, resumed):
        if isinstance(params.model, TransferParams):
            transfer.set_trainable(model, params.model, frozen=phase.frozen)
        schedule = optimizers.schedule(params.train, phase, batches.steps)
        early_stopping = None if phase.frozen else _early_stopping(params.train)
        target = None if phase.frozen else params.train.target_accuracy
        going_on = resumed if phase.first < len(history) else None
        trainer = _trainer(model, params, optimizers.build(params.train, schedule))
        if params.train.class_weight == "balanced":
            trainer.class_weights = _balanced(train, classes=model.output_shape[-1])
        trainer.fit(
            batches.dataset(first_epoch=len(history)),
            initial_epoch=len(history),
            epochs=phase.end,
            steps_per_epoch=batches.chunks,
            validation_data=validation_batches(validation),
            callbacks=[
                callbacks.Seeding(params.seed),
                callbacks.LearningRate(schedule),
                callbacks.Divergence(),
                *([callbacks.TargetAccuracy(target)] if target else []),
                *([early_stopping] if early_stopping else []),
                callbacks.Checkpointing(inputs, history, going_on, early_stopping),
                keras.callbacks.LambdaCallback(on_epoch_end=lambda *_: on_epoch(history)),
                callbacks.Progress(len(history), params.train.epochs, label),
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
    smaller = min(train.images.shape[1:3])
    if params.augmentation.shift > smaller // 2:
        raise PipelineError(
            f"train.augmentation.shift is {params.augmentation.shift}; of images of {smaller} "
            f"pixels, at most half"
        )


def _remaining(phases: list[Phase], resumed: Checkpoint | None) -> list[Phase]:
    """Return the phases that are left; where none is, the last one, cut to what is done."""
    if resumed is None:
        return phases
    done = len(resumed.progress["history"])
    if resumed.progress["stopped"] or done == phases[-1].end:
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
    trainer.compute_metrics(None, tf.zeros(1), tf.zeros((1, model.output_shape[-1])))
    return trainer


def _balanced(train: Dataset, classes: int) -> NDArray[np.float32]:
    """Return weights by which the images of each class count as much as those of any other.

    Source: King and Zeng, Logistic Regression in Rare Events Data, 2001; as in scikit-learn.
    """
    images = np.bincount(train.labels, minlength=classes)
    return (len(train.labels) / (classes * np.maximum(images, 1))).astype(np.float32)


def _loss(params: TrainParams) -> Any:
    """Return the cross-entropy in nats; Keras has label smoothing only for one-hot labels."""
    if not params.label_smoothing:
        return keras.losses.SparseCategoricalCrossentropy()
    smoothed = keras.losses.CategoricalCrossentropy(label_smoothing=params.label_smoothing)

    def loss(labels: tf.Tensor, probabilities: tf.Tensor) -> tf.Tensor:
        one_hot = keras.ops.one_hot(keras.ops.reshape(labels, (-1,)), probabilities.shape[-1])
        return smoothed(one_hot, probabilities)

    return loss
