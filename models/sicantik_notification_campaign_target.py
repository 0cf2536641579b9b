from odoo import api, fields, models
from odoo.tools import SQL

from .unchecked import UncheckedMany2one

# From so many targets on PostgreSQL has to know how many there are.
MANY = 10_000


class SicantikNotificationCampaignTarget(models.Model):
    """Records that a campaign is still to be sent for: its audience, frozen when it starts.

    A row is deleted in the very transaction that queues its messages. So an expansion that was killed goes on
    with exactly those that are left, whatever has become of the records and the domain meanwhile. Rows are
    written and taken by SQL alone, a million of them as well as one.
    """

    _name = "sicantik.notification.campaign.target"
    _description = "Notification Campaign Target"
    _log_access = False

    campaign_id = UncheckedMany2one("sicantik.notification.campaign", ondelete="set null")
    res_id = fields.Integer(required=True)

    def init(self):
        self.env.cr.execute(
            """
            CREATE UNIQUE INDEX IF NOT EXISTS sicantik_notification_campaign_target_next
                ON sicantik_notification_campaign_target (campaign_id, res_id)
            """
        )

    @api.model
    def _freeze(self, campaign, records, domain):
        """Write down who the targets are, in one statement.

        Who has been reached by an earlier run, and whose message is deleted already, is left out here; those
        whose messages are still in the queue are left out when their turn comes, recipient by recipient.

        :param campaign: the campaign; its row must be locked
        :param records: the model, as those see it who are to be found
        :param list domain: who they are
        :return: how many there are
        :rtype: int
        """
        self.env.flush_all()
        query = records._search(domain)
        query.order = None
        self.env.cr.execute(
            SQL(
                """
                INSERT INTO sicantik_notification_campaign_target (campaign_id, res_id)
                SELECT %s, found.id
                  FROM (%s) AS found
                 WHERE NOT EXISTS (
                           SELECT 1 FROM sicantik_notification_log l
                            WHERE l.campaign_id = %s AND l.res_model = %s AND l.res_id = found.id
                              AND l.state = 'sent' AND l.queue_id IS NULL
                              AND l.delivery_state IS DISTINCT FROM 'failed')
                ON CONFLICT DO NOTHING
                """,
                campaign.id,
                query.select(),
                campaign.id,
                records._name,
            )
        )
        count = self.env.cr.rowcount
        if count > MANY:
            # A million rows that nobody has counted yet would be read one by one for each chunk.
            self.env.cr.execute("ANALYZE sicantik_notification_campaign_target")
        return count

    @api.model
    def _take(self, campaign, after, limit):
        """Take the next targets; they count as queued when the transaction is committed.

        :param int after: the last one that was taken before: so nobody has to pass over those that are gone
        :return: ids of the records, in order
        :rtype: list[int]
        """
        self.env.cr.execute(
            # By their places: a join would go over all targets of the campaign once for each, as long as
            # PostgreSQL does not know how many there are. Nobody else writes them: see `Expansion`.
            """
            DELETE FROM sicantik_notification_campaign_target
             WHERE ctid = ANY(ARRAY(
                       SELECT ctid FROM sicantik_notification_campaign_target
                        WHERE campaign_id = %(campaign)s AND res_id > %(after)s
                     ORDER BY res_id LIMIT %(limit)s))
         RETURNING res_id
            """,
            {"campaign": campaign.id, "after": after, "limit": limit},
        )
        return sorted(res_id for (res_id,) in self.env.cr.fetchall())

    @api.model
    def _forget(self, campaigns):
        """Drop what is left of the audience of campaigns that will not go on."""
        self.env.cr.execute(
            "DELETE FROM sicantik_notification_campaign_target WHERE campaign_id = ANY(%s)",
            [list(campaigns.ids)],
        )
