"""What a training says of itself: why it ended, and which layers its model has."""

import pytest
import yaml

from pipeline.training import summary
from pipeline.training.hyperparameters import Hyperparameters
from tests.project import ROOT


def params(epochs: int, target: float | None, patience: int | None) -> Hyperparameters:
    content = yaml.safe_load((ROOT / "params.yaml").read_text())
    content["train"] |= {
        "epochs": epochs,
        "target_accuracy": target,
        "early_stopping": patience,
    }
    return Hyperparameters.model_validate({key: content[key] for key in ("seed", "model", "train")})


@pytest.mark.parametrize(
    ("planned", "epochs", "best", "target", "patience", "said"),
    [
        (1, 1, 1, None, None, "trained for 1 epoch"),
        (30, 30, 9, None, None, "trained for all 30 epochs"),
        (30, 30, 28, None, 3, "trained for all 30 epochs (best: epoch 28, restored)"),
        (30, 2, 2, 0.85, None, "target accuracy 0.85 reached in epoch 2 of 30"),
        (30, 2, 2, 0.85, 3, "target accuracy 0.85 reached in epoch 2 of 30"),
        (30, 12, 9, 0.95, 3, "no lower validation loss for 3 epochs (best: epoch 9, restored)"),
        (30, 10, 9, None, 1, "no lower validation loss for 1 epoch (best: epoch 9, restored)"),
    ],
)
def test_it_says_why_training_ended(
    planned: int, epochs: int, best: int, target: float | None, patience: int | None, said: str
) -> None:
    history = [{"accuracy": 0.9, "val_loss": abs(epoch - best) + 1.0} for epoch in range(1, 31)]
    assert summary.ending(params(planned, target, patience), history[:epochs]) == said
