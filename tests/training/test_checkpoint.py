"""A checkpoint is what `save` left, for the same inputs; anything else is starting over."""

import hashlib
import io
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from pipeline.training import checkpoint
from pipeline.training.checkpoint import PATH, Checkpoint

SAVED = Checkpoint(
    "right",
    [{"loss": 0.1}],
    weights=[np.arange(6, dtype=np.float32).reshape(2, 3), np.float32(7) * np.ones(())],
    optimizer=[np.array(3)],
    best=[],
)


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_what_was_saved_is_loaded_for_the_same_inputs(capsys: pytest.CaptureFixture[str]) -> None:
    assert checkpoint.load("right") is None
    checkpoint.save(SAVED)
    loaded = checkpoint.load("right")
    assert loaded is not None
    assert loaded.history == SAVED.history
    for name in checkpoint.ARRAYS:
        arrays, expected = getattr(loaded, name), getattr(SAVED, name)
        assert len(arrays) == len(expected)
        for array, wanted in zip(arrays, expected, strict=True):
            np.testing.assert_array_equal(array, wanted, strict=True)
    assert capsys.readouterr().out == ""
    assert checkpoint.load("other") is None
    assert capsys.readouterr().out == f"{PATH} belongs to other inputs: starting over\n"
    checkpoint.discard()
    assert not PATH.exists()


def _rewritten() -> None:
    """Make it a valid archive of the same names, with another number."""
    with np.load(PATH) as archive:
        content = dict(archive)
    content["optimizer_0"] = content["optimizer_0"] + 1
    np.savez(PATH, allow_pickle=False, **content)


def _sealed(content: bytes) -> Callable[[], object]:
    return lambda: PATH.write_bytes(content + hashlib.sha256(content).digest())


def _archive(**arrays: object) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)  # type: ignore[arg-type]
    return buffer.getvalue()


def _instead(make: Callable[[], object]) -> Callable[[], object]:
    def act() -> None:
        PATH.unlink()
        make()

    return act


def _folder_in_its_place() -> None:
    PATH.mkdir()
    (PATH / "file").touch()


DAMAGES: dict[str, Callable[[], object]] = {
    "empty": lambda: PATH.write_bytes(b""),
    "text": lambda: PATH.write_bytes(b"no archive"),
    "shorter": lambda: PATH.write_bytes(PATH.read_bytes()[:-1]),
    "longer": lambda: PATH.write_bytes(PATH.read_bytes() + b"\0"),
    "another byte": lambda: PATH.write_bytes(b"\0" + PATH.read_bytes()[1:]),
    "another number": _rewritten,
    "sealed nothing": _sealed(b""),
    "sealed text": _sealed(b"no archive"),
    "other arrays": _sealed(_archive(other=np.zeros(3))),
    "nested JSON": _sealed(_archive(progress=np.array("[" * 100_000))),
    "a JSON list": _sealed(_archive(progress=np.array("[1]"))),
    "no fingerprint": _sealed(_archive(progress=np.array("{}"))),
    "a pickle": _sealed(_archive(progress=np.array([SAVED], object))),
    "a folder": _instead(_folder_in_its_place),
    "a pipe": _instead(lambda: os.mkfifo(PATH)),
    "a link to nowhere": _instead(lambda: PATH.symlink_to("nowhere")),
    "a link to a device": _instead(lambda: PATH.symlink_to("/dev/zero")),
    "a link to itself": _instead(lambda: PATH.symlink_to(PATH.name)),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_anything_else_is_starting_over(
    damage: Callable[[], object], capsys: pytest.CaptureFixture[str]
) -> None:
    checkpoint.save(SAVED)
    damage()
    assert checkpoint.load("right") is None
    assert capsys.readouterr().out == f"{PATH} is damaged: starting over\n"
    checkpoint.save(SAVED)
    assert checkpoint.load("right") is not None


def test_every_bit_counts(capsys: pytest.CaptureFixture[str]) -> None:
    checkpoint.save(SAVED)
    whole = PATH.read_bytes()
    for place in range(0, len(whole), 29):
        changed = bytearray(whole)
        changed[place] ^= 1 << place % 8
        PATH.write_bytes(changed)
        assert checkpoint.load("right") is None, place
    assert set(capsys.readouterr().out.splitlines()) == {f"{PATH} is damaged: starting over"}
