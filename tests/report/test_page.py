"""The report: what it says, and how it looks and works in a browser."""

import base64
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import Select

from pipeline.data.dataset import Dataset, Description
from pipeline.data.fashion_mnist import DESCRIPTION
from pipeline.evaluation import metrics
from pipeline.evaluation.metrics import EvaluateParams
from pipeline.report import figures, page, panels
from pipeline.report.figures import PlotParams
from pipeline.report.formats import percent
from tests.browser import A4, DESKTOP, PHONE, Browser, opened
from tests.browser import chromium as chromium
from tests.project import ROOT, Project, read_csv, read_json

CLASSES = DESCRIPTION.classes  # of the synthetic data, too


@pytest.fixture
def browser(chromium: Browser, finished: Project) -> Iterator[Browser]:
    """The report of the small run."""
    with opened(chromium, finished.path / "plots/report.html") as shown:
        yield shown


def confusions(project: Project) -> Counter[tuple[str, str]]:
    rows = read_csv(project.path / "plots/predictions.csv")
    return Counter((row["actual"], row["predicted"]) for row in rows)


def test_it_says_what_was_run(browser: Browser, finished: Project) -> None:
    body = browser.find("body")[0].text
    assert "Synthetic data." in browser.texts(".warning")[0]
    assert "synthetic" in browser.texts("h1")[0]
    assert "101,770 weights" in body
    assert "trained for all 2 epochs" in body
    layers = [row.text for row in browser.find("#layers tbody tr")]
    assert layers == [
        "images InputLayer 28 \u00d7 28 0",
        "flatten Flatten 784 0",
        "dense Dense 128 100,480",
        "probabilities Dense 10 1,290",
    ]
    assert "10 classes · grey images of 28 \u00d7 28 pixels" in body
    changed = {row.split()[0]: row.split()[1] for row in browser.texts("#run > .scroll .changed")}
    assert changed == {
        "data.source": '"synthetic"',
        "data.synthetic.train_images": "1000",
        "data.synthetic.test_images": "300",
        "train.epochs": "2",
    }
    declared = yaml.safe_load((finished.path / "dvc.yaml").read_text())["stages"]["plot"]["params"]
    browser.find("#run details:last-child summary")[0].click()
    parameters = browser.texts("#run details:last-child tbody th")
    listed = [name.partition(".")[0] for name in parameters]
    assert set(listed) == {name.partition(".")[0] for name in declared}


def test_its_numbers_are_those_of_the_run(browser: Browser, finished: Project) -> None:
    test = read_json(finished.path / "metrics/evaluate.json")["test"]
    assert percent(test["accuracy"]) in browser.texts("h1")[0]
    validation = read_json(finished.path / "metrics/evaluate.json")["validation"]
    figures = browser.texts(".metrics > div")
    assert f"{test['accuracy_low']:.4f} to {test['accuracy_high']:.4f}" in figures[0]
    for text, name in zip(
        figures,
        (
            "accuracy",
            "balanced_accuracy",
            "loss",
            "top_2_accuracy",
            "macro_f1",
            "expected_calibration_error",
        ),
        strict=False,
    ):
        assert text.splitlines()[1:3] == [
            f"{test[name]:.4f}",
            f"validation {validation[name]:.4f}",
        ]

    counts = confusions(finished)
    for actual, row in zip(CLASSES, browser.find(".matrix tbody tr"), strict=True):
        cells = [cell.text.split() for cell in row.find_elements(By.TAG_NAME, "td")]
        assert [int(cell[0]) for cell in cells] == [counts[actual, name] for name in CLASSES]
        rates = [float(cell[1].rstrip("%")) for cell in cells if len(cell) > 1]
        assert sum(rates) == pytest.approx(100, abs=0.5)

    bins = read_csv(finished.path / "plots/calibration.csv")
    browser.find("#calibration summary")[0].click()
    assert len(browser.find("#calibration tbody tr")) == len(bins)


