"""Auto messages: from a plan with a list of contacts to the phones, one after the other (seed 4)."""

import json
from datetime import datetime, timedelta
from unittest.mock import patch

from freezegun import freeze_time
from psycopg2 import IntegrityError

from odoo import fields
from odoo.exceptions import AccessError, UserError, ValidationError
from odoo.tests import Form, tagged
from odoo.tests.common import BaseCase
from odoo.tools import mute_logger

from ..models import run
from ..models import sicantik_auto_message as auto_messages
from ..models.limits import Full, Ledger, Turns
from ..models.road import Job, Row, Sender
from ..providers import Route, events
from .common import NotificationCase
from .test_security import SecurityCase

CRON = "sicantik_notification_automation.ir_cron_process_queue"
LIMITED = ("pending", "limited")


class AutoMessageCase(NotificationCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.fonnte = cls._provider("fonnte", sequence=5)
        cls.messages = cls.env["sicantik.auto.message"]
        cls.messages.search([("state", "in", ("scheduled", "sending"))]).write({"state": "cancelled"})
        # A drain would wait some seconds for the next turn; these tests look at what waits.
        cls.startClassPatcher(patch.object(run, "LINGER_FOR_CALLERS", 0.0))

    @classmethod
    def _message(cls, contacts="081200000011, 081200000012, 081200000013", **vals):
        return cls.messages.create(
            {"title": "Closed", "message": "Closed on Friday.", "contact_input": contacts, **vals}
        )

    def _phones(self):
        return [message["to"] for message in self.gateway.messages()]

    def _due(self, rows):
        """Let rows be due, as after an outage."""
        rows.write({"scheduled_date": fields.Datetime.now()})


class TestRecipients(AutoMessageCase):
    def _read(self, contacts, **vals):
        message = self._message(contacts, **vals)
        recipients, _faults = message._read_contacts()
        self.assertEqual(message.valid_count, len(recipients))
        return message, {number: partner.name for number, partner in recipients.items()}

    def test_every_shape(self):
        budi = self._partner("Budi", "081200000012")
        expected = {"+6281200000921": False, "+6281200000012": "Budi"}
        for contacts in (
            f"081200000921, {budi.id}",
            f"6281200000921;{budi.id}",
            f"+62 812-0000-0921\n{budi.id}",
            f"[81200000921, {budi.id}]",
            json.dumps(["0812 0000 0921", str(budi.id)]),
            json.dumps([{"phone": "081200000921", "name": "X"}, {"id": budi.id}]),
            json.dumps([{"phone_number": 6281200000921, "id": 99}, {"phone_number": "081200000012"}]),
        ):
            with self.subTest(contacts):
                message, found = self._read(contacts)
                self.assertEqual(found, expected)
                self.assertFalse(message.left_out)

    def test_contacts_chosen_come_first(self):
        _message, found = self._read("081200000021", contact_ids=self.partner.ids)
        self.assertEqual(list(found), ["+6281200000001", "+6281200000021"])

    def test_left_out_with_the_reason(self):
        nobody = self._partner("Nobody")
        archived = self._partner("Archived", "081200000014", active=False)
        company = self.env["res.company"].create({"name": "Other office"})
        foreign = self._partner("Foreign", "081200000015", company_id=company.id)
        contacts = [
            *("081200000011", "12345", "no number", None, {"name": "Ani"}, {"phone": "0812"}, 99999999),
            *(nobody.id, archived.id, foreign.id, "+62 812-0000-0011"),
        ]
        message, found = self._read(json.dumps(contacts), contact_ids=nobody.ids)
        self.assertEqual(list(found), ["+6281200000011"])
        lines = message.left_out.splitlines()
        self.assertEqual(message.left_out_count, len(lines))
        reasons = [line.partition(": ")[2] for line in lines]
        for reason, part in zip(
            reasons,
            [
                *("no usable WhatsApp number", "no contact with this id", "not a phone number"),
                *("neither a phone number", "no “phone”", "not a phone number", "no contact with this id"),
                *("no usable WhatsApp number", "archived", "another company", "given before"),
            ],
            strict=True,
        ):
            self.assertIn(part, reason)

    def test_archived_contact_of_the_list(self):
        message = self._message(False, contact_ids=self.partner.ids)
        self.partner.active = False
        message._refresh_recipients()
        self.assertEqual((message.valid_count, message.left_out_count), (0, 1))

    def test_the_form_shows_it_before_saving(self):
        form = Form(self.messages)
        form.title, form.message = "Closed", "Closed on Friday."
        form.contact_input = "081200000011, 0812, 081200000011"
        self.assertEqual((form.valid_count, form.left_out_count), (1, 2))
        form.contact_ids.add(self.partner)
        self.assertEqual(form.valid_count, 2)
        message = form.save()
        self.assertEqual((message.valid_count, message.left_out_count), (2, 2))

    def test_the_form_survives_any_text(self):
        form = Form(self.messages)
        form.contact_input = "[{"
        self.assertIn("no valid JSON", form.left_out)

    def test_malformed_json_is_refused(self):
        with self.assertRaisesRegex(ValidationError, "Mend its"):
            self._message('[{"phone": "081200000011"')

    def test_too_many(self):
        with (
            patch.object(auto_messages.contact_input, "MAX_CONTACTS", 2),
            self.assertRaisesRegex(ValidationError, "2 contacts at most"),
        ):
            self._message()

    def test_as_many_queries_for_many_as_for_few(self):
        people = [self._partner(f"P{n}", f"0812000001{n:02}") for n in range(60)]
        message = self._message("\n".join(str(person.id) for person in people[:30]))
        message.contact_ids = self.env["res.partner"].union(*people[30:])
        self.env.flush_all()
        self.env.invalidate_all()
        with self.assertQueryCount(8):
            recipients, faults = message.sudo()._read_contacts()
        self.assertEqual((len(recipients), len(faults)), (60, 0))


class TestStates(AutoMessageCase):
    def test_schedule(self):
        at = fields.Datetime.now() + timedelta(hours=3)
        message = self._message(scheduled_at=at)
        cron = self.env.ref(CRON)
        self.env["ir.cron.trigger"].search([("cron_id", "=", cron.id)]).unlink()
        message.action_schedule()
        self.assertEqual(message.state, "scheduled")
        self.assertIn(at, self.env["ir.cron.trigger"].search([("cron_id", "=", cron.id)]).mapped("call_at"))
        self.drain()
        self.assertEqual((message.state, message.queue_ids.ids), ("scheduled", []), "it is not due")

    def test_nobody_to_write_to(self):
        message = self._message("0812")
        for method in (message.action_schedule, message.action_send_now):
            with self.assertRaisesRegex(UserError, "nobody to write to"), self.env.cr.savepoint():
                method()
        self.assertEqual(message.state, "draft")

    def test_nobody_left_when_it_is_due(self):
        message = self._message(str(self.partner.id))
        message.action_schedule()
        self.partner.whatsapp_number = False
        self.drain()
        self.assertEqual((message.state, message.left_out_count), ("failed", 1))
        self.assertIn("nobody", message.error_message)
        message.action_reset()
        self.assertEqual((message.state, message.error_message), ("draft", False))

    def test_send_now(self):
        message = self._message(scheduled_at=fields.Datetime.now() + timedelta(days=3))
        message.action_send_now()
        self.assertEqual((message.state, message.total_count), ("sending", 3))
        self.drain()
        self.assertEqual(message.sent_count, 1)

    def test_reset(self):
        message = self._message(scheduled_at=fields.Datetime.now() + timedelta(days=3))
        message.action_schedule()
        message.action_reset()
        message.message = "Closed on Monday."
        message.action_schedule()
        message.action_cancel()
        message.action_reset()
        self.assertEqual(message.state, "draft")

    def test_what_was_begun_is_not_taken_back(self):
        message = self._message()
        message.action_send_now()
        message.action_cancel()
        with self.assertRaisesRegex(UserError, "Duplicate it"):
            message.action_reset()
        copy = message.copy()
        self.assertEqual((copy.state, copy.title), ("draft", "Closed (copy)"))

    def test_only_where_it_makes_sense(self):
        message = self._message()
        with self.assertRaisesRegex(UserError, "is Draft; this is possible only when"):
            message.action_cancel()
        message.action_send_now()
        for method in (message.action_schedule, message.action_send_now):
            with self.assertRaises(UserError):
                method()

    def test_a_plan_stays_as_it_is(self):
        message = self._message()
        message.action_schedule()
        for vals in ({"message": "X"}, {"contact_input": "1"}, {"contact_ids": self.partner.ids}):
            with self.assertRaisesRegex(UserError, "Only a draft"):
                message.write(vals)
        with self.assertRaisesRegex(UserError, "Cancel it first"):
            message.unlink()

    def test_delay(self):
        with self.assertRaisesRegex(ValidationError, "a day"):
            self._message(delay_seconds=86401)
        with self.assertRaises(IntegrityError), mute_logger("odoo.sql_db"), self.env.cr.savepoint():
            self._message(delay_seconds=-1)

    def test_cancel(self):
        message = self._message()
        message.action_schedule()
        self.drain()
        first, *others = message.queue_ids.sorted("id")
        message.action_cancel()
        self.assertEqual(first.state, "sent")
        self.assertEqual({row.state for row in others}, {"cancelled"})
        self.drain()
        self.assertEqual((message.state, message.cancelled_count), ("cancelled", 2))
        self.assertEqual(len(self.gateway.messages()), 1)

    def test_what_comes_back_after_the_cancel_does_not_leave(self):
        """A row that was under way when its message was cancelled, and is to be tried again."""
        message = self._message(delay_seconds=0)
        message.action_schedule()
        self.gateway.fault("fonnte", "http:502")
        self.drain()
        rows = message.queue_ids
        self.assertEqual(set(rows.mapped("state")), {"pending"})
        message.sudo().write({"state": "cancelled"})
        self.gateway.reset()
        self._due(rows)
        self.drain()
        self.assertEqual(set(rows.mapped("state")), {"cancelled"})
        self.assertEqual(self.gateway.messages(), [])
        self.assertAttempts(rows[0], [("failed", "fonnte", "retry_later"), ("skipped", False, "cancelled")])

    def test_partly_sent(self):
        self.env["sicantik.notification.blacklist"].create({"phone_number": "081200000013"})
        self.gateway.fault("fonnte", "target invalid", times=1)
        message = self._message(delay_seconds=0)
        message.action_schedule()
        self.drain()
        self.assertEqual(
            (message.state, message.sent_count, message.failed_count, message.skipped_count),
            ("partial", 1, 1, 1),
        )
        self.assertEqual(message.progress_percentage, 100)
        self.assertEqual(message.sent_at, max(date for date in message.queue_ids.mapped("sent_date") if date))

    def test_retry_takes_it_up_again(self):
        self.gateway.fault("fonnte", "target invalid", times=1)
        message = self._message(delay_seconds=0)
        message.action_schedule()
        self.drain()
        self.assertEqual(message.state, "partial")
        message.queue_ids.filtered(lambda row: row.state == "failed").action_retry()
        self.assertEqual(message.state, "sending")
        self.drain()
        self.assertEqual((message.state, message.sent_count), ("sent", 3))

    def test_all_failed(self):
        self.gateway.fault("fonnte", "target invalid")
        message = self._message(delay_seconds=0)
        message.action_schedule()
        self.drain()
        self.assertEqual((message.state, message.sent_at), ("failed", False))

    def _told(self, row, state, **values):
        """Have Fonnte tell something of the last message of a row."""
        id_ = row.log_ids.filtered("external_message_id")[-1:].external_message_id
        self.env["sicantik.whatsapp.event"]._store(
            self.fonnte, [events.Receipt(f"{id_}:{state}", id_, state, **values)]
        )
        self.drain()

    def test_refused_late(self):
        """It has not been sent then, and not failed when it arrived after all."""
        message = self._message("081200000011", delay_seconds=0)
        message.action_send_now()
        self.drain()
        self.assertEqual(message.state, "sent")
        self._told(message.queue_ids, "failed", error_class="bad_recipient")
        self.assertEqual((message.state, message.sent_count, message.failed_count), ("failed", 0, 1))
        self._told(message.queue_ids, "delivered")
        self.assertEqual((message.state, message.sent_count, message.failed_count), ("sent", 1, 0))

    def test_refused_late_and_sent_on(self):
        message = self._message("081200000011", delay_seconds=0)
        message.action_send_now()
        self.drain()
        watzap = self._provider("watzap", sequence=9)
        quiet = patch.object(type(self.env["sicantik.notification.drain"]), "_claim", return_value=[])
        with quiet:
            self._told(message.queue_ids, "failed", error_class="account_blocked")
        self.assertEqual((message.state, message.queue_ids.state), ("sending", "pending"))
        with self.assertRaises(UserError):
            message.unlink()
        self.drain()
        self.assertEqual((message.state, message.queue_ids.provider_id), ("sent", watzap))

    def test_proven_that_it_left(self):
        message = self._message("081200000011", delay_seconds=0)
        message.action_send_now()
        row = message.queue_ids
        outcome = {"state": "failed", "error_class": "interrupted", "provider_id": self.fonnte.id}
        row.write(outcome)
        self.env["sicantik.notification.log"]._record_attempts([{"queue_id": row.id, **outcome}])
        self.drain()
        self.assertEqual(message.state, "failed")
        reference = f"{self.env.cr.dbname}:{row.id}"
        told = events.Receipt("left", "LEFT", "sent", reference=reference)
        self.env["sicantik.whatsapp.event"]._store(self.fonnte, [told])
        self.drain()
        self.assertEqual((message.state, message.sent_count), ("sent", 1))

    def test_receipts_leave_what_is_sent_alone(self):
        message = self._message("081200000011", delay_seconds=0)
        message.action_send_now()
        self.drain()
        with patch.object(type(self.messages), "_finish", lambda messages: None):
            self._told(message.queue_ids, "delivered")
        self.assertEqual(message.state, "sent")

    def test_rows_cancelled_by_hand(self):
        message = self._message()
        message.action_send_now()
        message.queue_ids.action_cancel()
        self.drain()
        self.assertEqual(message.state, "cancelled")

    def test_one_that_cannot_be_queued_does_not_stop_the_others(self):
        bad, good = self._message(title="Bad"), self._message(delay_seconds=0)
        (bad + good).action_schedule()
        queue = type(self.messages)._queue

        def fail_for_bad(message, since):
            if message == bad:
                raise ValueError("broken")
            return queue(message, since)

        with (
            patch.object(type(self.messages), "_queue", fail_for_bad),
            mute_logger(
                "odoo.addons.sicantik_notification_automation.models.sicantik_notification_evaluation"
            ),
        ):
            self.drain()
        self.assertEqual((bad.state, good.state), ("failed", "sent"))
        self.assertIn("broken", bad.error_message)

    def test_counters_of_many_by_one_query(self):
        messages = self.messages.concat(*(self._message() for _i in range(10)))
        messages.action_send_now()
        self.env.flush_all()
        self.env.invalidate_all()
        messages.mapped("title")
        self.assertTrue(self.env.companies)
        with self.assertQueryCount(1):
            self.assertEqual(messages.mapped("pending_count"), [3] * 10)

    def test_queueing_takes_as_many_queries_for_many(self):
        def queries(count):
            message = self._message("\n".join(f"0812000{n:05}" for n in range(count)))
            self.env.flush_all()
            before = self.cr.sql_log_count
            message._queue(fields.Datetime.now())
            self.env.flush_all()
            return self.cr.sql_log_count - before

        queries(1)
        self.assertEqual(queries(10), queries(300))


class TestPace(AutoMessageCase):
    """Between two auto messages of a company there is a pause, whoever sends them and whenever."""

    start = datetime(2026, 3, 2, 8, 0, 0)

    def _sent(self, rows):
        return len(rows.filtered(lambda row: row.state == "sent"))

    def test_planned_one_after_the_other(self):
        message = self._message(delay_seconds=90)
        with freeze_time(self.start):
            message.action_send_now()
            rows = message.queue_ids.sorted("id")
            self.assertEqual(
                [(row.scheduled_date - self.start).total_seconds() for row in rows], [0, 90, 180]
            )
            self.assertEqual([row.error_class for row in rows], [False, "limited", "limited"])

    def test_default_is_a_minute(self):
        self.assertEqual(self._message().delay_seconds, 60)

    def test_one_per_pause(self):
        message = self._message(delay_seconds=30)
        with freeze_time(self.start):
            message.action_send_now()
            self.drain()
            rows = message.queue_ids
            self.assertEqual(self._sent(rows), 1)
        for seconds, sent in ((20, 1), (31, 2), (45, 2), (62, 3)):
            with freeze_time(self.start + timedelta(seconds=seconds)):
                self.drain()
                self.assertEqual(self._sent(rows), sent, seconds)
        self.assertEqual(message.state, "sent")

    def test_after_an_outage_they_do_not_leave_at_once(self):
        message = self._message(delay_seconds=30)
        with freeze_time(self.start):
            message.action_send_now()
        rows = message.queue_ids.sorted("id")
        later = self.start + timedelta(hours=5)
        with freeze_time(later):
            self.drain()
            self.assertEqual(self._sent(rows), 1)
            waiting = rows[1:]
            self.assertEqual({(row.state, row.error_class) for row in waiting}, {LIMITED})
            self.assertEqual(
                [(row.scheduled_date - later).total_seconds() for row in waiting],
                [30, 60],
                "each has a place of its own",
            )
            self.assertIn("30 seconds", waiting[0].error_message)
            self.assertEqual(self._sent(rows), 1)
            self.drain()
            self.assertEqual(self._sent(rows), 1)

    def test_process_now_keeps_the_pause(self):
        message = self._message(delay_seconds=30)
        message.action_send_now()
        message.queue_ids.action_process()
        self.assertEqual(self._sent(message.queue_ids), 1)

    def test_one_line_for_all_of_a_company(self):
        first, second = self._message(delay_seconds=600), self._message("081200000021", delay_seconds=0)
        with freeze_time(self.start):
            first.action_send_now()
            self.drain()
        with freeze_time(self.start + timedelta(seconds=10)):
            second.action_send_now()
            self.drain()
            self.assertEqual(self._sent(second.queue_ids), 0)
            self.assertEqual(second.queue_ids.scheduled_date, self.start + timedelta(seconds=600))

    def test_companies_do_not_wait_for_each_other(self):
        company = self.env["res.company"].create({"name": "Other office"})
        self._provider("watzap", company_id=company.id)
        first, second = (
            self._message(delay_seconds=600, company_id=one.id) for one in (self.env.company, company)
        )
        (first + second).action_send_now()
        self.drain()
        self.assertEqual((first.sent_count, second.sent_count), (1, 1))

    def test_other_messages_do_not_wait(self):
        message = self._message(delay_seconds=600)
        message.action_send_now()
        self.drain()
        row = self._row()
        self.drain()
        self.assertEqual((message.sent_count, row.state), (1, "sent"))

    def test_without_a_pause(self):
        message = self._message(delay_seconds=0)
        message.action_send_now()
        self.drain()
        self.assertEqual((message.state, message.sent_count), ("sent", 3))

    def test_short_pauses_within_a_drain(self):
        """On the wire: no two closer than the pause."""
        message = self._message(delay_seconds=1)
        message.action_send_now()
        with patch.object(run, "LINGER_FOR_CALLERS", 5.0):
            self.drain()
        self.assertEqual(message.sent_count, 3)
        times = [one["at"] for one in self.gateway.messages()]
        self.assertTrue(all(b - a > 0.95 for a, b in zip(times, times[1:], strict=False)), times)

    def test_the_next_provider_takes_over_in_the_same_turn(self):
        self._provider("watzap", sequence=9)
        self.gateway.account(fonnte={"connected": False})
        message = self._message(delay_seconds=600)
        message.action_send_now()
        self.drain()
        row = message.queue_ids.filtered(lambda row: row.state == "sent")
        self.assertEqual(row.provider_type, "watzap")

    def test_skipped_ones_take_no_turn(self):
        self.env["sicantik.notification.blacklist"].create({"phone_number": "081200000011"})
        message = self._message("081200000011, 081200000012", delay_seconds=600)
        message.action_send_now()
        self._due(message.queue_ids)
        self.drain()
        self.assertEqual((message.skipped_count, message.sent_count), (1, 1))

    def test_the_scheduled_action_is_woken_for_the_next(self):
        message = self._message(delay_seconds=600)
        message.action_send_now()
        cron = self.env.ref(CRON)
        self.env["ir.cron.trigger"].search([("cron_id", "=", cron.id)]).unlink()
        self.drain()
        woken = self.env["ir.cron.trigger"].search([("cron_id", "=", cron.id)]).mapped("call_at")
        self.assertIn(message.queue_ids.sorted("id")[1].scheduled_date, woken)


@tagged("post_install", "-at_install")
class TestTurns(BaseCase):
    """The arithmetic of the pause, over an afternoon."""

    def test_turns(self):
        """Two long messages, all of them due at once: the pause of each is kept, none starves, and few rows
        are moved when one is sent.
        """
        delays = {1: 60, 2: 20}
        row = Row(*[None] * len(Row._fields))._replace(company_id=7, priority=5)
        waiting = [
            (0.0, row._replace(id=10 * n + auto, auto_message_id=auto)) for n in range(100) for auto in delays
        ]
        turns, sent, visits = Turns(), [], 0
        for now in range(0, 9000, 5):
            due = [one for at, one in waiting if at <= now]
            waiting = [(at, one) for at, one in waiting if at > now]
            for start in range(0, len(due), 64):  # as many as the drain plans at once
                turns = Turns(turns.next_slot)
                ledger = Ledger(
                    now,
                    {1: Sender(1, "S", "fonnte", None, None)},
                    {},
                    windows={},
                    states={},
                    lines={},
                    pairs={},
                    reached={},
                    default_priority=5,
                    horizon=2.0,
                    turns={7: turns},
                    delays=delays,
                )
                for one in due[start : start + 64]:
                    visits += 1
                    found = ledger.admit(Job(one, [Route(1, None, None)]))
                    if isinstance(found, Full):
                        waiting.append((found.until, one))
                    else:
                        sent.append((found, one.auto_message_id))
        self.assertEqual(len(sent), 200)
        for (before, auto), (after, _auto) in zip(sent, sent[1:], strict=False):
            self.assertGreaterEqual(after - before, delays[auto])
        self.assertLess(sent[-1][0], 100 * (60 + 20) * 1.1)
        first_half = [auto for _at, auto in sent[:100]]
        self.assertGreater(first_half.count(2), 25)
        self.assertGreater(first_half.count(1), 25)
        self.assertLess(visits, 200 * 25)


class TestOnTheRoad(AutoMessageCase):
    """What the road does for auto messages as for others."""

    def test_meta_takes_text_within_the_window_only(self):
        self._provider("meta", sequence=1)
        budi = self._partner(
            "Budi", "081200000012", whatsapp_opt_in=True, whatsapp_last_inbound=fields.Datetime.now()
        )
        self.gateway.account(meta={"open_windows": ["6281200000012"]})
        self.partner.whatsapp_opt_in = True
        message = self._message(f"{self.partner.id}, 081200000012", delay_seconds=0)
        message.action_send_now()
        self.drain()
        self.assertEqual(
            {row.partner_id: row.provider_type for row in message.queue_ids},
            {self.partner: "fonnte", budi: "meta"},
            "a number is recognised as that of a contact",
        )

    def test_the_text_goes_out_as_it_is(self):
        text = "Halo {{name}} %s {0} 100% ✓\nbaris dua"
        message = self._message("081200000011", message=text)
        message.action_send_now()
        self.drain()
        self.assertEqual(self.gateway.messages()[0]["text"], text)

    def test_the_same_key_queues_once(self):
        message = self._message()
        message.action_send_now()
        message.sudo().write({"state": "scheduled"})
        message._queue(fields.Datetime.now())
        self.assertEqual(message.total_count, 3)

    def test_a_reference_on_the_wire(self):
        """By it an echo is known as ours (seed 4: “Mencegah duplikasi di webhook”)."""
        self._provider("meta", sequence=1)
        self.fonnte.active = False
        self.partner.write({"whatsapp_opt_in": True, "whatsapp_last_inbound": fields.Datetime.now()})
        self.gateway.account(meta={"open_windows": ["6281200000001"]})
        message = self._message(str(self.partner.id))
        message.action_send_now()
        self.drain()
        (sent,) = self.gateway.messages()
        self.assertEqual(sent["reference"], f"{self.env.cr.dbname}:{message.queue_ids.id}")

    def test_totals_outlive_their_rows(self):
        message = self._message(delay_seconds=0)
        message.action_send_now()
        self.drain()
        message.queue_ids.unlink()
        self.assertEqual((message.sent_count, message.total_count), (3, 3))


class TestAutoMessageRights(SecurityCase):
    """Managers plan; users read; nobody else sees anything."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.message = cls.env["sicantik.auto.message"].create(
            {"title": "T", "message": "M", "contact_input": "081200000011"}
        )

    def test_actions(self):
        name = self.message._name
        for user in ("user", "staff", "official", "employee", "portal", "public"):
            for method in ("action_schedule", "action_send_now", "action_cancel", "action_reset"):
                self.assertRefused(user, name, method, self.message.ids)
        self.assertEqual(self.message.state, "draft")
        self.rpc("manager", name, "action_schedule", self.message.ids)
        self.rpc("manager", name, "action_reset", self.message.ids)
        self.rpc("manager", name, "action_send_now", self.message.ids)
        self.assertEqual(self.message.total_count, 1)
        self.rpc("manager", name, "action_cancel", self.message.ids)
        self.assertEqual(self.message.state, "cancelled")

    def test_who_sees_numbers(self):
        name = self.message._name
        self.assertEqual(
            self.rpc("user", name, "read", self.message.ids, ["contact_input"])[0]["contact_input"],
            "081200000011",
        )
        for user in ("staff", "official", "employee", "portal", "public"):
            self.assertRefused(user, name, "read", self.message.ids, ["contact_input"])

    def test_a_manager_fills_the_form(self):
        """Also with contacts that they may not see themselves."""
        other = self.env["res.company"].create({"name": "Other office"})
        hidden = self._partner("Hidden", "081200000015", company_id=other.id)
        form = Form(self.as_user("manager", self.message._name))
        form.title, form.message = "T", "M"
        form.contact_input = f"081200000011, {hidden.id}, {self.partner.id}"
        self.assertEqual((form.valid_count, form.left_out_count), (2, 1))
        self.assertNotIn("Hidden", form.left_out)
        message = form.save()
        message.action_schedule()
        self.assertEqual(message.state, "scheduled")

    def test_the_state_follows_the_buttons(self):
        with self.assertRaisesRegex(UserError, "buttons"):
            self.rpc("manager", self.message._name, "write", self.message.ids, {"state": "sent"})
        with self.assertRaisesRegex(UserError, "buttons"):
            self.rpc(
                "manager", self.message._name, "create", [{"title": "T", "message": "M", "state": "sending"}]
            )

    def test_another_company(self):
        other = self.env["res.company"].create({"name": "Other office"})
        message = self.message.copy({"company_id": other.id})
        for method in ("action_schedule", "action_send_now"):
            self.assertRefused("manager", message._name, method, message.ids)

    def test_due_messages_by_call(self):
        for user in ("user", "employee", "portal"):
            with self.assertRaises(AccessError):
                self.as_user(user, self.message._name)._process_due()
