"""What is measured: each group takes its commands in turn and gives rows of the table."""

import gzip
import itertools
import json
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median

from benchmarks.project import ROOT, Project
from pipeline.experiments.trials.trial import TRAINED

PEERS = ROOT / "benchmarks/peers"
KERAS = str(PEERS / "keras_script.py")  # runs in the project's own environment
STAGES = ("download", "preprocess", "train", "evaluate", "plot")
NETWORKS = ("cnn", "resnet")
SCALED = ("preprocess", "train", "evaluate")  # the stages whose cost grows with the images
SCALES = (1, 4, 10)  # of the number of images
COSTS = {"time": "µs", "memory": "KiB"}
EXPERIMENTS = 4  # in a queue
ONE_CORE = ("taskset", "--cpu-list", "0")
GRACE = 10  # seconds, in which the workers of the queue start


@dataclass(frozen=True)
class Row:
    """A row of the table.

    Attributes:
        what: was measured.
        against: what it is held against; empty where it is held against the target itself.
        unit: of the values.
        ours: a value for each round.
        theirs: the same of what it is held against.
        target: for the ratio of the medians, or for the median of ours; None where there is none.
        at_least: whether `target` is the least it has to be, and not the most.
    """

    what: str
    against: str
    unit: str
    ours: list[float]
    theirs: list[float]
    target: float | None
    at_least: bool = False

    @property
    def value(self) -> float:
        """What is held against the target."""
        return median(self.ours) / median(self.theirs) if self.theirs else median(self.ours)

    @property
    def met(self) -> bool:
        """Tell whether the target is met, if there is one."""
        if self.target is None:
            return True
        return self.value >= self.target if self.at_least else self.value <= self.target


@dataclass(frozen=True)
class Bench:
    """Where to measure, with which Python to run the peers, and how many times."""

    project: Project
    peers: Path
    runs: int

    def in_turn(self, *measures: Callable[[], float]) -> list[list[float]]:
        """Return the values of each measure; taken in turn, so that a slow spell meets them all."""
        rounds = [[measure() for measure in measures] for _ in range(self.runs)]
        return [list(values) for values in zip(*rounds, strict=True)]

    def peer(self, key: str, script: str, *arguments: str, prefix: tuple[str, ...] = ()) -> float:
        """Run a peer and return what it reports under `key`."""
        command = (*prefix, str(self.peers), str(PEERS / script), *arguments)
        return float(json.loads(self.project.run(*command).printed)[key])

    def repro_with(self, name: str, values: Iterator[object]) -> float:
        """Return the seconds of `dvc repro` after a parameter was set to the next of `values`."""
        self.project.set_params({name: next(values)})
        return self.project.dvc("repro").seconds


def fit(bench: Bench) -> Iterator[Row]:
    """Train the default recipe on all 60,000 images: the training alone."""
    bench.project.set_params({"preprocess.validation_fraction": 0.0})
    bench.project.dvc("repro", "preprocess")
    ours, keras, torch, jax, ours_single, jax_single = bench.in_turn(
        partial(_training, bench.project),
        lambda: float(json.loads(bench.project.python(KERAS).printed)["seconds"]),
        partial(bench.peer, "seconds", "torch_mlp.py"),
        partial(bench.peer, "seconds", "jax_mlp.py"),
        partial(_training, bench.project, prefix=ONE_CORE),
        partial(bench.peer, "seconds", "jax_mlp.py", prefix=ONE_CORE),
    )
    what = "training the default recipe: `fit` alone, compilation included"
    yield Row(what, "Keras, `model.fit(x, y, epochs=5)`", "s", ours, keras, 0.25)
    yield Row(what, "PyTorch, a loop with fused Adam", "s", ours, torch, 1.0)
    yield Row(what, "JAX, an epoch in a `lax.scan`, on two cores", "s", ours, jax, None)
    yield Row(f"{what}, on one core", "JAX, on one core", "s", ours_single, jax_single, 1.0)


