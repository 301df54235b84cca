"""Queue or run the current parameters, or presets, under several seeds, as DVC experiments."""

import argparse
from typing import Any

from pipeline.commands import _cluster
from pipeline.core.dvc_cache import open_repo
from pipeline.core.errors import PipelineError
from pipeline.core.params_file import PARAMS_FILE, load_yaml
from pipeline.experiments import presets
from pipeline.experiments.revisions import check_not_shallow, experiments
from pipeline.experiments.trials import executor
from pipeline.experiments.trials.trial import Trial
from pipeline.experiments.workspace import check_queue

MOST = 1_000  # seeds: each is a commit and a training


def configure(parser: argparse.ArgumentParser) -> None:
    """Take how many seeds, presets, other parameters to set, and a name."""
    parser.add_argument("count", metavar="N", type=int, help="how many: seeds 0 to N-1")
    parser.add_argument(
        "--preset",
        metavar="NAME[,NAME...]",
        help="use these presets, each under all seeds, instead of the current parameters",
    )
    parser.add_argument(
        "-S",
        "--set-param",
        metavar="NAME=VALUE",
        action="append",
        default=[],
        help="set another parameter, as for `dvc exp run`; may be given several times",
    )
    parser.add_argument(
        "--name", help="what the experiments' names start with, before the seed (default: random)"
    )
    parser.add_argument(
        "--run",
        action="store_true",
        help="run them now, as trials of the last commit, in place of DVC's queue",
    )
    _cluster.configure(parser)


def execute(arguments: argparse.Namespace) -> int:
    """Queue the experiments and say what to do next."""
    if not 1 <= arguments.count <= MOST:
        raise PipelineError(f"N is {arguments.count}; it has to be 1 to {MOST:,}")
    cluster = _cluster.cluster(arguments, arguments.run)
    check_not_shallow()
    named = arguments.preset is not None
    chosen = list(dict.fromkeys(arguments.preset.split(","))) if named else [None]
    for preset in chosen:
        _check_params(preset, arguments.set_param)
    trials = []
    for preset, prefix in zip(chosen, _prefixes(arguments.name, chosen), strict=True):
        settings = [*(presets.find(preset).settings() if preset else []), *arguments.set_param]
        for seed in range(arguments.count):
            trials.append(Trial(f"{prefix}-{seed}", (*settings, f"seed={seed}")))
    status, name = 0, trials[0].name
    if arguments.run:
        outcomes = list(executor.run(trials, "HEAD", cluster))
        status = int(any(outcome.error for outcome in outcomes))
        # One that was run before has the name that it got then.
        names = {commit: name for name, commit in experiments()}
        name = next((names[outcome.commit] for outcome in outcomes if outcome.commit), "")
    else:
        _queue(trials)
    if name:
        print(
            "Compare them, by any of their names, with the seeds of another run, BASE:\n"
            f"    python -m pipeline compare --seeds BASE {name}"
        )
    return status


def _queue(trials: list[Trial]) -> None:
    check_queue()
    with open_repo() as repo:
        _check_free([trial.name for trial in trials], repo.experiments.celery_queue)
        for trial in trials:
            repo.experiments.run(queue=True, name=trial.name, params=list(trial.settings))
    print(
        f"Queued {', '.join(trial.name for trial in trials)}. Run them, here two at a time:\n"
        "    dvc queue start -j 2"
    )


def _prefixes(name: str | None, chosen: list[str | None]) -> list[str]:
    """Return what the names of the experiments of each preset start with."""
    from dvc.repo.experiments.utils import gen_random_name

    if chosen == [None] or (name and len(chosen) == 1):
        return [name or gen_random_name()]
    return [f"{name}-{preset}" if name else str(preset) for preset in chosen]


def _check_params(preset: str | None, settings: list[str]) -> None:
    """Refuse what the stages would refuse, before it is queued."""
    params = presets.with_settings(load_yaml(PARAMS_FILE), preset, settings)
    try:
        presets.check(params)
    except PipelineError as error:
        raise PipelineError(f"preset {preset}: {error}" if preset else str(error)) from None


def _check_free(names: list[str], queue: Any) -> None:
    # DVC would queue a name again, and lose the second experiment at its end.
    taken = {name for name, _ in experiments()}
    taken |= {entry.name for entry in (*queue.iter_queued(), *queue.iter_active())}
    if found := [name for name in names if name in taken]:
        raise PipelineError(f"{', '.join(found)}: there already; choose another --name")
