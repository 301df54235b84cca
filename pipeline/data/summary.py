"""What a data set holds: images a class and split, pixels, and copies."""

import hashlib
from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.data import preprocessing
from pipeline.data.dataset import (
    TEST,
    TRAIN,
    TRAIN_IMAGES,
    TRAIN_LABELS,
    VALIDATION,
    Dataset,
    Description,
    load,
    read_files,
)
from pipeline.data.idx import read_labels
from pipeline.data.preprocessing import PreprocessParams

SPLITS = {"train": TRAIN, "validation": VALIDATION, "test": TEST}
SMALLEST = 5  # how many of the smallest classes are named
HASH_SIZE = 16  # a perceptual hash has this many rows and columns of bits
# Images are nearly the same where at most so many of the 256 bits differ, and the pixels by so much
# on average: by the bits alone, trousers of one cut are.
NEAR_BITS = 24
NEAR_PIXELS = 0.03
BLOCK = 500  # images that are compared with all others at a time
EXAMPLES = 5  # pairs that are named

Pair = tuple[str, int, str, int]  # a split and the row there, and the same of the other image


def summarise(description: Description) -> dict[str, Any]:
    """Return what the processed sets hold, for JSON.

    Raises:
        PipelineError: they are missing or damaged.
    """
    sets = {split: load(path, description) for split, path in SPLITS.items()}
    classes = {
        name: {split: int(np.sum(data.labels == label)) for split, data in sets.items()}
        for label, name in enumerate(description.classes)
    }
    by_size = sorted(classes, key=lambda name: sum(classes[name].values()))
    pixels = {split: _pixels(data) for split, data in sets.items()}
    return {
        "name": description.name,
        "shape": list(description.shape),
        "images": {split: len(data.labels) for split, data in sets.items()},
        "pixels": pixels,
        "classes": classes,
        "smallest": by_size[:SMALLEST],
        "copies": _count(list(_same(sets))),
        "near_copies": _count(list(_near(sets))),
    }


def difference_hash(images: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Return a perceptual hash of each image `[N, *shape]`, bool `[N, 256]`.

    Each bit says whether one part of the image is lighter than the part at its left, of 16 by 17.
    Source: Krawetz, Kind of Like That, 2013 (dHash): https://www.hackerfactor.com/blog/?/archives/529.
    """
    grey = images.mean(axis=-1) if images.ndim == 4 else images
    rows = _averaged(grey, HASH_SIZE, axis=1)
    parts = _averaged(rows, HASH_SIZE + 1, axis=2)
    # Against noise: differences of less than one grey level of 256 do not count.
    return (np.diff(parts, axis=2) > 1 / 256).reshape(len(images), -1)


def _averaged(images: NDArray[np.float32], parts: int, axis: int) -> NDArray[np.float32]:
    """Average images over so many equal spans along an axis, at least a pixel each."""
    size = images.shape[axis]
    edges = np.linspace(0, size, parts + 1)
    first = np.minimum(edges[:-1].astype(int), size - 1)
    last = np.maximum(np.ceil(edges[1:]).astype(int), first + 1)
    spans = [
        images.take(range(a, b), axis=axis).mean(axis=axis)
        for a, b in zip(first, last, strict=True)
    ]
    return np.stack(spans, axis=axis)


def _pixels(data: Dataset) -> dict[str, float]:
    """Return mean and standard deviation of the pixels, 0 to 1; of no images, nothing."""
    if not len(data.labels):
        return {}
    weights = [part.size for part in _parts(data)]
    means = [part.mean(dtype=np.float64) for part in _parts(data)]
    squares = [np.square(part).mean(dtype=np.float64) for part in _parts(data)]
    mean, square = (float(np.average(values, weights=weights)) for values in (means, squares))
    variance = max(square - mean**2, 0.0)  # rounded, that of a constant may be negative
    return {"mean": round(mean, 4), "standard_deviation": round(variance**0.5, 4)}


def _same(sets: dict[str, Dataset]) -> Iterator[Pair]:
    """Yield each image that is a copy of an earlier one, with that one."""
    first: dict[bytes, tuple[str, int]] = {}
    for split, data in sets.items():
        for row, image in enumerate(data.images):
            key = hashlib.sha256(image.tobytes()).digest()
            if key in first:
                yield (*first[key], split, row)
            first.setdefault(key, (split, row))


def _near(sets: dict[str, Dataset]) -> Iterator[Pair]:
    """Yield each image that is nearly the same as the earlier one that is nearest by its hash."""
    places = [(split, row) for split, data in sets.items() for row in range(len(data.labels))]
    hashes = [difference_hash(part) for data in sets.values() for part in _parts(data)]
    signs = np.where(np.concatenate(hashes), np.float32(1), np.float32(-1))
    for start in range(0, len(signs), BLOCK):
        stop = min(start + BLOCK, len(signs))
        # Of signs, the product is the number of equal bits less that of different ones.
        differing = (signs.shape[1] - signs[start:stop] @ signs[:stop].T) / 2
        differing[np.arange(stop) >= np.arange(start, stop)[:, None]] = np.inf
        nearest = differing.argmin(axis=1)
        for offset in np.flatnonzero(differing.min(axis=1) <= NEAR_BITS):
            (split, row), (other, earlier) = places[start + offset], places[nearest[offset]]
            change = sets[split].images[row] - sets[other].images[earlier]
            if np.abs(change).mean() <= NEAR_PIXELS:
                yield other, earlier, split, row


def _parts(data: Dataset) -> Iterator[NDArray[np.float32]]:
    """Yield the images, so many at a time that memory does not matter."""
    for first in range(0, len(data.labels), BLOCK):
        yield data.images[first : first + BLOCK]


def _count(pairs: list[Pair]) -> dict[str, Any]:
    """Return how many images are copies of an earlier one, by the splits of the two."""
    counts = Counter(
        f"within {first}" if first == second else f"{first} and {second}"
        for first, _, second, _ in pairs
    )
    across_first = sorted(pairs, key=lambda pair: pair[0] == pair[2])
    return {"images": dict(counts), "examples": [list(pair) for pair in across_first[:EXAMPLES]]}


def file_paths(description: Description, params: PreprocessParams) -> dict[tuple[str, int], str]:
    """Return the picture of the user's own from which each row of each split was made.

    There are none where the data came as four files.

    Raises:
        PipelineError: a raw file is missing or damaged, or they do not fit each other.
    """
    raw = read_files()
    if not raw:
        return {}
    labels = read_labels(TRAIN_IMAGES, TRAIN_LABELS, description)
    parts = preprocessing.split(labels, len(description.classes), params)._asdict()
    own = {(name, new): raw["train", old] for name in parts for new, old in enumerate(parts[name])}
    return own | {place: path for place, path in raw.items() if place[0] == "test"}
