"""Messages of people to us: the 24-hour window, opt-in, opt-out."""

from datetime import datetime, timedelta
from unittest.mock import patch

from odoo import fields
from odoo.exceptions import ValidationError
from odoo.tests import Form, tagged
from odoo.tests.common import BaseCase
from odoo.tools import mute_logger

from ..models import opt_words
from ..providers import events
from .test_concurrency import ConcurrencyCase
from .webhooks import DoorCase, EventCase

NUMBER = "+6281200000001"
PREFIX = "sicantik_notification_automation"
DAY = timedelta(days=1)
NEVER_ASKED = {"whatsapp_opt_in": False, "whatsapp_opt_out_date": False}


@tagged("post_install", "-at_install")
class TestOptWords(BaseCase):
    """Plain Python: which messages are wishes."""

    def wish(self, text, payload="", opt_out="", opt_in=""):
        return opt_words.wish_of(
            text,
            payload,
            opt_words.read_words(opt_out, opt_words.OPT_OUT),
            opt_words.read_words(opt_in, opt_words.OPT_IN),
        )

    def test_whole_message_only(self):
        for text in (
            "STOP",
            "stop",
            " Stop. ",
            "*STOP!*",
            "“Berhenti”",
            "unsubscribe\n",
            "ＳＴＯＰ",
            "STOP 🙏",
            "_stop_",
        ):
            self.assertEqual(self.wish(text), "stop", text)
        for text in (
            "STOP 12345",
            "jangan berhenti",
            "stop dulu ya",
            "nonstop",
            "s t o p",
            "",
            "🙏",
            "...",
            "tidak",
        ):
            self.assertEqual(self.wish(text), "", text)

    def test_opt_in(self):
        for text, wish in (("START", "start"), ("mulai!", "start"), ("Ya", "yes"), ("ya, tapi nanti", "")):
            self.assertEqual(self.wish(text), wish, text)

    def test_buttons(self):
        self.assertEqual(self.wish("Berhenti", "b1"), "stop")
        self.assertEqual(self.wish("Tidak lagi", "STOP_1"), "stop")
        self.assertEqual(self.wish("Tidak lagi", "stop-promo"), "stop")
        self.assertEqual(self.wish("Ya, setuju", "YA"), "yes")
        self.assertEqual(self.wish("Lihat status", "status"), "")

    def test_own_words(self):
        self.assertEqual(self.wish("cukup", opt_out="CUKUP, tidak mau"), "stop")
        self.assertEqual(self.wish("Tidak  mau!", opt_out="CUKUP; tidak mau"), "stop")
        self.assertEqual(self.wish("stop", opt_out="cukup"), "")
        self.assertEqual(self.wish("stop", opt_out=" ,; \n ... "), "stop", "no word at all: the shipped ones")
        self.assertEqual(self.wish("START", opt_in="daftar"), "start", "it always takes an opt-out back")

    def test_stop_wins(self):
        self.assertEqual(self.wish("START", "STOP_1"), "stop")


