import random
from collections import defaultdict
from dataclasses import replace
from datetime import datetime, timedelta

from odoo import api, fields, models

from ..providers import ACCEPTED, Attempt, errors, events, goes_on, provider_for
from .company_time import to_local, to_utc
from .road import Refusal, Wait
from .sicantik_notification_evaluation import Event, Failure
from .sicantik_notification_queue import AT_ONCE, WORKERS

MODULE = "sicantik_notification_automation"
QUEUE = "sicantik.notification.queue"
PERMIT, DOCUMENT = "sicantik.permit", "sicantik.document"
DAYS = 30
# Days before its expiry on which a permit is told of, as the shipped trigger does.
WARNINGS = (90, 60, 30, 7)
# Events that the cleanup would have deleted by now.
EVENTS_KEPT = timedelta(days=7)
# What providers answered on certain days: {days ago: {provider type: (code, its words)}}.
BAD_DAYS = {
    19: {"fonnte": ("token invalid", "")},
    **dict.fromkeys((21, 20, 13), {"meta": ("131042", "Business eligibility payment issue")}),
    6: {"fonnte": ("request invalid on disconnected device", "")},
}
# What they answer about somebody who is not on WhatsApp.
NOT_ON_WHATSAPP = {
    "meta": ("131026", "Message undeliverable"),
    "fonnte": ("target invalid", ""),
}
# What Meta refuses after it has taken it: {number of the message: (code, its words)}.
LATE = {
    **dict.fromkeys((5, 17), ("131047", "Re-engagement message")),
    9: ("131026", "Message undeliverable"),
}
UNREACHABLE = "+6281200000017"
DOCUMENTS = ("Surat keputusan izin", "Berita acara pemeriksaan", "Rekomendasi teknis", "Sertifikat standar")


class SicantikNotificationDemo(models.AbstractModel):
    """The past of the demo data: a month in which the office worked and its messages went out.

    Called once, when demo data is installed (`demo/sicantik_notification_history_demo.xml`). Events are
    handed to the triggers, messages planned, settled and logged, receipts applied by the very methods that do
    so every day; only what the providers answer is made up here, and dates are moved back. So rows, log,
    journal and totals agree. Nothing is sent, and what is left pending is due in the days to come.
    """

    _name = "sicantik.notification.demo"
    _description = "Demo History"

    @api.model
    def _load(self):
        """Let the office work for a month."""
        self = self.with_context(
            tracking_disable=True, mail_create_nolog=True, mail_create_nosubscribe=True, **{AT_ONCE: True}
        )
        History(self.env).tell()


