"""The workspace as DVC sees it: its outputs, what has changed, and whether DVC works here."""

import json
from pathlib import Path

from pipeline.core.dvc_cache import open_repo
from pipeline.core.errors import PipelineError
from pipeline.core.params_file import PARAMS_FILE
from pipeline.experiments.dvc_files import DECLARATIONS, LOCK, parse_stages
from pipeline.experiments.revisions import read

RWLOCK = Path(".dvc/tmp/rwlock")
MISSING = ("deleted", "not in cache")  # what DVC says of files


def outputs() -> list[str]:
    """Return the paths of all that the stages write."""
    stages = parse_stages(read(DECLARATIONS, None)).values()
    return [path for stage in stages for path in stage.outputs()]


def cache_folder() -> str:
    """Return where DVC keeps its cache."""
    with open_repo() as repo:
        return str(repo.cache.local_cache_dir)


def has_remote() -> bool:
    """Tell whether a remote is configured, from which DVC can fetch."""
    with open_repo() as repo:
        return bool(repo.config["remote"])


def changes(output: str) -> list[str]:
    """Return why an output in the workspace is not what `dvc repro` would make now.

    Gives a text for each stage that it comes from, such as `train (params.yaml)`. Data and
    models that are only missing, as in a fresh clone, do not count.

    Raises:
        PipelineError: `dvc.lock` records no run that made it, or DVC cannot read a file.
    """
    _check_readable()
    with open_repo() as repo:
        (out,) = repo.find_outs_by_path(output)
        if not out.hash_info:
            raise PipelineError(f"{LOCK} records no {output}: nothing was run yet; run `dvc repro`")
        status = repo.status(targets=[out.stage.addressing], with_deps=True)
        made = {str(Path(out.fs_path).relative_to(repo.root_dir)) for out in repo.index.outs}
    found = []
    for stage, differences in status.items():
        causes = []
        for change in differences:
            if isinstance(change, str):  # "changed command"
                causes.append(change)
                continue
            for files in change.values():
                causes += [f for f, what in files.items() if f not in made or what not in MISSING]
        if causes:
            found.append(f"{stage} ({', '.join(causes)})")
    return sorted(found)


def _check_readable() -> None:
    """Refuse what is no file and no folder, such as a pipe: DVC would read it for ever."""
    stages = parse_stages(read(DECLARATIONS, None)).values()
    declared = {path for stage in stages for path in (*stage.deps, *stage.outputs())}
    for path in map(Path, (PARAMS_FILE, *sorted(declared))):
        for found in (path, *path.rglob("*")):
            if found.exists() and not (found.is_file() or found.is_dir()):
                raise PipelineError(f"{found} is not a regular file; remove it")


def changed_data() -> list[str]:
    """Return the files by which `dvc add` tracks data that is not as they say; missing data is."""
    tracked = [str(path) for path in Path("data").glob("**/*.dvc")]
    if not tracked:
        return []
    with open_repo() as repo:
        status = repo.status(targets=tracked)
    return [name for name, changes in status.items() if "modified" in str(changes)]


def check_not_locked() -> None:
    """Check that DVC can read its table of locks.

    Raises:
        PipelineError: it cannot, as after a kill while DVC wrote it.
    """
    try:
        json.loads(RWLOCK.read_bytes())
    except FileNotFoundError:
        return
    except ValueError:
        raise PipelineError(
            f"{RWLOCK}, DVC's table of locks, is damaged, as a kill can leave it; "
            "if no other DVC command is running here, remove it and run this again"
        ) from None


def check_queue() -> None:
    """Check that DVC's queue and `--temp` work where the project and its cache lie.

    Raises:
        PipelineError: they do not; names the workaround.
    """
    # DVC hands the folder to git as a URL, and the cache to its copies in ASCII.
    root, cache = str(Path.cwd()), cache_folder()
    if found := [mark for mark in ("#", "?") if mark in root]:
        raise PipelineError(
            f"DVC's queue and `dvc exp run --temp` do not work in {root}: "
            f"rename the folder so that its path is without {' and '.join(found)}"
        )
    if not cache.isascii() or "%(" in cache:
        raise PipelineError(
            f"DVC's queue and `dvc exp run --temp` do not work with a cache in {cache}: "
            "`dvc cache dir --local FOLDER` moves it to a folder whose path is plain ASCII"
        )
