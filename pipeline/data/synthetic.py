"""A stand-in for Fashion-MNIST, drawn here: for offline runs and for tests.

Ten kinds of garment silhouettes of varied shape, position, shading and noise. Kinds that are
alike in a wardrobe (T-shirt, pullover, coat, shirt) are alike here, so that a model has to learn.
Pixels come from Pillow's polygons and integer arithmetic: no result depends on the processor.
"""

import itertools

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from pydantic import Field

from pipeline.core.params_file import Section
from pipeline.data import dataset, fashion_mnist, idx

DESCRIPTION = fashion_mnist.DESCRIPTION.model_copy(
    update={
        "name": "Synthetic garments",
        "source": "synthetic",
        "licence": None,
        "url": None,
        "references": (),
    }
)
IMAGE_SIZE = DESCRIPTION.width
OVERSAMPLING = 4  # drawn this much larger, then averaged, for smooth edges
CANVAS = IMAGE_SIZE * OVERSAMPLING
NOISE = 48  # the largest change of a garment's pixel, of 255

Point = tuple[float, float]


class SyntheticParams(Section):
    """`data.synthetic`: what fully determines the synthetic files."""

    seed: int = Field(ge=0)
    train_images: int = Field(ge=10, le=60_000)
    test_images: int = Field(ge=10, le=10_000)


def write(params: SyntheticParams) -> None:
    """Draw the four files to `data/raw`, under the official names and in the official format."""
    train_seed, test_seed = np.random.SeedSequence(params.seed).spawn(2)
    for count, seed, images_path, labels_path in (
        (params.train_images, train_seed, dataset.TRAIN_IMAGES, dataset.TRAIN_LABELS),
        (params.test_images, test_seed, dataset.TEST_IMAGES, dataset.TEST_LABELS),
    ):
        images, labels = draw(count, np.random.default_rng(seed))
        idx.write(images_path, images)
        idx.write(labels_path, labels)


def draw(count: int, rng: np.random.Generator) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Return `count` images uint8 `[N, 28, 28]` and their labels uint8 `[N]`, balanced."""
    labels = rng.permutation(np.arange(count) % len(DESCRIPTION.classes)).astype(np.uint8)
    images = np.stack([_shade(_silhouette(int(label), rng), rng) for label in labels])
    return images, labels


def _silhouette(label: int, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Return the coverage of each pixel, 0 to 255, by one garment of kind `label`."""
    canvas = Image.new("L", (CANVAS, CANVAS))
    pen = ImageDraw.Draw(canvas)
    scale = rng.uniform(0.75, 1.0) * CANVAS
    shift = CANVAS / 2 + rng.uniform(-0.08, 0.08, size=2) * CANVAS
    for outline in _outlines(label, rng):
        # From the unit square around (0, 0) to the canvas.
        pen.polygon([(shift[0] + x * scale, shift[1] + y * scale) for x, y in outline], fill=255)
    return np.asarray(canvas.reduce(OVERSAMPLING), dtype=np.uint8)


