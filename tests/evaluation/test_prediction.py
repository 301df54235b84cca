"""A model is what this project trains, for the data at hand; no other is loaded, and none runs."""

import base64
import io
import json
import marshal
import os
import pickle
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np
import pytest

from pipeline.core.errors import PipelineError
from pipeline.data.fashion_mnist import DESCRIPTION
from pipeline.evaluation.prediction import MEMBERS, load_model
from tests.project import ROOT, Project, environment

Config = dict[str, Any]
Members = dict[str, bytes]

# Loads each model that is named and says what came of it, and whether code of the model ran.
DRIVER = """
import json, sys
from pathlib import Path
import numpy as np
from pipeline.core.errors import PipelineError
from pipeline.data.fashion_mnist import DESCRIPTION
from pipeline.evaluation.prediction import load_model, predict
for path in sys.argv[1:]:
    said = ""
    try:
        predict(load_model(Path(path), DESCRIPTION), np.zeros((2, 28, 28), np.float32))
    except PipelineError as error:
        said = str(error)
    print(json.dumps([said, sorted(file.name for file in Path().iterdir())]), flush=True)
"""
# What a model may reach for: a module beside it, whose every part leaves a trace.
EVIL = """
from pathlib import Path
Path("RAN").touch()
class Evil:
    def __init__(self, **config):
        Path("RAN").touch()
    from_config = classmethod(lambda cls, config: cls())
def evil(*arguments):
    Path("RAN").touch()
"""
TRACE = "touch RAN"
BYTECODE = base64.b64encode(
    marshal.dumps((lambda x: (__import__("os").system("touch RAN"), x)[1]).__code__)
).decode()
LAMBDA = {
    "class_name": "__lambda__",
    "config": {"code": BYTECODE, "defaults": None, "closure": None},
}


class Pickled:
    """Runs a command when it is unpickled."""

    def __reduce__(self) -> Any:
        return os.system, (TRACE,)


def function(module: str, name: str) -> Config:
    return {
        "module": module,
        "class_name": "function",
        "config": name,
        "registered_name": "function",
    }


def instance(module: str, name: str, config: Config, registered: str | None = None) -> Config:
    return {
        "module": module,
        "class_name": name,
        "config": config,
        "registered_name": registered,
    }


def configured(change: Callable[[Config], object]) -> Callable[[Members], Members]:
    """Change what `config.json` says."""

    def edit(members: Members) -> Members:
        config = json.loads(members["config.json"])
        changed = change(config)
        return members | {"config.json": json.dumps(changed or config).encode()}

    return edit


def activation(value: Any) -> Callable[[Members], Members]:
    return configured(
        lambda config: config["config"]["layers"][2]["config"].update(activation=value)
    )


def layer(value: Config) -> Callable[[Members], Members]:
    """Put another layer in the place of the hidden one."""

    def change(config: Config) -> None:
        layers = config["config"]["layers"]
        layers[2] = {key: layers[2][key] for key in ("name", "inbound_nodes")} | value

    return configured(change)


def units(place: int, count: int) -> Callable[[Members], Members]:
    """Change how many units a layer has, and what the next expects."""

    def change(config: Config) -> None:
        layers = config["config"]["layers"]
        layers[place]["config"]["units"] = count
        for later in layers[place + 1 :]:
            later["build_config"]["input_shape"] = [None, count]

    return configured(change)


def jit(value: object) -> Callable[[Members], Members]:
    return configured(lambda config: config["compile_config"].update(jit_compile=value))


def weights(change: Callable[[h5py.File], object]) -> Callable[[Members], Members]:
    """Change what `model.weights.h5` holds."""

    def edit(members: Members) -> Members:
        buffer = io.BytesIO(members["model.weights.h5"])
        with h5py.File(buffer, "r+") as file:
            change(file)
        return members | {"model.weights.h5": buffer.getvalue()}

    return edit


KERNEL = "layers/dense/vars/0"
SHAPE = (784, 128)


def kernel(put: Callable[[h5py.File], object]) -> Callable[[Members], Members]:
    def change(file: h5py.File) -> None:
        del file[KERNEL]
        put(file)

    return weights(change)


def _virtual(file: h5py.File) -> None:
    layout = h5py.VirtualLayout(SHAPE, "f4")
    layout[:] = h5py.VirtualSource("other.h5", "kernel", SHAPE)
    file.create_virtual_dataset(KERNEL, layout)


def _unsafe_first(config: Config) -> None:
    hidden, last = config["config"]["layers"][2:]
    unsafe = instance("keras.config", "enable_unsafe_deserialization", {})
    hidden["config"]["kernel_initializer"] = unsafe
    last["config"]["activation"] = LAMBDA


def _pickles(members: Members) -> Members:
    buffer = io.BytesIO()
    np.savez(buffer, **{"layers/dense/vars": np.array([Pickled()], object)})  # type: ignore[arg-type]
    return {
        "config.json": members["config.json"],
        "metadata.json": members["metadata.json"],
        "model.weights.npz": buffer.getvalue(),
    }


