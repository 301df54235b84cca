"""Starting TensorFlow: the same arithmetic everywhere, and no chatter."""

import gc
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from pipeline.core import process
from pipeline.core.errors import PipelineError

# What the user may have set for other projects: it changes results, or ends in an error.
FOREIGN = (
    "DNNL_",
    "HDF5_DRIVER",
    "KERAS_",
    "ONEDNN_",
    "PROTOCOL_BUFFERS_",
    "TENSORFLOW_",
    "TF_",
    "XLA_",
)

SETTINGS = {
    "KERAS_BACKEND": "tensorflow",
    # Errors reach Python as exceptions; what is logged as one on the way is often none.
    "TF_CPP_MIN_LOG_LEVEL": "3",
    # Compiled code that rounds alike on every x86-64 processor with AVX2 and FMA. Without the
    # first, XLA chooses how it cuts up a matrix product by the processor's model; the second is
    # oneDNN's kernel for the products that XLA hands on, chosen by the instruction set.
    "XLA_FLAGS": "--xla_cpu_enable_platform_dependent_math=false",
    "TENSORFLOW_USE_CUSTOM_CONTRACTION_KERNEL": "false",
}

# Keras and TensorFlow import these where they are installed; nothing here needs what they do then.
UNUSED = ("matplotlib", "scipy")

# Messages of every start on a machine without a GPU. They are written before TensorFlow reads the
# setting that silences them.
CHATTER = (
    "^WARNING: All log messages before absl::InitializeLog|^I0000 "
    "|^E0000 .*failed call to cuInit|^To enable the following instructions:"
)


def start(*, jit_compile: bool, gpu: bool = False) -> None:
    """Import TensorFlow, on the CPU alone set to give the same bits on any number of cores.

    How an operation is cut into pieces can change the order of its sums and so the last bits of
    its result, so the number of threads is fixed. What XLA compiles runs on one; the ordinary
    operations use two, and are told to be deterministic, which XLA on a CPU always is.

    Raises:
        PipelineError: a GPU is asked for, and TensorFlow finds none.
    """
    process.forget_settings(FOREIGN)
    os.environ.update(SETTINGS)
    if not gpu:
        os.environ["CUDA_VISIBLE_DEVICES"] = "-1"
    with process.signals_held(), _without_chatter(), _quickly():
        import keras
        import tensorflow as tf

        tf.config.threading.set_intra_op_parallelism_threads(1 if jit_compile else 2)
        tf.config.threading.set_inter_op_parallelism_threads(1)
        if gpu or not jit_compile:
            tf.config.experimental.enable_op_determinism()
        for device in tf.config.list_physical_devices("GPU"):
            tf.config.experimental.set_memory_growth(device, enable=True)  # others may use it too
        tf.config.list_logical_devices()  # makes TensorFlow start now, while its chatter is caught
    if gpu and not tf.config.list_physical_devices("GPU"):
        raise PipelineError(
            "train.device is gpu, but TensorFlow finds none; it needs one by NVIDIA with its "
            "driver, and what `make gpu` installs; or set train.device to cpu"
        )
    # Whatever the user's keras.json says.
    keras.config.set_floatx("float32")
    keras.config.set_epsilon(1e-7)
    keras.config.set_image_data_format("channels_last")


@contextmanager
def _quickly() -> Iterator[None]:
    """Import in this block what is large and stays: 1.9 s in place of 3.0 s on two cores.

    Without the unused libraries alone it is 2.3 s, without garbage collection alone 2.3 s.
    """
    hidden = [name for name in UNUSED if name not in sys.modules]
    sys.modules.update(dict.fromkeys(hidden))  # type: ignore[arg-type]
    gc.disable()  # there is no garbage to find among classes and functions
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()
        for name in hidden:
            del sys.modules[name]


@contextmanager
def _without_chatter() -> Iterator[None]:
    """Filter what native code writes to standard error.

    The filter is a process of its own, so that the last words of a crash get through.
    """
    sys.stderr.flush()
    terminal = os.dup(2)
    command = ["grep", "--text", "--invert-match", "--extended-regexp", CHATTER]
    try:
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=terminal) as chatter_filter:
            assert chatter_filter.stdin is not None  # noqa: S101 (for the type checker)
            os.dup2(chatter_filter.stdin.fileno(), 2)
            try:
                yield
            finally:
                sys.stderr.flush()
                os.dup2(terminal, 2)
    finally:
        os.close(terminal)
