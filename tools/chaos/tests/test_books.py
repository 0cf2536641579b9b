"""The book-keeping: what balances, and that each book notices what it is there for."""

import unittest

from ..books import BOOKS, Ledger, Received, Row, Rules, check, counts, read_ledger, token_of

RULES = Rules(resend=frozenset({"resend"}), limited="limited", limit=2, period=50.0)


def _ledger(**kinds):
    return Ledger(committed=dict(kinds), tried=dict(kinds))


def _row(token="K0000001", state="sent", error_class=None, accepted=1, interrupted=0, id_=1):
    return Row(id_, token, state, error_class, accepted, interrupted)


def _received(*tokens, at=0.0):
    return [Received(number, token, at) for number, token in enumerate(tokens, 1)]


class TestBooks(unittest.TestCase):
    def assert_found(self, expected, ledger, rows, received):
        """The books that do not balance are exactly `expected`."""
        found = check(ledger, rows, received, RULES)
        self.assertEqual(list(found), list(BOOKS))
        self.assertEqual({name for name, texts in found.items() if texts}, set(expected), found)

    def check_one(self, expected, kind="hold", messages=1, **row):
        """The same for one message of a kind, received so many times."""
        self.assert_found(
            expected, _ledger(K0000001=kind), [_row(**row)], _received(*["K0000001"] * messages)
        )

    def test_a_sent_message_balances(self):
        self.check_one([])

    def test_an_interrupted_message_balances_whether_it_left_or_not(self):
        for messages in (0, 1):
            for kind in ("hold", "resend"):
                self.check_one(
                    [], kind, messages, state="failed", error_class="interrupted", accepted=0, interrupted=1
                )

    def test_resend_may_repeat_what_was_interrupted_and_nothing_else(self):
        self.check_one([], "resend", 2, interrupted=1)
        self.check_one(["unaccounted"], "resend", 2, interrupted=0)

    def test_hold_never_repeats(self):
        self.check_one(["duplicates"], "hold", 2, interrupted=1)

    def test_a_committed_message_without_a_row_is_lost(self):
        self.assert_found(["lost"], _ledger(K0000001="hold"), [], [])

    def test_a_message_whose_commit_broke_may_be_there_or_not(self):
        ledger = Ledger(tried={"K0000001": "hold"})
        self.assert_found([], ledger, [], [])
        self.assert_found([], ledger, [_row()], _received("K0000001"))

    def test_two_rows_of_one_message(self):
        rows = [_row(), _row(id_=2, state="skipped", error_class="blacklisted", accepted=0)]
        found = check(_ledger(K0000001="hold"), rows, _received("K0000001"), RULES)
        self.assertTrue(found["doubled"])

    def test_what_nobody_queued(self):
        self.assert_found(["unknown"], _ledger(), [_row()], _received("K0000001"))
        self.assert_found(["unknown"], _ledger(K0000001="hold"), [_row()], _received("K0000001", ""))

    def test_rows_that_never_ended(self):
        for state in ("pending", "processing"):
            self.check_one(["unended"], messages=0, state=state, accepted=0)

    def test_a_received_message_that_the_log_does_not_know(self):
        self.check_one(["unaccounted"], state="failed", error_class="retry_later", accepted=0)

    def test_sent_needs_a_message_and_a_log_row(self):
        self.check_one(["false sent", "phantoms"], messages=0)
        self.check_one(["false sent"], accepted=0, interrupted=1)

    def test_an_accepted_attempt_ends_the_row_as_sent_and_once(self):
        self.check_one(["false end"], state="failed", error_class="interrupted")
        self.check_one(["false end"], "resend", 2, accepted=2)

    def test_a_failure_has_a_reason(self):
        self.check_one(["reasonless"], messages=0, state="failed", accepted=0)

    def test_the_limit_holds_in_every_period(self):
        tokens = [f"K000000{number}" for number in range(3)]
        ledger = Ledger(tried=dict.fromkeys(tokens, "limited"))
        rows = [_row(token, id_=number) for number, token in enumerate(tokens)]
        for last, expected in ((49.0, ["limit"]), (51.0, [])):
            received = [Received(1, tokens[0], 0), Received(2, tokens[1], last), Received(3, tokens[2], last)]
            self.assert_found(expected, ledger, rows, received)

    def test_counts(self):
        ledger = _ledger(K0000001="resend", K0000002="hold")
        rows = [_row(interrupted=1), _row("K0000002", "failed", "interrupted", 0, 1, 2)]
        table = counts(ledger, rows, _received("K0000001", "K0000001"), RULES)
        self.assertEqual(table["received again (resend)"], 1)
        self.assertEqual((table["sent"], table["interrupted"], table["interrupted attempts"]), (1, 1, 2))


class TestLedger(unittest.TestCase):
    def test_commits_that_are_not_certain_stay_apart(self):
        lines = [
            '{"try": ["K0000001"], "kind": "hold"}\n',
            '{"done": ["K0000001"]}\n',
            '{"try": ["K0000002"], "kind": "resend"}\n',
            '{"done": ["K00',
        ]
        ledger = read_ledger(lines)
        self.assertEqual(ledger.committed, {"K0000001": "hold"})
        self.assertEqual(ledger.tried, {"K0000001": "hold", "K0000002": "resend"})

    def test_the_token_is_found_in_text_or_parameters(self):
        self.assertEqual(token_of("Izin K0000042 telah disetujui."), "K0000042")
        self.assertEqual(token_of("chaos", "K0000043"), "K0000043")
        self.assertEqual(token_of("nothing"), "")


if __name__ == "__main__":
    unittest.main()
