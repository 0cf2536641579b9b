"""Odoo 17.0: a source tree of the developer's own, else a shallow copy of the public repository."""

from __future__ import annotations

import os
import re
import shutil
import sys
from pathlib import Path

from . import paths, shell, venv
from .console import SetupError, say
from .locks import locked
from .odoo import Odoo

REPOSITORY = "https://github.com/odoo/odoo"
BRANCH = "17.0"

#: Needs a compiler or a system library, and nothing of base, mail and web in threaded mode needs it.
LEFT_OUT = {"ebaysdk", "gevent", "greenlet", "pypiwin32", "python-ldap", "rl-renderpm", "zeep"}
#: The same code without a compiler.
REPLACED = {"psycopg2": "psycopg2-binary"}
#: Operations that came with a Python version; an Odoo whose safe_eval names one knows that version.
NEW_OPERATIONS = {(3, 13): "'TO_BOOL'", (3, 14): "'LOAD_SMALL_INT'"}
#: On a Python newer than Odoo 17 knows some pins have no wheel, and Babel's imports what is gone.
LOOSENED = {
    *("babel", "cryptography", "libsass", "lxml", "markupsafe", "pillow", "psutil", "psycopg2-binary"),
    "reportlab",
}


def from_home(home: str) -> Odoo:
    """The Odoo in the folder that ODOO_HOME names. Raises SetupError when it is not Odoo 17.0."""
    folder = Path(home).expanduser().resolve()
    return _odoo(folder, f"ODOO_HOME ({folder})")


def from_git() -> Odoo | None:
    """The copy of Odoo's public repository in the user's cache, made when the repository can be reached.

    :return: None when it is neither there nor reachable
    """
    folder = paths.user_cache() / "odoo-17.0"
    origin = f"{REPOSITORY}, branch {BRANCH}"
    with locked(paths.user_cache() / "odoo-17.0.lock"):
        if not folder.exists():
            if not _reachable():
                return None
            say(f"Fetching Odoo 17.0 from {origin} (once, a few minutes)")
            work = folder.with_name(f"odoo-17.0.{os.getpid()}")
            try:
                shell.run(
                    ["git", "clone", "-q", "--depth", "1", "--single-branch", "-b", BRANCH, REPOSITORY, work],
                    timeout=1800,
                    what="Fetching Odoo 17.0",
                    env=_git_env(),
                )
                work.rename(folder)
            except SetupError as error:
                say(f"  that failed: {error}")
                return None
            finally:
                shutil.rmtree(work, ignore_errors=True)
    return _odoo(folder, origin)


def _git_env() -> dict[str, str]:
    return shell.clean_environment({"GIT_TERMINAL_PROMPT": "0"})


def _reachable() -> bool:
    if not shutil.which("git"):
        return False
    try:
        shell.run(
            ["git", "ls-remote", "--exit-code", REPOSITORY, f"refs/heads/{BRANCH}"],
            timeout=5,
            env=_git_env(),
        )
    except SetupError:
        return False
    return True


def _odoo(folder: Path, origin: str) -> Odoo:
    release = folder / "odoo" / "release.py"
    text = release.read_text() if release.exists() else ""
    match = re.search(r"^version_info = \((\d+), (\d+)", text, re.M)
    if not match or match[1] != "17":
        raise SetupError(f"{folder} is not a source tree of Odoo 17.0 (no odoo/release.py that says so).")
    if not (folder / "odoo-bin").exists():
        raise SetupError(f"{folder} has no odoo-bin.")
    own = [path for path in (folder / "addons", folder / "odoo" / "addons") if (path / "web").is_dir()]
    base = interpreter(folder)
    pins = _requirements(folder / "requirements.txt")
    extra = venv.read_requirements(paths.HERE / "requirements-dev.txt")
    return Odoo(
        series=17,
        version=f"{match[1]}.{match[2]}",
        origin=origin,
        program=folder / "odoo-bin",
        own_addons=own,
        python=venv.ensure("17", pins + extra, fallback=_loosened(pins) + extra, base=base),
    )


def interpreter(folder: Path) -> str:
    """A Python that this Odoo runs on: the one that runs us, else an older one on PATH.

    Odoo checks the bytecode of expressions against the operations that it knows, so a newer Python than it
    was made for does not get through the first installation.

    :raises SetupError: there is none
    """
    known = (folder / "odoo" / "tools" / "safe_eval.py").read_text()
    newest = max((version for version, word in NEW_OPERATIONS.items() if word in known), default=(3, 12))
    if sys.version_info[:2] <= newest:
        return sys.executable
    for minor in range(newest[1], 9, -1):
        if path := shutil.which(f"python3.{minor}"):
            # Some are wrappers for a version that is not installed, or come without the module.
            if not shell.run([path, "-c", "import venv, ensurepip"], timeout=20, check=False).returncode:
                return path
    raise SetupError(
        f"The Odoo 17.0 in {folder} runs on Python 3.10 to 3.{newest[1]}, and here is only "
        f"3.{sys.version_info[1]}. Put an older python3.x on PATH, or use Odoo 19 (ODOO=19)."
    )


def _name(line: str) -> str:
    return re.match(r"[\w.-]+", line)[0].lower()


def _requirements(path: Path) -> list[str]:
    """Odoo's own list, without what needs a compiler and is not needed."""
    # Odoo 17 imports pkg_resources, and cgi, which left Python with 3.13.
    lines = ["setuptools<81", 'legacy-cgi; python_version >= "3.13"']
    for line in venv.read_requirements(path):
        name = _name(line)
        if name not in LEFT_OUT:
            lines.append(REPLACED.get(name, name) + line[len(name) :])
    return lines


def _loosened(pins: list[str]) -> list[str]:
    """The same with lower bounds instead of pins where a newer Python asks for it."""
    loose = [pin.replace("==", ">=", 1) if _name(pin) in LOOSENED else pin for pin in pins]
    return [*loose, "lxml-html-clean"]
