"""`python -m benchmarks.novelty`: how well `predict` tells digits and letters from the test images.

Both scores get the same threshold: 95% of the validation images are on its near side.
"""

import string
import tempfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from scipy.stats import mannwhitneyu

from pipeline.commands._table import print_table
from pipeline.data import dataset, pictures
from pipeline.data.dataset import Description
from pipeline.data.preprocessing import scale
from pipeline.evaluation.novelty import USUAL, Novelty
from pipeline.evaluation.prediction import load_model, predict

PICTURES = 1_000  # of digits, and of letters
EDGE = 200  # of a picture, in pixels
PAPER = 235  # its background


def main() -> None:
    """Measure the model in the workspace, and print a table."""
    description = dataset.load_description(dataset.MODEL_DESCRIPTION)
    validation = dataset.load(dataset.VALIDATION, description).images
    test = dataset.load(dataset.TEST, description).images
    model = load_model(Path("models/model.keras"), description)
    novelty = Novelty(model, validation)
    scores = {
        "distance to the 5th neighbour": (novelty.distances, novelty.threshold),
        "1 - maximum softmax probability": (
            lambda images: 1 - predict(model, images).max(axis=1),
            None,
        ),
    }
    rows = []
    for name, characters in (("digits", string.digits), ("letters", string.ascii_uppercase)):
        drawn = draw(characters, description)
        for score, (measure, threshold) in scores.items():
            limit = np.quantile(measure(validation), USUAL) if threshold is None else threshold
            others, usual = measure(drawn), measure(test)
            area = mannwhitneyu(others, usual).statistic / (len(others) * len(usual))
            shares = [f"{np.mean(values > limit):.1%}" for values in (others, usual)]
            rows.append([name, score, f"{area:.3f}", *shares])
    print_table(["pictures", "score", "AUROC", "flagged", "test images flagged"], rows, left=2)


def draw(characters: str, description: Description) -> NDArray[np.float32]:
    """Return pictures of characters, of any size, tone and slant, as `predict` prepares them."""
    rng = np.random.default_rng(0)
    images = []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "picture.png")
        for number in range(PICTURES):
            picture = Image.new("L", (EDGE, EDGE), PAPER)
            font = ImageFont.load_default(int(rng.integers(60, 140)))
            text, tone = characters[number % len(characters)], int(rng.integers(0, 100))
            ImageDraw.Draw(picture).text((EDGE / 2, EDGE / 2), text, tone, font, anchor="mm")
            slanted = picture.rotate(
                rng.uniform(-15, 15), Image.Resampling.BILINEAR, fillcolor=PAPER
            )
            slanted.save(path)
            images.append(scale(pictures.read(path, description)))
    return np.stack(images)


if __name__ == "__main__":
    main()
