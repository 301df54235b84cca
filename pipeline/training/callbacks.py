"""What happens around the epochs of a training, each as a Keras callback."""

import sys
from typing import Any

import keras
import numpy as np
from tqdm import tqdm

from pipeline.core.errors import PipelineError
from pipeline.core.guard import Inputs
from pipeline.training import checkpoint
from pipeline.training.checkpoint import Checkpoint, History
from pipeline.training.optimizers import Schedule

STOPPING = ("best", "best_epoch", "wait")  # the state of Keras's EarlyStopping, besides weights


class Seeding(keras.callbacks.Callback):
    """Sets the state of each random layer by seed and epoch alone, so that training can resume.

    Layers count from 1: NumPy takes (seed, epoch, 0) for (seed, epoch), which orders the images.
    """

    def __init__(self, seed: int) -> None:
        super().__init__()
        self.seed = seed

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:  # noqa: ARG002, D102
        kept = {id(variable) for variable in self.model.weights}
        states = [variable for variable in self.model.variables if id(variable) not in kept]
        for index, state in enumerate(states):
            state.assign(np.random.SeedSequence([self.seed, epoch, index + 1]).generate_state(2))


class LearningRate(keras.callbacks.Callback):
    """Adds the learning rate of an epoch's last batch to its results."""

    def __init__(self, schedule: Schedule) -> None:
        super().__init__()
        self.schedule = schedule

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:  # noqa: ARG002, D102
        logs["learning_rate"] = float(self.schedule(self.model.optimizer.iterations - 1))


class Divergence(keras.callbacks.Callback):
    """Ends a training whose loss is no longer a number."""

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:  # noqa: D102
        for name, value in logs.items():
            if not np.isfinite(value):
                raise PipelineError(
                    f"training diverged in epoch {epoch + 1}: its {name} is {value}; "
                    "a smaller learning rate may help"
                )


class TargetAccuracy(keras.callbacks.Callback):
    """Stops training after the first epoch whose training accuracy reaches the target."""

    def __init__(self, target: float) -> None:
        super().__init__()
        self.target = target

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:  # noqa: ARG002, D102
        if logs["accuracy"] >= self.target:
            self.model.stop_training = True


class Checkpointing(keras.callbacks.Callback):
    """Saves where training stands after each epoch, and takes up the optimizer from there.

    It must come after the callbacks whose state it saves and restores.
    """

    def __init__(
        self,
        inputs: Inputs,
        history: History,
        resumed: Checkpoint | None,
        early_stopping: keras.callbacks.EarlyStopping | None,
    ) -> None:
        super().__init__()
        self.inputs = inputs
        self.history = history
        self.resumed = resumed
        self.early_stopping = early_stopping

    def on_train_begin(self, logs: Any = None) -> None:  # noqa: ARG002, D102
        if self.resumed is None:
            return
        variables = self.model.optimizer.variables
        for variable, array in zip(variables, self.resumed.optimizer, strict=True):
            variable.assign(array)
        if self.early_stopping:
            for name in STOPPING:
                setattr(self.early_stopping, name, self.resumed.progress[name])
            self.early_stopping.best_weights = self.resumed.best

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:  # noqa: ARG002, D102
        self.history.append(dict(logs))
        progress = {"history": self.history, "stopped": self.model.stop_training}
        best = []
        if self.early_stopping:
            progress |= {name: getattr(self.early_stopping, name) for name in STOPPING}
            best = self.early_stopping.best_weights
        self.inputs.check()  # or training on edited inputs would be saved under the name of others
        checkpoint.save(
            Checkpoint(
                self.inputs.fingerprint(),
                progress,
                weights=self.model.get_weights(),
                optimizer=[variable.numpy() for variable in self.model.optimizer.variables],
                best=best,
            )
        )


class Progress(keras.callbacks.Callback):
    """Shows on a terminal how long there is to go, and prints a line for each epoch that ended."""

    def __init__(self, done: int, epochs: int, label: str) -> None:
        super().__init__()
        self.done = done
        self.epochs = epochs
        self.label = label

    def on_train_begin(self, logs: Any = None) -> None:  # noqa: ARG002, D102
        self.bar = tqdm(
            total=(self.epochs - self.done) * self.params["steps"],
            bar_format="{desc} {bar} {percentage:3.0f} %, {remaining} to go",
            leave=False,
            disable=not sys.stderr.isatty(),
        )

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:  # noqa: ARG002, D102
        self.bar.set_description_str(f"epoch {epoch + 1} of {self.epochs}")

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:  # noqa: ARG002, D102
        self.bar.update()

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:  # noqa: D102
        results = ", ".join(f"{name} {value:.4g}" for name, value in logs.items())
        self.bar.write(f"epoch {epoch + 1} of {self.epochs}: {results}{self.label}")
        sys.stdout.flush()

    def on_train_end(self, logs: Any = None) -> None:  # noqa: ARG002, D102
        self.bar.close()
