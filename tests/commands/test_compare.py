"""`python -m pipeline compare`, against the same statistics worked out here by other means."""

import csv
import hashlib
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from numpy.typing import NDArray

from pipeline.experiments.statistics import (
    MeanDifference,
    PairedDifference,
    compare_means,
    compare_paired,
    mean_interval,
)
from tests.project import Project, compare, compare_json

METRICS = "metrics/evaluate.json"
PREDICTIONS = {"validation": "plots/validation.csv", "test": "plots/predictions.csv"}
IMAGES = {"validation": 100, "test": 300}
FLAGS = {"validation": [], "test": ["--test"]}
BASELINES = (f"00/{'0' * 38}", f"11/{'1' * 38}")


def show(project: Project, commit: str, path: str) -> str:
    return project.ok("git", "show", f"{commit}:{path}")


def predictions(project: Project, commit: str, split: str) -> list[dict[str, str]]:
    return list(csv.DictReader(show(project, commit, PREDICTIONS[split]).splitlines()))


def correct(project: Project, commit: str, split: str) -> NDArray[np.bool_]:
    rows = predictions(project, commit, split)
    return np.array([row["actual"] == row["predicted"] for row in rows])


@pytest.fixture(scope="module")
def compared(finished: Project, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A copy with an experiment `wider`, and branches whose results cannot be compared."""
    project = finished.clone(tmp_path_factory.mktemp("compared") / "project")
    project.ok("dvc", "exp", "run", "--temp", "--name", "wider", "-S", "model.hidden_units=[256]")
    wider = project.ok("git", "for-each-ref", "--format=%(objectname)", "refs/exps/*/*/wider")
    project.ok("git", "branch", "branched", wider.strip())
    project.ok("git", "tag", "--annotate", "--message", "a tag", "tagged", wider.strip())
    for baseline in BASELINES:
        project.ok("git", "update-ref", f"refs/exps/{baseline}/twin", wider.strip())
    validation = PREDICTIONS["validation"]
    edit_on_branch(project, "fewer", validation, lambda text: text.rsplit("\n", 2)[0])
    edit_on_branch(project, "relabelled", validation, relabel)
    edit_on_branch(project, "unvalidated", METRICS, without_validation)
    edit_on_branch(project, "resplit", "dvc.lock", other_validation_images, record=False)
    edit_on_branch(
        project, "real", METRICS, lambda text: text.replace("synthetic", "fashion-mnist")
    )
    edit_on_branch(
        project, "better", METRICS, lambda text: text.replace("0.7", "0.9"), record=False
    )
    edit_on_branch(project, "renamed", validation, lambda text: text.replace("actual", "label", 1))
    project.ok("git", "switch", "--quiet", "--create", "empty")
    project.ok("git", "rm", "--quiet", METRICS)
    project.commit("No results")
    project.ok("git", "switch", "--quiet", "main")
    return project


@pytest.fixture(scope="module", params=["validation", "test"])
def split(request: pytest.FixtureRequest) -> str:
    """Which images the runs are judged by."""
    return str(request.param)


@pytest.fixture(scope="module")
def report(compared: Project, split: str) -> dict[str, Any]:
    return compare_json(compared, "main", "wider", *FLAGS[split])


@pytest.fixture(scope="module")
def printed(compared: Project, split: str) -> list[str]:
    return compare(compared, "main", "wider", *FLAGS[split])[1].splitlines()


def edit_on_branch(
    project: Project, branch: str, path: str, edit: Callable[[str], str], record: bool = True
) -> None:
    """Change a result on a new branch, and in `dvc.lock` what is recorded of it."""
    project.ok("git", "switch", "--quiet", "--create", branch)
    file, lock = project.path / path, project.path / "dvc.lock"
    before = file.read_bytes()
    file.write_text(edit(file.read_text()))
    if record:
        old, new = (hashlib.md5(content).hexdigest() for content in (before, file.read_bytes()))
        lock.write_text(lock.read_text().replace(old, new))
    project.commit("Edited by hand")
    project.ok("git", "switch", "--quiet", "main")


def relabel(text: str) -> str:
    header, first, *rest = text.splitlines(keepends=True)
    actual, predicted = first.split(",")
    other = "Bag" if actual != "Bag" else "Coat"
    return "".join([header, f"{other},{predicted}", *rest])


def without_validation(text: str) -> str:
    metrics = json.loads(text)
    del metrics["validation"]
    return json.dumps(metrics)


def other_validation_images(text: str) -> str:
    """The record of an evaluation on other images of the same classes in the same order."""
    lock = yaml.safe_load(text)
    for file in lock["stages"]["evaluate"]["deps"]:
        if file["path"] == "data/processed/validation.npz":
            file["md5"] = "0" * 32
    return yaml.safe_dump(lock)


def test_every_metric_on_both_sides(
    compared: Project, report: dict[str, Any], printed: list[str]
) -> None:
    sides = [json.loads(show(compared, revision, METRICS)) for revision in ("main", "branched")]
    metrics = dict(report["metrics"])
    assert metrics.pop("source") == {"base": "synthetic", "other": "synthetic", "difference": None}
    assert len(metrics) == 2 * 8 + 2 + 1  # of test and validation, of training, and the gap
    for name, pair in metrics.items():
        values = []
        for side in sides:
            for key in name.split("."):
                side = side[key]
            values.append(side)
        assert [pair["base"], pair["other"]] == values
        assert pair["difference"] == pytest.approx(values[1] - values[0])
        row = next(line.split() for line in printed if line.startswith(f"{name} "))
        assert row[1:] == [f"{values[0]:.4f}", f"{values[1]:.4f}", f"{pair['difference']:+.4f}"]


def test_accuracy_against_a_bootstrap_and_a_binomial_sum_by_hand(
    compared: Project, split: str, report: dict[str, Any], printed: list[str]
) -> None:
    base, other = (correct(compared, commit, split) for commit in ("main", "branched"))
    accuracy, images = report["accuracy"], IMAGES[split]
    assert (report["split"], accuracy["images"]) == (split, images)
    assert accuracy["difference"] == pytest.approx(other.mean() - base.mean())

    rows = np.random.default_rng(1).integers(0, images, (20_000, images))
    draws = other[rows].mean(axis=1) - base[rows].mean(axis=1)
    bounds = [accuracy["low"], accuracy["high"]]
    assert bounds == pytest.approx(np.quantile(draws, [0.025, 0.975]), abs=1.5 / images)
    # Images drawn for each model by itself would give another interval: the check can tell.
    unpaired = other[rows].mean(axis=1) - base[np.roll(rows, 1, axis=0)].mean(axis=1)
    assert bounds != pytest.approx(np.quantile(unpaired, [0.025, 0.975]), abs=1.5 / images)

    alone = [int(np.sum(base & ~other)), int(np.sum(other & ~base))]
    assert [accuracy["base_alone"], accuracy["other_alone"]] == alone
    assert accuracy["p_value"] == pytest.approx(mcnemar(*alone))
    verdict = "within noise"
    if accuracy["p_value"] < 0.05:
        verdict = "better" if accuracy["difference"] > 0 else "worse"
    assert report["verdict"] == verdict
    said = f"wider is {verdict} than main"
    if verdict == "within noise":
        said = "the difference of wider from main is within noise"
    assert f"In {split} accuracy, {said}: {report['reason']}." in printed
    assert ("chosen by it can no longer be reported" in printed[-1]) == (split == "test")


def mcnemar(base_alone: int, other_alone: int) -> float:
    """Twice the lower tail of the binomial distribution with an even chance."""
    count = base_alone + other_alone
    tail = sum(math.comb(count, k) for k in range(min(base_alone, other_alone) + 1))
    return float(min(1, tail / 2 ** (count - 1)))


def test_classes_that_gained_and_lost(
    compared: Project, split: str, report: dict[str, Any], printed: list[str]
) -> None:
    rows = predictions(compared, "main", split)
    base, other = (correct(compared, commit, split) for commit in ("main", "branched"))
    expected = {
        name: [
            int(correct[[row["actual"] == name for row in rows]].sum()) for correct in (base, other)
        ]
        for name in {row["actual"] for row in rows}
    }
    classes = report["classes"]
    assert {name: [c["base"], c["other"]] for name, c in classes.items()} == expected
    table = printed[[line.startswith("images right") for line in printed].index(True) + 1 :]
    changed = {name: right for name, right in expected.items() if right[0] != right[1]}
    changes = [after - before for before, after in changed.values()]
    for line, change in zip(table, sorted(changes, reverse=True), strict=False):
        name = next(name for name in changed if line.startswith(f"{name} "))
        before, after = changed.pop(name)
        assert change == after - before
        of_class = str(IMAGES[split] // 10)
        assert line.split()[-5:] == [str(before), str(after), f"{change:+d}", "of", of_class]
    assert not changed


def test_names_of_every_kind_and_nothing_checked_out(
    compared: Project, split: str, report: dict[str, Any]
) -> None:
    commit = compared.ok("git", "rev-parse", "branched").strip()
    state = [
        ("git", "status", "--porcelain", "--ignored"),
        ("git", "rev-parse", "HEAD", "HEAD:", "--abbrev-ref", "HEAD"),
        ("git", "stash", "list"),
        ("git", "for-each-ref"),
    ]
    before = [compared.ok(*command) for command in state]
    index = (compared.path / ".git/index").read_bytes()
    for name in ("wider", "branched", "tagged", commit, commit[:10]):
        side = {"name": name, "commit": commit}
        assert compare_json(compared, "main", name, *FLAGS[split]) == report | {"other": side}
    assert (compared.path / ".git/index").read_bytes() == index
    assert [compared.ok(*command) for command in state] == before


def test_without_a_second_revision_it_is_the_workspace(compared: Project, project: Project) -> None:
    report = compare_json(compared, "main", "wider")
    for path in (METRICS, *PREDICTIONS.values(), "dvc.lock", "params.yaml"):
        (project.path / path).write_text(show(compared, "branched", path))
    sides = {
        "base": report["base"] | {"name": "HEAD"},
        "other": {"name": "workspace", "commit": None},
    }
    found = compare_json(project, "HEAD")
    assert found == report | sides | {"stale": found["stale"]}
    assert [reason.split()[0] for reason in found["stale"]] == ["evaluate", "train"]
    assert "models/model.keras" in found["stale"][0]


def test_stale_results_do_not_pass_for_current(project: Project, tmp_path: Path) -> None:
    """Parameters or code are edited, and nothing is run; a clone has no data, but results."""
    project.ok("git", "clone", "--quiet", ".", str(tmp_path / "clone"))
    clone = Project(tmp_path / "clone")
    assert compare_json(clone, "HEAD")["stale"] == []
    project.set_params({"train.epochs": 9, "plot.mistakes": 3})  # figures are not compared
    with (project.path / "pipeline/data/synthetic.py").open("a") as file:
        file.write("# edited\n")
    status, printed = compare(project, "HEAD")
    assert status == 0
    assert printed.splitlines()[0] == (
        "The results in the workspace are stale; run `dvc repro`. Changed since: "
        "download (pipeline/data/synthetic.py), train (params.yaml)"
    )
    assert printed.splitlines()[-1] == (
        "This is about stale results, not about what `dvc repro` would give now."
    )
    assert compare_json(project, "HEAD", "HEAD")["stale"] == []
    (project.path / METRICS).write_text("{}")
    status, printed = compare(project, "HEAD")
    assert (status, printed.count("\n")) == (1, 1)
    assert f"{METRICS} of workspace is not the file that dvc.lock records there" in printed


def test_a_run_against_itself(compared: Project) -> None:
    status, printed = compare(compared, "wider", "wider")
    assert status == 0
    assert "In validation accuracy, wider is identical to wider: every prediction" in printed
    assert "No class gained or lost." in printed
    report = compare_json(compared, "wider", "wider")
    assert report["verdict"] == "identical"
    assert report["accuracy"] == {
        "images": 100,
        "base_alone": 0,
        "other_alone": 0,
        "difference": 0,
        "low": 0,
        "high": 0,
        "p_value": 1,
    }
    assert all(pair["difference"] in (0, None) for pair in report["metrics"].values())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["main", "nowhere"], "nowhere is not a branch, tag, commit or experiment"),
        (["nowhere"], "nowhere is not a branch, tag, commit or experiment"),
        (["main", "twin"], "twin names 2 experiments: "),
        (["empty", "main"], f"{METRICS} of empty is neither in git, nor in DVC's cache; "),
        (["main", "better"], f"{METRICS} of better is not the file that dvc.lock records there"),
        (
            ["main", "fewer"],
            "main and fewer cannot be compared: their validation sets, of 100 and 99",
        ),
        (["main", "relabelled"], "main and relabelled cannot be compared: their validation images"),
        (["main", "resplit"], "validation images differ; `--test` judges by the test set"),
        (["main", "unvalidated"], "unvalidated has no validation predictions; `--test` judges"),
        (["main", "wider", "resplit"], "main and resplit cannot be compared: their validation"),
        (["main", "real"], "cannot be compared: their data is synthetic and fashion-mnist"),
        (["main", "renamed"], "plots/validation.csv of renamed is not a table of actual,predicted"),
        (["main", "main", "--seeds"], "main and main: both names mean the same group of seeds"),
        (["main", "wider", "--seeds"], "main has only seed 0; at least two are needed"),
    ],
)
def test_what_cannot_be_compared_is_one_line(
    compared: Project, arguments: list[str], message: str
) -> None:
    status, printed = compare(compared, *arguments, "--json")
    assert status == 1
    assert message in printed
    assert len(printed.splitlines()) == 1


def test_an_unknown_name_where_no_results_are_published(project: Project) -> None:
    (project.path / "results.yaml").unlink()
    printed = compare(project, "typo")[1]
    assert printed == "error: typo is not a branch, tag, commit or experiment\n"


def test_what_has_no_validation_images_in_common_is_judged_by_the_test_set(
    compared: Project,
) -> None:
    for name in ("resplit", "unvalidated"):
        assert compare_json(compared, "main", name, "--test")["verdict"] == "identical"


def test_each_of_several_runs_is_compared_with_the_first(compared: Project) -> None:
    names = ("wider", "tagged", "main")
    reports = json.loads(compare(compared, "main", *names, "--json")[1])
    assert reports == [compare_json(compared, "main", name) for name in names]
    status, printed = compare(compared, "main", *names)
    assert status == 0
    said = [line for line in printed.splitlines() if line.startswith("In validation accuracy, ")]
    assert [name in line for name, line in zip(names, said, strict=True)] == [True] * 3


def test_mcnemar_and_difference_on_hand_made_cases() -> None:
    base = np.array([True] * 9 + [False] * 11)
    other = np.array([False] + [True] * 17 + [False] * 2)
    result = compare_paired(base, other)
    assert (result.base_alone, result.other_alone) == (1, 9)
    assert result.difference == pytest.approx(0.4)
    assert result.p_value == pytest.approx(22 / 1024)  # 2 (1 + 10) / 2**10
    assert result == compare_paired(base, other), "its random numbers are fixed"
    back = compare_paired(other, base)
    assert (back.verdict, result.verdict) == ("worse", "better")
    assert [back.low, back.high] == pytest.approx([-result.high, -result.low], abs=0.051)


@pytest.mark.parametrize(
    ("difference", "p_value", "verdict", "reason"),
    [
        (0.01, 0.049, "better", "p is below 0.05"),
        (-0.01, 0.049, "worse", "p is below 0.05"),
        (0.01, 0.05, "within noise", "p is not below 0.05"),
    ],
)
def test_a_side_is_taken_where_the_test_takes_one(
    difference: float, p_value: float, verdict: str, reason: str
) -> None:
    """Whatever the interval says, which is that of another method."""
    for low, high in ((-0.02, 0.02), (difference, difference)):
        result = PairedDifference(10_000, 10, 20, difference, low, high, p_value)
        assert (result.verdict, result.reason) == (verdict, reason)


def test_the_interval_of_a_mean_by_hand() -> None:
    # Of three values, t is 4.302653; their standard deviation is 0.01.
    half = 4.302653 * 0.01 / 3**0.5
    assert mean_interval([0.80, 0.81, 0.82]) == pytest.approx((0.81 - half, 0.81 + half))
    assert mean_interval([0.8, 0.8]) == (0.8, 0.8)


def test_welch_by_hand() -> None:
    base, other = [0.86, 0.87, 0.88, 0.865], [0.88, 0.885, 0.9]
    result = compare_means(base, other)
    variances = [np.var(group, ddof=1) / len(group) for group in (base, other)]
    error = math.sqrt(sum(variances))
    # Welch and Satterthwaite's degrees of freedom.
    freedom = sum(variances) ** 2 / (variances[0] ** 2 / 3 + variances[1] ** 2 / 2)
    assert result.difference == pytest.approx(np.mean(other) - np.mean(base))
    assert (result.low + result.high) / 2 == pytest.approx(result.difference)
    # Between the bounds lies 95 % of Student's t distribution.
    bound = (result.high - result.low) / 2 / error
    t = np.linspace(-bound, bound, 100_001)
    density = (1 + t**2 / freedom) ** (-(freedom + 1) / 2)
    density *= math.gamma((freedom + 1) / 2) / math.gamma(freedom / 2)
    density /= math.sqrt(freedom * math.pi)
    assert np.trapezoid(density, t) == pytest.approx(0.95)


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [(0.01, 0.02, "better"), (-0.02, -0.01, "worse"), (-0.01, 0.02, "within noise")],
)
def test_groups_differ_where_the_interval_excludes_0(low: float, high: float, verdict: str) -> None:
    assert MeanDifference((low + high) / 2, low, high).verdict == verdict


@pytest.mark.parametrize("other", [0.8, 0.9])
def test_groups_without_spread_leave_nothing_to_judge_by(other: float) -> None:
    result = compare_means([0.8] * 3, [other] * 3)
    assert result.verdict == "within noise"
    assert result.reason == "neither group has any spread to judge the difference by"
    assert compare_means([0.8] * 3, [0.9, 0.901]).verdict == "better", "one spread is enough"
