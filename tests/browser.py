"""Chromium, to look at the pages that the project writes."""

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement

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


@contextmanager
def opened(chromium: Browser, report: Path) -> Iterator[Browser]:
    """A report; when it is left, nothing was fetched and nothing went wrong."""
    address = report.as_uri()
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
