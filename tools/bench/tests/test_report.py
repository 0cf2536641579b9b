"""Figures, verdicts and the table: what the report says must follow from what was measured."""

from __future__ import annotations

import json
import unittest

from tools.bench import targets
from tools.bench.lines import FAILS, HOLDS, NOT_MEASURED, Line, differences, ratios, verdict_of
from tools.bench.table import figures, rows, shown, summary


def line(
    *values: float, sense: str = "<=", limit: float | None = 2.0, reason: str = "", what: str = "w"
) -> Line:
    return Line("T1", what, list(values), "ms", sense, limit, reason)


class TestLine(unittest.TestCase):
    def test_the_median_decides(self) -> None:
        self.assertEqual(line(1, 2, 90).verdict, HOLDS)
        self.assertEqual(line(1, 3, 4).verdict, FAILS)

    def test_senses(self) -> None:
        self.assertEqual(line(2, sense=">=").verdict, HOLDS)
        self.assertEqual(line(1.9, sense=">=").verdict, FAILS)
        self.assertEqual(line(0, sense="=", limit=0).verdict, HOLDS)
        self.assertEqual(line(0.01, sense="=", limit=0).verdict, FAILS)

    def test_a_figure_without_a_limit_has_no_verdict(self) -> None:
        self.assertEqual(line(5, sense="", limit=None).verdict, "")

    def test_not_measured(self) -> None:
        self.assertEqual(line(reason="not there").verdict, NOT_MEASURED)

    def test_what_makes_no_sense_is_refused(self) -> None:
        for wrong in ({"sense": ""}, {"limit": None}, {"sense": "<"}):
            with self.subTest(wrong), self.assertRaises(ValueError):
                line(1, **wrong)
        with self.assertRaises(ValueError):
            line()

    def test_json_and_back(self) -> None:
        one = line(3, 1, 2)
        written = json.loads(json.dumps(one.as_dict()))
        self.assertEqual((written["median"], written["min"], written["max"]), (2, 1, 3))
        self.assertEqual(written["verdict"], HOLDS)
        self.assertEqual(Line.from_dict(written), one)


class TestRounds(unittest.TestCase):
    def test_the_same_round_is_compared(self) -> None:
        self.assertEqual(ratios([10, 40], [5, 10]), [2, 4])
        self.assertEqual(differences([10, 40], [5, 10]), [5, 30])

    def test_rounds_must_match(self) -> None:
        with self.assertRaises(ValueError):
            ratios([1, 2], [1])


class TestVerdict(unittest.TestCase):
    def test_all_limits_must_hold(self) -> None:
        self.assertEqual(verdict_of([line(1), line(1)]), HOLDS)
        self.assertEqual(verdict_of([line(1), line(3)]), FAILS)

    def test_figures_without_a_limit_do_not_count(self) -> None:
        self.assertEqual(verdict_of([line(1), line(9, sense="", limit=None)]), HOLDS)

    def test_what_was_not_measured_is_told(self) -> None:
        self.assertEqual(verdict_of([line(reason="no")]), NOT_MEASURED)
        self.assertEqual(verdict_of([line(1), line(reason="no")]), "holds; 1 of 2 limits not measured")
        self.assertEqual(verdict_of([line(3), line(reason="no")]), FAILS)

    def test_nothing_with_a_limit_is_not_measured(self) -> None:
        self.assertEqual(verdict_of([line(9, sense="", limit=None)]), NOT_MEASURED)


class TestTable(unittest.TestCase):
    def test_digits(self) -> None:
        found = [shown(value) for value in (0, 3, 12345.6, 123.4, 12.34, 1.234, 0.1234, -0.5)]
        self.assertEqual(found, ["0", "3", "12,346", "123", "12.3", "1.23", "0.123", "-0.500"])

    def test_noise_and_units(self) -> None:
        self.assertEqual(figures(line(2, 1, 3)), "2 (1..3) ms")
        self.assertEqual(figures(Line("T1", "w", [2.5], "x")), "x2.50")
        self.assertEqual(figures(line(reason="no")), "–")

    def test_a_target_with_its_figures(self) -> None:
        text = "\n".join(rows([line(3, what="the hook"), line(reason="there is none", what="other")]))
        self.assertIn(f"T1  {targets.TARGETS['T1'].title}: {FAILS}", text)
        self.assertRegex(text, r"the hook +3 ms +<= 2 +does not hold")
        self.assertRegex(text, r"other +– +<= 2 +not measured: there is none")
        self.assertNotIn("T2", text)

    def test_summary_counts(self) -> None:
        other = Line("T2", "w", [1], "ms", "<=", 2)
        self.assertEqual(summary([line(3), other])[-1], "1 of 2 targets hold")


class TestTargets(unittest.TestCase):
    def test_all_fifteen(self) -> None:
        self.assertEqual(list(targets.TARGETS), [f"T{number}" for number in range(1, 16)])

    def test_subjects_once_each(self) -> None:
        self.assertEqual(targets.subjects_of(["T9", "T8", "T1"]), ["hooks", "drain"])

    def test_unknown_target(self) -> None:
        with self.assertRaisesRegex(ValueError, "T16"):
            targets.subjects_of(["T1", "T16"])