def test_cases_are_the_most_confident_mistakes_and_the_least_confident(
    browser: Browser, finished: Project
) -> None:
    with np.load(finished.path / "data/predictions/test.npz", allow_pickle=False) as arrays:
        probabilities = arrays["probabilities"]
    rows = read_csv(finished.path / "plots/predictions.csv")
    confidence = probabilities.max(axis=1)
    wrong = [i for i, row in enumerate(rows) if row["actual"] != row["predicted"]]
    expected = {
        "confident": sorted(wrong, key=lambda i: -confidence[i])[:12],
        "uncertain": sorted(range(len(rows)), key=lambda i: confidence[i])[:12],
    }
    for section, indices in expected.items():
        cards = browser.find(f"#{section} .case")
        assert len(cards) == len(indices)
        for card, index in zip(cards, indices, strict=True):
            image = card.find_element(By.TAG_NAME, "img")
            assert image.get_attribute("alt") == f"test image {index}"
            assert image.get_property("naturalWidth") == 28
            actual, predicted = rows[index]["actual"], rows[index]["predicted"]
            lines = card.text.splitlines()
            right = actual == predicted
            verdict = "✓ right" if right else f"✗ actual: {actual}"
            assert lines[0] == predicted
            assert lines[1].startswith("test image ")
            assert lines[2] == verdict
            assert lines[3].removesuffix(" actual") == predicted
            assert lines[4] == percent(confidence[index])
            assert f"{actual} actual" in lines


def test_the_table_is_sorted_by_keyboard(browser: Browser) -> None:
    heads = browser.find(".sortable th[aria-sort]")
    assert [head.get_attribute("aria-sort") for head in heads] == ["none"] * 7
    recall = browser.find(".sortable th button")[2]
    for order in ("ascending", "descending"):
        recall.send_keys(Keys.ENTER)
        assert [head.get_attribute("aria-sort") for head in heads] == ["none"] * 2 + [order] + [
            "none"
        ] * 4
        values = [
            float(text.rstrip("%")) for text in browser.texts(".sortable tbody td:nth-child(3)")
        ]
        assert values == sorted(values, reverse=order == "descending")
        assert len(set(values)) > 1
    browser.find(".sortable th button")[0].send_keys(Keys.SPACE)
    assert browser.texts(".sortable tbody th") == sorted(CLASSES)


def test_the_filter_shows_what_it_says(browser: Browser, finished: Project) -> None:
    mistakes = {pair: n for pair, n in confusions(finished).items() if pair[0] != pair[1]}

    def visible() -> dict[tuple[str, str], int]:
        return {
            (title[0], title[1]): len(group.find_elements(By.TAG_NAME, "img"))
            for group in browser.find("#gallery > li:not([hidden])")
            if (title := group.find_element(By.TAG_NAME, "h3").text.split(" taken for "))
        }

    def check(actual: str, predicted: str) -> None:
        expected = {
            pair: n
            for pair, n in mistakes.items()
            if actual in ("", pair[0]) and predicted in ("", pair[1])
        }
        assert visible() == {pair: min(n, 5) for pair, n in expected.items()}
        said = browser.texts("#filter output")[0]
        assert said == (
            f"Confusions: {len(expected)}. Mistakes: {sum(expected.values())}, "
            f"of which {sum(visible().values())} are shown."
            if expected
            else "No test image was confused in this way."
        )

    check("", "")
    actual, predicted = max(mistakes, key=mistakes.__getitem__)
    Select(browser.find("[name=actual]")[0]).select_by_visible_text(actual)
    check(actual, "")
    Select(browser.find("[name=predicted]")[0]).select_by_visible_text(actual)
    check(actual, actual)
    browser.find("#filter button")[0].click()
    check("", "")
    browser.find(f".matrix a[data-actual='{actual}'][data-predicted='{predicted}']")[0].send_keys(
        Keys.ENTER
    )
    check(actual, predicted)


def test_all_is_there_without_javascript(browser: Browser, finished: Project) -> None:
    browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    try:
        browser.refresh()
        assert not browser.find("#filter")[0].is_displayed()
        assert browser.find(".sortable button") == []
        assert browser.texts(".sortable tbody th") == list(CLASSES)
        pairs = [pair for pair in confusions(finished) if pair[0] != pair[1]]
        groups = browser.find("#gallery > li")
        assert len(groups) == len(pairs)
        assert all(group.is_displayed() for group in groups)
    finally:
        browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [PHONE, DESKTOP], ids=["phone", "desktop"])
