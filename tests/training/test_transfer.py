"""Fetching the weights of a known network."""

import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.project import ROOT, environment

FETCH = """
import sys
from pipeline.core import process
from pipeline.training import transfer

transfer.PUBLISHED["ResNet50V2"] = sys.argv[1]
with process.tidied_up():
    transfer._published("ResNet50V2")
"""


class Dripping(BaseHTTPRequestHandler):
    """Sends a file that takes a minute."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "1200000")
        self.end_headers()
        with suppress(ConnectionError):
            for _ in range(1200):
                self.wfile.write(b"x" * 1000)
                time.sleep(0.05)


@pytest.mark.exhaustive
def test_a_fetch_that_is_cut_off_leaves_nothing(tmp_path: Path) -> None:
    models = tmp_path / ".keras/models"
    with ThreadingHTTPServer(("127.0.0.1", 0), Dripping) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        with subprocess.Popen(
            [sys.executable, "-c", FETCH, f"http://127.0.0.1:{server.server_port}/weights.h5"],
            cwd=ROOT,
            env=environment() | {"HOME": str(tmp_path)},
        ) as process:
            while not list(models.glob("weights.h5.*")):
                assert process.poll() is None
                time.sleep(0.05)
            process.terminate()
            assert process.wait(60) == 128 + signal.SIGTERM
        server.shutdown()
    assert list(models.iterdir()) == []
