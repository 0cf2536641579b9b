"""Ports, locks, processes and the selection of tests."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path
from unittest import mock

from tools.env import addon, locks, paths, ports, shell
from tools.env.console import SetupError
from tools.env.test import Selection
from tools.env.waiting import wait_until


class TestAddonsFolder(unittest.TestCase):
    """The addon of Odoo 17 is the checkout, without what `make` puts beside it."""

    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.root = Path(folder.name)
        patcher = mock.patch.object(addon.paths, "ROOT", self.root)
        patcher.start()
        self.addCleanup(patcher.stop)
        self.folder = self.root / ".env" / "addons-17" / "module"
        for name in ("models", ".git", ".env"):
            (self.root / name).mkdir()
        (self.root / "__manifest__.py").write_text("{}")

    def entries(self) -> set[str]:
        addon._link_entries(self.folder)
        return {one.name for one in self.folder.iterdir()}

    def test_visible_entries_only(self) -> None:
        self.assertEqual(self.entries(), {"models", "__manifest__.py"})
        found = {str(Path(at)) for at, _folders, _files in os.walk(self.folder, followlinks=True)}
        self.assertEqual(found, {str(self.folder), str(self.folder / "models")})

    def test_follows_the_checkout(self) -> None:
        self.entries()
        (self.folder / "__pycache__").mkdir()
        (self.root / "models").rmdir()
        (self.root / "views").mkdir()
        (self.root / "models" / "one.py").parent.mkdir()
        (self.root / "__manifest__.py").unlink()
        self.assertEqual(self.entries(), {"models", "views", "__pycache__"})

    def test_after_one_link_to_all(self) -> None:
        self.folder.parent.mkdir()
        self.folder.symlink_to(self.root, target_is_directory=True)
        self.assertEqual(self.entries(), {"models", "__manifest__.py"})


class TestPorts(unittest.TestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.memory = Path(folder.name) / "ports.json"

    def other_process_chooses(self, preferred: int) -> int:
        """What another checkout gets while this process holds its claims."""
        code = f"from tools.env import ports; print(ports.choose('x', {preferred}))"
        return int(subprocess.check_output([sys.executable, "-c", code], cwd=paths.ROOT, timeout=30))

    def test_a_port_in_use_is_passed_over(self) -> None:
        with socket.socket() as server:
            server.bind(("127.0.0.1", 0))
            server.listen()
            taken = server.getsockname()[1]
            self.assertFalse(ports.is_free(taken))
            self.assertGreater(ports.choose("x", taken), taken)

    def test_two_processes_do_not_choose_the_same_before_they_listen(self) -> None:
        mine = ports.choose("x", 20000)
        self.assertGreater(self.other_process_chooses(mine), mine)

    def test_the_choice_is_remembered(self) -> None:
        code = (
            "from pathlib import Path; from tools.env import ports;"
            f"print(ports.choose('x', %d, Path({str(self.memory)!r})))"
        )
        first, second = (
            int(subprocess.check_output([sys.executable, "-c", code % port], cwd=paths.ROOT, timeout=30))
            for port in (21000, 22000)
        )
        self.assertEqual(first, second)


class TestLocks(unittest.TestCase):
    def test_shared_and_exclusive(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "lock"
            one, two = locks.FileLock(path), locks.FileLock(path)
            self.assertTrue(one.take(shared=True))
            self.assertTrue(two.take(shared=True))
            self.assertFalse(one.take(wait=False), "somebody else still shares it")
            two.release()
            self.assertTrue(one.take(wait=False))
            one.release()
            one.release()


class TestShell(unittest.TestCase):
    def test_output_and_exit_code(self) -> None:
        result = shell.run(["sh", "-c", "echo out; echo err >&2; exit 3"], timeout=10, check=False)
        self.assertEqual((result.returncode, result.stdout), (3, "out\nerr\n"))

    def test_failure_shows_the_output(self) -> None:
        with self.assertRaisesRegex(SetupError, r"(?s)Baking failed \(exit code 3\).*no flour"):
            shell.run(["sh", "-c", "echo no flour; exit 3"], timeout=10, what="Baking")

    def test_missing_program(self) -> None:
        with self.assertRaisesRegex(SetupError, "could not be started"):
            shell.run(["no-such-program-here"], timeout=10)

    def test_timeout_ends_the_grandchildren_too(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            note = Path(folder) / "pid"
            with self.assertRaisesRegex(SetupError, "did not end"):
                shell.run(["sh", "-c", f"sleep 600 & echo $! > {note}; wait"], timeout=1)
            pid = int(note.read_text())
        self.assertTrue(wait_until(lambda: not shell.alive(pid), seconds=10))

    def test_children_end_when_we_are_killed(self) -> None:
        code = (
            "import subprocess, time; from tools.env import shell;"
            "child = shell.start(['sleep', '600'], stdout=subprocess.DEVNULL);"
            "print(child.pid, flush=True); time.sleep(600)"
        )
        with subprocess.Popen([sys.executable, "-c", code], cwd=paths.ROOT, stdout=subprocess.PIPE) as parent:
            pid = int(parent.stdout.readline())
            self.assertTrue(shell.alive(pid))
            parent.kill()
        self.assertTrue(wait_until(lambda: not shell.alive(pid), seconds=10))

    def test_environment_holds_no_settings_of_other_databases(self) -> None:
        os.environ["PGHOST"] = "elsewhere.example"
        self.addCleanup(os.environ.pop, "PGHOST")
        env = shell.clean_environment({"EXTRA": "1"})
        self.assertNotIn("PGHOST", env)
        self.assertEqual(env["EXTRA"], "1")


class TestSelection(unittest.TestCase):
    def test_everything(self) -> None:
        selection = Selection("")
        self.assertEqual(
            selection.parts,
            ["lint", "providers", "gateway", "env", "bench", "chaos-books", "lanes", "campaign", "chaos"],
        )
        self.assertEqual(selection.tags, f"/{paths.MODULE}")

    def test_parts_without_odoo(self) -> None:
        selection = Selection("lint, env")
        self.assertEqual((selection.parts, selection.tags), (["lint", "env"], None))

    def test_short_forms(self) -> None:
        for short, tags in {
            "TestQueue": f"/{paths.MODULE}:TestQueue",
            "TestQueue.test_x": f"/{paths.MODULE}:TestQueue.test_x",
            "test_x": f"/{paths.MODULE}.test_x",
            "/other:TestQueue": "/other:TestQueue",
            "TestA,TestB": f"/{paths.MODULE}:TestA,/{paths.MODULE}:TestB",
        }.items():
            with self.subTest(short):
                selection = Selection(short)
                self.assertEqual((selection.parts, selection.tags), ([], tags))
