"""Turn the raw files into scaled arrays: training, validation and test set."""

from pipeline.core import stage
from pipeline.core.params import Section
from pipeline.data import dataset, idx
from pipeline.data.preprocessing import PreprocessParams, split, write_scaled


class Params(Section):
    """What the stage declares."""

    preprocess: PreprocessParams


def preprocess(params: Params) -> None:
    """Write `data/processed`."""
    description = dataset.load_description(dataset.RAW_DESCRIPTION)
    images, labels = idx.read_pair(dataset.TRAIN_IMAGES, dataset.TRAIN_LABELS, description)
    test_images, test_labels = idx.read_pair(dataset.TEST_IMAGES, dataset.TEST_LABELS, description)
    train, validation = split(labels, len(description.classes), params.preprocess)
    write_scaled(dataset.TRAIN, images[train], labels[train])
    write_scaled(dataset.VALIDATION, images[validation], labels[validation])
    write_scaled(dataset.TEST, test_images, test_labels)
    description.write(dataset.DESCRIPTION)


if __name__ == "__main__":
    with stage.active("preprocess", Params) as this:
        preprocess(this.params)
