"""The benchmarks' page says what was measured."""

import json

from benchmarks.__main__ import page, worse
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


def test_it_says_which_figures_got_worse_by_more_than_they_spread() -> None:
    before = [
        Row("time", "", "s", [1.0, 1.1, 1.2], [], 2.0),
        Row("ratio", "theirs", "s", [1.0, 1.1, 1.0], [2.0, 2.0, 2.0], None),
        Row("speed", "", "1/s", [100.0, 110.0, 105.0], [], 50.0, at_least=True),
    ]
    same = [
        Row("time", "", "s", [1.29, 1.3, 1.3], [], 2.0),  # by the spread of before
        Row("ratio", "theirs", "s", [2.0, 2.2, 2.0], [4.0, 4.0, 4.0], None),  # a slower machine
        Row("speed", "", "1/s", [200.0, 200.0, 200.0], [], 50.0, at_least=True),
        Row("new", "", "s", [9.0], [], 1.0),
    ]
    assert worse(same, before) == []
    slower = [
        Row("time", "", "s", [1.4, 1.4, 1.4], [], 2.0),
        Row("ratio", "theirs", "s", [1.0, 1.1, 1.0], [1.0, 1.0, 1.0], None),
        Row("speed", "", "1/s", [80.0, 80.0, 81.0], [], 50.0, at_least=True),
    ]
    assert worse(slower, before) == [
        "worse than committed, by more than the spread: time: 1.1, now 1.4",
        "worse than committed, by more than the spread: ratio, against theirs: 0.5, now 1",
        "worse than committed, by more than the spread: speed: 105, now 80",
    ]
