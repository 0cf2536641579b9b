"""Triggers with a cron schedule: when they run, how often, and what becomes of a run that is cut off."""

from datetime import datetime, timedelta
from unittest.mock import patch

from freezegun import freeze_time

from odoo.exceptions import AccessError, UserError, ValidationError
from odoo.tests import Form, new_test_user, tagged
from odoo.tools import mute_logger

from ..models import sicantik_notification_clock as clock
from ..models.company_time import to_local
from .common import NotificationCase
from .test_concurrency import DRAIN, ConcurrencyCase

MODULE = "sicantik_notification_automation"
EVALUATION = f"odoo.addons.{MODULE}.models.sicantik_notification_evaluation"
NINE = datetime(2026, 3, 2, 2)  # 09:00 in Jakarta
DAILY = timedelta(days=1)
# Seed 2, section 5.2: word for word
EXPIRING = (
    "[('expiry_date', '<=', (datetime.now() + timedelta(days=30)).strftime('%Y-%m-%d')), "
    "('state', '=', 'approved')]"
)
# What the daily triggers ship with
SHIPPED = {
    "permit_expiring": (
        "[('expiry_date', '<=', (datetime.now() + timedelta(days=30)).strftime('%Y-%m-%d')), ('expiry_date', "
        "'>=', datetime.now().strftime('%Y-%m-%d')), ('state', 'in', ['approved', 'active'])]"
    ),
    "document_pending_reminder": (
        "[('state', '=', 'pending_signature'), ('pending_since', '<=', (datetime.now() - timedelta(hours=24))"
        ".strftime('%Y-%m-%d %H:%M:%S'))]"
    ),
}