class TestConsent(EventCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.meta = cls._meta()
        cls.fonnte = cls._provider("fonnte")
        cls.partner.write(NEVER_ASKED)

    def policy(self, value):
        self.env["ir.config_parameter"].sudo().set_param(f"{PREFIX}.opt_in_policy", value)

    def entry(self, number=NUMBER):
        return self.blacklist.with_context(active_test=False).search([("phone_number", "=", number)])

    def notes(self):
        return self.partner.message_ids.filtered(lambda message: "WhatsApp" in (message.body or ""))

    # === THE WINDOW ===#

    def test_window(self):
        at = fields.Datetime.now() - timedelta(hours=1)
        self.told(self.meta, self.inbound("Halo", at=at))
        self.assertEqual(self.partner.whatsapp_last_inbound, at)
        self.assertTrue(self.partner.whatsapp_window_open)
        self.told(self.meta, self.inbound("Halo", at=at - DAY))
        self.assertEqual(self.partner.whatsapp_last_inbound, at, "it only goes forward")
        self.told(self.meta, self.inbound("Halo", at=at + 400 * DAY))
        self.assertLessEqual(self.partner.whatsapp_last_inbound, fields.Datetime.now())

    def test_window_is_of_meta_alone(self):
        self.told(self.fonnte, self.inbound("Halo"))
        self.assertFalse(self.partner.whatsapp_last_inbound)
        self.assertTrue(self.partner.whatsapp_opt_in)

    def test_everybody_with_the_number(self):
        twin = self._partner("Twin", "62812-0000-0001", active=False)
        self.told(self.meta, self.inbound("Halo"))
        self.assertTrue(twin.whatsapp_window_open and self.partner.whatsapp_window_open)

    def test_contacts_of_another_company(self):
        other = self.env["res.company"].create({"name": "Other"})
        theirs = self._partner("Theirs", "081200000001", company_id=other.id)
        self.meta.company_id = self.env.company
        self.told(self.meta, self.inbound("Halo"))
        self.assertTrue(self.partner.whatsapp_opt_in)
        self.assertFalse(theirs.whatsapp_last_inbound or theirs.whatsapp_opt_in)
        theirs.whatsapp_opt_in = True
        self.told(self.meta, self.inbound("STOP"))
        self.assertFalse(self.partner.whatsapp_opt_in or theirs.whatsapp_opt_in, "the number is what counts")

    def test_nobody_with_the_number(self):
        event = self.told(self.meta, self.inbound("Halo", phone="+6281200000055"))
        self.assertEqual(event.state, "unmatched")
        event = self.told(self.meta, self.inbound("STOP", phone="+6281200000055"))
        self.assertEqual((event.state, self.entry("+6281200000055").source), ("applied", "opt_out"))

    def test_number_that_is_not_told(self):
        event = self.told(self.meta, self.inbound("STOP", phone="", sender="ID.123"))
        self.assertEqual(event.state, "unmatched")

    def test_echo(self):
        _row, log = self.send()
        event = self.told(self.meta, self.inbound("STOP", message_id=log.external_message_id))
        self.assertEqual((event.state, self.entry()), ("ignored", self.blacklist))

    # === OPT-IN ===#

    def test_policies(self):
        for policy, text, expected in (
            ("first_message", "Halo", True),
            ("keyword", "Halo", False),
            ("keyword", "Ya!", True),
            ("keyword", "mulai", True),
            ("none", "mulai", False),
            ("nonsense", "Halo", True),
        ):
            with self.subTest(policy=policy, text=text):
                self.partner.write(NEVER_ASKED)
                self.policy(policy)
                self.told(self.meta, self.inbound(text))
                self.assertEqual(self.partner.whatsapp_opt_in, expected)
                self.assertTrue(self.partner.whatsapp_last_inbound)

    def test_date_and_note_once(self):
        at = fields.Datetime.now() - timedelta(hours=2)
        self.told(self.meta, self.inbound("Halo", at=at), self.inbound("Halo?", at=at + timedelta(hours=1)))
        self.assertEqual(self.partner.whatsapp_opt_in_date, at)
        self.assertEqual(len(self.notes()), 1)
        self.told(self.meta, self.inbound("Halo"))
        self.assertEqual(self.partner.whatsapp_opt_in_date, at)
        self.assertEqual(len(self.notes()), 1)
        self.assertNotIn("Halo", "".join(self.partner.message_ids.mapped("body")))

    # === OPT-OUT ===#

    def test_stop(self):
        self.partner.whatsapp_opt_in = True
        at = fields.Datetime.now() - timedelta(hours=2)
        self.told(self.meta, self.inbound("stop!", at=at))
        entry = self.entry()
        self.assertEqual(
            (entry.source, entry.date, entry.partner_id, entry.active), ("opt_out", at, self.partner, True)
        )
        self.assertTrue(entry.reason)
        self.assertFalse(self.partner.whatsapp_opt_in or self.partner.whatsapp_opt_in_date)
        self.assertEqual(len(self.notes()), 1)
        rule = self._rule(self._trigger(), respect_blacklist=False)
        row, _log = self.send(phone=NUMBER, rule_id=rule.id)
        self.assertEqual((row.state, row.error_class), ("skipped", "blacklisted"))
        self.told(self.meta, self.inbound("STOP"))
        self.assertEqual((len(self.notes()), self.entry().date), (1, at), "said again, it is the same wish")

    def test_waiting_messages_are_held_back(self):
        row = self._row(scheduled_date=fields.Datetime.now() + DAY)
        self.told(self.meta, self.inbound("BERHENTI"))
        row.scheduled_date = fields.Datetime.now()
        self.drain()
        self.assertEqual(row.state, "skipped")

    def test_messages_after_an_opt_out(self):
        """Who opted out and writes for another reason has not changed their mind."""
        self.told(self.meta, self.inbound("STOP"))
        for text in ("Kapan izin saya selesai?", "Ya", "STOP 12345"):
            self.told(self.meta, self.inbound(text))
            self.assertTrue(self.entry().active, text)
            self.assertFalse(self.partner.whatsapp_opt_in, text)

    def test_start_lifts_it(self):
        for word in ("START", "mulai"):
            self.told(self.meta, self.inbound("STOP"))
            self.assertTrue(self.entry().active)
            self.told(self.meta, self.inbound(word))
            self.assertFalse(self.entry().active, word)
            self.assertTrue(self.partner.whatsapp_opt_in)
        self.assertEqual(len(self.entry()), 1)

    def test_start_without_opt_in_by_message(self):
        self.policy("none")
        self.told(self.meta, self.inbound("STOP"))
        self.told(self.meta, self.inbound("START"))
        self.assertFalse(self.entry().active)
        self.assertFalse(self.partner.whatsapp_opt_in)

    def test_start_does_not_lift_what_others_entered(self):
        for source in ("manual", "provider"):
            with self.subTest(source):
                self.entry().unlink()
                entry = self.blacklist.create({"phone_number": NUMBER, "source": source, "reason": "Debt"})
                self.told(self.meta, self.inbound("START"))
                self.assertEqual((entry.active, entry.source), (True, source))
                self.told(self.meta, self.inbound("STOP"))
                self.assertEqual(entry.source, "opt_out")
                self.told(self.meta, self.inbound("START"))
                self.assertEqual((entry.active, entry.source, entry.reason), (True, source, "Debt"))

    def test_order_in_one_call(self):
        now = fields.Datetime.now()
        stop = self.inbound("STOP", at=now - timedelta(minutes=2))
        start = self.inbound("START", at=now - timedelta(minutes=1))
        self.told(self.meta, start, stop)
        self.assertFalse(self.entry().active, "the time counts, not the place")
        self.told(
            self.meta,
            self.inbound("START", at=now - timedelta(seconds=40)),
            self.inbound("STOP", at=now - timedelta(seconds=30)),
        )
        self.assertTrue(self.entry().active)
        self.assertFalse(self.partner.whatsapp_opt_in)

    def test_start_that_comes_late(self):
        now = fields.Datetime.now()
        self.told(self.meta, self.inbound("STOP", at=now - timedelta(minutes=1)))
        self.told(self.meta, self.inbound("START", at=now - timedelta(minutes=5)))
        self.assertTrue(self.entry().active)

    def test_preference(self):
        self.partner.whatsapp_opt_in = True
        self.told(self.meta, events.Preference("p1", NUMBER, True))
        self.assertEqual(self.entry().source, "opt_out")
        self.assertFalse(self.partner.whatsapp_opt_in or self.partner.whatsapp_last_inbound)
        self.told(self.meta, events.Preference("p2", NUMBER, False))
        self.assertFalse(self.entry().active)

    def test_refused_at_once_for_an_opt_out(self):
        """Somebody opted out at the service itself: a later message is refused before it leaves."""
        twilio = self._provider("twilio", sequence=1)
        self.meta.active = False
        self.gateway.fault("twilio", "21610", times=1)
        row, log = self.send(phone=NUMBER)
        self.assertEqual((row.state, log.provider_id), ("failed", twilio))
        self.assertEqual(self.entry().source, "opt_out")

    def test_withdrawn_in_the_office(self):
        """A consent that was withdrawn comes back by a word, and not by any message."""
        self.told(self.meta, self.inbound("Halo"))
        self.assertTrue(self.partner.whatsapp_opt_in)
        with Form(self.partner) as form:
            form.whatsapp_opt_in = False
        self.assertTrue(self.partner.whatsapp_opt_out_date)
        self.told(self.meta, self.inbound("no, please no messages"))
        self.assertFalse(self.partner.whatsapp_opt_in)
        self.told(self.meta, self.inbound("Halo"), self.inbound("START"))
        self.assertTrue(self.partner.whatsapp_opt_in)
        self.assertFalse(self.partner.whatsapp_opt_out_date)

    def test_contact_that_cannot_be_written(self):
        """What another addon says about contacts does not take an opt-out back."""
        self.partner.whatsapp_opt_in = True
        closed = ValidationError("Contacts are closed today.")  # pylint: disable=translation-required

        def refuse(records, vals):
            raise closed

        with (
            patch.object(self.registry["res.partner"], "write", refuse),
            mute_logger("odoo.addons.sicantik_notification_automation.models.sicantik_whatsapp_event"),
        ):
            event = self.told(self.meta, self.inbound("STOP"))
        self.assertEqual((event.state, event.note), ("ignored", "ValidationError"))
        self.assertEqual(self.entry().source, "opt_out")

    def test_many_at_once(self):
        partners = [self._partner(f"P{i}", f"0812000004{i:02}") for i in range(30)]
        at = datetime.now().replace(microsecond=0) - timedelta(hours=30)
        self.tell(self.meta, *(self.inbound("Halo", phone=one.whatsapp_e164, at=at) for one in partners))
        self.env.invalidate_all()
        with self.assertQueryCount(40):
            self.events._apply()
        self.assertTrue(all(one.whatsapp_opt_in for one in partners))

    # === SETTINGS ===#

    def test_settings(self):
        settings = self.env["res.config.settings"].create({})
        self.assertEqual(
            (
                settings.whatsapp_opt_in_policy,
                settings.whatsapp_opt_out_words,
                settings.whatsapp_opt_in_words,
            ),
            ("first_message", "STOP, BERHENTI, UNSUBSCRIBE", "START, MULAI, YA"),
        )
        settings.write({"whatsapp_opt_in_policy": "keyword", "whatsapp_opt_out_words": "cukup"})
        settings.execute()
        self.told(self.meta, self.inbound("Halo"), self.inbound("CUKUP."))
        self.assertTrue(self.entry().active)


@tagged("post_install", "-at_install")
class TestConsentAcrossConnections(ConcurrencyCase):
    NUMBER = "+6281200000099"

    def tearDown(self):
        with self.environment() as env:
            entries = env["sicantik.notification.blacklist"].with_context(active_test=False)
            entries.search([("phone_number", "=", self.NUMBER)]).unlink()
        super().tearDown()

    def _look(self):
        """Run the scheduled action; give what became of the events, the consent, and the blacklist."""
        with self.environment() as env:
            env["sicantik.notification.queue"].cron_process_queue()
        with self.environment() as env:
            provider_id = self.ids["sicantik.whatsapp.provider"]
            told = env["sicantik.whatsapp.event"].search([("provider_id", "=", provider_id)], order="id")
            return (
                told.mapped("state"),
                env["res.partner"].browse(self.ids["res.partner"]).whatsapp_opt_in,
                env["sicantik.notification.blacklist"].is_blacklisted(self.NUMBER),
            )

    def test_contact_that_somebody_else_is_writing(self):
        """An opt-out holds at once; the rest is done when the contact is free, and nothing is lost."""
        with self.environment() as env:
            env["res.partner"].browse(self.ids["res.partner"]).whatsapp_opt_in = True
            provider = env["sicantik.whatsapp.provider"].browse(self.ids["sicantik.whatsapp.provider"])
            told = [
                events.Inbound("in:1", self.NUMBER, text="STOP"),
                events.Inbound("in:2", "+6281200000098", text="STOP"),
            ]
            env["sicantik.whatsapp.event"]._store(provider, told)
        with self.environment() as other:
            other.cr.execute("UPDATE res_partner SET comment = 'x' WHERE id = %s", [self.ids["res.partner"]])
            self.assertEqual(self._look(), (["pending", "applied"], True, True))
            self.assertEqual(self._look(), (["pending", "applied"], True, True))
        self.assertEqual(self._look(), (["applied", "applied"], False, True))

    def test_in_the_order_in_which_they_wrote(self):
        with self.environment() as env:
            provider = env["sicantik.whatsapp.provider"].browse(self.ids["sicantik.whatsapp.provider"])
            told = [
                events.Inbound(f"in:{n}", self.NUMBER, text=text) for n, text in enumerate(["STOP", "START"])
            ]
            env["sicantik.whatsapp.event"]._store(provider, told)
        with self.environment() as other:
            other.cr.execute("UPDATE res_partner SET comment = 'x' WHERE id = %s", [self.ids["res.partner"]])
            self.assertEqual(self._look(), (["pending", "pending"], False, False))
        self.assertEqual(self._look(), (["applied", "applied"], True, False))


class TestConsentOverHttp(DoorCase):
    """The services' own webhooks of messages."""

    def test_each_service(self):
        for provider in (
            self._meta(),
            self._provider("fonnte"),
            self._provider("watzap"),
            self._provider("waha", app_secret="WAHA-SECRET-DEMO"),
            self._provider("twilio"),
        ):
            with self.subTest(provider.provider_type):
                self.connect(provider)
                for text, blocked in (("Berhenti", True), ("MULAI", False)):
                    told = {"text": text, "from": "6281200000001"}
                    self.assertEqual(self.happen(provider, "inbound", **told), [200])
                    self.env.invalidate_all()
                    self.drain()
                    self.assertEqual(self.blacklist.is_blacklisted(NUMBER), blocked)
                    self.assertEqual(self.partner.whatsapp_opt_in, not blocked)

    def test_native_control_of_meta(self):
        meta = self._meta()
        self.connect(meta)
        self.happen(meta, "preference", value="stop", **{"from": "6281200000001"})
        self.drain()
        self.assertTrue(self.blacklist.is_blacklisted(NUMBER))

    def test_waha_hides_the_number(self):
        """A person without a number in the event (`…@lid`): the service is asked when they wish something."""
        waha = self._provider("waha", app_secret="WAHA-SECRET-DEMO")
        lid = f"{NUMBER[:0:-1]}00@lid"  # as the simulator hides numbers
        said = (("Halo", lid), ("STOP", lid), ("STOP", "1@lid"))
        told = [
            events.Inbound(f"lid{at}", "", text=text, sender=sender) for at, (text, sender) in enumerate(said)
        ]
        hello, stop, stranger = self.told(waha, *told)
        self.assertEqual((hello.state, stop.state, stranger.state), ("unmatched", "applied", "unmatched"))
        self.assertTrue(self.blacklist.is_blacklisted(NUMBER))
        asked = [one["path"] for one in self.gateway.requests(provider="waha") if "lids" in one["path"]]
        self.assertEqual(len(asked), 2)

    def test_waha_does_not_answer(self):
        """It is asked again later, and not all the time; after a day the number is given up."""
        waha = self._provider("waha", app_secret="WAHA-SECRET-DEMO")
        lid = f"{NUMBER[:0:-1]}00@lid"
        works, waha.base_url = waha.base_url, "http://127.0.0.1:9"
        stop = self.told(waha, events.Inbound("lid", "", text="STOP", sender=lid))
        self.assertEqual((stop.state, self.blacklist.is_blacklisted(NUMBER)), ("pending", False))
        waha.base_url = works
        self.drain()
        self.assertEqual((stop.state, self.gateway.requests(provider="waha")), ("pending", []))
        stop.sudo().write_date -= timedelta(minutes=2)
        self.drain()
        self.assertEqual((stop.state, self.blacklist.is_blacklisted(NUMBER)), ("applied", True))
        waha.base_url = "http://127.0.0.1:9"
        late = self.tell(waha, events.Inbound("late", "", text="STOP", sender=lid))
        late.sudo().create_date -= 2 * DAY
        self.drain()
        self.assertEqual(late.state, "unmatched")