def _shade(coverage: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """Give a silhouette its cloth: a base grey, light from one side, and noise."""
    base = rng.integers(90, 221)
    slope = rng.integers(-4, 5, size=2)
    across = np.arange(IMAGE_SIZE) - IMAGE_SIZE // 2
    cloth = base + slope[0] * across[:, None] + slope[1] * across[None, :]
    cloth = cloth + rng.integers(-NOISE, NOISE + 1, size=cloth.shape)
    shaded: NDArray[np.int64] = coverage.astype(np.int64) * cloth.clip(0, 255) // 255
    return shaded.astype(np.uint8)


def _outlines(label: int, rng: np.random.Generator) -> list[list[Point]]:
    """Return the polygons of a garment within -0.5 to 0.5; y grows downwards."""
    kind = DESCRIPTION.classes[label]
    if kind in _TOPS:
        sleeve, length, width = (rng.uniform(*span) for span in _TOPS[kind])
        opening = rng.uniform(0.02, 0.09) if kind == "Coat" else 0.0
        return _top(sleeve, length, width, opening)
    if kind == "Trouser":
        return _trouser(rng.uniform(0.13, 0.2), rng.uniform(0.03, 0.08), rng.uniform(0.4, 0.5))
    if kind == "Bag":
        return _bag(rng.uniform(0.3, 0.48), rng.uniform(0.15, 0.32), rng.uniform(0.1, 0.2))
    shaft, heel, gap = (rng.uniform(*span) for span in _SHOES[kind])
    return _shoe(shaft, heel, gap)


# Reach of the sleeves, length of the body, half its width: the spans overlap on purpose.
_TOPS: dict[str, tuple[tuple[float, float], ...]] = {
    "T-shirt/top": ((0.1, 0.22), (0.62, 0.85), (0.18, 0.26)),
    "Pullover": ((0.5, 0.75), (0.62, 0.85), (0.18, 0.26)),
    "Dress": ((0.0, 0.12), (0.88, 1.0), (0.1, 0.17)),
    "Coat": ((0.55, 0.8), (0.8, 0.98), (0.18, 0.26)),
    "Shirt": ((0.18, 0.55), (0.66, 0.9), (0.16, 0.24)),
}
# Height of the shaft, height of the heel, size of the gaps between straps.
_SHOES: dict[str, tuple[tuple[float, float], ...]] = {
    "Sandal": ((0.08, 0.3), (0.02, 0.22), (0.06, 0.12)),
    "Sneaker": ((0.1, 0.24), (0.02, 0.06), (0.0, 0.02)),
    "Ankle boot": ((0.2, 0.5), (0.02, 0.18), (0.0, 0.02)),
}


def _top(sleeve: float, length: float, width: float, opening: float) -> list[list[Point]]:
    top, bottom, shoulder, cuff = -length / 2, length / 2, width + 0.02, 0.09
    reach, drop = shoulder + 0.18, top + 0.06 + sleeve
    left_sleeve = [(-width, top), (-reach, drop), (-reach + cuff, drop + 0.03), (-width, top + 0.2)]
    left_body = [
        (-0.06, top),
        (-shoulder, top + 0.03),
        (-width, top + 0.2),
        (-width, bottom),
        (-opening / 2, bottom),
        (-opening / 2, top + 0.06),
    ]
    halves = [left_body, left_sleeve] if sleeve > 0.06 else [left_body]
    return halves + [_mirrored(half) for half in halves]


def _trouser(waist: float, gap: float, half_length: float) -> list[list[Point]]:
    leg = [
        (0.0, -half_length),
        (-waist, -half_length),
        (-waist - 0.03, half_length),
        (-gap / 2, half_length),
        (0.0, -half_length + 0.25),
    ]
    return [leg, _mirrored(leg)]


def _bag(half_width: float, half_height: float, handle: float) -> list[list[Point]]:
    top = -half_height + handle / 2
    body = [
        (-half_width + 0.03, top),
        (half_width - 0.03, top),
        (half_width, half_height),
        (-half_width, half_height),
    ]
    strap = [
        (-half_width / 2, top),
        (-half_width / 2 - 0.04, top),
        (-half_width / 3, top - handle - 0.04),
        (0.0, top - handle - 0.04),
        (0.0, top - handle),
        (-half_width / 3 + 0.04, top - handle),
    ]
    return [body, strap, _mirrored(strap)]


def _shoe(shaft: float, heel: float, gap: float) -> list[list[Point]]:
    sole = 0.2
    shoe = [
        [(-0.48, sole), (0.2, sole), (0.2, sole + 0.05), (-0.48, sole + 0.05)],
        [(0.2, sole), (0.45, sole), (0.45, sole + heel + 0.05), (0.32, sole + heel + 0.05)],
    ]
    # The upper, cut into vertical straps where there is a gap between them.
    edges = np.linspace(-0.46, 0.44, 6)
    for left, right in itertools.pairwise(edges):
        start, end = left + gap / 2, right - gap / 2
        shoe.append(
            [
                (start, sole),
                (start, sole - _instep(start, shaft)),
                (end, sole - _instep(end, shaft)),
                (end, sole),
            ]
        )
    return shoe


def _instep(x: float, shaft: float) -> float:
    """Return how high the upper stands at `x`: low at the toe, the shaft's height at the heel."""
    return 0.08 + shaft * min(max((x + 0.3) / 0.4, 0.0), 1.0) + 0.06 * max(x, 0.0)


def _mirrored(outline: list[Point]) -> list[Point]:
    return [(-x, y) for x, y in outline]
