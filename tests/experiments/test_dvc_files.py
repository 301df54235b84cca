"""`dvc.yaml` and `dvc.lock` are read as DVC writes them; anything else is one line."""

from pathlib import Path

import pytest

from pipeline.core.errors import PipelineError
from pipeline.experiments.dvc_files import hashes, parse_lock, parse_stages
from tests.project import ROOT

FILE = "{path: a, md5: b}"


def test_the_project_itself() -> None:
    stages = parse_stages(Path(ROOT, "dvc.yaml").read_text())
    assert list(stages) == ["download", "preprocess", "train", "evaluate", "plot"]
    assert stages["train"].outputs()[:2] == ["models/dataset.json", "models/model.keras"]
    lock = parse_lock(Path(ROOT, "dvc.lock").read_text())
    for name, stage in stages.items():
        assert set(hashes(lock[name].outs)) == set(stage.outputs())


def test_stages_come_after_those_they_need() -> None:
    text = "stages: {a: {cmd: x, deps: [two]}, b: {cmd: y, outs: [two: {cache: false}]}}"
    assert list(parse_stages(text)) == ["b", "a"]
    circle = "stages: {a: {cmd: x, deps: [2], outs: [1]}, b: {cmd: y, deps: [1], outs: [2]}}"
    with pytest.raises(PipelineError, match=r"^dvc.yaml: stages in a circle: a, b, a|b, a, b$"):
        parse_stages(circle.replace("1", "one").replace("2", "two"))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{}",
        "[]",
        "null",
        "- 1",
        "text",
        "stages:",
        "stages: []",
        "stages: {a: }",
        "stages: {a: []}",
        "stages: {a: {}}",
        "stages: {a: {cmd: 1}}",
        "stages: {a: {cmd: x, deps: }}",
        "stages: {a: {cmd: x, deps: {}}}",
        "stages: {a: {cmd: x, outs: [1]}}",
        "stages: {a: {cmd: x, outs: [[]]}}",
        "stages: {a: {cmd: x, outs: [{}]}}",
        "stages: {a: {cmd: x, params: 3}}",
        "stages: {a: {cmd: x, params: [3]}}",
        "a: [",
        "stages: " + "[" * 1_000 + "]" * 1_000,
    ],
)
def test_anything_else_is_one_line(text: str) -> None:
    for parse in (parse_lock, parse_stages):
        with pytest.raises(PipelineError, match=r"^the file[:, ].+") as error:
            parse(text, "the file")
        assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "entry",
    [
        "outs: [{path: a}]",
        "deps: [{md5: b}]",
        "outs: [{path: a, md5: 5}]",
        "params: {p.yaml: [a]}",
        "junk: 1",
    ],
)
def test_a_lock_has_paths_hashes_and_values_and_no_more(entry: str) -> None:
    assert parse_lock(f"stages: {{a: {{cmd: x, outs: [{FILE}], params: {{p.yaml: {{b: 1}}}}}}}}")
    with pytest.raises(PipelineError, match=r"^dvc.lock: stages.a."):
        parse_lock(f"stages: {{a: {{cmd: x, {entry}}}}}")
