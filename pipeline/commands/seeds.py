"""Queue the current parameters, or presets, under several seeds, as DVC experiments."""

import argparse

from pipeline.core.errors import PipelineError
from pipeline.core.params import PARAMS_FILE, load_yaml
from pipeline.experiments import presets
from pipeline.experiments.revisions import check_not_shallow, experiments
from pipeline.experiments.workspace import check_queue


def configure(parser: argparse.ArgumentParser) -> None:
    """Take how many seeds, presets, other parameters to set, and a name."""
    parser.add_argument("count", metavar="N", type=int, help="how many: seeds 0 to N-1")
    parser.add_argument(
        "--preset",
        metavar="NAME[,NAME...]",
        help="use these presets, each under all seeds, not the current parameters",
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
        "--name", help="what the experiments' names start with, before the seed (made up)"
    )


def execute(arguments: argparse.Namespace) -> int:
    """Queue the experiments and say what to do next."""
    if arguments.count < 1:
        raise PipelineError(f"N is {arguments.count}; it has to be 1 or more")
    check_not_shallow()
    check_queue()
    # Slow to import, and not every command needs them.
    from dvc.exceptions import DvcException
    from dvc.repo import Repo
    from hydra.errors import HydraException

    chosen = arguments.preset.split(",") if arguments.preset else [None]
    prefixes = _prefixes(arguments.name, chosen)
    names = [f"{prefix}-{seed}" for prefix in prefixes for seed in range(arguments.count)]
    try:
        _check_settings(arguments.set_param)
        for preset in chosen:
            _check_params(preset, arguments.set_param)
        with Repo() as repo:
            queue = repo.experiments.celery_queue
            waiting = (*queue.iter_queued(), *queue.iter_active())
            _check_free(names, [entry.name for entry in waiting])
            for preset, prefix in zip(chosen, prefixes, strict=True):
                base = presets.find(preset).settings() if preset else []
                for seed in range(arguments.count):
                    settings = [*base, *arguments.set_param, f"seed={seed}"]
                    repo.experiments.run(queue=True, name=f"{prefix}-{seed}", params=settings)
    except (DvcException, HydraException) as error:
        # DVC says that a setting is wrong, its cause why, and after that where else to fix it.
        reason = str(error.__cause__ or error).splitlines()[0]
        raise PipelineError(f"DVC cannot queue this: {reason}") from None
    print(
        f"Queued {', '.join(names)}. Run them, here two at a time:\n"
        "    dvc queue start -j 2\n"
        "Then compare them, by any of their names, with the seeds of another run, here of main:\n"
        f"    python -m pipeline compare --seeds main {names[0]}"
    )
    return 0


def _prefixes(name: str | None, chosen: list[str | None]) -> list[str]:
    """Return what the names of the experiments of each preset start with."""
    from dvc.repo.experiments.utils import gen_random_name

    if chosen == [None] or (name and len(chosen) == 1):
        return [name or gen_random_name()]
    return [f"{name}-{preset}" if name else str(preset) for preset in chosen]


def _check_settings(settings: list[str]) -> None:
    from dvc.utils.cli_parse import to_path_overrides
    from dvc.utils.hydra import to_hydra_overrides

    for overrides in to_path_overrides(settings).values():
        for override in to_hydra_overrides(overrides):
            if override.key_or_group == "seed":
                raise PipelineError(f"--set-param {override.input_line}: N is what sets the seeds")
            if override.is_sweep_override():
                raise PipelineError(
                    f"--set-param {override.input_line} has several values; "
                    "queue the seeds of each by itself"
                )


def _check_params(preset: str | None, settings: list[str]) -> None:
    """Refuse what the stages would refuse, before it is queued."""
    params = presets.with_settings(load_yaml(PARAMS_FILE), preset, settings)
    try:
        presets.check(params)
    except PipelineError as error:
        raise PipelineError(f"preset {preset}: {error}" if preset else str(error)) from None


def _check_free(names: list[str], queued: list[str | None]) -> None:
    # DVC would queue a name again, and lose the second experiment at its end.
    taken = sorted({name for name, _ in experiments()}.union(filter(None, queued)) & set(names))
    if taken:
        raise PipelineError(f"{', '.join(taken)}: there already; choose another --name")
