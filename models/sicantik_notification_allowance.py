import json
import math
import time
from collections import defaultdict
from datetime import timedelta

from odoo import _, api, fields, models

from .limits import DAY, HORIZON, Full, Ledger, State, Turns, Window, moment_of, precise_now, seconds
from .road import Wait

PRIORITY = 5


class SicantikNotificationAllowance(models.Model):
    """Where a limited rule or provider stands, so that its limits hold for all workers on all hosts.

    One row per subject: `rule:<id>`, `provider:<id>`, and `line:<provider id>:<group>` for the last place in
    a line of waiting messages; `auto:<company id>` for the pauses between the auto messages of a company, all
    of them together. Whoever takes from a subject locks its row first; what has been sent is
    counted in `sicantik.notification.usage`, whom Meta's number has written to in `sicantik.whatsapp.pair`.
    These are columns of their own table and not of the rule or provider, which people edit.

    The hosts of one database are expected to have the same time (NTP).
    """

    _name = "sicantik.notification.allowance"
    _description = "Notification Allowance"
    _log_access = False
    _rec_name = "subject"

    subject = fields.Char(required=True)
    next_slot = fields.Datetime(help="When the next message may start, by the provider's pace.")
    paused_until = fields.Datetime(help="The provider asked to slow down.")
    failure_count = fields.Integer(help="Failures of the provider in a row.")
    open_count = fields.Integer(help="How often in a row its circuit opened.")
    probe_date = fields.Datetime(help="The circuit is open; the next message is tried then.")
    probing = fields.Boolean(help="That message is under way.")

    _sql_constraints = [("subject_unique", "UNIQUE (subject)", "There is one row per subject.")]

    # === TAKING ===#

    @api.model
    def _admit(self, jobs, senders, rules, horizon=HORIZON, take=True):
        """Take allowances for messages, in their order, and tell when each may leave.

        Every job that goes has its chosen way as the first of its `routes`. Locks are held until the end of
        the transaction: commit before a request leaves.

        :param list[Job] jobs: messages with at least one way
        :param dict senders: {provider id: Sender}
        :param dict rules: {rule id: Rule}
        :param float horizon: seconds for which a message may wait for its place in memory
        :param bool take: take what they need; else only tell how it stands, without a lock
        :return: one per job: the moment at which its request may leave (`time.monotonic()` seconds, 0.0 when
            nothing says when), a Wait, a Refusal when its recipient has had enough messages for the day, or
            None when all its ways are gone
        :rtype: list
        """
        ledger = self._open(jobs, senders, rules, horizon, take)
        cap = self.env["sicantik.notification.cap"]._open(jobs, take)
        if ledger is None and cap is None:
            return [0.0] * len(jobs)
        clock = time.monotonic() - ledger.now if ledger else 0.0
        results = []
        for job in jobs:
            # First of all: what is left out takes no allowance from the others.
            found = cap.verdict(job) if cap else None
            if found is None:
                found = ledger.admit(job) if ledger else 0.0
            if isinstance(found, Full):
                found = Wait(moment_of(math.ceil(found.until)), self._reason(found))
            elif isinstance(found, float):
                found += clock
                if cap:
                    cap.take(job)
            results.append(found)
        if ledger and take:
            self._close(ledger)
        return results

    def _open(self, jobs, senders, rules, horizon, lock=True):
        """Lock and read what the messages of a turn meet; None when they meet no limit at all."""
        limited = {
            job.row.rule_id: rules[job.row.rule_id]
            for job in jobs
            if job.row.rule_id in rules and rules[job.row.rule_id].limit is not None and not job.rule_counted
        }
        ids = {route.provider_id for job in jobs for route in job.routes}
        counted = {
            sender.id: sender
            for sender in map(senders.get, ids)
            if sender and (sender.counted or sender.probe_date or sender.paused_until)
        }
        autos = {
            job.row.auto_message_id: job.row.company_id
            for job in jobs
            if job.row.auto_message_id and job.row.company_id and not job.paced
        }
        if not limited and not counted and not autos and ids <= senders.keys():
            return None
        windows = {f"rule:{rule.id}": (rule.limit, rule.period) for rule in limited.values()}
        windows.update(
            {f"provider:{one.id}": (one.daily_limit, DAY) for one in counted.values() if one.daily_limit > 0}
        )
        companies = set(autos.values())
        subjects = {
            *windows,
            *(f"provider:{id_}" for id_ in counted),
            *(f"auto:{company_id}" for company_id in companies),
        }
        states = self._lock(subjects) if lock else self._peek(subjects)
        now = precise_now()  # after the wait for the lock, or what is counted would be forgotten too early
        used = self._used(windows, now)
        clock = seconds(now)
        return Ledger(
            clock,
            senders,
            rules,
            windows={
                subject: Window(limit, period, clock, used[subject], used[f"line:{subject}"])
                for subject, (limit, period) in windows.items()
            },
            states={id_: states[f"provider:{id_}"] for id_ in counted},
            lines=self._lines([sender.id for sender in counted.values() if sender.interval], now),
            pairs=self.env["sicantik.whatsapp.pair"]._read_pairs(jobs, counted.values()),
            reached=self.env["sicantik.whatsapp.pair"]._reached(counted.values(), now),
            default_priority=PRIORITY,
            horizon=horizon,
            turns={company_id: Turns(states[f"auto:{company_id}"].next_slot) for company_id in companies},
            delays=self.env["sicantik.auto.message"]._delays(autos),
        )

    def _lock(self, subjects):
        """Lock the rows of subjects, in one order for all workers, and make those that are missing."""
        subjects = sorted(set(subjects))
        cr = self.env.cr
        cr.execute(
            """
            INSERT INTO sicantik_notification_allowance (subject)
            SELECT s FROM unnest(%s) AS s
             WHERE s NOT IN (SELECT subject FROM sicantik_notification_allowance WHERE subject = ANY(%s))
            ON CONFLICT (subject) DO NOTHING
            """,
            [subjects, subjects],
        )
        cr.execute(
            """
            SELECT subject, next_slot, paused_until, probe_date, COALESCE(probing, false)
              FROM sicantik_notification_allowance
             WHERE subject = ANY(%s) ORDER BY subject FOR UPDATE
            """,
            [subjects],
        )
        return {
            subject: State(seconds(next_slot), seconds(paused_until), seconds(probe_date), probing)
            for subject, next_slot, paused_until, probe_date, probing in cr.fetchall()
        }

    def _peek(self, subjects):
        """As `_lock`, without locking anything; what has no row yet stands as one that is new."""
        self.env.cr.execute(
            """
            SELECT subject, next_slot, paused_until, probe_date, COALESCE(probing, false)
              FROM sicantik_notification_allowance WHERE subject = ANY(%s)
            """,
            [list(subjects)],
        )
        return {subject: State() for subject in subjects} | {
            subject: State(seconds(next_slot), seconds(paused_until), seconds(probe_date), probing)
            for subject, next_slot, paused_until, probe_date, probing in self.env.cr.fetchall()
        }

    def _used(self, windows, now):
        """Read the buckets that windows may still see, and the places given to those who wait."""
        used = defaultdict(list)
        if windows:
            since = {
                subject: str(now - timedelta(seconds=period + period / 1800))
                for subject, (_limit, period) in windows.items()
            }
            since.update({f"line:{subject}": str(now) for subject in windows})
            self.env.cr.execute(
                """
                SELECT u.subject, u.bucket, u.count
                  FROM jsonb_each_text(%s::jsonb) AS w (subject, since)
                  JOIN sicantik_notification_usage u
                    ON u.subject = w.subject AND u.bucket >= w.since::timestamp
                """,
                [json.dumps(since)],
            )
            for subject, bucket, count in self.env.cr.fetchall():
                used[subject].append((seconds(bucket), count))
        return used

    def _lines(self, provider_ids, now):
        if not provider_ids:
            return {}
        self.env.cr.execute(
            """
            SELECT subject, next_slot FROM sicantik_notification_allowance
             WHERE subject LIKE ANY(%s) AND next_slot > %s
            """,
            [[f"line:{id_}:%" for id_ in provider_ids], now],
        )
        lines = {}
        for subject, place in self.env.cr.fetchall():
            _line, provider_id, group = subject.split(":", 2)
            lines[(int(provider_id), group)] = seconds(place)
        return lines

    def _close(self, ledger):
        """Write back what a turn has taken."""
        counts = []
        for subject, window in ledger.windows.items():
            counts += [(subject, moment_of(bucket), count) for bucket, count in window.taken.items()]
            counts += [(f"line:{subject}", moment_of(place), count) for place, count in window.booked.items()]
        self.env["sicantik.notification.usage"]._add(counts)
        slots = [
            (f"provider:{id_}", moment_of(state.next_slot), moment_of(state.probe_date), state.probing)
            for id_, state in ledger.states.items()
            if state.changed
        ]
        slots += [
            (f"auto:{id_}", moment_of(turns.next_slot), None, False)
            for id_, turns in ledger.turns.items()
            if turns.changed
        ]
        slots += [
            (f"line:{id_}:{group}", moment_of(at), None, False)
            for (id_, group), at in ledger.new_lines.items()
        ]
        if slots:
            self.env.cr.execute(
                """
                INSERT INTO sicantik_notification_allowance (subject, next_slot, probe_date, probing)
                SELECT * FROM unnest(%s, %s::timestamp[], %s::timestamp[], %s)
                ON CONFLICT (subject) DO UPDATE
                   SET next_slot = excluded.next_slot,
                       probe_date = excluded.probe_date,
                       probing = excluded.probing
                """,
                [list(column) for column in zip(*slots, strict=True)],
            )
        self.env["sicantik.whatsapp.pair"]._note(ledger.new_pairs)
        self.invalidate_model()

    def _reason(self, full):
        """Say in a sentence why a message waits."""
        if full.cause == "auto":
            return _("Waits for its turn: between two auto messages there are %s seconds.", full.what)
        name = full.what.name
        if full.cause == "rule":
            per = {60: _("minute"), 3600: _("hour"), DAY: _("day")}[full.what.period]
            return _(
                "Waits: the rule “%(rule)s” sends %(limit)s messages per %(period)s at most.",
                rule=name,
                limit=full.what.limit,
                period=per,
            )
        return {
            "circuit": _("Waits: “%s” refuses at present and is tried again then.", name),
            "pause": _("Waits: “%s” has asked to slow down.", name),
            "daily": _("Waits: “%s” has reached its daily limit.", name),
            "reach": _("Waits: “%s” has written to as many people within a day as Meta allows.", name),
            "pair": _("Waits: “%s” may write to one number every few seconds only.", name),
            "pace": _("Waits for its turn at “%s”, by the pace set there.", name),
        }[full.cause]

    # === HEALTH (sicantik.whatsapp.circuit) ===#

    @api.model
    def _pause(self, pauses):
        """Let providers rest that asked for it.

        :param dict pauses: {provider id: UTC datetime until when}
        """
        if pauses:
            self.env.cr.execute(
                """
                INSERT INTO sicantik_notification_allowance (subject, paused_until)
                SELECT * FROM unnest(%s, %s::timestamp[])
                ON CONFLICT (subject) DO UPDATE SET paused_until = GREATEST(
                    sicantik_notification_allowance.paused_until, excluded.paused_until)
                """,
                [
                    list(column)
                    for column in zip(
                        *sorted((f"provider:{id_}", at) for id_, at in pauses.items()), strict=True
                    )
                ],
            )
            self.invalidate_model()

    @api.model
    def _standing(self, provider_ids):
        """Read how providers stand.

        :return: {provider id: (paused until, probe date)} of those that have a row; dates in the past are
            None, except that of a circuit that is open
        :rtype: dict
        """
        now = precise_now()
        self.env.cr.execute(
            """
            SELECT subject, paused_until, probe_date FROM sicantik_notification_allowance
             WHERE subject = ANY(%s)
            """,
            [[f"provider:{id_}" for id_ in provider_ids]],
        )
        return {
            int(subject.partition(":")[2]): (paused if paused and paused > now else None, probe)
            for subject, paused, probe in self.env.cr.fetchall()
        }
