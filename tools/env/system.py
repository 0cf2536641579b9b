"""What must come from the system's packages: PostgreSQL's server, Python's venv module, a browser, git."""

from __future__ import annotations

import contextlib
import functools
import importlib.util
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from . import shell
from .console import SetupError, say

BROWSERS = ("google-chrome", "chromium", "chromium-browser", "google-chrome-stable")
CREATE_CLUSTER = Path("/etc/postgresql-common/createcluster.conf")
CREATE_CLUSTER_DEFAULT = Path("/usr/share/postgresql-common/createcluster.conf")


def postgres_versions() -> dict[int, Path]:
    """The PostgreSQL servers at hand: major version → folder with `initdb`, newest first."""
    found = {}
    for initdb in Path("/usr/lib/postgresql").glob("*/bin/initdb"):
        with contextlib.suppress(ValueError):
            found[int(initdb.parts[-3])] = initdb.parent
    return dict(sorted(found.items(), reverse=True))


def browser() -> str | None:
    """The browser that Odoo's tests will find, or None."""
    return next((path for path in map(shutil.which, BROWSERS) if path), None)


def missing_packages(*, with_browser: bool) -> list[str]:
    """Names of the Debian packages that have to be installed, empty when nothing lacks."""
    packages = []
    if not postgres_versions():
        packages.append("postgresql")
    if not (importlib.util.find_spec("venv") and importlib.util.find_spec("ensurepip")):
        packages.append("python3-venv")
    if not shutil.which("git"):
        packages.append("git")
    if not Path("/etc/ssl/certs/ca-certificates.crt").exists():
        packages.append("ca-certificates")
    if with_browser and not browser():
        packages.append("chromium")
    return packages


def ensure_packages(*, with_browser: bool) -> None:
    """Install what is missing, as root or with passwordless sudo.

    Raises SetupError with the one command to run when that is not possible.
    """
    packages = missing_packages(with_browser=with_browser)
    if not packages:
        return
    prefix = become_root()
    install = f"apt-get update && apt-get install -y --no-install-recommends {' '.join(packages)}"
    if prefix is None:
        raise SetupError(
            f"Missing system packages: {', '.join(packages)}. Run this once as root, then try again:\n"
            f"  {install}"
        )
    say(f"Installing system packages: {', '.join(packages)}")
    env = shell.clean_environment({"DEBIAN_FRONTEND": "noninteractive"})
    keep_env = [*prefix, "env", "DEBIAN_FRONTEND=noninteractive"]
    shell.run([*keep_env, "apt-get", "update", "-q"], timeout=600, env=env, what="apt-get update")
    with _no_system_cluster(prefix) if "postgresql" in packages else contextlib.nullcontext():
        shell.run(
            [*keep_env, "apt-get", "install", "-q", "-y", "--no-install-recommends", *packages],
            timeout=1800,
            env=env,
            what=f"Installing {', '.join(packages)}",
        )
    importlib.invalidate_caches()
    if left := missing_packages(with_browser=with_browser):
        raise SetupError(f"Still missing after the installation: {', '.join(left)}.")


@functools.cache
def become_root() -> tuple[str, ...] | None:
    """What to write in front of a command to run it as root; None when we cannot."""
    if os.geteuid() == 0:
        return ()
    if shutil.which("sudo"):
        with contextlib.suppress(SetupError):
            shell.run(["sudo", "-n", "true"], timeout=10)
            return ("sudo", "-n")
    return None


@contextlib.contextmanager
def _no_system_cluster(prefix: tuple[str, ...]) -> Iterator[None]:
    """Let Debian's package not create and start a cluster of its own on port 5432.

    Its setting is written only when there is none yet, and put back to what the package ships.
    """
    ours = not CREATE_CLUSTER.exists()
    if ours:
        shell.run([*prefix, "mkdir", "-p", CREATE_CLUSTER.parent], timeout=10)
        shell.run(
            [*prefix, "sh", "-c", f"echo create_main_cluster = false > {CREATE_CLUSTER}"],
            timeout=10,
        )
    try:
        yield
    finally:
        if ours and CREATE_CLUSTER_DEFAULT.exists():
            shell.run([*prefix, "cp", CREATE_CLUSTER_DEFAULT, CREATE_CLUSTER], timeout=10)
