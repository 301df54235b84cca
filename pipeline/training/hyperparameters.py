"""What `params.yaml` may say about the model and its training."""

from typing import Annotated, Literal, NamedTuple, Self

from pydantic import Field, model_validator

from pipeline.core.params_file import Section

Units = Annotated[int, Field(ge=1, le=65_536)]
Filters = Annotated[int, Field(ge=1, le=4_096)]


class Regularisation(Section):
    """What the section `model` holds for every family."""

    dropout: float = Field(ge=0, lt=1)
    l2: float = Field(ge=0)


class MlpParams(Regularisation):
    """The section `model` for a multi-layer perceptron."""

    name: Literal["mlp"]
    hidden_units: list[Units]

    @model_validator(mode="after")
    def _regularisation_has_an_effect(self) -> Self:
        if not self.hidden_units and (self.dropout or self.l2):
            raise ValueError("model.dropout and model.l2 must be 0 without model.hidden_units")
        return self


class CnnParams(Regularisation):
    """The section `model` for a plain convolutional network."""

    name: Literal["cnn"]
    filters: list[Filters] = Field(min_length=1, max_length=8)
    hidden_units: list[Units]
    views: Literal[1, 2, 6]


class ResnetParams(Regularisation):
    """The section `model` for a residual network."""

    name: Literal["resnet"]
    width: int = Field(ge=2, le=1_024)
    blocks: list[Annotated[int, Field(ge=0, le=100)]] = Field(min_length=1, max_length=8)
    views: Literal[1, 2, 6]


class TransferParams(Section):
    """The section `model` for a known network with a new head."""

    name: Literal["transfer"]
    backbone: Literal["MobileNetV2", "ResNet50V2"]
    weights: str = Field(min_length=1)  # imagenet, none, or a file
    weights_sha256: str | None  # of the file: with it, the record names what was used
    image_size: int = Field(ge=32, le=512)
    frozen_epochs: int = Field(ge=0)
    fine_tuning_rate: float | None = Field(gt=0)
    dropout: float = Field(ge=0, lt=1)

    @model_validator(mode="after")
    def _each_has_an_effect(self) -> Self:
        if bool(self.frozen_epochs) != (self.fine_tuning_rate is not None):
            raise ValueError(
                f"model.fine_tuning_rate is {self.fine_tuning_rate or 'empty'}, "
                f"but model.frozen_epochs is {self.frozen_epochs}; it is for what follows those, "
                "and empty where there are none"
            )
        if self.weights == "none":
            if self.frozen_epochs:
                raise ValueError("model.frozen_epochs must be 0 where model.weights is none")
            if self.weights_sha256:
                raise ValueError("model.weights_sha256 must be empty where model.weights is none")
        return self


class AugmentationParams(Section):
    """The section `train.augmentation`: how training images are varied."""

    flip: bool
    shift: int = Field(ge=0, le=128)
    erase: float = Field(ge=0, le=1)


class TrainParams(Section):
    """The section `train`."""

    epochs: int = Field(ge=1)
    batch_size: int = Field(ge=1)
    optimizer: Literal["adam", "adamw", "sgd"]
    learning_rate: float = Field(gt=0)
    momentum: float | None = Field(ge=0, lt=1)
    weight_decay: float | None = Field(ge=0)
    schedule: Literal["constant", "cosine", "one-cycle"]
    warmup_epochs: int = Field(ge=0)
    label_smoothing: float = Field(ge=0, lt=1)
    class_weight: Literal["balanced"] | None
    skip_easy: float | None = Field(gt=0, le=0.75)
    augmentation: AugmentationParams
    precision: Literal["float32", "mixed_bfloat16"]
    device: Literal["cpu", "gpu"]
    jit_compile: Literal["auto", True, False]
    target_accuracy: float | None = Field(gt=0, le=1)
    # How many epochs in a row validation loss may fail to improve.
    early_stopping: int | None = Field(ge=1)

    @model_validator(mode="after")
    def _optimizer_has_what_it_uses(self) -> Self:
        """Refuse what would be ignored, and ask for what would be missed."""
        uses = {"adam": (), "adamw": ("weight_decay",), "sgd": ("momentum", "weight_decay")}
        for name in ("momentum", "weight_decay"):
            given = getattr(self, name) is not None
            if given and name not in uses[self.optimizer]:
                raise ValueError(f"train.{name} has no effect on {self.optimizer}; leave it empty")
            if not given and name in uses[self.optimizer]:
                raise ValueError(f"train.{name} is empty; {self.optimizer} needs a number")
        return self

    @model_validator(mode="after")
    def _skipping_fits(self) -> Self:
        if not self.skip_easy:
            return self
        if self.epochs < 3:
            raise ValueError(
                f"train.skip_easy has no effect on {self.epochs} epoch{'s' * (self.epochs != 1)}: "
                "no image is skipped in the first and the last"
            )
        if self.target_accuracy:
            raise ValueError(
                "train.target_accuracy must be empty where train.skip_easy is not: training "
                "accuracy is then measured on images that are harder than average"
            )
        return self


class Phase(NamedTuple):
    """Epochs that follow one schedule."""

    first: int  # how many epochs come before it
    end: int  # how many there are once it is over
    learning_rate: float  # the highest of the schedule
    frozen: bool = False  # only the head of a known network is trained, and nothing stops it early


class Hyperparameters(Section):
    """What the stage `train` declares."""

    seed: int = Field(ge=0, lt=2**32)
    model: Annotated[
        MlpParams | CnnParams | ResnetParams | TransferParams, Field(discriminator="name")
    ]
    train: TrainParams

    @model_validator(mode="after")
    def _each_phase_has_epochs(self) -> Self:
        frozen = self.frozen_epochs
        if frozen >= self.train.epochs:
            raise ValueError(
                f"model.frozen_epochs is {frozen}; it must be below train.epochs, "
                f"{self.train.epochs}"
            )
        shortest = min(frozen or self.train.epochs, self.train.epochs - frozen)
        if self.train.warmup_epochs >= shortest:
            raise ValueError(
                f"train.warmup_epochs is {self.train.warmup_epochs}; "
                f"it must be below the {shortest} epochs that follow one schedule"
            )
        return self

    @property
    def frozen_epochs(self) -> int:
        """How many epochs train only the head of a known network; they come first."""
        return self.model.frozen_epochs if isinstance(self.model, TransferParams) else 0

    @property
    def phases(self) -> list[Phase]:
        """The phases of the training, in order."""
        epochs, rate = self.train.epochs, self.train.learning_rate
        if isinstance(self.model, TransferParams) and self.model.fine_tuning_rate:
            frozen = self.model.frozen_epochs
            return [
                Phase(0, frozen, rate, frozen=True),
                Phase(frozen, epochs, self.model.fine_tuning_rate),
            ]
        return [Phase(0, epochs, rate)]

    @property
    def jit_compile(self) -> bool:
        """Whether XLA compiles the training: on a CPU it is the faster for an MLP alone."""
        if self.train.jit_compile == "auto":
            return self.model.name == "mlp"
        return self.train.jit_compile
