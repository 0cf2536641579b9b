"""Triggers relative to a date: each record, offset and value of the date fires once."""

from datetime import date, datetime, timedelta
from unittest.mock import patch

from freezegun import freeze_time

from odoo.exceptions import AccessError, ValidationError
from odoo.tests import new_test_user, tagged
from odoo.tools import mute_logger

from ..models import sicantik_notification_clock as clock
from .test_clock import EVALUATION, MODULE, ClockCase
from .test_concurrency import DRAIN, ConcurrencyCase

ARMED = datetime(2026, 1, 1, 5)
DAY = timedelta(days=1)
EXPIRY = date(2026, 12, 31)


def midnight(day, hours=0):
    """The moment at which it is midnight in Jakarta, or some hours later."""
    return datetime(day.year, day.month, day.day) + timedelta(hours=hours - 7)


class TestExpiryWarning(ClockCase):
    """Seed 3, scenario 6: “Izin akan habis dalam 90/60/30/7 hari”, by the shipped trigger and rule."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.env["sicantik.permit"].search([]).active = False
        cls.trigger = cls.env.ref(f"{MODULE}.sicantik_notification_trigger_permit_expiry_warning")
        with freeze_time(ARMED):
            cls.trigger.active = True
            cls.trigger.looked_date = ARMED
        cls.rule = cls.env.ref(f"{MODULE}.sicantik_notification_rule_permit_expiry_warning")
        cls.rule.active = True
        cls.moments = cls.env["sicantik.notification.moment"]

    def _expiring(self, day=EXPIRY, **vals):
        return self._permit(state="active", expiry_date=day, **vals)

    def offsets(self):
        """Give the days of the offsets that fired, in the order in which they did."""
        return [int(row.event_key.split(":t:")[1].split(":")[0]) // (24 * 60) for row in self.rows()]

    def test_the_whole_story(self):
        """Looked at every six hours for more than a year, it warns four times, on the right days."""
        permit = self._expiring()
        found, at = [], midnight(EXPIRY - 100 * DAY)
        while at < midnight(EXPIRY + 10 * DAY):
            before = len(self.rows())
            self.look(at)
            if len(self.rows()) > before:
                found.append((EXPIRY - (at + timedelta(hours=7)).date()).days)
            at += timedelta(hours=6)
        self.assertEqual(found, [90, 60, 30, 7])
        self.assertEqual(self.offsets(), [-90, -60, -30, -7])
        self.assertEqual(set(self.rows().mapped("template_key")), {"permit_expiry_warning"})
        self.assertEqual(self.rows().permit_id, permit)
        self.assertFalse(self.trigger.last_error)
        self.assertEqual(self.trigger.execution_count, 4)

    def test_states(self):
        for state, _label in self.env["sicantik.permit"]._fields["state"].selection:
            self._permit(state=state, expiry_date=EXPIRY)
        self.look(midnight(EXPIRY - 30 * DAY))
        self.assertEqual(sorted(self.rows().permit_id.mapped("state")), ["active", "approved"])

    def test_who_meets_the_condition_later_that_day(self):
        permit = self._permit(state="processing", expiry_date=EXPIRY)
        self.look(midnight(EXPIRY - 30 * DAY))
        permit.state = "active"
        self.look(midnight(EXPIRY - 30 * DAY, hours=10))
        self.assertQueued(self.partner)

    def test_midnight_of_the_company(self):
        self._expiring()
        self.look(midnight(EXPIRY - 30 * DAY) - timedelta(seconds=1))
        self.assertFalse(self.rows())
        self.look(midnight(EXPIRY - 30 * DAY))
        self.assertQueued(self.partner)

    def test_midnight_of_each_company(self):
        paris = self.env["res.company"].create({"name": "Paris"})
        paris.partner_id.tz = "Europe/Paris"
        late = self._expiring(company_id=paris.id)
        early = self._expiring()
        self.look(midnight(EXPIRY - 30 * DAY))
        self.assertEqual(self.rows().permit_id, early)
        self.look(midnight(EXPIRY - 30 * DAY, hours=6) - timedelta(seconds=1))
        self.assertEqual(self.rows().permit_id, early)
        self.look(midnight(EXPIRY - 30 * DAY, hours=6))
        self.assertEqual(self.rows().permit_id, early + late)

    def test_the_memory_outlives_the_messages(self):
        self._expiring()
        self.look(midnight(EXPIRY - 30 * DAY))
        self.rows().write({"state": "cancelled"})
        self.rows().unlink()
        self.look(midnight(EXPIRY - 30 * DAY, hours=1))
        self.assertFalse(self.rows())

    def test_fires_once_although_nobody_was_written_to(self):
        self.rule.condition_domain = "[('state', '=', 'approved')]"
        permit = self._expiring()
        self.look(midnight(EXPIRY - 30 * DAY))
        permit.state = "approved"
        self.look(midnight(EXPIRY - 30 * DAY, hours=1))
        self.assertFalse(self.rows())
        self.assertEqual(self.trigger.execution_count, 1)

    def test_created_inside(self):
        """Twenty days before the end only what is still ahead is said."""
        self.look(midnight(EXPIRY - 20 * DAY))
        self._expiring()
        for hours in (1, 2, 20):
            self.look(midnight(EXPIRY - 20 * DAY, hours=hours))
        self.assertFalse(self.rows())
        self.look(midnight(EXPIRY - 8 * DAY, hours=9))
        self.look(midnight(EXPIRY - 7 * DAY, hours=9))
        self.assertEqual(self.offsets(), [-7])
        self.assertFalse(self.trigger.last_error)

    def test_moved_date(self):
        permit = self._expiring()
        self.look(midnight(EXPIRY - 7 * DAY))
        permit.expiry_date = EXPIRY + 30 * DAY  # so that it is 37 days
        self.look(midnight(EXPIRY - 6 * DAY))
        self.assertEqual(self.offsets(), [-7])
        self.look(midnight(EXPIRY))
        self.look(midnight(EXPIRY + 23 * DAY))
        self.assertEqual(self.offsets(), [-7, -30, -7])
        permit.expiry_date = EXPIRY + 23 * DAY  # back, to a day that has not had its warning
        self.look(midnight(EXPIRY + 16 * DAY))
        self.assertEqual(self.offsets(), [-7, -30, -7, -7])

    def test_moved_and_moved_back(self):
        permit = self._expiring()
        at = midnight(EXPIRY - 7 * DAY)
        self.look(at)
        permit.expiry_date = EXPIRY + DAY
        self.look(at + timedelta(hours=1))
        permit.expiry_date = EXPIRY
        self.look(at + timedelta(hours=2))
        self.assertQueued(self.partner)

    # === WHEN THE SERVER WAS DOWN ===#

    def test_caught_up(self):
        self._expiring()
        self.look(midnight(EXPIRY - 31 * DAY))
        self.look(midnight(EXPIRY - 30 * DAY, hours=23))
        self.assertQueued(self.partner)
        self.assertFalse(self.trigger.last_error)

    def test_dropped(self):
        self._expiring()
        self._expiring()
        self.look(midnight(EXPIRY - 31 * DAY))
        self.look(midnight(EXPIRY - 28 * DAY))
        self.assertFalse(self.rows())
        self.assertIn("2 records came due", self.trigger.last_error)
        notes = self.journal.search_count([("trigger_id", "=", self.trigger.id)])
        self.look(midnight(EXPIRY - 28 * DAY, hours=1))
        self.assertIn("2 records came due", self.trigger.last_error, "until it fires again")
        self.assertEqual(self.journal.search_count([("trigger_id", "=", self.trigger.id)]), notes)
        self.look(midnight(EXPIRY - 7 * DAY))
        self.assertEqual(self.offsets(), [-7, -7])

    def test_longer_catch_up(self):
        settings = self.env["res.config.settings"].create({})
        self.assertEqual(settings.whatsapp_catch_up_hours, 24)
        settings.whatsapp_catch_up_hours = 72
        settings.execute()
        self._expiring()
        self.look(midnight(EXPIRY - 31 * DAY))
        self.look(midnight(EXPIRY - 28 * DAY))
        self.assertQueued(self.partner)
        self.assertFalse(self.trigger.last_error)

    def test_catch_up_has_bounds(self):
        for hours in (0, -1, 721):
            with self.subTest(hours), self.assertRaises(ValidationError), self.env.cr.savepoint():
                self.env["res.config.settings"].create({"whatsapp_catch_up_hours": hours})

    # === ACTIVATION ===#

    def test_due_before_activation(self):
        """What was due before the day of the activation is nobody's business; that day itself counts."""
        self._expiring(EXPIRY)
        self._expiring(EXPIRY - DAY)
        with freeze_time(midnight(EXPIRY - 30 * DAY, hours=10)):
            self.trigger.active = False
            self.trigger.active = True
        self.env["ir.config_parameter"].set_param(clock.CATCH_UP, "72")
        self.look(midnight(EXPIRY - 30 * DAY, hours=11))
        self.assertEqual(self.rows().permit_id.mapped("expiry_date"), [EXPIRY])
        self.assertFalse(self.trigger.last_error)

    def test_rule_that_comes_later(self):
        """Without a rule there is nobody to tell, so nothing has fired and nothing was dropped."""
        self.rule.active = False
        self._expiring()
        self._expiring(EXPIRY - 5 * DAY)
        self.look(midnight(EXPIRY - 40 * DAY))
        self.look(midnight(EXPIRY - 30 * DAY))
        self.assertFalse(self.moments.search([]))
        self.rule.active = True
        self.look(midnight(EXPIRY - 30 * DAY, hours=10))
        self.assertEqual(self.rows().permit_id.mapped("expiry_date"), [EXPIRY])
        self.assertFalse(self.trigger.last_error)

    def test_archived(self):
        self._expiring()
        self.trigger.active = False
        self.look(midnight(EXPIRY - 30 * DAY))
        self.assertFalse(self.rows())

    # === MANY RECORDS ===#

    def test_in_chunks(self):
        for _i in range(7):
            self._expiring()
        with patch.object(clock, "CHUNK", 3):
            self.look(midnight(EXPIRY - 30 * DAY))
        self.assertEqual(len(self.rows()), 7)
        self.assertEqual(len(self.moments.search([])), 7)

    def test_cut_off(self):
        for _i in range(5):
            self._expiring()
        counts = []
        for minute in range(3):
            with (
                patch.object(clock, "CHUNK", 2),
                patch.object(clock.Budget, "is_over", side_effect=[False, True]),
            ):
                self.look(midnight(EXPIRY - 30 * DAY) + timedelta(minutes=minute))
            counts.append(len(self.rows()))
        self.assertEqual(counts, [2, 4, 5])
        self.assertEqual(len(self.moments.search([])), 5)

    def test_queries(self):
        """A look that finds nothing costs a few for each offset; one that fires does not cost more for
        many.
        """

        def count(at):
            before = self.cr.sql_log_count
            self.look(at)
            return self.cr.sql_log_count - before

        self._expiring()
        self.look(midnight(EXPIRY - 91 * DAY))
        few = count(midnight(EXPIRY - 90 * DAY))
        nothing = count(midnight(EXPIRY - 90 * DAY, hours=1))
        for _i in range(50):
            self._expiring()
        self.commit()
        self.look(midnight(EXPIRY - 61 * DAY))
        many = count(midnight(EXPIRY - 60 * DAY))
        self.assertEqual(len(self.rows()), 1 + 51)
        self.assertLessEqual(many, few + 3)
        self.assertLessEqual(nothing, 45)
        self.assertLess(nothing, few)

    def test_cleanup_forgets_what_is_long_past(self):
        permit = self._expiring()
        self.moments._remember(self.trigger, -7 * 24 * 60, {permit.id: datetime.now() - 60 * DAY})
        self.moments._remember(self.trigger, -7 * 24 * 60, {permit.id: datetime.now() - 20 * DAY})
        self.logs.cron_cleanup_old_logs()
        self.assertEqual(len(self.moments.search([])), 1)

    # === WHAT GOES WRONG ===#

    def test_a_faulty_condition_is_made_up_for(self):
        self._expiring()
        domain = self.trigger.condition_domain
        self.env.cr.execute(
            "UPDATE sicantik_notification_trigger SET condition_domain = '1 +' WHERE id = %s",
            [self.trigger.id],
        )
        self.trigger.invalidate_recordset()
        with mute_logger(EVALUATION):
            for minute in range(3):
                self.look(midnight(EXPIRY - 30 * DAY) + timedelta(minutes=minute))
        self.assertIn("SyntaxError", self.trigger.last_error)
        self.assertEqual(self.journal.search_count([("trigger_id", "=", self.trigger.id)]), 1)
        with freeze_time(midnight(EXPIRY - 30 * DAY, hours=1)):
            self.trigger.condition_domain = domain
        self.look(midnight(EXPIRY - 30 * DAY, hours=1))
        self.assertQueued(self.partner)
        self.assertFalse(self.trigger.last_error)

    def test_faulty_rule(self):
        """A rule that fails says so; the moment has passed all the same."""
        self._expiring()
        self.rule.condition_python = "1 / 0"
        with mute_logger(EVALUATION):
            self.look(midnight(EXPIRY - 30 * DAY))
        self.assertIn("ZeroDivisionError", self.rule.last_error)

    # === WHO MAY WHAT ===#

    def test_nobody_writes_the_memory(self):
        self.moments._remember(self.trigger, 0, {1: ARMED})
        moment = self.moments.search([])
        manager = new_test_user(self.env, "manager_test", groups=f"{MODULE}.group_notification_manager")
        user = new_test_user(self.env, "user_test", groups=f"{MODULE}.group_notification_user")
        for call in (lambda m: m.unlink(), lambda m: m.write({"res_id": 2}), lambda m: m.copy()):
            with self.assertRaises(AccessError):
                call(moment.with_user(manager))
        for reader in (manager, user):
            with self.assertRaises(AccessError):
                moment.with_user(reader).read(["res_id"])

    def test_what_is_refused(self):
        field = self.env["ir.model.fields"]._get
        for values, message in (
            ({"time_offsets": "-7"}, "“-7” is no time"),
            ({"time_offsets": False}, "is no time"),
            ({"time_offsets": "-7d, soon"}, "“soon” is no time"),
            ({"date_field_id": False}, "Choose the date"),
            ({"date_field_id": field("sicantik.document", "signature_date").id}, "has no field"),
            ({"date_field_id": field("sicantik.permit", "permit_number").id}, "stored date"),
            ({"date_field_id": field("sicantik.permit", "activity_date_deadline").id}, "stored date"),
            ({"tolerance_minutes": -1}, "tolerance"),
        ):
            with (
                self.subTest(values),
                self.assertRaisesRegex(ValidationError, message),
                self.env.cr.savepoint(),
            ):
                self.trigger.write(values)


