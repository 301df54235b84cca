"""Bringing the recorded results up to date with what `results.yaml` asks for."""

import sys
from dataclasses import replace
from functools import partial

from pipeline.core.artifacts import write_json
from pipeline.core.errors import PipelineError
from pipeline.core.params_file import PARAMS_FILE
from pipeline.experiments.copies import checkout, data_in_reach
from pipeline.experiments.results import plain_keras
from pipeline.experiments.results.rows import ResultsSection, Row
from pipeline.experiments.results.table import Result, Table, hash_params, save_table, train_code
from pipeline.experiments.revisions import read, resolve
from pipeline.experiments.subprocesses import call
from pipeline.experiments.trials import executor
from pipeline.experiments.trials.executor import Cluster
from pipeline.experiments.trials.trial import Trial

RUN = "`python -m pipeline results --run` runs it"


def due(rows: list[Row], table: Table) -> list[Trial]:
    """Return what is not recorded yet, or with other parameters or code than the last commit's."""
    files = partial(read, commit="HEAD")
    code = train_code(files)
    trials = []
    for row in rows:
        params = hash_params(row.params(), files)
        for seed, trial in enumerate(row.trials()):
            known = table.get(trial.name)
            if known is None or (known.params, known.seed, known.code) != (params, seed, code):
                trials.append(trial)
    return trials


def run(sections: list[ResultsSection], table: Table, names: list[str], cluster: Cluster) -> bool:
    """Run what is due of the rows of these names, and add it to the table, saved after each.

    Where each experiment has this machine to itself, its time is known in K as well.

    Returns:
        Whether none failed.
    """
    rows = [row for section in sections for row in section.rows if row.name in names]
    trials = due(rows, table)
    alone = bool(trials) and cluster.workers == 1 and not cluster.scheduler
    before = plain_keras.seconds() if alone else None
    added, complete = [], True
    for outcome in executor.run(trials, "HEAD", cluster):
        name = outcome.trial.name
        if not outcome.commit:
            complete = False
            continue
        files = partial(read, commit=outcome.commit)
        result = Result.of(name, files, outcome.log, outcome.machine or "unknown")
        if outcome.new:
            result = replace(result, unit=before and round(before, 2))
            added.append(name)
        elif name in table and not table[name].differences(result):
            result = replace(table[name], code=result.code)  # it has the times of then
        table[name] = result
        save_table(sections, table)  # now: this may be interrupted
    if before and added:
        after = plain_keras.seconds()
        print(
            f"K, what plain Keras takes for the default: {before:.1f} s before, {after:.1f} after"
        )
        for name in added:
            table[name] = replace(table[name], unit=round((before + after) / 2, 2))
    return complete


def check(row: Row, table: Table) -> list[str]:
    """Run seed 0 of a row again, by the last commit, and update the row if it agrees.

    Returns:
        The figures that differ, other than timings; none where the row was updated: it then
        counts as recorded with the code of that commit.
    """
    recorded = results_of(row, table)
    with checkout(resolve("HEAD")) as folder:
        write_json(folder / PARAMS_FILE, row.params() | {"seed": recorded[0].seed})  # it is YAML
        command = [sys.executable, "-m", "dvc", "repro", "evaluate"]
        if call(command, folder, data_in_reach()):
            raise PipelineError(f"{recorded[0].experiment} fails with the code of the last commit")
        again = Result.of(recorded[0].experiment, lambda path: (folder / path).read_text("utf-8"))
    differences = recorded[0].differences(again)
    if not differences:
        for result in recorded:
            table[result.experiment] = replace(result, code=again.code)
        first = table[again.experiment]
        table[again.experiment] = replace(
            first, model=again.model, history=again.history, operations=again.operations
        )
    return differences


def results_of(row: Row, table: Table) -> list[Result]:
    """Return the results of a row, by seed.

    Raises:
        PipelineError: one is missing, or is of other parameters or data.
    """
    expected = hash_params(row.params(), partial(read, commit=None))
    for seed, name in enumerate(row.names()):
        if name not in table:
            raise PipelineError(f"{name} is not recorded; {RUN}")
        if (table[name].params, table[name].seed) != (expected, seed):
            raise PipelineError(
                f"experiment {name} was run with other parameters or data; "
                f"`dvc exp remove` it, then {RUN}"
            )
    return [table[name] for name in row.names()]
