"""The README's commands work, in order, as they stand there."""

import re
import sys

import numpy as np
import pytest
from PIL import Image

from tests.project import ROOT, WAIT, Project

README = (ROOT / "README.md").read_text(encoding="utf-8")


@pytest.mark.exhaustive
def test_the_walk_through_works(project: Project) -> None:
    # `make` finds the environment that these tests run in, and has nothing to install.
    (project.path / ".venv").symlink_to(sys.prefix)

    rng = np.random.default_rng(0)
    for label, tone in (("dark", 60), ("light", 190)):
        folder = project.path.parent / "my-pictures" / label
        folder.mkdir(parents=True)
        for number in range(100):
            pixels = rng.integers(tone, tone + 60, (40, 30), np.uint8)
            Image.fromarray(pixels).save(folder / f"{number}.png")

    commands = []
    for line in "".join(
        re.findall(r"^```sh\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
    ).splitlines():
        if not line.startswith("make test"):  # that is what runs here
            commands.append(line)
        if line.startswith("dvc queue start"):
            commands.append(WAIT)
    printed = project.ok("bash", "-euxo", "pipefail", "-c", "\n".join(commands), timeout=1800)

    assert "Stage 'preprocess' didn't change, skipping" in printed
    assert "Running stage 'train'" in printed
    assert "test.accuracy" in printed
    assert printed.count("test image 0, actually ") == 2
    for changed in ("train.learning_rate", "model.dropout"):
        assert changed in printed
    assert "Data and pipelines are up to date." in printed.rpartition("files fetched")[2]
    assert "Accuracy on the same 100 validation images" in printed
    assert "Seeds of units-3: 0, 1" in printed
    assert "Everything agrees with dvc.lock." in printed
    own = printed.rpartition("own data set: images of 28 by 28")[2]
    assert ["light", "72", "8", "20"] in [line.split() for line in own.splitlines()]
