"""Bring the four raw files to `data/raw`: fetched from a mirror, or drawn."""

from pydantic import Field

from pipeline.core import stage
from pipeline.core.params import Section
from pipeline.data import fashion_mnist, synthetic
from pipeline.data.dataset import Source


class DataParams(Section):
    """The section `data`."""

    source: Source
    mirrors: list[str] = Field(min_length=1)
    synthetic: synthetic.SyntheticParams


class Params(Section):
    """What the stage declares."""

    data: DataParams


def download(params: Params) -> None:
    """Write `data/raw`."""
    if params.data.source == "synthetic":
        synthetic.write(params.data.synthetic)
    else:
        fashion_mnist.fetch(params.data.mirrors)


if __name__ == "__main__":
    with stage.active("download", Params) as this:
        download(this.params)
