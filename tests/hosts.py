"""Machines with a network, a home and files of their own, in network namespaces of this one."""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.project import Finished, environment

# In a mount namespace: the others' files are out of sight, and the home of the user, the names of
# machines and the place for process IDs are this machine's own.
ISOLATED = """
home=$1 others=$2; shift 2
for other in $others; do mount -t tmpfs none "$other"; done
mount --bind "$home/etc/passwd" /etc/passwd
mount --bind "$home/etc/hosts" /etc/hosts
mount -t tmpfs none /run
mkdir /run/sshd
exec "$@"
"""
SSHD = """
Port 22
HostKey {home}/etc/host_key
AuthorizedKeysFile {home}/.ssh/authorized_keys
PasswordAuthentication no
StrictModes no
Subsystem sftp internal-sftp
"""


@dataclass(frozen=True)
class Host:
    """A machine; the first of them, the head, is where the cables meet."""

    name: str
    home: Path
    others: tuple[Path, ...]

    @property
    def namespace(self) -> str:
        return f"{self.name}-{os.getpid()}"

    def command(self, script: str) -> list[str]:
        """What runs a script here, in bash, with the environment of this machine's own checkout."""
        within = ("ip", "netns", "exec", self.namespace, "unshare", "--mount")
        folders = (str(self.home), " ".join(map(str, self.others)))
        options = ("-euo", "pipefail", "-c", f"cd; {script}")
        return [*within, "sh", "-ec", ISOLATED, "sh", *folders, "bash", *options]

    def environment(self) -> dict[str, str]:
        path = f"{self.home}/project/.venv/bin:{os.environ['PATH']}"
        return environment() | {"HOME": str(self.home), "PATH": path}

    def ok(self, script: str) -> str:
        """Run a script that must succeed and return what it printed."""
        done: Finished = subprocess.run(
            self.command(script),
            env=self.environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert done.returncode == 0, f"{self.name}: {script}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def start(self, script: str, log: str) -> "subprocess.Popen[bytes]":
        """Start a script, and let all that it prints go to a file in the home."""
        with (self.home / log).open("ab") as file:
            return subprocess.Popen(
                self.command(script),
                env=self.environment(),
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def processes(self) -> dict[int, str]:
        """What runs here, by its process ID."""
        listed = _ip("netns", "pids", self.namespace).split()
        commands = {int(number): _command_line(int(number)) for number in listed}
        return {number: command for number, command in commands.items() if command}


@contextmanager
def network(folder: Path, *names: str) -> Iterator[list[Host]]:
    """Make machines that reach each other by name; all that runs on them ends with the block."""
    homes = [folder / name for name in names]
    made = [
        Host(home.name, home, tuple(other for other in homes if other != home)) for home in homes
    ]
    head = made[0]
    try:
        for number, host in enumerate(made, start=1):
            _ip("netns", "add", host.namespace)
            _ip("-n", host.namespace, "link", "set", "lo", "up")
            _files(host, names)
            if host == head:
                _ip("-n", head.namespace, "link", "add", "net0", "type", "bridge")
            else:
                peer = ("peer", "name", "net0", "netns", host.namespace)
                _ip("-n", head.namespace, "link", "add", host.name, "type", "veth", *peer)
                _ip("-n", head.namespace, "link", "set", host.name, "master", "net0", "up")
            _ip("-n", host.namespace, "address", "add", f"10.87.0.{number}/24", "dev", "net0")
            _ip("-n", host.namespace, "link", "set", "net0", "up")
        yield made
    finally:
        for host in made:
            _remove(host)


def plug(head: Host, host: Host, state: str) -> None:
    """Set the cable between two machines `up` or `down`."""
    _ip("-n", head.namespace, "link", "set", host.name, state)


def start_sshd(host: Host) -> None:
    """Let a machine be reached by ssh, by those whose keys it knows."""
    host.ok('ssh-keygen -q -t ed25519 -N "" -f etc/host_key')
    (host.home / "etc/sshd_config").write_text(SSHD.format(home=host.home))
    host.start(f"exec {shutil.which('sshd')} -D -e -f etc/sshd_config", "sshd.log")


def _files(host: Host, names: tuple[str, ...]) -> None:
    (host.home / "etc").mkdir(parents=True)
    (host.home / ".ssh").mkdir(mode=0o700)
    addresses = [f"10.87.0.{number} {name}\n" for number, name in enumerate(names, start=1)]
    (host.home / "etc/hosts").write_text("127.0.0.1 localhost\n" + "".join(addresses))
    users = Path("/etc/passwd").read_text().splitlines()
    kept = [user for user in users if not user.startswith("root:")]
    root = f"root:x:0:0:root:{host.home}:/bin/bash"
    (host.home / "etc/passwd").write_text("\n".join([root, *kept, ""]))


def _remove(host: Host) -> None:
    """Remove a machine, and end what runs there."""
    deadline = time.monotonic() + 20
    while left := _ip("netns", "pids", host.namespace, check=False).split():
        assert time.monotonic() < deadline, left
        for number in map(int, left):
            try:
                os.kill(number, signal.SIGKILL)
            except ProcessLookupError:
                continue
        time.sleep(0.1)
    _ip("netns", "delete", host.namespace, check=False)


def _command_line(process: int) -> str:
    try:
        return Path(f"/proc/{process}/cmdline").read_text().replace("\0", " ").strip()
    except FileNotFoundError:
        return ""


def _ip(*arguments: str, check: bool = True) -> str:
    done = subprocess.run(["ip", *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0 or not check, f"ip {' '.join(arguments)}: {done.stderr}"
    return done.stdout
