"""Fetching, against a real HTTP server on loopback that misbehaves on request."""

import hashlib
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote

import pytest

from pipeline.core.errors import PipelineError
from pipeline.data import fashion_mnist
from pipeline.data.fashion_mnist import RawFile
from tests.project import ROOT, Project, environment

CONTENT = {file.name: file.name.encode() * 5000 for file in fashion_mnist.FILES}
NAME = fashion_mnist.FILES[0].name


NOTHING = b"Content-Length: 0\r\n\r\n"
REDIRECTS = [
    b"http://[::1",
    b"http://a..b/",
    b"http://.a/",
    b"http://" + b"a" * 70 + b".invalid/",
    b"http://\xff\xfe/",
    "http://\u2100.invalid/".encode(),
    b"http://%zz%00/",
    b"http://host:99999/",
    b"http://host:port/",
    b"http://user:pa ss@/",
    b"http:///nowhere",
    b"http://",
    b"//",
    b"file:///etc/passwd",
    b"mailto:me",
    b"?",
]
# What a server may write in place of an answer.
ANSWERS = {
    "empty": b"",
    "noise": bytes(range(256)) * 10,
    "no-status": b"HTTP/1.1 \r\n\r\n",
    "strange-status": b"HTTP/1.1 999999 what\r\n\r\n",
    "long-line": b"HTTP/1.1 200 " + b"a" * 100_000,
    "many-headers": b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 1000 + b"\r\n",
    "bad-header": b"HTTP/1.1 200 OK\r\n: \r\n\xff\xfe\r\n\r\n",
    "bad-length": b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\nabc",
    "two-lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 3, 5\r\n\r\nabc",
    "bad-chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\nabc",
    "bad-gzip": b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 3\r\n\r\nabc",
    "bad-zstd": b"HTTP/1.1 200 OK\r\nContent-Encoding: zstd, br\r\nContent-Length: 3\r\n\r\nabc",
    "bad-cookie": b"HTTP/1.1 200 OK\r\nSet-Cookie: =;=;\xff\r\n" + NOTHING,
    "long-status": b"HTTP/1.1 404 " + b"a" * 60_000 + b"\r\n" + NOTHING,
    "encodings": b"HTTP/1.1 200 OK\r\nContent-Encoding: " + b"gzip," * 2000 + b"\r\n" + NOTHING,
    "old-protocol": b"no header at all",
    "continue": b"HTTP/1.1 100 Continue\r\n\r\n" * 200,
    "not-modified": b"HTTP/1.1 304 Not Modified\r\n\r\n",
    "part": b"HTTP/1.1 206 Partial Content\r\nContent-Length: 3\r\n\r\nabc",
    "nothing": b"HTTP/1.1 204 No Content\r\n\r\n",
    "escape": b"HTTP/1.1 404 \x1b]0;owned\x07\x1b[31m\r\n" + NOTHING,
    **{
        f"redirect-{index}": b"HTTP/1.1 302 Found\r\nLocation: " + target + b"\r\n" + NOTHING
        for index, target in enumerate(REDIRECTS)
    },
}


class Handler(BaseHTTPRequestHandler):
    """Serves the files under a folder that names how to go wrong."""

    requests: list[str]
    released: threading.Event

    def do_GET(self) -> None:
        self.requests.append(self.path)
        way, name = unquote(self.path).strip("/").split("/")
        if way in ANSWERS:
            self.wfile.write(ANSWERS[way])
            self.close_connection = True
            return
        content = CONTENT[name] * (9 if way == "longer" else 1)
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
        elif way == "drip":
            with suppress(ConnectionError):
                while not self.released.wait(0.05):
                    self.wfile.write(content[:1])
        elif way == "truncated":
            self.wfile.write(content[:-10])
        elif way.startswith("wrong"):
            self.wfile.write(content[:-1] + b"?")
        else:
            with suppress(ConnectionError):  # what is too long is not read to its end
                self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """Keep quiet."""


@pytest.fixture
def server() -> Iterator[str]:
    Handler.requests, Handler.released = [], threading.Event()
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as httpd:
        thread = threading.Thread(target=httpd.serve_forever, args=(0.02,))
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
    monkeypatch.setattr(fashion_mnist, "SLOWEST", 1e9)
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
        ("longer", "has more than the 130000 bytes of Fashion-MNIST", 1),
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


@pytest.mark.parametrize("way", ANSWERS)
def test_no_answer_keeps_the_next_mirror_from_serving(server: str, way: str) -> None:
    with pytest.raises(PipelineError) as error:
        fashion_mnist.fetch([f"{server}/{way}"])
    assert all(len(line) < 500 and line.isprintable() for line in str(error.value).splitlines())
    fashion_mnist.fetch([f"{server}/{way}", f"{server}/right"])
    assert raw() == CONTENT


