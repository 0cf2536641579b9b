import logging
import time
from dataclasses import dataclass
from datetime import timedelta

from odoo import api, fields, models

from .sicantik_notification_tally import ENDED, EXECUTIONS, MESSAGES, OF_EXECUTIONS
from .transaction import committed

_logger = logging.getLogger(__name__)

CRON = "sicantik_notification_automation.ir_cron_cleanup_logs"
# Rows that one transaction looks at. With a message, its log rows are written: they forget it.
CHUNK = 10_000
MESSAGE_CHUNK = 2_000
# Under the 120 s of wall time after which Odoo kills a cron worker.
BUDGET_SECONDS = 60
# Days for which rows are kept: {what: (config parameter, default)}.
KEEP = {
    "log": ("sicantik_notification_automation.log_keep_days", 90),
    "queue": ("sicantik_notification_automation.queue_keep_days", 30),
}
# A week later somebody may still ask what became of a message, and try it again.
SHORTEST_KEEP = 7
# A hundred years; much more is no date any more.
LONGEST_KEEP = 36_500
# Tables of the limits and of webhooks, and which of their rows are of no more use: no limit looks back
# further. Of the rules and providers the rows stay.
HELPERS = {
    "sicantik.notification.usage": "t.bucket < %(before)s",
    "sicantik.whatsapp.pair": "t.last_date < %(before)s",
    # A date that comes back may not fire again as long as it could be caught up for (30 days at most).
    "sicantik.notification.moment": (
        "t.date_value + t.offset_minutes * interval '1 minute' < %(before)s - interval '40 days'"
    ),
    # Providers repeat an event for 7 days at most; by then it must still be known.
    "sicantik.whatsapp.event": "t.state <> 'pending' AND t.create_date < %(before)s - interval '6 days'",
    "sicantik.notification.allowance": "starts_with(t.subject, 'line:') AND t.next_slot < %(before)s",
}
HELPERS_KEEP = timedelta(days=2)

# Which rows go. That a rule with the policy `once` has told somebody is known by its log row alone once the
# queue row is gone, so that one stays as long as the rule does.
OLD_LOGS = """
    t.create_date < %(before)s
    AND NOT (t.event_key IS NOT NULL AND (t.state = 'sent' OR t.error_class = 'interrupted')
             AND t.rule_id IS NOT NULL)
"""
# A message's age is the time since it ended: it may have waited for weeks. Of a rule with a cooldown the
# queue is the memory (`_without_repeats`), so a row stays as long as it holds others back.
OLD_MESSAGES = """
    t.state = ANY(%(ended)s)
    AND COALESCE(t.sent_date, t.write_date, t.create_date) < %(before)s
    AND NOT EXISTS (
        SELECT 1 FROM sicantik_notification_rule AS rule
         WHERE rule.id = t.rule_id AND rule.repeat_policy = 'cooldown'
           AND (t.state = 'sent' OR t.error_class = 'interrupted')
           AND extract(epoch FROM %(now)s - t.create_date) < rule.cooldown_hours * 3600)
"""
# The last row of each trigger and rule stays: from it come their last execution and last error.
OLD_EXECUTIONS = "t.create_date < %(before)s AND t.id <> ALL(%(last)s)"


@dataclass(frozen=True)
class Job:
    """The rows of one table that go.

    :param str model: name of the model
    :param str old: SQL condition on a row `t`
    :param dict params: values of the placeholders in `old`
    :param int chunk: how many rows one transaction looks at
    :param str tally: what a deleted row adds to the tally: `MESSAGES` or `EXECUTIONS`; None for nothing
    """

    model: str
    old: str
    params: dict
    chunk: int
    tally: str | None = None


