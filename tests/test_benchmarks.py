"""The benchmarks' page says what was measured."""

import json

from benchmarks.__main__ import page
from benchmarks.measurements import Row
from tests.project import ROOT

FOLDER = ROOT / "benchmarks"


def test_the_page_is_written_from_the_results() -> None:
    results = json.loads((FOLDER / "results.json").read_text())
    assert (FOLDER / "README.md").read_text() == page(results)


def test_a_row_is_held_against_its_target() -> None:
    faster = Row("ours", "theirs", "s", [1.0, 2.0, 9.0], [4.0, 4.0, 5.0], 0.5)
    assert (faster.value, faster.met) == (0.5, True)
    assert not Row("ours", "theirs", "s", [3.0], [4.0], 0.5).met
    assert Row("ours", "theirs", "1/s", [3.0], [2.0], 1.5, at_least=True).met
    assert not Row("ours", "theirs", "1/s", [2.9], [2.0], 1.5, at_least=True).met
    assert not Row("ours", "", "GiB", [1.3], [], 1.2).met
