import logging
from datetime import timedelta

from odoo import api, fields, models

from .sicantik_notification_drain import CLAIMABLE, RUNNING
from .transaction import committed

_logger = logging.getLogger(__name__)

# The channel of the lanes' jobs. It needs no record: an administrator limits it where the runner is
# configured, and without that the limit of `root` holds.
CHANNEL = "root.sicantik_notification"
LANES_PARAMETER = "sicantik_notification_automation.lanes"
DEFAULT_LANES = 2
# A lane is a job with all that a job costs: it should have some batches to send.
ROWS_PER_LANE = 200
# No drain lasts longer than this. So a job that waits longer waits for a runner that does not reach it, and
# one that was started longer ago hangs or was killed.
PATIENCE = timedelta(minutes=5)
WAITING = ("wait_dependencies", "pending", "enqueued")


class SicantikNotificationLane(models.AbstractModel):
    """Where the drain runs: here, or in lanes, which are jobs of OCA's `queue_job`.

    A lane does nothing but drain; claims, limits and rescue are the drain's own, so it does not matter how
    many lanes there are, whether one dies, or whether the scheduled action drains besides. `queue_job` is no
    dependency: it may be installed later, be uninstalled, or be there without a runner.
    """

    _name = "sicantik.notification.lane"
    _description = "Notification Lane"

    @api.model
    def _drain_or_start(self):
        """Have due messages sent: by lanes where those work, else right here.

        :return: as the drain's `_run`; all 0 when lanes do it
        :rtype: dict
        """
        try:
            started = committed(self.env, lambda env: env[self._name]._start())
        except Exception:
            # Whatever is wrong with somebody else's queue, messages do not wait for it.
            _logger.exception("Notification lanes could not be started; the queue is drained here")
            started = False
        if started:
            return dict.fromkeys(("processed", "sent", "failed", "skipped"), 0)
        return self.env["sicantik.notification.drain"]._run()

    @api.model
    def _drain_lane(self):
        """Be a lane: the method of the job.

        :return: as the drain's `_run`; the job shows it as its result
        :rtype: dict
        """
        result = self.env["sicantik.notification.drain"]._run()
        # Until the job is done in the database this lane counts as busy, so what becomes due meanwhile
        # starts no other. Hence a look after the commit; not after a run that found nothing, or a row that
        # nobody can claim would keep lanes turning for ever.
        if result["processed"]:
            self.env.cr.postcommit.add(lambda: committed(self.env, lambda env: env[self._name]._start()))
        return result

    def _start(self):
        """Queue the jobs of as many lanes as there is due work for, those counted that are at work.

        Two who do this at once may queue a lane twice; that costs one drain that finds little.

        :return: whether lanes do the work; False: nothing is due, or there are no lanes to rely on
        :rtype: bool
        """
        wanted = self._wanted()
        if not wanted or "queue.job" not in self.env or not self._runner_lives():
            return False
        busy = self._busy()
        if busy is None:
            return False
        free = [number for number in range(1, self._limit() + 1) if self._key(number) not in busy]
        for number in free[: max(0, wanted - len(busy))]:
            self.with_delay(
                channel=CHANNEL,
                identity_key=self._key(number),
                description=f"Send notifications, lane {number}",
            )._drain_lane()
        return True

    @api.model
    def _key(self, number):
        return f"sicantik_notification_lane_{number}"

    @api.model
    def _limit(self):
        """How many lanes there may be at once; 0 leaves the work to the scheduled action."""
        value = self.env["ir.config_parameter"].sudo().get_param(LANES_PARAMETER, "")
        return int(value) if value.isdecimal() else DEFAULT_LANES

    def _wanted(self):
        """How many lanes the due rows are worth."""
        limit = self._limit()
        if not limit:
            return 0
        self.env["sicantik.notification.queue"].flush_model()
        self.env["sicantik.notification.campaign"].flush_model()
        self.env.cr.execute(
            f"""
            SELECT count(*) FROM (
                SELECT 1 FROM sicantik_notification_queue
                 WHERE {CLAIMABLE} AND {RUNNING} AND scheduled_date <= %s LIMIT %s) AS due
            """,
            [fields.Datetime.now(), limit * ROWS_PER_LANE],
        )
        (due,) = self.env.cr.fetchone()
        return min(limit, -(-due // ROWS_PER_LANE))

    def _runner_lives(self):
        """Whether a runner serves this database, on whatever host: it holds a lock as long as it lives.

        A `queue_job` too old to have that lock is taken at its word; `_busy` notices when nothing happens.
        """
        try:
            from odoo.addons.queue_job.jobrunner.runner import PG_ADVISORY_LOCK_ID
        except ImportError:
            return True
        self.env.cr.execute(
            """
            SELECT 1
              FROM pg_locks
             WHERE locktype = 'advisory' AND objsubid = 1 AND granted
               AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
               AND (classid::bigint << 32 | objid::bigint) = %s
            """,
            [PG_ADVISORY_LOCK_ID],
        )
        return bool(self.env.cr.fetchone())

    def _busy(self):
        """Find the lanes that wait or work.

        :return: keys of lanes; None when lanes are not to be relied on: one has waited too long (another job
            fills the channel, or the runner's requests do not arrive), or one has failed just now
        """
        jobs = self.env["queue.job"].sudo()
        since = fields.Datetime.now() - PATIENCE
        ours = [("channel", "=", CHANNEL)]
        troubles = [
            "|",
            *("&", ("state", "in", WAITING), ("date_created", "<", since)),
            *("&", ("state", "=", "failed"), ("date_started", ">", since)),
        ]
        if jobs.search_count(ours + troubles, limit=1):
            return None
        # One that was killed stays `started` until the runner notices; it must not hold its lane for ever.
        alive = ["|", ("state", "in", WAITING), "&", ("state", "=", "started"), ("date_started", ">", since)]
        busy = jobs.search(ours + alive)
        # The runner looks for jobs of killed processes when it is told of a job, else once a minute.
        started = busy.filtered(lambda job: job.state == "started")
        self.env.cr.execute(
            "SELECT pg_notify('queue_job', uuid) FROM unnest(%s::text[]) AS uuid", [started.mapped("uuid")]
        )
        return {job.identity_key for job in busy}