class SicantikNotificationCleanup(models.AbstractModel):
    """Deletes what is old, and keeps what it counted.

    Each table is walked once along its primary key, in chunks with a short transaction each. Rows that may go
    and rows that stay lie mixed, so the walk goes to the end. It may be stopped anywhere: what is deleted is
    counted, the rest goes next time.
    """

    _name = "sicantik.notification.cleanup"
    _description = "Notification Cleanup"

    @api.model
    def _run(self):
        """Delete what is old until nothing is or the budget is spent; then wake the cron for the rest.

        :return: {model name: how many rows were deleted}
        :rtype: dict
        """
        deadline = time.monotonic() + BUDGET_SECONDS
        deleted = {}
        for job in self._jobs():
            deleted[job.model] = self._walk(job, deadline)
        self.env.invalidate_all()
        # A run that found nothing to delete in all its time would find nothing the next time either.
        if time.monotonic() >= deadline and any(deleted.values()):
            self._wake_cron()
        _logger.info(
            "Notification cleanup: %s", ", ".join(f"{count} of {name}" for name, count in deleted.items())
        )
        return deleted

    @api.model
    def _wake_cron(self):
        cron = self.env.ref(CRON, raise_if_not_found=False)
        if cron:
            cron.sudo()._trigger()

    @api.model
    def _keep_days(self, what):
        """Read for how many days rows are kept.

        :param str what: `log` or `queue`
        :return: 0 for ever, else between `SHORTEST_KEEP` and `LONGEST_KEEP`; the default for what is not a
            number of days
        :rtype: int
        """
        parameter, default = KEEP[what]
        value = (self.env["ir.config_parameter"].sudo().get_param(parameter) or "").strip()
        if not value.isdecimal():
            return default
        return int(value) and min(max(int(value), SHORTEST_KEEP), LONGEST_KEEP)

    @api.model
    def _jobs(self):
        """Give what is to be done. Log rows go first: a message without log rows is deleted faster.

        :rtype: list[Job]
        """
        now = fields.Datetime.now()
        jobs = []
        log_days, queue_days = self._keep_days("log"), self._keep_days("queue")
        if log_days:
            before = now - timedelta(days=log_days)
            jobs += [
                Job("sicantik.notification.log", OLD_LOGS, {"before": before}, CHUNK),
                Job(
                    "sicantik.notification.execution",
                    OLD_EXECUTIONS,
                    {"before": before, "last": self._last_executions()},
                    CHUNK,
                    EXECUTIONS,
                ),
            ]
        if queue_days:
            params = {
                "now": now,
                "before": now - timedelta(days=queue_days),
                "ended": [state for state, _label in ENDED],
            }
            jobs.append(Job("sicantik.notification.queue", OLD_MESSAGES, params, MESSAGE_CHUNK, MESSAGES))
        jobs += [Job(model, old, {"before": now - HELPERS_KEEP}, CHUNK) for model, old in HELPERS.items()]
        return jobs

    @api.model
    def _last_executions(self):
        self.env["sicantik.notification.execution"].flush_model()
        self.env.cr.execute(
            "SELECT max(id) FROM sicantik_notification_execution GROUP BY trigger_id, rule_id"
        )
        return [id_ for (id_,) in self.env.cr.fetchall()]

    def _walk(self, job, deadline):
        """Delete the old rows of one table.

        :param float deadline: when to stop, on the monotonic clock
        :return: how many were deleted
        :rtype: int
        """
        position, total = 0, 0
        held = committed(self.env, lambda env: env[self._name]._held(job))
        while position is not None and time.monotonic() < deadline:
            start = position
            position, count = committed(
                self.env, lambda env, start=start: env[self._name]._delete_chunk(job, held, start)
            )
            total += count
        return total

    def _held(self, job):
        """Give the SQL condition that leaves out rows whom another table forbids to delete.

        None does in this addon; another one may keep a reference to a message, and one row that cannot go
        must not hold back the others.
        """
        self.env.cr.execute(
            """
            SELECT format('NOT EXISTS (SELECT 1 FROM %%s AS other WHERE other.%%I = t.id)',
                          fk.conrelid::regclass, col.attname)
              FROM pg_constraint AS fk
              JOIN pg_attribute AS col ON col.attrelid = fk.conrelid AND col.attnum = fk.conkey[1]
             WHERE fk.contype = 'f' AND fk.confrelid = %s::regclass AND fk.confdeltype IN ('a', 'r')
            """,
            [self.env[job.model]._table],
        )
        return "".join(f" AND {condition.replace('%', '%%')}" for (condition,) in self.env.cr.fetchall())

    def _delete_chunk(self, job, held, start):
        """Look at the next rows and delete the old ones.

        :param str held: see `_held`
        :param int start: id after which the chunk begins
        :return: id at which it ends, None when there was none; how many rows were deleted
        :rtype: tuple
        """
        self.env.flush_all()
        cr = self.env.cr
        table = self.env[job.model]._table
        # Both ends are constants of the statement that deletes: with a subquery instead, PostgreSQL reads the
        # whole table for each chunk.
        cr.execute(
            f"SELECT max(id) FROM (SELECT id FROM {table} WHERE id > %s ORDER BY id LIMIT %s) AS chunk",
            [start, job.chunk],
        )
        (end,) = cr.fetchone()
        if end is None:
            return None, 0
        tally = self.env["sicantik.notification.tally"]
        relation = OF_EXECUTIONS if job.tally == EXECUTIONS else "gone"
        counting = f", counted AS ({tally._adding(relation)})" if job.tally else ""
        cr.execute(
            f"""
            WITH gone AS (
                DELETE FROM {table} AS t
                 WHERE t.id > %(start)s AND t.id <= %(end)s AND {job.old} {held}
             RETURNING {job.tally or 1}
            ) {counting}
            SELECT count(*) FROM gone
            """,
            {**job.params, "start": start, "end": end},
        )
        return end, cr.fetchone()[0]
