"""The project with stages that train nothing, in milliseconds: what searches is the same."""

from typing import Any

import yaml

from tests.project import Project

# Writes the outputs of a stage, the metrics a function of learning rate, epochs and seed: best at
# a learning rate of 0.002, and none at all above 0.008, as where training diverges.
STAGE = """
import json, math, os, sys
from pathlib import Path
import yaml

name, params = sys.argv[1], yaml.safe_load(Path("params.yaml").read_text())
rate = params["train"]["learning_rate"]
if "BROKEN" in os.environ:
    sys.exit("error: the environment is broken")
if name == "train":
    if rate > 0.008:
        sys.exit("error: the loss is not a number")
    print("trained in 0.1 s, 0.2 s of processor time", flush=True)
accuracy = 0.9 - 0.1 * abs(math.log10(rate / 0.002)) - 0.1 / params["train"]["epochs"]
accuracy = round(accuracy + params["seed"] / 1000, 4)
scores = {"accuracy": accuracy, "loss": 1 - accuracy}
metrics = {"source": "synthetic", "test": scores, "validation": scores, "train": scores}
content = json.dumps(metrics if name == "evaluate" else [accuracy, params["model"]])
declared = yaml.safe_load(Path("dvc.yaml").read_text())["stages"][name]
for kind in ("outs", "metrics", "plots"):
    for out in declared.get(kind, []):
        path = Path(out if isinstance(out, str) else next(iter(out)))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
"""

SEARCH: dict[str, Any] = {
    "sampler": "tpe",
    "trials": 4,
    "batch": 2,
    "seed": 0,
    "confirmation_seeds": 2,
    "space": {
        "mlp": {
            "train.learning_rate": {"type": "float", "low": 0.0003, "high": 0.03, "scale": "log"},
            "model.hidden_units": {"type": "choice", "choices": [[64], [128], [256, 128]]},
        }
    },
}


def without_training(project: Project) -> Project:
    (project.path / "stage.py").write_text(STAGE)
    declared = yaml.safe_load((project.path / "dvc.yaml").read_text())
    del declared["stages"]["plot"]
    for name, stage in declared["stages"].items():
        stage["cmd"] = f"python stage.py {name}"
    (project.path / "dvc.yaml").write_text(yaml.safe_dump(declared, sort_keys=False))
    (project.path / "dvc.lock").unlink()
    project.set_params({"data.source": "synthetic"})
    project.commit("Stages that train nothing")
    return project


def write_search(project: Project, **changes: Any) -> None:
    (project.path / "search.yaml").write_text(yaml.safe_dump(SEARCH | changes, sort_keys=False))