class ClockCase(NotificationCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.company = cls.env["res.company"]._get_main_company()
        cls.company.partner_id.tz = "Asia/Jakarta"
        cls.journal = cls.env["sicantik.notification.execution"]

    def look(self, at):
        """Let the clock look at a time (UTC), as the scheduled action does."""
        with freeze_time(at):
            self.env["sicantik.notification.clock"]._run()
        self.commit()
        self.env.invalidate_all()


class TestCronTrigger(ClockCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        with freeze_time(NINE - timedelta(hours=1)):
            cls.trigger = cls._trigger("test_cron", trigger_type="cron", next_run=NINE)
        cls.rule = cls._rule(cls.trigger)
        cls.permit = cls._permit()
        # All others, those of the demo data included, are none of its business.
        cls.trigger.condition_domain = f"[('id', '>=', {cls.permit.id})]"

    # === WHEN ===#

    def test_before_its_time(self):
        self.look(NINE - timedelta(seconds=1))
        self.assertFalse(self.rows())
        self.assertEqual(self.trigger.next_run, NINE)

    def test_once_a_day(self):
        for minute in (0, 1, 60, 23 * 60 + 59):
            self.look(NINE + timedelta(minutes=minute))
            self.assertQueued(self.partner)
        self.assertEqual(self.trigger.next_run, NINE + DAILY)
        self.look(NINE + DAILY)
        self.assertEqual(len(self.rows()), 2)
        self.assertEqual(self.trigger.execution_count, 2)

    def test_one_run_after_a_time_without_the_server(self):
        self.look(NINE + 10 * DAILY + timedelta(hours=5))
        self.assertQueued(self.partner)
        self.assertEqual(self.trigger.next_run, NINE + 11 * DAILY, "at 09:00 again")

    def test_the_hour_of_the_company(self):
        """A day stays at 09:00 when the clocks change."""
        self.company.partner_id.tz = "Europe/Paris"
        with freeze_time("2026-03-27 12:00:00"):
            self.trigger.next_run = "2026-03-28 08:00:00"
        local = []
        for _day in range(3):
            self.look(self.trigger.next_run)
            local.append(to_local(self.trigger.next_run, "Europe/Paris"))
        self.assertEqual([(at.day, at.hour) for at in local], [(29, 9), (30, 9), (31, 9)])
        self.assertEqual(self.trigger.next_run.hour, 7)
        self.assertEqual(len(self.rows()), 3)

    def test_an_event_for_each_run(self):
        self.look(NINE)
        row = self.rows()
        self.assertIn(f"cron:{NINE}", row.event_key)
        # The same slot once more, whatever brought it back
        self.trigger.next_run = NINE
        self.look(NINE + timedelta(hours=1))
        self.assertEqual(self.rows(), row)

    def test_archived(self):
        self.trigger.active = False
        self.look(NINE + 5 * DAILY)
        self.assertFalse(self.rows())
        with freeze_time(NINE + 5 * DAILY):
            self.trigger.active = True
        self.assertEqual(self.trigger.next_run, NINE + 6 * DAILY, "what it missed is not made up for")

    def test_archived_in_the_middle_of_a_run(self):
        for _i in range(4):
            self._permit()
        with (
            patch.object(clock, "CHUNK", 2),
            patch.object(clock.Budget, "is_over", side_effect=[False, True]),
        ):
            self.look(NINE)
        self.trigger.active = False
        with freeze_time(NINE + 3 * DAILY):
            self.trigger.active = True
        self.look(NINE + 3 * DAILY)
        self.assertEqual(len(self.rows()), 2, "that run is over")

    def test_another_interval(self):
        with freeze_time(NINE + timedelta(hours=3, minutes=20)):
            self.trigger.write({"cron_interval_number": 2, "cron_interval_type": "hours"})
        self.assertEqual(self.trigger.next_run, NINE + timedelta(hours=4))
        with freeze_time(NINE + timedelta(hours=3)):
            self.trigger.cron_interval_type = "weeks"
        self.assertEqual(self.trigger.next_run, NINE + 14 * DAILY)

    def test_in_the_form(self):
        with freeze_time(NINE + timedelta(hours=3, minutes=20)), Form(self.trigger) as form:
            form.cron_interval_type = "hours"
            self.assertEqual(form.next_run, NINE + timedelta(hours=4))
            form.next_run = NINE + timedelta(hours=5, minutes=30)
        self.look(self.trigger.next_run)
        self.assertEqual(self.trigger.next_run, NINE + timedelta(hours=6, minutes=30))

    def test_a_run_that_nobody_has_entered(self):
        with freeze_time("2026-05-05 10:20:30"):
            trigger = self._trigger("test_empty", trigger_type="cron", cron_interval_type="hours")
            self.assertEqual(trigger.next_run, datetime(2026, 5, 5, 11, 20))
            trigger.next_run = False
            self.assertEqual(trigger.next_run, datetime(2026, 5, 5, 11, 20))
        self.assertFalse(self._trigger("test_other", trigger_type="manual").next_run)

    def test_of_a_version_without_next_runs(self):
        """They were made when nothing ran them: the clock gives them their first run."""
        trigger = self._trigger("test_before", trigger_type="cron", cron_interval_type="days")
        odd = self._trigger("test_odd", trigger_type="cron", cron_interval_type="days")
        self.env.flush_all()
        self.cr.execute(
            "UPDATE sicantik_notification_trigger SET next_run = NULL, first_run = NULL WHERE id = ANY(%s)",
            [(trigger + odd).ids],
        )
        self.cr.execute(
            "UPDATE sicantik_notification_trigger SET cron_interval_number = 0 WHERE id = %s", [odd.id]
        )
        self.env.invalidate_all()
        rule = self._rule(trigger)
        self.look(NINE)
        self.assertEqual((trigger.next_run, odd.next_run), (NINE + DAILY, False))
        self.look(NINE + DAILY)
        self.assertTrue(self.rows(rule_id=rule.id))

    def test_months_end_although_nobody_entered_the_run(self):
        self.trigger.cron_interval_type = "months"
        last = datetime(2026, 3, 31, 2)
        self.trigger.next_run = last
        self.env.flush_all()
        self.cr.execute("UPDATE sicantik_notification_trigger SET first_run = NULL")
        self.env.invalidate_all()
        for run_, following in (
            (last, datetime(2026, 4, 30, 2)),
            (datetime(2026, 4, 30, 2), datetime(2026, 5, 31, 2)),
        ):
            self.look(run_)
            self.assertEqual(self.trigger.next_run, following)

    def test_an_interval_is_needed(self):
        for values in ({"cron_interval_number": 0}, {"cron_interval_type": False}):
            with self.subTest(values), self.assertRaises(ValidationError), self.env.cr.savepoint():
                self.trigger.write(values)

    def test_the_scheduled_action_is_woken(self):
        cron = self.env.ref(f"{MODULE}.ir_cron_process_queue")
        woken = self.env["ir.cron.trigger"].search([("cron_id", "=", cron.id)])
        woken.unlink()
        with freeze_time(NINE - timedelta(hours=1)):
            self.trigger.next_run = NINE - timedelta(minutes=10)
        self.assertEqual(woken.search([("cron_id", "=", cron.id)]).call_at, NINE - timedelta(minutes=10))
        woken.search([("cron_id", "=", cron.id)]).unlink()
        self.look(NINE)
        self.assertIn(self.trigger.next_run, woken.search([("cron_id", "=", cron.id)]).mapped("call_at"))

    # === FOR WHOM ===#

    def test_the_words_of_the_seed(self):
        """“Izin yang akan berakhir dalam 30 hari”, on the day on which the trigger runs."""
        today = NINE.date()
        self.trigger.condition_domain = EXPIRING
        self.env["sicantik.permit"].search([("expiry_date", "!=", False)]).expiry_date = False
        soon = self._permit(state="approved", expiry_date=today + 30 * DAILY)
        self._permit(state="approved", expiry_date=today + 31 * DAILY)
        self._permit(state="draft", expiry_date=today + 5 * DAILY)
        self.look(NINE)
        self.assertEqual(self.rows().permit_id, soon)

    def test_archived_records(self):
        self.permit.active = False
        self.look(NINE)
        self.assertFalse(self.rows())

    def test_conditions_that_speak_of_one_record(self):
        self._permit()
        self.trigger.condition_domain = f"[('id', '=', record_id), ('id', '<=', {self.permit.id})]"
        self.rule.condition_domain = f"[('id', '=', {self.permit.id})]"
        self.look(NINE)
        self.assertEqual(self.rows().permit_id, self.permit)

    # === MANY RECORDS ===#

    def test_in_chunks(self):
        for _i in range(6):
            self._permit()
        with patch.object(clock, "CHUNK", 3):
            self.look(NINE)
        self.assertEqual(len(self.rows()), 7)
        self.assertEqual(self.trigger.execution_count, 7)
        self.assertEqual(
            self.journal.search_count([("trigger_id", "=", self.trigger.id), ("rule_id", "=", False)]), 3
        )
        self.assertFalse(self.trigger.run_slot)

    def test_a_run_that_is_cut_off_goes_on(self):
        """Each pass may take one step; in between, the server dies."""
        for _i in range(4):
            self._permit()
        one_step = lambda: patch.object(clock.Budget, "is_over", side_effect=[False, True])  # noqa: E731
        counts = []
        for minute in range(3):
            with patch.object(clock, "CHUNK", 2), one_step():
                self.look(NINE + timedelta(minutes=minute))
            counts.append(len(self.rows()))
        self.assertEqual(counts, [2, 4, 5])
        self.assertFalse(self.trigger.run_slot)
        self.assertEqual({row.event_key.partition(":cron:")[2] for row in self.rows()}, {str(NINE)})
        self.assertEqual(self.trigger.next_run, NINE + DAILY)

    def test_a_step_that_fails_leaves_nothing_behind(self):
        """What queues and what notes how far it got are one transaction."""
        for _i in range(4):
            self._permit()
        write = clock.SicantikNotificationClock._write

        def dies(self, trigger, **values):
            if values.get("run_position"):
                raise ZeroDivisionError
            return write(self, trigger, **values)

        with (
            patch.object(clock, "CHUNK", 2),
            patch.object(clock.SicantikNotificationClock, "_write", dies),
            mute_logger(EVALUATION),
        ):
            self.look(NINE)
        self.assertFalse(self.rows())
        self.assertIn("ZeroDivisionError", self.trigger.last_error)
        with patch.object(clock, "CHUNK", 2):
            self.look(NINE + timedelta(minutes=1))
        self.assertEqual(len(self.rows()), 5)
        self.assertFalse(self.trigger.last_error)

    def test_the_budget_is_kept(self):
        cron = self.env.ref(f"{MODULE}.ir_cron_process_queue")
        with patch.object(clock.Budget, "is_over", return_value=True):
            self.look(NINE)
        self.assertFalse(self.rows())
        self.assertIn(NINE, self.env["ir.cron.trigger"].search([("cron_id", "=", cron.id)]).mapped("call_at"))

    def test_triggers_take_turns(self):
        """A trigger with many records keeps no other one waiting."""
        with freeze_time(NINE - timedelta(hours=1)):
            other = self._trigger("test_other", trigger_type="cron", next_run=NINE, sequence=99)
        other.condition_domain = f"[('id', '=', {self.permit.id})]"
        rule = self._rule(other)
        for _i in range(8):
            self._permit()
        with (
            patch.object(clock, "CHUNK", 2),
            patch.object(clock.Budget, "is_over", side_effect=[False, False, True]),
        ):
            self.look(NINE)
        self.assertEqual(len(self.rows(rule_id=rule.id)), 1)

    def test_queries_do_not_depend_on_the_number_of_records(self):
        self._permit()
        self.commit()

        def count(at):
            before = self.cr.sql_log_count
            self.look(at)
            return self.cr.sql_log_count - before

        count(NINE)
        few = count(NINE + DAILY)
        for _i in range(50):
            self._permit()
        self.commit()
        many = count(NINE + 2 * DAILY)
        self.assertEqual(len(self.rows()), 2 + 2 + 52)
        self.assertLessEqual(many, few + 2)

    # === WHAT GOES WRONG ===#

    def test_a_faulty_trigger_stops_nobody(self):
        with freeze_time(NINE - timedelta(hours=1)):
            faulty = self._trigger("test_faulty", trigger_type="cron", next_run=NINE, sequence=1)
        self.env.cr.execute(
            "UPDATE sicantik_notification_trigger SET condition_domain = '1 +' WHERE id = %s", [faulty.id]
        )
        faulty.invalidate_recordset()
        with mute_logger(EVALUATION):
            self.look(NINE)
        self.assertQueued(self.partner)
        self.assertIn("SyntaxError", faulty.last_error)
        self.assertEqual(faulty.next_run, NINE + DAILY, "it moves on")
        faulty.condition_domain = "[('id', '<', 0)]"
        self.look(NINE + DAILY)
        self.assertFalse(faulty.last_error, "all is well again, though there was nobody to write to")

    def test_an_error_is_not_said_every_minute(self):
        self.env.cr.execute(
            """UPDATE sicantik_notification_trigger
                  SET condition_domain = '1 +', cron_interval_type = 'minutes' WHERE id = %s""",
            [self.trigger.id],
        )
        self.trigger.invalidate_recordset()
        with mute_logger(EVALUATION):
            for minute in range(3):
                self.look(NINE + timedelta(minutes=minute))
        self.assertEqual(self.journal.search_count([("trigger_id", "=", self.trigger.id)]), 1)

    def test_a_clock_that_fails_does_not_stop_the_queue(self):
        provider = self._provider("fonnte")
        row = self._row()
        due = patch.object(clock.SicantikNotificationClock, "_due", side_effect=ZeroDivisionError)
        with due, mute_logger(EVALUATION):
            self.drain()
        self.assertSent(row, provider.provider_type)

    # === BY HAND ===#

    def test_run_now(self):
        manager = new_test_user(self.env, "manager_test", groups=f"{MODULE}.group_notification_manager")
        with freeze_time(NINE - timedelta(hours=1)):
            answer = self.trigger.with_user(manager).action_run_now()
        self.assertIn("1", answer["params"]["message"])
        self.assertQueued(self.partner)
        self.assertEqual(self.trigger.next_run, NINE, "stays as it is")
        self.look(NINE)
        self.assertEqual(len(self.rows()), 2)

    def test_run_now_of_many_records(self):
        for _i in range(4):
            self._permit()
        with (
            patch.object(clock, "CHUNK", 2),
            patch.object(clock.Budget, "is_over", side_effect=[False, True]),
        ):
            self.trigger.action_run_now()
        self.assertEqual(len(self.rows()), 2)
        with self.assertRaisesRegex(UserError, "running already"):
            self.trigger.action_run_now()
        self.env["sicantik.notification.clock"]._run()
        self.assertEqual(len(self.rows()), 5)

    def test_who_may_not_run_it(self):
        user = new_test_user(self.env, "user_test", groups=f"{MODULE}.group_notification_user")
        with self.assertRaises(AccessError):
            self.trigger.with_user(user).action_run_now()
        self.trigger.active = False
        with self.assertRaisesRegex(UserError, "Activate"):
            self.trigger.action_run_now()
        with self.assertRaisesRegex(UserError, "schedule"):
            self._trigger("test_manual", trigger_type="manual").action_run_now()
        self.assertFalse(self.rows())


class TestShippedSchedules(ClockCase):
    def _shipped(self, code, rule):
        trigger = self.env.ref(f"{MODULE}.sicantik_notification_trigger_{code}")
        trigger.active = True
        self.env.ref(f"{MODULE}.sicantik_notification_rule_{rule}").active = True
        self.env["sicantik.permit"].search([]).active = False
        self.env["sicantik.document"].search([]).active = False
        return trigger

    def test_domains(self):
        for code, domain in SHIPPED.items():
            trigger = self.env.ref(f"{MODULE}.sicantik_notification_trigger_{code}")
            self.assertEqual(trigger.condition_domain, domain)

    def test_permit_expiring(self):
        """Seed 2, 3.2: “Izin yang akan berakhir dalam 30 hari”, every day at 09:00; each permit once."""
        trigger = self._shipped("permit_expiring", "permit_expiring")
        trigger.next_run = NINE
        permit = self._permit(state="approved", expiry_date=NINE.date() + 20 * DAILY)
        for day in range(3):
            self.look(NINE + day * DAILY)
        row = self.assertQueued(self.partner)
        self.assertEqual((row.template_key, row.permit_id), ("permit_reminder", permit))
        self.assertEqual(trigger.execution_count, 3)

    def test_document_pending_reminder(self):
        """Seed 2, 3.2: “Dokumen pending lebih dari 24 jam”, every day at 10:00."""
        trigger = self._shipped("document_pending_reminder", "reminder")
        ten = NINE + timedelta(hours=1)
        trigger.next_run = ten
        clerk = new_test_user(self.env, "clerk_test", groups=f"{MODULE}.group_staff")
        clerk.partner_id.whatsapp_number = "081200000007"
        self.env["sicantik.document"].create(
            [
                {
                    "name": str(hours),
                    "state": "pending_signature",
                    "responsible_id": clerk.id,
                    "pending_since": ten - timedelta(hours=hours),
                }
                for hours in (23, 25)
            ]
        )
        self.look(ten)
        row = self.assertQueued(clerk.partner_id)
        self.assertEqual((row.template_key, row.document_id.name), ("reminder", "25"))


@tagged("post_install", "-at_install")
class TestClockProcesses(ConcurrencyCase):
    """Real connections, real commits, a real SIGKILL."""

    def setUp(self):
        super().setUp()
        with self.environment() as env:
            trigger = env["sicantik.notification.trigger"].browse(self.ids["sicantik.notification.trigger"])
            permits = env["sicantik.permit"].create(
                [
                    {"partner_id": self.ids["res.partner"], "permit_number": f"503/{number}"}
                    for number in range(40)
                ]
            )
            trigger.write(
                {
                    "trigger_type": "cron",
                    "condition_domain": [("id", "in", permits.ids)],
                    "next_run": datetime.now().replace(microsecond=0) - timedelta(minutes=1),
                }
            )
            self.permits = permits.ids

    def _rows(self, env):
        return env["sicantik.notification.queue"].search(
            [("rule_id", "=", self.ids["sicantik.notification.rule"])]
        )

    def _chunks(self, code):
        module = f"odoo.addons.{MODULE}.models.sicantik_notification_clock"
        return f"import sys; clock = sys.modules['{module}']; clock.CHUNK = 4\n{code}"

    def test_run_now(self):
        """What the button says is what was done, which its own transaction cannot see."""
        with self.environment() as env:
            trigger = env["sicantik.notification.trigger"].browse(self.ids["sicantik.notification.trigger"])
            self.assertEqual(trigger.execution_count, 0)
            message = trigger.action_run_now()["params"]["message"]
        self.assertIn("40", message)
        with self.environment() as env:
            self.assertEqual(sorted(self._rows(env).mapped("res_id")), self.permits)

    def test_two_servers(self):
        processes = [self._process(self._chunks(DRAIN)) for _i in range(2)]
        for process in processes:
            self._go(process)
        for process in processes:
            self.assertTrue(process.stdout.readline())
        with self.environment() as env:
            self.assertEqual(sorted(self._rows(env).mapped("res_id")), self.permits)
            trigger = env["sicantik.notification.trigger"].browse(self.ids["sicantik.notification.trigger"])
            self.assertEqual(trigger.execution_count, 40, "each record is looked at by one of them")
            self.assertFalse(trigger.run_slot)
            self.assertGreater(trigger.next_run, datetime.now())

    def test_killed_between_chunks(self):
        dies = """
from unittest.mock import patch
step = clock.SicantikNotificationClock._step_of_run
steps = []
def dies(self, *args):
    if len(steps) == 3:
        step(self, *args)
        print("dies", flush=True)
        sys.stdin.readline()
    steps.append(1)
    return step(self, *args)
with patch.object(clock.SicantikNotificationClock, "_step_of_run", dies):
    env["sicantik.notification.clock"]._run()
"""
        process = self._process(self._chunks(dies))
        self._go(process)
        self.assertEqual(process.stdout.readline().strip(), "dies")
        process.kill()  # with the fourth chunk fired and not committed
        process.wait()
        with self.environment() as env:
            self.assertEqual(sorted(self._rows(env).mapped("res_id")), self.permits[:12])
        with self.environment() as env:
            env["sicantik.notification.clock"]._run()
        with self.environment() as env:
            self.assertEqual(sorted(self._rows(env).mapped("res_id")), self.permits)
