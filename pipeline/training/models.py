"""Building a model from its parameters.

Every model maps images, float32 `[N, *shape]`, to the probabilities of the classes, float32
`[N, classes]`.
"""

from typing import Any

import keras
from keras import layers, ops

from pipeline.core.errors import PipelineError
from pipeline.data.dataset import Description
from pipeline.training import transfer
from pipeline.training.fast_layers import fast, plain
from pipeline.training.hyperparameters import (
    CnnParams,
    Hyperparameters,
    MlpParams,
    Regularisation,
    ResnetParams,
    TransferParams,
)

# Of the batch normalisation's running averages: they have to follow trainings of a few epochs.
MOMENTUM = 0.9


def build(params: Hyperparameters, description: Description) -> keras.Model:
    """Return a model of the family that `model.name` names, its weights drawn by `seed`.

    Raises:
        PipelineError: the images are too small for it, or the weights of a known network are not
            available, or do not match `weights_sha256`.
    """
    keras.utils.set_random_seed(params.seed)
    keras.config.set_dtype_policy(params.train.precision)
    images = keras.Input(description.shape, name="images")
    match params.model:
        case MlpParams():
            features = _mlp(images, params.model)
        case CnnParams():
            features = _cnn(_with_channels(images, description), params.model)
        case ResnetParams():
            features = _resnet(_with_channels(images, description), params.model)
        case TransferParams():
            channels = _with_channels(images, description)
            features = transfer.features(channels, params.model, MOMENTUM)
    # Probabilities in float32 also where the rest computes in bfloat16.
    probabilities = layers.Dense(
        len(description.classes), activation="softmax", dtype="float32", name="probabilities"
    )(features)
    model = keras.Model(images, probabilities, name=params.model.name)
    return fast(model, jit_compile=params.jit_compile)


def finished(model: keras.Model, params: Hyperparameters) -> keras.Model:
    """Return the trained `model` as it is to be saved: for plain Keras, and told how to run."""
    saved = plain(model)
    if isinstance(params.model, CnnParams | ResnetParams) and params.model.views > 1:
        saved = _mean_over_views(saved, params.model.views)
    # Named, or Keras would count the optimizers that this process has had.
    name = params.train.optimizer
    saved.compile(
        keras.optimizers.get({"class_name": name, "config": {"name": name}}),
        "sparse_categorical_crossentropy",
        metrics=["accuracy"],
        jit_compile=params.jit_compile,
    )
    return saved


def _mean_over_views(model: keras.Model, count: int) -> keras.Model:
    """Return a model that gives the mean of what `model` makes of several views of an image.

    Two are the image and its mirror image; six are the image, the image moved by a pixel, up left
    and down right, and the mirror images of these three. After Jordan, 94 % on CIFAR-10 in 3.29
    Seconds, 2024, but with background at the edges and equal weights.
    """
    images = keras.Input(model.input_shape[1:], name="images")
    views = [images]
    if count > 2:
        rest = ((0, 0),) * (len(images.shape) - 3)
        padded = ops.pad(images, ((0, 0), (1, 1), (1, 1), *rest))
        views += [padded[:, 2:, 2:], padded[:, :-2, :-2]]
    views += [ops.flip(view, axis=2) for view in views]
    probabilities = layers.Average(dtype="float32", name="probabilities")(list(map(model, views)))
    return keras.Model(images, probabilities, name=f"{model.name}_of_{count}_views")


def _mlp(x: Any, params: MlpParams) -> Any:
    return _dense(layers.Flatten()(x), params.hidden_units, params)


def _cnn(x: Any, params: CnnParams) -> Any:
    """Two convolutions and a pooling for each of `filters`, then dense layers."""
    for filters in params.filters:
        for _ in range(2):
            x = layers.Activation("relu")(_convolution(x, filters, params))
        x = _halved(x, "filters")
        if params.dropout:
            x = layers.Dropout(params.dropout)(x)
    return _dense(layers.Flatten()(x), params.hidden_units, params)


def _resnet(x: Any, params: ResnetParams) -> Any:
    """Groups of a convolution and residual blocks, with a pooling after each.

    A block is one convolution and a connection past it. Nothing shrinks the images before the first
    group, and what is left of the pixels goes to the last layer one by one, without an average over
    the image: in the same time on a CPU this learned more than deeper nets on fewer pixels.
    """
    for group, blocks in enumerate(params.blocks):
        filters = params.width * 2**group
        x = layers.Activation("relu")(_convolution(x, filters, params))
        for _ in range(blocks):
            x = layers.Activation("relu")(layers.Add()([x, _convolution(x, filters, params)]))
        x = _halved(x, "blocks")
    x = layers.Flatten()(x)
    return layers.Dropout(params.dropout)(x) if params.dropout else x


def _convolution(x: Any, filters: int, params: Regularisation) -> Any:
    """Apply a convolution of 3 by 3, its outputs normalised."""
    x = layers.Conv2D(
        filters,
        3,
        padding="same",
        use_bias=False,  # the normalisation has one
        kernel_initializer="he_normal",
        kernel_regularizer=_l2(params),
    )(x)
    return layers.BatchNormalization(momentum=MOMENTUM)(x)


def _dense(x: Any, hidden_units: list[int], params: Regularisation) -> Any:
    for units in hidden_units:
        x = layers.Dense(units, activation="relu", kernel_regularizer=_l2(params))(x)
        if params.dropout:
            x = layers.Dropout(params.dropout)(x)
    return x


def _l2(params: Regularisation) -> keras.Regularizer | None:
    return keras.regularizers.L2(params.l2) if params.l2 else None


def _with_channels(images: Any, description: Description) -> Any:
    """Return images `[N, H, W, channels]`."""
    shape = description.shape
    return images if len(shape) == 3 else layers.Reshape((*shape, 1))(images)


def _halved(x: Any, name: str) -> Any:
    if min(x.shape[1:3]) < 2:
        raise PipelineError(
            f"model.{name} is too long for images of this size: each entry halves them"
        )
    return layers.MaxPooling2D(2)(x)
