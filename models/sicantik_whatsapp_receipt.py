import json
from collections import defaultdict
from dataclasses import dataclass, field

from odoo import _, api, fields, models

from ..providers import REFUSED, Attempt, errors, events
from .sicantik_notification_queue import ONCE
from .sicantik_whatsapp_event import APPLIED, Verdict

# How far a message has come; it only ever goes up. A message that arrived was not refused, whatever else was
# told of it and in whatever order. There is no rung for `sent`: all that is accepted is.
RANKS = {events.ACCEPTED: 0, events.SENT: 0, events.FAILED: 1, events.DELIVERED: 2, events.READ: 3}
STATES = {rank: state for state, rank in RANKS.items() if state != events.SENT}
LOG_COLUMNS = {
    "delivery_state": "text",
    "delivered_date": "timestamp",
    "read_date": "timestamp",
    "delivery_failed_date": "timestamp",
    "external_alias": "text",
    "error_class": "text",
    "error_message": "text",
}


@dataclass(slots=True)
class Track:
    """A log row and what is told of it; `told` are (event id, receipt, when it came)."""

    id: int
    provider_id: int
    queue_id: int | None
    message_id: str
    phone: str | None
    values: dict
    told: list = field(default_factory=list)
    failed: events.Receipt | None = None
    arrived: bool = False
    changed: bool = False


