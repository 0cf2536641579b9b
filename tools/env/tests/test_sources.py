"""Debian mirrors from the machine's own apt configuration, in both file formats."""

from __future__ import annotations

import tempfile
import unittest
from pathlib import Path

from tools.env import debian


class TestSources(unittest.TestCase):
    def read(self, **files: str) -> list[tuple[str, str, list[str]]]:
        with tempfile.TemporaryDirectory() as name:
            apt = Path(name)
            (apt / "sources.list.d").mkdir()
            for file, text in files.items():
                (apt / "sources.list.d" / file.replace("_", ".")).write_text(text)
            return debian.read_sources(apt)

    def test_one_line_format(self) -> None:
        found = self.read(
            a_list=(
                "# deb http://commented.example/debian trixie main\n"
                "deb [arch=amd64 signed-by=/k.gpg] http://mirror.example/debian trixie main contrib # why\n"
                "deb-src http://source.example/debian trixie main\n"
            )
        )
        self.assertEqual(found, [("http://mirror.example/debian", "trixie", ["main", "contrib"])])

    def test_deb822_format(self) -> None:
        found = self.read(
            a_sources=(
                "Types: deb deb-src\n# a remark\nURIs: http://mirror.example/debian\n"
                "Suites: trixie\n trixie-updates\nComponents: main\n\n"
                "Enabled: no\nTypes: deb\nURIs: http://off.example/debian\nSuites: sid\nComponents: main\n"
            )
        )
        self.assertEqual(
            found,
            [
                ("http://mirror.example/debian", "trixie", ["main"]),
                ("http://mirror.example/debian", "trixie-updates", ["main"]),
            ],
        )

    def test_other_files_are_not_read(self) -> None:
        self.assertEqual(self.read(a_list_save="deb http://old.example/debian trixie main\n"), [])
