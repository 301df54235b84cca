"""Summary of a training run: the epoch that was kept, why it ended, and the layers of its model."""

import math
from typing import TYPE_CHECKING, Any

from pipeline.training.checkpoint import History
from pipeline.training.hyperparameters import Hyperparameters

if TYPE_CHECKING:
    import keras


def kept_epoch(params: Hyperparameters, history: History) -> int:
    """Return the epoch, from 1, whose weights the model has after the epochs of `history`."""
    if not params.train.early_stopping or len(history) <= params.frozen_epochs:
        return len(history)
    candidates = range(params.frozen_epochs, len(history))
    return 1 + min(candidates, key=lambda epoch: history[epoch]["val_loss"])


def stopped(params: Hyperparameters, history: History) -> bool:
    """Return whether the training is over after the epochs of `history`, before all are done."""
    return _on_target(params, history) or _out_of_patience(params, history)


def ending(params: Hyperparameters, history: History) -> str:
    """Say why the training ended whose epochs are `history`."""
    train, epochs, kept = params.train, len(history), kept_epoch(params, history)
    if _on_target(params, history):
        why = f"target accuracy {train.target_accuracy} reached in epoch {epochs} of {train.epochs}"
    elif epochs < train.epochs:
        patience = train.early_stopping
        why = f"no lower validation loss for {patience} epoch{'s' * (patience != 1)}"
    else:
        why = f"trained for all {epochs} epochs" if epochs > 1 else "trained for 1 epoch"
    return why if kept == epochs else f"{why} (best: epoch {kept}, restored)"


def _on_target(params: Hyperparameters, history: History) -> bool:
    target = params.train.target_accuracy
    if target is None or len(history) <= params.frozen_epochs:
        return False
    return history[-1]["accuracy"] >= target


def _out_of_patience(params: Hyperparameters, history: History) -> bool:
    patience = params.train.early_stopping
    return patience is not None and len(history) - kept_epoch(params, history) >= patience


def layers(model: "keras.Model") -> list[dict[str, Any]]:
    """Return name, kind, shape of the output for one image, and number of weights of each layer.

    A model inside another is listed by its own layers.
    """
    rows: list[dict[str, Any]] = []
    for layer in model.layers:
        if hasattr(layer, "layers"):
            rows += layers(layer)[1:]  # the first are the images
            continue
        rows.append(
            {
                "name": layer.name,
                "kind": type(layer).__name__,
                "output_shape": list(layer.output.shape[1:]),
                "weights": layer.count_params(),
            }
        )
    return rows


def operations(model: "keras.Model") -> int:
    """Return how many multiplications and additions training needs for one image.

    A weight of a kernel is multiplied and added once for each pixel of its layer's output, and
    twice more for the gradients: of that weight, and of the layer's input. Not counted is what
    costs little beside: biases, normalisation, activations, pooling, the optimizer.
    """
    return sum(
        3 * 2 * math.prod(layer.kernel.shape) * math.prod(layer.output.shape[1:-1])
        for layer in model.layers
        if hasattr(layer, "kernel")
    )
