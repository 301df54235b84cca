"""What a run has recorded is read as `evaluate` writes it; anything else is one line."""

import hashlib
import subprocess
from pathlib import Path

import pytest

from pipeline.core.errors import PipelineError
from pipeline.experiments.runs import METRICS, PREDICTIONS, accuracies_by_seed, find_run

GOOD = '{"source": "synthetic", "test": {"accuracy": 0.9, "loss": 1}}'


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def record(path: str, content: str | bytes) -> None:
    """Write a result, and the record of it."""
    content = content.encode() if isinstance(content, str) else content
    Path(path).parent.mkdir()
    Path(path).write_bytes(content)
    md5 = hashlib.md5(content).hexdigest()
    Path("dvc.lock").write_text(
        f"stages: {{evaluate: {{cmd: x, outs: [{{path: {path}, md5: {md5}}}]}}}}"
    )


def test_metrics_have_dotted_names() -> None:
    record(METRICS, GOOD)
    metrics = find_run(None).metrics()
    assert (metrics.source, metrics.accuracy) == ("synthetic", 0.9)
    assert metrics.by_name() == {"source": "synthetic", "test.accuracy": 0.9, "test.loss": 1}


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{}",
        "[]",
        "null",
        "3",
        GOOD[:-1],
        GOOD.replace("accuracy", "accurracy"),
        GOOD.replace("0.9", '"0.9"'),
        GOOD.replace("0.9", "NaN"),
        GOOD.replace("0.9", "1e999"),
        GOOD.replace("0.9", "null"),
        GOOD.replace("0.9", "true"),
        GOOD.replace("0.9", "[0.9]"),
        GOOD.replace("0.9", "1" * 400),
        GOOD.replace("1}", '"low"}'),
        GOOD.replace('"synthetic"', "3"),
        GOOD.replace("0.9", '{"a":' * 100_000 + "1" + "}" * 100_000),
        b"\xff\xfe",
    ],
)
def test_other_metrics_are_one_line(content: str | bytes) -> None:
    record(METRICS, content)
    with pytest.raises(PipelineError, match=f"^{METRICS} of workspace: .+") as error:
        find_run(None).metrics()
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 300


@pytest.mark.parametrize(
    "content",
    [
        "",
        "actual,predicted\n",
        "actual,predicted\na,b\n",
        "predicted,actual\na,b\na,b\n",
        "actual,predicted\na,b\na\n",
        "actual,predicted\na,b\na,b,c\n",
        'actual,predicted\na,b\na,"b\n',
        "actual,predicted\na,b\na," + "b" * 200_000,
        b"actual,predicted\na,b\na,\xff\n",
    ],
)
def test_other_predictions_are_one_line(content: str | bytes) -> None:
    record(PREDICTIONS["test"], content)
    with pytest.raises(PipelineError, match=f"^{PREDICTIONS['test']} of workspace ") as error:
        find_run(None).predictions("test")
    assert "\n" not in str(error.value)


def test_a_result_that_is_not_the_recorded_one_is_refused() -> None:
    record(METRICS, GOOD)
    Path(METRICS).write_text(GOOD.replace("0.9", "0.99"))
    with pytest.raises(PipelineError, match=r"is not the file that dvc\.lock records there"):
        find_run(None).metrics()
    Path("dvc.lock").write_text("stages: {}")
    Path(METRICS).write_text(GOOD)
    with pytest.raises(PipelineError, match="or never recorded"):
        find_run(None).metrics()
    Path("dvc.lock").write_text("stages: []")
    with pytest.raises(PipelineError, match=r"^dvc\.lock of workspace: stages: "):
        find_run(None).metrics()
    Path("dvc.lock").unlink()
    with pytest.raises(PipelineError, match=r"^workspace has no dvc\.lock"):
        find_run(None).metrics()
    Path(METRICS).unlink()
    with pytest.raises(PipelineError, match=f"^{METRICS} is missing; run `dvc repro`$"):
        find_run(None).metrics()


def test_an_odd_experiment_is_left_out_of_its_group(capsys: pytest.CaptureFixture[str]) -> None:
    """One whose metrics are not the recorded ones, and one whose record cannot be read."""

    def git(*arguments: str) -> None:
        identity = ("-c", "user.name=Test", "-c", "user.email=test@example.invalid")
        subprocess.run(["git", *identity, *arguments], check=True, capture_output=True)

    git("init", "--quiet")
    Path("metrics").mkdir()
    md5 = hashlib.md5(GOOD.encode()).hexdigest()
    for seed, (content, end) in enumerate([(GOOD, ""), (GOOD, ""), ("{}", ""), (GOOD, "[")]):
        Path(METRICS).write_text(content)
        Path("dvc.lock").write_text(
            f"stages: {{train: {{cmd: x, params: {{params.yaml: {{seed: {seed}}}}}}}, "
            "evaluate: {cmd: x, params: {params.yaml: {}}, "
            f"outs: [{{path: {METRICS}, md5: {md5}}}]}}}}{end}"
        )
        git("add", ".")
        git("commit", "--quiet", "--message", "An experiment")
        git("update-ref", f"refs/exps/00/{seed}/run-{seed}", "HEAD")
    assert accuracies_by_seed([find_run("run-0")], "test") == [{0: 0.9, 1: 0.9}]
    (note,) = capsys.readouterr().err.splitlines()
    with pytest.raises(
        PipelineError, match=r"^run-0 has no validation predictions; `--test` judges"
    ):
        accuracies_by_seed([find_run("run-0")], "validation")
    assert note.startswith(f"note: run-2 is left out: {METRICS} of run-2 is not the file")
