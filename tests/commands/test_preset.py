"""Presets: complete, applied in one command, and the default among them."""

import pytest
import yaml

from pipeline.core.params import check_params, select
from pipeline.training.hyperparameters import Hyperparameters
from tests.conftest import ROOT, Project

PRESETS = sorted(path.stem for path in (ROOT / "presets").glob("*.yaml"))
DECLARED = ["data.source", "model", "seed", "train"]


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_sets_its_sections_and_no_others(fresh: Project, name: str) -> None:
    fresh.set_params({"seed": 7, "train.epochs": 99})
    before = fresh.params()
    fresh.ok("python", "-m", "pipeline", "preset", name)
    after = fresh.params()
    assert after == before | yaml.safe_load((ROOT / "presets" / f"{name}.yaml").read_text())
    assert after["seed"] == 7
    assert after["train"]["epochs"] != 99
    check_params(Hyperparameters, select(after, DECLARED))


def test_mlp_is_the_default_to_the_letter(fresh: Project) -> None:
    fresh.ok("python", "-m", "pipeline", "preset", "cnn")
    assert fresh.params()["model"]["name"] == "cnn"
    fresh.ok("python", "-m", "pipeline", "preset", "mlp")
    assert fresh.ok("git", "status", "--porcelain") == ""


def test_an_unknown_preset_is_one_line(fresh: Project) -> None:
    done = fresh.run("python", "-m", "pipeline", "preset", "cn")
    assert done.returncode == 1
    assert done.stderr == f"error: there is no preset cn; there are {', '.join(PRESETS)}\n"
