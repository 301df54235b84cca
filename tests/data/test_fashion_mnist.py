"""Fetching, against a real HTTP server on loopback that misbehaves on request."""

import hashlib
import socket
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from pipeline.core.errors import PipelineError
from pipeline.data import fashion_mnist
from pipeline.data.fashion_mnist import RawFile
from tests.conftest import Project, environment

CONTENT = {file.name: file.name.encode() * 5000 for file in fashion_mnist.FILES}
NAME = fashion_mnist.FILES[0].name


class Handler(BaseHTTPRequestHandler):
    """Serves the files under a folder that names how to go wrong."""

    requests: list[str]
    released: threading.Event

    def do_GET(self) -> None:
        self.requests.append(self.path)
        way, name = self.path.strip("/").split("/")
        content = CONTENT[name]
        if way.isdigit():
            self.send_error(int(way))
            return
        if way == "once" and self.requests.count(self.path) == 1:
            self.send_error(503)
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if way == "stalled":
            self.wfile.write(content[:10])
            self.wfile.flush()
            self.released.wait(30)
        elif way == "truncated":
            self.wfile.write(content[:-10])
        elif way == "wrong":
            self.wfile.write(content[:-1] + b"?")
        else:
            self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """Keep quiet."""


@pytest.fixture
def server() -> Iterator[str]:
    Handler.requests, Handler.released = [], threading.Event()
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as httpd:
        thread = threading.Thread(target=httpd.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{httpd.server_port}"
        Handler.released.set()
        httpd.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def small_files(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Small stand-ins for the official files, no local copy in reach, and short waits."""
    files = tuple(
        RawFile(
            name,
            len(content),
            hashlib.sha256(content).hexdigest(),
            hashlib.md5(content).hexdigest(),
        )
        for name, content in CONTENT.items()
    )
    monkeypatch.setattr(fashion_mnist, "FILES", files)
    monkeypatch.setattr(fashion_mnist, "READ_TIMEOUT", 0.5)
    monkeypatch.setattr(fashion_mnist, "BACK_OFF", 0.01)
    monkeypatch.delenv(fashion_mnist.MIRROR_VARIABLE, raising=False)
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    monkeypatch.chdir(tmp_path)


def raw() -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in Path("data/raw").glob("*")}


@pytest.mark.parametrize(
    ("way", "reason", "attempts"),
    [
        ("500", "answered 500 Internal Server Error", 3),
        ("404", "answered 404 Not Found", 1),
        ("stalled", "did not answer in time", 3),
        ("truncated", "broke off before the end", 3),
        ("wrong", "has SHA-256", 1),
    ],
)
def test_a_failing_mirror_gives_its_reason_and_leaves_nothing(
    server: str, way: str, reason: str, attempts: int
) -> None:
    with pytest.raises(PipelineError) as error:
        fashion_mnist.fetch([f"{server}/{way}"])
    message = str(error.value)
    for part in (NAME, f"{server}/{way}: {reason}", "FASHION_MNIST_MIRROR", "synthetic"):
        assert part in message
    assert Handler.requests == [f"/{way}/{NAME}"] * attempts
    assert raw() == {}


def test_a_mirror_that_refuses_gives_its_reason() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound, not listening: connections are refused
        with pytest.raises(PipelineError, match="cannot be reached"):
            fashion_mnist.fetch([f"http://127.0.0.1:{taken.getsockname()[1]}"])
    assert raw() == {}


@pytest.mark.parametrize("way", ["500", "404", "stalled", "truncated", "wrong"])
def test_the_next_mirror_serves(server: str, way: str) -> None:
    fashion_mnist.fetch([f"{server}/{way}", f"{server}/right"])
    assert raw() == CONTENT


def test_a_passing_fault_is_tried_again(server: str) -> None:
    fashion_mnist.fetch([f"{server}/once"])
    assert raw() == CONTENT


def test_only_what_is_missing_or_wrong_is_fetched(server: str) -> None:
    Path("data/raw").mkdir(parents=True)
    for name, content in CONTENT.items():
        Path("data/raw", name).write_bytes(content)
    Path("data/raw", NAME).write_bytes(b"damaged")
    fashion_mnist.fetch([f"{server}/right"])
    assert Handler.requests == [f"/right/{NAME}"]
    assert raw() == CONTENT


def test_what_dvc_has_cached_is_not_fetched(server: str) -> None:
    subprocess.run(["dvc", "init", "--no-scm", "--quiet"], env=environment(), check=True)
    subprocess.run(["dvc", "cache", "dir", "--local", "kept"], env=environment(), check=True)
    for content in CONTENT.values():
        md5 = hashlib.md5(content).hexdigest()
        cached = Path("kept/files/md5", md5[:2], md5[2:])
        cached.parent.mkdir(parents=True, exist_ok=True)
        cached.write_bytes(content)
    fashion_mnist.fetch([f"{server}/right"])
    assert Handler.requests == []
    assert raw() == CONTENT


@pytest.mark.parametrize("place", ["variable", "variable-url", "beside", "keras"])
def test_local_places_come_before_the_mirrors(
    server: str, place: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    folder = tmp_path / "folder"
    if place == "variable":
        monkeypatch.setenv(fashion_mnist.MIRROR_VARIABLE, str(folder))
    elif place == "variable-url":
        monkeypatch.setenv(fashion_mnist.MIRROR_VARIABLE, f"{server}/right/")
    elif place == "beside":
        folder = tmp_path / "shared/fashion-mnist"
        inner = tmp_path / "project/.dvc/tmp/exps/temporary"
        inner.mkdir(parents=True)
        monkeypatch.chdir(inner)
    else:
        folder = tmp_path / "keras/datasets/fashion-mnist"
    folder.mkdir(parents=True)
    for name, content in CONTENT.items():
        (folder / name).write_bytes(content)
    fashion_mnist.fetch([f"{server}/500"])
    assert raw() == CONTENT
    assert not any("500" in request for request in Handler.requests)


def test_the_stage_names_every_mirror_in_one_message(fresh: Project) -> None:
    mirrors = ["http://127.0.0.1:9/first", "http://127.0.0.1:9/second"]
    fresh.set_params({"data.mirrors": mirrors})
    done = fresh.run("dvc", "repro")
    assert done.returncode != 0
    for mirror in mirrors:
        assert f"{mirror}: cannot be reached" in done.stderr
    assert "Traceback" not in done.stderr
    assert "source: fashion-mnist" in (fresh.path / "params.yaml").read_text()
    assert not list((fresh.path / "data/raw").glob("*.gz"))
