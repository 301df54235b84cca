"""The arguments that say where many trials run."""

import argparse

from pipeline.core.errors import PipelineError
from pipeline.experiments.trials.executor import Cluster

SECURED = ("tls-ca-file", "tls-cert", "tls-key", "insecure")  # what is about a scheduler


def configure(parser: argparse.ArgumentParser) -> None:
    """Take the arguments."""
    group = parser.add_argument_group("where it runs")
    group.add_argument(
        "--workers",
        metavar="N",
        type=int,
        help="how many trials at a time on this machine (default: as cores and memory allow)",
    )
    group.add_argument(
        "--scheduler", metavar="ADDRESS", help="run on your Dask cluster, such as tls://head:8786"
    )
    for name, what in (
        ("ca-file", "certificate of the authority that signed the others"),
        ("cert", "certificate of this machine"),
        ("key", "its private key"),
    ):
        group.add_argument(f"--tls-{name}", metavar="FILE", help=f"for tls://: {what}")
    group.add_argument(
        "--insecure",
        action="store_true",
        help="allow a scheduler on another machine without TLS: whoever reaches its port can then "
        "run any code as you, here and on all workers",
    )


def cluster(arguments: argparse.Namespace, run: bool = True) -> Cluster:
    """Return where the trials are to run; without `run`, there are none.

    Raises:
        PipelineError: on fewer than one worker, or an argument has no effect beside the others.
    """
    scheduler, workers = arguments.scheduler, arguments.workers
    if workers is not None and workers < 1:
        raise PipelineError(f"--workers is {workers}; it has to be at least 1")
    if scheduler == "":
        raise PipelineError("--scheduler is empty; give an address, such as tls://head:8786")
    if scheduler and workers:
        raise PipelineError("--workers is for this machine; how many a --scheduler has, it knows")
    secured = [f"--{name}" for name in SECURED if getattr(arguments, name.replace("-", "_"))]
    if scheduler is None and secured:
        raise PipelineError(f"{', '.join(secured)}: no effect without --scheduler")
    if not run and (scheduler or workers):
        option = "--scheduler" if scheduler else "--workers"
        raise PipelineError(f"{option}: no effect without --run")
    files = {
        "tls_ca_file": arguments.tls_ca_file,
        "tls_client_cert": arguments.tls_cert,
        "tls_client_key": arguments.tls_key,
    }
    return Cluster(
        scheduler,
        workers,
        arguments.insecure,
        {name: file for name, file in files.items() if file},
    )
