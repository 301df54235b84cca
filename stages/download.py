"""Bring the four raw files to `data/raw`: fetched from a mirror, drawn, or from `data/own`."""

from pydantic import Field

from pipeline.core import stage
from pipeline.core.artifacts import write_csv
from pipeline.core.params_file import Section
from pipeline.data import fashion_mnist, folder, own, synthetic
from pipeline.data.dataset import FILES_HEADER, RAW_DESCRIPTION, RAW_FILES, Source


class DataParams(Section):
    """The section `data`."""

    source: Source
    mirrors: list[str] = Field(min_length=1)
    synthetic: synthetic.SyntheticParams
    folder: own.FolderParams


class Params(Section):
    """What the stage declares."""

    data: DataParams


def download(params: Params) -> None:
    """Write `data/raw`."""
    files: own.Files = []
    folder.tell_misplaced(params.data.source)
    match params.data.source:
        case "folder":
            description, files = folder.write(params.data.folder)
        case "synthetic":
            description = synthetic.DESCRIPTION
            synthetic.write(params.data.synthetic)
        case "fashion-mnist":
            description = fashion_mnist.DESCRIPTION
            fashion_mnist.fetch(params.data.mirrors)
    description.write(RAW_DESCRIPTION)
    write_csv(RAW_FILES, FILES_HEADER, files)


if __name__ == "__main__":
    with stage.active("download", Params) as this:
        download(this.params)
