"""The library that the stages call; importing it does no work."""

from pathlib import Path

# When each file of the project's code last changed, as this process began to read them:
# `pipeline.core.guard` refuses later changes. The clock is not asked; files may be ahead of it.
CODE_AT_START = {
    str(path): path.stat().st_ctime_ns
    for folder in ("pipeline", "stages")
    for path in Path(folder).rglob("*.py")
    if path.is_file()
}
