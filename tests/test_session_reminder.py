"""Seed 5, “Setup Notifikasi 1 Jam Sebelum Sesi”, whole: course sessions whose participants are reminded by
e-mail, and by WhatsApp (Twilio) if they agreed to it.

The models of the course are made by the test, as an administrator may make them: without a line of Python in
an addon, so the reminder needs nothing but a trigger, a rule and its texts.
"""

from datetime import timedelta

from odoo import fields
from odoo.fields import Command

from .common import NotificationCase

SESSION, ENROLMENT = "x_course_session", "x_course_enrolment"


class TestSessionReminder(NotificationCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls._make_models()
        cls.env.company.partner_id.tz = "Asia/Jakarta"
        cls._provider("twilio")
        cls.env["sicantik.whatsapp.template.master"].create(
            {
                "template_key": "session_reminder",
                "name": "Pengingat Sesi",
                "body_preview": "Halo {{partner_name}}, sesi {{x_name}} dimulai {{x_scheduled_at}}.",
                "parameter_list": ["partner_name", "x_name", "x_scheduled_at"],
                "language": "id",
            }
        )
        model_id = cls.env["ir.model"]._get_id(SESSION)
        mail_template = cls.env["mail.template"].create(
            {
                "name": "Pengingat Sesi",
                "model_id": model_id,
                "subject": "Pengingat: {{ object.x_name }} dimulai dalam 1 jam",
                "body_html": "<p>Sesi <b t-out='object.x_name'/> dimulai pukul "
                "<t t-out=\"format_datetime(object.x_scheduled_at, dt_format='HH.mm')\"/>.</p>",
                "email_from": "kursus@example.com",
            }
        )
        cls.trigger = cls._trigger(
            "session_reminder",
            SESSION,
            trigger_type="on_time",
            date_field_id=cls.env["ir.model.fields"]._get(SESSION, "x_scheduled_at").id,
            time_offsets="-1h",
            tolerance_minutes=5,
        )
        cls.rule = cls._rule(
            cls.trigger,
            channel="both",
            template_key="session_reminder",
            mail_template_id=mail_template.id,
            recipient_type="field",
            recipient_field="x_participant_ids",
        )
        cls.ani = cls._user("Ani", "081200000001", whatsapp_opt_in=True)
        cls.budi = cls._user("Budi", "6281200000002")
        cls.citra = cls._user("Citra", "+6281200000003", whatsapp_opt_in=True)

    @classmethod
    def _make_models(cls):
        """Make sessions, and enrolments with a state; a session knows who takes part in it, as the seed's
        `getEnrolledUsers()` does.
        """
        cls.env["ir.model"].create(
            {
                "name": "Course Session",
                "model": SESSION,
                "field_id": [
                    Command.create({"name": "x_name", "ttype": "char", "field_description": "Name"}),
                    Command.create(
                        {"name": "x_scheduled_at", "ttype": "datetime", "field_description": "Scheduled at"}
                    ),
                ],
            }
        )
        cls.env["ir.model"].create(
            {
                "name": "Course Enrolment",
                "model": ENROLMENT,
                "field_id": [
                    Command.create(
                        {
                            "name": "x_session_id",
                            "ttype": "many2one",
                            "relation": SESSION,
                            "field_description": "Session",
                            "on_delete": "cascade",
                        }
                    ),
                    Command.create(
                        {
                            "name": "x_user_id",
                            "ttype": "many2one",
                            "relation": "res.users",
                            "field_description": "User",
                            "on_delete": "cascade",
                        }
                    ),
                    Command.create({"name": "x_state", "ttype": "char", "field_description": "Status"}),
                ],
            }
        )
        model_id = cls.env["ir.model"]._get_id(SESSION)
        cls.env["ir.model.fields"].create(
            {
                "name": "x_enrolment_ids",
                "model_id": model_id,
                "ttype": "one2many",
                "relation": ENROLMENT,
                "relation_field": "x_session_id",
                "field_description": "Enrolments",
            }
        )
        cls.env["ir.model.fields"].create(
            {
                "name": "x_participant_ids",
                "model_id": model_id,
                "ttype": "many2many",
                "relation": "res.users",
                "field_description": "Participants",
                "store": False,
                "readonly": True,
                "depends": "x_enrolment_ids.x_state, x_enrolment_ids.x_user_id",
                "compute": "for session in self:\n"
                "    enrolments = session.x_enrolment_ids.filtered(lambda one: one.x_state == 'active')\n"
                "    session['x_participant_ids'] = enrolments.x_user_id",
            }
        )

    @classmethod
    def _user(cls, name, number, **vals):
        return (
            cls.env["res.users"]
            .with_context(no_reset_password=True)
            .create(
                {
                    "name": name,
                    "login": f"{name.lower()}.course",
                    "email": f"{name.lower()}@example.com",
                    "whatsapp_number": number,
                    "groups_id": [Command.set([cls.env.ref("base.group_portal").id])],
                    **vals,
                }
            )
        )

    def _session(self, minutes, *active, left=()):
        """Create a session that starts in so many minutes.

        :param active: users with an active enrolment
        :param left: users whose enrolment is not active any more
        """
        enrolments = [(user, "active") for user in active] + [(user, "cancelled") for user in left]
        return self.env[SESSION].create(
            {
                "x_name": "Dasar-Dasar Perizinan",
                "x_scheduled_at": self._in(minutes),
                "x_enrolment_ids": [
                    Command.create({"x_user_id": user.id, "x_state": state}) for user, state in enrolments
                ],
            }
        )

    def _in(self, minutes):
        return fields.Datetime.now() + timedelta(minutes=minutes)

    def assertReminded(self, session, mail=(), whatsapp=()):
        """Let the scheduled action run, and assert who has been reminded of a session so far.

        :param mail: users, as often as they have a mail
        :param whatsapp: users, as often as they have a message
        """
        self.commit()
        self.drain()
        mails = self.env["mail.mail"].search([("model", "=", SESSION), ("res_id", "=", session.id)])
        self.assertEqual(
            sorted(mails.mapped("email_to")), sorted(f'"{user.name}" <{user.email}>' for user in mail)
        )
        self.assertEqual(
            sorted(message["to"] for message in self.gateway.messages()),
            sorted(user.partner_id.whatsapp_e164.removeprefix("+") for user in whatsapp),
        )
        return mails

    # === THE STORY ===#

    def test_one_hour_before(self):
        """“Selalu kirim email”, “Kirim WhatsApp jika user sudah opt-in”."""
        session = self._session(60, self.ani, self.budi)
        mail = self.assertReminded(session, mail=[self.ani, self.budi], whatsapp=[self.ani])[0]
        local = fields.Datetime.context_timestamp(
            session.with_context(tz="Asia/Jakarta"), session.x_scheduled_at
        )
        self.assertEqual(mail.subject, "Pengingat: Dasar-Dasar Perizinan dimulai dalam 1 jam")
        self.assertIn(f"dimulai pukul {local:%H.%M}.", mail.body_html)
        self.assertEqual(mail.state, "outgoing", "Odoo's own mail queue sends it")
        message = self.gateway.messages()[0]
        self.assertEqual(
            (message["provider"], message["text"]),
            ("twilio", f"Halo Ani, sesi Dasar-Dasar Perizinan dimulai {local:%d-%m-%Y %H:%M}."),
        )

    def test_logged_for_each_channel(self):
        """“Log disimpan di `session_reminder_logs` untuk mencegah duplikasi”."""
        session = self._session(60, self.ani, self.budi)
        self.assertReminded(session, mail=[self.ani, self.budi], whatsapp=[self.ani])
        logs = self.logs.search([("res_model", "=", SESSION), ("res_id", "=", session.id)])
        self.assertEqual(
            sorted((log.partner_id.name, log.channel, log.state, log.error_class) for log in logs),
            [
                ("Ani", "email", "sent", False),
                ("Ani", "whatsapp", "sent", False),
                ("Budi", "email", "sent", False),
                ("Budi", "whatsapp", "skipped", "no_opt_in"),
            ],
        )

    def test_only_active_enrolments(self):
        """“Hanya user dengan enrollment status `active` yang menerima notifikasi”."""
        session = self._session(60, self.ani, left=[self.citra])
        self.assertReminded(session, mail=[self.ani], whatsapp=[self.ani])

    def test_five_minutes_either_side(self):
        """“Toleransi waktu: ±5 menit dari 1 jam sebelum session”."""
        for minutes, reminded in ((50, False), (56, True), (64, True), (70, False)):
            with self.subTest(minutes):
                self.gateway.reset()
                session = self._session(minutes, self.ani)
                users = [self.ani] if reminded else []
                self.assertReminded(session, mail=users, whatsapp=users)

    def test_once_per_session(self):
        """“Notifikasi hanya dikirim sekali per session”, though the scheduler runs every minute."""
        session = self._session(62, self.ani, self.budi)
        for _minute in range(3):
            self.assertReminded(session, mail=[self.ani, self.budi], whatsapp=[self.ani])

    def test_not_again_when_the_queue_has_been_cleaned(self):
        session = self._session(62, self.ani)
        self.assertReminded(session, mail=[self.ani], whatsapp=[self.ani])
        self.rows(res_model=SESSION).unlink()
        self.assertReminded(session, mail=[self.ani], whatsapp=[self.ani])

    def test_moved_session(self):
        """A session moved to another hour reminds again."""
        session = self._session(61, self.ani, self.budi)
        self.assertReminded(session, mail=[self.ani, self.budi], whatsapp=[self.ani])
        session.x_scheduled_at = self._in(180)
        self.assertReminded(session, mail=[self.ani, self.budi], whatsapp=[self.ani])
        session.x_scheduled_at = self._in(63)
        self.assertReminded(session, mail=[self.ani, self.budi] * 2, whatsapp=[self.ani] * 2)

    def test_number_of_a_participant(self):
        """“Sistem akan otomatis mengkonversi nomor telepon ke format E.164”."""
        for number in ("081200000005", "6281200000005", "+6281200000005"):
            self.ani.partner_id.whatsapp_number = number
            self.assertEqual(self.ani.partner_id.whatsapp_e164, "+6281200000005")

    def test_a_participant_without_an_address_costs_the_others_nothing(self):
        self.citra.email = False
        session = self._session(60, self.ani, self.citra)
        self.assertReminded(session, mail=[self.ani], whatsapp=[self.ani, self.citra])
        row = self.rows(res_model=SESSION, channel="email", partner_id=self.citra.partner_id.id)
        self.assertEqual((row.state, row.error_class), ("skipped", "no_email"))