class History:
    """One run of the loader: what it has made so far.

    :param env: in superuser mode
    """

    def __init__(self, env):
        self.env = env
        self.random = random.Random(20251128)
        self.now = fields.Datetime.now()
        self.zone = env.company._notification_tz()
        self.midnight = to_local(self.now, self.zone).replace(hour=0, minute=0, second=0, microsecond=0)
        self.admin = env.ref("base.user_admin")
        self.queue = env[QUEUE]
        self.drain = env["sicantik.notification.drain"]
        self.sent = 0  # messages that a provider has answered
        self.at_meta = 0  # those of them that Meta took
        self.receipts = []  # (when, provider id, event)
        env.cr.execute("SELECT nextval(%s)", [WORKERS])
        (self.worker,) = env.cr.fetchone()

    def ref(self, name):
        return self.env.ref(f"{MODULE}.{name}")

    def tell(self):
        self.calendar = defaultdict(list)  # {days ago: [(trigger code, record, Event)]}
        self._permits()
        self._documents()
        # What happens besides, and how many days ago.
        happenings = [
            *((21, self._completed_campaign), (14, self._cancelled_campaign)),
            *((4, self._paused_campaign), (1, self._running_campaign)),
            *((16, self._sent_auto_message), (9, self._partial_auto_message), (5, self._failed_auto_message)),
            *self._odd_messages(),
        ]
        for ago in range(DAYS - 1, -1, -1):
            self._day(ago)
            for day, happens in happenings:
                if day == ago:
                    happens(ago)
            if ago % 5 == 0:
                self._tell()
        self._planned_auto_messages()
        self._waiting_messages()
        self._incoming()
        self._tell()
        self._usage()
        self.env.company.first_steps_hidden = True  # all of them are taken
        self.env.flush_all()
        self.env.invalidate_all()

    # === THE OFFICE ===#

    def _applicants(self):
        data = self.env["ir.model.data"].search(
            [
                ("module", "=", MODULE),
                ("model", "=", "res.partner"),
                ("name", "=like", "res_partner_applicant_%"),
            ],
            order="res_id",
        )
        return self.env["res.partner"].browse(data.mapped("res_id"))

    def _permits(self):
        """Make permits, and note what is told of them when."""
        applicants = self._applicants()
        types = self.env["sicantik.permit.type"].search([], order="id")
        staff = [self.ref("res_users_staff_rina_demo").id, self.ref("res_users_staff_tono_demo").id]
        today = self.midnight.date()
        vals_list, told = [], []

        def add(state, issued=None, expires=None, event=None, **vals):
            number = len(vals_list)
            vals_list.append(
                {
                    "partner_id": applicants[number * 7 % len(applicants)].id,
                    "permit_type_id": types[number * 5 % len(types)].id,
                    "responsible_id": staff[number % 2],
                    "state": state,
                    "permit_number": f"503/{1001 + number}/DEMO" if issued else False,
                    "issue_date": issued,
                    "expiry_date": expires,
                    **vals,
                }
            )
            told.append(event)

        # Issued in this month, each told of.
        for ago in range(DAYS - 1, -1, -1):
            for turn in range(2 if ago % 3 else 1):
                issued = today - timedelta(days=ago)
                years = timedelta(days=365 * (1 + (ago + turn) % 3))
                state = "active" if ago > 2 and (ago + turn) % 4 else "approved"
                happened = (ago, "permit_state_change", {"old_state": "processing", "new_state": state})
                add(state, issued, issued + years, happened, is_renewal=not (ago + turn) % 9)
        # Issued long ago, and told of because they expire.
        for days in WARNINGS:
            for ago in (25, 20, 16, 13, 8, 5, 3, 2):
                left = days - ago
                if left > 1 and min(abs(left - other) for other in WARNINGS) > 1:
                    expires = today + timedelta(days=left)
                    values = {"values": {"remaining_days": str(days)}}
                    add(
                        "active",
                        expires - timedelta(days=1095),
                        expires,
                        (ago, "permit_expiry_warning", values),
                    )
        # Nobody to write to.
        lately = today - timedelta(days=7)
        add("approved", lately, today + timedelta(days=365), (7, "permit_state_change", {}), partner_id=False)
        # What is under way, and what has ended.
        for state, count in (("submitted", 5), ("processing", 6), ("rejected", 3), ("cancelled", 2)):
            for _turn in range(count):
                add(state)
        for turn in range(5):
            expired = today - timedelta(days=12 + 31 * turn)
            add("expired", expired - timedelta(days=730), expired)
        self.permits = self.env[PERMIT].create(vals_list)
        for permit, event in zip(self.permits, told, strict=True):
            if event:
                ago, code, values = event
                self.calendar[ago].append((code, permit, Event(None, **values)))
        self._backdate(
            self.permits,
            [
                min(
                    self.now - timedelta(hours=1 + at % 60),
                    datetime.combine(permit.issue_date - timedelta(days=4), datetime.min.time())
                    if permit.issue_date
                    else self.now,
                )
                for at, permit in enumerate(self.permits)
            ],
        )

    def _documents(self):
        """Make documents of the permits of this month, and note when they waited for a signature."""
        official = self.ref("res_users_official_sri_demo").id
        vals_list, told = [], []
        issued = self.permits.filtered(lambda permit: permit.issue_date and permit.partner_id)
        issued = issued.filtered(lambda permit: (self.midnight.date() - permit.issue_date).days < DAYS)
        for at, permit in enumerate(issued[::2]):
            ago = (self.midnight.date() - permit.issue_date).days
            signed = self.now - timedelta(days=ago, hours=3)
            vals_list.append(
                {
                    "name": DOCUMENTS[at % len(DOCUMENTS)],
                    "permit_id": permit.id,
                    "state": ("signed", "verified", "approved")[at % 3],
                    "responsible_id": permit.responsible_id.id,
                    "requires_approval": at % 2 == 0,
                    "approver_id": official if at % 2 == 0 else False,
                    "signature_date": signed,
                }
            )
            told.append(ago + 1)
        for at, permit in enumerate(self.permits.filtered(lambda permit: permit.state == "processing")):
            vals_list.append(
                {
                    "name": DOCUMENTS[at % len(DOCUMENTS)],
                    "permit_id": permit.id,
                    "state": "pending_signature" if at % 2 else "uploaded",
                    "responsible_id": permit.responsible_id.id,
                    "requires_approval": bool(at % 2),
                    "approver_id": official if at % 2 else False,
                    "pending_since": self.now - timedelta(hours=1 + at) if at % 2 else False,
                }
            )
            told.append(0 if at % 2 else None)
        self.documents = self.env[DOCUMENT].create(vals_list)
        self._backdate(
            self.documents,
            [self.now - timedelta(days=ago or 0, hours=9) for ago in told],
        )
        for document, ago in zip(self.documents, told, strict=True):
            if ago is not None and ago < DAYS:
                event = Event(None, old_state="uploaded", new_state="pending_signature")
                self.calendar[ago].append(("document_pending_signature", document, event))
        # Reminded yesterday, so the next reminder is due when the cooldown of a day is over.
        waiting = self.ref("sicantik_document_pending_1_demo")
        self.calendar[1].append(("document_pending_reminder", waiting, Event(None)))

    def _day(self, ago):
        """Hand the events of a day to their triggers, and send what they queue."""
        by_trigger = defaultdict(dict)
        for code, record, event in self.calendar[ago]:
            by_trigger[code][record] = event
        journal = self.env["sicantik.notification.execution"]
        lines, ids = [], []
        for code, happened in by_trigger.items():
            trigger = self.ref(f"sicantik_notification_trigger_{code}")
            records = self.env[trigger.model_name].union(*happened)
            _result, made, rows = trigger._fire(
                records, {record.id: event for record, event in happened.items()}
            )
            lines += rows
            ids += [id_ for queued in made.values() for id_ in queued]
        moments = self._moments(ago, len(ids))
        if ago == 17:  # mended since: what is evaluated later has no error
            rule = self.ref("sicantik_notification_rule_permit_ready")
            error = f"{self.permits[0]}: KeyError: 'kepala_dinas'"
            lines.append(journal._row(rule.trigger_id, rule=rule, error=error))
        if lines:
            first = moments[0] if moments else self._moments(ago, 1)[0]
            written = journal.browse(filter(None, journal._write_rows(lines)))
            self._backdate(written, [first + timedelta(seconds=at) for at in range(len(written))])
        self._send(dict(zip(sorted(ids), moments, strict=True)), ago)

    def _moments(self, ago, count):
        """Give moments of the working hours of a day, or of what has passed of today, in order (UTC)."""
        start = to_utc(self.midnight - timedelta(days=ago) + timedelta(hours=7, minutes=45), self.zone)
        end = start + timedelta(hours=9)
        if ago == 0:
            end = self.now - timedelta(minutes=2)
            start = max(to_utc(self.midnight, self.zone), end - timedelta(hours=8))
        length = max(int((end - start).total_seconds()), 60)
        return sorted(start + timedelta(seconds=self.random.randrange(length)) for _one in range(count))

    # === SENDING, WITHOUT SENDING ===#

    def _send(self, moments, ago=0, answer=None):
        """Have messages planned and settled as the drain does, with answers that are made up.

        :param dict moments: {id of a queue row: when it was sent}
        :param int ago: days, for `BAD_DAYS`
        :param answer: function of a job that gives its verdict (Refusal, Wait), its attempts (a list), or
            None for the usual
        """
        rows = self.drain._claim(self.worker, len(moments), list(moments)) if moments else []
        if rows:
            directory, rules = self.drain._facts(rows)
            jobs = self.drain._prepare(rows, directory, rules)
            for job in jobs:
                given = answer(job) if answer else None
                if isinstance(given, Refusal | Wait):
                    job.verdict = given
                elif not job.verdict:
                    job.attempts = given or self._attempts(job, ago)
                self._await_receipts(job, moments[job.row.id])
            senders = {sender.id: sender for sender in directory.senders}
            self.env["sicantik.notification.settlement"]._settle(self.worker, jobs, senders, rules)
        self._date(moments)

    def _attempts(self, job, ago):
        """Make up what providers answer to a message, one after the other."""
        attempts = []
        for route in job.routes:
            type_ = route.account.provider_type
            refused = BAD_DAYS.get(ago, {}).get(type_)
            if job.row.phone == UNREACHABLE:
                refused = refused or NOT_ON_WHATSAPP.get(type_)
            attempts.append((route, self._refused(route, *refused) if refused else self._accepted(route)))
            if not goes_on(attempts[-1][1]):
                break
        return attempts

    def _accepted(self, route):
        self.sent += 1
        type_ = route.account.provider_type
        ids = {"meta": f"wamid.DEMO{self.sent:06}", "fonnte": f"9{self.sent:07}"}
        message_id = ids.get(type_, "")  # Watzap gives none
        return Attempt(ACCEPTED, message_id=message_id, elapsed_ms=self.random.randrange(140, 720))

    def _refused(self, route, code, said=""):
        """Give a refusal in the words in which the adapter of the provider would tell it."""
        self.sent += 1
        adapter = provider_for(route.account)
        verdict = adapter.codes.get(code, errors.UNEXPLAINED)
        attempt = adapter._attempt(code, said, verdict, route.message)
        return replace(attempt, elapsed_ms=self.random.randrange(90, 400))

    def _await_receipts(self, job, moment):
        """Note what the provider will tell of a message that it took."""
        if not job.attempts or job.attempts[-1][1].outcome != ACCEPTED:
            return
        route, attempt = job.attempts[-1]
        if route.account.provider_type not in ("meta", "fonnte"):  # Watzap tells nothing
            return
        chance, id_ = self.random.random(), attempt.message_id

        def tell(seconds, state, **values):
            at = moment + timedelta(seconds=seconds)
            if at < self.now - timedelta(seconds=5):
                receipt = events.Receipt(f"{id_}:{state}", id_, state, at=at, **values)
                self.receipts.append((at, route.provider_id, receipt))

        self.at_meta += route.account.provider_type == "meta"
        if route.account.provider_type == "meta" and self.at_meta in LATE:
            code, said = LATE[self.at_meta]
            verdict = provider_for(route.account).codes[code]
            tell(
                45,
                events.FAILED,
                error_class=verdict.error_class,
                error_code=code,
                error_message=f"{verdict.hint} (Meta {code}: {said})",
                scope=verdict.scope,
            )
        elif chance < 0.92:
            tell(self.random.randrange(2, 40), events.DELIVERED)
            if chance < 0.66:
                tell(self.random.randrange(60, 6 * 3600), events.READ)

    def _tell(self):
        """Have the receipts come in that are awaited, and send on what was refused late."""
        event_model = self.env["sicantik.whatsapp.event"]
        by_provider = defaultdict(list)
        told, self.receipts = sorted(self.receipts, key=lambda one: one[0]), []
        for at, provider_id, event in told:
            by_provider[provider_id].append((at, event))
        for provider_id, told in by_provider.items():
            provider = self.env["sicantik.whatsapp.provider"].browse(provider_id)
            event_model._store(provider, [event for _at, event in told])
            moments = {event.key: at for at, event in told}
            stored = event_model.search([("provider_id", "=", provider_id), ("state", "=", "pending")])
            self._backdate(stored, [moments[one.key] for one in stored])
        while event_model._apply():
            pass
        self.env.cr.execute(
            """
            UPDATE sicantik_whatsapp_event
               SET write_date = create_date + interval '1 second' WHERE write_date > %s
            """,
            [self.now],
        )
        self.env.cr.execute(
            "DELETE FROM sicantik_whatsapp_event WHERE create_date < %s", [self.now - EVENTS_KEPT]
        )
        event_model.invalidate_model()
        late = self.queue.search([("state", "=", "pending"), ("late_provider_id", "!=", False)])
        refused = self.env["sicantik.notification.log"].search_fetch(
            [("queue_id", "in", late.ids), ("delivery_failed_date", "!=", False)],
            ["queue_id", "delivery_failed_date"],
        )
        self._send({log.queue_id.id: log.delivery_failed_date for log in refused})
        for campaign in self.env["sicantik.notification.campaign"]._complete_ended():
            campaign.end_date = max(campaign.queue_ids.mapped("write_date"))
        # What was refused late and went nowhere else ended then, and not today.
        self.env.cr.execute(
            """
            UPDATE sicantik_notification_queue AS q
               SET write_date = l.delivery_failed_date
              FROM sicantik_notification_log AS l
             WHERE l.queue_id = q.id AND l.delivery_failed_date IS NOT NULL AND q.state = 'failed'
            """
        )

    # === DATES ===#

    def _backdate(self, records, moments):
        """Move the dates of records of one model back."""
        if not records:
            return
        records.flush_model()
        # The name of the table is that of a model of ours.
        self.env.cr.execute(
            f"""
            UPDATE {records._table} AS t SET create_date = v.at, write_date = v.at
              FROM unnest(%s, %s::timestamp[]) AS v (id, at)
             WHERE t.id = v.id
            """,
            [records.ids, moments],
        )
        records.invalidate_recordset(["create_date", "write_date"])

    def _date(self, moments):
        """Move messages and their log to when they were sent; what waits leaves when it does.

        :param dict moments: {id of a queue row: when it was sent}
        """
        if not moments:
            return
        self.queue.flush_model()
        params = [list(moments), list(moments.values())]
        self.env.cr.execute(
            """
            UPDATE sicantik_notification_queue AS q
               SET create_date = LEAST(q.create_date, v.at),
                   scheduled_date = CASE WHEN q.state IN ('pending', 'processing')
                                         THEN q.scheduled_date ELSE v.at END,
                   sent_date = CASE WHEN q.sent_date IS NOT NULL THEN v.at + interval '2 seconds' END,
                   write_date = v.at + interval '2 seconds'
              FROM unnest(%s, %s::timestamp[]) AS v (id, at)
             WHERE q.id = v.id
            """,
            params,
        )
        # Log rows of this transaction that have not been moved yet.
        self.env.cr.execute(
            """
            UPDATE sicantik_notification_log AS l
               SET create_date = v.at + interval '2 seconds',
                   write_date = v.at + interval '2 seconds',
                   sent_date = CASE WHEN l.sent_date IS NOT NULL THEN v.at + interval '2 seconds' END
              FROM unnest(%s, %s::timestamp[]) AS v (id, at)
             WHERE l.queue_id = v.id AND l.create_date = now() at time zone 'UTC'
            """,
            params,
        )
        self.queue.invalidate_model(flush=False)
        self.env["sicantik.notification.log"].invalidate_model(flush=False)

    # === CAMPAIGNS ===#

    def _campaign(self, name, domain, moment, template_key=False, description=False):
        """Start a campaign at a moment of the past; it queues its messages, of which none has left yet."""
        campaign = self.env["sicantik.notification.campaign"].create(
            {
                "name": name,
                "description": description,
                "rule_id": self.ref("sicantik_notification_rule_survey_demo").id,
                "target_model": PERMIT,
                "target_domain": domain,
                "template_key": template_key,
                "user_id": self.admin.id,
            }
        )
        campaign.action_start()
        campaign.write({"start_date": moment, "pace_date": moment})
        self._backdate(campaign, [moment - timedelta(minutes=20)])
        # Batches leave a day after each other, as if they had begun to then.
        self.env.cr.execute(
            """
            UPDATE sicantik_notification_queue SET scheduled_date = scheduled_date - %s, create_date = %s
             WHERE campaign_id = %s AND state = 'pending'
            """,
            [self.now - moment, moment, campaign.id],
        )
        self.queue.invalidate_model(flush=False)
        skipped = campaign.queue_ids.filtered(lambda row: row.state == "skipped")
        self._date(dict.fromkeys(skipped.ids, moment))
        return campaign

    def _send_campaign(self, campaign, ago, count=None, answer=None):
        """Send the first messages of a campaign, two seconds apart."""
        rows = campaign.queue_ids.filtered(lambda row: row.state == "pending").sorted("id")[:count]
        moments = {
            row.id: min(row.scheduled_date + timedelta(seconds=2 * at), self.now - timedelta(minutes=1))
            for at, row in enumerate(rows)
        }
        self._send(moments, ago, answer)
        campaign.invalidate_recordset()

    def _completed_campaign(self, ago):
        campaign = self._campaign(
            "Survei Kepuasan Layanan",
            "[('state', '=', 'active'), ('permit_type_id.code', 'in', ['SIUP', 'PBG', 'REKLAME'])]",
            self._moments(ago, 1)[0],
            description="Menanyakan pendapat pemohon tentang layanan perizinan.",
        )
        self._send_campaign(campaign, ago)

    def _cancelled_campaign(self, ago):
        moment = self._moments(ago, 1)[0]
        campaign = self._campaign(
            "Pemberitahuan Perubahan Jam Layanan",
            "[('state', 'in', ['approved', 'active']), ('permit_type_id.code', '=', 'PBG')]",
            moment,
            template_key="undangan_sosialisasi",
            description="Dibatalkan: jam layanan tidak jadi berubah.",
        )
        self._send_campaign(campaign, ago, count=5)
        left = campaign.queue_ids.filtered(lambda row: row.state == "pending")
        campaign.with_user(self.admin).action_cancel()
        at = moment + timedelta(minutes=5)
        campaign.write({"end_date": at, "rows_todo": False})
        self._date(dict.fromkeys(left.ids, at))

    def _paused_campaign(self, ago):
        moment = self._moments(ago, 1)[0]
        campaign = self._campaign(
            "Undangan Sosialisasi Perizinan",
            "[('state', '=', 'active'), ('permit_type_id.code', 'in', ['SIUP', 'TDUP', 'SIP'])]",
            moment,
            template_key="undangan_sosialisasi",
            description="Mengundang pemohon ke sosialisasi perizinan daring.",
        )

        def answer(job):
            failing = job.routes and job.row.id % 4 == 0
            return [(job.routes[0], self._refused(job.routes[0], "input invalid"))] if failing else None

        self._send_campaign(campaign, ago, count=16, answer=answer)
        campaign.with_user(self.admin).action_pause()
        self.env["sicantik.notification.campaign.message"]._step(campaign, None)
        campaign.write({"paused_date": moment + timedelta(minutes=10), "rows_todo": False})

    def _running_campaign(self, ago):
        campaign = self._campaign(
            "Survei Kepuasan Layanan, Putaran Kedua",
            "[('state', 'in', ['approved', 'active']), ('expiry_date', '!=', False)]",
            self.now - timedelta(hours=27),
            description="Dua puluh pesan sehari.",
        )
        # The batches of the days that have passed.
        due = campaign.queue_ids.filtered(
            lambda row: row.state == "pending" and row.scheduled_date < self.now
        )
        self._send_campaign(campaign, ago, count=len(due))
        self._scheduled_campaign()

    def _scheduled_campaign(self):
        campaign = self.env["sicantik.notification.campaign"].create(
            {
                "name": "Ajakan Perpanjangan Izin",
                "description": "Dimulai sendiri pada waktunya.",
                "rule_id": self.ref("sicantik_notification_rule_expiry_reminder_demo").id,
                "target_model": PERMIT,
                "target_domain": "[('state', '=', 'expired')]",
                "scheduled_date": to_utc(self.midnight + timedelta(days=5, hours=9), self.zone),
                "user_id": self.admin.id,
            }
        )
        campaign.action_start()

    # === AUTO MESSAGES ===#

    def _auto_message(self, title, text, names, numbers="", **vals):
        partners = [self.ref(f"res_partner_applicant_{name}_demo").id for name in names]
        return self.env["sicantik.auto.message"].create(
            {
                "title": title,
                "message": text,
                "contact_ids": [fields.Command.set(partners)],
                "contact_input": numbers,
                **vals,
            }
        )

    def _send_auto_message(self, message, ago, answer=None):
        """Send an auto message some days ago, a minute between two recipients."""
        message.action_send_now()
        moment = self._moments(ago, 1)[0]
        moments = {
            row.id: moment + timedelta(seconds=at * message.delay_seconds)
            for at, row in enumerate(message.queue_ids.sorted("id"))
        }
        self._send(moments, ago, answer)
        message.flush_recordset()
        self.env.cr.execute(
            "UPDATE sicantik_auto_message SET scheduled_at = %s, create_date = %s WHERE id = %s",
            [moment, moment - timedelta(hours=2), message.id],
        )
        message.invalidate_recordset()
        self.env["sicantik.auto.message"]._finish()

    def _sent_auto_message(self, ago):
        message = self._auto_message(
            "Jadwal layanan akhir tahun",
            "Layanan perizinan pada akhir tahun dibuka pukul 08.00 sampai 14.00.",
            ("ani", "budi", "kartika", "maya", "teguh", "wahyu"),
        )
        self._send_auto_message(message, ago)

    def _partial_auto_message(self, ago):
        message = self._auto_message(
            "Undangan rapat koordinasi",
            "Mohon hadir dalam rapat koordinasi perizinan, Senin pukul 09.00 di kantor DPMPTSP.",
            ("lukman", "rahmat", "siti", "umi"),
            "081200000053, bukan nomor",
        )
        self._send_auto_message(message, ago)

    def _failed_auto_message(self, ago):
        message = self._auto_message("Uji coba nomor", "Pesan uji coba.", ("lukman",))
        self._send_auto_message(message, ago)

    def _planned_auto_messages(self):
        """One that is under way, a recipient a day, one that is planned, and one that was cancelled."""
        sending = self._auto_message(
            "Pengingat berkas lengkap",
            "Mohon lengkapi berkas permohonan Anda sebelum akhir bulan.",
            ("bunga", "dimas", "endang", "yanti"),
            delay_seconds=24 * 3600,
        )
        sending.action_send_now()
        first = sending.queue_ids.sorted("id")[0]
        self._send({first.id: self._moments(0, 1)[0]})
        planned = {
            "Libur nasional": (
                "Kantor DPMPTSP tutup pada hari libur nasional.",
                ("citra", "hadi", "nanda"),
                3,
            ),
            "Ajakan vaksinasi": ("Dibatalkan.", ("oki", "putri"), 4),
        }
        for title, (text, names, days) in planned.items():
            at = to_utc(self.midnight + timedelta(days=days, hours=8), self.zone)
            self._auto_message(title, text, names, scheduled_at=at).action_schedule()
        self.env["sicantik.auto.message"].search([("title", "=", "Ajakan vaksinasi")]).action_cancel()

    # === SINGLE MESSAGES ===#

    def _queue(self, permit, template_key="permit_ready", rule=True, **values):
        """Queue one message about a permit. Returns the id of its row."""
        survey = self.ref("sicantik_notification_rule_notify_approval_demo")
        rows = survey._prepare_rows(permit, {permit.id: Event(None)}, Failure(), template_key)
        for row in rows:
            row.update(values)
            row["rule_id"] = survey.id if rule else None
        return next(iter(self.queue._enqueue(rows).values()))[0]

    def _some(self, count, opted_in=False):
        """Give permits whose applicants can be written to, other ones each time.

        :param bool opted_in: those to whom Meta may write
        """
        unreachable = (False, UNREACHABLE, "+6281200000009")
        reachable = self.permits.filtered(
            lambda permit: (
                permit.state in ("approved", "active")
                and permit.partner_id.whatsapp_e164 not in unreachable
                and (permit.partner_id.whatsapp_opt_in or not opted_in)
            )
        )
        start = self.random.randrange(len(reachable) - count)
        return reachable[start : start + count]

    def _odd_messages(self):
        """Messages that ended without having been sent, for the reasons that the month does not bring.

        :return: [(days ago, function of the days ago)]
        """
        no_provider = self.env["sicantik.whatsapp.dispatcher"]._no_provider_message(False, None)
        no_opt_in = "The recipient has withdrawn the consent to WhatsApp messages."
        capped = "Left out: the recipient has had 3 messages today, and the settings allow 3 a day."

        def refused(error_class, reason):
            return lambda job: Refusal(error_class, reason)

        def bad_template(job):
            said = "Template name does not exist in the translation"
            return [(job.routes[0], self._refused(job.routes[0], "132001", said))]

        def unknown(job):
            adapter = provider_for(job.routes[0].account)
            cut = "the connection was cut"
            attempt = adapter._attempt("no_answer", cut, errors.NO_CERTAINTY, job.routes[0].message)
            return [(job.routes[0], replace(attempt, elapsed_ms=30_000))]

        def send(answer=None, opted_in=False, **values):
            return lambda ago: self._send(
                {self._queue(self._some(1, opted_in), **values): self._moments(ago, 1)[0]}, ago, answer
            )

        def cancel(ago):
            row = self.queue.browse(self._queue(self._some(1)))
            row.with_user(self.admin).action_cancel()
            self._date({row.id: self._moments(ago, 1)[0]})

        return [
            *((3, send(unknown)), (1, send(unknown)), (1, cancel)),
            *((5, send(refused("no_provider", no_provider))), (7, send(bad_template, opted_in=True))),
            *((4, send(refused("no_opt_in", no_opt_in))), (2, send(refused("no_opt_in", no_opt_in)))),
            (2, send(refused("capped", capped))),
            (3, send(template_key="izin_terbit_lama", rule=False)),
            (2, send(context_values='{"partner_name": "Ani"}')),
        ]

    def _waiting_messages(self):
        """Messages that wait, each for another reason. None of them is due before tomorrow."""
        tomorrow = to_utc(self.midnight + timedelta(days=1, hours=8), self.zone)
        tomorrow = max(tomorrow, self.now + timedelta(hours=6))
        patience = (tomorrow - self.now).total_seconds()

        def wait(reason, error_class="limited"):
            return lambda job: Wait(tomorrow, reason, error_class)

        def again(code, verdict):
            def answer(job):
                route = job.routes[-1]
                adapter = provider_for(route.account)
                return [(route, adapter._attempt(code, "", verdict, route.message, patience))]

            return answer

        answers = [
            wait("Quiet hours: messages leave between 08:00 and 20:00 (Asia/Jakarta).", "quiet_hours"),
            wait("“Fonnte (simulator)” has sent as many messages as its daily limit allows."),
            wait("The rule has sent as many messages as it may in an hour."),
            again("HTTP 503", errors.PASSING_FAULT),
            again("HTTP 429", errors.THROTTLED),
        ]
        for answer, permit in zip(answers, self._some(len(answers)), strict=True):
            self._send({self._queue(permit): self.now - timedelta(minutes=20)}, 0, answer)
        for permit in self._some(2):
            self._queue(permit, scheduled_date=tomorrow + timedelta(hours=1), rule=False)
        # The server was killed while it sent this one; the next run finds out.
        (permit,) = self._some(1)
        self.env.cr.execute(
            """
            UPDATE sicantik_notification_queue
               SET state = 'processing', worker = %s, provider_id = %s, provider_type = 'fonnte',
                   lease_until = %s
             WHERE id = %s
            """,
            [
                self.worker,
                self.ref("sicantik_whatsapp_provider_fonnte_demo").id,
                self.now,
                self._queue(permit),
            ],
        )
        self.env.invalidate_all()

    # === WHAT CAME IN ===#

    def _incoming(self):
        """Messages of people, and what Meta says about a template."""
        meta = self.ref("sicantik_whatsapp_provider_meta_demo").id
        fonnte = self.ref("sicantik_whatsapp_provider_fonnte_demo").id
        for number, (provider_id, hours, phone, text) in enumerate(
            (
                (meta, 2, "+6281200000001", "Terima kasih, izinnya sudah saya terima."),
                (meta, 20, "+6281200000018", "Baik, kapan bisa diambil?"),
                (fonnte, 30, "+6281200000026", "Terima kasih"),
                (fonnte, 50, "+6281200000071", "Halo, ini nomor siapa?"),
                (fonnte, 75, "+6281200000064", "STOP"),
            )
        ):
            at = self.now - timedelta(hours=hours)
            inbound = events.Inbound(f"demo-inbound-{number}", phone, at=at, text=text)
            self.receipts.append((at, provider_id, inbound))
        at = self.now - timedelta(days=2)
        change = events.TemplateChange(
            "demo-template-1",
            "undangan_sosialisasi",
            "id",
            "REJECTED",
            category="MARKETING",
            reason="INVALID_FORMAT",
        )
        self.receipts.append((at, meta, change))
        unknown = events.Receipt("demo-unmatched", "wamid.DEMO-UNKNOWN", events.DELIVERED, at=at)
        self.receipts.append((at, meta, unknown))

    def _usage(self):
        """Count for the limits what was sent within their time."""
        self.env.cr.execute(
            """
            SELECT 'provider:' || l.provider_id, date_trunc('minute', l.create_date), count(*)
              FROM sicantik_notification_log l
              JOIN sicantik_whatsapp_provider p ON p.id = l.provider_id
             WHERE l.state = 'sent' AND l.create_date > %s AND p.daily_limit > 0
          GROUP BY 1, 2
            """,
            [self.now - timedelta(days=1)],
        )
        self.env["sicantik.notification.usage"]._add(self.env.cr.fetchall())
