"""An output appears whole or not at all, and nothing else is written through its name."""

import os
from pathlib import Path

import pytest

from pipeline.core import artifacts


def test_what_lies_under_a_likely_name_is_not_written_to(tmp_path: Path) -> None:
    """Neither what a link there leads to, nor a file."""
    kept, output = tmp_path / "kept", tmp_path / "folder/output.json"
    kept.write_text("kept")
    output.parent.mkdir()
    likely = {".output.tmp.json", ".output.tmp0.json", ".output.tmp.saved.json"}
    for name in likely:
        output.with_name(name).symlink_to(kept)
    names = set()
    for _ in range(3):
        with artifacts.replacing(output) as temporary:
            names.add(temporary.name)
            assert not temporary.is_symlink()
            temporary.write_text("new")
    assert len(names) == 3
    assert kept.read_text() == "kept"
    assert {path.name for path in output.parent.iterdir()} == {"output.json", *likely}


@pytest.mark.parametrize("umask", [0o022, 0o077, 0o002])
def test_permissions_are_as_the_umask_says(tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        artifacts.write_json(tmp_path / "output.json", {})
    finally:
        os.umask(before)
    assert (tmp_path / "output.json").stat().st_mode & 0o777 == 0o666 & ~umask


def test_what_a_killed_run_left_is_removed_and_the_neighbours_stay(tmp_path: Path) -> None:
    number = "0123456789abcdef"
    left = [tmp_path / f".a[1].tmp{number}{ending}" for ending in (".npz", ".saved.npz")]
    others = [
        tmp_path / name
        for name in (f".a1.tmp{number}.npz", f".a[1].tmp{number}0.npz", ".a[1].tmp-notes.npz")
    ]
    for path in left + others:
        path.touch()
    artifacts.write_bytes(tmp_path / "a[1].npz", b"new")
    assert not any(path.exists() for path in left)
    assert all(path.exists() for path in others)


def test_of_two_writers_neither_removes_the_file_of_the_other(tmp_path: Path) -> None:
    output = tmp_path / "output"
    with artifacts.replacing(output) as first:
        first.write_text("first")
        artifacts.write_bytes(output, b"second")
        assert output.read_text() == "second"
    assert output.read_text() == "first"
    assert list(tmp_path.iterdir()) == [output]


def test_a_failed_writer_leaves_the_former_output(tmp_path: Path) -> None:
    output = tmp_path / "output.csv"
    artifacts.write_csv(output, ("a",), [(1,)])
    with pytest.raises(ZeroDivisionError):
        artifacts.write_csv(output, ("a",), ((1 / 0,) for _ in range(1)))
    assert output.read_text() == "a\n1\n"
    assert list(tmp_path.iterdir()) == [output]
