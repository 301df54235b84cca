"""Turn the raw files into scaled arrays: training, validation and test set."""

from pipeline.core import stage
from pipeline.core.params_file import Section
from pipeline.data import dataset, idx
from pipeline.data.preprocessing import PreprocessParams, chosen, split, write_scaled


class Params(Section):
    """What the stage declares."""

    preprocess: PreprocessParams


def preprocess(params: Params) -> None:
    """Write `data/processed`."""
    description = dataset.load_description(dataset.RAW_DESCRIPTION)
    shape = description.shape
    labels = idx.read_labels(dataset.TRAIN_IMAGES, dataset.TRAIN_LABELS, description)
    test_labels = idx.read_labels(dataset.TEST_IMAGES, dataset.TEST_LABELS, description)
    parts = split(labels, len(description.classes), params.preprocess)
    if params.preprocess.validation_fraction and not len(parts.validation):
        print("no validation images: preprocess.validation_fraction is too small for these classes")
    for path, rows in zip((dataset.TRAIN, dataset.VALIDATION), parts, strict=True):
        images = chosen(idx.read_parts(dataset.TRAIN_IMAGES), rows)
        write_scaled(path, images, shape, labels[rows])
    write_scaled(dataset.TEST, idx.read_parts(dataset.TEST_IMAGES), shape, test_labels)
    description.write(dataset.DESCRIPTION)


if __name__ == "__main__":
    with stage.active("preprocess", Params) as this:
        preprocess(this.params)