# None of them is a place that could be asked at all.
IMPOSSIBLE = [
    "http://",
    "http://[",
    "http://a..b/c",
    "http://.a",
    "http://*/",
    "http://\ud800/",
    "http://" + "a" * 70 + ".invalid",
    "http://host:port",
    "http://host:99999",
    "http://\u2100.invalid",
    "http://a b",
    "https://\0",
    "ftp://127.0.0.1/",
    "\0",
    "\udcff",
    "a" * 5000,
    "~nobody\n",
    "/dev/null",
]


@pytest.mark.parametrize("mirror", IMPOSSIBLE)
def test_an_impossible_mirror_gives_its_reason_and_the_next_serves(
    server: str, mirror: str
) -> None:
    with pytest.raises(PipelineError) as error:
        fashion_mnist.fetch([mirror])
    lines = str(error.value).split("\n")
    assert len(lines) == 4
    assert ": " in lines[2]
    assert all(line.isprintable() for line in lines)
    fashion_mnist.fetch([mirror, f"{server}/right"])
    assert raw() == CONTENT


def test_a_drip_ends_at_the_deadline(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fashion_mnist, "DEADLINE", 1.0)
    with pytest.raises(PipelineError, match=f"{server}/drip: took more than 1 s"):
        fashion_mnist.fetch([f"{server}/drip"])
    assert Handler.requests == [f"/drip/{NAME}"]
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)


def test_what_a_server_says_cannot_control_the_terminal(server: str) -> None:
    with pytest.raises(PipelineError) as error:
        fashion_mnist.fetch([f"{server}/escape"])
    assert "answered 404 \\x1b]0;owned\\x07\\x1b[31m" in str(error.value)


@pytest.mark.parametrize(
    "address", ["user:secret@{}", "secret@{}", "user:se%40cret@{}", "user:secr/et@{}"]
)
def test_no_password_is_printed(
    server: str, address: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(PipelineError) as error:
        fashion_mnist.fetch([server.replace("://", "://" + address.format("")) + "/404"])
    port = server.rpartition(":")[2]
    assert f"http://127.0.0.1:{port}/404: " in str(error.value)
    assert "cret" not in str(error.value)
    if "/" not in address:
        fashion_mnist.fetch([server.replace("://", "://" + address.format("")) + "/right"])
        assert f"from http://127.0.0.1:{port}/right" in capsys.readouterr().out


def test_a_version_in_a_path_is_no_password(server: str) -> None:
    with pytest.raises(PipelineError, match=f"{server}/wrong@main: "):
        fashion_mnist.fetch([f"{server}/wrong@main"])


@pytest.mark.parametrize("kind", ["wrong file", "FIFO", "nothing"])
def test_a_chosen_mirror_is_not_passed_over_in_silence(
    server: str,
    kind: str,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    monkeypatch.setenv(fashion_mnist.MIRROR_VARIABLE, str(folder))
    if kind == "wrong file":
        (folder / NAME).write_bytes(b"mine")
    elif kind == "FIFO":
        os.mkfifo(folder / NAME)
    fashion_mnist.fetch([f"{server}/right"])
    reason = "has 4 bytes, not the 130000 of" if kind == "wrong file" else "does not have the file"
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith(f"{NAME}: not from FASHION_MNIST_MIRROR: {folder}: {reason}")
    assert lines[1] == f"{NAME}: from {server}/right"
    assert raw() == CONTENT


def test_a_file_of_ones_own_is_not_replaced_in_silence(
    server: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("data/raw").mkdir(parents=True)
    own = Path("data/raw", NAME)
    own.write_bytes(CONTENT[NAME][::-1])
    fashion_mnist.fetch([f"{server}/right"])
    line = capsys.readouterr().out.splitlines()[0]
    assert line.startswith(f"{own} has SHA-256 ")
    assert ": replacing it. Another data set goes into data/own" in line


def test_a_user_without_name_and_home_is_served() -> None:
    """As in a container that runs under any number."""
    if os.getuid() != 0:
        pytest.skip("only root can become another user")
    code = "import os; os.setuid(54321); print(list(fashion_mnist.local_places()))"
    command = [sys.executable, "-c", f"from pipeline.data import fashion_mnist; {code}"]
    env = {k: v for k, v in environment().items() if k not in ("HOME", "KERAS_HOME")}
    done = subprocess.run(command, cwd=ROOT, env=env, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


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
