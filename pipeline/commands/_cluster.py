"""The arguments that say where many trials run."""

import argparse

from pipeline.core.errors import PipelineError
from pipeline.experiments.trials.executor import Cluster


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


def cluster(arguments: argparse.Namespace) -> Cluster:
    """Return where the trials are to run.

    Raises:
        PipelineError: on fewer than one worker.
    """
    if arguments.workers is not None and arguments.workers < 1:
        raise PipelineError(f"--workers is {arguments.workers}; it has to be at least 1")
    files = {
        "tls_ca_file": arguments.tls_ca_file,
        "tls_client_cert": arguments.tls_cert,
        "tls_client_key": arguments.tls_key,
    }
    return Cluster(
        arguments.scheduler,
        arguments.workers,
        arguments.insecure,
        {name: file for name, file in files.items() if file},
    )
