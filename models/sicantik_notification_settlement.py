import json
import random
from collections import Counter
from datetime import timedelta

from odoo import _, api, fields, models

from ..providers import ACCEPTED, UNKNOWN, errors
from .road import Handed, Refusal, Wait
from .sicantik_notification_queue import ONCE

# Minutes before the first further attempt of a message without a rule; doubled each time.
RETRY_DELAY = 5
# Seconds between two attempts at most, and what a provider may ask for; what it asks beyond is its mistake.
LONGEST_BACKOFF = 6 * 3600
LONGEST_WAIT = 2 * 24 * 3600
BACKOFF_JITTER = 0.1
# From so many attempts on, “slow down” is a failure like others: a provider could say it for ever.
PATIENT_ATTEMPTS = 25
# Refusals found before anything was sent that are decisions, not failures.
HELD_BACK = (
    *("blacklisted", "capped", "cancelled"),
    *("no_number", "no_email", "no_opt_in", "no_recipient"),
)
STATES_OF_REFUSALS = {**dict.fromkeys(HELD_BACK, "skipped"), "cancelled": "cancelled"}
# What the settle writes, with the types in the database.
COLUMNS = {
    "state": "text",
    "sent_date": "timestamp",
    "provider_id": "integer",
    "provider_type": "text",
    "external_message_id": "text",
    "error_class": "text",
    "error_message": "text",
    "retry_count": "integer",
    "next_retry_date": "timestamp",
    "attempt_count": "integer",
    "processing_time_ms": "integer",
}


