"""The Overview page: its numbers, the lists behind them, what it says needs somebody, and who may see it."""

from datetime import datetime, timedelta

from freezegun import freeze_time

from odoo import Command
from odoo.exceptions import AccessError
from odoo.tests import HttpCase, tagged

from .common import NotificationCase
from .test_security import SecurityCase

LOG = "sicantik.notification.log"
QUEUE = "sicantik.notification.queue"
SERIES = ("sent", "delivered", "read", "failed", "skipped")
# A Wednesday, 10:30 in Jakarta.
NOW = datetime(2031, 6, 11, 3, 30)


class OverviewCase(NotificationCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.overview = cls.env["sicantik.notification.overview"]
        cls.company = cls.env["res.company"].create({"name": "Overview Office"})
        cls.company.partner_id.tz = "Asia/Jakarta"
        cls.env.user.company_ids = [Command.link(cls.company.id)]
        cls.reader = cls.env["res.users"].create(
            {
                "name": "Reader",
                "login": "overview_reader",
                "groups_id": [
                    Command.link(cls.env.ref("sicantik_notification_automation.group_notification_user").id)
                ],
                "company_id": cls.company.id,
                "company_ids": [Command.set(cls.company.ids)],
            }
        )

    def setUp(self):
        super().setUp()
        # The numbers depend on the time of day; the clock of the page is set, rows get dates relative to it.
        clock = freeze_time(NOW)
        clock.start()
        self.addCleanup(clock.stop)

    def _log(self, state="sent", delivery_state=None, ago=timedelta(0), count=1, **vals):
        """Write log rows of some time ago."""
        logs = self.logs._record(
            [{"state": state, "company_id": self.company.id, "phone": "+6281200000001", **vals}] * count
        )
        self.env.cr.execute(
            "UPDATE sicantik_notification_log SET create_date = %s, delivery_state = %s WHERE id = ANY(%s)",
            [NOW - ago, delivery_state, logs.ids],
        )
        return logs

    def _message(self, state="failed", error_class=None, ago=timedelta(0), company=None, **vals):
        """Put a message into the queue that ended some time ago."""
        row = self._row(company_id=(company or self.company).id, **vals)
        self.env.flush_all()
        self.env.cr.execute(
            """
            UPDATE sicantik_notification_queue SET state = %s, error_class = %s, write_date = %s WHERE id = %s
            """,
            [state, error_class, NOW - ago, row.id],
        )
        self.env.invalidate_all()
        return row

    def _data(self, user=None, **kwargs):
        self.env.flush_all()
        self.env.invalidate_all()
        return self.overview.with_user(user or self.reader).with_company(self.company).get_data(**kwargs)

    def _list(self, data, key, bar, user=None):
        """Count the list that the page opens behind a number, as `openSeries` in overview.js does."""
        series = data["series"][key]
        domain = [*series["domain"], (series["date_field"], ">=", bar["from"])]
        if bar.get("to"):
            domain.append((series["date_field"], "<", bar["to"]))
        return self.env[series["model"]].with_user(user or self.reader).search_count(domain)

    def _sum(self, data, key, first):
        return sum(day[key] for day in data["days"] if day["date"] >= first)

    def _card(self, data, key):
        return next((card for card in data["attention"] if card["key"] == key), None)


class TestOverviewNumbers(OverviewCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.env.ref("sicantik_notification_automation.ir_cron_process_queue").lastcall = NOW

    def test_every_number_is_the_length_of_its_list(self):
        ago = (0, 3, 10, 11, 23, 30, 70, 100, 200, 320, 400)
        for at, hours in enumerate(ago):
            state = (None, "accepted", "delivered", "read", "failed")[at % 5]
            self._log(delivery_state=state, ago=timedelta(hours=hours, minutes=at), count=at + 1)
            self._log("failed", ago=timedelta(hours=hours))
            self._message("failed", "bad_recipient", timedelta(hours=hours))
            self._message("skipped", "no_number", timedelta(hours=hours, minutes=1))
        data = self._data()
        self.assertEqual(len(data["days"]), 14)
        self.assertEqual(len(data["hours"]), 24)
        seen = dict.fromkeys(SERIES, 0)
        for bar in data["days"] + data["hours"]:
            for key in SERIES:
                with self.subTest(f"{key} {bar['from']}"):
                    self.assertEqual(bar[key], self._list(data, key, bar))
                    seen[key] += bar[key]
        self.assertTrue(all(seen.values()), seen)
        # The totals have no end, as the page opens them.
        for first in (data["today"], data["week_start"]):
            day = next(day for day in data["days"] if day["date"] == first)
            for key in SERIES:
                since = {"from": day["from"]}
                self.assertEqual(self._sum(data, key, first), self._list(data, key, since), key)
        for reason in data["reasons"]:
            rows = self.queue.with_user(self.reader)
            self.assertEqual(reason["failed"], rows.search_count(reason["failed_domain"]))
            self.assertEqual(reason["skipped"], rows.search_count(reason["skipped_domain"]))

    def test_days_are_those_of_the_company(self):
        # Midnight in Jakarta was 10.5 hours ago, 17:00 UTC.
        self._log(ago=timedelta(hours=10, minutes=29))
        self._log(ago=timedelta(hours=10, minutes=31), count=2)
        data = self._data()
        self.assertEqual((data["today"], data["zone"]), ("2031-06-11", "Asia/Jakarta"))
        self.assertEqual([day["sent"] for day in data["days"][-2:]], [2, 1])
        self.assertEqual(data["days"][-1]["from"], "2031-06-10 17:00:00")

    def test_the_day_on_which_clocks_change(self):
        """On the day on which 2:00 to 3:00 comes twice, every message is in one bar, and in its list."""
        self.company.partner_id.tz = "Europe/Paris"
        moment = datetime(2031, 10, 26, 6, 10)  # at 1:00 UTC the clocks went from 3:00 back to 2:00
        for minutes in (300, 330, 350, 370, 430):
            self._log(ago=NOW - moment + timedelta(minutes=minutes))
        with freeze_time(moment):
            data = self._data()
        self.assertEqual(sum(bar["sent"] for bar in data["hours"]), 5)
        for bar in data["hours"] + data["days"]:
            self.assertEqual(bar["sent"], self._list(data, "sent", bar), bar)

    def test_the_week_begins_as_the_language_says(self):
        english = self.env.ref("base.lang_en")
        for week_start, expected in (("1", "2031-06-09"), ("7", "2031-06-08"), ("3", "2031-06-11")):
            english.week_start = week_start
            self.assertEqual(self._data()["week_start"], expected)

    def test_sent_is_what_was_not_refused_afterwards(self):
        self._log(delivery_state="failed")
        self._log(delivery_state="accepted")
        self._log("failed")
        today = self._data()["days"][-1]
        self.assertEqual((today["sent"], today["failed"]), (1, 0))

    def test_refresh_counts_the_last_two_days_alike(self):
        self._log(ago=timedelta(hours=20), count=3, delivery_state="read")
        self._message("failed", "no_provider", timedelta(days=5))
        self._message("skipped", "no_number", timedelta(hours=1))
        whole, fresh = self._data(), self._data(history=False)
        self.assertEqual(fresh["days"], whole["days"][-2:])
        for key in ("hours", "reasons", "queue", "rate", "attention"):
            self.assertEqual(fresh[key], whole[key], key)

    def test_rate(self):
        self._log(ago=timedelta(minutes=4), count=10)
        self._log(ago=timedelta(minutes=6), count=5)
        data = self._data()
        self.assertEqual((data["rate"]["count"], data["rate"]["minutes"]), (10, 5))
        self.assertEqual(self._list(data, "sent", data["rate"]), 10)

    def test_queue(self):
        trigger = self._trigger("test_manual", trigger_type="manual")
        campaign = self.env["sicantik.notification.campaign"].create(
            {"name": "C", "rule_id": self._rule(trigger).id, "company_id": self.company.id}
        )
        campaign.state = "paused"
        ours = {"company_id": self.company.id}
        self._row(scheduled_date=NOW - timedelta(minutes=20), **ours)
        self._row(scheduled_date=NOW - timedelta(minutes=1), **ours)
        self._row(scheduled_date=NOW + timedelta(hours=1), **ours)
        self._row(scheduled_date=NOW - timedelta(hours=5), campaign_id=campaign.id, **ours)
        self._message("processing")
        queue = self._data()["queue"]
        self.assertEqual([queue[part]["count"] for part in ("due", "later", "processing")], [2, 1, 1])
        self.assertEqual(queue["oldest_seconds"], 20 * 60)
        for part in ("due", "later", "processing"):
            rows = self.queue.with_user(self.reader)
            self.assertEqual(queue[part]["count"], rows.search_count(queue[part]["domain"]), part)

    def test_campaigns(self):
        trigger = self._trigger("test_manual", trigger_type="manual")
        campaigns = self.env["sicantik.notification.campaign"].create(
            [
                {"name": name, "rule_id": self._rule(trigger).id, "company_id": self.company.id}
                for name in ("Running", "Paused", "Draft")
            ]
        )
        campaigns[0].state, campaigns[1].state = "running", "paused"
        for state in ("sent", "sent", "failed", "pending"):
            self._message(state, campaign_id=campaigns[0].id)
        data = self._data()
        found = {one["name"]: one for one in data["campaigns"]}
        self.assertEqual(set(found), {"Running", "Paused"})
        running = found["Running"]
        self.assertEqual((running["targets"], running["sent"], running["failed"]), (4, 2, 1))
        self.assertEqual((running["pending"], running["progress"]), (1, 75.0))
        self.assertEqual(self._card(data, "campaigns")["action"]["res_id"], campaigns[1].id)

    def test_number_of_queries(self):
        """As many for many rows, providers, campaigns and reasons as for one of each."""
        trigger = self._trigger("test_manual", trigger_type="manual")
        rule = self._rule(trigger)

        def fill(times):
            for at in range(times):
                campaign = self.env["sicantik.notification.campaign"].create(
                    {"name": f"C{at}", "rule_id": rule.id, "company_id": self.company.id}
                )
                campaign.state = "paused"
                self._provider("fonnte", company_id=self.company.id, daily_limit=10, credential_state="error")
                self._log(ago=timedelta(hours=at), count=20, rule_id=rule.id)
                for reason in ("no_number", "interrupted", "no_provider"):
                    self._message("failed", reason, timedelta(hours=at), campaign_id=campaign.id)

        def queries():
            self.env.flush_all()
            self.env.invalidate_all()
            before = self.env.cr.sql_log_count
            self.overview.with_user(self.reader).get_data()
            return self.env.cr.sql_log_count - before

        fill(1)
        queries()  # what is read once per process
        few = queries()
        fill(7)
        queries()
        self.assertEqual(queries(), few)
        self.env.flush_all()
        self.env.invalidate_all()
        with self.assertQueryCount(24):
            self.overview.with_user(self.reader).get_data()

    def test_indexes(self):
        self.env.cr.execute("SELECT indexname FROM pg_indexes WHERE indexname LIKE 'sicantik_notification_%'")
        names = {name for (name,) in self.env.cr.fetchall()}
        self.assertLessEqual({"sicantik_notification_log_time", "sicantik_notification_queue_unsent"}, names)


class TestOverviewAttention(OverviewCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.cron = cls.env.ref("sicantik_notification_automation.ir_cron_process_queue")
        cls.cron.lastcall = NOW
        rule = cls._rule(cls._trigger("test_manual", trigger_type="manual"))
        cls.logs._record([{"state": "sent", "rule_id": rule.id, "company_id": cls.company.id}])
        cls.provider = cls._provider("fonnte", company_id=cls.company.id)

    def test_nothing(self):
        data = self._data()
        self.assertEqual((data["attention"], data["steps"], data["reasons"]), ([], False, []))

    def test_interrupted(self):
        self._message("failed", "interrupted", timedelta(days=20))
        card = self._card(self._data(), "interrupted")
        self.assertIn("1", card["title"])
        self.assertEqual(self.queue.with_user(self.reader).search_count(card["action"]["domain"]), 1)

    def test_circuit_and_credentials(self):
        self.env["sicantik.notification.allowance"]._lock([f"provider:{self.provider.id}"])
        self.env.cr.execute(
            "UPDATE sicantik_notification_allowance SET probe_date = %s WHERE subject = %s",
            [NOW + timedelta(minutes=2), f"provider:{self.provider.id}"],
        )
        self.provider.write({"credential_state": "error", "last_error_message": "The token is wrong."})
        data = self._data()
        (health,) = data["providers"]
        self.assertEqual((health["level"], health["probe_date"]), ("danger", "2031-06-11 03:32:00"))
        card = self._card(data, f"provider_{self.provider.id}")
        self.assertEqual(card["text"], "The token is wrong.")
        self.assertEqual(card["action"]["res_id"], self.provider.id)
        self.assertTrue(self._card(data, "no_provider"))

    def test_daily_limit(self):
        self.provider.daily_limit = 10
        subject = f"provider:{self.provider.id}"
        self.env["sicantik.notification.usage"]._add(
            [(subject, NOW - timedelta(hours=hours), 3) for hours in (1, 2, 25)]
        )
        (health,) = self._data()["providers"]
        self.assertEqual((health["used"], health["daily_limit"], health["level"]), (6, 10, "success"))
        self.env["sicantik.notification.usage"]._add([(subject, NOW, 4)])
        self.assertEqual(self._data()["providers"][0]["level"], "warning")

    def test_scheduled_action(self):
        for vals in ({"lastcall": NOW - timedelta(minutes=11)}, {"lastcall": NOW, "active": False}):
            self.cron.write(vals)
            self.assertEqual(self._card(self._data(), "cron")["level"], "danger")
            self.assertFalse(self._card(self._data(), "cron")["action"])  # the reader may not open it
        self.assertTrue(self._card(self._data(self.env.user), "cron")["action"])
        self.cron.write({"active": True, "lastcall": NOW - timedelta(minutes=9)})
        self.assertFalse(self._card(self._data(), "cron"))

    def test_mails_that_came_back(self):
        self._log(delivery_state="failed", ago=timedelta(hours=20), channel="email", count=2)
        self._log(delivery_state="failed", ago=timedelta(hours=80), channel="email")
        self._log(delivery_state="failed", ago=timedelta(hours=20))
        for history in (True, False):
            card = self._card(self._data(history=history), "returned")
            self.assertIn("2", card["title"])
            self.assertEqual(self.logs.with_user(self.reader).search_count(card["action"]["domain"]), 2)

    def test_messages_that_wait_too_long(self):
        self._row(company_id=self.company.id, scheduled_date=NOW - timedelta(minutes=11))
        card = self._card(self._data(), "stuck")
        self.assertEqual(self.queue.with_user(self.reader).search_count(card["action"]["domain"]), 1)
        self._log(ago=timedelta(minutes=1))  # others leave: it is a long queue
        self.assertFalse(self._card(self._data(), "stuck"))

    def test_what_mends_each_reason(self):
        partner = self._partner("Nobody's Number", company_id=self.company.id)
        others = self._partner("Another", company_id=self.company.id)
        self._message("skipped", "no_number", partner_id=partner.id)
        rule = self._rule(self._trigger("test_mend", trigger_type="manual"))
        self._message("failed", "missing_parameter", rule_id=rule.id)
        self._message("failed", "no_template")
        self._message("failed", "bad_credentials")
        self._message("failed", "unknown")
        data = self._data()
        opened = {}
        for reason in data["reasons"]:
            self.assertTrue(reason["hint"] and reason["button"] and reason["label"], reason)
            opened[reason["reason"]] = self.overview.with_user(self.reader).action_mend(reason["reason"])
        self.assertEqual(
            {reason: action["res_model"] for reason, action in opened.items()},
            {
                "no_number": "res.partner",
                "missing_parameter": "sicantik.notification.rule",
                "no_template": "sicantik.whatsapp.template.master",
                "bad_credentials": "sicantik.whatsapp.provider",
                "unknown": QUEUE,
            },
        )
        self.assertEqual(opened["no_number"]["res_id"], partner.id)
        self.assertEqual(opened["missing_parameter"]["res_id"], rule.id)
        self._message("skipped", "no_number", partner_id=others.id)
        action = self.overview.with_user(self.reader).action_mend("no_number")
        self.assertEqual(
            self.env["res.partner"].with_user(self.reader).search(action["domain"]), partner + others
        )

    def test_reasons_are_the_most_frequent_of_the_last_week(self):
        for _i in range(3):
            self._message("skipped", "no_number")
        for _i in range(2):
            self._message("failed", "bad_recipient")
        self._message("failed", "no_provider", timedelta(days=8))
        self._message("cancelled", "cancelled")
        found = [(one["reason"], one["failed"], one["skipped"]) for one in self._data()["reasons"]]
        self.assertEqual(found, [("bad_recipient", 2, 0), ("no_number", 0, 3)])


class TestOverviewSteps(OverviewCase):
    """The checklist of a new office."""

    KEYS = ("provider", "test", "template", "rule", "message")

    def _steps(self, user=None):
        return {step["key"]: step for step in self._data(user)["steps"] or []}

    def _done(self, user=None):
        return [key for key, step in self._steps(user).items() if step["done"]]

    def test_each_step_is_done_by_what_is_there(self):
        self.assertEqual((tuple(self._steps()), self._done()), (self.KEYS, []))
        provider = self._provider("fonnte", company_id=self.company.id, credential_state="draft")
        self.assertEqual(self._done(), ["provider"])
        provider.credential_state = "configured"
        self.assertEqual(self._done(), ["provider", "test"])
        self._log("failed", template_key="test_ready")
        self._log(template_key=False)
        self.assertEqual(self._done(), ["provider", "test"])
        self._log(template_key="test_ready")
        self.assertEqual(self._done(), ["provider", "test", "template"])
        trigger = self._trigger("test_manual", trigger_type="manual")
        rule = self._rule(trigger)
        trigger.active = False
        self.assertEqual(self._done(), ["provider", "test", "template"])
        trigger.active = True
        self.assertEqual(self._done(), ["provider", "test", "template", "rule"])
        self._log(rule_id=rule.id)
        self.assertEqual(tuple(self._done(self.env.user)), self.KEYS)

    def test_of_another_company_nothing_counts(self):
        other = self.env["res.company"].create({"name": "Other Office"})
        self._provider("fonnte", company_id=other.id)
        self.logs._record([{"state": "sent", "template_key": "test_ready", "company_id": other.id}])
        self.assertEqual(self._done(), [])

    def test_each_button_opens_where_it_is_done(self):
        steps = self._steps(self.env.user)
        self.assertEqual(steps["provider"]["action"]["res_model"], "sicantik.whatsapp.provider")
        self.assertFalse(steps["provider"]["action"]["res_id"])
        provider = self._provider("fonnte", company_id=self.company.id, credential_state="draft")
        self.assertEqual(self._steps(self.env.user)["test"]["action"]["res_id"], provider.id)
        for step in steps.values():
            self.assertTrue(step["text"] and step["button"], step)
            if isinstance(step["action"], str):
                self.assertTrue(self.env.ref(step["action"]))

    def test_who_may_not_is_shown_no_button(self):
        self.assertFalse(any(step["action"] for step in self._steps().values()))
        self.assertTrue(all(step["action"] for step in self._steps(self.env.user).values()))

    def test_the_last_look_is_the_managers(self):
        self._provider("fonnte", company_id=self.company.id)
        rule = self._rule(self._trigger("test_manual", trigger_type="manual"))
        self._log(rule_id=rule.id)
        self.assertFalse(self._steps())
        self.assertEqual(tuple(self._done(self.env.user)), self.KEYS)

    def test_put_away_and_brought_back(self):
        first = self.env["sicantik.notification.first.steps"].with_company(self.company)
        other = self.env["res.company"].create({"name": "Other Office"})
        first.show(False)
        self.assertFalse(self._steps())
        self.assertFalse(other.first_steps_hidden, "each company has its own")
        first.show(True)
        self.assertEqual(tuple(self._steps()), self.KEYS)

    def test_number_of_queries(self):
        self._provider("fonnte", company_id=self.company.id)
        steps = self.env["sicantik.notification.first.steps"].with_user(self.reader)
        providers = self.overview.with_user(self.reader)._providers(NOW)
        steps._steps(providers)
        self.env.flush_all()
        self.env.invalidate_all()
        with self.assertQueryCount(5):  # the company, its user, and three questions
            steps._steps(providers)


@tagged("post_install", "-at_install")
class TestOverviewAccess(SecurityCase):
    def test_who_may_see_it(self):
        for name in ("staff", "official", "employee", "portal", "public"):
            self.assertRefused(name, "sicantik.notification.overview", "get_data")
            self.assertRefused(name, "sicantik.notification.overview", "action_mend", "no_number")
            self.assertRefused(name, "sicantik.notification.first.steps", "show", True)
        for name in ("user", "manager"):
            self.assertIn("days", self.rpc(name, "sicantik.notification.overview", "get_data"))
        self.assertRefused("user", "sicantik.notification.first.steps", "show", False)
        self.rpc("manager", "sicantik.notification.first.steps", "show", False)
        self.assertTrue(self.env.company.first_steps_hidden)

    def test_helpers_are_not_called_from_outside(self):
        for model, method in (
            ("sicantik.notification.attention", "_cards"),
            ("sicantik.notification.mending", "_remedy"),
        ):
            self.assertTrue(hasattr(self.env[model], method))
            self.assertRefused("manager", model, method, [])

    def test_no_secrets(self):
        self._provider("watzap", app_secret="APP-SECRET-DEMO", verify_token="VERIFY-DEMO")
        data = self.rpc("user", "sicantik.notification.overview", "get_data")
        self.assertIn("Watzap", [one["name"] for one in data["providers"]])
        text = repr(data)
        for secret in ("WATZAP-KEY-DEMO", "WATZAP-NUMBER-DEMO", "APP-SECRET-DEMO", "VERIFY-DEMO"):
            self.assertNotIn(secret, text)

    def test_companies(self):
        """Nobody sees the numbers, campaigns and providers of a company that they do not work for."""
        other = self.env["res.company"].create({"name": "Other Office"})
        own = self.env.company
        before = self.rpc("user", "sicantik.notification.overview", "get_data")
        rule = self._rule(self._trigger("test_manual", trigger_type="manual"))
        campaign = self.env["sicantik.notification.campaign"].create(
            {"name": "Theirs", "rule_id": rule.id, "company_id": other.id}
        )
        campaign.state = "running"
        self._provider("fonnte", company_id=other.id, name="Theirs")
        self.logs._record([{"state": "sent", "company_id": other.id}] * 3)
        rows = self._row(company_id=other.id) + self._row(company_id=other.id)
        self.env.flush_all()
        self.env.cr.execute(
            """
            UPDATE sicantik_notification_queue SET state = 'failed', error_class = 'interrupted' WHERE id = %s
            """,
            [rows[0].id],
        )
        self.env.invalidate_all()
        after = self.rpc("user", "sicantik.notification.overview", "get_data")
        for key in ("days", "campaigns", "providers", "reasons", "attention"):
            self.assertEqual(before[key], after[key], key)
        self.assertEqual(before["queue"]["due"]["count"], after["queue"]["due"]["count"])
        self.users["user"].company_ids = [Command.set((own + other).ids)]
        both = self.env["sicantik.notification.overview"].with_user(self.users["user"])
        data = both.with_context(allowed_company_ids=(own + other).ids).get_data()
        self.assertEqual(data["days"][-1]["sent"], before["days"][-1]["sent"] + 3)
        self.assertEqual([one["name"] for one in data["campaigns"]][0], "Theirs")
        self.assertEqual(data["queue"]["due"]["count"], before["queue"]["due"]["count"] + 1)

    def test_direct_call(self):
        with self.assertRaises(AccessError):
            self.as_user("employee", "sicantik.notification.overview").get_data()


@tagged("post_install", "-at_install")
class TestOverviewTour(HttpCase):
    browser_size = "1366,768"

    def test_overview(self):
        env = self.env(context={"tracking_disable": True})
        company = env["res.company"].create({"name": "Tour Office"})
        group = env.ref("sicantik_notification_automation.group_notification_user")
        env["res.users"].create(
            {
                "name": "Tour",
                "login": "overview_tour",
                "password": "overview_tour",
                "groups_id": [Command.link(group.id)],
                "company_id": company.id,
                "company_ids": [Command.set(company.ids)],
            }
        )
        applicant = env["res.partner"].create({"name": "Overview Applicant"})
        env[LOG]._record(
            [
                {
                    "state": "sent",
                    "company_id": company.id,
                    "partner_id": applicant.id,
                    "delivery_state": "read",
                }
            ]
            * 3
        )
        rows = env[QUEUE].create(
            [{"partner_id": applicant.id, "template_key": "permit_ready", "company_id": company.id}] * 2
        )
        rows.state = "failed"
        rows[0].error_class, rows[1].error_class = "interrupted", "bad_recipient"
        self.env.cr.flush()
        action = env.ref("sicantik_notification_automation.sicantik_permit_action")
        self.start_tour(f"/web#action={action.id}", "sicantik_overview", login="overview_tour")


@tagged("post_install", "-at_install")
class TestFirstStepsTour(HttpCase):
    browser_size = "1366,768"

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.env = cls.env(context={"tracking_disable": True})
        cls.env["sicantik.whatsapp.provider"].search([]).active = False
        cls.env["sicantik.notification.rule"].search([]).active = False
        cls.company = cls.env["res.company"].create({"name": "New Office"})
        cls.env["res.users"].create(
            {
                "name": "New Manager",
                "login": "first_steps",
                "password": "first_steps",
                "groups_id": [
                    Command.link(
                        cls.env.ref("sicantik_notification_automation.group_notification_manager").id
                    )
                ],
                "company_id": cls.company.id,
                "company_ids": [Command.set(cls.company.ids)],
            }
        )

    def _tour(self, name):
        self.env.cr.flush()
        action = self.env.ref("sicantik_notification_automation.sicantik_permit_action")
        self.start_tour(f"/web#action={action.id}", name, login="first_steps")

    def test_a_new_office(self):
        self._tour("sicantik_first_steps")
        self.assertFalse(self.company.first_steps_hidden)

    def test_the_last_look(self):
        rule = self.env.ref("sicantik_notification_automation.sicantik_notification_rule_permit_ready")
        rule.active = True
        self.env["sicantik.whatsapp.provider"].create(
            {
                "name": "Fonnte",
                "provider_type": "fonnte",
                "base_url": "http://127.0.0.1:9/fonnte",
                "credential_state": "configured",
                "company_id": self.company.id,
            }
        )
        self.env[LOG]._record([{"state": "sent", "rule_id": rule.id, "company_id": self.company.id}])
        self._tour("sicantik_first_steps_done")
        self.assertTrue(self.company.first_steps_hidden)
