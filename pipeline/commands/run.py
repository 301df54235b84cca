"""Run the whole pipeline, on synthetic data where Fashion-MNIST is out of reach."""

import argparse
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pipeline.core.artifacts import write_bytes
from pipeline.core.errors import PipelineError
from pipeline.core.lock import alone
from pipeline.core.params import PARAMS_FILE, load_yaml, select
from pipeline.data import fashion_mnist
from pipeline.data.dataset import Source, label

PARAMS = Path(PARAMS_FILE)
# Is there while the parameters name the synthetic source on behalf of the user, and after a run
# that was killed at it.
STANDING_IN = Path(".dvc/tmp/synthetic-stands-in")


def configure(parser: argparse.ArgumentParser) -> None:
    """Take no arguments."""


def execute(arguments: argparse.Namespace) -> int:  # noqa: ARG001
    """Reproduce the pipeline and say where the results are."""
    with alone("run"):
        _restore_source()
        data = select(load_yaml(PARAMS_FILE), ["data.source", "data.mirrors"])["data"]
        status = _reproduce()
        if status and data.get("source") == "fashion-mnist" and not _reachable(data.get("mirrors")):
            data["source"] = "synthetic"
            _announce()
            with _synthetic_source():
                status = _reproduce()
        if not status:
            _summarise(data["source"])
        return status


def _reproduce() -> int:
    # The stages run `python`, which must be this one, whether or not the environment is active.
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return subprocess.run(
        [sys.executable, "-m", "dvc", "repro"], env=os.environ | {"PATH": path}, check=False
    ).returncode


def _reachable(mirrors: object) -> bool:
    """Tell whether the data can be had, so that something else must have failed."""
    if not isinstance(mirrors, list):
        return True  # it is this that has failed, and the stage has said so
    try:
        fashion_mnist.fetch(mirrors)
    except fashion_mnist.UnreachableError:
        return False
    return True


def _announce() -> None:
    print(
        "\n"
        "**********************************************************************\n"
        "* Fashion-MNIST cannot be fetched (see above).                       *\n"
        "* Running on SYNTHETIC data instead, drawn by this project: nothing  *\n"
        "* below says how good the model is on Fashion-MNIST.                 *\n"
        "* Run again once a mirror is in reach; there is nothing to clean up. *\n"
        "* To go on working without one, set data.source to synthetic in      *\n"
        "* params.yaml.                                                       *\n"
        "**********************************************************************\n",
        flush=True,
    )


@contextmanager
def _synthetic_source() -> Iterator[None]:
    """Let `params.yaml` name the synthetic source for as long as the block runs."""
    STANDING_IN.touch()
    _replace_source("fashion-mnist", "synthetic")
    try:
        yield
    finally:
        _restore_source()


def _restore_source() -> None:
    if STANDING_IN.exists():
        if "source: synthetic" in PARAMS.read_text(encoding="utf-8"):
            _replace_source("synthetic", "fashion-mnist")
        STANDING_IN.unlink()


def _replace_source(old: Source, new: Source) -> None:
    """Change the one word, and nothing else that the user may have written meanwhile."""
    changed, count = re.subn(
        rf"(\bsource:\s*){old}\b".encode(), rf"\g<1>{new}".encode(), PARAMS.read_bytes()
    )
    if count != 1:
        raise PipelineError(f"{PARAMS} says `source: {old}` in {count} places; mend it by hand")
    write_bytes(PARAMS, changed)


def _summarise(source: Source) -> None:
    test = json.loads(Path("metrics/evaluate.json").read_text(encoding="utf-8"))["test"]
    print(
        f"\nTest accuracy {test['accuracy']:.4f}, 95 % interval "
        f"{test['accuracy_low']:.4f} to {test['accuracy_high']:.4f}{label(source)}.\n"
        f"What it does well and where it fails: {Path('plots/report.html').resolve().as_uri()}\n"
        "Figures are in plots/, metrics in metrics/; `dvc metrics show` and `dvc plots show` "
        "show them the way DVC does."
    )