def test_it_fits_the_screen(
    browser: Browser, tmp_path: Path, size: tuple[int, int], scheme: str
) -> None:
    browser.emulate(size, scheme)
    browser.refresh()
    assert browser.width() == size[0]
    width, height = browser.find("html")[0].rect["width"], browser.find("html")[0].rect["height"]
    clip = {"x": 0, "y": 0, "width": width, "height": height, "scale": 1}
    shot = browser.execute_cdp_cmd(
        "Page.captureScreenshot", {"captureBeyondViewport": True, "clip": clip}
    )
    (tmp_path / f"{size[0]}-{scheme}.png").write_bytes(base64.b64decode(shot["data"]))
    background = browser.find("body")[0].value_of_css_property("background-color")
    brightness = int(background.partition("(")[2].partition(",")[0])
    assert (brightness > 128) == (scheme == "light")


def test_it_prints(browser: Browser, tmp_path: Path) -> None:
    browser.emulate((A4, 1000), media="print")
    browser.refresh()
    assert not browser.find("nav")[0].is_displayed()
    pdf = browser.execute_cdp_cmd("Page.printToPDF", {"preferCSSPageSize": True})
    content = base64.b64decode(pdf["data"])
    (tmp_path / "report.pdf").write_bytes(content)
    assert content.startswith(b"%PDF")
    assert all(details.get_attribute("open") for details in browser.find("details"))
    assert browser.width() == A4
    # Or Chromium would leave the head of the table empty on all pages but the first.
    assert browser.find(".sortable button")[0].value_of_css_property("display") == "contents"


def described(classes: int, shape: tuple[int, ...] = (28, 28)) -> Description:
    """A data set of the user's own."""
    return Description(
        name="Things",
        source="folder",
        classes=tuple(f"thing number {index} & <more>" for index in range(classes)),
        height=shape[0],
        width=shape[1],
        channels=3 if len(shape) > 2 else 1,
        preparation="fit",
        licence="CC-BY-4.0",
        url="https://example.org/things",
        references=(),
    )


def rendered(
    test: Dataset,
    probabilities: Any,
    description: Description = DESCRIPTION,
    count: int = 12,
    per_confusion: int = 5,
    history: list[dict[str, str]] | None = None,
    files: dict[int, str] | None = None,
    validation: bool = True,
    layers: int = 3,
    skip_easy: float | None = None,
) -> str:
    """The page of any predictions."""
    params = PlotParams(
        samples_per_class=1,
        predictions=1,
        mistakes=count,
        uncertain=count,
        per_confusion=per_confusion,
    )
    run = {
        "data": {"source": description.source},
        "model": {"name": "mlp"},
        "train": {"skip_easy": skip_easy},
    }
    judged = metrics.evaluate(probabilities, test.labels, EvaluateParams(calibration_bins=15))
    names, columns = judged.calibration.keys(), judged.calibration.values()
    results: dict[str, Any] = {
        "metrics": {
            "test": judged.metrics,
            "validation": judged.metrics if validation else None,
            "train": {"accuracy": 0.9, "loss": 0.3},
            "generalization_gap": 0.0,
        },
        "training": read_json(ROOT / "metrics/train.json"),
        "history": history or read_csv(ROOT / "plots/history.csv"),
        "calibration": [
            dict(zip(names, map(str, row), strict=True)) for row in zip(*columns, strict=True)
        ],
        "files": files or {},
        "ending": "trained for all 5 epochs",
        "layers": [
            {"name": f"layer_{n}", "kind": "Dense", "output_shape": (28, 28, n), "weights": 10**n}
            for n in range(1, layers + 1)
        ],
    }
    matrix = metrics.confusion_matrix(probabilities, test.labels)
    with figures.style():
        charts = {
            "history": figures.svg(figures.history(results["history"], ""), "history"),
            "calibration": figures.svg(figures.calibration(results["calibration"], ""), "c"),
            "confusion_matrix": figures.svg(figures.confusion(matrix, description), "m"),
        }
    return page.render(test, description, probabilities, params, run, results, charts)


