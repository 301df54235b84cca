"""The library that the stages call; importing it does no work."""

import signal
import sys
from contextlib import suppress
from importlib.util import cache_from_source, find_spec
from pathlib import Path

# Until a stage or a command begins its work there is nothing to tidy up, and nothing to tell.
if sys.argv[0] == "-m":  # as long as `python -m` looks for what it is to run
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    if missing := [name for name in ("dvc", "tensorflow") if find_spec(name) is None]:
        sys.exit(
            f"{sys.executable} has no {' and no '.join(missing)}; "
            "`make .venv/installed` makes the environment, `source .venv/bin/activate` enters it"
        )

# When each file of the project's code last changed, as this process began to read them:
# `pipeline.core.guard` refuses later changes. The clock is not asked; files may be ahead of it.
CODE_AT_START = {
    str(path): path.stat().st_ctime_ns
    for folder in ("pipeline", "stages")
    for path in Path(folder).rglob("*.py")
    if path.is_file()
}

# Python takes bytecode for current if its source has the size it had and was written in the same
# second. So what was compiled before the last change of a file, or just after it, goes.
JUST_AFTER = 2_000_000_000  # ns

for source, changed in CODE_AT_START.items():
    bytecode = Path(cache_from_source(source))
    with suppress(FileNotFoundError, PermissionError):  # a stage could write no results there
        if bytecode.stat().st_ctime_ns < changed + JUST_AFTER:
            bytecode.unlink()
