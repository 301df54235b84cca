"""What a run ran on: for reports, never for outputs."""

import os
import platform
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

# The extensions by which numerical libraries choose their code.
EXTENSIONS = ("sse4_2", "avx", "fma", "f16c", "amx")


def describe() -> dict[str, Any]:
    """Return processor, cores, operating system, Python and package versions, for JSON."""
    model, flags = _processor()
    return {
        "processor": model,
        "instruction_sets": [flag for flag in flags if flag.startswith(EXTENSIONS)],
        "cores": os.cpu_count(),
        "cores_usable": _usable_cores(),
        "operating_system": platform.platform(),
        "python": platform.python_version(),
        # One that was not installed in full has no name.
        "packages": dict(sorted((d.name.lower(), d.version) for d in distributions() if d.name)),
    }


def summary() -> str:
    """Return cores, processor and versions, in a line."""
    machine = describe()
    packages = machine["packages"]
    return (
        f"{machine['cores']} cores of an {machine['processor']}, Python {machine['python']}, "
        f"TensorFlow {packages['tensorflow']}, Keras {packages['keras']}"
    )


def _usable_cores() -> int | None:
    """Return on how many cores this process may run; where nothing limits it, on all (macOS)."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


def _processor() -> tuple[str, list[str]]:
    """Return the model's name and its sorted feature flags, as Linux tells them."""
    cpuinfo = Path("/proc/cpuinfo")
    if not cpuinfo.exists():
        return platform.processor(), []
    fields = {}
    for line in cpuinfo.read_text(encoding="utf-8").splitlines():
        name, _, value = line.partition(":")
        fields[name.strip()] = value.strip()
    return fields.get("model name", platform.processor()), sorted(fields.get("flags", "").split())
