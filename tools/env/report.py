"""Reading test logs and writing the one summary."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from .console import say
from .odoo import LOG_LINE, problems

STARTED = re.compile(r"^Starting (?P<test>\S+) \.\.\.$")
FAILED = re.compile(r"^(?:FAIL|ERROR): (?P<test>.+)$")
SUBTEST = re.compile(r"^Subtest (?P<test>\S+)")
SKIPPED = re.compile(r"^skipped (?P<test>.+?) : (?P<reason>.*)$")
TOTAL = re.compile(r"(\d+) failed, (\d+) error\(s\) of (\d+) tests when loading database")
#: Odoo skips a browser test when it finds no browser or cannot talk to it. For us that is a failure.
NO_BROWSER = re.compile(r"chrom|websocket-client|browser", re.I)
#: Up to this line Odoo loads and installs; after it, it tests.
TESTS_BEGIN = re.compile(r"Starting post tests")

#: A fault in what all tests share fails them all; ten tracebacks tell it as well as a hundred.
SHOWN_IN_FULL = 10

UNITTEST_RAN = re.compile(r"^Ran (\d+) tests? in", re.M)
UNITTEST_COUNTS = re.compile(r"^(?:OK|FAILED)(?: \((?P<counts>[^)]*)\))?$", re.M)
UNITTEST_FAILURE = re.compile(r"^={70}\n((?:FAIL|ERROR): .*?)(?=^={70}$|^-{70}\nRan )", re.M | re.S)


@dataclass
class Step:
    """The outcome of one part of `make test`.

    :param name: as shown in the summary
    :param passed: number of tests that passed
    :param skipped: number that were skipped for a reason that is no failure
    :param failures: one text per failed test, with its traceback
    :param seconds: how long it took
    :param log: path of the full output, relative to the checkout
    """

    name: str
    passed: int = 0
    skipped: int = 0
    failures: list[str] = field(default_factory=list)
    seconds: float = 0.0
    log: str = ""

    @property
    def failed(self) -> int:
        """Number of failed tests."""
        return len(self.failures)


def read_odoo_log(text: str, step: Step) -> None:
    """Fill `step` from the log of an Odoo that was started with --test-enable.

    Failed: each failing test once (however many subtests), each error logged before the tests began, demo
    data that did not load, each test skipped for lack of a browser, and a log without the final total.
    """
    install, _marker, _tests = text.partition("Starting post tests")
    step.failures += problems(install)
    reader = _LogReader(step)
    for line in text[len(install) :].splitlines():
        reader.read(line)
    step.failures += ["\n".join(lines) for lines in reader.failed.values()]
    not_passed = set(reader.failed) | reader.skipped
    step.passed += len(reader.started - not_passed)
    totals = TOTAL.findall(text)
    if not totals:
        step.failures.append("Odoo ended before its tests were through; the end of its log:\n" + _end(text))
    elif (int(totals[-1][0]) or int(totals[-1][1])) and not step.failures:
        step.failures.append(f"Odoo counted {totals[-1][0]} failed and {totals[-1][1]} error(s).")


class _LogReader:
    """Goes through the test part of an Odoo log, line by line."""

    def __init__(self, step: Step) -> None:
        self.step = step
        self.started: set[str] = set()
        self.skipped: set[str] = set()
        self.failed: dict[str, list[str]] = {}
        self._current: list[str] | None = None

    def read(self, line: str) -> None:
        """One line; those without a log prefix continue the failure before them."""
        match = LOG_LINE.match(line)
        if not match:
            if self._current is not None:
                self._current.append(line)
            return
        self._current = None
        module, text = match["logger"], match["text"].rstrip()  # 17 logs "message " with a space at the end
        if found := STARTED.match(text):
            self.started.add(f"{module}:{found['test']}")
        elif found := SKIPPED.match(text):
            self._skip(f"{module}:{found['test']}", found["reason"])
        elif match["level"] == "ERROR" and (found := FAILED.match(text)):
            test = found["test"]
            if inner := SUBTEST.match(test):
                test = inner["test"]
            self._current = self.failed.setdefault(f"{module}:{test}", [])
            self._current.append(text)

    def _skip(self, test: str, reason: str) -> None:
        if NO_BROWSER.search(reason):
            self.failed.setdefault(test, [f"{test} was skipped, which counts as failed: {reason}"])
        else:
            self.skipped.add(test)
            self.step.skipped += 1


def read_unittest_output(text: str, exit_code: int, step: Step) -> None:
    """Fill `step` from the output of `python -m unittest`."""
    step.failures += [match.strip() for match in UNITTEST_FAILURE.findall(text)]
    ran = sum(int(count) for count in UNITTEST_RAN.findall(text))
    counts = UNITTEST_COUNTS.search(text)
    if counts and (skipped := re.search(r"skipped=(\d+)", counts["counts"] or "")):
        step.skipped += int(skipped[1])
    if exit_code and not step.failures:
        step.failures.append("The test run broke off:\n" + _end(text))
    step.passed += max(0, ran - step.skipped - step.failed)


def summarize(steps: list[Step]) -> int:
    """Print the failures, the table and the last line; the exit code (0 or 1)."""
    for step in steps:
        for failure in step.failures[:SHOWN_IN_FULL]:
            say(f"\n--- {step.name} " + "-" * max(3, 90 - len(step.name)))
            say(_shortened(failure))
        if others := step.failures[SHOWN_IN_FULL:]:
            say(f"\n--- {step.name}: and {len(others)} more, in full in {step.log}")
            for failure in others:
                say("  " + failure.partition("\n")[0])
    say()
    width = max(len(step.name) for step in steps)
    say(f"{'step':<{width}}  result  passed  failed  skipped  seconds  full output")
    for step in steps:
        result = "FAILED" if step.failures else "ok"
        say(
            f"{step.name:<{width}}  {result:<6}  {step.passed:>6}  {step.failed:>6}  {step.skipped:>7}"
            f"  {step.seconds:>7.1f}  {step.log}"
        )
    say()
    failed = sum(step.failed for step in steps)
    say(f"{sum(step.passed for step in steps)} passed, {failed} failed")
    return 1 if failed else 0


def _end(text: str, lines: int = 30) -> str:
    return "\n".join(text.rstrip().splitlines()[-lines:])


def _shortened(text: str, limit: int = 60) -> str:
    """A traceback whose middle is left out when it is long: what was raised stands at its end."""
    lines = text.rstrip().splitlines()
    if len(lines) <= limit:
        return "\n".join(lines)
    left_out = f"[… {len(lines) - limit} lines left out, see the full output …]"
    return "\n".join([*lines[:10], left_out, *lines[10 - limit :]])