class TestTimeOfDay(ClockCase):
    """Seed 5: an hour before, five minutes either side; documents stand for sessions."""

    START = datetime(2026, 6, 1, 3)

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.env["sicantik.document"].search([]).active = False
        with freeze_time(ARMED):
            cls.trigger = cls._trigger(
                "test_session",
                model="sicantik.document",
                trigger_type="on_time",
                date_field_id=cls.env["ir.model.fields"]._get("sicantik.document", "signature_date").id,
                time_offsets="-1h",
            )
        cls.rule = cls._rule(cls.trigger, template_key="reminder")

    def _session(self, start=START, **vals):
        return self.env["sicantik.document"].create(
            {"name": "Session", "partner_id": self.partner.id, "signature_date": start, **vals}
        )

    def at(self, minutes):
        """Look so many minutes before a session begins."""
        self.look(self.START - timedelta(minutes=minutes))
        return len(self.rows())

    def test_five_minutes_either_side(self):
        for minutes, fires in ((66, 0), (65, 1), (60, 1), (55, 1), (54.9, 0), (30, 0)):
            with self.subTest(minutes):
                before = len(self.rows())
                session = self._session()
                self.assertEqual(self.at(minutes), before + fires)
                session.active = False

    def test_every_minute(self):
        self._session()
        counts = [self.at(minutes) for minutes in range(75, 45, -1)]
        self.assertEqual(counts, [0] * 10 + [1] * 20)

    def test_moved_to_another_hour(self):
        session = self._session()
        self.at(60)
        session.signature_date = self.START + timedelta(hours=3)
        self.at(30)
        self.assertEqual(len(self.rows()), 1)
        self.at(60 - 180)
        self.assertEqual(len(self.rows()), 2)

    def test_moved_within_the_tolerance(self):
        session = self._session()
        self.at(60)
        session.signature_date = self.START + timedelta(minutes=2)
        self.assertEqual(self.at(59), 2, "another time is another moment")

    def test_too_late_after_a_stop(self):
        self._session()
        self.at(120)
        self.at(30)
        self.assertFalse(self.rows())
        self.assertIn("1 records came due", self.trigger.last_error)

    def test_no_tolerance(self):
        self.trigger.tolerance_minutes = 0
        self._session()
        self.assertEqual(self.at(60.5), 0)
        self.assertEqual(self.at(59.5), 1)

    def test_a_day_or_more_is_exact_and_caught_up(self):
        with freeze_time(ARMED):
            self.trigger.time_offsets = "-1d, +2h"
        self._session()
        self.assertEqual(self.at(24 * 60 + 1), 0)
        self.assertEqual(self.at(24 * 60 - 600), 1)
        self.assertEqual(self.at(-115), 2)

    def test_due_before_activation(self):
        self._session()
        with freeze_time(self.START - timedelta(minutes=50)):
            self.trigger.active = False
            self.trigger.active = True
        self.assertEqual(self.at(49), 0)

    def test_zone_of_the_company_does_not_matter(self):
        self.company.partner_id.tz = "America/New_York"
        self._session()
        self.assertEqual(self.at(60), 1)

    def test_woken_in_time(self):
        """Where the scheduled action does not run every minute, it is woken for what comes before."""
        cron = self.env.ref(f"{MODULE}.ir_cron_process_queue")
        cron.write({"interval_number": 2, "interval_type": "hours"})
        self.env["ir.cron.trigger"].search([("cron_id", "=", cron.id)]).unlink()
        self._session()
        self.at(150)
        woken = self.env["ir.cron.trigger"].search([("cron_id", "=", cron.id)])
        self.assertEqual(woken.mapped("call_at"), [self.START - timedelta(minutes=65)])

    def test_woken_at_midnight(self):
        cron = self.env.ref(f"{MODULE}.ir_cron_process_queue")
        self.env["ir.cron.trigger"].search([("cron_id", "=", cron.id)]).unlink()
        permits = self._trigger(
            "test_permits",
            trigger_type="on_time",
            date_field_id=self.env["ir.model.fields"]._get("sicantik.permit", "expiry_date").id,
            time_offsets="-7d,+9h",
        )
        self._rule(permits)
        for hours, coming in ((12, 24), (2, 9)):
            self.look(midnight(EXPIRY, hours=hours))
            woken = self.env["ir.cron.trigger"].search([("cron_id", "=", cron.id)])
            self.assertEqual(woken.mapped("call_at"), [midnight(EXPIRY, hours=coming)])
            woken.unlink()


