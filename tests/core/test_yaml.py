"""A stage reads YAML as DVC does, or refuses it by name: held to DVC's own loader."""

import os
import re
from pathlib import Path
from typing import Any

import pytest
from dvc.utils.serialize import load_yaml as load_as_dvc
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.core.errors import PipelineError
from pipeline.core.params_file import load_yaml, parse_yaml


def examples(count: int) -> settings:
    """The same examples in each run."""
    return settings(max_examples=count, derandomize=True, deadline=None, database=None)


PARAMS = (Path(__file__).parents[2] / "params.yaml").read_text()


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("yaml") / "params.yaml"


def agree(file: Path, content: str | bytes) -> dict[str, Any] | None:
    """Hold our reading of a file to DVC's, value and type; None where ours refuses it."""
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    try:
        ours = load_yaml(str(file))
    except PipelineError:
        return None
    # The text of a plain object tells 1 from 1.0 and True, and 0.0 from -0.0; NaN equals NaN.
    assert repr(ours) == repr(load_as_dvc(str(file)))
    return ours


# In an order that tends to give what looks like a number, a date or a word with a meaning.
NUMBER_LIKE = st.text("0123456789_.-+:eExXoObBaAfFTtZ ", min_size=1, max_size=12)
WORDS = st.sampled_from(
    """
    yes No ON off y N true True TRUE tRUE false null Null NULL ~ = << .inf -.Inf +.INF .nan .NaN
    -.nan 032 0777 0o10 0O10 0x1F 0b101 1_000 1__ _1 +_1 0_1 0x_ 0b_ 0o_ +_ ._ 1:30 1:30.5 1e5
    1e-05 1.e5 .5 .5e5 .5e+5 -0 -0.0 +0 00 0.0.0 1. 1.5.2 12e03 1E400 2020-01-01 2020-13-45
    2001-12-14t21:59:43.10-05:00 nan inf None 1,000 0x 0b2 08 09 1e 1e+
    """.split()  # noqa: SIM905
)
SCALARS = st.one_of(
    WORDS,
    NUMBER_LIKE,
    st.integers().map(str),
    st.floats().map(repr),
    st.text("ab: #,[]{}&*!|>'\"%@`?-\t\\", max_size=8),
    st.text(max_size=5),
)
QUOTES = st.sampled_from(["{}", "{}", "{}", "'{}'", '"{}"', "|\n  {}", ">-\n  {}", "{} # note"])


def quoted(scalar: tuple[str, str]) -> str:
    text, quotes = scalar
    return quotes.format(text)


@examples(1500)
@given(scalar=st.tuples(SCALARS, QUOTES).map(quoted), flow=st.booleans())
def test_a_value_is_what_dvc_records(file: Path, scalar: str, flow: bool) -> None:
    agree(file, f"key: [{scalar}]\n" if flow else f"key: {scalar}\n")


@examples(500)
@given(keys=st.lists(st.tuples(SCALARS, QUOTES).map(quoted), min_size=1, max_size=4))
def test_a_key_is_what_dvc_records(file: Path, keys: list[str]) -> None:
    agree(file, "".join(f"{key}: {index}\n" for index, key in enumerate(keys)))


FLOW = st.recursive(
    st.tuples(SCALARS, st.sampled_from(["{}", "{}", "'{}'", '"{}"'])).map(quoted),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(lambda items: f"[{', '.join(items)}]"),
        st.lists(st.tuples(st.sampled_from("abc"), inner), max_size=3).map(
            lambda items: f"{{{', '.join(f'{key}: {value}' for key, value in items)}}}"
        ),
    ),
    max_leaves=8,
)


@examples(500)
@given(flow=FLOW)
def test_nested_values_are_what_dvc_records(file: Path, flow: str) -> None:
    agree(file, f"key:\n  inner: {flow}\n")


LINES = PARAMS.splitlines()
EDITS = st.lists(
    st.tuples(
        st.integers(0, len(LINES) - 1),
        st.sampled_from(["value", "drop", "twice", "indent", "dash", "insert", "tab"]),
        FLOW,
        st.integers(0, 40),
    ),
    min_size=1,
    max_size=4,
)


@examples(700)
@given(edits=EDITS, ending=st.sampled_from(["\n", "\n", "\r\n", "\r", "\u2028"]))
def test_an_edited_file_is_what_dvc_records(
    file: Path, edits: list[tuple[int, str, str, int]], ending: str
) -> None:
    lines = list(LINES)
    for number, edit, value, column in edits:
        line = lines[number]
        lines[number] = {
            "value": f"{line.partition(':')[0]}: {value}",
            "drop": "",
            "twice": f"{line}\n{line}",
            "indent": f" {line}",
            "dash": f"- {line}",
            "insert": line[:column] + value + line[column:],
            "tab": line.replace("  ", "\t"),
        }[edit]
    agree(file, ending.join(lines))


