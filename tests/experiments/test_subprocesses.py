"""What runs in a folder ends with the process that started it."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from tests.project import ROOT, environment

# A command that ignores the gentle signal, and says that it has begun.
CALL = """
import signal, sys
from pathlib import Path
from pipeline.experiments import subprocesses
signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
subprocesses.call("trap '' INT; echo $$ > begun; sleep 1000 & wait; wait", Path(sys.argv[1]))
"""


def test_a_second_signal_leaves_nothing_running(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", CALL, str(tmp_path)], cwd=ROOT, env=environment()
    )
    begun = tmp_path / "begun"
    while not begun.exists() or not begun.read_text():
        assert process.poll() is None
        time.sleep(0.05)
    group = int(begun.read_text())
    for _ in range(2):
        process.send_signal(signal.SIGTERM)
        time.sleep(0.5)
    assert process.wait(30) == 143
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return
        time.sleep(0.1)
    raise AssertionError("the command still runs")
