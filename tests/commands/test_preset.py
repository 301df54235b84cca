"""Presets: complete, listed, and applied without touching anything else in `params.yaml`."""

import os
import shutil
from pathlib import Path

import pytest
import yaml

from pipeline.core.errors import PipelineError
from pipeline.core.params_file import flat
from pipeline.experiments import params_text, presets
from tests.project import ROOT, Project

NAMES = presets.names()
PRESET = ("python", "-m", "pipeline", "preset")
PARAMS = (ROOT / "params.yaml").read_text()


@pytest.mark.parametrize("name", NAMES)
def test_a_preset_sets_its_sections_and_no_others(name: str) -> None:
    preset = presets.find(name)
    before = yaml.safe_load(PARAMS)
    text, changes = presets.applied(preset, PARAMS)
    after = yaml.safe_load(text)
    assert after == before | {"model": preset.model, "train": preset.train}
    assert {n for n, (old, new) in changes.items() if old != new} == {
        n for n in flat(before) | flat(after) if flat(before).get(n) != flat(after).get(n)
    }
    presets.check(after)
    assert presets.applied(presets.find("mlp"), text)[0] == PARAMS


def test_the_committed_parameters_are_the_defaults() -> None:
    """Comments included: a parameter is explained in one place, and copied from there."""
    defaults = (ROOT / "presets/defaults.yaml").read_text()
    mlp = presets.find("mlp").text
    sections = {key: params_text.section(defaults, key) for key in yaml.safe_load(defaults)}
    sections["model"] = params_text.section(mlp, "model")
    assert {key: params_text.section(PARAMS, key) for key in yaml.safe_load(PARAMS)} == sections


def test_presets_list_only_what_differs_from_the_defaults() -> None:
    defaults = flat(yaml.safe_load((ROOT / "presets/defaults.yaml").read_text())["train"])
    for name in NAMES:
        train = flat(yaml.safe_load(presets.find(name).text).get("train", {}))
        assert not train.items() & {k: v for k, v in defaults.items() if k in train}.items(), name


OWN = """\
# at the top
seed: 7   # lucky
"model":
  # above a value
  name: mlp  # mine
  hidden_units:
  - 128
  dropout: 0.0
  l2: 0.0

# about training
train: {epochs: 5, batch_size: 32, optimizer: adam, learning_rate: 0.001, momentum: null,
  weight_decay: null, schedule: constant, warmup_epochs: 0, label_smoothing: 0.0,
  augmentation: {flip: false, shift: 0, erase: 0.0}, precision: float32, jit_compile: auto,
  target_accuracy: null, early_stopping: null}
# about plots
plot:
  mistakes: 3  # few
"""


@pytest.mark.parametrize("name", NAMES)
def test_comments_order_and_other_values_stay(name: str) -> None:
    preset = presets.find(name)
    text, _ = presets.applied(preset, OWN)
    expected = {"model": preset.model, "train": preset.train}
    assert yaml.safe_load(text) == {"seed": 7, **expected, "plot": {"mistakes": 3}}
    for line in ("# at the top", "seed: 7   # lucky", "# about training", "# about plots"):
        assert line in text.splitlines()
    if name == "mlp":
        assert "  # above a value\n  name: mlp  # mine\n" in text


def test_a_parameter_of_a_newer_version_is_added() -> None:
    older = PARAMS.replace("  label_smoothing: 0.0\n", "")
    assert presets.applied(presets.find("mlp"), older)[0] == PARAMS
    lines = params_text.set_values(PARAMS, {"train.epochs": 9}).splitlines()
    assert "  epochs: 9" in lines


