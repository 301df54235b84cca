"""The hash of code follows what it means, not how it is written or where it lies."""

import pytest

from pipeline.experiments.code_hash import code_hash

CODE = '''"""A module."""

import math

from pipeline.data import dataset
from pipeline.core.errors import PipelineError


def area(radius: float) -> float:
    """Return the area."""
    return math.pi * radius**2  # of a circle


class Shape:
    """Only a docstring."""
'''


def of(text: str, path: str = "pipeline/shapes.py") -> str:
    return code_hash([path], lambda _: text)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("  # of a circle", ""),
        ('    """Return the area."""\n', ""),
        ('    """Only a docstring."""\n', "    pass\n"),
        ("math.pi * radius**2", "(math.pi\n        * radius ** 2)"),
        ("from pipeline.data import dataset", "from pipeline.sets import dataset"),
    ],
)
def test_what_changes_nothing_does_not_count(old: str, new: str) -> None:
    assert old in CODE
    assert of(CODE) == of(CODE.replace(old, new))
    assert of(CODE) == of(CODE, "pipeline/other/place.py")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("radius**2", "radius**3"),
        ("import math\n", "import cmath as math\n"),
        ("import dataset", "import other as dataset2"),
        ("def area", "def surface"),
        ("math.pi", "'math.pi'"),
    ],
)
def test_what_changes_something_counts(old: str, new: str) -> None:
    assert of(CODE) != of(CODE.replace(old, new))


def test_of_requirements_the_versions_count() -> None:
    text = "numpy==2.4.6 \\\n    --hash=sha256:00\ntqdm==4.0 ; python_version > '3'\n"
    path = "requirements.txt"
    assert of(text, path) == of(text.replace("sha256:00", "sha256:11"), path)
    assert of(text, path) != of(text.replace("2.4.6", "2.4.7"), path)
