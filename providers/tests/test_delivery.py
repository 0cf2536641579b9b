"""Whether the next provider is asked, and delivering many at once."""

import gc
import logging
import threading
import time
import unittest

from .. import (
    ACCEPTED,
    REFUSED,
    UNKNOWN,
    Account,
    Attempt,
    Deliveries,
    Message,
    Route,
    errors,
    goes_on,
    longest_attempt,
)
from ..errors import POLICY
from .support import gateway, template_message


def refusal(error_class):
    outcome = UNKNOWN if error_class == errors.INTERRUPTED else REFUSED
    return Attempt(outcome, error_class=error_class)


class TestGoesOn(unittest.TestCase):
    """Whether the next provider is asked."""

    def test_accepted_ends_it(self):
        self.assertFalse(goes_on(Attempt(ACCEPTED)))

    def test_every_class(self):
        going = {errors.ACCOUNT_BLOCKED, errors.BAD_CREDENTIALS, errors.WINDOW_CLOSED}
        for error_class in errors.CLASSES:
            with self.subTest(error_class):
                self.assertEqual(goes_on(refusal(error_class)), error_class in going)

    def test_an_unknown_outcome_never_fails_over(self):
        self.assertFalse(goes_on(Attempt(UNKNOWN, error_class=errors.ACCOUNT_BLOCKED)))

    def test_each_class_has_one_policy(self):
        policies = (errors.FAILOVER, errors.RETRY, errors.FINAL, errors.HOLD)
        self.assertEqual(sum(map(len, policies)), len(POLICY))
        self.assertEqual(POLICY[errors.RATE_LIMITED], errors.RETRY)


def at_work():
    return [thread for thread in threading.enumerate() if thread.name == "delivery"]