GET_FILE = {"fname": "RAN", "origin": "file:other.h5", "cache_dir": ".", "cache_subdir": "."}
REFERENCE = "could not be deserialized properly"
ELSEWHERE = "is not stored in it as it is"
MALICIOUS: dict[str, tuple[Callable[[Members], Members], str]] = {
    "Lambda": (layer(instance("keras.layers", "Lambda", {"function": LAMBDA})), "`Lambda` layer"),
    "Lambda of a function": (
        layer(instance("keras.layers", "Lambda", {"function": function("os", "system")})),
        REFERENCE,
    ),
    "Lambda as an activation": (activation(LAMBDA), REFERENCE),
    "custom class": (layer(instance("evil", "Evil", {}, "Evil")), REFERENCE),
    "custom class, not registered": (layer(instance("evil", "Evil", {})), REFERENCE),
    "custom function": (activation(function("evil", "evil")), REFERENCE),
    "os.system": (activation(function("os", "system")), REFERENCE),
    "os.system, called": (activation(instance("os", "system", {"command": TRACE})), REFERENCE),
    "os.system, by name": (activation("os.system"), REFERENCE),
    "eval": (activation(function("builtins", "eval")), REFERENCE),
    "through a module of Keras": (
        activation(function("keras.src.utils.file_utils", "os.system")),
        REFERENCE,
    ),
    "unsafe": (activation(function("keras.config", "enable_unsafe_deserialization")), REFERENCE),
    "unsafe, then Lambda": (configured(_unsafe_first), REFERENCE),
    "get_file": (activation(function("keras.utils", "get_file")), REFERENCE),
    "get_file, called": (activation(instance("keras.utils", "get_file", GET_FILE)), REFERENCE),
    "get_file as the model": (
        configured(
            lambda config: (
                instance("keras.utils", "get_file", GET_FILE)
                | {"compile_config": config["compile_config"]}
            )
        ),
        "not a modeling function",
    ),
    "a SavedModel": (
        layer(instance("keras.layers", "TFSMLayer", {"name": "x", "filepath": "saved"})),
        "`TFSMLayer`",
    ),
    "a file as a vocabulary": (
        layer(instance("keras.layers", "StringLookup", {"name": "x", "vocabulary": "other.h5"})),
        REFERENCE,
    ),
    "a link to another file": (
        kernel(lambda file: file.__setitem__(KERNEL, h5py.ExternalLink("other.h5", "/kernel"))),
        "ExternalLink",
    ),
    "weights in another file": (
        kernel(lambda file: file.create_dataset(KERNEL, SHAPE, "f4", external=[("raw", 0, 2**20)])),
        "Not allowed: H5 file with external",
    ),
    "a view of another file": (kernel(_virtual), ELSEWHERE),
    "paths out of the folder": (
        lambda members: members | {"../RAN": b"", "a/../../RAN": b""},
        "nothing else",
    ),
    "a pickle as weights": (_pickles, "nothing else"),
    "a pickle as configuration": (
        lambda members: members | {"config.json": pickle.dumps(Pickled())},
        "codec can't decode",
    ),
}
WRONG: dict[str, tuple[Callable[[Members], Members], str]] = {
    "7 classes": (units(3, 7), "to (None, 7), not (None, 28, 28) to 10"),
    "12 classes": (units(3, 12), "to (None, 12), not (None, 28, 28) to 10"),
    "other images": (
        configured(
            lambda config: json.loads(
                json.dumps(config).replace("784", "196").replace(" 28", " 14")
            )
        ),
        "[(None, 14, 14)] to",
    ),
    "two outputs": (
        configured(
            lambda config: config["config"].update(
                output_layers=[["probabilities", 0, 0], ["dense", 0, 0]]
            )
        ),
        "it maps [(None, 28, 28), (None, 10)] to (None, 128)",
    ),
    "more weights than memory": (units(2, 3_000_000), "weights, more than are in the file"),
    "no configuration": (lambda members: members | {"config.json": b""}, "Expecting value"),
    "null": (lambda members: members | {"config.json": b"null"}, "TypeError"),
    "a list": (lambda members: members | {"config.json": b"[]"}, "TypeError"),
    "a mapping": (lambda members: members | {"config.json": b"{}"}, "KeyError: 'compile_config'"),
    "nested": (lambda members: members | {"config.json": b"[" * 100_000}, "RecursionError"),
    "a layer": (
        configured(
            lambda config: config["config"]["layers"][2] | {"compile_config": {"jit_compile": True}}
        ),
        "AttributeError",
    ),
    "compiled or not": (jit("auto"), "jit_compile is 'auto'"),
    "NaN": (
        weights(lambda file: file[KERNEL].write_direct(np.full(SHAPE, np.nan, np.float32))),
        "negative, NaN",
    ),
    "no softmax": (
        configured(
            lambda config: config["config"]["layers"][3]["config"].update(activation="relu")
        ),
        "do not add up to 1",
    ),
    "compressed weights": (
        kernel(
            lambda file: file.create_dataset(
                KERNEL, SHAPE, "f4", compression="gzip", data=np.ones(SHAPE)
            )
        ),
        ELSEWHERE,
    ),
    "weights unpacked to gigabytes": (
        kernel(lambda file: file.create_dataset(KERNEL, (20_000, 20_000), "f4", chunks=(100, 100))),
        ELSEWHERE,
    ),
    "smaller weights": (
        kernel(lambda file: file.create_dataset(KERNEL, data=np.ones((784, 64), np.float32))),
        "could not be loaded",
    ),
    "text as weights": (
        kernel(lambda file: file.create_dataset(KERNEL, data=np.full(SHAPE, b"text"))),
        "could not be loaded",
    ),
    "a weight less": (weights(lambda file: file.__delitem__(KERNEL)), "could not be loaded"),
    "no weights": (lambda members: members | {"model.weights.h5": b""}, "signature not found"),
    "a file less": (lambda members: {"config.json": members["config.json"]}, "nothing else"),
}


