"""What counts as passed, failed and skipped, read from real shapes of logs."""

from __future__ import annotations

import contextlib
import io
import unittest

from tools.env import report

PREFIX = "2024-01-31 12:00:00,000 4242 {level} test_17_1 {logger}: {text}"
TESTS = "odoo.addons.sicantik_notification_automation.tests.test_a"


def log(*lines: tuple[str, str, str] | str) -> str:
    """A log from (level, logger, text) and bare continuation lines."""
    return "\n".join(
        line if isinstance(line, str) else PREFIX.format(level=line[0], logger=line[1], text=line[2])
        for line in lines
    )


def info(text: str) -> tuple[str, str, str]:
    # 17 writes a space behind the text
    return ("INFO", TESTS, f"{text} ")


def total(failed: int, errors: int, count: int) -> tuple[str, str, str]:
    text = f"{failed} failed, {errors} error(s) of {count} tests when loading database 'test_17_1'"
    return ("ERROR" if failed or errors else "INFO", "odoo.tests.result", text)


BEGIN = ("INFO", "odoo.service.server", "Starting post tests")


class TestOdooLog(unittest.TestCase):
    def read(self, *lines: tuple[str, str, str] | str) -> report.Step:
        step = report.Step("addon")
        report.read_odoo_log(log(*lines), step)
        return step

    def test_passed_and_skipped(self) -> None:
        step = self.read(
            BEGIN,
            info("Starting TestA.test_one ..."),
            info("Starting TestA.test_two ..."),
            info("skipped TestA.test_two : only on Sundays"),
            total(0, 0, 2),
        )
        self.assertEqual((step.passed, step.failed, step.skipped), (1, 0, 1))

    def test_failure_keeps_its_traceback_and_nothing_else(self) -> None:
        step = self.read(
            BEGIN,
            info("Starting TestA.test_one ..."),
            ("ERROR", TESTS, "FAIL: TestA.test_one"),
            "Traceback (most recent call last):",
            "AssertionError: 1 != 2",
            ("INFO", "odoo.service.server", "something else"),
            total(1, 0, 1),
        )
        self.assertEqual((step.passed, step.failed), (0, 1))
        self.assertEqual(
            step.failures[0].splitlines(),
            ["FAIL: TestA.test_one", "Traceback (most recent call last):", "AssertionError: 1 != 2"],
        )

    def test_failing_subtests_are_one_failed_test(self) -> None:
        step = self.read(
            BEGIN,
            info("Starting TestA.test_one ..."),
            ("ERROR", TESTS, "FAIL: Subtest TestA.test_one (n=1)"),
            "AssertionError: first",
            ("ERROR", TESTS, "FAIL: Subtest TestA.test_one (n=2)"),
            "AssertionError: second",
            total(2, 0, 1),
        )
        self.assertEqual((step.passed, step.failed), (0, 1))
        self.assertIn("first", step.failures[0])
        self.assertIn("second", step.failures[0])

    def test_class_that_cannot_be_set_up(self) -> None:
        step = self.read(BEGIN, ("ERROR", TESTS, f"ERROR: setUpClass ({TESTS}.TestA)"), total(0, 1, 0))
        self.assertEqual((step.passed, step.failed), (0, 1))

    def test_skip_for_lack_of_a_browser_is_a_failure(self) -> None:
        for reason in ("Chrome executable not found", "websocket-client module is not installed"):
            with self.subTest(reason):
                step = self.read(
                    BEGIN,
                    info("Starting TestA.test_one ..."),
                    info(f"skipped TestA.test_one : {reason}"),
                    total(0, 0, 1),
                )
                self.assertEqual((step.passed, step.failed, step.skipped), (0, 1, 0))

    def test_error_during_installation_is_a_failure(self) -> None:
        step = self.read(
            ("ERROR", "odoo.modules.loading", "something broke"),
            "Traceback (most recent call last):",
            BEGIN,
            info("Starting TestA.test_one ..."),
            total(0, 0, 1),
        )
        self.assertEqual((step.passed, step.failed), (1, 1))
        self.assertIn("something broke", step.failures[0])

    def test_demo_data_left_out_is_a_failure(self) -> None:
        step = self.read(
            ("WARNING", "odoo.modules.loading", "Module x demo data failed to install, installed without it"),
            BEGIN,
            info("Starting TestA.test_one ..."),
            total(0, 0, 1),
        )
        self.assertEqual(step.failed, 1)

    def test_log_that_breaks_off_is_a_failure(self) -> None:
        step = self.read(BEGIN, info("Starting TestA.test_one ..."))
        self.assertEqual(step.failed, 1)

    def test_same_name_in_two_files_is_two_tests(self) -> None:
        step = self.read(
            BEGIN,
            info("Starting TestA.test_one ..."),
            ("INFO", TESTS + "b", "Starting TestA.test_one ..."),
            total(0, 0, 2),
        )
        self.assertEqual(step.passed, 2)