def _training(project: Project, prefix: tuple[str, ...] = ()) -> float:
    trained = TRAINED.search(project.run(*prefix, sys.executable, "-m", "stages.train").printed)
    assert trained
    return float(trained[1])


def repro(bench: Bench) -> Iterator[Row]:
    """Run the pipeline by DVC: as a whole, after a change, and with nothing to do."""
    project = bench.project
    # New values each time: DVC knows the results of those it has seen.
    rates, counts = itertools.count(0.0011, 0.0001), itertools.count(13)
    whole, script, train, plot, nothing, status = bench.in_turn(
        partial(_from_raw_files, project),
        lambda: project.python(KERAS).seconds,
        partial(bench.repro_with, "train.learning_rate", rates),
        partial(bench.repro_with, "plot.mistakes", counts),
        lambda: project.dvc("repro").seconds,
        lambda: project.dvc("status").seconds,
    )
    single = "a single Keras script"
    yield Row("`dvc repro` of everything", single, "s", whole, script, 0.5)
    yield Row("`dvc repro`, `train.learning_rate` changed", single, "s", train, script, 0.4)
    yield Row("`dvc repro`, a plot parameter changed", "", "s", plot, [], 4.0)
    yield Row("`dvc repro`, nothing changed", "`dvc status`", "s", nothing, status, 1.3)


def _from_raw_files(project: Project) -> float:
    project.forget()
    return project.dvc("repro").seconds


def memory(bench: Bench) -> Iterator[Row]:
    """Run each stage by itself and take its peak."""
    measures = [partial(_peak, bench.project, stage) for stage in STAGES]
    for stage, peaks in zip(STAGES, bench.in_turn(*measures), strict=True):
        yield Row(f"peak memory of `{stage}`", "", "GiB", peaks, [], 1.2)


def _peak(project: Project, stage: str) -> float:
    if stage == "download":
        project.remove("data/raw")
    return project.python("-m", f"stages.{stage}").gibibytes


def growth(bench: Bench) -> Iterator[Row]:
    """Run stages on the data repeated, and reckon what each image costs."""
    rounds = [{scale: _costs(bench.project, scale) for scale in SCALES} for _ in range(bench.runs)]
    for stage, (cost, unit), scale in itertools.product(SCALED, COSTS.items(), SCALES[1:]):
        more, once = ([costs[n][stage, cost] for costs in rounds] for n in (scale, 1))
        what = f"{cost} an image, `{stage}`, {scale} times the images"
        # The time of `preprocess` is that of the memory in which the system keeps new files.
        target = None if (stage, cost) == ("preprocess", "time") else 1.1
        yield Row(what, "1 time", unit, more, once, target)
    for scale in SCALES[1:]:
        more, once = ([costs[n]["dd", "time"] for costs in rounds] for n in (scale, 1))
        what = f"time an image, `dd` of as many bytes as `preprocess` writes, {scale} times"
        yield Row(what, "1 time", "µs", more, once, None)


def _costs(project: Project, scale: int) -> dict[tuple[str, str], float]:
    """Return what an image costs in each stage, by `COSTS`, at `scale` times the images."""
    project.remove("data")
    project.python("-m", "stages.download")  # of which the four files are written over
    images = sum(_repeat(file, project.path / "data/raw", scale) for file in project.raw_files())
    costs = {}
    for stage in SCALED:
        done = project.python("-m", f"stages.{stage}")
        costs[stage, "time"] = done.seconds * 1e6 / images
        costs[stage, "memory"] = done.gibibytes * 2**20 / images
    size = sum(file.stat().st_size for file in (project.path / "data/processed").glob("*.npz"))
    written = project.path / "data/dd"
    done = project.run("dd", "if=/dev/zero", f"of={written}", "bs=1M", f"count={size >> 20}")
    written.unlink()
    return costs | {("dd", "time"): done.seconds * 1e6 / images}


