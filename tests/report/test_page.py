"""The report: what it says, and how it looks and works in a browser."""

import base64
import json
import shutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import Select

from pipeline.data.dataset import CLASS_NAMES, Dataset
from pipeline.report import figures, page
from pipeline.report.figures import PlotParams, percent
from tests.project import ROOT, Project, read_csv, read_json

PHONE, DESKTOP = (360, 800), (1280, 900)
A4 = 680  # pixels between the margins of the page
FLAGS = (
    "--headless=new",
    "--no-sandbox",  # so that it starts for root, too
    "--disable-gpu",
    "--hide-scrollbars",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
)


class Browser(webdriver.Chrome):
    """Chromium, at the address of one report."""

    def find(self, selector: str) -> list[WebElement]:
        return self.find_elements(By.CSS_SELECTOR, selector)

    def texts(self, selector: str) -> list[str]:
        return [element.text for element in self.find(selector)]

    def emulate(self, size: tuple[int, int], scheme: str = "light", media: str = "") -> None:
        width, height = size
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500}
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
        self.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": media, "features": features})

    def width(self) -> int:
        """How many pixels wide the page is, which is more than the window if it overflows."""
        return int(self.execute_script("return document.documentElement.scrollWidth"))


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    program, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if not program or not driver:
        pytest.skip("needs chromium and chromedriver (Debian's chromium and chromium-driver)")
    options = webdriver.ChromeOptions()
    options.binary_location = program
    for flag in FLAGS:
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    browser = Browser(options=options, service=webdriver.ChromeService(driver))
    yield browser
    browser.quit()


@pytest.fixture
def browser(chromium: Browser, finished: Project) -> Iterator[Browser]:
    """The report of the small run; afterwards, nothing was fetched and nothing went wrong."""
    address = (finished.path / "plots/report.html").as_uri()
    chromium.emulate(DESKTOP)
    chromium.get(address)
    yield chromium
    assert chromium.get_log("browser") == []  # type: ignore[no-untyped-call]
    events = [
        json.loads(entry["message"])["message"]
        for entry in chromium.get_log("performance")  # type: ignore[no-untyped-call]
    ]
    requests = {
        event["params"]["request"]["url"].partition("#")[0]
        for event in events
        if event["method"] == "Network.requestWillBeSent"
    }
    assert {url for url in requests if not url.startswith("data:")} == {address}


def shown(share: float) -> str:
    """A share as WebDriver reads it from the page: without the non-breaking space."""
    return percent(share).replace("\u00a0", " ")


def confusions(project: Project) -> Counter[tuple[str, str]]:
    rows = read_csv(project.path / "plots/predictions.csv")
    return Counter((row["actual"], row["predicted"]) for row in rows)


def test_it_says_what_was_run(browser: Browser, finished: Project) -> None:
    body = browser.find("body")[0].text
    assert "Synthetic data." in browser.texts(".warning")[0]
    assert "synthetic" in browser.texts("h1")[0]
    assert "101,770 weights" in body
    assert "2 epochs" in body
    changed = {row.split()[0]: row.split()[1] for row in browser.texts("#run > .scroll .changed")}
    assert changed == {
        "data.source": '"synthetic"',
        "data.synthetic.train_images": "1000",
        "data.synthetic.test_images": "300",
        "train.epochs": "2",
    }
    declared = yaml.safe_load((finished.path / "dvc.yaml").read_text())["stages"]["plot"]["params"]
    browser.find("#run summary")[0].click()
    listed = [name.partition(".")[0] for name in browser.texts("#run details tbody th")]
    assert set(listed) == {name.partition(".")[0] for name in declared}


def test_its_numbers_are_those_of_the_run(browser: Browser, finished: Project) -> None:
    test = read_json(finished.path / "metrics/evaluate.json")["test"]
    assert shown(test["accuracy"]) in browser.texts("h1")[0]
    metrics = browser.texts(".metrics > div")
    assert f"{test['accuracy']:.4f}" in metrics[0]
    assert f"{test['accuracy_low']:.4f} to {test['accuracy_high']:.4f}" in metrics[0]
    assert f"{test['expected_calibration_error']:.4f}" in metrics[4]

    counts = confusions(finished)
    for actual, row in zip(CLASS_NAMES, browser.find(".matrix tbody tr"), strict=True):
        cells = [cell.text.split() for cell in row.find_elements(By.TAG_NAME, "td")]
        assert [int(cell[0]) for cell in cells] == [counts[actual, name] for name in CLASS_NAMES]
        rates = [float(cell[1]) for cell in cells if len(cell) > 1]
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
            assert lines[4] == shown(confidence[index])
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
            float(text.split()[0]) for text in browser.texts(".sortable tbody td:nth-child(3)")
        ]
        assert values == sorted(values, reverse=order == "descending")
        assert len(set(values)) > 1
    browser.find(".sortable th button")[0].send_keys(Keys.SPACE)
    assert browser.texts(".sortable tbody th") == sorted(CLASS_NAMES)


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
            else "No test image was mistaken so."
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
        assert browser.texts(".sortable tbody th") == list(CLASS_NAMES)
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


def rendered(
    test: Dataset,
    probabilities: Any,
    count: int,
    per_confusion: int,
    history: list[dict[str, str]] | None = None,
) -> str:
    """The page of other predictions, beside the committed results."""
    params = PlotParams(
        samples_per_class=1,
        predictions=1,
        mistakes=count,
        uncertain=count,
        per_confusion=per_confusion,
    )
    run = {"data": {"source": "fashion-mnist"}, "model": {"name": "mlp"}}
    results: dict[str, Any] = {
        "metrics": read_json(ROOT / "metrics/evaluate.json"),
        "training": read_json(ROOT / "metrics/train.json"),
        "history": history or read_csv(ROOT / "plots/history.csv"),
        "calibration": read_csv(ROOT / "plots/calibration.csv"),
    }
    with figures.style():
        charts = {
            "history": figures.svg(figures.history(results["history"], ""), "history"),
            "calibration": figures.svg(figures.calibration(results["calibration"], ""), "c"),
        }
    return page.render(test, probabilities, params, run, results, charts)


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
    assert page.count("<img") == 100 + 100 + 90 * 8 + 3 * 8
    assert len(page.encode()) < 2_000_000


def test_a_model_without_mistakes_has_a_page_too() -> None:
    labels = np.arange(10, dtype=np.uint8)
    test = Dataset(np.zeros((10, 28, 28), np.float32), labels)
    page = rendered(test, np.eye(10, dtype=np.float32), count=5, per_confusion=5)
    assert "It made no mistake." in page
    assert page.count("<img") == 5


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [(0.82, 0.83, "about as well as"), (0.78, 0.81, "worse than"), (0.858, 0.871, "better than")],
)
def test_better_than_people_needs_intervals_that_are_apart(
    low: float, high: float, verdict: str
) -> None:
    """People: 835 of 1,000, whose 95 % interval by Wilson's formula is 0.811 to 0.857."""
    assert page.against_people({"accuracy_low": low, "accuracy_high": high}) == verdict
