"""Fashion-MNIST for the peers: from the four official files, as each of their tutorials would."""

import gzip
import os
from pathlib import Path

import numpy as np

FOLDER = Path(os.environ["FASHION_MNIST_MIRROR"])


def load(kind: str) -> tuple[np.ndarray, np.ndarray]:
    """Return images float32 `[N, 28, 28]` in 0 to 1, and labels int64 `[N]`, of train or t10k."""
    with gzip.open(FOLDER / f"{kind}-images-idx3-ubyte.gz") as file:
        pixels = np.frombuffer(file.read(), np.uint8, offset=16)
    with gzip.open(FOLDER / f"{kind}-labels-idx1-ubyte.gz") as file:
        labels = np.frombuffer(file.read(), np.uint8, offset=8)
    return (pixels.reshape(-1, 28, 28) / 255).astype(np.float32), labels.astype(np.int64)
