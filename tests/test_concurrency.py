"""Several processes at once, and processes that are killed: real connections, real commits, a real
SIGKILL.
"""

import os
import subprocess
import sys
import time
from contextlib import contextmanager
from unittest.mock import patch

from psycopg2 import errorcodes

from odoo import SUPERUSER_ID, api
from odoo.modules.registry import Registry
from odoo.tests import get_db_name, tagged
from odoo.tests.common import BaseCase
from odoo.tools import config, mute_logger

from ..models import sicantik_notification_cap as cap
from ..models import sicantik_notification_expansion as expansion
from ..models import transaction
from ..models.sicantik_notification_worker import LOCK_SPACE
from ..providers import events
from .common import Gateway

TIMEOUT = 60
MODELS = "odoo.addons.sicantik_notification_automation.models"
# A process of its own, with its own connection: says “ready”, waits for a line, runs the code.
PROCESS = """
import sys
import odoo
import psycopg2
from odoo import SUPERUSER_ID, api
from odoo.modules.registry import Registry
code, name, *options = sys.argv[1:]
odoo.tools.config.parse_config(options)
with Registry(name).cursor() as cr:
    env = api.Environment(cr, SUPERUSER_ID, {})
    print("ready", flush=True)
    sys.stdin.readline()
    exec(code)
"""
DRAIN = "print(env['sicantik.notification.queue'].cron_process_queue(), flush=True)"
KILLED_BEFORE_SETTLING = """
import os, signal
def die(settlement, *args):
    mails = settlement.env["mail.mail"].search_count([("subject", "=", "Concurrency")])
    print(mails, "mail", flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
type(env["sicantik.notification.settlement"])._settle = die
env["sicantik.notification.queue"].cron_process_queue()
"""
FIRE = """
cr.execute("SELECT 1")  # from here on it sees the database as it is now
print("started", flush=True)
try:
    permit = env["sicantik.permit"].browse(%d)
    env["sicantik.notification.trigger"]._process_trigger("concurrency", permit, event_key="the-event")
    print("done", flush=True)
except psycopg2.Error as error:
    print(error.pgcode, flush=True)
    cr.rollback()
"""


