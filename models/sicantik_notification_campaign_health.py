from collections import deque

from odoo import _, api, models

# Percentage of failures among the last so many messages that pauses a campaign: {what: (config parameter,
# default)}. 0 switches it off.
LIMITS = {
    "percent": ("sicantik_notification_automation.campaign_pause_percent", 50),
    "last": ("sicantik_notification_automation.campaign_pause_last", 100),
}


class Watch:
    """The last outcomes of campaigns, as one run of the drain sees them; plain values.

    It spares the database: only when a campaign fails for the first time, or when too much of what is seen
    here has failed, is the database asked what the last outcomes were.
    """

    def __init__(self):
        self.windows, self.needed = {}, None

    def note(self, results):
        """Take note of what messages ended as.

        :param list results: (campaign id, state)
        :return: ids of the campaigns that are to be looked at
        :rtype: set
        """
        suspects = set()
        for campaign_id, state in results:
            if state not in ("sent", "failed") or self.needed == 0:
                continue
            window = self.windows.get(campaign_id)
            if window is not None:
                window.append(state == "failed")
            if state == "failed" and (window is None or sum(window) >= self.needed):
                suspects.add(campaign_id)
        return suspects

    def learn(self, needed, last, outcomes):
        """Take over what the database says.

        :param int needed: failures that pause a campaign; 0: nothing does
        :param int last: among how many messages
        :param dict outcomes: {campaign id: whether the last messages failed, oldest first}
        """
        self.needed = needed
        for campaign_id, failed in outcomes.items():
            self.windows[campaign_id] = deque(failed, maxlen=max(last, 1))


class SicantikNotificationCampaignHealth(models.AbstractModel):
    """Pauses campaigns that mostly fail, before they have failed for everybody."""

    _name = "sicantik.notification.campaign.health"
    _description = "Notification Campaign Health"

    @api.model
    def _limit(self, what):
        """Read a setting; the default for what is not a number.

        :param str what: `percent` or `last`
        """
        parameter, default = LIMITS[what]
        value = (self.env["ir.config_parameter"].sudo().get_param(parameter) or "").strip()
        return int(value) if value.isdecimal() else default

    @api.model
    def _look(self, campaign_ids):
        """Pause those of the campaigns of whose last messages too many failed.

        Before there have been so many messages, as many failures as would be too many among them suffice.

        :return: what `Watch.learn` takes
        :rtype: tuple
        """
        percent, last = min(self._limit("percent"), 100), self._limit("last")
        needed = -(-last * percent // 100)
        if not needed:
            return 0, last, {}
        outcomes = {}
        campaigns = self.env["sicantik.notification.campaign"].browse(sorted(campaign_ids)).exists()
        campaigns._lock()
        for campaign in campaigns.filtered(lambda one: one.state == "running"):
            failed = self._outcomes(campaign.id, last)
            outcomes[campaign.id] = failed
            if sum(failed) >= needed:
                outcomes[campaign.id] = []
                campaign._halt(
                    _(
                        "%(failed)s of the last %(count)s messages failed. Look at their reasons in the "
                        "queue, correct what is wrong, then resume the campaign.",
                        failed=sum(failed),
                        count=len(failed),
                    )
                )
        return needed, last, outcomes

    @api.model
    def _outcomes(self, campaign_id, last):
        """Tell of the last messages of a campaign, since somebody has looked at it, whether they failed."""
        self.env["sicantik.notification.queue"].flush_model()
        self.env.cr.execute(
            """
            SELECT q.state = 'failed'
              FROM sicantik_notification_queue q
              JOIN sicantik_notification_campaign c ON c.id = q.campaign_id
             WHERE c.id = %s AND q.id > COALESCE(c.last_row_id, 0) AND q.state IN ('sent', 'failed')
               AND (c.health_date IS NULL OR q.write_date > c.health_date)
          ORDER BY q.write_date DESC, q.id DESC LIMIT %s
            """,
            [campaign_id, last],
        )
        return [failed for (failed,) in self.env.cr.fetchall()][::-1]