class Outcome(NamedTuple):
    """What loading one model gave: the line of its error, and the files that were then there."""

    said: str
    files: list[str]


def pack(members: Members, method: int = zipfile.ZIP_STORED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return buffer.getvalue()


@pytest.fixture(scope="module")
def members(finished: Project) -> Members:
    with zipfile.ZipFile(finished.path / "models/model.keras") as archive:
        return {name: archive.read(name) for name in archive.namelist()}


@pytest.fixture(scope="module")
def outcomes(members: Members, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Outcome]:
    """Load all of them in one process, and a good one last, to see that it is none the worse."""
    folder = tmp_path_factory.mktemp("models")
    here, models = folder / "here", folder / "models"
    here.mkdir()
    models.mkdir()
    (here / "evil.py").write_text(EVIL)
    with h5py.File(here / "other.h5", "w") as file:
        file["kernel"] = np.ones(SHAPE, np.float32)
    np.ones(SHAPE, np.float32).tofile(here / "raw")
    good = pack(members)
    contents = {name: pack(edit(members)) for name, (edit, _) in (MALICIOUS | WRONG).items()} | {
        "truncated": good[:-100],
        "empty": b"",
        "a bomb": pack(members, zipfile.ZIP_DEFLATED),
        "good": good,
    }
    paths = [models / f"{place}.keras" for place in range(len(contents))]
    for path, content in zip(paths, contents.values(), strict=True):
        path.write_bytes(content)
    done = subprocess.run(
        [sys.executable, "-c", DRIVER, *paths],
        cwd=here,
        env=environment() | {"PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    lines = [Outcome(*json.loads(line)) for line in done.stdout.splitlines()]
    return dict(zip(contents, lines, strict=True))


FILES = ["evil.py", "other.h5", "raw"]


@pytest.mark.parametrize(("name", "reason"), [(name, case[1]) for name, case in MALICIOUS.items()])
def test_nothing_of_a_malicious_model_runs(
    outcomes: dict[str, Outcome], name: str, reason: str
) -> None:
    """Nor is another file read for it, nor one written."""
    assert outcomes[name].files == FILES
    assert " cannot be used: " in outcomes[name].said
    assert reason in outcomes[name].said


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        *((name, case[1]) for name, case in WRONG.items()),
        ("truncated", "BadZipFile"),
        ("empty", "BadZipFile"),
        ("a bomb", "it is compressed"),
    ],
)
def test_what_is_no_model_for_the_data_is_one_line(
    outcomes: dict[str, Outcome], name: str, reason: str
) -> None:
    assert " cannot be used: " in outcomes[name].said
    assert reason in outcomes[name].said
    assert outcomes[name].said.isprintable()
    assert outcomes[name].said.endswith("run `dvc repro`")


def test_a_good_model_is_loaded_after_all_of_them(outcomes: dict[str, Outcome]) -> None:
    assert outcomes["good"] == Outcome("", FILES)


def test_the_attack_is_one(members: Members, tmp_path: Path) -> None:
    """What is refused above would run without Keras's safe mode.

    So nothing but this test switches it off: in a process of its own, on a file that the test made
    and whose code only makes an empty file. Without it, the refusals could be those of harmless
    files.
    """
    (tmp_path / "model.keras").write_bytes(pack(MALICIOUS["Lambda"][0](members)))
    attempt = (
        "import keras, numpy; "
        "model = keras.saving.load_model('model.keras', compile=False, safe_mode=False)"
    )
    subprocess.run(
        [sys.executable, "-c", attempt], cwd=tmp_path, capture_output=True, timeout=100, check=False
    )
    assert (tmp_path / "RAN").exists()


def test_a_model_over_the_limit_is_not_read(tmp_path: Path) -> None:
    """Of three gigabytes of nothing: they are not even on the disk."""
    path = tmp_path / "large.keras"
    size = 3 * 2**30
    content = bytearray(pack(dict.fromkeys(MEMBERS, b"{}")))
    place = content.rindex(b"PK\1\2")  # the entry of the weights
    content[place + 20 : place + 28] = size.to_bytes(4, "little") * 2
    path.write_bytes(content)
    with pytest.raises(PipelineError, match=r"it is compressed, or more than 2,147,483,648 bytes"):
        load_model(path, DESCRIPTION)
