from datetime import timedelta

from odoo import _, api, fields, models

from ..providers import errors
from .sicantik_notification_log import MESSAGE, NOW
from .sicantik_notification_queue import ONCE

# The key of a message that was not told after all is free again for the next one (see the settlement). One
# that was interrupted, and waits to be sent again, may have left.
INTERRUPTED = "q.error_class IS NOT DISTINCT FROM 'interrupted'"
KEY_GIVEN_BACK = f"""
    CASE WHEN position(%(once)s in q.event_key) > 0 AND NOT {INTERRUPTED}
         THEN q.event_key || ':' || q.id ELSE q.event_key END
"""
# For so long after a cancellation the scheduled action looks for messages that came back after all.
FORGOTTEN = timedelta(days=1)


class SicantikNotificationCampaignMessage(models.AbstractModel):
    """What transitions of a campaign do to its messages: set-based, and in chunks where there may be many.

    * A pause *holds* pending messages: they leave the index that the claim reads, so that a hundred thousand
      of them cost the other messages nothing. The claim passes over those that are not held yet.
    * A resumption *releases* them. Messages of a rule that sends in batches leave later by as much as the
      pause took; so what has come due meanwhile does not leave in one burst.
    * A cancellation *cancels* them, each with its row in the log.

    What is chosen is MATERIALIZED: the planner must not evaluate a locking select more than once.
    `rows_todo` of the campaign says what is still to be done. Who does a step has locked the campaign. Only
    the scheduled action finds that it is done (`_is_done`): a button sees nothing that was committed since it
    began. What a worker has in its hands comes back as pending, also to a cancelled campaign. It is cancelled
    here and nowhere else, so that each message has its reason and its log row, and gives its key back.
    """

    _name = "sicantik.notification.campaign.message"
    _description = "Notification Campaign Messages"

    @api.model
    def _step(self, campaign, limit):
        """Do what is to be done to the next messages.

        :param int limit: how many at most; None for all
        :return: how many were moved
        :rtype: int
        """
        if not campaign.rows_todo:
            return 0
        self.env["sicantik.notification.queue"].flush_model()
        count = getattr(self, f"_{campaign.rows_todo}")(campaign, limit)
        self.env["sicantik.notification.queue"].invalidate_model(flush=False)
        self.env["sicantik.notification.queue"]._forget_counters()
        return count

    @api.model
    def _is_done(self, campaign):
        """Tell whether nothing is left of what is to be done. Ask it in a transaction that is READ COMMITTED.

        Others may have some messages in their hands just now: of a cancelled campaign, these are waited for.
        Those of a pause are passed over by the claim.

        :rtype: bool
        """
        if campaign.rows_todo == "hold":
            return True
        which = "held" if campaign.rows_todo == "release" else "state IN ('pending', 'processing')"
        self.env.cr.execute(
            f"SELECT 1 FROM sicantik_notification_queue WHERE campaign_id = %s AND {which} LIMIT 1",
            [campaign.id],
        )
        return not self.env.cr.fetchone()

    @api.model
    def _find_forgotten(self):
        """Have the messages cancelled that came into the queue of a cancelled campaign when it seemed done:
        a refusal or a retry that had begun before the cancellation.

        Of campaigns that were cancelled lately only: to look through the messages of all takes long.
        """
        self.env["sicantik.notification.campaign"].flush_model(["state", "rows_todo", "end_date"])
        self.env["sicantik.notification.queue"].flush_model(["state", "campaign_id"])
        self.env.cr.execute(
            """
            UPDATE sicantik_notification_campaign AS c
               SET rows_todo = 'cancel'
             WHERE c.state = 'cancelled' AND c.rows_todo IS NULL
               AND COALESCE(c.end_date, c.write_date) > %s
               AND EXISTS (SELECT 1 FROM sicantik_notification_queue q
                            WHERE q.campaign_id = c.id AND q.state = 'pending')
            """,
            [fields.Datetime.now() - FORGOTTEN],
        )
        self.env["sicantik.notification.campaign"].invalidate_model(["rows_todo"], flush=False)

    def _hold(self, campaign, limit):
        self.env.cr.execute(
            """
            WITH chosen AS MATERIALIZED (
                SELECT id FROM sicantik_notification_queue
                 WHERE campaign_id = %(campaign)s AND state = 'pending' AND held IS NOT TRUE
              ORDER BY priority DESC, scheduled_date, id LIMIT %(limit)s
                   FOR UPDATE SKIP LOCKED
            )
            UPDATE sicantik_notification_queue AS q SET held = true FROM chosen WHERE q.id = chosen.id
            """,
            {"campaign": campaign.id, "limit": limit},
            log_exceptions=False,
        )
        return self.env.cr.rowcount

    def _release(self, campaign, limit):
        self.env.cr.execute(
            """
            WITH chosen AS MATERIALIZED (
                SELECT id FROM sicantik_notification_queue
                 WHERE campaign_id = %(campaign)s AND held
              ORDER BY priority DESC, scheduled_date, id LIMIT %(limit)s
                   FOR UPDATE SKIP LOCKED
            )
            UPDATE sicantik_notification_queue AS q
               SET held = NULL, scheduled_date = q.scheduled_date + %(seconds)s * interval '1 second'
              FROM chosen
             WHERE q.id = chosen.id
            """,
            {"campaign": campaign.id, "limit": limit, "seconds": campaign.held_seconds},
            log_exceptions=False,
        )
        return self.env.cr.rowcount

    def _cancel(self, campaign, limit):
        told = [name for name in MESSAGE if name != "queue_id"]
        columns = ["queue_id", *told, "state", "error_class", "error_message"]
        once = "CASE WHEN position(%(once)s in event_key) > 0 THEN event_key END"
        values = ", ".join(once if name == "event_key" else name for name in told)
        # All names are constants of the log's file.
        self.env.cr.execute(
            f"""
            WITH chosen AS MATERIALIZED (
                SELECT id FROM sicantik_notification_queue
                 WHERE campaign_id = %(campaign)s AND state = 'pending'
                 LIMIT %(limit)s FOR UPDATE SKIP LOCKED
            ), gone AS (
                UPDATE sicantik_notification_queue AS q
                   SET state = 'cancelled', held = NULL, next_retry_date = NULL,
                       error_class = CASE WHEN {INTERRUPTED} THEN q.error_class ELSE 'cancelled' END,
                       error_message = %(reason)s, event_key = {KEY_GIVEN_BACK}, write_date = {NOW}
                  FROM chosen
                 WHERE q.id = chosen.id
             RETURNING q.id, {", ".join(f"q.{name}" for name in told)}
            )
            INSERT INTO sicantik_notification_log
                   ({", ".join(columns)}, create_uid, create_date, write_uid, write_date)
            SELECT id, {values}, 'skipped', 'cancelled', %(reason)s, %(uid)s, {NOW}, %(uid)s, {NOW}
              FROM gone
            """,
            {
                "campaign": campaign.id,
                "limit": limit,
                "reason": campaign.state_reason or _("Its campaign was cancelled."),
                "once": ONCE,
                "uid": self.env.uid,
            },
            log_exceptions=False,  # the server would log numbers and names
        )
        count = self.env.cr.rowcount
        self.env["sicantik.notification.log"].invalidate_model()
        return count

    @api.model
    def _retry(self, campaign, interrupted):
        """Put the failed messages of a campaign back into the queue, with all their attempts before them.

        A rule that sends in batches sends these in batches too. Of those that a rule sends once per record
        and recipient only the last one comes back, and none whose place another message has taken.

        :param bool interrupted: those of which nobody knows whether they left; False: all others
        :return: how many there are
        :rtype: int
        """
        rule = campaign.rule_id
        paced = rule.schedule_type == "batch"
        self.env["sicantik.notification.queue"].flush_model()
        self.env.cr.execute(
            f"""
            WITH chosen AS (
                SELECT q.id, CASE WHEN position(%(once)s in q.event_key) > 0
                                  THEN regexp_replace(q.event_key, ':' || q.id || '$', '')
                                  ELSE q.event_key END AS event_key
                  FROM sicantik_notification_queue q
                 WHERE q.campaign_id = %(campaign)s AND q.state = 'failed'
                   AND (q.error_class IS NOT DISTINCT FROM %(class)s) = %(interrupted)s
                   FOR UPDATE
            ), again AS (
                SELECT c.id, c.event_key, row_number() OVER (ORDER BY c.id) - 1 AS position
                  FROM chosen c
                 WHERE c.event_key IS NULL OR (
                       NOT EXISTS (SELECT 1 FROM sicantik_notification_queue other
                                    WHERE other.event_key = c.event_key AND other.id <> c.id)
                   AND c.id = (SELECT max(twin.id) FROM chosen twin WHERE twin.event_key = c.event_key))
            )
            UPDATE sicantik_notification_queue AS q
               SET state = 'pending',
                   event_key = again.event_key,
                   scheduled_date = {NOW} + again.position / %(size)s * %(minutes)s * interval '1 minute',
                   retry_count = 0, interrupted_count = 0, worker = NULL, held = NULL, next_retry_date = NULL,
                   error_class = NULL, error_message = NULL, is_blacklisted = false,
                   late_provider_id = NULL,  -- what kept it from sending may have been mended
                   write_date = {NOW}
              FROM again
             WHERE q.id = again.id
            """,
            {
                "campaign": campaign.id,
                "class": errors.INTERRUPTED,
                "interrupted": interrupted,
                "once": ONCE,
                "size": rule.batch_size,
                "minutes": rule.batch_interval if paced else 0,
            },
            log_exceptions=False,
        )
        count = self.env.cr.rowcount
        self.env["sicantik.notification.queue"].invalidate_model(flush=False)
        self.env["sicantik.notification.queue"]._forget_counters()
        return count

    @api.model
    def _reached(self, campaign, res_ids):
        """Find who has been reached already, of some records: sent, about to be, or perhaps reached.

        :return: {(record id, kind of message, channel, recipient id, number or address)}
        :rtype: set
        """
        self.env["sicantik.notification.queue"].flush_model()
        self.env.cr.execute(
            """
            SELECT res_id, message_type, channel, partner_id, phone, email FROM sicantik_notification_queue
             WHERE res_id = ANY(%(ids)s) AND res_model = %(model)s AND campaign_id = %(campaign)s
               AND id <= %(last)s
               AND (state IN ('sent', 'pending', 'processing') OR error_class = %(class)s)
            """,
            {
                "ids": res_ids,
                "model": campaign.target_model,
                "campaign": campaign.id,
                "last": campaign.last_row_id,
                "class": errors.INTERRUPTED,
            },
        )
        found = set()
        for res_id, kind, channel, *names in self.env.cr.fetchall():
            found |= {(res_id, kind, channel, who) for who in names if who}
        return found

    @api.model
    def _live(self, campaign_ids, since):
        """Count, of each campaign, what was sent since a moment, and what is interrupted.

        Messages of companies that the user does not work for are left out, as in the totals.

        :return: {campaign id: (sent, interrupted)}
        :rtype: dict
        """
        self.env["sicantik.notification.queue"].flush_model()
        mine = "" if self.env.su else "AND (company_id IS NULL OR company_id = ANY(%(companies)s))"
        self.env.cr.execute(
            f"""
            SELECT campaign_id, count(*) FILTER (WHERE state = 'sent' AND sent_date > %(since)s),
                   count(*) FILTER (WHERE state = 'failed' AND error_class = %(class)s)
              FROM sicantik_notification_queue
             WHERE campaign_id = ANY(%(ids)s) {mine} GROUP BY 1
            """,
            {
                "ids": list(campaign_ids),
                "since": since,
                "class": errors.INTERRUPTED,
                "companies": self.env.companies.ids,
            },
        )
        return {id_: (sent, interrupted) for id_, sent, interrupted in self.env.cr.fetchall()}
