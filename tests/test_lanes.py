"""Where the drain runs: here without `queue_job` or without its runner, else in lanes.

The second class needs `queue_job` in the database and is left out of the standard run; together with a real
runner it is the step “lanes” of `make test`.
"""

from datetime import timedelta
from unittest.mock import patch

from odoo import fields
from odoo.sql_db import db_connect
from odoo.tests import Form, get_db_name, tagged
from odoo.tools import mute_logger

from ..models import sicantik_notification_lane as lanes
from .common import NotificationCase
from .test_security import SecurityCase


class LanesCase(NotificationCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.lane = cls.env["sicantik.notification.lane"]
        cls.provider = cls._provider("fonnte")
        cls.startClassPatcher(patch.object(lanes, "ROWS_PER_LANE", 2))

    def due(self, count, **vals):
        for _i in range(count):
            self._row(message_type="text", body="Halo", template_key=False, **vals)

    def limit(self, value):
        self.env["ir.config_parameter"].set_param(lanes.LANES_PARAMETER, value)


class TestLanes(LanesCase):
    def test_without_a_runner_the_drain_runs_here(self):
        self.due(3)
        result = self.lane._drain_or_start()
        self.assertEqual(result, {"processed": 3, "sent": 3, "failed": 0, "skipped": 0})
        self.assertEqual(len(self.gateway.messages()), 3)

    def test_nothing_due_is_a_drain_that_finds_nothing(self):
        self.assertEqual(self.lane._drain_or_start(), {"processed": 0, "sent": 0, "failed": 0, "skipped": 0})

    def test_as_many_lanes_as_there_is_due_work(self):
        wanted = []
        for _i in range(4):
            wanted.append(self.lane._wanted())
            self.due(2)
        self.assertEqual(wanted, [0, 1, 2, 2], "two lanes unless the setting says otherwise")
        self.limit("3")
        self.assertEqual(self.lane._wanted(), 3)
        self.limit("0")
        self.assertEqual(self.lane._wanted(), 0)

    def test_what_no_drain_would_take_is_no_work(self):
        campaign = self.env["sicantik.notification.campaign"].create(
            {"name": "Held", "rule_id": self._rule(self._trigger()).id}
        )
        self.due(1, scheduled_date=fields.Datetime.now() + timedelta(minutes=5))
        self.due(1, campaign_id=campaign.id)
        self.assertEqual(self.lane._wanted(), 1)
        campaign.state = "paused"
        self.assertEqual(self.lane._wanted(), 0)

    def test_the_setting(self):
        settings = self.env["res.config.settings"]
        self.assertEqual(settings.create({}).whatsapp_lanes, lanes.DEFAULT_LANES)
        self.assertEqual(Form(settings).whatsapp_has_lanes, "queue.job" in self.env)
        for value in (5, 0):
            settings.create({"whatsapp_lanes": value}).execute()
            self.assertEqual(self.lane._limit(), value)
            self.assertEqual(settings.create({}).whatsapp_lanes, value)
        for nonsense in ("-1", "many", ""):
            self.limit(nonsense)
            self.assertEqual(self.lane._limit(), lanes.DEFAULT_LANES)


class TestLaneDoors(SecurityCase):
    def test_nobody_starts_a_lane_from_outside(self):
        for name in ("_drain_or_start", "_drain_lane", "_start"):
            self.assertRefused("manager", "sicantik.notification.lane", name)


@tagged("-standard", "sicantik_lanes")
class TestLaneJobs(LanesCase):
    """Jobs are queued and judged; there is no runner, a lock of ours stands for it."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.jobs = cls.env["queue.job"]

    def runner(self):
        """Hold the lock that a runner holds."""
        from odoo.addons.queue_job.jobrunner.runner import PG_ADVISORY_LOCK_ID

        # A cursor of the database itself; the registry's would be the test's own.
        cr = db_connect(get_db_name()).cursor()
        self.addCleanup(cr.close)
        cr.execute("SELECT pg_advisory_xact_lock(%s)", [PG_ADVISORY_LOCK_ID])
        return cr

    def lane_jobs(self):
        return self.jobs.search([("channel", "=", lanes.CHANNEL)], order="id")

    def started(self, count):
        """Have lanes started for so many due rows, and give all their jobs."""
        self.gateway.reset()
        self.due(count)
        self.assertEqual(self.lane._drain_or_start()["processed"], 0)
        self.assertEqual(self.gateway.messages(), [])
        return self.lane_jobs()

    def assertDrainsHere(self):
        self.assertTrue(self.lane._drain_or_start()["sent"])

    def age(self, jobs):
        """Let more time pass than anybody waits for a job."""
        self.env.flush_all()
        self.env.cr.execute(
            """
            UPDATE queue_job
               SET date_created = date_created - %(time)s, date_started = date_started - %(time)s
             WHERE id = ANY(%(ids)s)
            """,
            {"time": 2 * lanes.PATIENCE, "ids": jobs.ids},
        )
        jobs.invalidate_recordset()

    def test_jobs_in_a_channel_of_their_own(self):
        self.runner()
        jobs = self.started(3)
        self.assertEqual(jobs.mapped("method_name"), ["_drain_lane"] * 2)
        self.assertEqual(jobs.mapped("state"), ["pending"] * 2)
        self.assertEqual(len(set(jobs.mapped("identity_key"))), 2)
        self.assertEqual(jobs.user_id, self.env.ref("base.user_root"))

    def test_one_message_one_lane(self):
        self.runner()
        self.assertEqual(len(self.started(1)), 1)

    def test_a_lane_that_waits_or_works_is_not_started_again(self):
        self.runner()
        for state in ("pending", "enqueued", "started"):
            jobs = self.started(4)
            jobs.write({"state": state, "date_started": fields.Datetime.now()})
            self.assertEqual(self.lane_jobs(), jobs, state)
            self.assertEqual(len(jobs), 2)

    def test_a_done_lane_is_free(self):
        self.runner()
        self.started(4).write({"state": "done"})
        self.assertEqual(len(self.started(1)), 4)

    def test_a_runner_that_ended(self):
        runner = self.runner()
        self.started(1)
        runner.close()
        self.assertDrainsHere()

    def test_jobs_that_nobody_runs(self):
        self.runner()
        self.age(self.started(1))
        self.assertDrainsHere()

    def test_a_killed_lane_is_free_after_a_while(self):
        self.runner()
        jobs = self.started(4)
        jobs.write({"state": "started", "date_started": fields.Datetime.now()})
        self.age(jobs)
        self.assertEqual(len(self.started(1)), 4)

    def test_a_lane_that_failed(self):
        self.runner()
        job = self.started(1)
        job.write({"state": "failed", "date_started": fields.Datetime.now()})
        self.assertDrainsHere()
        self.age(job)
        self.assertEqual(len(self.started(1)), 2)

    def test_a_queue_that_takes_no_jobs(self):
        self.runner()
        self.due(1)
        broken = patch.object(type(self.jobs), "create", side_effect=ValueError("broken"))
        with broken, mute_logger(lanes.__name__):
            self.assertDrainsHere()

    def test_no_lanes_wanted(self):
        self.runner()
        self.limit("0")
        self.due(1)
        self.assertDrainsHere()
        self.assertFalse(self.lane_jobs())

    def test_a_lane_goes_on_after_its_commit(self):
        self.runner()
        self.due(1)
        self.assertEqual(self.lane._drain_lane()["sent"], 1)
        self.due(1)  # too late for this drain, and the lane is still busy
        self.assertFalse(self.lane_jobs())
        self.env.cr.postcommit.run()
        self.assertEqual(len(self.lane_jobs()), 1)

    def test_a_lane_that_found_nothing_does_not_go_on(self):
        self.runner()
        self.lane._drain_lane()
        self.due(1)
        self.env.cr.postcommit.run()
        self.assertFalse(self.lane_jobs())
