"""Which images an epoch takes: all of them, or the hard ones and some of the easy ones."""

import numpy as np
import pytest
import yaml

from pipeline.data.dataset import Dataset
from pipeline.training.batches import TrainingBatches, steps_by_epoch
from pipeline.training.hyperparameters import Hyperparameters
from tests.project import ROOT

IMAGES = 1_000
HARD = np.arange(0, IMAGES, 5)  # what the model is not sure of


def params(**changes: object) -> Hyperparameters:
    content = yaml.safe_load((ROOT / "params.yaml").read_text())
    content["train"] |= {"epochs": 10, "batch_size": 32} | changes
    sections = {name: content[name] for name in ("seed", "model", "train")}
    return Hyperparameters.model_validate(sections)


def batches(**changes: object) -> TrainingBatches:
    """Return batches of images whose one pixel is their number."""
    images = np.arange(IMAGES, dtype=np.float32).reshape(-1, 1, 1)
    made = TrainingBatches(Dataset(images, np.zeros(IMAGES, np.uint8)), params(**changes))
    made.label_probabilities[:] = 0.9
    made.label_probabilities[HARD] = 0.1
    return made


def taken(made: TrainingBatches, epoch: int) -> list[int]:
    """Return the numbers of the images of an epoch, in order."""
    return [
        int(image) for images, _, steps in made.epoch(epoch) for image in images[:steps].ravel()
    ]


def test_an_epoch_takes_each_image_once_in_an_order_of_its_own() -> None:
    made = batches()
    first, second = taken(made, 0), taken(made, 1)
    assert len(first) == len(set(first)) == IMAGES // 32 * 32
    assert first != second
    assert taken(batches(), 1) == second


def test_easy_images_are_skipped_except_in_the_first_and_the_last_epochs() -> None:
    made = batches(skip_easy=0.6)
    whole, skipping = IMAGES // 32, IMAGES * 4 // 10 // 32
    assert made.steps == [whole, *[skipping] * 8, whole]
    assert made.chunks() == len([chunk for epoch in range(10) for chunk in made.epoch(epoch)])
    for epoch in range(1, 9):
        images = taken(made, epoch)
        assert len(images) == len(set(images)) == skipping * 32
        # The last that do not fill a batch are left out, hard or easy.
        assert len(set(HARD) - set(images)) <= IMAGES * 4 // 10 % 32
    assert set(taken(made, 1)) != set(taken(made, 2)), "the same easy images each time"
    assert len(set(taken(made, 9))) == whole * 32
    long = steps_by_epoch(params(skip_easy=0.6, epochs=66).train, IMAGES)
    assert long == [whole, *[skipping] * 61, *[whole] * 4]


def test_what_an_epoch_has_shown_decides_the_next() -> None:
    made = batches(skip_easy=0.6)
    images = taken(made, 1)
    made.note(np.where(np.isin(images, HARD), 0.99, 0.01).astype(np.float32))
    assert (made.label_probabilities[[image for image in images if image in HARD]] > 0.9).all()
    assert len(set(HARD) & set(taken(made, 2))) < len(HARD) / 2


@pytest.mark.parametrize("skip", [0.01, 0.3, 0.75])
@pytest.mark.parametrize("images", [32, 33, 127, 1_000])
def test_any_share_of_any_number_of_images_can_be_skipped(skip: float, images: int) -> None:
    chosen = params(skip_easy=skip, batch_size=8, epochs=3)
    data = Dataset(np.zeros((images, 2, 2), np.float32), np.zeros(images, np.uint8))
    steps = steps_by_epoch(chosen.train, images)
    made = TrainingBatches(data, chosen)
    assert [sum(chunk[2] for chunk in made.epoch(epoch)) for epoch in range(3)] == steps
    assert steps == [images // 8, (images - round(skip * images)) // 8, images // 8]
