"""`python -m pipeline compare --html`: what the page says, and how it looks and works."""

import csv
import hashlib
import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from numpy.typing import NDArray
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import Select

from pipeline.data.dataset import Dataset
from pipeline.data.fashion_mnist import DESCRIPTION
from pipeline.experiments import comparison_page
from pipeline.report.formats import percent
from tests.browser import A4, DESKTOP, PHONE, Browser, opened
from tests.browser import chromium as chromium
from tests.project import Project, compare, compare_json

CLASSES = DESCRIPTION.classes
HOSTILE = '<img/src=x/onerror=alert(1)>&"wider'  # git allows it as the name of a branch
SIDES = ("main", HOSTILE)
FILL = "return getComputedStyle(arguments[0]).getPropertyValue('--fill')"
MINUS = "\N{MINUS SIGN}"
METRICS = "metrics/evaluate.json"


@pytest.fixture(scope="module")
def compared(finished: Project, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A copy with a wider net on the branch `HOSTILE`, a second seed of each, and pages."""
    project = finished.clone(tmp_path_factory.mktemp("pages") / "project")
    project.ok("dvc", "exp", "run", "--temp", "--name", "wider", "-S", "model.hidden_units=[256]")
    wider = project.ok("git", "for-each-ref", "--format=%(objectname)", "refs/exps/*/*/wider")
    project.ok("git", "branch", HOSTILE, wider.strip())
    for number, name in enumerate(("main", HOSTILE)):
        add_second_seed(project, name, number)
    project.ok("git", "switch", "--quiet", "--create", "old", "main")
    lock = project.path / "dvc.lock"
    content = yaml.safe_load(lock.read_text())
    outs = content["stages"]["evaluate"]["outs"]
    outs[:] = [out for out in outs if out["path"] != "data/predictions/validation.npz"]
    lock.write_text(yaml.safe_dump(content, sort_keys=False))
    project.commit("As before its probabilities were kept")
    project.ok("git", "switch", "--quiet", "main")
    for arguments in (
        (HOSTILE, "--html"),
        (HOSTILE, "--test", "--html", "pages/test.html"),
        (HOSTILE, "--seeds", "--html", "pages/seeds.html"),
        ("seed-0", "--html", "pages/noise.html"),
        ("main", "seed-0", "--html", "pages/three.html"),
        (HOSTILE, *["wider", "main"] * 3, "--html", "pages/eight.html"),
    ):
        status, printed = compare(project, "main", *arguments)
        assert status == 0, printed
        file = project.path / (arguments[-1] if arguments[-1] != "--html" else "pages/compare.html")
        assert printed.splitlines()[-1] == f"All of it, and more: {file.as_uri()}"
    assert project.ok("git", "status", "--porcelain") == ""
    return project


def add_second_seed(project: Project, name: str, number: int) -> None:
    """Record an experiment that differs from `name` by its seed, in accuracy by a point, and in
    loss by less than the page shows."""
    project.ok("git", "switch", "--quiet", "--detach", name)
    file, lock = project.path / METRICS, project.path / "dvc.lock"
    metrics, content = json.loads(file.read_text()), yaml.safe_load(lock.read_text())
    metrics["validation"]["accuracy"] -= 0.01
    metrics["validation"]["loss"] -= 0.00001
    metrics["validation"]["own_metric"] = 0.5
    file.write_text(json.dumps(metrics))
    content["stages"]["train"]["params"]["params.yaml"]["seed"] = 1
    for out in content["stages"]["evaluate"]["outs"]:
        if out["path"] == METRICS:
            out["md5"] = hashlib.md5(file.read_bytes()).hexdigest()
    lock.write_text(yaml.safe_dump(content, sort_keys=False))
    project.commit("Seed 1")
    project.ok("git", "update-ref", f"refs/exps/aa/{number}/seed-{number}", "HEAD")
    project.ok("git", "switch", "--quiet", "main")


@pytest.fixture
def browser(chromium: Browser, compared: Project) -> Iterator[Browser]:
    """The page of two runs, judged by the validation set."""
    with opened(chromium, compared.path / "pages/compare.html") as shown:
        yield shown


def predictions(project: Project, commit: str) -> list[tuple[str, str]]:
    text = project.ok("git", "show", f"{commit}:plots/validation.csv")
    return [(row["actual"], row["predicted"]) for row in csv.DictReader(text.splitlines())]


def probabilities(project: Project, commit: str) -> NDArray[np.float32]:
    """What DVC's cache has, by the hash in `dvc.lock`."""
    lock = yaml.safe_load(project.ok("git", "show", f"{commit}:dvc.lock"))
    path = "data/predictions/validation.npz"
    (md5,) = (out["md5"] for out in lock["stages"]["evaluate"]["outs"] if out["path"] == path)
    with np.load(project.path / f".dvc/cache/files/md5/{md5[:2]}/{md5[2:]}") as arrays:
        found: NDArray[np.float32] = arrays["probabilities"]
    return found


def cells(browser: Browser, section: str) -> list[list[str]]:
    rows = browser.find(f"#{section} table tbody tr")
    return [[c.text for c in row.find_elements(By.CSS_SELECTOR, "th, td")] for row in rows]


def test_no_difference_is_shown_as_minus_zero(chromium: Browser, compared: Project) -> None:
    with opened(chromium, compared.path / "pages/noise.html") as browser:
        metrics = {row[0]: row[1:] for row in cells(browser, "metrics")}
        assert metrics["validation.loss"][-1] == "+0.0000"
        assert "0.0000" in browser.texts(".lead")[0]
        assert f"{MINUS}0.0000" not in browser.texts("body")[0]


def test_a_metric_that_some_runs_lack(chromium: Browser, compared: Project) -> None:
    with opened(chromium, compared.path / "pages/three.html") as browser:
        metrics = {row[0]: row[1:] for row in cells(browser, "metrics")}
    assert metrics["validation.own_metric"] == ["", "", "0.5000"]


def test_the_verdict_and_what_differs(browser: Browser, compared: Project) -> None:
    report = compare_json(compared, "main", HOSTILE)
    said = f"{HOSTILE} is {report['verdict']} than main"
    if report["verdict"] == "within noise":
        said = f"The difference of {HOSTILE} from main is within noise"
    assert browser.texts("h1") == [said]
    accuracy = report["accuracy"]
    low, difference, high = (
        f"{accuracy[name]:+z.4f}".replace("-", MINUS) for name in ("low", "difference", "high")
    )
    assert f"{report['reason']}. The difference is {difference}, with" in browser.texts(".lead")[0]
    assert f"{low} to {high}" in browser.texts(".lead")[0]
    assert "judged by the validation set: 100 images" in browser.texts(".eyebrow")[0]
    assert cells(browser, "parameters") == [["model.hidden_units", "[128]", "[256]"]]
    assert len(browser.find("#training svg")) == 1
    assert browser.texts(".legend li") == ["main", HOSTILE]


def test_metrics_recall_and_confusions_by_hand(browser: Browser, compared: Project) -> None:
    sides = [json.loads(compared.ok("git", "show", f"{c}:{METRICS}")) for c in SIDES]
    metrics = {row[0]: row[1:] for row in cells(browser, "metrics")}
    first, second = (side["validation"]["loss"] for side in sides)
    signed = f"{second - first:+z.4f}".replace("-", MINUS)
    assert metrics["validation.loss"] == [f"{first:.4f}", f"{second:.4f}", signed]
    assert [cell.split() for cell in metrics["validation.accuracy"][:2]] == [
        [f"{scores[name]:.4f}" if name != "to" else "to" for name in names]
        for scores in (side["validation"] for side in sides)
        for names in [("accuracy", "accuracy_low", "to", "accuracy_high")]
    ]
    assert not any(name.startswith("test.") for name in metrics)

    counts = [Counter(predictions(compared, commit)) for commit in SIDES]
    right = {name: [count[name, name] for count in counts] for name in CLASSES}
    assert cells(browser, "classes") == [
        [name, *(percent(hits / 10) for hits in pair), "10", f"{signed_count(pair)} images"]
        for name, pair in right.items()
    ]
    matrix = [row[1:] for row in cells(browser, "confusions")]
    assert matrix == [
        [signed_count([count[actual, name] for count in counts], "0") for name in CLASSES]
        for actual in CLASSES
    ]
    better = {cell.text for cell in browser.find("#confusions td.hit")}
    assert better
    for actual, row in zip(CLASSES, browser.find("#confusions tbody tr"), strict=True):
        for name, cell in zip(CLASSES, row.find_elements(By.TAG_NAME, "td"), strict=True):
            change = counts[1][actual, name] - counts[0][actual, name]
            gain = change if actual == name else -change
            kind = "hit" if gain > 0 else "miss" if gain else "none"
            assert cell.get_attribute("class") == kind


def signed_count(pair: list[int], same: str = "+0") -> str:
    change = pair[1] - pair[0]
    return f"{change:+d}".replace("-", MINUS) if change else same


def test_images_that_one_has_right_with_the_probabilities_of_both(
    browser: Browser, compared: Project
) -> None:
    rows = [predictions(compared, commit) for commit in SIDES]
    given = [probabilities(compared, commit) for commit in SIDES]
    expected = {
        f"validation image {index}": which
        for index, (first, second) in enumerate(zip(*rows, strict=True))
        for which in [(first[0] == first[1], second[0] == second[1])]
        if which[0] != which[1]
    }
    cards = browser.find("#gallery > li")
    assert len(cards) == len(expected) > 3
    for card in cards:
        name = card.find_element(By.TAG_NAME, "small").text
        hits = expected.pop(name)
        index = int(name.split()[-1])
        assert card.find_element(By.TAG_NAME, "img").get_attribute("alt") == name
        assert card.find_element(By.TAG_NAME, "h3").text == rows[0][index][0]
        for run, (hit, answer) in enumerate(
            zip(hits, card.find_elements(By.CSS_SELECTOR, ".answer"), strict=True)
        ):
            lines = answer.text.splitlines()
            assert lines[0].startswith(("main", HOSTILE)[run])
            assert ("✓ right" in lines[0], "✗ actual: " in lines[0]) == (hit, not hit)
            assert lines[1].removesuffix(" actual") == rows[run][index][1]
            assert lines[2] == percent(float(given[run][index].max()))
            bar = answer.find_element(By.CSS_SELECTOR, ".bar")
            colour = browser.execute_script(FILL, bar)
            assert colour == ("#0072b2" if hit else "#d55e00")
    assert not expected


def test_the_filter_by_who_is_right_and_by_class(browser: Browser, compared: Project) -> None:
    rows = [predictions(compared, commit) for commit in SIDES]
    pairs = [(a[0], a[0] == a[1], b[0] == b[1]) for a, b in zip(*rows, strict=True)]

    def visible() -> list[str]:
        found = [card for card in browser.find("#gallery > li") if card.is_displayed()]
        said = f"Images: {len(found)}." if found else "No image that is shown here."
        assert browser.texts("#filter output") == [said]
        return sorted(card.find_element(By.TAG_NAME, "h3").text for card in found)

    Select(browser.find("[name=which]")[0]).select_by_index(2)
    won = sorted(name for name, first, second in pairs if second and not first)
    assert visible() == won
    assert won
    Select(browser.find("[name=actual]")[0]).select_by_visible_text(won[0])
    assert visible() == [name for name in won if name == won[0]]
    browser.find("#filter button")[0].click()
    assert len(visible()) == sum(first != second for _, first, second in pairs)


def test_every_page_fits_screen_and_paper(chromium: Browser, compared: Project) -> None:
    for name in ("compare", "test", "seeds", "eight"):
        with opened(chromium, compared.path / f"pages/{name}.html") as browser:
            for size, scheme in ((DESKTOP, "light"), (PHONE, "dark")):
                browser.emulate(size, scheme)
                assert browser.width() == size[0], (name, size)
            browser.emulate((A4, 1000), media="print")
            assert browser.width() == A4, name
            assert not browser.find("nav")[0].is_displayed()
            dangling = (
                "return [...document.links].filter(a => a.hash && !document.querySelector(a.hash))"
            )
            assert browser.execute_script(dangling) == []


def test_groups_of_seeds(chromium: Browser, compared: Project) -> None:
    report = compare_json(compared, "main", HOSTILE, "--seeds")
    with opened(chromium, compared.path / "pages/seeds.html") as browser:
        for row, side in zip(
            cells(browser, "summary"), (report["base"], report["other"]), strict=True
        ):
            values = list(side["accuracies"].values())
            assert values[0] - values[1] == pytest.approx(0.01)
            # Student's t of one degree of freedom is 12.706 at 97.5 %; half the difference is the
            # standard deviation of two over the root of 2.
            reach = 12.7062 * abs(values[0] - values[1]) / 2
            mean = sum(values) / 2
            assert (side["low"], side["high"]) == pytest.approx(
                (mean - reach, mean + reach), abs=1e-6
            )
            assert row[1].split() == [
                f"{mean:.4f}",
                f"{side['low']:.4f}",
                "to",
                f"{side['high']:.4f}",
            ]
            assert row[3] == ", ".join(f"{s}: {v:.4f}" for s, v in side["accuracies"].items())
        assert report["verdict"] in browser.texts("h1")[0]
        assert browser.find("#gallery") == []
        # Each seed has a mark, and each mean has one.
        drawn = browser.find("#summary svg")[0].get_attribute("innerHTML") or ""
        assert drawn.count("<use") >= 2 * 2 + 2


def test_eight_runs_are_compared_with_the_first(chromium: Browser, compared: Project) -> None:
    with opened(chromium, compared.path / "pages/eight.html") as browser:
        names = ["main", HOSTILE, *["wider", "main"] * 3]
        rows = cells(browser, "summary")
        assert [row[0] for row in rows] == names
        assert [row[-1] for row in rows[3::2]] == ["identical"] * 3
        assert rows[1][2:] == rows[2][2:] == rows[4][2:]
        assert len(browser.find(".matrix")) == 4
        assert len(cells(browser, "classes")[0]) == 1 + 8 + 1


def test_by_the_test_set_it_says_what_that_costs(chromium: Browser, compared: Project) -> None:
    with opened(chromium, compared.path / "pages/test.html") as browser:
        assert "judged by the test set: 300 images" in browser.texts(".eyebrow")[0]
        assert "can no longer be reported" in browser.find("header")[0].text
        assert cells(browser, "metrics")[0][0] == "test.accuracy"
        assert browser.texts("#gallery small")[0].startswith("test image ")


def test_stale_results_are_marked(compared: Project, tmp_path: Path) -> None:
    project = compared.clone(tmp_path / "project")
    project.set_params({"train.epochs": 9})
    status, _ = compare(project, "main", "--html")
    assert status == 0
    assert "<strong>Stale results.</strong>" in (project.path / "pages/compare.html").read_text()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["main", *["wider"] * 8, "--html"], "9 runs are named; 8 are the most"),
        (["main", "--html", "wider"], "--html wider: the name of a page ends in .html"),
        (
            ["main", "old", "--html", "pages/none.html"],
            "old was run before data/predictions/validation.npz was kept; "
            "`dvc repro` there adds it",
        ),
    ],
)
def test_what_gives_no_page_is_one_line(
    compared: Project, arguments: list[str], message: str
) -> None:
    assert compare(compared, *arguments) == (1, f"error: {message}\n")
    assert not (compared.path / "pages/none.html").exists()


def test_of_many_classes_the_confusions_that_differ_most_are_listed() -> None:
    labels = np.repeat(np.arange(30, dtype=np.uint8), 4)
    images: Any = Dataset(np.zeros((120, 28, 28), np.float32), labels)
    right = np.eye(30, dtype=np.float32)[labels]
    wrong = right.copy()
    wrong[labels == 7] = np.eye(30, dtype=np.float32)[9]
    (change,) = comparison_page._changes(
        ["a", "b"], [right, wrong], images, [str(number) for number in range(30)]
    )
    assert change.matrix == []
    assert change.largest == [("7", "7", -4), ("7", "9", 4)]
