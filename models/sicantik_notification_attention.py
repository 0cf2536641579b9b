from datetime import timedelta

from odoo import _, api, models

from .opening import open_form, open_list
from .sicantik_notification_queue import CRON

# Minutes after which a scheduled action that runs every minute is late, and so are messages.
LATE_MINUTES = 10
LOG = "sicantik.notification.log"
QUEUE = "sicantik.notification.queue"


class SicantikNotificationAttention(models.AbstractModel):
    """What waits for a person: the cards on top of the Overview page.

    It is given what the page has read anyway; see `sicantik.notification.overview`.
    """

    _name = "sicantik.notification.attention"
    _description = "What Needs Attention"

    @api.model
    def _cards(self, now, providers, campaigns, queue, rate, returned, steps):
        """Give what waits for a person, the gravest first.

        :return: dicts of `key`, `level` (a Bootstrap colour), `title`, `text`, and `action` (False: none)
        :rtype: list[dict]
        """
        found = [self._cron_card(now) or self._stuck_card(queue, rate)]
        interrupted = [("state", "=", "failed"), ("error_class", "=", "interrupted")]
        count = self.env[QUEUE].search_count(interrupted)
        if count:
            found.append(
                {
                    "key": "interrupted",
                    "level": "danger",
                    "title": _("Interrupted messages: %s", count),
                    "text": _(
                        "Nobody knows whether they left. Ask the recipients, then retry or leave them."
                    ),
                    "action": open_list(_("Interrupted Messages"), QUEUE, interrupted),
                }
            )
        if returned["count"]:
            found.append(
                {
                    "key": "returned",
                    "level": "warning",
                    "title": _("E-mails that came back since yesterday: %s", returned["count"]),
                    "text": _("Correct the addresses in the contacts."),
                    "action": open_list(_("E-mails That Came Back"), LOG, returned["domain"]),
                }
            )
        failing = [one for one in providers if one["level"] == "danger"]
        for one in failing:
            found.append(
                {
                    "key": f"provider_{one['id']}",
                    "level": "danger",
                    "title": _("“%s” refuses messages", one["name"]),
                    "text": one["problem"]
                    or _("Messages go to the next provider or wait. It is tried again by itself."),
                    "action": open_form("sicantik.whatsapp.provider", one["id"]),
                }
            )
        # Before the first message the checklist says what is to be done.
        begun = not steps or any(step["key"] == "message" and step["done"] for step in steps)
        if begun and not any(one["state"] == "configured" for one in providers):
            found.append(
                {
                    "key": "no_provider",
                    "level": "danger",
                    "title": _("No provider can send"),
                    "text": _("Messages wait or fail. Enter the credentials of a provider and test it."),
                    "action": open_list(_("WhatsApp Providers"), "sicantik.whatsapp.provider", []),
                }
            )
        paused = [one for one in campaigns if one["state"] == "paused"]
        if paused:
            ids = [one["id"] for one in paused]
            found.append(
                {
                    "key": "campaigns",
                    "level": "warning",
                    "title": _("Paused campaigns: %s", len(paused)),
                    "text": paused[0]["reason"]
                    if len(paused) == 1 and paused[0]["reason"]
                    else _(
                        "Nothing leaves until they are resumed: %s",
                        ", ".join(one["name"] for one in paused[:5]),
                    ),
                    "action": open_list(
                        _("Paused Campaigns"),
                        "sicantik.notification.campaign",
                        [("state", "=", "paused")],
                        self.env["sicantik.notification.campaign"].browse(ids),
                    ),
                }
            )
        return [one for one in found if one]

    @api.model
    def _stuck_card(self, queue, rate):
        """Tell when messages are due and none leaves, although the scheduled action runs."""
        if rate["count"] or queue["oldest_seconds"] <= 60 * LATE_MINUTES:
            return None
        return {
            "key": "stuck",
            "level": "warning",
            "title": _("Messages wait, and none leaves: %s", queue["due"]["count"]),
            "text": _("Look whether a provider can send them, and what the messages themselves say."),
            "action": open_list(_("Waiting"), QUEUE, queue["due"]["domain"]),
        }

    @api.model
    def _cron_card(self, now):
        """Tell when nobody sends: the scheduled action is off, or has not run for too long."""
        cron = self.env.ref(CRON, raise_if_not_found=False)
        cron = cron and cron.sudo()
        late = now - timedelta(minutes=LATE_MINUTES)
        if cron and cron.active and (cron.lastcall or cron.create_date) >= late:
            return None
        if not cron or not cron.active:
            title = _("Nothing is sent: the scheduled action is off")
            text = _("Ask an administrator to switch “SICANTIK: Process Notification Queue” on.")
        else:
            title = _("Nothing is sent: the scheduled action does not run")
            text = _(
                "“SICANTIK: Process Notification Queue” has not run for more than %s minutes. Ask whoever "
                "runs the server whether its scheduled actions work.",
                LATE_MINUTES,
            )
        action = False
        if self.env.user.has_group("base.group_system"):
            action = open_list(_("Scheduled Actions"), "ir.cron", [("name", "=like", "SICANTIK:%")])
            action["context"] = {"active_test": False}
        return {"key": "cron", "level": "danger", "title": title, "text": text, "action": action}
