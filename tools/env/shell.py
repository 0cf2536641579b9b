"""Running other programs: always without stdin, always with an end, never left behind.

`take_charge` makes this process the one that inherits its orphaned grandchildren (Linux "subreaper"),
so that a browser whose test server was killed is still ours to stop in `stop_leftovers`.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from .console import SetupError

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36

#: Process ids that must outlive us when others still use them (the database server).
spared: set[int] = set()


def _prctl(option: int, value: int) -> None:
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


def take_charge() -> None:
    """Turn SIGINT, SIGTERM and SIGHUP into KeyboardInterrupt and adopt orphaned grandchildren.

    Set explicitly because a shell script that starts us in the background has SIGINT ignored.
    """

    def interrupt(_number: int, _frame: object) -> None:
        # A second impatient signal must not cut the orderly stop short.
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        raise KeyboardInterrupt

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, interrupt)
    _prctl(PR_SET_CHILD_SUBREAPER, 1)


def clean_environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment for child processes: UTF-8, no database or Odoo settings of the user's own."""
    env = {
        key: value
        for key, value in os.environ.items()
        if not key.startswith(("PG", "ODOO_", "OPENERP_", "MAKE")) and key not in ("PYTHONPATH", "PYTHONHOME")
    }
    env.update(LC_ALL="C.UTF-8", PYTHONUTF8="1", PYTHONUNBUFFERED="1")
    env.update(extra or {})
    return env


def _child_setup(limits: Callable[[], None] | None = None) -> Callable[[], None]:
    """What a child does between fork and exec: normal signals, and to end when we are killed."""
    parent = os.getpid()

    def setup() -> None:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_DFL)
        _prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:
            os._exit(1)
        if limits:
            limits()

    return setup


def run(
    command: Sequence[str | Path],
    *,
    timeout: float,
    what: str | None = None,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    log: Path | None = None,
    check: bool = True,
) -> subprocess.CompletedProcess[str]:
    """Run a program to its end.

    :param command: program and arguments
    :param timeout: seconds; then the program and all it started is killed
    :param what: what it is for, in words, for the error text
    :param cwd: folder to run in
    :param env: the whole environment; default: `clean_environment()`
    :param log: append the output to this file instead of returning it
    :param check: raise when the exit code is not 0
    :return: exit code and output (stdout and stderr together)
    :raises SetupError: it failed (with `check`), timed out, or is not installed
    """
    what = what or f"`{' '.join(str(word) for word in command[:3])} …`"
    with contextlib.ExitStack() as stack:
        target = stack.enter_context(log.open("ab")) if log else subprocess.PIPE
        try:
            process = start(command, stdout=target, cwd=cwd, env=env)
        except OSError as error:
            raise SetupError(f"{what} could not be started: {error}") from error
        try:
            raw, _ = process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            stop(process, patience=1)
            raise SetupError(f"{what} did not end within {timeout:.0f} s.") from None
        except BaseException:
            stop(process, patience=3)
            raise
    output = (raw or b"").decode(errors="replace")
    if check and process.returncode:
        shown = output if output else tail(log) if log else ""
        raise SetupError(f"{what} failed (exit code {process.returncode}):\n{_last_lines(shown)}")
    return subprocess.CompletedProcess(list(map(str, command)), process.returncode, output)


def start(
    command: Sequence[str | Path],
    *,
    stdout: object,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
) -> subprocess.Popen[bytes]:
    """Start a program in a session of its own, so that a Ctrl-C of the terminal reaches it only through us.

    :param stdout: where its stdout and stderr go (a file or a `subprocess` constant)
    """
    return subprocess.Popen(
        [str(word) for word in command],
        stdin=subprocess.DEVNULL,
        stdout=stdout,
        stderr=subprocess.STDOUT,
        cwd=cwd,
        env=dict(env) if env is not None else clean_environment(),
        start_new_session=True,
        preexec_fn=_child_setup(),
    )


def stop(process: subprocess.Popen[bytes], *, patience: float = 10, ask: int = signal.SIGINT) -> None:
    """End a program started by `start` and everything in its session: ask first, insist later.

    :param patience: seconds to wait after asking
    :param ask: the signal to ask with
    """
    if process.poll() is None:
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(ask)
        try:
            process.wait(timeout=patience)
        except subprocess.TimeoutExpired:
            pass
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    if process.stdout:
        process.stdout.close()


def stop_leftovers() -> None:
    """Kill whatever still descends from this process, except the pids in `spared`. For the very end:
    it also collects the exit codes of all children."""
    for _attempt in range(20):
        children = [pid for pid in _descendants(os.getpid()) if pid not in spared]
        for pid in children:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        if not children:
            return
        time.sleep(0.05)


def _descendants(root: int) -> list[int]:
    """Pids below `root` (zombies left out), not looking below the spared ones."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            state, parent = (entry / "stat").read_text().rpartition(")")[2].split()[:2]
        except OSError:
            continue  # ended meanwhile
        if state != "Z":
            children.setdefault(int(parent), []).append(int(entry.name))
    found, queue = [], [root]
    while queue:
        for pid in children.get(queue.pop(), []):
            if pid not in spared:
                found.append(pid)
                queue.append(pid)
    return found


def alive(pid: int) -> bool:
    """Whether a process with this id exists and is not a zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (OSError, IndexError):
        return False


def tail(path: Path, size: int = 20_000) -> str:
    """The last `size` bytes of a file as text; empty when there is no such file."""
    try:
        with path.open("rb") as stream:
            stream.seek(0, os.SEEK_END)
            stream.seek(max(0, stream.tell() - size))
            return stream.read().decode(errors="replace")
    except OSError:
        return ""


def _last_lines(text: str, count: int = 40) -> str:
    return "\n".join(text.rstrip().splitlines()[-count:])