class TestDeliveries(unittest.TestCase):
    """Through the simulator."""

    def setUp(self):
        self.gateway = gateway()
        self.gateway.reset()
        self.assertEqual(at_work(), [])

    def route(self, name="fonnte", number=1, message=None, **changes):
        message = message or template_message(f"+62812{number:08d}")
        return Route(number, self.gateway.account(name, **changes), message)

    def slow_down(self, milliseconds):
        self.gateway.admin("POST", "settings", {"delay_ms": milliseconds})

    def all_of(self, deliveries):
        found = []
        while len(deliveries):
            found += deliveries.finished(10.0)
        return found

    def test_many_messages_each_once(self):
        names = ("meta", "fonnte", "watzap")
        routes = {number: self.route(names[number % 3], number) for number in range(300)}
        with Deliveries(32) as deliveries:
            for number, route in routes.items():
                deliveries.submit(number, route)
            self.assertEqual(len(deliveries), 300)
            found = self.all_of(deliveries)
            self.assertEqual(deliveries.finished(10.0), [])
        self.assertEqual({key: route for key, route, _attempt in found}, routes)
        self.assertEqual(len(found), 300)
        self.assertEqual({attempt.outcome for *_which, attempt in found}, {ACCEPTED})
        self.assertEqual(len(self.gateway.messages()), 300)

    def test_no_more_threads_than_needed(self):
        self.slow_down(100)
        with Deliveries(5) as deliveries:
            self.assertEqual(len(at_work()), 0)
            for submitted in range(1, 9):
                deliveries.submit(submitted, self.route(number=submitted))
                self.assertEqual(len(at_work()), min(submitted, 5))
            self.assertFalse(any(thread.daemon for thread in at_work()))
        self.assertEqual(at_work(), [])

    def test_one_thread_for_one_message_at_a_time(self):
        with Deliveries(5) as deliveries:
            for number in range(5):
                deliveries.submit(number, self.route(number=number))
                self.all_of(deliveries)
            self.assertEqual(len(at_work()), 1)

    def test_in_flight_is_bounded(self):
        """Three at a time against a service that needs 0.2 s: the fourth comes after one has its answer."""
        self.slow_down(200)
        with Deliveries(3) as deliveries:
            for number in range(6):
                deliveries.submit(number, self.route(number=number))
            self.all_of(deliveries)
        times = [one["at"] for one in self.gateway.messages()]
        self.assertGreaterEqual(times[3] - times[0], 0.15)

    def test_finished_returns_without_an_end(self):
        self.slow_down(500)
        with Deliveries(2) as deliveries:
            deliveries.submit(1, self.route())
            self.assertEqual(deliveries.finished(0.0), [])
            self.assertEqual(deliveries.finished(0.05), [])
            self.assertEqual(len(deliveries), 1)
            self.assertEqual([key for key, *_rest in self.all_of(deliveries)], [1])

    def test_not_before_its_time(self):
        pauses = {1: 0.4, 2: 0.2, 3: 0.0, 4: 0.2}
        ended = {}
        with Deliveries(2) as deliveries:
            start = time.monotonic()
            for key, pause in pauses.items():
                deliveries.submit(key, self.route(number=key), start + pause)
            self.assertEqual(len(deliveries), 4)
            while len(deliveries):
                for key, _route, attempt in deliveries.finished(10.0):
                    ended[key] = time.monotonic() - start
                    self.assertEqual(attempt.outcome, ACCEPTED)
        self.assertEqual(set(ended), set(pauses))
        for key, pause in pauses.items():
            self.assertGreaterEqual(ended[key], pause)

    def test_whose_place_has_passed_is_not_sent(self):
        """A thread that is held up by others is no reason for two messages at once where one is due."""
        self.slow_down(300)
        with Deliveries(1) as deliveries:
            deliveries.submit(1, self.route())
            deliveries.submit(2, self.route(number=2), at=time.monotonic(), patience=0.05)
            results = {key: attempt for key, _route, attempt in self.all_of(deliveries)}
        self.assertEqual(results[1].outcome, ACCEPTED)
        self.assertIsNone(results[2])
        self.assertEqual(len(self.gateway.messages()), 1)

    def test_waiting_ends_before_a_later_time(self):
        with Deliveries(1) as deliveries:
            deliveries.submit(7, self.route(), time.monotonic() + 3600)
            self.assertEqual(deliveries.finished(0.05), [])
            self.assertEqual((len(deliveries), at_work()), (1, []))
            self.assertEqual(deliveries.close(), [7])
            self.assertEqual((len(deliveries), deliveries.finished(10.0)), (0, []))
        self.assertEqual(self.gateway.messages(), [])

    def test_what_has_not_begun_is_not_sent(self):
        self.slow_down(200)
        deliveries = Deliveries(2)
        deliveries.submit(90, self.route(number=90), time.monotonic() + 3600)
        for number in range(20):
            deliveries.submit(number, self.route(number=number))
        never_left = deliveries.close()
        found = deliveries.finished(0.0)
        ended = [key for key, *_rest in found]
        self.assertLessEqual(len(ended), 2)
        self.assertEqual(sorted(ended + never_left), [*range(20), 90])
        self.assertEqual({attempt.outcome for *_which, attempt in found} - {ACCEPTED}, set())
        self.assertEqual({int(one["to"][5:]) for one in self.gateway.messages()}, set(ended))
        self.assertEqual((len(deliveries), at_work()), (0, []))
        self.assertEqual(deliveries.close(), never_left)
        with self.assertRaises(RuntimeError):
            deliveries.submit(1, self.route())

    def test_a_caller_that_fails_leaves_no_thread(self):
        self.slow_down(50)
        with self.assertRaisesRegex(KeyError, "caller"), Deliveries(3) as deliveries:
            for number in range(10):
                deliveries.submit(number, self.route(number=number))
            raise KeyError("caller")
        self.assertEqual(at_work(), [])
        self.assertLess(len(self.gateway.messages()), 10)

    def test_forgotten_ones_leave_no_thread(self):
        self.slow_down(100)
        deliveries = Deliveries(2)
        for number in range(10):
            deliveries.submit(number, self.route(number=number))
        threads = at_work()
        del deliveries
        gc.collect()
        for thread in threads:
            thread.join(10.0)
        self.assertEqual(at_work(), [])
        self.assertLess(len(self.gateway.messages()), 10)

    def test_an_adapter_that_fails_costs_its_own_message(self):
        broken = Route(1, Account("pigeon", "", "token"), template_message())
        malformed = self.route(message=Message("0812", "Rahasia sekali"))
        with self.assertLogs("", logging.ERROR) as logs, Deliveries(1) as deliveries:
            for key, route in enumerate((broken, self.route(), malformed, self.route("watzap"))):
                deliveries.submit(key, route)
            found = {key: attempt for key, _route, attempt in self.all_of(deliveries)}
        self.assertEqual([found[key].outcome for key in range(4)], [UNKNOWN, ACCEPTED, UNKNOWN, ACCEPTED])
        self.assertEqual({found[0].error_class, found[2].error_class}, {errors.INTERRUPTED})
        for hidden in ("Rahasia", "0812", "FONNTE-TOKEN-DEMO"):
            self.assertNotIn(hidden, "\n".join(logs.output))

    def test_one_attempt_only(self):
        """Failing over is for the caller to decide."""
        with Deliveries(1) as deliveries:
            deliveries.submit(1, self.route(api_token="WRONG-SECRET-1"))
            ((key, route, attempt),) = self.all_of(deliveries)
            self.assertEqual((key, attempt.error_class), (1, errors.BAD_CREDENTIALS))
            deliveries.submit(key, self.route("watzap"))
            self.assertEqual(self.all_of(deliveries)[0][2].outcome, ACCEPTED)

    def test_a_dead_provider_holds_no_other_up(self):
        self.gateway.play("fonnte", "timeout_after_read", times=None)
        with Deliveries(2) as deliveries:
            deliveries.submit(0, self.route(timeout=(5.0, 1.0)))
            for number in range(1, 20):
                deliveries.submit(number, self.route("watzap", number))
            order = [key for key, *_rest in self.all_of(deliveries)]
        self.assertEqual(order[-1], 0)
        self.assertEqual(sorted(order), list(range(20)))

    def test_workers_must_be_positive(self):
        self.assertRaises(ValueError, Deliveries, 0)

    def test_longest_attempt(self):
        self.assertGreater(longest_attempt(self.route(timeout=(5.0, 30.0)).account), 35.0)
