"""Summary of a training run: the epoch that was kept, why it ended, and the layers of its model."""

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


def ending(params: Hyperparameters, history: History) -> str:
    """Say why the training ended whose epochs are `history`."""
    train, epochs, kept = params.train, len(history), kept_epoch(params, history)
    target, patience = train.target_accuracy, train.early_stopping
    if target and history[-1]["accuracy"] >= target:
        why = f"target accuracy {target} reached in epoch {epochs} of {train.epochs}"
    elif patience and epochs < train.epochs:
        why = f"no lower validation loss for {patience} epoch{'s' * (patience > 1)}"
    else:
        why = f"trained for all {epochs} epochs" if epochs > 1 else "trained for 1 epoch"
    return why if kept == epochs else f"{why} (best: epoch {kept}, restored)"


def layers(model: "keras.Model") -> list[dict[str, Any]]:
    """Return name, kind, shape of the output for one image, and number of weights of each layer."""
    return [
        {
            "name": layer.name,
            "kind": type(layer).__name__,
            "output_shape": list(layer.output.shape[1:]),
            "weights": layer.count_params(),
        }
        for layer in model.layers
    ]