@examples(500)
@given(content=st.one_of(st.text(max_size=40), st.text("a1:-[]{},#&*!%|>?'\"\n\t @.", max_size=40)))
def test_any_text_is_what_dvc_records(file: Path, content: str) -> None:
    agree(file, f"a: 1\n{content}")
    agree(file, content)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("032", 32),
        ("0777", 777),
        ("0o10", 8),
        ("0x1F", 31),
        ("-0b11", -3),
        ("1_000", 1000),
        ("1e-05", 1e-05),
        ("1e5", 1e5),
        ("1.e5", 1e5),
        (".5", 0.5),
        (".5e5", ".5e5"),
        ("-0.0", -0.0),
        ("1:30", "1:30"),
        ("yes", "yes"),
        ("on", "on"),
        ("TRUE", True),
        ("~", None),
        ("", None),
        ("'032'", "032"),
        ("9" * 30, 10**30 - 1),
    ],
)
def test_yaml_1_2_is_read(file: Path, text: str, value: object) -> None:
    assert repr(agree(file, f"key: {text}\n")) == repr({"key": value})


@pytest.mark.parametrize(
    "content", ["\ufeffa: 1\r\nb: |\r\n  x\r\n", "---\na: 1\nb: |\n  x\n...\n"]
)
def test_the_ways_of_other_editors_are_read(file: Path, content: str) -> None:
    assert agree(file, content) == {"a": 1, "b": "x\n"}


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("a: 1\nb: 2\na: 3\n", " is not valid YAML: .* duplicate key .* line 3, column 1"),
        ("a: {b: 1, b: 1}\n", " is not valid YAML: .* duplicate key .* line 1"),
        ("a: 1\n1: 2\n", ": 1: 1 needs quotes to be text"),
        ("a: {true: 2}\n", ": a.1: True needs quotes to be text"),
        ("a: [b: {[c]: 1}]\n", r": a.0.b.\('c',\): \('c',\) needs quotes to be text"),
        ("a: 2020-01-01\n", ": a: 2020-01-01 needs quotes to be text"),
        ("a: 2020-13-45\n", " is not valid YAML: month must be in 1..12"),
        ("a: 0x_\n", " is not valid YAML: invalid literal"),
        (f"a: {'1' * 5000}\n", " is not valid YAML: Exceeds the limit"),
        (f"a: 0x{'f' * 9000}\n", " is not valid YAML: Exceeds the limit"),
        ("a: &x 1\n", r", line 1: anchors \(&\), aliases \(\*\), tags \(!\) and directives"),
        ("a: *x\n", ", line 1: anchors"),
        ("a: !!int '1'\n", ", line 1: anchors"),
        ("a: !!python/object/apply:os.abort []\n", ", line 1: anchors"),
        ("%YAML 1.1\n---\na: yes\n", ", line 1: anchors"),
        ("a: 1\n---\na: 2\n", " is not valid YAML: expected a single document"),
        ("a: [1\n", " is not valid YAML: "),
        ("a: 1\n\tb: 2\n", " is not valid YAML: "),
        ("a: \0\n", " is not valid YAML: unacceptable character #x0000"),
        ("[]\n", " holds list, not a mapping of parameters"),
        ("", " holds NoneType, not a mapping of parameters"),
        ("a: 1\n".encode("utf-16"), " is not encoded in UTF-8"),
        (b"a: \xff\n", " is not encoded in UTF-8"),
    ],
)
def test_what_parameters_cannot_be_is_refused(
    file: Path, content: str | bytes, reason: str
) -> None:
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(PipelineError) as error:
        load_yaml(str(file))
    assert re.match(re.escape(str(file)) + reason, str(error.value))
    assert len(str(error.value).splitlines()) == 1


LAUGHS = "a0: &a0 [x, x]\n" + "".join(f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]\n" for n in range(1, 60))


@pytest.mark.parametrize(
    "text",
    [f"a: {'[' * 200_000}", f"a: {'{a: ' * 100_000}", "- " * 100_000, "? " * 100_000, LAUGHS],
    ids=["lists", "mappings", "block", "keys", "aliases"],
)
def test_what_would_overflow_is_refused(text: str) -> None:
    with pytest.raises(PipelineError, match=r"^params\.yaml, line 1: .* are not supported$"):
        parse_yaml(text, "params.yaml")


@pytest.mark.parametrize("kind", ["FIFO", "folder", "device", "nothing"])
def test_what_is_no_file_is_refused(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "params.yaml"
    if kind == "FIFO":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    elif kind == "device":
        path.symlink_to("/dev/zero")
    with pytest.raises(PipelineError, match="is missing or not a file"):
        load_yaml(str(path))
