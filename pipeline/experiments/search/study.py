"""Searching for parameters: Optuna proposes trials in batches, and each is run as an experiment.

A batch is a function of the search file and of what the batches before it gave: however many run
at once, however fast, and however often the search is killed, trials and winner are the same.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import optuna
from optuna.distributions import FloatDistribution
from optuna.exceptions import StorageInternalError
from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial, TrialState, create_trial
from sqlalchemy.exc import DatabaseError

from pipeline.core.errors import PipelineError, one_line
from pipeline.core.params_file import PARAMS_FILE, parse_yaml
from pipeline.experiments import presets
from pipeline.experiments.code_hash import short_hash
from pipeline.experiments.presets import Preset
from pipeline.experiments.revisions import experiments, read
from pipeline.experiments.runs import Run
from pipeline.experiments.search.space import Choice, Search, load
from pipeline.experiments.trials.trial import TRAINED, Outcome, Trial

FOLDER = Path(".dvc/tmp/search")
DIGITS = 4  # significant ones of a proposed number: enough, and easy to read

Execute = Callable[[Sequence[Trial]], Iterator[Outcome]]
Scores = dict[str, float]  # metrics by their dotted names

optuna.logging.set_verbosity(optuna.logging.WARNING)


@dataclass(frozen=True)
class Study:
    """A search on a commit, and what is known of it.

    Attributes:
        search: what its file says.
        presets: those that it is about, by name.
        settings: of all trials, as for `--set-param`.
        record: the trials, each with its value after so many epochs as intermediate values. Their
            user attributes are `commit` (the experiment's), `error` (why it failed), and
            `processor_seconds ...` (what each training took).
        storage: where that is kept.
        execute: runs trials.
    """

    search: Search
    presets: dict[str, Preset]
    settings: tuple[str, ...]
    record: optuna.Study
    storage: RDBStorage
    execute: Execute

    @property
    def name(self) -> str:
        """The study's name, with which those of its experiments begin."""
        return self.record.study_name

    def batches(self) -> Iterator[None]:
        """Run what is missing of the search, and pause after each batch."""
        while len(told := self.told()) < self.search.trials:
            proposed = propose(self.search, told)
            there = len(self.record.trials) - len(told)  # where it was killed in this batch
            for trial in proposed[there:]:
                self.record.add_trial(trial)
            self._run_batch(range(len(told), len(told) + len(proposed)))
            yield

    def told(self) -> list[FrozenTrial]:
        """Return the trials of the batches that are over."""
        trials = self.record.trials
        running = [trial.number for trial in trials if not trial.state.is_finished()]
        complete = min(running, default=len(trials)) // self.search.batch
        return trials[: complete * self.search.batch]

    def ranking(self) -> list[FrozenTrial]:
        """Return the complete trials, the best first."""
        complete = self.record.get_trials(states=[TrialState.COMPLETE])
        trials = {trial.number: trial for trial in complete}
        values = {number: trial.values[0] for number, trial in trials.items()}
        return [trials[number] for number in self._sorted(values)]

    def names(self) -> dict[int, str]:
        """Return the names of the trials' last experiments; what was there before keeps its own."""
        known = {commit: name for name, commit in experiments()}
        return {
            trial.number: known.get(trial.user_attrs.get("commit", ""), self._experiment(trial))
            for trial in self.record.trials
        }

    def differences(self, trial: FrozenTrial) -> str:
        """Return in what parameters a trial differs from its preset, as `name=value, ...`."""
        preset, chosen = self.search.chosen(trial.params)
        defaults = self.presets[preset].values
        different = {name: value for name, value in chosen.items() if defaults[name] != value}
        return ", ".join(presets.settings(different)) or "nothing"

    def confirm(self, trial: FrozenTrial) -> dict[int, Scores]:
        """Run a trial again under seeds it was not chosen on, and return the metrics by seed.

        Raises:
            PipelineError: one of them fails.
        """
        own = parse_yaml(read(PARAMS_FILE, trial.user_attrs["commit"]), PARAMS_FILE)
        first = own["seed"] + 1
        name, settings = self._experiment(trial), self._settings(trial)
        seeds = {
            Trial(f"{name}-seed-{seed}", (*settings, f"seed={seed}")): seed
            for seed in range(first, first + self.search.confirmation_seeds)
        }
        found = {}
        for outcome in self.execute(list(seeds)):
            if outcome.commit is None:
                raise PipelineError(f"{outcome.trial.name} failed: {outcome.error}")
            found[seeds[outcome.trial]] = _scores(outcome.trial.name, outcome.commit)
        return dict(sorted(found.items()))

    def _experiment(self, trial: FrozenTrial) -> str:
        return f"{self.name}-{trial.number}"

    def _run_batch(self, numbers: Sequence[int]) -> None:
        """Run trials, and tell Optuna in order what came of them."""
        going = numbers
        if pruning := self.search.pruning:
            for epochs in pruning.epochs:
                best = self._sorted(self._train(going, epochs))
                going = sorted(best[: max(1, len(best) // pruning.reduction_factor)])
        values = self._train(going)
        for trial in self.record.trials[numbers[0] : numbers[-1] + 1]:
            if trial.state.is_finished():  # it was killed while it told
                continue
            if "error" in trial.user_attrs:
                self.record.tell(trial.number, state=TrialState.FAIL)
            elif trial.number in values:
                self.record.tell(trial.number, values[trial.number])
            else:
                self.record.tell(trial.number, state=TrialState.PRUNED)

    def _train(self, numbers: Sequence[int], epochs: int | None = None) -> dict[int, float]:
        """Return the metric of each trial after so many epochs, or all; without the failed ones."""
        suffix = f"-at-{epochs}" if epochs else ""
        before, missing, steps = self.record.trials, {}, {}
        for trial in (before[number] for number in numbers):
            steps[trial.number] = epochs or self._epochs(trial)
            if steps[trial.number] in trial.intermediate_values or "error" in trial.user_attrs:
                continue
            name = self._experiment(trial) + suffix
            missing[Trial(name, self._settings(trial, epochs))] = trial.number
        for outcome in self.execute(list(missing)) if missing else ():
            number = missing[outcome.trial]
            self._note(number, steps[number], outcome)
        after = self.record.trials
        known = {number: after[number].intermediate_values for number in numbers}
        return {n: values[steps[n]] for n, values in known.items() if steps[n] in values}

    def _note(self, number: int, epochs: int, outcome: Outcome) -> None:
        """Record what came of a training, its value last: then it is not run again."""
        study = self.storage.get_study_id_from_name(self.name)
        trial = self.storage.get_trial_id_from_study_id_trial_number(study, number)
        if outcome.commit is None:
            self.storage.set_trial_user_attr(trial, "error", outcome.error)
            return
        scores = _scores(outcome.trial.name, outcome.commit)
        if self.search.metric not in scores:
            raise PipelineError(
                f"{outcome.trial.name} has no {self.search.metric}: there are no validation images"
            )
        if times := TRAINED.search(outcome.log):
            key = f"processor_seconds of {epochs} epochs"
            self.storage.set_trial_user_attr(trial, key, float(times[2]))
        self.storage.set_trial_user_attr(trial, "commit", outcome.commit)
        self.storage.set_trial_intermediate_value(trial, epochs, scores[self.search.metric])

    def _settings(self, trial: FrozenTrial, epochs: int | None = None) -> tuple[str, ...]:
        preset, chosen = self.search.chosen(trial.params)
        values = chosen | ({"train.epochs": epochs} if epochs else {})
        return (*self.settings, *self.presets[preset].settings(), *presets.settings(values))

    def _epochs(self, trial: FrozenTrial) -> int:
        preset, chosen = self.search.chosen(trial.params)
        return int(chosen.get("train.epochs", self.presets[preset].train["epochs"]))

    def _sorted(self, values: dict[int, float]) -> list[int]:
        """Return the numbers of trials, the best first, and of equal ones the first."""
        sign = -1 if self.search.direction == "maximize" else 1
        return sorted(values, key=lambda number: (sign * values[number], number))


def open_study(path: Path, commit: str, settings: tuple[str, ...], execute: Execute) -> Study:
    """Return the study of a search file on a commit, as far as it has come.

    Raises:
        PipelineError: the file is not as it should be.
    """
    if not re.fullmatch(r"[\w-]+", path.stem):
        raise PipelineError(
            f"{path}: experiments are named after it, so its name may have letters, digits, - and _"
        )
    search = load(path)
    # More trials go on with the same study; anything else that is different is another one.
    content = search.model_dump(exclude={"trials", "confirmation_seeds"})
    used = {name: presets.find(name) for name in search.space}
    about = [content, commit, settings, [preset.settings() for preset in used.values()]]
    name = f"{path.stem}-{short_hash(about)[:6]}"
    FOLDER.mkdir(parents=True, exist_ok=True)
    file = FOLDER / "studies.db"
    try:
        storage = RDBStorage(f"sqlite:///{file}")
        new = partial(
            optuna.create_study, storage=storage, study_name=name, direction=search.direction
        )
        record = new(load_if_exists=True)
    except (DatabaseError, StorageInternalError) as error:
        raise PipelineError(
            f"{file} cannot be used: {one_line(error)}; where it is damaged, remove it: the search "
            "begins anew, and takes over the experiments that are there"
        ) from None
    if not any(trial.intermediate_values for trial in record.trials):
        # What made all trials fail may be over; one that fails among others stays as it is.
        optuna.delete_study(study_name=name, storage=storage)
        record = new()
    study = Study(search, used, settings, record, storage, execute)
    if (there := len(study.told())) > search.trials:
        raise PipelineError(f"{path}: trials is {search.trials}, but {there} have been run already")
    return study


def propose(search: Search, told: Sequence[FrozenTrial]) -> list[FrozenTrial]:
    """Return the trials of the batch that comes after those of the batches `told`.

    They are asked for in a study of their own in memory, by a sampler of their own: the state of a
    sampler cannot be stored.
    """
    batch = len(told) // search.batch
    study = optuna.create_study(direction=search.direction, sampler=_sampler(search, batch))
    study.add_trials(told)
    for _ in range(search.batch):
        search.suggest(study.ask())
    return [_rounded(trial) for trial in study.trials[len(told) :]]


def _scores(name: str, commit: str) -> Scores:
    metrics = Run(name, commit).metrics().by_name()
    return {key: value for key, value in metrics.items() if isinstance(value, float)}


def _sampler(search: Search, batch: int) -> optuna.samplers.BaseSampler:
    seed = int(np.random.SeedSequence([search.seed, batch]).generate_state(1)[0])
    match search.sampler:
        case "tpe":
            return optuna.samplers.TPESampler(seed=seed)
        case "random":
            return optuna.samplers.RandomSampler(seed=seed)
        case "cma-es":
            return optuna.samplers.CmaEsSampler(seed=seed, warn_independent_sampling=False)
        case "grid":
            (space,) = search.space.values()
            choices = {n: r.texts() for n, r in space.items() if isinstance(r, Choice)}
            # It goes through the points in an order of its seed, by the numbers of the trials.
            return optuna.samplers.GridSampler(choices, seed=search.seed)


def _rounded(trial: FrozenTrial) -> FrozenTrial:
    params = dict(trial.params)
    for name, found in trial.distributions.items():
        if isinstance(found, FloatDistribution):
            rounded = float(f"{params[name]:.{DIGITS}g}")
            params[name] = min(max(rounded, found.low), found.high)
    return create_trial(
        state=TrialState.RUNNING,
        params=params,
        distributions=trial.distributions,
        system_attrs=trial.system_attrs,
    )
