"""Auto messages under several processes at once, and under one that is killed: real connections and
commits.
"""

import json

from odoo import fields
from odoo.tests import tagged
from odoo.tools import mute_logger

from .test_concurrency import DRAIN, TIMEOUT, ConcurrencyCase

CALL = """
import json
print(json.dumps(env["sicantik.auto.message"]._process_due()), flush=True)
"""


@tagged("post_install", "-at_install")
class TestAutoMessageProcesses(ConcurrencyCase):
    def setUp(self):
        super().setUp()
        with self.environment() as env:
            held = env["sicantik.auto.message"].search([("state", "in", ("scheduled", "sending"))])
            self.held = {message.id: message.state for message in held}
            held.state = "cancelled"
        self.message_ids = []

    def tearDown(self):
        with self.environment() as env:
            messages = env["sicantik.auto.message"].browse(self.message_ids)
            env.cr.execute(
                """
                DELETE FROM sicantik_notification_log WHERE queue_id IN (
                    SELECT id FROM sicantik_notification_queue WHERE auto_message_id = ANY(%s))
                """,
                [self.message_ids],
            )
            env.cr.execute(
                "DELETE FROM sicantik_notification_queue WHERE auto_message_id = ANY(%s)", [self.message_ids]
            )
            messages.write({"state": "cancelled"})
            messages.unlink()
            for id_, state in self.held.items():
                env["sicantik.auto.message"].browse(id_).write({"state": state})
        super().tearDown()

    def _message(self, env, count, **vals):
        message = env["sicantik.auto.message"].create(
            {
                "title": "Concurrency",
                "message": "Closed on Friday.",
                "contact_input": "\n".join(f"0812000001{number:02}" for number in range(count)),
                **vals,
            }
        )
        self.message_ids.append(message.id)
        return message

    def _rows(self, env):
        return env["sicantik.notification.queue"].search([("auto_message_id", "in", self.message_ids)])

    def _at_once(self, code):
        """Run code in two processes that begin together; give the last line of each."""
        processes = [self._process(code), self._process(code)]
        for process in processes:
            self._go(process)
        return [process.stdout.readline() for process in processes]

    def test_two_callers_queue_and_send_once(self):
        with self.environment() as env:
            self._message(env, 20, delay_seconds=0).action_schedule()
            self._message(env, 20, delay_seconds=0).action_schedule()
        answers = [json.loads(line) for line in self._at_once(CALL)]
        self.assertEqual(sum(answer["queued"] for answer in answers), 40)
        with self.environment() as env:
            env["sicantik.notification.queue"].cron_process_queue()  # what neither came to
            rows = self._rows(env)
            self.assertEqual((len(rows), set(rows.mapped("state"))), (40, {"sent"}))
            messages = env["sicantik.auto.message"].browse(self.message_ids)
            self.assertEqual(messages.mapped("state"), ["sent", "sent"])
        self.assertEqual(len(self.gateway.messages()), 40)

    def test_the_pause_holds_across_processes_and_after_an_outage(self):
        with self.environment() as env:
            self._message(env, 4, delay_seconds=1).action_send_now()
            self._rows(env).write({"scheduled_date": "2026-01-01 00:00:00", "error_class": False})
        for line in self._at_once(DRAIN):
            self.assertTrue(line, "the drain came to its end")
        with self.environment() as env:
            env["sicantik.notification.queue"].cron_process_queue()
        times = [message["at"] for message in self.gateway.messages()]
        self.assertEqual(len(times), 4)
        # Starts are 1 s apart at least; on their way requests may take different times.
        self.assertTrue(all(b - a > 0.8 for a, b in zip(times, times[1:], strict=False)), times)

    def test_a_killed_process_does_not_shorten_the_pause(self):
        self.gateway.fault("fonnte", "timeout_after_read")
        with self.environment() as env:
            self._message(env, 3, delay_seconds=3600).action_send_now()
        process = self._process(DRAIN)
        self._go(process)
        self._wait_for(lambda: self.gateway.messages())
        process.kill()
        process.wait(TIMEOUT)
        self.gateway.clear_faults()
        with self.environment() as env:
            rows = self._rows(env).sorted("id")
            rows[1:].write({"scheduled_date": fields.Datetime.now()})
        with (
            self.environment() as env,
            mute_logger("odoo.addons.sicantik_notification_automation.models.sicantik_notification_worker"),
        ):
            env["sicantik.notification.queue"].cron_process_queue()
        with self.environment() as env:
            states = self._rows(env).sorted("id").mapped("state")
            self.assertEqual(states, ["failed", "pending", "pending"])
        self.assertEqual(len(self.gateway.messages()), 1)

    def test_killed_before_the_recipients_are_in_the_queue(self):
        """Nothing of it is half done: the next one queues all of them."""
        with self.environment() as env:
            self._message(env, 3, delay_seconds=0).action_schedule()
        process = self._process(
            "env['sicantik.auto.message']._queue_next(); print('queued', flush=True); sys.stdin.readline()"
        )
        self._go(process)
        self.assertEqual(process.stdout.readline().strip(), "queued")
        with self.environment() as env:
            result = env["sicantik.auto.message"]._process_due()
            self.assertEqual(result["queued"], 0, "another one is at it")
        process.kill()
        process.wait(TIMEOUT)
        with self.environment() as env:
            self._wait_for(lambda: env["sicantik.auto.message"]._process_due()["sent"])
        self.assertEqual(len(self.gateway.messages()), 3)
