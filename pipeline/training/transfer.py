"""A known network of `keras.applications` as the larger part of a model."""

import hashlib
import os
import warnings
from pathlib import Path
from typing import Any

import keras
from keras import layers

from pipeline.core.errors import PipelineError
from pipeline.core.reading import reading
from pipeline.training.hyperparameters import TransferParams

# Where Keras publishes the weights, learned on ImageNet, of each network without its head.
PUBLISHED = {
    "MobileNetV2": (
        "https://storage.googleapis.com/tensorflow/keras-applications/mobilenet_v2/"
        "mobilenet_v2_weights_tf_dim_ordering_tf_kernels_1.0_224_no_top.h5"
    ),
    "ResNet50V2": (
        "https://storage.googleapis.com/tensorflow/keras-applications/resnet/"
        "resnet50v2_weights_tf_dim_ordering_tf_kernels_notop.h5"
    ),
}


def features(images: Any, params: TransferParams, momentum: float) -> Any:
    """Return what the backbone makes of images `[N, H, W, channels]`, float `[N, features]`.

    The backbone's layers are part of the caller's model. Its own `momentum` of batch normalisation
    is for trainings of weeks: that of new weights is replaced.

    Raises:
        PipelineError: its weights are not available, or do not match `weights_sha256`.
    """
    size = params.image_size
    x = layers.Resizing(size, size, interpolation="bilinear")(images)
    if images.shape[-1] == 1:
        x = layers.Concatenate()([x, x, x])
    x = layers.Rescaling(scale=2.0, offset=-1.0)(x)  # what these backbones are made for: -1 to 1
    backbone = getattr(keras.applications, params.backbone)(
        include_top=False, weights=None, input_tensor=x, pooling="avg"
    )
    if params.weights == "none":
        for layer in backbone.layers:
            if isinstance(layer, layers.BatchNormalization):
                layer.momentum = momentum
    else:
        _load_weights(backbone, params)
    x = backbone.output
    return layers.Dropout(params.dropout)(x) if params.dropout else x


def set_trainable(model: keras.Model, params: TransferParams, *, frozen: bool) -> None:
    """Freeze all of `model` but its head, or let it be tuned.

    Known weights come with known averages: their batch normalisation is not trained again, since
    that undoes what the backbone has learned (Keras's guide to transfer learning says why).
    """
    *backbone, _head = model.layers
    for layer in backbone:
        known = params.weights != "none" and isinstance(layer, layers.BatchNormalization)
        layer.trainable = not (frozen or known)


def _load_weights(backbone: keras.Model, params: TransferParams) -> None:
    path = _published(params.backbone) if params.weights == "imagenet" else Path(params.weights)
    if not path.is_file():  # anything else may block for ever
        raise PipelineError(
            f"model.weights is {params.weights}, but {path.absolute()} is not a file"
        )
    with path.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    if sha256 != params.weights_sha256:
        raise PipelineError(
            f"model.weights_sha256 is {params.weights_sha256 or 'empty'}, but {path} has {sha256}; "
            "if that is the file you mean, set it to that"
        )
    as_what = f"{path}, as weights of {params.backbone},"
    with reading(path, as_what), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Keras's, about what ends in an error here
        backbone.load_weights(path)


def _published(backbone: str) -> Path:
    """Return the file of weights in Keras's cache, fetched where it is not there yet."""
    address = PUBLISHED[backbone]
    path = Path(os.path.expanduser("~/.keras/models"), address.rpartition("/")[2])  # noqa: PTH111
    if not path.exists():
        print(f"fetching {address}", flush=True)
        part = f"{path.name}.{os.getpid()}"  # another experiment may be fetching it, too
        try:
            path.parent.mkdir(parents=True, exist_ok=True)  # or Keras takes a folder of its own
            fetched = keras.utils.get_file(
                part,
                address,
                cache_dir=path.parents[1],
                cache_subdir=path.parent.name,
                force_download=True,
            )
            Path(fetched).replace(path)
        except Exception as error:  # noqa: BLE001 (Keras raises nothing more specific)
            raise PipelineError(
                f"model.weights is imagenet, but {address} cannot be fetched ({error}); "
                f"put the file at {path}, or set model.weights to where you have it"
            ) from None
        finally:
            path.with_name(part).unlink(missing_ok=True)
    return path
