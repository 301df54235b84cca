"""The revisions that a user may name, and the files they hold, with nothing checked out."""

import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

from pipeline.core.dvc_cache import faults
from pipeline.core.errors import PipelineError


def resolve(revision: str) -> str:
    """Return the commit that a branch, tag, commit or experiment name means.

    Raises:
        PipelineError: it means none, or several experiments.
    """
    try:
        return git("rev-parse", "--verify", "--quiet", f"{revision}^{{commit}}").strip()
    except PipelineError:
        commits = [commit for name, commit in experiments() if name == revision]
    if len(commits) == 1:
        return commits[0]
    if commits:
        raise PipelineError(f"{revision} names {len(commits)} experiments: {', '.join(commits)}")
    raise PipelineError(f"{revision} is not a branch, tag, commit or experiment")


def experiments() -> Iterator[tuple[str, str]]:
    """Yield name and commit of each finished experiment, sorted by baseline and name."""
    # Experiments are refs/exps/<baseline, in two parts>/<name>; nothing else there is as deep.
    refs = git("for-each-ref", "--format=%(refname:lstrip=4) %(objectname)", "refs/exps/*/*/*")
    for line in refs.splitlines():
        name, commit = line.split()
        yield name, commit


def read(path: str, commit: str | None) -> str:
    """Return a text file, as `read_bytes` does."""
    try:
        return read_bytes(path, commit).decode("utf-8")
    except UnicodeDecodeError:
        raise PipelineError(f"{path} is not encoded in UTF-8") from None


def read_bytes(path: str, commit: str | None) -> bytes:
    """Return a file of `commit`, or of the workspace for None, that git or DVC keeps.

    Raises:
        FileNotFoundError: it is not there, or DVC keeps it, but neither its cache nor a remote
            has it.
        PipelineError: DVC cannot read it.
    """
    if commit is None:
        if Path(path).exists() and not Path(path).is_file():  # a pipe would be waited for
            raise PipelineError(f"{path} is not a file")
        return Path(path).read_bytes()
    kept = subprocess.run(["git", "show", f"{commit}:./{path}"], capture_output=True, check=False)
    if kept.returncode == 0:
        return kept.stdout
    git("ls-files", path)  # an error where git's index is damaged: DVC would wait for ever
    # Slow to import, and git has most of what is asked for.
    import dvc.api
    from dvc.exceptions import PathMissingError

    with faults():
        try:
            return bytes(dvc.api.read(f"{prefix()}{path}", rev=commit, mode="rb"))
        except PathMissingError:
            raise FileNotFoundError(path) from None


def prefix() -> str:
    """Return the path of the project in its git repository: empty, or with a slash at the end."""
    return git("rev-parse", "--show-prefix").rstrip("\n")


def check_not_shallow() -> None:
    """Check that git has the whole history here.

    Raises:
        PipelineError: it has not, and there DVC loses experiments without a word:
            https://github.com/treeverse/dvc/issues/7547.
    """
    if git("rev-parse", "--is-shallow-repository").strip() == "true":
        raise PipelineError(
            "this is a shallow clone, in which DVC loses experiments; "
            "`git fetch --unshallow` brings the rest of the history"
        )


def git(*arguments: str, environment: Mapping[str, str] | None = None) -> str:
    """Return what a git command prints.

    Args:
        arguments: the command and its arguments.
        environment: the environment variables of the command; those of this process for None.

    Raises:
        PipelineError: it fails.
    """
    done = subprocess.run(
        ["git", *arguments],
        env=environment,
        capture_output=True,
        text=True,
        errors="surrogateescape",  # a file's name may be anything
        check=False,
    )
    if done.returncode:
        raise PipelineError(f"git: {' '.join(done.stderr.split()) or 'failed'}")
    return done.stdout
