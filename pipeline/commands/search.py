"""Search for parameters that do better on the validation images."""

import argparse
from functools import partial
from pathlib import Path
from statistics import mean, stdev
from typing import TYPE_CHECKING

from pipeline.commands import _cluster
from pipeline.commands._table import print_table
from pipeline.core.errors import PipelineError
from pipeline.core.lock import alone
from pipeline.core.params_file import PARAMS_FILE, load_yaml
from pipeline.experiments import presets
from pipeline.experiments.copies import reachable
from pipeline.experiments.revisions import resolve
from pipeline.experiments.trials.executor import kept, run

if TYPE_CHECKING:
    from pipeline.experiments.search.study import Scores, Study

BEST = 5  # how many trials are listed


def configure(parser: argparse.ArgumentParser) -> None:
    """Take the search file, and where its trials run."""
    parser.add_argument(
        "file",
        nargs="?",
        type=Path,
        default=Path("search.yaml"),
        metavar="FILE",
        help="what to search, and how: see docs/search.md (default: search.yaml)",
    )
    _cluster.configure(parser)


def execute(arguments: argparse.Namespace) -> int:
    """Run what is missing of the search, and say what it found."""
    try:
        from pipeline.experiments.search import page
        from pipeline.experiments.search.study import open_study
    except ModuleNotFoundError as error:
        raise PipelineError(
            f"{error.name} is not installed; `make .venv/installed-search` installs it"
        ) from None
    presets.check(load_yaml(PARAMS_FILE))
    commit = resolve("HEAD")
    with alone("search"), kept(_cluster.cluster(arguments)) as cluster:
        run_trials = partial(run, revision=commit, cluster=cluster)
        study = open_study(arguments.file, commit, _data(), run_trials)
        for _ in study.batches():
            page.write(study, {})
        if not study.ranking():
            raise PipelineError(f"all trials of {study.name} failed: {page.PAGE} says why")
        _print_best(study)
        confirmed = study.confirm(study.ranking()[0])
        page.write(study, confirmed)
    _print_confirmed(study, confirmed)
    print(f"All of it: {page.PAGE.resolve().as_uri()}")
    return 0


def _data() -> tuple[str, ...]:
    """Return what makes trials run on synthetic images where Fashion-MNIST is out of reach."""
    data = load_yaml(PARAMS_FILE)["data"]
    if data["source"] != "fashion-mnist" or reachable(data["mirrors"]):
        return ()
    print(
        "Fashion-MNIST cannot be fetched: searching on SYNTHETIC images instead. The results say\n"
        "nothing about Fashion-MNIST; docs/parameters.md says where its files are looked for.\n",
        flush=True,
    )
    return ("data.source=synthetic",)


def _print_best(study: "Study") -> None:
    best, names = study.ranking(), study.names()
    print(f"\nThe best of {len(study.record.trials):,} trials, {len(best):,} of them complete:\n")
    rows = [
        [names[trial.number], preset, study.differences(trial), f"{trial.value:.4f}"]
        for trial in best[:BEST]
        for preset, _ in [study.search.chosen(trial.params)]
    ]
    print_table(["experiment", "preset", "differs from it in", study.search.metric], rows, left=3)
    print(f"\n    dvc exp apply {names[best[0].number]}\n", flush=True)


def _print_confirmed(study: "Study", confirmed: dict[int, "Scores"]) -> None:
    metric, chosen_for = study.search.metric, study.ranking()[0].value
    seeds = ", ".join(map(str, confirmed))
    print(
        f"The first of them again, under seeds that it was not chosen on ({seeds}):\n"
        f"{metric} {_spread(confirmed, metric)}, where it was chosen for {chosen_for:.4f};\n"
        f"test.accuracy {_spread(confirmed, 'test.accuracy')}.\n"
    )


def _spread(confirmed: dict[int, "Scores"], metric: str) -> str:
    values = [scores[metric] for scores in confirmed.values()]
    return f"{mean(values):.4f} ± {stdev(values):.4f}"
