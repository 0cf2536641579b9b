"""Walking the routes of one message, and delivering many at once."""

import logging
import threading
import unittest

from .. import ACCEPTED, REFUSED, UNKNOWN, Account, Attempt, Message, Route, deliver, errors, walk
from ..errors import POLICY
from .support import OTHER_PHONE, PHONE, gateway, template_message


def refusal(error_class):
    outcome = UNKNOWN if error_class == errors.INTERRUPTED else REFUSED
    return Attempt(outcome, error_class=error_class)


class TestWalk(unittest.TestCase):
    """The decision alone; the attempts are given."""

    def walk(self, *attempts):
        routes = [
            Route(number, Account("meta", "", "t"), template_message()) for number in range(len(attempts))
        ]
        walked = walk(routes, lambda route: attempts[route.provider_id])
        self.assertEqual([attempt for _route, attempt in walked], list(attempts[: len(walked)]))
        self.assertEqual([route for route, _attempt in walked], routes[: len(walked)])
        return len(walked)

    def test_accepted_ends_the_walk(self):
        self.assertEqual(self.walk(Attempt(ACCEPTED), Attempt(ACCEPTED)), 1)

    def test_every_class(self):
        goes_on = {errors.ACCOUNT_BLOCKED, errors.BAD_CREDENTIALS, errors.WINDOW_CLOSED}
        for error_class in errors.CLASSES:
            with self.subTest(error_class):
                steps = self.walk(refusal(error_class), Attempt(ACCEPTED))
                self.assertEqual(steps, 2 if error_class in goes_on else 1)

    def test_an_unknown_outcome_never_fails_over(self):
        self.assertEqual(
            self.walk(Attempt(UNKNOWN, error_class=errors.ACCOUNT_BLOCKED), Attempt(ACCEPTED)), 1
        )

    def test_all_routes_refused(self):
        blocked = refusal(errors.ACCOUNT_BLOCKED)
        self.assertEqual(self.walk(blocked, blocked, blocked), 3)

    def test_no_route(self):
        self.assertEqual(self.walk(), 0)

    def test_each_class_has_one_policy(self):
        policies = (errors.FAILOVER, errors.RETRY, errors.FINAL, errors.HOLD)
        self.assertEqual(sum(map(len, policies)), len(POLICY))
        self.assertEqual(POLICY[errors.RATE_LIMITED], errors.RETRY)


