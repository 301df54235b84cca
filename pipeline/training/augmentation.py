"""Varying training images, each by its own draw."""

import numpy as np
from numpy.typing import NDArray

from pipeline.training.hyperparameters import AugmentationParams

Images = NDArray[np.float32]  # [N, height, width], or [N, height, width, channels]

# What a rectangle to erase may be: Zhong et al., Random Erasing Data Augmentation, 2017, table 1.
ERASED_AREA = (0.02, 0.4)
ERASED_ASPECT = (0.3, 1 / 0.3)


def augment(images: Images, params: AugmentationParams, rng: np.random.Generator) -> Images:
    """Return the images, varied as `params` say; `images` itself stays as it is."""
    if params.flip:
        images = flip(images, rng)
    if params.shift:
        images = shift(images, params.shift, rng)
    if params.erase:
        images = erase(images, params.erase, rng)
    return images


def flip(images: Images, rng: np.random.Generator) -> Images:
    """Turn each image left to right with probability 1/2."""
    chosen = rng.random(len(images)) < 0.5
    flipped = images.copy()
    flipped[chosen] = images[chosen, :, ::-1]
    return flipped


def shift(images: Images, pixels: int, rng: np.random.Generator) -> Images:
    """Move each image by up to `pixels` in both directions; background comes in."""
    height, width = images.shape[1:3]
    channels = ((0, 0),) * (images.ndim - 3)
    padded = np.pad(images, ((0, 0), (pixels, pixels), (pixels, pixels), *channels))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (height, width), axis=(1, 2))
    top, left = rng.integers(0, 2 * pixels, (2, len(images)), endpoint=True)
    moved: Images = windows[np.arange(len(images)), top, left]
    # The windows' own axes come last, behind the channels.
    return moved if images.ndim == 3 else np.ascontiguousarray(np.moveaxis(moved, 1, 3))


def erase(images: Images, share: float, rng: np.random.Generator) -> Images:
    """Fill a rectangle of random size and place with noise, in about this `share` of the images."""
    count, (height, width) = len(images), images.shape[1:3]
    area = rng.uniform(*ERASED_AREA, count) * height * width
    aspect = rng.uniform(*ERASED_ASPECT, count)
    chosen = rng.random(count) < share
    rows = _span(height, np.sqrt(area * aspect), rng)
    columns = _span(width, np.sqrt(area / aspect), rng)
    erased = chosen[:, None, None] & rows[:, :, None] & columns[:, None, :]
    varied = images.copy()
    varied[erased] = rng.random(varied[erased].shape, np.float32)
    return varied


def _span(size: int, lengths: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.bool_]:
    """Return a mask `[N, size]` of a run of about each of `lengths`, at a random place."""
    lengths = np.clip(np.rint(lengths), 1, size)
    first = rng.integers(0, size - lengths.astype(np.intp), endpoint=True)[:, None]
    places = np.arange(size)
    return (first <= places) & (places < first + lengths[:, None])