@tagged("post_install", "-at_install")
class ConcurrencyCase(BaseCase):
    """What these tests create is committed, so that other connections see it, and deleted in the end."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.registry = Registry(get_db_name())
        cls.gateway = Gateway.start(cls)

    def setUp(self):
        super().setUp()
        self.gateway.reset()
        # Here nothing holds its records in a transaction that never commits.
        patcher = patch.object(transaction, "shares_cursor", return_value=False)
        patcher.start()
        self.addCleanup(patcher.stop)
        with self.environment() as env:
            others = env["sicantik.whatsapp.provider"].search([])
            others.active = False
            held = env["sicantik.notification.queue"].search([("state", "=", "pending")])
            held.state = "skipped"
            rules = env["sicantik.notification.rule"].search([])
            rules.active = False
            partner = env["res.partner"].create({"name": "Concurrency", "whatsapp_number": "081200000099"})
            template = env["sicantik.whatsapp.template.master"].create(
                {
                    "template_key": "concurrency",
                    "name": "Concurrency",
                    "body_preview": "Number {{number}}",
                    "parameter_list": ["number"],
                }
            )
            provider = env["sicantik.whatsapp.provider"].create(
                {
                    "name": "Concurrency",
                    "provider_type": "fonnte",
                    "base_url": f"{self.gateway.url}/fonnte",
                    "api_token": "FONNTE-TOKEN-DEMO",
                    "credential_state": "configured",
                }
            )
            trigger = env["sicantik.notification.trigger"].create(
                {
                    "name": "Concurrency",
                    "code": "concurrency",
                    "model_id": env["ir.model"]._get_id("sicantik.permit"),
                    "state_to": "approved",
                }
            )
            rule = env["sicantik.notification.rule"].create(
                {
                    "name": "Concurrency",
                    "trigger_id": trigger.id,
                    "template_key": "concurrency",
                    "context_preparation_code": "context = {'number': record.permit_number}",
                }
            )
            self.ids = {record._name: record.id for record in (partner, template, provider, trigger, rule)}
            self.restore = (others.ids, held.ids, rules.ids)

    def tearDown(self):
        others, held, rules = self.restore
        with self.environment() as env:
            partner = env["res.partner"].browse(self.ids["res.partner"])
            env.cr.execute("DELETE FROM sicantik_notification_log WHERE partner_id = %s", [partner.id])
            env.cr.execute("DELETE FROM sicantik_notification_queue WHERE partner_id = %s", [partner.id])
            env.cr.execute("DELETE FROM sicantik_notification_usage")
            env.cr.execute("DELETE FROM sicantik_notification_allowance")
            env["sicantik.permit"].search([("partner_id", "=", partner.id)]).unlink()
            for name in (
                "notification.rule",
                "notification.trigger",
                "whatsapp.provider",
                "whatsapp.template.master",
            ):
                env[f"sicantik.{name}"].browse(self.ids[f"sicantik.{name}"]).unlink()
            partner.unlink()
            env["sicantik.whatsapp.provider"].browse(others).active = True
            env["sicantik.notification.queue"].browse(held).state = "pending"
            env["sicantik.notification.rule"].browse(rules).active = True
        super().tearDown()

    @contextmanager
    def environment(self):
        """An environment with a connection of its own; committed when the block ends well."""
        with self.registry.cursor() as cr:
            yield api.Environment(cr, SUPERUSER_ID, {"tracking_disable": True})

    def _queue(self, env, count):
        return env["sicantik.notification.queue"].create(
            [
                {
                    "partner_id": self.ids["res.partner"],
                    "template_key": "concurrency",
                    "context_values": {"number": number},
                }
                for number in range(count)
            ]
        )

    def _process(self, code):
        """Start a process that runs code when it is told to."""
        command = [sys.executable, "-c", PROCESS, code, get_db_name(), "--no-http", "--log-level=critical"]
        command.append(f"--addons-path={self._option('addons_path')}")
        command += [
            f"--{name}={config[name]}"
            for name in ("db_host", "db_port", "db_user", "db_password")
            if config[name]
        ]
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        )
        self.addCleanup(process.stdout.close)
        self.addCleanup(process.stdin.close)
        self.addCleanup(process.wait, TIMEOUT)
        self.addCleanup(process.kill)
        self.assertEqual(process.stdout.readline().strip(), "ready")
        return process

    def _option(self, name):
        value = config[name]
        return ",".join(value) if isinstance(value, list) else value

    def _go(self, process):
        process.stdin.write("go\n")
        process.stdin.flush()

    def _wait_for(self, condition):
        deadline = time.monotonic() + TIMEOUT
        while not condition():
            self.assertLess(time.monotonic(), deadline)
            time.sleep(0.05)


@tagged("post_install", "-at_install")
class TestConcurrency(ConcurrencyCase):
    # === SEVERAL DRAINS ===#

    def test_two_processes_send_each_message_once(self):
        with self.environment() as env:
            rows = self._queue(env, 60)
        processes = [self._process(DRAIN), self._process(DRAIN)]
        for process in processes:
            self._go(process)
        for process in processes:
            self.assertTrue(process.stdout.readline(), "the drain came to its end")
        texts = [message["text"] for message in self.gateway.messages()]
        self.assertEqual(sorted(texts), sorted(f"Number {number}" for number in range(60)))
        with self.environment() as env:
            self.assertEqual(set(rows.with_env(env).mapped("state")), {"sent"})
            self.assertEqual(
                env["sicantik.notification.log"].search_count([("queue_id", "in", rows.ids)]), 60
            )

    def test_killed_while_a_message_is_under_way(self):
        """The claim is committed before the request leaves: what a killed process leaves is never sent
        twice.
        """
        self.gateway.fault("fonnte", "timeout_after_read")
        with self.environment() as env:
            row = self._queue(env, 1)
        process = self._process(DRAIN)
        self._go(process)
        self._wait_for(lambda: self.gateway.messages())
        process.kill()
        process.wait(TIMEOUT)
        self.gateway.clear_faults()
        with self.environment() as env:
            row = row.with_env(env)
            self.assertEqual(
                (row.state, row.provider_id.id), ("processing", self.ids["sicantik.whatsapp.provider"])
            )
        with (
            self.environment() as env,
            mute_logger("odoo.addons.sicantik_notification_automation.models.sicantik_notification_worker"),
        ):
            env["sicantik.notification.queue"].cron_process_queue()
        with self.environment() as env:
            row = row.with_env(env)
            self.assertEqual((row.state, row.error_class), ("failed", "interrupted"))
            self.assertEqual(row.log_ids.mapped("error_class"), ["interrupted"])
        self.assertEqual(len(self.gateway.messages()), 1)

    def test_killed_after_an_email_was_written(self):
        """The mail is there when its row is settled, and not a moment earlier."""
        with self.environment() as env:
            permit = env["sicantik.permit"].create({"partner_id": self.ids["res.partner"]})
            template = env["mail.template"].create(
                {
                    "name": "Concurrency",
                    "model_id": env["ir.model"]._get_id("sicantik.permit"),
                    "subject": "Concurrency",
                    "body_html": "<p>Hello</p>",
                }
            )
            rule = env["sicantik.notification.rule"].browse(self.ids["sicantik.notification.rule"])
            rule.write({"channel": "email", "mail_template_id": template.id})
            env["res.partner"].browse(self.ids["res.partner"]).email = "concurrency@example.com"
            env["sicantik.notification.trigger"]._process_trigger("concurrency", permit)

        def mails(env):
            return env["mail.mail"].search([("model", "=", permit._name), ("res_id", "=", permit.id)])

        try:
            process = self._process(KILLED_BEFORE_SETTLING)
            self._go(process)
            self.assertEqual(process.stdout.readline().strip(), "1 mail")
            process.wait(TIMEOUT)
            with self.environment() as env:
                row = env["sicantik.notification.queue"].search([("res_id", "=", permit.id)])
                self.assertEqual((row.channel, row.state), ("email", "processing"))
                self.assertFalse(mails(env))
            for _drain in range(2):
                with self.environment() as env:
                    env["sicantik.notification.queue"].cron_process_queue()
            with self.environment() as env:
                self.assertEqual(row.with_env(env).state, "sent")
                self.assertEqual(len(mails(env)), 1)
        finally:
            with self.environment() as env:
                mails(env).unlink()
                env["mail.template"].browse(template.id).unlink()

    def test_a_living_worker_keeps_its_rows(self):
        """However slow its provider is: another drain in between takes nothing from it."""
        self.gateway.fault("fonnte", "slow", delay=3)
        with self.environment() as env:
            row = self._queue(env, 1)
        process = self._process(DRAIN)
        self._go(process)
        self._wait_for(lambda: self.gateway.messages())
        with self.environment() as env:
            row.with_env(env).lease_until = "2000-01-01 00:00:00"
        with self.environment() as env:
            env["sicantik.notification.queue"].cron_process_queue()
        with self.environment() as env:
            self.assertEqual(row.with_env(env).state, "processing")
        self.assertTrue(process.stdout.readline())
        with self.environment() as env:
            self.assertEqual(row.with_env(env).state, "sent")

    def test_a_worker_that_loses_its_connection_writes_its_result_all_the_same(self):
        self.gateway.fault("fonnte", "slow", delay=3)
        with self.environment() as env:
            row = self._queue(env, 1)
        process = self._process(DRAIN)
        self._go(process)
        self._wait_for(lambda: self.gateway.messages())
        with self.environment() as env:
            env.cr.execute(
                """
                SELECT pg_terminate_backend(pid) FROM pg_locks
                 WHERE locktype = 'advisory' AND classid = %s
                   AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
                """,
                [LOCK_SPACE],
            )
            self.assertEqual(env.cr.rowcount, 1, "a worker at work holds its lock")
        with (
            self.environment() as env,
            mute_logger("odoo.addons.sicantik_notification_automation.models.sicantik_notification_worker"),
        ):
            env["sicantik.notification.queue"].cron_process_queue()  # takes the worker for dead
        self.assertTrue(process.stdout.readline())
        with self.environment() as env:
            self.assertEqual(row.with_env(env).state, "sent")
        self.assertEqual(len(self.gateway.messages()), 1)

    def test_limits_hold_across_processes(self):
        with self.environment() as env:
            rule = env["sicantik.notification.rule"].browse(self.ids["sicantik.notification.rule"])
            rule.write({"rate_limit_enabled": True, "rate_limit_count": 17, "rate_limit_period": "hour"})
            rows = self._queue(env, 60)
            rows.write({"rule_id": rule.id})
        processes = [self._process(DRAIN), self._process(DRAIN)]
        for process in processes:
            self._go(process)
        for process in processes:
            self.assertTrue(process.stdout.readline())
        self.assertEqual(len(self.gateway.messages()), 17)
        with self.environment() as env:
            states = rows.with_env(env).mapped("state")
            self.assertEqual((states.count("sent"), states.count("pending")), (17, 43))

    def test_the_pace_of_a_provider_holds_across_processes(self):
        with self.environment() as env:
            env["sicantik.whatsapp.provider"].browse(self.ids["sicantik.whatsapp.provider"]).write(
                {"rate_per_second": 10}
            )
            self._queue(env, 24)
        processes = [self._process(DRAIN), self._process(DRAIN)]
        for process in processes:
            self._go(process)
        for process in processes:
            self.assertTrue(process.stdout.readline())
        times = sorted(message["at"] for message in self.gateway.messages())
        self.assertEqual(len(times), 24)
        # Starts are 0.1 s apart; a slow machine lets single ones arrive late, never too many in a second.
        most = max(sum(1 for one in times if start <= one < start + 1) for start in times)
        self.assertLessEqual(most, 10 + 3)

    # === THE CALLER'S TRANSACTION ===#

    def test_process_now_in_the_transaction_that_queues(self):
        """Nobody else sees the row before the commit, so it is sent right after it."""
        with self.environment() as env:
            row = self._queue(env, 1)
            row.action_process()
            self.assertFalse(self.gateway.messages())
        self.assertEqual(len(self.gateway.messages()), 1)
        with self.environment() as env:
            self.assertEqual(row.with_env(env).state, "sent")

    def test_process_now_that_is_rolled_back(self):
        with self.assertRaises(ZeroDivisionError), self.environment() as env:
            self._queue(env, 1).action_process()
            raise ZeroDivisionError
        self.assertFalse(self.gateway.messages())

    def test_rollback_queues_nothing(self):
        permit = self._permits(1)
        with self.assertRaises(ZeroDivisionError), self.environment() as env:
            permit.with_env(env).state = "approved"
            with env.cr.savepoint():
                pass
            raise ZeroDivisionError
        with self.environment() as env:
            self.assertFalse(env["sicantik.notification.queue"].search([("res_id", "=", permit.id)]))

    def _permits(self, count):
        with self.environment() as env:
            return env["sicantik.permit"].create(
                [
                    {"partner_id": self.ids["res.partner"], "permit_number": f"503/{number}"}
                    for number in range(count)
                ]
            )

    def test_two_approvals_at_once(self):
        """The same trigger fires in two transactions at once, and neither waits for the other or fails."""
        first, second = self._permits(2)
        with self.environment() as one, self.environment() as two:
            first.with_env(one).state = "approved"
            second.with_env(two).state = "approved"
            one.cr.flush()
            two.cr.flush()
        with self.environment() as env:
            trigger = env["sicantik.notification.trigger"].browse(self.ids["sicantik.notification.trigger"])
            self.assertEqual(trigger.execution_count, 2)
            env["sicantik.notification.queue"].cron_process_queue()
        self.assertEqual(sorted(m["text"] for m in self.gateway.messages()), ["Number 503/0", "Number 503/1"])

    def test_the_same_event_in_two_transactions(self):
        """The database takes an event key once: the later transaction fails to serialize, and finds it
        done.
        """
        permit = self._permits(1)

        def fire(env):
            return env["sicantik.notification.trigger"]._process_trigger(
                "concurrency", permit.with_env(env), event_key="the-event"
            )

        later = self._process(FIRE % permit.id)
        with self.environment() as env:
            fire(env)
            env.cr.flush()
            self._go(later)
            self.assertEqual(later.stdout.readline().strip(), "started")
            time.sleep(0.3)  # it waits for this transaction now; if not yet, the outcome is the same
        self.assertEqual(later.stdout.readline().strip(), errorcodes.SERIALIZATION_FAILURE)
        with self.environment() as env:
            self.assertEqual(fire(env)["count"], 0)
            self.assertEqual(env["sicantik.notification.queue"].search_count([("res_id", "=", permit.id)]), 1)

    # === WHO WAITS FOR WHOM ===#

    def _looking(self, model, name, table):
        """Have each call of a method look, from another connection, whether it finds rows of a table locked.

        :return: what replaces the method, and the list that gets a bool for each call
        """
        method, locked = getattr(self.registry[model], name), []

        def looking(*args, **kwargs):
            with self.registry.cursor() as other:
                other.execute(f"SELECT count(*) FROM {table}")
                (count,) = other.fetchone()
                other.execute(f"SELECT id FROM {table} FOR UPDATE SKIP LOCKED")
                locked.append(len(other.fetchall()) < count)
            return method(*args, **kwargs)

        return patch.object(self.registry[model], name, looking), locked

    def test_circuits_are_noted_before_allowances_are_asked_for(self):
        """All workers lock allowances in one order: whoever held that of a provider first could wait for
        another that waits for it.
        """
        with self.environment() as env:
            provider_id = self.ids["sicantik.whatsapp.provider"]
            env["sicantik.notification.allowance"]._lock([f"provider:{provider_id}"])
            row = self._queue(env, 1)
        self.gateway.account(fonnte={"connected": False})
        patcher, locked = self._looking(
            "sicantik.notification.allowance", "_admit", "sicantik_notification_allowance"
        )
        with patcher, self.environment() as env:
            env["sicantik.notification.queue"].cron_process_queue()
        with self.environment() as env:
            self.assertEqual(row.with_env(env).log_ids.mapped("state"), ["failed"])
            noted = env["sicantik.notification.allowance"].search([("failure_count", "=", 1)])
            self.assertEqual(noted.subject, f"provider:{provider_id}")
        self.assertGreater(len(locked), 1)
        self.assertNotIn(True, locked)

    def test_circuits_are_noted_before_messages_are_locked(self):
        _rows, ids = self._sent(2)
        refused = {"error_class": "account_blocked", "error_message": "Expired.", "scope": "acct"}
        self._tell(*(events.Receipt(f"{id_}:failed", id_, events.FAILED, **refused) for id_ in ids))
        patcher, locked = self._looking("sicantik.whatsapp.circuit", "_note", "sicantik_notification_queue")
        with patcher, self.environment() as env:
            self.assertEqual(env["sicantik.whatsapp.event"]._apply(), 2)
        self.assertEqual(locked, [False])

    # === WHAT PROVIDERS TELL ===#

    def _sent(self, count):
        """Send messages; give their rows and the ids that the provider gave them."""
        with self.environment() as env:
            rows = self._queue(env, count)
        with self.environment() as env:
            env["sicantik.notification.queue"].cron_process_queue()
        with self.environment() as env:
            return rows, rows.with_env(env).mapped("external_message_id")

    def _tell(self, *told):
        with self.environment() as env:
            provider = env["sicantik.whatsapp.provider"].browse(self.ids["sicantik.whatsapp.provider"])
            return env["sicantik.whatsapp.event"]._store(provider, told)

    def test_two_processes_apply_each_event_once(self):
        """Half of the messages are delivered, half are refused late: those go on, each once."""
        with self.environment() as env:
            watzap = env["sicantik.whatsapp.provider"].create(
                {
                    "name": "Watzap",
                    "provider_type": "watzap",
                    "base_url": f"{self.gateway.url}/watzap",
                    "api_token": "WATZAP-KEY-DEMO",
                    "sender_id": "WATZAP-NUMBER-DEMO",
                    "credential_state": "configured",
                    "sequence": 99,
                }
            )
        self.addCleanup(self._delete, watzap)
        rows, ids = self._sent(60)
        for id_ in ids[:30]:
            self._tell(events.Receipt(f"{id_}:delivered", id_, events.DELIVERED))
            self._tell(events.Receipt(f"{id_}:read", id_, events.READ))
        for id_ in ids[30:]:
            refused = {"error_class": "account_blocked", "error_message": "Expired.", "scope": "acct"}
            self._tell(events.Receipt(f"{id_}:failed", id_, events.FAILED, **refused))
        processes = [self._process(DRAIN), self._process(DRAIN)]
        for process in processes:
            self._go(process)
        for process in processes:
            self.assertTrue(process.stdout.readline(), "the drain came to its end")
        with self.environment() as env:
            env["sicantik.notification.queue"].cron_process_queue()
        with self.environment() as env:
            rows = rows.with_env(env)
            self.assertEqual(rows.mapped("state"), ["sent"] * 60)
            self.assertEqual([row.provider_type for row in rows], ["fonnte"] * 30 + ["watzap"] * 30)
            self.assertEqual(set(rows[:30].log_ids.mapped("delivery_state")), {"read"})
            self.assertEqual(len(rows.log_ids), 90)
        self.assertEqual(len(self.gateway.messages(provider="watzap")), 30)
        self.assertEqual(len(self.gateway.messages()), 90)

    def _delete(self, records):
        with self.environment() as env:
            records.with_env(env).unlink()

    def test_advisory_locks_of_different_things(self):
        """A number whose checksum is the id of a campaign waits for nobody who expands that."""
        with self.environment() as one, self.environment() as other:
            one.cr.execute("SELECT pg_advisory_lock(%s, 4711)", [expansion.LOCK_SPACE])
            for space in (LOCK_SPACE, cap.LOCK_SPACE):
                other.cr.execute("SELECT pg_try_advisory_xact_lock(%s, 4711)", [space])
                self.assertTrue(other.cr.fetchone()[0], space)
            one.cr.execute("SELECT pg_advisory_unlock_all()")

    def test_receipts_of_messages_that_somebody_else_holds(self):
        """They wait, and are applied when the messages are free."""
        rows, ids = self._sent(2)
        self._tell(*(events.Receipt(f"{id_}:read", id_, events.READ) for id_ in ids))
        with self.environment() as other, patch.object(transaction, "LOCK_TIMEOUT", "100ms"):
            other.cr.execute(
                "SELECT id FROM sicantik_notification_log WHERE queue_id = %s FOR UPDATE", [rows[1].id]
            )
            with self.environment() as env, mute_logger(f"{MODELS}.run", "odoo.sql_db"):
                env["sicantik.notification.queue"].cron_process_queue()
            self.assertEqual(self._told(), ["applied", "pending"])
        with self.environment() as env:
            env["sicantik.notification.queue"].cron_process_queue()
        self.assertEqual(self._told(), ["applied", "applied"])

    def _told(self):
        with self.environment() as env:
            provider_id = self.ids["sicantik.whatsapp.provider"]
            told = env["sicantik.whatsapp.event"].search([("provider_id", "=", provider_id)], order="id")
            return told.mapped("state")

    def test_killed_while_events_are_applied(self):
        """What a killed process was applying is applied by the next one."""
        rows, ids = self._sent(3)
        self._tell(*(events.Receipt(f"{id_}:read", id_, events.READ) for id_ in ids))
        apply = "print(env['sicantik.whatsapp.event']._apply(), flush=True); sys.stdin.readline()"
        process = self._process(apply)
        self._go(process)
        self.assertEqual(process.stdout.readline().strip(), "3")
        process.kill()
        process.wait(TIMEOUT)
        with self.environment() as env:
            self.assertEqual(set(rows.with_env(env).log_ids.mapped("delivery_state")), {"accepted"})
            env["sicantik.notification.queue"].cron_process_queue()
        with self.environment() as env:
            self.assertEqual(set(rows.with_env(env).log_ids.mapped("delivery_state")), {"read"})
            self.assertEqual(self._tell(events.Receipt(f"{ids[0]}:read", ids[0], events.READ)), 0)
