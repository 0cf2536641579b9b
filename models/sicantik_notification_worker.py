import logging

import psycopg2

from odoo import _, api, fields, models

from ..providers import errors
from .sicantik_notification_queue import WORKERS
from .transaction import Transactions

_logger = logging.getLogger(__name__)

# The first half of the advisory locks that workers hold; any number that nobody else uses.
LOCK_SPACE = 727_100
# A row whose workers keep dying: from so many deaths on it is taken alone, so that it costs no other row …
ALONE_FROM = 2
# … and after so many it ends.
DEATHS = 4
RESCUE_CHUNK = 1000


class Worker(Transactions):
    """One drain: a number that its rows carry, held as a lock for as long as its connection lives.

    PostgreSQL releases the lock when the connection ends, whatever ends it. So “is this worker alive?” is a
    question to the database and not a matter of age.
    """

    number = None

    def __enter__(self):
        if self._shared:
            self._enter(self._shared.cr)
        else:
            self.run(lambda env: None)
        return self

    def _enter(self, cr):
        if self.number is None:
            cr.execute("SELECT nextval(%s)", [WORKERS])
            self.number = cr.fetchone()[0]
        cr.execute("SELECT pg_try_advisory_lock(%s, %s)", [LOCK_SPACE, self.number])
        if not cr.fetchone()[0]:
            # After a cut connection, until PostgreSQL has noticed that it is gone.
            raise psycopg2.OperationalError("the lock of the worker is still held by its lost connection")

    def _leave(self, cr):
        cr.execute("SELECT pg_advisory_unlock(%s, %s)", [LOCK_SPACE, self.number])


class SicantikNotificationWorker(models.AbstractModel):
    """Rows of workers that died."""

    _name = "sicantik.notification.worker"
    _description = "Notification Worker"

    @api.model
    def _living(self):
        """Give the numbers of the workers whose lock is held.

        :rtype: list[int]
        """
        self.env.cr.execute(
            """
            SELECT objid::bigint FROM pg_locks
             WHERE locktype = 'advisory' AND classid = %s AND objsubid = 2 AND granted
               AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
            """,
            [LOCK_SPACE],
        )
        return [number for (number,) in self.env.cr.fetchall()]

    @api.model
    def _rescue(self):
        """Settle rows whose worker has died.

        Rows that were handed to no provider go back. The others may have left: the provider's
        `on_interrupted` says whether they wait, as `interrupted`, for a person to decide, or are sent again.
        Before they are, an answer still under way gets its time (`lease_until`): the worker may have lost
        nothing but its connection.

        :return: how many rows may have left
        :rtype: int
        """
        cr = self.env.cr
        cr.execute(
            """
            SELECT q.id, COALESCE(q.worker, 0), q.provider_type IS NULL,
                   COALESCE(p.on_interrupted, 'hold') <> 'resend'
                       OR COALESCE(q.lease_until, %(now)s) <= %(now)s,
                   COALESCE(q.interrupted_count, 0)
              FROM sicantik_notification_queue q
         LEFT JOIN sicantik_whatsapp_provider p ON p.id = q.provider_id
             WHERE q.state = 'processing'
          ORDER BY q.id LIMIT %(limit)s
               FOR UPDATE OF q SKIP LOCKED
            """,
            {"now": fields.Datetime.now(), "limit": RESCUE_CHUNK},
        )
        claimed = cr.fetchall()
        if not claimed:
            return 0
        # Asked after the rows were read: whoever had claimed one of them by then holds its lock by then.
        living = set(self._living())
        dead = [row for row in claimed if row[1] not in living]
        back = [id_ for id_, _worker, unsent, _ended, deaths in dead if unsent and deaths + 1 < DEATHS]
        cr.execute(
            """
            UPDATE sicantik_notification_queue
               SET state = 'pending',
                   worker = NULL, lease_until = NULL,
                   interrupted_count = COALESCE(interrupted_count, 0) + 1
             WHERE id = ANY(%s)
            """,
            [back],
        )
        back = set(back)
        ids = [id_ for id_, _worker, _unsent, ended, _deaths in dead if ended and id_ not in back]
        self.env["sicantik.notification.queue"].invalidate_model()
        if ids:
            self._settle_interrupted(self.env["sicantik.notification.queue"].browse(ids))
        return len(ids)

    def _settle_interrupted(self, rows):
        settlement = self.env["sicantik.notification.settlement"]
        left = _(
            "The server stopped while this message was being sent: whether it left is not known. Ask the "
            "recipient or look at the provider's own list before you send it again."
        )
        killer = _(
            "The server stopped %s times while it prepared this message, which is therefore not tried again. "
            "Look into the server's log before you retry it.",
            DEATHS,
        )
        settled, logs = [], []
        for row in rows:
            deaths = row.interrupted_count + 1
            result = {
                "provider_id": row.provider_id.id or None,
                "provider_type": row.provider_type or None,
                "error_class": errors.INTERRUPTED,
                "error_message": left if row.provider_type else killer,
            }
            resend = row.provider_id.on_interrupted == "resend" and deaths < DEATHS
            settled.append(
                {
                    "id": row.id,
                    "retry_count": row.retry_count,
                    "attempt_count": row.attempt_count + 1,
                    "interrupted_count": deaths,
                    **result,
                    **settlement._retry_or_fail(
                        row.retry_count,
                        row.max_retries,
                        row.rule_id.retry_delay if row.rule_id else None,
                        resend,
                    ),
                }
            )
            logs.append({"queue_id": row.id, "state": "failed", "attempt": row.attempt_count + 1, **result})
        by_worker = {}
        for row, values in zip(rows, settled, strict=True):
            by_worker.setdefault(row.worker, []).append(values)
        for worker, values in by_worker.items():
            settlement._write(worker, values)
        settlement._write_logs(logs)
        _logger.warning(
            "Notification queue: %s messages were interrupted by the end of their worker", len(rows)
        )
