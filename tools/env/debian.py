"""Packages from Debian's sid, fetched with apt's own signatures but without touching the system's apt.

A private folder holds apt's lists, its (empty) status and one source line; the mirror is the machine's own.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Sequence
from pathlib import Path

from . import shell
from .console import SetupError

APT = Path("/etc/apt")
KEYRINGS = ("debian-archive-keyring.pgp", "debian-archive-keyring.gpg")
#: Where Ubuntu's apt tools know Debian's default mirror from.
TEMPLATES = (Path("/usr/share/python-apt/templates/Debian.info"),)


class PrivateApt:
    """apt with its state in `folder`.

    :param folder: an empty folder to work in
    :param mirror: base address of a Debian mirror
    """

    def __init__(self, folder: Path, mirror: str) -> None:
        self.folder = folder
        for part in ("lists/partial", "cache/archives/partial", "packages"):
            (folder / part).mkdir(parents=True, exist_ok=True)
        (folder / "status").touch()
        (folder / "sources.list").write_text(f"deb [signed-by={keyring()}] {mirror} sid main\n")
        self.config = folder / "apt.conf"
        self.config.write_text(
            f'Dir::Etc::sourcelist "{folder}/sources.list";\n'
            'Dir::Etc::sourceparts "/dev/null";\n'
            f'Dir::State "{folder}";\n'
            f'Dir::State::lists "{folder}/lists";\n'
            f'Dir::State::status "{folder}/status";\n'
            f'Dir::Cache "{folder}/cache";\n'
            'Acquire::Languages "none";\n'
            'Acquire::Retries "3";\n'
            'Acquire::http::Timeout "30";\n'
            # The folder is ours alone; apt's sandbox user could not enter it.
            'APT::Sandbox::User "";\n'
            # Hooks of the machine's configuration are about the system's lists.
            "#clear APT::Update::Post-Invoke;\n"
            "#clear APT::Update::Post-Invoke-Success;\n"
        )

    def update(self) -> None:
        """Fetch the list of packages and check its signature."""
        self._run("update", timeout=300)

    def download(self, packages: Sequence[str]) -> list[Path]:
        """Fetch packages (checked against the signed list) and return the files."""
        self._run("download", *packages, timeout=1200)
        return sorted((self.folder / "packages").glob("*.deb"))

    def _run(self, *words: str, timeout: float) -> None:
        shell.run(
            # -c is read after the machine's configuration, APT_CONFIG before it.
            ["apt-get", "-q", "-c", self.config, *words],
            timeout=timeout,
            cwd=self.folder / "packages",
            what=f"apt-get {words[0]} (Debian sid)",
        )


def keyring() -> Path:
    """Debian's archive keys as the system installed them."""
    for name in KEYRINGS:
        if (path := Path("/usr/share/keyrings") / name).exists():
            return path
    raise SetupError("Debian's archive keys are missing: install the package debian-archive-keyring.")


def mirrors() -> list[str]:
    """Base addresses of Debian mirrors, best first: DEBIAN_MIRROR, the machine's own, apt's templates."""
    found = [os.environ.get("DEBIAN_MIRROR", "")]
    release = _os_release()
    if release.get("ID") == "debian":
        suites = {release.get("VERSION_CODENAME"), "stable", "testing", "unstable", "sid"}
        for uri, suite, components in read_sources():
            if suite in suites and "main" in components and "security" not in uri:
                found.append(uri)
    for template in TEMPLATES:
        with contextlib.suppress(OSError):
            found += re.findall(r"^BaseURI: *(\S+/debian/?)\s*$", template.read_text(), re.M)
    return list(dict.fromkeys(uri.rstrip("/") for uri in found if uri))


def _os_release() -> dict[str, str]:
    pairs = (line.partition("=") for line in Path("/etc/os-release").read_text().splitlines())
    return {key: value.strip('"') for key, _equals, value in pairs}


def read_sources(apt: Path = APT) -> list[tuple[str, str, list[str]]]:
    """The binary package sources of the machine: (uri, suite, components), from both file formats."""
    found = []
    for path in [apt / "sources.list", *sorted((apt / "sources.list.d").glob("*"))]:
        with contextlib.suppress(OSError):
            if path.suffix == ".list":
                found += _one_line_sources(path.read_text())
            elif path.suffix == ".sources":
                found += _deb822_sources(path.read_text())
    return found


def _one_line_sources(text: str) -> list[tuple[str, str, list[str]]]:
    """`deb [options] uri suite component…`"""
    lines = re.findall(r"^\s*deb\s+(?:\[[^\]]*\]\s+)?(\S+)\s+(\S+)[ \t]*([^#\n]*)", text, re.M)
    return [(uri, suite, components.split()) for uri, suite, components in lines]


def _deb822_sources(text: str) -> list[tuple[str, str, list[str]]]:
    """Paragraphs of `Key: value`, one or more URIs and suites each."""
    found = []
    text = re.sub(r"^#.*\n", "", text, flags=re.M)
    for paragraph in re.split(r"\n\s*\n", text):
        joined = re.sub(r"\n[ \t]+", " ", paragraph)
        pairs = re.findall(r"^([\w-]+):[ \t]*(.*)$", joined, re.M)
        fields = {key.lower(): value.split() for key, value in pairs}
        if "deb" in fields.get("types", []) and fields.get("enabled", ["yes"]) != ["no"]:
            for uri in fields.get("uris", []):
                found += [(uri, suite, fields.get("components", [])) for suite in fields.get("suites", [])]
    return found
