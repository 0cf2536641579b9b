"""Receipts: the ladder, refusals that come late, and what comes too early or proves that a message left."""

from datetime import datetime, timedelta
from itertools import permutations
from unittest.mock import patch

from odoo import fields

from ..models.sicantik_whatsapp_receipt import RANKS
from ..providers import errors, events
from .webhooks import DoorCase, EventCase

NOON = datetime(2026, 5, 1, 12)
PAYMENT = {
    "error_class": errors.ACCOUNT_BLOCKED,
    "error_message": "Payment is missing.",
    "scope": errors.ACCT,
}
WINDOW = {"error_class": errors.WINDOW_CLOSED, "error_message": "The window is closed.", "scope": errors.RCPT}
RECIPIENT = {"error_class": errors.BAD_RECIPIENT, "error_message": "Not on WhatsApp.", "scope": errors.RCPT}


class TestLadder(EventCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.meta = cls._meta()

    def test_every_order(self):
        for states in permutations(("sent", "delivered", "read")):
            with self.subTest(states):
                _row, log = self.send()
                for state in states:
                    self.told(self.meta, self.receipt(log.external_message_id, state, at=NOON))
                self.assertEqual(
                    (log.delivery_state, log.delivered_date, log.read_date), ("read", NOON, NOON), states
                )

    def test_dates_of_each(self):
        _row, log = self.send()
        self.assertEqual(log.delivery_state, "accepted")
        id_ = log.external_message_id
        self.told(self.meta, self.receipt(id_, "read", at=NOON + timedelta(minutes=2)))
        self.assertEqual(log.delivered_date, NOON + timedelta(minutes=2), "read is delivered")
        self.told(self.meta, self.receipt(id_, "delivered", at=NOON))
        self.assertEqual((log.delivery_state, log.delivered_date), ("read", NOON))

    def test_sent_changes_nothing(self):
        row, log = self.send()
        event = self.told(self.meta, self.receipt(log.external_message_id, "sent"))
        self.assertEqual((event.state, log.delivery_state, row.state), ("applied", "accepted", "sent"))

    def test_refused_after_it_was_delivered(self):
        """Nothing that was delivered is sent again."""
        self._provider("fonnte")
        row, log = self.send()
        self.told(self.meta, self.receipt(log.external_message_id, "delivered"))
        event = self.told(self.meta, self.receipt(log.external_message_id, "failed", **PAYMENT))
        self.assertEqual((event.state, log.delivery_state, row.state), ("ignored", "delivered", "sent"))
        self.assertEqual(len(self.gateway.messages()), 1)

    def test_both_at_once(self):
        self._provider("fonnte")
        for states in (("failed", "delivered"), ("delivered", "failed")):
            row, log = self.send()
            told = [self.receipt(log.external_message_id, state, **PAYMENT) for state in states]
            self.told(self.meta, *told)
            self.assertEqual((log.delivery_state, row.state), ("delivered", "sent"), states)
        self.assertEqual(len(self.gateway.messages(provider="fonnte")), 0)

    def test_delivered_after_it_ended_refused(self):
        row, log = self.send()
        self.told(self.meta, self.receipt(log.external_message_id, "failed", **RECIPIENT))
        self.assertEqual(row.state, "failed")
        self.told(self.meta, self.receipt(log.external_message_id, "delivered"))
        self.assertEqual((log.delivery_state, log.error_class), ("delivered", False))
        self.assertEqual((row.state, row.error_class), ("sent", False))

    def test_the_same_event_twice(self):
        _row, log = self.send()
        first = self.tell(self.meta, self.receipt(log.external_message_id, "delivered"))
        again = self.tell(self.meta, self.receipt(log.external_message_id, "delivered"))
        self.assertEqual((len(first), len(again)), (1, 0))
        other = self.tell(self._provider("fonnte"), self.receipt(log.external_message_id, "delivered"))
        self.assertEqual(len(other), 1, "keys are a provider's own")

    def test_unknown_id(self):
        event = self.told(self.meta, self.receipt("wamid.UNKNOWN", "failed", **PAYMENT))
        self.assertEqual(event.state, "unmatched")

    def test_message_of_another_provider(self):
        _row, log = self.send()
        event = self.told(self._provider("fonnte"), self.receipt(log.external_message_id, "delivered"))
        self.assertEqual((event.state, log.delivery_state), ("unmatched", "accepted"))

    def test_other_number_of_the_same_app(self):
        """An app at Meta has one webhook for all its numbers."""
        _row, log = self.send()
        sibling = self._meta(name="Other number", sender_id="200000000000009", credential_state="draft")
        stranger = self._meta(name="Stranger", app_secret="ANOTHER-SECRET", credential_state="draft")
        event = self.told(stranger, self.receipt(log.external_message_id, "delivered"))
        self.assertEqual(event.state, "unmatched")
        event = self.told(sibling, self.receipt(log.external_message_id, "delivered"))
        self.assertEqual((event.state, log.delivery_state), ("applied", "delivered"))

    def test_moments_that_cannot_be(self):
        _row, log = self.send()
        later = fields.Datetime.now() + timedelta(days=400)
        self.told(self.meta, self.receipt(log.external_message_id, "delivered", at=later))
        self.assertLessEqual(log.delivered_date, fields.Datetime.now())

    def test_receipts_that_cannot_be_applied(self):
        """One event that breaks costs the others nothing."""
        _row, log = self.send()
        good, bad = self.tell(
            self.meta, self.receipt(log.external_message_id, "delivered"), self.receipt("wamid.B", "read")
        )
        bad.sudo().payload = '{"unknown": "81200000001"}'
        with self.assertLogs("odoo.addons.sicantik_notification_automation", "ERROR") as caught:
            self.drain()
        self.assertEqual((good.state, bad.state, bad.note), ("applied", "ignored", "TypeError"))
        self.assertNotIn("81200000001", "\n".join(caught.output))

    def test_more_than_one_look_takes(self):
        module = "odoo.addons.sicantik_notification_automation.models.sicantik_whatsapp_event"
        told = self.tell(self.meta, *(self.receipt(f"wamid.{i}", "sent") for i in range(7)))
        with patch(f"{module}.CHUNK", 2), patch(f"{module}.CHUNKS", 1):
            self.drain()
        self.assertEqual(set(told.mapped("state")), {"unmatched"})

    def test_messages_leave_all_the_same(self):
        with (
            patch.object(type(self.events), "_look_again", side_effect=KeyError("81200000001")),
            self.assertLogs("odoo.addons.sicantik_notification_automation.models.run", "ERROR") as caught,
        ):
            row, _log = self.send()
        self.assertSent(row, "meta")
        self.assertNotIn("81200000001", "\n".join(caught.output))

    def test_queries(self):
        """Fifty receipts cost about as much as one."""
        partners = [self._partner(f"P{i}", f"0812000003{i:02}", whatsapp_opt_in=True) for i in range(50)]
        for partner in partners:
            self._row(partner_id=partner.id)
        self.drain()
        logs = self.logs.search([("partner_id", "in", [partner.id for partner in partners])])
        self.assertEqual(len(logs), 50)
        self.tell(self.meta, *(self.receipt(log.external_message_id, "delivered", at=NOON) for log in logs))
        self.env.invalidate_all()
        with self.assertQueryCount(10):
            self.assertEqual(self.events._apply(), 50)
        self.env.invalidate_all()
        self.assertEqual(set(logs.mapped("delivery_state")), {"delivered"})

    def test_queries_of_refusals(self):
        self._provider("fonnte")
        partners = [self._partner(f"P{i}", f"0812000003{i:02}", whatsapp_opt_in=True) for i in range(50)]
        for partner in partners:
            self._row(partner_id=partner.id)
        self.drain()
        logs = self.logs.search([("partner_id", "in", [partner.id for partner in partners])])
        self.tell(self.meta, *(self.receipt(log.external_message_id, "failed", **WINDOW) for log in logs))
        self.env.invalidate_all()
        with self.assertQueryCount(16):
            self.events._apply()
        self.env.invalidate_all()
        self.assertEqual(set(logs.queue_id.mapped("state")), {"pending"})


class TestLateRefusal(EventCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.meta = cls._meta()
        cls.fonnte = cls._provider("fonnte")

    def refuse(self, provider, log, **values):
        return self.told(provider, self.receipt(log.external_message_id, "failed", **values))

    def test_sent_on_once(self):
        row, log = self.send()
        self.assertSent(row, "meta")
        event = self.refuse(self.meta, log, **PAYMENT)
        self.assertEqual((event.state, event.status), ("applied", "failed"))
        self.assertSent(row, "fonnte")
        self.assertEqual(row.late_provider_id, self.meta)
        self.assertEqual(
            (log.state, log.delivery_state, log.error_class, log.error_message),
            ("sent", "failed", errors.ACCOUNT_BLOCKED, "Payment is missing."),
        )
        self.assertAttempts(row, [("sent", "meta", errors.ACCOUNT_BLOCKED), ("sent", "fonnte", False)])
        self.assertEqual([one["provider"] for one in self.gateway.messages()], ["meta", "fonnte"])
        self.drain()
        again = self.receipt(log.external_message_id, "failed", "another key", **PAYMENT)
        self.assertEqual(self.told(self.meta, again).state, "ignored")
        self.assertEqual(len(self.gateway.messages()), 2)

    def test_second_late_refusal(self):
        self._provider("watzap")
        row, log = self.send()
        self.refuse(self.meta, log, **WINDOW)
        second = self.logs.search([("queue_id", "=", row.id)], order="id")[-1]
        self.refuse(self.fonnte, second, **PAYMENT)
        self.assertEqual(
            (row.state, row.error_class, row.error_message),
            ("failed", errors.ACCOUNT_BLOCKED, "Payment is missing."),
        )
        self.assertEqual(len(self.gateway.messages()), 2)

    def test_nobody_else(self):
        self.fonnte.active = False
        row, log = self.send()
        self.refuse(self.meta, log, **PAYMENT)
        self.assertEqual((row.state, row.error_class), ("failed", errors.ACCOUNT_BLOCKED))
        self.assertIn("Payment is missing.", row.error_message)
        self.assertEqual(len(self.gateway.messages()), 1)

    def test_a_person_may_try_the_same_provider_again(self):
        self.fonnte.active = False
        row, log = self.send()
        self.refuse(self.meta, log, **PAYMENT)
        row.action_retry()
        self.wait_for_the_pair()
        self.drain()
        self.assertSent(row, "meta")
        self.assertFalse(row.late_provider_id)

    def test_final(self):
        passing = {"error_class": errors.RETRY_LATER, "error_message": "Meta chose not to deliver it."}
        for values in (
            RECIPIENT,
            passing,
            {"error_class": errors.BAD_TEMPLATE},
            {"error_class": "interrupted"},
        ):
            with self.subTest(values):
                row, log = self.send()
                self.refuse(self.meta, log, **values)
                known = values["error_class"].replace("interrupted", "unknown")
                self.assertEqual((row.state, row.error_class), ("failed", known))
                self.assertEqual(row.error_message or "", values.get("error_message", ""))
        self.assertFalse(self.gateway.messages(provider="fonnte"))

    def test_opt_out(self):
        _row, log = self.send(phone="081200000001")
        self.refuse(self.meta, log, error_class=errors.BAD_RECIPIENT, opt_out=True)
        entry = self.blacklist.search([("phone_number", "=", "+6281200000001")])
        self.assertEqual((entry.source, entry.active), ("opt_out", True))
        self.assertFalse(self.partner.whatsapp_opt_in)

    def test_told_to_the_circuit(self):
        logs = [self.send()[1] for _i in range(5)]
        self.told(
            self.meta,
            *(self.receipt(log.external_message_id, "failed", **PAYMENT) for log in logs),
        )
        self.assertEqual(self.meta.credential_state, "error")
        self.assertEqual(self.meta.last_error_message, "Payment is missing.")
        row, _log = self.send()
        self.assertSent(row, "fonnte")

    def test_a_closed_window_says_nothing_about_the_account(self):
        logs = [self.send()[1] for _i in range(6)]
        self.told(self.meta, *(self.receipt(log.external_message_id, "failed", **WINDOW) for log in logs))
        self.assertEqual(self.meta.credential_state, "configured")

    def test_message_that_was_tried_again_meanwhile(self):
        """A refusal of an older attempt does not touch what came after it."""
        row, log = self.send()
        row.sudo().write({"state": "failed", "external_message_id": False})
        row.action_retry()
        self.wait_for_the_pair()
        self.drain()
        self.refuse(self.meta, log, **RECIPIENT)
        self.assertEqual(row.state, "sent")
        self.assertEqual(log.delivery_state, "failed")

    def test_row_that_is_deleted(self):
        row, log = self.send()
        row.unlink()
        self.refuse(self.meta, log, **PAYMENT)
        self.assertEqual(log.delivery_state, "failed")

    def test_campaigns_count_it(self):
        rule = self._rule(self._trigger(), recipient_type="partner")
        permit = self._permit()
        campaign = self.env["sicantik.notification.campaign"].create(
            {"name": "All", "rule_id": rule.id, "target_domain": f"[('id', '=', {permit.id})]"}
        )
        row = self._row(campaign_id=campaign.id, rule_id=rule.id)
        self.drain()
        self.assertEqual((campaign.total_sent, rule.success_count), (1, 1))
        log = self.logs.search([("queue_id", "=", row.id)])
        self.refuse(self.meta, log, **RECIPIENT)
        self.assertEqual((campaign.total_sent, campaign.total_failed), (0, 1))
        self.assertEqual((rule.success_count, rule.failed_count), (0, 1))

    def test_cancelled_campaign(self):
        rule = self._rule(self._trigger())
        campaign = self.env["sicantik.notification.campaign"].create({"name": "All", "rule_id": rule.id})
        row = self._row(campaign_id=campaign.id)
        self.drain()
        campaign.state = "cancelled"
        self.refuse(self.meta, self.logs.search([("queue_id", "=", row.id)]), **PAYMENT)
        self.assertEqual(row.state, "failed")

    def test_a_rule_that_tells_once_may_tell_again(self):
        rule = self._rule(self._trigger(), repeat_policy="once")
        permit = self._permit(state="draft")
        for _time in range(2):
            self.env["sicantik.notification.trigger"]._process_trigger("test_state", permit)
            self.drain()
        row = self.rows(rule_id=rule.id)
        self.assertEqual(len(row), 1)
        self.refuse(self.meta, self.logs.search([("queue_id", "=", row.id)]), **RECIPIENT)
        self.env["sicantik.notification.trigger"]._process_trigger("test_state", permit)
        self.assertEqual(len(self.rows(rule_id=rule.id)), 2)


class TestEarlyAndLost(EventCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.meta = cls._meta()

    def test_before_the_log_row(self):
        event = self.told(self.meta, self.receipt("wamid.EARLY", "delivered", at=NOON))
        self.assertEqual(event.state, "unmatched")
        log = self.logs._record(
            [{"state": "sent", "provider_id": self.meta.id, "external_message_id": "wamid.EARLY"}]
        )
        self.assertEqual(event.state, "pending", "the log row wakes it")
        self.drain()
        self.env.invalidate_all()
        self.assertEqual((event.state, log.delivery_state), ("applied", "delivered"))

    def test_looked_for_again_while_young(self):
        event = self.told(self.meta, self.receipt("wamid.EARLY", "delivered"))
        now = fields.Datetime.now()

        def aged(age, tried):
            event.sudo().write({"create_date": now - age, "write_date": now - tried})
            self.env.flush_all()
            self.events._look_again()
            self.env.invalidate_all()
            state = event.state
            event.sudo().state = "unmatched"
            return state

        self.assertEqual(aged(timedelta(seconds=5), timedelta(seconds=4)), "unmatched")
        self.assertEqual(aged(timedelta(seconds=12), timedelta(seconds=11)), "pending")
        self.assertEqual(aged(timedelta(seconds=40), timedelta(seconds=15)), "unmatched")
        self.assertEqual(aged(timedelta(hours=2), timedelta(hours=1.9)), "unmatched")

    def test_pairing(self):
        """Fonnte tells its second name for a message in any receipt, perhaps after one that needs it."""
        fonnte = self._provider("fonnte")
        self.meta.active = False
        _row, log = self.send()
        early = self.told(fonnte, self.receipt("", "delivered", alias="3EB0TEST01", key="early", at=NOON))
        self.assertEqual((early.state, log.delivery_state), ("unmatched", "accepted"))
        self.told(fonnte, self.receipt(log.external_message_id, "sent", alias="3EB0TEST01"))
        self.drain()
        self.env.invalidate_all()
        self.assertEqual(
            (early.state, log.delivery_state, log.delivered_date), ("applied", "delivered", NOON)
        )
        self.told(fonnte, self.receipt("", "read", alias="3EB0TEST01", key="later"))
        self.assertEqual(log.delivery_state, "read")

    def test_pairing_and_receipt_at_once(self):
        fonnte = self._provider("fonnte")
        self.meta.active = False
        _row, log = self.send()
        self.told(
            fonnte,
            self.receipt("", "read", alias="3EB0TEST02", key="read"),
            self.receipt(log.external_message_id, "sent", alias="3EB0TEST02"),
        )
        self.assertEqual(log.delivery_state, "read")

    def lose(self, on_interrupted="hold"):
        """Send a message whose answer never comes."""
        self.meta.on_interrupted = on_interrupted
        self.gateway.fault("meta", "cut_after_read", times=1)
        row, log = self.send()
        self.assertEqual((row.error_class, log.error_class), ("interrupted", "interrupted"))
        return row

    def test_interrupted_message_that_left(self):
        self._provider("fonnte")
        row = self.lose()
        self.assertEqual(row.state, "failed")
        reference = f"{self.env.cr.dbname}:{row.id}"
        event = self.told(self.meta, self.receipt("wamid.LOST", "delivered", reference=reference, at=NOON))
        self.assertEqual(event.state, "applied")
        self.assertEqual(
            (row.state, row.error_class, row.external_message_id, row.sent_date),
            ("sent", False, "wamid.LOST", NOON),
        )
        log = self.logs.search([("queue_id", "=", row.id)], order="id")
        self.assertEqual(
            [(one.state, one.delivery_state) for one in log], [("failed", False), ("sent", "delivered")]
        )
        self.told(self.meta, self.receipt("wamid.LOST", "read", reference=reference))
        self.assertEqual(log[-1].delivery_state, "read")

    def test_one_that_would_be_sent_again_is_not(self):
        row = self.lose("resend")
        self.assertEqual(row.state, "pending")
        before = len(self.gateway.messages())
        self.told(self.meta, self.receipt("wamid.LOST", "sent", reference=f"{self.env.cr.dbname}:{row.id}"))
        row.scheduled_date = fields.Datetime.now()
        self.drain()
        self.assertEqual(row.state, "sent")
        self.assertEqual(len(self.gateway.messages()), before)

    def test_it_left_and_was_refused(self):
        self._provider("fonnte")
        row = self.lose()
        reference = f"{self.env.cr.dbname}:{row.id}"
        self.told(self.meta, self.receipt("wamid.LOST", "failed", reference=reference, **PAYMENT))
        self.assertSent(row, "fonnte")

    def test_references_of_others(self):
        row = self.lose()
        for reference in (f"other:{row.id}", f"{self.env.cr.dbname}:x", f"{self.env.cr.dbname}:{2**40}", "7"):
            event = self.told(self.meta, self.receipt("wamid.X", "sent", key=reference, reference=reference))
            self.assertEqual((event.state, row.state), ("unmatched", "failed"), reference)
        stranger = self._meta(name="Stranger", app_secret="ANOTHER-SECRET", credential_state="draft")
        mine = f"{self.env.cr.dbname}:{row.id}"
        event = self.told(stranger, self.receipt("wamid.X", "sent", reference=mine))
        self.assertEqual((event.state, row.state), ("unmatched", "failed"))

    def test_cleanup(self):
        old, new, due = self.tell(
            self.meta, *(self.receipt(f"wamid.{name}", "sent") for name in ("old", "new", "due"))
        )
        (old | new).sudo().write({"state": "unmatched"})
        (old | due).sudo().write({"create_date": fields.Datetime.now() - timedelta(days=9)})
        new.sudo().write({"create_date": fields.Datetime.now() - timedelta(days=7)})
        self.env["sicantik.notification.cleanup"]._run()
        self.assertEqual((old | new | due).exists(), new | due)


class TestSimulatorReceipts(DoorCase):
    """The services' own webhooks, over HTTP: signed, in any order, late."""

    def _signing(self, provider_type, **vals):
        if provider_type == "waha":
            vals["app_secret"] = "WAHA-SECRET-DEMO"
        return self._meta(**vals) if provider_type == "meta" else self._provider(provider_type, **vals)

    def follow(self, provider, log, *statuses):
        """Have the service tell what became of a message; a code comes after a colon."""
        for status in statuses:
            status, _colon, code = status.partition(":")
            answers = self.happen(
                provider, "receipt", message_id=log.external_message_id, status=status, code=code
            )
            self.assertEqual(answers, [200], status)
        self.env.invalidate_all()
        self.drain()

    def test_each_service(self):
        for provider_type in ("meta", "waha", "twilio", "fonnte"):
            with self.subTest(provider_type):
                provider = self._signing(provider_type)
                self.connect(provider)
                row, log = self.send()
                self.assertSent(row, provider.provider_type)
                self.follow(provider, log, "read", "sent", "delivered", "delivered")
                self.assertEqual(log.delivery_state, "read", self.events.search([]).read())
                provider.active = False

    def test_late_refusals(self):
        self._provider("watzap", sequence=99)
        for provider_type, told, taken_by, state in (
            ("meta", "failed:131042", "watzap", "sent"),
            ("meta", "failed:131047", "watzap", "sent"),
            ("meta", "failed:131026", "meta", "failed"),
            ("meta", "failed:131049", "meta", "failed"),
            ("twilio", "undelivered:63016", "watzap", "sent"),
            ("twilio", "undelivered:63024", "twilio", "failed"),
            ("fonnte", "failed:invalid", "fonnte", "failed"),
        ):
            with self.subTest(told):
                provider = self._signing(provider_type, sequence=1)
                self.connect(provider)
                row, log = self.send()
                self.assertSent(row, provider.provider_type)
                self.follow(provider, log, told)
                self.drain()
                self.assertEqual((row.state, row.provider_type), (state, taken_by), row.error_message)
                self.assertEqual(log.delivery_state, "failed")
                provider.active = False

    def test_wrong_signature(self):
        meta = self._meta()
        self.connect(meta)
        _row, log = self.send()
        told = {"message_id": log.external_message_id, "status": "delivered"}
        for signature in ("wrong", "missing", "reserialised"):
            statuses = self.happen(meta, "receipt", signature=signature, attempts=1, **told)
            self.assertIn(statuses, ([403], [200]) if signature == "reserialised" else ([403],))
        self.assertEqual(self.happen(meta, "receipt", times=3, **told), [200] * 3)
        self.drain()
        self.assertEqual(log.delivery_state, "delivered")
        self.assertLessEqual(len(self.events.search([])), 2)

    def test_refused_while_the_run_goes_on(self):
        """A run that has nothing to send still hears what is told meanwhile."""
        meta = self._meta()
        self._provider("fonnte")
        row, log = self.send()
        told = self.receipt(log.external_message_id, "failed", **PAYMENT)
        settle = type(self.env["sicantik.notification.settlement"])._settle

        def settle_and_tell(records, *args):
            if not records.env["sicantik.whatsapp.event"].search_count([]):
                records.env["sicantik.whatsapp.event"]._store(meta, [told])
            return settle(records, *args)

        with (
            patch.object(type(self.env["sicantik.notification.settlement"]), "_settle", settle_and_tell),
            patch("odoo.addons.sicantik_notification_automation.models.run.LISTEN_AGAIN", 0),
        ):
            self._row(phone="081200000333")
            self.drain()
        self.assertSent(row, "fonnte")


class TestStates(EventCase):
    def test_every_state_of_a_receipt_has_a_rank(self):
        self.assertEqual(set(RANKS), set(events.STATES))
