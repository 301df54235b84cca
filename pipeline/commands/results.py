"""Write RESULTS.md from results.csv; with --run, run first what is missing there."""

import argparse

from pipeline.commands import _cluster
from pipeline.core.errors import PipelineError
from pipeline.core.lock import alone
from pipeline.core.params_file import PARAMS_FILE, load_yaml
from pipeline.experiments import presets
from pipeline.experiments.results import recording
from pipeline.experiments.results.rows import load_sections
from pipeline.experiments.results.table import PAGE, TABLE, load_table, save_table
from pipeline.experiments.revisions import check_not_shallow
from pipeline.experiments.trials.executor import Cluster


def configure(parser: argparse.ArgumentParser) -> None:
    """Take the rows to check."""
    parser.add_argument(
        "--check",
        metavar="ROW",
        nargs="+",
        default=[],
        help="run seed 0 of these rows again, with the code of the last commit, and take them over "
        "where every figure except the timings is the same",
    )
    parser.add_argument(
        "--run",
        metavar="ROW",
        nargs="*",
        help="first run these rows (default: all) where they are not recorded yet, or with other "
        "parameters or code than those of the last commit; only with --workers 1 are their times "
        "comparable, and given in K as well",
    )
    _cluster.configure(parser)


def execute(arguments: argparse.Namespace) -> int:
    """Bring the table up to date, and write the page; exit status 1 if a row failed or differs."""
    cluster = _cluster.cluster(arguments, run=arguments.run is not None)
    check_not_shallow()
    presets.check(load_yaml(PARAMS_FILE))
    with alone("results"):
        return _update(arguments.check, arguments.run, cluster)


def _update(checked: list[str], run: list[str] | None, cluster: Cluster) -> int:
    from pipeline.experiments.results import page  # with Matplotlib, which is slow to import

    sections, table = load_sections(), load_table()
    rows = {row.name: row for section in sections for row in section.rows}
    named = [*checked, *(run or [])]
    if unknown := [name for name in named if name not in rows]:
        raise PipelineError(f"{', '.join(unknown)}: not a row; there are {', '.join(rows)}")
    status = 0
    for name in checked:
        differences = recording.check(rows[name], table)
        save_table(sections, table)  # now: this may be interrupted
        print(f"{name}: {'; '.join(differences) or 'the same; row updated'}", flush=True)
        status |= bool(differences)
    if run is not None:
        status |= not recording.run(sections, table, run or list(rows), cluster)
    save_table(sections, table)
    page.write(sections, table)
    print(f"{TABLE} and {PAGE} are written")
    return status
