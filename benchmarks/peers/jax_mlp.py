"""The default recipe in JAX: an epoch is one `lax.scan`, compiled."""

import json
import time

import jax
import jax.numpy as jnp
import numpy as np

import data

BATCH, RATE, B1, B2, EPSILON = 32, 0.001, 0.9, 0.999, 1e-7


def logits(weights, images):
    """Return `[batch, 10]`."""
    w1, b1, w2, b2 = weights
    return jax.nn.relu(images.reshape(len(images), -1) @ w1 + b1) @ w2 + b2


def loss(weights, images, labels):
    """Return the mean cross-entropy."""
    chosen = jax.nn.log_softmax(logits(weights, images))[jnp.arange(len(labels)), labels]
    return -chosen.mean()


def step(state, batch):
    """Train on a batch by Adam."""
    weights, m, v, count = state
    gradients = jax.grad(loss)(weights, *batch)
    count = count + 1
    m = [B1 * a + (1 - B1) * g for a, g in zip(m, gradients, strict=True)]
    v = [B2 * a + (1 - B2) * g * g for a, g in zip(v, gradients, strict=True)]
    rate = RATE * jnp.sqrt(1 - B2**count) / (1 - B1**count)
    updated = zip(weights, m, v, strict=True)
    return ([w - rate * a / (jnp.sqrt(b) + EPSILON) for w, a, b in updated], m, v, count), None


@jax.jit
def epoch(state, images, labels, order):
    """Train on all batches of `order`, int32 `[steps, batch]`."""
    return jax.lax.scan(lambda s, rows: step(s, (images[rows], labels[rows])), state, order)[0]


x, y = (jnp.asarray(array) for array in data.load("train"))
rng = np.random.default_rng(0)
weights = []
for rows, columns in ((784, 128), (128, 10)):
    limit = (6 / (rows + columns)) ** 0.5
    weights += [jnp.asarray(rng.uniform(-limit, limit, (rows, columns)), jnp.float32)]
    weights += [jnp.zeros(columns)]
zeros = [jnp.zeros_like(w) for w in weights]
state = (weights, zeros, zeros, jnp.float32(0))
started = time.perf_counter()
for _epoch in range(5):
    order = rng.permutation(len(x)).astype(np.int32).reshape(-1, BATCH)
    state = jax.block_until_ready(epoch(state, x, y, order))
seconds = time.perf_counter() - started
x_test, y_test = data.load("t10k")
accuracy = float((logits(state[0], x_test).argmax(1) == y_test).mean())
print(json.dumps({"seconds": seconds, "accuracy": accuracy}))