class SicantikNotificationSettlement(models.AbstractModel):
    """What becomes of messages: the states of their rows, their log, and when they are tried again."""

    _name = "sicantik.notification.settlement"
    _description = "Notification Settlement"

    @api.model
    def _settle(self, worker, jobs, senders, rules):
        """Write what came of claimed rows: their states, where the claim is still ours, and their log.

        Log rows are written in any case: an attempt that was made is a fact, whoever holds the row by now.

        :param int worker: whose claim it is
        :param list[Job] jobs: jobs that are decided or given up for now
        :param dict senders: {provider id: Sender}
        :param dict rules: {rule id: Rule}
        :return: Counter of the new states of those that ended or are tried again; a Wait is not counted
        :rtype: Counter
        """
        if not jobs:
            return Counter()
        settled = [
            {
                "id": job.row.id,
                "retry_count": job.row.retry_count,
                "attempt_count": job.row.attempt_count + len(job.attempts) + isinstance(job.verdict, Handed),
                **self._values(job, senders, rules.get(job.row.rule_id)),
            }
            for job in jobs
        ]
        for job, values in zip(jobs, settled, strict=True):
            job.settled = values["state"]
        self._write_logs([log for job in jobs for log in self._prepare_logs(job)])
        self._write(worker, settled)
        self._post_notes(jobs, rules)
        self._take_opt_outs(jobs)
        return Counter(
            values["state"]
            for values in settled
            if values["state"] != "pending" or values.get("next_retry_date")
        )

    def _post_notes(self, jobs, rules):
        """Have what was sent noted on its record, where the rule says so."""
        noted = {id_ for id_, rule in rules.items() if rule.post_note}
        sent = [job.row.id for job in jobs if job.row.rule_id in noted and job.settled == "sent"]
        if sent:
            self.env["sicantik.notification.note"]._post(sent)

    def _take_opt_outs(self, jobs):
        """Put on the blacklist who told a provider, and not us, that they want no messages."""
        phones = {job.row.phone for job in jobs if job.answer and job.answer.opt_out}
        if phones:
            reason = _("The provider reports that this person does not want messages.")
            now = fields.Datetime.now()
            self.env["sicantik.whatsapp.consent"]._opt_out(dict.fromkeys(phones, (reason, now)))

    def _values(self, job, senders, rule):
        """Decide what becomes of a row.

        :return: values of COLUMNS
        :rtype: dict
        """
        if isinstance(job.verdict, Refusal):
            return {
                "state": STATES_OF_REFUSALS.get(job.verdict.error_class, "failed"),
                "error_class": job.verdict.error_class,
                "error_message": job.verdict.error_message,
            }
        if isinstance(job.verdict, Handed):
            return {
                "state": "sent",
                "sent_date": fields.Datetime.now(),
                "external_message_id": job.verdict.message_id,
            }
        if isinstance(job.verdict, Wait) and (not job.attempts or job.row.attempt_count < PATIENT_ATTEMPTS):
            return {
                "state": "pending",
                "scheduled_date": job.verdict.until,
                "error_class": job.verdict.error_class,
                "error_message": job.verdict.reason,
            }
        route, attempt = job.attempts[-1]
        values = {
            "provider_id": route.provider_id,
            "provider_type": route.account.provider_type,
            "processing_time_ms": sum(one.elapsed_ms for _route, one in job.attempts),
        }
        if attempt.outcome == ACCEPTED:
            return {
                **values,
                "state": "sent",
                "sent_date": fields.Datetime.now(),
                "external_message_id": attempt.message_id or None,
            }
        values.update(error_class=attempt.error_class, error_message=attempt.error_message)
        if attempt.outcome == UNKNOWN:
            sender = senders.get(route.provider_id)
            retry = bool(sender) and sender.on_interrupted == "resend"
        else:
            # Refused by every provider at account level counts as a passing fault (contract, section 7).
            retry = attempt.error_class in errors.RETRY | errors.FAILOVER
        slow_down = attempt.error_class == errors.RATE_LIMITED and attempt.retry_after is not None
        if slow_down and job.row.attempt_count < PATIENT_ATTEMPTS:
            wait = min(attempt.retry_after, LONGEST_WAIT)
            return {**values, "state": "pending", "next_retry_date": self._after(wait)}
        return {
            **values,
            **self._retry_or_fail(
                job.row.retry_count,
                job.row.max_retries,
                rule.retry_delay if rule else None,
                retry,
                attempt.retry_after,
            ),
        }

    @api.model
    def _retry_or_fail(self, retry_count, max_retries, retry_delay, retry, retry_after=None):
        """Decide whether there is a further attempt, and when: later each time, and not all at once.

        :param int retry_count: further attempts there were already
        :param int retry_delay: minutes before the first one; None: the default
        :param bool retry: whether another attempt makes sense at all
        :param float retry_after: seconds for which the provider asked
        :rtype: dict
        """
        if not retry or retry_count >= max_retries:
            return {"state": "failed"}
        first = 60 * (RETRY_DELAY if retry_delay is None else retry_delay)
        wait = min(first * 2**retry_count, LONGEST_BACKOFF) * (1 + random.uniform(0, BACKOFF_JITTER))
        wait = max(wait, min(retry_after or 0, LONGEST_WAIT))
        return {"state": "pending", "retry_count": retry_count + 1, "next_retry_date": self._after(wait)}

    def _after(self, wait):
        return fields.Datetime.now() + timedelta(seconds=wait)

    # === WRITING ===#

    @api.model
    def _write(self, worker, settled):
        """Write the states of rows that are under the claim of a worker.

        A row that was given up for interrupted takes the true answer when it comes after all, unless somebody
        has decided about it meanwhile.

        :param int worker: whose claim it is
        What certainly did not leave no longer counts for its recipient's day (`counted_on`).

        :param list[dict] settled: `id` and values of COLUMNS; `scheduled_date` moves the row,
            `interrupted_count` is written when it is given
        """
        types = ", ".join(f"{name} {sql_type}" for name, sql_type in COLUMNS.items())
        # Names are constants of this file.
        self.env.cr.execute(
            f"""
            UPDATE sicantik_notification_queue AS q
               SET state = s.state,
                   sent_date = s.sent_date,
                   provider_id = (SELECT id FROM sicantik_whatsapp_provider WHERE id = s.provider_id),
                   provider_type = s.provider_type,
                   external_message_id = s.external_message_id,
                   error_class = s.error_class,
                   error_message = s.error_message,
                   is_blacklisted = s.error_class IS NOT DISTINCT FROM 'blacklisted',
                   retry_count = s.retry_count,
                   next_retry_date = s.next_retry_date,
                   scheduled_date = COALESCE(s.scheduled_date, s.next_retry_date, q.scheduled_date),
                   attempt_count = s.attempt_count,
                   interrupted_count = COALESCE(s.interrupted_count, q.interrupted_count),
                   processing_time_ms = s.processing_time_ms,
                   counted_on = CASE WHEN s.state NOT IN ('failed', 'skipped')
                                          OR s.error_class = 'interrupted' THEN q.counted_on END,
                   event_key = CASE WHEN s.state IN ('failed', 'skipped')
                                         AND s.error_class IS DISTINCT FROM 'interrupted'
                                         AND position(%(once)s in q.event_key) > 0
                                    THEN q.event_key || ':' || q.id ELSE q.event_key END,
                   worker = CASE WHEN s.error_class = 'interrupted' THEN q.worker END,
                   lease_until = NULL,
                   write_date = now() at time zone 'UTC'
              FROM jsonb_to_recordset(%(settled)s::jsonb) AS s (
                       id integer, scheduled_date timestamp, interrupted_count integer, {types})
             WHERE q.id = s.id AND COALESCE(q.worker, 0) = %(worker)s
               AND (q.state = 'processing' OR q.error_class = 'interrupted')
            """,
            {"once": ONCE, "settled": json.dumps(settled, default=str), "worker": worker},
            log_exceptions=False,  # the server would log the rows
        )
        self.env["sicantik.notification.queue"].invalidate_model()
        self.env["sicantik.notification.queue"]._forget_counters()

    def _prepare_logs(self, job):
        """Give the log rows of what was done for a job: one per attempt, one for a refusal before any."""
        if isinstance(job.verdict, Refusal):
            held_back = job.verdict.error_class in HELD_BACK
            return [
                {
                    "queue_id": job.row.id,
                    "state": "skipped" if held_back else "failed",
                    "error_class": job.verdict.error_class,
                    "error_message": job.verdict.error_message,
                }
            ]
        if isinstance(job.verdict, Handed):
            return [
                {
                    "queue_id": job.row.id,
                    "state": "sent",
                    "sent_date": fields.Datetime.now(),
                    "external_message_id": job.verdict.message_id,
                    "attempt": job.row.attempt_count + 1,
                    "delivery_state": "accepted",
                }
            ]
        logs = self.env["sicantik.whatsapp.dispatcher"]._prepare_attempt_logs(
            job.attempts, {"queue_id": job.row.id}, job.row.attempt_count
        )
        return logs

    @api.model
    def _write_logs(self, logs):
        """Write log rows of queue rows, whose numbers, records and parameters they take.

        An attempt that is in the log already is left out: a commit whose answer was lost is done again.

        :param list[dict] logs: `queue_id`, `state`, and what the attempt brought
        """
        self.env["sicantik.notification.log"]._record_attempts(logs)