def _repeat(file: Path, folder: Path, scale: int) -> int:
    """Write a file of labels or images `scale` times into `folder`; return how many labels."""
    content = gzip.decompress(file.read_bytes())
    header = 16 if "images" in file.name else 8  # magic number, count, and the size of an image
    count = int.from_bytes(content[4:8], "big") * scale
    # Bit by bit: a process starts with the peak memory of the one that starts it.
    with gzip.open(folder / file.name, "wb", compresslevel=1) as target:
        target.write(content[:4] + count.to_bytes(4, "big") + content[8:header])
        for _ in range(scale):
            target.write(content[header:])
    return count if "labels" in file.name else 0


def convolution(bench: Bench) -> Iterator[Row]:
    """Train the networks of two presets, here and in PyTorch; and check that they are the same."""
    for network in NETWORKS:
        bench.project.python("-m", "pipeline", "preset", network, "--force")
        bench.project.set_params(
            {"train.epochs": 4, "train.warmup_epochs": 1, "train.skip_easy": None}
        )
        here = _throughput(bench.project)["parameters"]
        there = bench.peer("parameters", "torch_conv.py", network)
        if here != there:
            raise SystemExit(f"{network} has {here} weights to train here, and {there} in PyTorch")
        ours, torch = bench.in_turn(
            lambda: _throughput(bench.project)["images_per_second"],
            partial(bench.peer, "images_per_second", "torch_conv.py", network),
        )
        what = f"training `{network}`, images a second"
        yield Row(what, "PyTorch, the same network", "1/s", ours, torch, 1.0, at_least=True)


def _throughput(project: Project) -> dict[str, float]:
    report: dict[str, float] = json.loads(
        project.python("-m", "benchmarks.throughput").printed.splitlines()[-1]
    )
    return report


def queue(bench: Bench) -> Iterator[Row]:
    """Run a queue of experiments with two workers, and one as long with one."""
    seeds = itertools.count(1)
    two, one = bench.in_turn(
        partial(experiments_a_minute, bench.project, 2, seeds),
        partial(experiments_a_minute, bench.project, 1, seeds),
    )
    what = "experiments a minute by two workers"
    yield Row(what, "by one worker", "1/min", two, one, 1.6, at_least=True)


def experiments_a_minute(project: Project, workers: int, seeds: Iterator[int]) -> float:
    """Return how many experiments of DVC's queue so many workers run in a minute."""
    values = ",".join(str(next(seeds)) for _ in range(EXPERIMENTS))
    project.dvc("exp", "run", "--queue", "--set-param", f"seed={values}")
    finished = _finished(project) + EXPERIMENTS
    started = time.perf_counter()
    project.dvc("queue", "start", "--jobs", str(workers))
    try:
        while _finished(project) < finished:
            time.sleep(0.1)
            needed = min(workers, finished - _finished(project))
            if time.perf_counter() > started + GRACE and _at_work(project) < needed:
                raise SystemExit("a worker of DVC's queue stopped early; measure again")
        minutes = (time.perf_counter() - started) / 60
        while _at_work(project):
            time.sleep(0.1)
    except BaseException:
        project.dvc("queue", "stop", "--kill")
        raise
    return EXPERIMENTS / minutes


def _finished(project: Project) -> int:
    """Count the experiments, without asking DVC: its workers may not stand that."""
    refs = project.run("git", "for-each-ref", "refs/exps/*/*/*")
    return len(refs.printed.splitlines())


def _at_work(project: Project) -> int:
    """Count the queue's workers that still run; they end when there is nothing to do."""
    workers = (project.path / ".dvc/tmp/exps/celery").glob("*.json")
    return sum(json.loads(worker.read_text())["returncode"] is None for worker in workers)


GROUPS: dict[str, Callable[[Bench], Iterator[Row]]] = {
    measure.__name__: measure for measure in (fit, repro, memory, growth, convolution, queue)
}
