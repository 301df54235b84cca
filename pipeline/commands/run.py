"""Run the whole pipeline, on synthetic data where Fashion-MNIST is out of reach."""

import argparse
import json
import sys
from pathlib import Path

from pipeline.core.artifacts import write_json
from pipeline.core.errors import PipelineError
from pipeline.core.lock import alone
from pipeline.core.params_file import PARAMS_FILE, load_yaml, select
from pipeline.data.dataset import Source, label
from pipeline.experiments.copies import copy_sources, reachable
from pipeline.experiments.subprocesses import call
from pipeline.experiments.workspace import check_not_locked, check_queue

SYNTHETIC = Path("synthetic-run")


def configure(parser: argparse.ArgumentParser) -> None:
    """Take no arguments."""


def execute(arguments: argparse.Namespace) -> int:  # noqa: ARG001
    """Reproduce the pipeline and say where the results are."""
    try:
        check_queue()
    except PipelineError as error:  # which this command does not need
        print(f"note: {error}", file=sys.stderr)
    with alone("run") as lock:
        check_not_locked()
        params = load_yaml(PARAMS_FILE)
        data = select(params, ["data.source", "data.mirrors"])["data"]
        folder, source = Path(), data.get("source")
        status = _reproduce(folder, lock)
        if status and source == "fashion-mnist" and not reachable(data.get("mirrors")):
            _announce()
            folder, source = SYNTHETIC, "synthetic"
            copy_sources(folder)
            params["data"]["source"] = source
            write_json(folder / PARAMS_FILE, params)  # JSON is YAML
            status = _reproduce(folder, lock)
        if not status:
            _summarise(folder, source)
        return status


def _reproduce(folder: Path, lock: int) -> int:
    command = [sys.executable, "-m", "dvc", "repro"]
    # If this process is killed, the lock holds until DVC has ended.
    return call(command, folder, keep_open=[lock])


def _announce() -> None:
    print(
        "\nFashion-MNIST cannot be fetched (see above). Running on SYNTHETIC images instead:\n"
        "nothing below says how good the model is on Fashion-MNIST. It runs in a copy of the\n"
        "project, synthetic-run/: your parameters and results stay as they are. Run again once a\n"
        "mirror is in reach. To go on without one, set data.source to synthetic in params.yaml.\n",
        flush=True,
    )


def _summarise(folder: Path, source: Source) -> None:
    test = json.loads((folder / "metrics/evaluate.json").read_text(encoding="utf-8"))["test"]
    report = (folder / "plots/report.html").resolve()
    print(
        f"\nTest accuracy {test['accuracy']:.4f}, 95 % interval "
        f"{test['accuracy_low']:.4f} to {test['accuracy_high']:.4f}{label(source)}.\n"
        f"What it does well and where it fails: {report.as_uri()}\n"
        f"Figures are in {folder / 'plots'}, metrics in {folder / 'metrics'}; "
        "`dvc metrics show` and `dvc plots show` show them there the way DVC does."
    )
