import signal
import subprocess
import sys
import unittest
from http.client import HTTPConnection

from .support import TIMEOUT, end, start


class TestProcess(unittest.TestCase):
    def start(self, *arguments):
        process, port = start(*arguments)
        self.addCleanup(process.stdout.close)
        self.addCleanup(process.stdin.close)
        self.addCleanup(process.wait, TIMEOUT)
        self.addCleanup(process.terminate)
        return process, port

    def open_events(self, port):
        connection = HTTPConnection("127.0.0.1", port, timeout=TIMEOUT)
        self.addCleanup(connection.close)
        connection.request("GET", "/events")
        self.assertEqual(connection.getresponse().status, 200)

    def test_signals_end_it_cleanly_although_a_page_is_open(self):
        for number in (signal.SIGTERM, signal.SIGINT):
            with self.subTest(signal=number):
                process, port = self.start()
                self.open_events(port)
                process.send_signal(number)
                self.assertEqual(process.wait(TIMEOUT), 0)
                self.assertEqual(process.stdout.read(), "")

    def test_ends_with_its_parent(self):
        parent = subprocess.Popen(
            [sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE
        )
        process, _port = self.start("--parent", str(parent.pid))
        parent.stdin.close()
        # Nobody has waited for the parent: a process that is only a zombie counts as gone.
        self.assertEqual(process.wait(TIMEOUT), 0)
        parent.wait(TIMEOUT)

    def test_ends_with_stdin(self):
        process, _port = self.start("--exit-with-stdin")
        process.stdin.close()
        self.assertEqual(process.wait(TIMEOUT), 0)

    def test_two_at_a_time(self):
        (first, one), (second, two) = self.start(), self.start()
        self.assertNotEqual(one, two)
        self.assertEqual([end(first), end(second)], [0, 0])