class TestUnittestOutput(unittest.TestCase):
    def run_tests(self, **methods: object) -> tuple[str, int]:
        """The output of a real run of these test methods."""
        stream = io.StringIO()
        case = type("TestSample", (unittest.TestCase,), methods)
        suite = unittest.defaultTestLoader.loadTestsFromTestCase(case)
        result = unittest.TextTestRunner(stream=stream).run(suite)
        return stream.getvalue(), 0 if result.wasSuccessful() else 1

    def read(self, **methods: object) -> report.Step:
        step = report.Step("unit")
        report.read_unittest_output(*self.run_tests(**methods), step)
        return step

    def test_counts(self) -> None:
        def fails(test: unittest.TestCase) -> None:
            test.fail("on purpose")

        def skips(test: unittest.TestCase) -> None:
            test.skipTest("on purpose")

        step = self.read(test_a=lambda _test: None, test_b=fails, test_c=fails, test_d=skips)
        self.assertEqual((step.passed, step.failed, step.skipped), (1, 2, 1))
        self.assertIn("on purpose", step.failures[0])

    def test_all_passed(self) -> None:
        step = self.read(test_a=lambda _test: None)
        self.assertEqual((step.passed, step.failed, step.skipped), (1, 0, 0))

    def test_broken_off(self) -> None:
        step = report.Step("unit")
        report.read_unittest_output("Segmentation fault", -11, step)
        self.assertEqual((step.passed, step.failed), (0, 1))


class TestSummary(unittest.TestCase):
    def summarize(self, *steps: report.Step) -> tuple[int, str]:
        output = io.StringIO()
        with contextlib.redirect_stdout(output):
            code = report.summarize(list(steps))
        return code, output.getvalue()

    def test_last_line_and_exit_code(self) -> None:
        code, output = self.summarize(report.Step("a", passed=3), report.Step("b", passed=4))
        self.assertEqual((code, output.splitlines()[-1]), (0, "7 passed, 0 failed"))
        code, output = self.summarize(report.Step("a", passed=3), report.Step("b", failures=["x"]))
        self.assertEqual((code, output.splitlines()[-1]), (1, "3 passed, 1 failed"))

    def test_endless_traceback_is_shortened(self) -> None:
        endless = "\n".join(f"line {number}" for number in range(5000))
        _code, output = self.summarize(report.Step("a", failures=[endless]))
        self.assertLess(len(output.splitlines()), 200)
        self.assertIn("line 0\n", output)
        self.assertIn("line 4999\n", output)

    def test_many_failures_are_named_but_not_all_shown(self) -> None:
        failures = [f"FAIL: TestA.test_{number}\ntraceback {number}" for number in range(50)]
        code, output = self.summarize(report.Step("a", failures=failures, log="a.log"))
        self.assertEqual((code, output.splitlines()[-1]), (1, "0 passed, 50 failed"))
        self.assertIn("traceback 0\n", output)
        self.assertNotIn("traceback 49", output)
        self.assertIn("TestA.test_49\n", output)