class SicantikWhatsappReceipt(models.AbstractModel):
    """Receipts: what became of messages after a provider had taken them.

    They climb a ladder on the log row, and never back. A refusal that comes late ends the message, or sends
    it on through the next provider, once (contract, section 6.5). A receipt may also prove that a message
    whose sending was interrupted did leave.
    """

    _name = "sicantik.whatsapp.receipt"
    _description = "WhatsApp Receipt"

    @api.model
    def _apply_events(self, stored):
        """Apply receipts.

        :param list[Stored] stored: the events, in the order in which they came
        :return: {event id: Verdict}
        :rtype: dict
        """
        groups = self._groups({one.provider_id for one in stored})
        tracks = self._assign(stored, groups)
        left = [one for one in stored if one.id not in tracks]
        if self._prove_sent([one for one in left if one.event.reference], groups):
            tracks = self._assign(stored, groups)
        verdicts = {}
        for track in {id(track): track for track in tracks.values()}.values():
            verdicts.update(self._climb(track))
        for one in stored:
            if one.id not in tracks:
                verdicts[one.id] = Verdict("unmatched", _("No message of ours is known by this id."))
        self._write_logs([track for track in tracks.values() if track.changed])
        failed = self._tell_queue({track.id: track for track in tracks.values()}.values())
        for id_, track in tracks.items():
            verdicts[id_] = verdicts[id_]._replace(campaign_id=failed.get(track.queue_id))
        return verdicts

    # === WHICH MESSAGE ===#

    @api.model
    def _groups(self, provider_ids):
        """Tell whose messages a webhook may speak of: the provider's own, and those of other numbers of the
        same app at Meta, which has one webhook for all.

        :return: {provider id: {ids}}
        :rtype: dict
        """
        providers = self.env["sicantik.whatsapp.provider"].with_context(active_test=False)
        groups = {id_: {id_} for id_ in provider_ids}
        by_secret = defaultdict(set)
        for one in providers.search([("provider_type", "=", "meta"), ("app_secret", "!=", False)]):
            by_secret[one.app_secret].add(one.id)
        for ids in by_secret.values():
            for id_ in ids & groups.keys():
                groups[id_] |= ids
        return groups

    def _assign(self, stored, groups):
        """Find the log rows of receipts, lock them, and note what is told of each.

        :return: {event id: Track} of those that have one
        :rtype: dict
        """
        ids = {one.event.message_id for one in stored} - {""}
        aliases = {one.event.alias for one in stored} - {""}
        self.env.cr.execute(
            f"""
            SELECT id, provider_id, queue_id, external_message_id, phone, {", ".join(LOG_COLUMNS)}
              FROM sicantik_notification_log
             WHERE provider_id = ANY(%s) AND (external_message_id = ANY(%s) OR external_alias = ANY(%s))
          ORDER BY id
               FOR UPDATE
            """,
            [list(set().union(*groups.values())), list(ids), list(aliases)],
        )
        by_id, by_alias = {}, {}
        for id_, provider_id, queue_id, message_id, phone, *values in self.env.cr.fetchall():
            values = dict(zip(LOG_COLUMNS, values, strict=True))
            track = Track(id_, provider_id, queue_id, message_id, phone, values)
            alias = values["external_alias"]
            by_id[provider_id, message_id] = track
            if alias:
                by_alias[provider_id, alias] = track
        # Pairings first: they may be told after the receipts that need them.
        paired = []
        for one in stored:
            if one.event.alias and one.event.message_id:
                track = self._look_up(by_id, groups[one.provider_id], one.event.message_id)
                if track:
                    by_alias[track.provider_id, one.event.alias] = track
                    if track.values["external_alias"] != one.event.alias:
                        track.values["external_alias"] = one.event.alias
                        track.changed = True
                        paired.append(one.event.alias)
        self.env["sicantik.whatsapp.event"]._awaken(paired)
        tracks = {}
        for one in stored:
            track = self._look_up(by_id, groups[one.provider_id], one.event.message_id) or self._look_up(
                by_alias, groups[one.provider_id], one.event.alias
            )
            if track:
                track.told.append((one.id, one.event, one.date))
                tracks[one.id] = track
        return tracks

    def _look_up(self, index, provider_ids, id_):
        return next((index[provider, id_] for provider in provider_ids if (provider, id_) in index), None)

    def _prove_sent(self, stored, groups):
        """Find messages by our own reference whose sending was interrupted: they did leave.

        :return: how many there are
        :rtype: int
        """
        prefix = f"{self.env.cr.dbname}:"
        by_row = {}
        for one in stored:
            number = one.event.reference.removeprefix(prefix)
            if one.event.reference.startswith(prefix) and one.event.message_id and number.isdecimal():
                by_row.setdefault(int(number), one)
        if not by_row:
            return 0
        numbers = [number for number in by_row if number < 2**31]
        self.env["sicantik.auto.message"]._take_up([], numbers)
        self._lock_rows(numbers)
        # What is pending again would be sent a second time. By whom it may have left, the log knows: the row
        # forgets it when it has to wait.
        self.env.cr.execute(
            """
            SELECT DISTINCT ON (q.id)
                   q.id, l.provider_id, l.provider_type, COALESCE(l.attempt, q.attempt_count)
              FROM sicantik_notification_queue q
              JOIN sicantik_notification_log l ON l.queue_id = q.id AND l.error_class = 'interrupted'
             WHERE q.id = ANY(%s) AND q.state IN ('failed', 'pending')
          ORDER BY q.id, l.id DESC
            """,
            [numbers],
        )
        proven, logs = [], []
        for id_, provider_id, provider_type, attempt in self.env.cr.fetchall():
            one = by_row[id_]
            if provider_id not in groups[one.provider_id]:
                continue
            facts = {
                "sent_date": _moment(one.event, one.date),
                "provider_id": provider_id,
                "provider_type": provider_type,
                "external_message_id": one.event.message_id,
            }
            proven.append({"id": id_, **facts})
            logs.append(
                {"queue_id": id_, "state": "sent", "attempt": attempt, "delivery_state": "accepted", **facts}
            )
        if proven:
            self.env["sicantik.notification.log"]._record_attempts(logs)
            self.env.cr.execute(
                """
                UPDATE sicantik_notification_queue AS q
                   SET state = 'sent', sent_date = s.sent_date, external_message_id = s.external_message_id,
                       provider_id = s.provider_id, provider_type = s.provider_type,
                       error_class = NULL, error_message = NULL, next_retry_date = NULL, worker = NULL,
                       lease_until = NULL, write_date = now() at time zone 'UTC'
                  FROM jsonb_to_recordset(%s::jsonb) AS s (
                           id integer, sent_date timestamp, external_message_id text,
                           provider_id integer, provider_type text)
                 WHERE q.id = s.id
                """,
                [json.dumps(proven, default=str)],
            )
            self._forget()
        return len(proven)

    # === THE LADDER ===#

    def _climb(self, track):
        """Apply what is told of one message to its values.

        :return: {event id: Verdict}
        :rtype: dict
        """
        values, verdicts = track.values, {}
        before = RANKS.get(values["delivery_state"] or events.ACCEPTED)
        rank = max([before, *(RANKS[receipt.state] for _id, receipt, _date in track.told)])
        for id_, receipt, date in track.told:
            at = _moment(receipt, date)
            told = RANKS[receipt.state]
            verdicts[id_] = APPLIED
            if told == RANKS[events.FAILED] and rank > told:
                verdicts[id_] = Verdict("ignored", _("It was delivered: this refusal changes nothing."))
            elif told == RANKS[events.FAILED] and before == told:
                verdicts[id_] = Verdict("ignored", _("Its refusal is known already."))
            elif told == RANKS[events.FAILED]:
                track.failed = track.failed or receipt
                values["delivery_failed_date"] = _earliest(values["delivery_failed_date"], at)
            elif told == RANKS[events.DELIVERED]:
                values["delivered_date"] = _earliest(values["delivered_date"], at)
            elif told == RANKS[events.READ]:
                values["read_date"] = _earliest(values["read_date"], at)
                values["delivered_date"] = values["delivered_date"] or at
        if rank > before or values["delivery_state"] is None:
            values["delivery_state"] = STATES[rank]
        track.arrived = rank > RANKS[events.FAILED] and rank > before
        if track.failed:
            values.update(
                error_class=_class_of(track.failed), error_message=track.failed.error_message or None
            )
        elif track.arrived:
            values.update(error_class=None, error_message=None)
        track.changed = True
        return verdicts

    def _write_logs(self, tracks):
        tracks = {track.id: track for track in tracks}
        if not tracks:
            return
        types = ", ".join(f"{name} {sql_type}" for name, sql_type in LOG_COLUMNS.items())
        columns = ", ".join(f"{name} = s.{name}" for name in LOG_COLUMNS)
        # Names are constants of this file.
        self.env.cr.execute(
            f"""
            UPDATE sicantik_notification_log AS l
               SET {columns}
              FROM jsonb_to_recordset(%s::jsonb) AS s (id integer, {types})
             WHERE l.id = s.id
            """,
            [json.dumps([{"id": id_, **track.values} for id_, track in tracks.items()], default=str)],
            log_exceptions=False,
        )
        self.env["sicantik.notification.log"].invalidate_model()

    # === WHAT FOLLOWS ===#

    def _tell_queue(self, tracks):
        """Let messages follow that were refused late, or that arrived although that was said.

        :return: as `_refuse`
        """
        ended = {}
        failed = [track for track in tracks if track.failed]
        arrived = [track for track in tracks if track.arrived]
        self.env["sicantik.auto.message"]._take_up(
            [track.queue_id for track in failed if track.queue_id],
            [track.queue_id for track in arrived if track.queue_id],
        )
        if failed:
            # Before messages are locked: like the drain, which locks its allowances first.
            self.env["sicantik.whatsapp.circuit"]._note(
                [(track.provider_id, _attempt(track.failed)) for track in failed]
            )
            ended = self._refuse(failed)
            reason = _("The provider reports that this person does not want messages.")
            now = fields.Datetime.now()
            self.env["sicantik.whatsapp.consent"]._opt_out(
                {track.phone: (reason, now) for track in failed if track.failed.opt_out and track.phone}
            )
        if arrived:
            self._confirm(arrived)
        if failed or arrived:
            self._forget()
        return ended

    def _refuse(self, tracks):
        """End messages that were refused late, or send them on.

        What concerns the account or the window says nothing against another provider: the message goes back
        into the queue once, to be planned without the one that refused it. Everything else ends it.

        :return: {queue row id: campaign id} of messages of campaigns that have ended so
        :rtype: dict
        """
        told = [
            {
                "id": track.queue_id,
                "external_message_id": track.message_id,
                "provider_id": track.provider_id,
                "error_class": track.values["error_class"],
                "error_message": track.values["error_message"],
                "onward": track.values["error_class"] in errors.FAILOVER,
            }
            for track in sorted(tracks, key=lambda track: track.queue_id or 0)
            if track.queue_id
        ]
        if not told:
            return {}
        self._lock_rows([one["id"] for one in told])
        self.env.cr.execute(
            """
            WITH told AS (
                SELECT s.*, s.onward AND q.late_provider_id IS NULL
                            AND c.state IS DISTINCT FROM 'cancelled' AS again
                  FROM jsonb_to_recordset(%(told)s::jsonb) AS s (
                           id integer, external_message_id text, provider_id integer, error_class text,
                           error_message text, onward boolean)
                  JOIN sicantik_notification_queue q ON q.id = s.id
             LEFT JOIN sicantik_notification_campaign c ON c.id = q.campaign_id
            )
            UPDATE sicantik_notification_queue AS q
               SET state = CASE WHEN told.again THEN 'pending' ELSE 'failed' END,
                   sent_date = NULL,
                   scheduled_date = CASE WHEN told.again THEN %(now)s ELSE q.scheduled_date END,
                   late_provider_id = COALESCE(q.late_provider_id, told.provider_id),
                   error_class = told.error_class,
                   error_message = told.error_message,
                   event_key = CASE WHEN NOT told.again AND position(%(once)s in q.event_key) > 0
                                    THEN q.event_key || ':' || q.id ELSE q.event_key END,
                   write_date = now() at time zone 'UTC'
              FROM told
             WHERE q.id = told.id AND q.state = 'sent' AND q.external_message_id = told.external_message_id
         RETURNING q.id, q.campaign_id, q.state
            """,
            {"told": json.dumps(told), "now": fields.Datetime.now(), "once": ONCE},
            log_exceptions=False,
        )
        moved = [
            (id_, campaign_id, state) for id_, campaign_id, state in self.env.cr.fetchall() if campaign_id
        ]
        again = {campaign_id for _id, campaign_id, state in moved if state == "pending"}
        self.env["sicantik.notification.campaign"].browse(again)._reopen()
        return {id_: campaign_id for id_, campaign_id, state in moved if state == "failed"}

    def _confirm(self, tracks):
        """Take back that messages failed: they arrived. One that waits to be sent on, or again, does not
        leave any more. The log says which message it was: the row may have been out again, or have waited,
        since.
        """
        told = {track.queue_id: track for track in tracks if track.queue_id}
        if not told:
            return
        self._lock_rows(told)
        self.env.cr.execute(
            """
            UPDATE sicantik_notification_queue AS q
               SET state = 'sent', sent_date = %s, error_class = NULL, error_message = NULL,
                   external_message_id = s.external_message_id,
                   provider_id = s.provider_id,
                   provider_type = (SELECT provider_type FROM sicantik_whatsapp_provider
                                     WHERE id = s.provider_id),
                   event_key = CASE WHEN position(%s in q.event_key) > 0 AND k.id IS NULL
                                    THEN regexp_replace(q.event_key, ':' || q.id || '$', '')
                                    ELSE q.event_key END,
                   write_date = now() at time zone 'UTC'
              FROM unnest(%s::integer[], %s::integer[], %s::text[])
                   AS s (id, provider_id, external_message_id)
              JOIN sicantik_notification_queue r ON r.id = s.id
         LEFT JOIN sicantik_notification_queue k
                ON k.id <> r.id AND k.event_key = regexp_replace(r.event_key, ':' || r.id || '$', '')
             WHERE q.id = s.id AND q.state IN ('pending', 'failed')
            """,
            [
                fields.Datetime.now(),
                ONCE,
                list(told),
                [track.provider_id for track in told.values()],
                [track.message_id for track in told.values()],
            ],
        )

    def _lock_rows(self, ids):
        """Lock queue rows in one order for all: what is read of them next is current."""
        self.env.cr.execute(
            "SELECT id FROM sicantik_notification_queue WHERE id = ANY(%s) ORDER BY id FOR UPDATE",
            [list(ids)],
        )

    def _forget(self):
        self.env["sicantik.notification.queue"].invalidate_model()
        self.env["sicantik.notification.queue"]._forget_counters()


def _moment(receipt, date):
    """Give when something happened, as far as the receipt says; never later than when that came."""
    return min(receipt.at or date, date).replace(microsecond=0)


def _earliest(one, other):
    return min(one, other) if one else other


def _class_of(receipt):
    """Give the class of a refusal. A provider that says `failed` knows that nothing arrived."""
    known = receipt.error_class in errors.CLASSES - errors.HOLD
    return receipt.error_class if known else errors.UNKNOWN


def _attempt(receipt):
    """Give a refusal as the attempt that it would have been."""
    return Attempt(
        REFUSED,
        error_class=_class_of(receipt),
        error_code=receipt.error_code,
        error_message=receipt.error_message,
        scope=receipt.scope,
    )