@tagged("post_install", "-at_install")
class TestMomentProcesses(ConcurrencyCase):
    def setUp(self):
        super().setUp()
        with self.environment() as env:
            today = datetime.now() + timedelta(hours=7)
            self.permits = env["sicantik.permit"].create(
                [
                    {
                        "partner_id": self.ids["res.partner"],
                        "permit_number": f"503/{number}",
                        "expiry_date": today.date() + 7 * DAY,
                    }
                    for number in range(30)
                ]
            )
            trigger = env["sicantik.notification.trigger"].browse(self.ids["sicantik.notification.trigger"])
            trigger.write(
                {
                    "trigger_type": "on_time",
                    "condition_domain": [("id", "in", self.permits.ids)],
                    "date_field_id": env["ir.model.fields"]._get("sicantik.permit", "expiry_date").id,
                    "time_offsets": "-7d,-30d",
                }
            )

    def test_three_servers(self):
        module = f"odoo.addons.{MODULE}.models.sicantik_notification_clock"
        code = f"import sys; sys.modules['{module}'].CHUNK = 4\n{DRAIN}"
        processes = [self._process(code) for _i in range(3)]
        for process in processes:
            self._go(process)
        for process in processes:
            self.assertTrue(process.stdout.readline())
        with self.environment() as env:
            env["sicantik.notification.clock"]._run()
        with self.environment() as env:
            rows = env["sicantik.notification.queue"].search([("res_id", "in", self.permits.ids)])
            self.assertEqual(sorted(rows.mapped("res_id")), self.permits.ids)
            trigger = env["sicantik.notification.trigger"].browse(self.ids["sicantik.notification.trigger"])
            self.assertEqual(trigger.execution_count, 30)

    def test_without_the_lock_the_memory_decides(self):
        """Whatever else fails, the database takes each moment once."""
        with self.environment() as one, self.environment() as two:
            trigger = one["sicantik.notification.trigger"].browse(self.ids["sicantik.notification.trigger"])
            moments = one["sicantik.notification.moment"]
            values = {self.permits.ids[0]: ARMED}
            self.assertEqual(moments._remember(trigger, -60, values), set(values))
            one.cr.commit()
            self.assertEqual(moments.with_env(two)._remember(trigger.with_env(two), -60, values), set())
