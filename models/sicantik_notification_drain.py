import json
import logging
import os
import socket
import time
from collections import Counter
from datetime import timedelta
from secrets import token_hex

from odoo import _, api, fields, models
from odoo.exceptions import ValidationError

from ..providers import ACCEPTED, UNKNOWN, deliver, errors
from .sicantik_notification_queue import ONCE
from .sicantik_whatsapp_dispatcher import Refusal, Request
from .transaction import committed

_logger = logging.getLogger(__name__)

# Messages in flight at once, and claimed at once: whoever dies leaves at most so many in doubt.
BATCH = 16
# A drain ends well under the 60 s of CPU and 120 s of wall time after which Odoo kills a cron worker, with
# one slow batch (connect 5 s + answer 30 s per provider) on top.
BUDGET_SECONDS = 30
# Longer than any batch can take; after it the claim counts as abandoned.
LEASE = timedelta(minutes=10)
# Seconds that a provider may make a message wait; what it asks beyond is its mistake.
LONGEST_WAIT = 2 * 24 * 3600
# Refusals found before anything was sent that are decisions, not failures.
HELD_BACK = ("blacklisted", "no_number", "no_opt_in", "no_recipient")


class SicantikNotificationDrain(models.AbstractModel):
    """From queue row to log row: claim → plan → deliver → settle.

    * **claim**: rows become `processing` under a token and a lease, and that is committed.
    * **plan**: who sends what, by which ways; what cannot be sent is settled. `provider_id` is written, so
      that a row found later under a dead claim tells whether its request may have left. Committed.
    * **deliver**: HTTP, in threads, with no transaction open.
    * **settle**: states and log rows, where the claim is still ours. Committed.

    Every step has a short transaction of its own (`transaction.py`); several processes may drain at once.
    """

    _name = "sicantik.notification.drain"
    _description = "Notification Drain"

    # === ENTRY POINTS ===#

    @api.model
    def _run(self):
        """Send what is due until nothing is or the budget is spent; then wake the cron if due rows remain.

        :return: {"processed", "sent", "failed", "skipped"}
        :rtype: dict
        """
        # The scheduled action has no language; the reasons that it writes are read in the office.
        self = self.with_context(lang=self.env.company.partner_id.lang or self.env.lang)
        deadline = time.monotonic() + BUDGET_SECONDS
        totals = Counter()
        committed(self.env, lambda env: env[self._name]._rescue())
        while True:
            done = self._drain_batch()
            totals += done
            if not done:
                break
            if time.monotonic() > deadline:
                committed(self.env, lambda env: env[self._name]._wake_if_due())
                break
        return self._summary(totals)

    @api.model
    def _process(self, ids, again=True):
        """Send rows now, whatever their schedule.

        :param list ids: ids of queue rows; what is not pending is left alone
        :param bool again: whether rows that are not committed yet are sent after the commit
        :return: as `_run`
        """
        totals = Counter()
        for start in range(0, len(ids), BATCH):
            totals += self._drain_batch(ids[start : start + BATCH])
        if again:
            visible = committed(
                self.env, lambda env: set(env["sicantik.notification.queue"].browse(ids).exists().ids)
            )
            later = [id_ for id_ in ids if id_ not in visible]
            if later:
                self.env.cr.postcommit.add(lambda: self._process(later, again=False))
        return self._summary(totals)

    @api.model
    def _summary(self, totals):
        result = {name: totals[name] for name in ("sent", "failed", "skipped")}
        result["processed"] = sum(totals.values())
        if totals:
            _logger.info(
                "Notification queue: %s", ", ".join(f"{count} {state}" for state, count in totals.items())
            )
        return result

    def _drain_batch(self, ids=None):
        """Take one batch down the road.

        :param list ids: take these rows, whatever their schedule; None for what is due
        :return: Counter of the states that rows got; empty when there was nothing to claim
        """
        token = f"{socket.gethostname()}:{os.getpid()}:{token_hex(8)}"
        claimed = committed(self.env, lambda env: env[self._name]._claim(token, ids))
        if not claimed:
            return Counter()
        try:
            jobs, counts = committed(self.env, lambda env: env[self._name]._plan(token, claimed))
        except Exception:
            committed(self.env, lambda env: env[self._name]._release(token))
            raise
        results = list(deliver(jobs, workers=BATCH)) if jobs else []
        return counts + self._settle_committed(token, results)

    def _settle_committed(self, token, results):
        """Write results in one transaction; if one of them cannot be written, each in its own.

        A result that cannot be written leaves its row under the claim, and so to the rescue.
        """
        if not results:
            return Counter()
        try:
            return committed(self.env, lambda env: env[self._name]._settle(token, results))
        except Exception:
            if len(results) == 1:
                _logger.exception("Notification queue: a result could not be written")
                return Counter()
        counts = Counter()
        for result in results:
            counts += self._settle_committed(token, [result])
        return counts

    # === CLAIM ===#

    def _claim(self, token, ids=None):
        """Mark rows as ours: priority first, then the oldest.

        :return: their ids, in that order
        :rtype: list
        """
        queue = self.env["sicantik.notification.queue"]
        queue.flush_model()
        which = "id = ANY(%(ids)s)" if ids is not None else "scheduled_date <= %(now)s"
        # MATERIALIZED: the planner must not evaluate the locking select more than once.
        self.env.cr.execute(
            f"""
            WITH due AS MATERIALIZED (
                SELECT id
                  FROM sicantik_notification_queue
                 WHERE state = 'pending'
                   AND {which}
                   AND (campaign_id IS NULL OR campaign_id NOT IN (
                           SELECT id FROM sicantik_notification_campaign
                            WHERE state IN ('paused', 'cancelled')))
              ORDER BY priority DESC, scheduled_date, id
                 LIMIT %(limit)s
                   FOR UPDATE SKIP LOCKED
            ), claimed AS (
                UPDATE sicantik_notification_queue AS q
                   SET state = 'processing',
                       lease_token = %(token)s,
                       lease_until = %(now)s + %(lease)s,
                       provider_id = NULL,
                       provider_type = NULL
                  FROM due
                 WHERE q.id = due.id
             RETURNING q.id, q.priority, q.scheduled_date
            )
            SELECT id FROM claimed ORDER BY priority DESC, scheduled_date, id
            """,
            {"ids": ids, "limit": BATCH, "token": token, "lease": LEASE, "now": fields.Datetime.now()},
        )
        claimed = [id_ for (id_,) in self.env.cr.fetchall()]
        queue.browse(claimed).invalidate_recordset()
        return claimed

    def _release(self, token):
        """Give claimed rows back; nothing of them has left."""
        self.env.cr.execute(
            """
            UPDATE sicantik_notification_queue
               SET state = 'pending', lease_token = NULL, lease_until = NULL,
                   scheduled_date = %s
             WHERE state = 'processing' AND lease_token = %s
            """,
            [fields.Datetime.now() + timedelta(minutes=1), token],
        )
        self.env["sicantik.notification.queue"].invalidate_model()

    def _wake_if_due(self):
        if self.env["sicantik.notification.queue"].search_count(
            [("state", "=", "pending"), ("scheduled_date", "<=", fields.Datetime.now())], limit=1
        ):
            self.env["sicantik.notification.queue"]._wake_cron()

    # === PLAN ===#

    def _plan(self, token, ids):
        """Find the ways of claimed rows and settle those that have none.

        :return: jobs for `providers.deliver`, Counter of the states of settled rows
        :rtype: tuple
        """
        rows = self._still_ours(token, ids)
        plans = self._refusals(rows)
        requests = []
        for row in rows.filtered(lambda row: row.id not in plans):
            try:
                requests.append(self._request(row))
            except ValidationError as error:
                plans[row.id] = Refusal(errors.UNKNOWN, str(error))
        plans.update(self.env["sicantik.whatsapp.dispatcher"]._plan(requests))
        jobs = [(id_, plan) for id_, plan in plans.items() if not isinstance(plan, Refusal)]
        self._mark_providers(token, jobs)
        refused = [(id_, plan) for id_, plan in plans.items() if isinstance(plan, Refusal)]
        return jobs, self._settle(token, refused)

    def _still_ours(self, token, ids):
        """Give the claimed rows whose claim holds, with a new lease: from here on they may leave."""
        now = fields.Datetime.now()
        self.env.cr.execute(
            """
            UPDATE sicantik_notification_queue
               SET lease_until = %s
             WHERE id = ANY(%s) AND state = 'processing' AND lease_token = %s AND lease_until > %s
         RETURNING id
            """,
            [now + LEASE, list(ids), token, now],
        )
        ours = {id_ for (id_,) in self.env.cr.fetchall()}
        return self.env["sicantik.notification.queue"].browse(id_ for id_ in ids if id_ in ours)

    def _request(self, row):
        return Request(
            key=row.id,
            phone=row.phone or "",
            partner=row.partner_id,
            company_id=row.company_id.id,
            message_type=row.message_type,
            template_key=row.template_key or "",
            body=row.body or "",
            context=row._context_dict(),
            reference=f"{self.env.cr.dbname}:{row.id}",
        )

    def _refusals(self, rows):
        """Check again what may have changed since the rows were queued: blacklist and consent."""
        blocked = self.env["sicantik.notification.blacklist"]._blocked(
            [row.phone for row in rows if row.phone]
        )
        refusals = {}
        for row in rows:
            entry = blocked.get(row.phone)
            if entry and (not row.rule_id or row.rule_id._obeys(entry)):
                source, reason = entry
                refusals[row.id] = Refusal(
                    "blacklisted", _("The number is on the blacklist: %s", reason or source)
                )
            elif row.rule_id.require_opt_in and not row.partner_id.whatsapp_opt_in:
                refusals[row.id] = Refusal(
                    "no_opt_in", _("The recipient has withdrawn the consent to WhatsApp messages.")
                )
        return refusals

    def _mark_providers(self, token, jobs):
        """Write by whom each row is about to be sent: from here on its request may have left."""
        marks = [
            {
                "id": id_,
                "provider_id": routes[0].provider_id,
                "provider_type": routes[0].account.provider_type,
            }
            for id_, routes in jobs
        ]
        self.env.cr.execute(
            """
            UPDATE sicantik_notification_queue AS q
               SET provider_id = mark.provider_id, provider_type = mark.provider_type
              FROM jsonb_to_recordset(%s::jsonb) AS mark (id integer, provider_id integer, provider_type text)
             WHERE q.id = mark.id AND q.state = 'processing' AND q.lease_token = %s
            """,
            [json.dumps(marks), token],
        )

    # === SETTLE ===#

    def _settle(self, token, results):
        """Write what came of claimed rows: their states, where the claim is still ours, and their log.

        Log rows are written in any case: an attempt that was made is a fact, whoever holds the row by now.

        :param list results: (row id, walk or Refusal)
        :return: Counter of the new states
        :rtype: Counter
        """
        if not results:
            return Counter()
        rows = self.env["sicantik.notification.queue"].browse([id_ for id_, _result in results])
        settled = [
            {"id": row.id, **self._settled_values(row, result)}
            for row, (_id, result) in zip(rows, results, strict=True)
        ]
        logs = [
            log
            for row, (_id, result) in zip(rows, results, strict=True)
            for log in self._prepare_logs(row, result)
        ]
        self._forget_deleted_providers(settled + logs)
        self._write_settled(token, settled)
        self.env["sicantik.notification.log"]._record(logs)
        return Counter(values["state"] for values in settled)

    def _forget_deleted_providers(self, vals_list):
        """Drop references to providers that were deleted while their messages were under way."""
        ids = {vals["provider_id"] for vals in vals_list if vals.get("provider_id")}
        known = set(self.env["sicantik.whatsapp.provider"].browse(ids).exists().ids)
        for vals in vals_list:
            if vals.get("provider_id") not in known:
                vals["provider_id"] = None

    def _write_settled(self, token, settled):
        self.env.cr.execute(
            """
            UPDATE sicantik_notification_queue AS q
               SET state = s.state,
                   sent_date = s.sent_date,
                   provider_id = s.provider_id,
                   provider_type = s.provider_type,
                   external_message_id = s.external_message_id,
                   error_class = s.error_class,
                   error_message = s.error_message,
                   is_blacklisted = s.error_class IS NOT DISTINCT FROM 'blacklisted',
                   retry_count = s.retry_count,
                   next_retry_date = s.next_retry_date,
                   scheduled_date = COALESCE(s.next_retry_date, q.scheduled_date),
                   attempt_count = s.attempt_count,
                   processing_time_ms = s.processing_time_ms,
                   event_key = CASE WHEN s.state IN ('failed', 'skipped', 'cancelled')
                                         AND position(%s in q.event_key) > 0
                                    THEN q.event_key || ':' || q.id ELSE q.event_key END,
                   lease_token = NULL,
                   lease_until = NULL,
                   write_date = now() at time zone 'UTC'
              FROM jsonb_to_recordset(%s::jsonb) AS s (
                   id integer, state text, sent_date timestamp, provider_id integer, provider_type text,
                   external_message_id text, error_class text, error_message text, retry_count integer,
                   next_retry_date timestamp, attempt_count integer, processing_time_ms integer)
             WHERE q.id = s.id AND q.state = 'processing' AND q.lease_token = %s
            """,
            [ONCE, json.dumps(settled, default=str), token],
            log_exceptions=False,  # the server would log the rows
        )
        self.env["sicantik.notification.queue"].invalidate_model()
        self.env["sicantik.notification.queue"]._forget_counters()

    def _settled_values(self, row, result):
        """Decide what becomes of a row.

        :param row: the queue row
        :param result: a Refusal, or the attempts made: list of (Route, Attempt)
        :return: values of the columns in `_write_settled`
        :rtype: dict
        """
        values = {"retry_count": row.retry_count, "attempt_count": row.attempt_count}
        if isinstance(result, Refusal):
            return {
                **values,
                "state": "skipped" if result.error_class in HELD_BACK else "failed",
                "error_class": result.error_class,
                "error_message": result.error_message,
            }
        route, attempt = result[-1]
        values.update(
            provider_id=route.provider_id,
            provider_type=route.account.provider_type,
            attempt_count=row.attempt_count + len(result),
            processing_time_ms=sum(one.elapsed_ms for _route, one in result),
        )
        if attempt.outcome == ACCEPTED:
            return {
                **values,
                "state": "sent",
                "sent_date": fields.Datetime.now(),
                "external_message_id": attempt.message_id or None,
            }
        values.update(error_class=attempt.error_class, error_message=attempt.error_message)
        if attempt.outcome == UNKNOWN:
            retry = self._resends(route.provider_id)
        else:
            # Refused by every provider at account level counts as a passing fault (contract, section 7).
            retry = attempt.error_class in errors.RETRY | errors.FAILOVER
        return {**values, **self._retry_or_fail(row, retry, attempt.retry_after)}

    def _retry_or_fail(self, row, retry, retry_after=None):
        if not retry or row.retry_count >= row.max_retries:
            return {"state": "failed"}
        if row.campaign_id.state == "cancelled":
            return {"state": "cancelled"}
        wait = max((row.rule_id.retry_delay if row.rule_id else 5) * 60, min(retry_after or 0, LONGEST_WAIT))
        return {
            "state": "pending",
            "retry_count": row.retry_count + 1,
            "next_retry_date": fields.Datetime.now() + timedelta(seconds=wait),
        }

    def _resends(self, provider_id):
        provider = self.env["sicantik.whatsapp.provider"].browse(provider_id).exists()
        return provider.on_interrupted == "resend"

    def _prepare_logs(self, row, result):
        values = {**row._log_values(), "queue_id": row.id}
        dispatcher = self.env["sicantik.whatsapp.dispatcher"]
        if isinstance(result, Refusal):
            return dispatcher._prepare_refusal_log(result, values)
        return dispatcher._prepare_attempt_logs(result, values, row.attempt_count)

    # === RESCUE ===#

    def _rescue(self):
        """Settle rows whose claim has run out: their worker has died.

        Rows without a type of provider were never handed to one and go back (the provider itself may have
        been deleted since). The others may have left: the provider's
        `on_interrupted` says whether they are sent again or wait, as `interrupted`, for a person to decide.
        """
        now = fields.Datetime.now()
        self.env.cr.execute(
            """
            UPDATE sicantik_notification_queue
               SET state = 'pending', lease_token = NULL, lease_until = NULL
             WHERE state = 'processing' AND lease_until < %s AND provider_type IS NULL
            """,
            [now],
        )
        token = f"rescue:{token_hex(8)}"
        self.env.cr.execute(
            """
            WITH lost AS MATERIALIZED (
                SELECT id FROM sicantik_notification_queue
                 WHERE state = 'processing' AND lease_until < %s
              ORDER BY id LIMIT 1000
                   FOR UPDATE SKIP LOCKED
            )
            UPDATE sicantik_notification_queue AS q SET lease_token = %s FROM lost WHERE q.id = lost.id
            RETURNING q.id
            """,
            [now, token],
        )
        ids = [id_ for (id_,) in self.env.cr.fetchall()]
        self.env["sicantik.notification.queue"].invalidate_model()
        if ids:
            self._settle_interrupted(token, self.env["sicantik.notification.queue"].browse(ids))

    def _settle_interrupted(self, token, rows):
        message = _(
            "The server stopped while this message was being sent: whether it left is not known. Ask the "
            "recipient or look at the provider's own list before you send it again."
        )
        settled, logs = [], []
        for row in rows:
            result = {
                "provider_id": row.provider_id.id or None,
                "provider_type": row.provider_type,
                "error_class": errors.INTERRUPTED,
                "error_message": message,
            }
            settled.append(
                {
                    "id": row.id,
                    "retry_count": row.retry_count,
                    "attempt_count": row.attempt_count + 1,
                    **result,
                    **self._retry_or_fail(row, self._resends(row.provider_id.id)),
                }
            )
            logs.append(
                {
                    **row._log_values(),
                    **result,
                    "queue_id": row.id,
                    "state": "failed",
                    "attempt": row.attempt_count + 1,
                }
            )
        self._write_settled(token, settled)
        self.env["sicantik.notification.log"]._record(logs)
        _logger.warning(
            "Notification queue: %s messages were interrupted by the end of their worker", len(rows)
        )