class TestDeliver(unittest.TestCase):
    """Through the simulator."""

    def setUp(self):
        self.gateway = gateway()
        self.gateway.reset()

    def routes(self, *types, message=None, **changes):
        message = message or template_message()
        return [
            Route(number, self.gateway.account(name, **changes), message)
            for number, name in enumerate(types, 1)
        ]

    def one(self, routes):
        ((job_id, attempts),) = deliver([(7, routes)])
        self.assertEqual(job_id, 7)
        return [(route.provider_id, attempt.error_class) for route, attempt in attempts]

    def test_many_messages_each_once(self):
        providers = ("meta", "fonnte", "watzap")
        jobs = [
            (number, self.routes(providers[number % 3], message=template_message(f"+62812{number:08d}")))
            for number in range(300)
        ]
        results = dict(deliver(jobs, workers=8))
        self.assertEqual(set(results), set(range(300)))
        self.assertTrue(all(walked[-1][1].outcome == ACCEPTED for walked in results.values()))
        received = self.gateway.messages()
        self.assertEqual(len(received), 300)
        self.assertEqual({int(one["to"][5:]) for one in received}, set(range(300)))

    def test_account_level_refusal_goes_on_to_the_next_provider(self):
        self.gateway.play("meta", "131042")
        self.gateway.configure(fonnte={"connected": False})
        self.assertEqual(
            self.one(self.routes("meta", "fonnte", "watzap")),
            [(1, errors.ACCOUNT_BLOCKED), (2, errors.ACCOUNT_BLOCKED), (3, "")],
        )
        self.assertEqual([one["provider"] for one in self.gateway.messages()], ["watzap"])

    def test_closed_window_and_bad_token_go_on(self):
        routes = self.routes("meta", "fonnte", message=Message(PHONE, "Halo"))
        self.assertEqual(self.one(routes), [(1, errors.WINDOW_CLOSED), (2, "")])
        routes = self.routes("fonnte", api_token="WRONG-SECRET-1") + self.routes("watzap")
        self.assertEqual(self.one(routes), [(1, errors.BAD_CREDENTIALS), (1, "")])

    def test_everything_else_stays(self):
        for fault, error_class in (
            ("131026", errors.BAD_RECIPIENT),
            ("132001", errors.BAD_TEMPLATE),
            ("130429", errors.RATE_LIMITED),
            ("http:500", errors.RETRY_LATER),
            ("135000", errors.UNKNOWN),
            ("cut_after_read", errors.INTERRUPTED),
        ):
            with self.subTest(fault):
                self.gateway.reset()
                self.gateway.play("meta", fault)
                self.assertEqual(self.one(self.routes("meta", "fonnte")), [(1, error_class)])
                self.assertEqual(self.gateway.messages(provider="fonnte"), [])

    def test_one_bad_job_stops_no_other(self):
        broken = [Route(1, Account("pigeon", "", "token"), template_message())]
        malformed = self.routes("fonnte", "watzap", message=Message("0812", "Rahasia sekali"))
        jobs = [(1, broken), (2, self.routes("fonnte")), (3, malformed), (4, self.routes("watzap")), (5, [])]
        with self.assertLogs("", logging.ERROR) as logs:
            results = dict(deliver(jobs, workers=2))
        self.assertEqual(
            {number: len(walked) for number, walked in results.items()}, {1: 1, 2: 1, 3: 1, 4: 1, 5: 0}
        )
        for number in (1, 3):
            attempt = results[number][0][1]
            self.assertEqual((attempt.outcome, attempt.error_class), (UNKNOWN, errors.INTERRUPTED))
            self.assertNotIn("Rahasia", attempt.error_message)
        self.assertEqual(results[2][0][1].outcome, ACCEPTED)
        self.assertEqual(results[4][0][1].outcome, ACCEPTED)
        text = "\n".join(logs.output)
        self.assertIn("ValueError", text)
        self.assertIn("base.py", text)
        for hidden in ("Rahasia", "0812", "FONNTE-TOKEN-DEMO"):
            self.assertNotIn(hidden, text)

    def test_one_dead_provider_stops_no_other(self):
        self.gateway.play("fonnte", "timeout_after_read", times=None)
        slow = self.routes("fonnte", timeout=(5.0, 1.0))
        quick = self.routes("watzap", message=template_message(OTHER_PHONE))
        jobs = [(0, slow), *((number, quick) for number in range(1, 20))]
        order = [job_id for job_id, _walked in deliver(jobs, workers=2)]
        self.assertEqual(order[-1], 0)
        self.assertEqual(sorted(order), list(range(20)))

    def test_jobs_are_pulled_as_workers_come_free(self):
        pulled = []

        def jobs():
            for number in range(20):
                pulled.append((number, threading.current_thread()))
                yield number, self.routes("fonnte")

        finished = 0
        for _job_id, _walked in deliver(jobs(), workers=3):
            finished += 1
            self.assertLessEqual(len(pulled), finished + 3)
        self.assertEqual(finished, 20)
        self.assertEqual({thread for _number, thread in pulled}, {threading.current_thread()})

    def test_no_more_in_flight_than_workers(self):
        """Three at a time against a service that needs 0.2 s: the first six cannot be there before 0.4 s."""
        self.gateway.admin("POST", "settings", {"delay_ms": 200})
        list(deliver([(number, self.routes("fonnte")) for number in range(6)], workers=3))
        times = [one["at"] for one in self.gateway.messages()]
        self.assertGreaterEqual(times[3] - times[0], 0.15)

    def test_closing_early_waits_for_what_is_in_flight(self):
        pulled = []

        def jobs():
            for number in range(50):
                pulled.append(number)
                yield number, self.routes("fonnte")

        self.gateway.admin("POST", "settings", {"delay_ms": 50})
        results = deliver(jobs(), workers=4)
        next(results)
        results.close()
        self.assertLess(len(pulled), 50)
        self.assertEqual(len(self.gateway.messages()), len(pulled))

    def test_jobs_that_fail_lose_nothing(self):
        def jobs():
            yield 1, self.routes("fonnte")
            yield 2, self.routes("watzap")
            raise RuntimeError("no more")

        results = []
        with self.assertRaisesRegex(RuntimeError, "no more"):
            for job_id, walked in deliver(jobs(), workers=4):
                results.append((job_id, walked[0][1].outcome))
        self.assertEqual(sorted(results), [(1, ACCEPTED), (2, ACCEPTED)])

    def test_nothing_to_do(self):
        self.assertEqual(list(deliver([])), [])

    def test_workers_must_be_positive(self):
        with self.assertRaises(ValueError):
            list(deliver([], workers=0))