def guesses(labels: Any, classes: int) -> Any:
    """Probabilities that are right for the even rows, and elsewhere for one of the next classes."""
    rows = np.arange(len(labels))
    probabilities = np.full((len(labels), classes), 0.2 / classes, np.float32)
    chosen = np.where(rows % 2, labels + 1 + rows // 2 % min(classes - 1, 7), labels) % classes
    probabilities[rows, chosen] += 0.8
    return probabilities


@pytest.mark.parametrize(
    ("classes", "shape"),
    [(2, (40, 64)), (20, (28, 28)), (100, (32, 32, 3)), (1000, (256, 256, 3))],
    ids=["2", "20", "100", "1000"],
)
def test_any_number_of_classes_and_any_shape_is_readable(
    chromium: Browser, tmp_path: Path, classes: int, shape: tuple[int, ...]
) -> None:
    description = described(classes, shape)
    labels = (np.arange(5000) % classes).astype(np.uint16)
    image = np.random.default_rng(0).random(shape, np.float32)
    test = Dataset(np.broadcast_to(image, (5000, *shape)), labels)
    files = {row: f"pictures/a/{row}.png" for row in range(5000)}
    html = rendered(test, guesses(labels, classes), description, files=files)
    report = tmp_path / "report.html"
    report.write_text(html)
    assert len(html.encode()) < 5_000_000
    with opened(chromium, report) as browser:
        assert "Things · " in browser.texts(".eyebrow")[0]
        assert "CC-BY-4.0 licence" in browser.texts(".eyebrow")[0]
        assert browser.find(".eyebrow a")[0].get_attribute("href") == description.url
        for size in (DESKTOP, PHONE):
            browser.emulate(size)
            assert browser.width() == size[0]
        assert len(browser.find(".matrix tbody td")) == (classes**2 if classes <= 20 else 0)
        assert len(browser.find(".picture svg image")) == (classes > 20)
        assert len(browser.find(".sortable tbody tr")) == classes
        assert len(browser.find(".samples li")) == min(classes, 20)
        assert len(browser.find("#gallery > li")) <= 90
        dangling = (
            "return [...document.links].filter(a => a.hash && !document.querySelector(a.hash))"
        )
        assert browser.execute_script(dangling) == []
        case = browser.find("#confident .case")[0]
        assert case.find_element(By.TAG_NAME, "h3").text in description.classes
        row = case.text.splitlines()[1].removeprefix("test image ")
        assert f"pictures/a/{row}.png" in case.text
        if classes > 20:
            recalls = [cell.text for cell in browser.find(".sortable td:nth-child(3)")[:20]]
            assert recalls == sorted(recalls)
        browser.emulate((A4, 1000), media="print")
        assert browser.width() == A4
    said, _, _ = html.partition('<section id="run"')  # where the default parameters are
    for word in ("Fashion", "fashion", "garment", "cloth", "People"):
        assert word not in said


def test_the_largest_page_stays_under_two_megabytes() -> None:
    """As many images as there can be, all noise, which no format can shrink; and 1,000 epochs."""
    rng = np.random.default_rng(0)
    labels = np.tile(np.arange(10, dtype=np.uint8), 100)
    test = Dataset(rng.random((1000, 28, 28), np.float32), labels)
    probabilities = np.full((1000, 10), 0.05, np.float32)
    probabilities[np.arange(1000), np.arange(1000) // 10 % 10] = 0.55
    names = read_csv(ROOT / "plots/history.csv")[0]
    history = [
        {name: f"{rng.random():.6f}" for name in names} | {"epoch": str(epoch)}
        for epoch in range(1, 1001)
    ]
    page = rendered(test, probabilities, count=100, per_confusion=8, history=history)
    assert page.count("<img") == 100 + 100 + 90 * 8 + 3 * 8 + 10 * 4
    assert len(page.encode()) < 2_000_000


def test_a_model_without_mistakes_has_a_page_too() -> None:
    labels = np.arange(10, dtype=np.uint8)
    test = Dataset(np.zeros((10, 28, 28), np.float32), labels)
    page = rendered(test, np.eye(10, dtype=np.float32), count=5, validation=False)
    assert "It made no mistake." in page
    assert page.count("<img") == 5 + 10
    assert "validation 0" not in page


def test_it_warns_where_guessing_is_as_good_and_where_classes_are_of_unequal_size() -> None:
    labels = np.repeat([0, 1], [30, 170]).astype(np.uint8)
    test = Dataset(np.zeros((200, 28, 28), np.float32), labels)
    always = np.tile(np.array([0.1, 0.9], np.float32), (200, 1))
    html = rendered(test, always, described(2))
    assert "No better than guessing" in html
    assert "is right on\n85.0% of the test images" in html
    assert "is 50.0%: the classes are of unequal size" in html
    right = np.eye(2, dtype=np.float32)[labels]
    html = rendered(test, right, described(2))
    assert "No better than guessing" not in html
    assert "of unequal size" not in html


def test_images_are_shown_dark_on_white_where_they_were_made_light_on_black() -> None:
    grey, colour = np.zeros((28, 28), np.float32), np.zeros((28, 28, 3), np.float32)
    assert (figures.pixels(grey, DESCRIPTION) == 255).all()
    assert (figures.pixels(grey, described(2)) == 0).all()
    in_colour = DESCRIPTION.model_copy(update={"channels": 3})
    assert (figures.pixels(colour, in_colour) == 0).all()


def test_references_are_those_of_the_description() -> None:
    labels = np.arange(10, dtype=np.uint8)
    test = Dataset(np.zeros((10, 28, 28), np.float32), labels)
    html = rendered(test, np.eye(10, dtype=np.float32))
    for reference in DESCRIPTION.references:
        assert f'<a href="{reference.url}" rel="noreferrer">{reference.name}</a>' in html
    assert html.count("claimed, not reproduced") == 1
    assert "It does about as well as people without training in fashion (83.5%)." in html


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [(0.82, 0.83, "about as well as"), (0.78, 0.81, "worse than"), (0.858, 0.871, "better than")],
)
def test_better_than_people_needs_intervals_that_are_apart(
    low: float, high: float, verdict: str
) -> None:
    """People: 835 of 1,000, whose 95% interval by Wilson's formula is 0.811 to 0.857."""
    scores = {"accuracy_low": low, "accuracy_high": high}
    assert page.comparison(0.835, 1000, scores) == verdict


@pytest.mark.parametrize(("skip_easy", "gap_shows"), [(None, True), (0.6, False)])
def test_a_gap_is_not_called_over_fitting_where_easy_images_are_skipped(
    skip_easy: float | None, gap_shows: bool
) -> None:
    labels = np.arange(10).astype(np.uint8)
    test = Dataset(np.zeros((10, 28, 28), np.float32), labels)
    text = rendered(test, guesses(labels, 10), skip_easy=skip_easy)
    assert ("gap between the curves shows over-fitting" in text) == gap_shows
    assert ("Epochs that skip easy images" in text) != gap_shows


@pytest.mark.parametrize("epochs", [1, 2, 50, 1000])
def test_no_epoch_is_marked_that_there_was_not(epochs: int) -> None:
    row = {"accuracy": "0.5", "loss": "1", "val_accuracy": "", "val_loss": ""}
    chart = figures.history([row | {"epoch": str(1 + epoch)} for epoch in range(epochs)], "")
    left, right = chart.axes[-1].get_xlim()
    ticks = [tick for tick in chart.axes[-1].get_xticks() if left <= tick <= right]
    assert ticks
    assert all(tick == int(tick) and 1 <= tick <= epochs for tick in ticks)


@pytest.mark.parametrize("classes", [2, 1000])
def test_figures_stay_bounded(classes: int) -> None:
    description = described(classes, (64, 64, 3))
    labels = np.arange(classes, dtype=np.uint16)
    test = Dataset(np.zeros((classes, 64, 64, 3), np.float32), labels)
    probabilities = guesses(labels, classes)
    with figures.style():
        drawn = [
            panels.samples(test, description, 12),
            figures.confusion(metrics.confusion_matrix(probabilities, labels), description),
            panels.predictions(
                test, description, probabilities, np.arange(min(classes, 9)), "Some"
            ),
        ]
    for figure in drawn:
        assert figure.get_size_inches().max() < 30
        assert sum(len(axes.texts) for axes in figure.axes) < 300


def test_an_interval_may_end_at_its_value() -> None:
    """Of an accuracy of 1, the upper bound may be less by rounding."""
    drawn = figures.intervals(["all right"], [[1.0]], [(0.9, 0.9999999999999998)], "accuracy")
    assert figures.svg(drawn, "intervals")