def test_the_command_names_what_it_replaces_and_keeps_values_of_the_user(fresh: Project) -> None:
    params = fresh.path / "params.yaml"
    original = params.read_text()
    listed = fresh.ok(*PRESET).splitlines()
    assert [line.split()[0] for line in listed] == NAMES
    for name, line in zip(NAMES, listed, strict=True):
        assert line.endswith(presets.find(name).about)

    printed = fresh.ok(*PRESET, "cnn")
    assert "train.epochs: 5 -> 18\n" in printed
    assert printed.endswith("params.yaml now has the preset cnn\n")
    own = params.read_text().replace("epochs: 18", "epochs: 99")
    params.write_text(own)
    done = fresh.run(*PRESET, "mlp")
    assert (done.returncode, done.stderr) == (
        1,
        "error: params.yaml has values that no preset has (train.epochs: 99); "
        "--force replaces them\n",
    )
    assert params.read_text() == own
    fresh.ok(*PRESET, "mlp", "--force")
    assert params.read_text() == original


@pytest.mark.parametrize(
    "damage",
    [
        "not YAML",
        "FIFO",
        pytest.param("not UTF-8", marks=pytest.mark.exhaustive),
        pytest.param("folder", marks=pytest.mark.exhaustive),
        pytest.param("dangling link", marks=pytest.mark.exhaustive),
    ],
)
def test_a_damaged_preset_stops_no_other_command(fresh: Project, damage: str) -> None:
    """Nor does one wait for what is no file."""
    path = fresh.path / "presets/other.yaml"
    if damage == "FIFO":
        os.mkfifo(path)
    elif damage == "folder":
        path.mkdir()
    elif damage == "dangling link":
        path.symlink_to("nowhere")
    else:
        path.write_bytes(b"a: [" if damage == "not YAML" else b"# caf\xe9")
    done = fresh.run(*PRESET, "other", timeout=60)
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: presets/other.yaml ")
    fresh.ok("python", "-m", "pipeline", "verify", "--help")


@pytest.mark.parametrize("content", [b"# caf\xe9\n", "seed: 0".encode("utf-16")])
def test_params_in_another_encoding_are_one_line(fresh: Project, content: bytes) -> None:
    (fresh.path / "params.yaml").write_bytes(content)
    done = fresh.run(*PRESET, "cnn")
    assert done.stderr == "error: params.yaml is not encoded in UTF-8\n"
    assert (fresh.path / "params.yaml").read_bytes() == content


@pytest.mark.parametrize("name", ["cn", "../x", "defaults", ""])
def test_an_unknown_preset_is_one_line(fresh: Project, name: str) -> None:
    done = fresh.run(*PRESET, name)
    assert done.returncode == 1
    allowed = ", ".join(NAMES)
    assert done.stderr == f"error: {name!r} is not a preset; allowed are {allowed}\n"


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("presets/cnn.yaml", "[]"),
        ("presets/cnn.yaml", "model: 3"),
        ("presets/cnn.yaml", "model: {}\nother: {}"),
        ("presets/cnn.yaml", "model: {}\ntrain: {epoch: 3}"),
        ("presets/defaults.yaml", "train: []"),
        ("params.yaml", "train: []\nmodel: {}"),
        ("params.yaml", "model:\n- 1\ntrain: {}"),
        ("params.yaml", ""),
    ],
)
def test_a_file_that_is_not_as_it_should_be_is_one_line(
    path: str, text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(ROOT / "presets", tmp_path / "presets")
    shutil.copy(ROOT / "params.yaml", tmp_path)
    monkeypatch.chdir(tmp_path)
    (tmp_path / path).write_text(text)
    with pytest.raises(PipelineError, match=path):
        presets.applied(presets.find("cnn"), Path("params.yaml").read_text())


def test_a_file_too_large_for_memory_is_one_line(fresh: Project) -> None:
    for path in ("params.yaml", "presets/cnn.yaml"):
        with (fresh.path / path).open("wb") as file:
            file.truncate(10 * 2**30)  # sparse
        done = fresh.run(*PRESET, "cnn" if "cnn" in path else "mlp", timeout=60)
        assert done.stderr == (f"error: {path} has 10,737,418,240 bytes; allowed are 1,048,576\n")
