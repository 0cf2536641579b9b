from odoo import _, api, models

from .company_time import find_zone
from .limits import precise_now
from .road import NO_POLICY, URGENT, Wait
from .sending_window import next_allowed
from .sicantik_notification_queue import AT_ONCE

QUIET = "quiet_hours"


class SicantikNotificationQuiet(models.AbstractModel):
    """Quiet hours: messages that come due outside the sending hours leave when these begin.

    The hours are the rule's own, or the company's; the clock is the recipient's, or the company's. They move
    `scheduled_date`, and only to a later time: when a rule queues a message, and again when it is about to
    leave, since retries, limits and downtime move messages too. Urgent messages are exempt (their rule says
    so, or their priority, `URGENT`), and so is what a person sends by *Process Now* or *Test Send*. Only what
    goes to a phone is concerned.
    """

    _name = "sicantik.notification.quiet"
    _description = "Quiet Hours"

    @api.model
    def _move(self, rows, rule):
        """Move queue rows that a rule is about to make out of quiet hours.

        :param list[dict] rows: values of queue rows, with `scheduled_date` and `company_id`
        :param rule: the rule, in superuser mode
        """
        if rule.urgent or rule.quiet_hours == "none":
            return
        own = rule._sending_window()
        companies = {row["company_id"]: self.env["res.company"].browse(row["company_id"]) for row in rows}
        windows = {id_: own or company._cached_sending_window() for id_, company in companies.items()}
        if not any(windows.values()):
            return
        zones = {id_: company._notification_tz() for id_, company in companies.items()}
        partners = self.env["res.partner"].sudo()
        # One recordset, so that what has to be read is read for all of them together.
        recipients = partners.browse({row["partner_id"] for row in rows if row.get("partner_id")})
        clocks = {partner.id: partner.tz for partner in recipients}
        openings, reasons = Openings(), {}
        for row in rows:
            window = windows[row["company_id"]]
            if row["state"] != "pending" or not row.get("phone") or not window:
                continue
            zone = find_zone(clocks.get(row.get("partner_id")), zones[row["company_id"]])
            due = row["scheduled_date"]
            opening = openings[due, window, zone]
            if opening > due:
                if (window, zone) not in reasons:
                    reasons[window, zone] = self._reason(window, zone)
                row.update(scheduled_date=opening, error_class=QUIET, error_message=reasons[window, zone])

    @api.model
    def _waits(self, rows, rules, policies):
        """Find the messages that are due and have to wait for the end of quiet hours.

        :param list[Row] rows: claimed rows
        :param dict rules: {rule id: road.Rule}
        :param dict policies: {company id: Policy}
        :return: {row id: Wait}
        :rtype: dict
        """
        if self.env.context.get(AT_ONCE):
            return {}
        windows = {}
        for row in rows:
            window = self._window_of(row, rules.get(row.rule_id), policies.get(row.company_id, NO_POLICY))
            if window:
                windows[row.id] = window
        if not windows:
            return {}
        concerned = [row for row in rows if row.id in windows]
        clocks = self._clocks({row.partner_id for row in concerned if row.partner_id})
        now, openings, waits = precise_now(), Openings(), {}
        for row in concerned:
            zone = find_zone(clocks.get(row.partner_id), policies.get(row.company_id, NO_POLICY).zone)
            opening = openings[now, windows[row.id], zone]
            if opening > now:
                waits[row.id] = Wait(opening, self._reason(windows[row.id], zone), QUIET)
        return waits

    @api.model
    def _window_of(self, row, rule, policy):
        """Give the hours that hold for a claimed row; None when there are none."""
        if not row.phone or row.priority >= URGENT or (rule and rule.urgent):
            return None
        return policy.window if rule is None or rule.quiet_hours == "company" else rule.window

    def _clocks(self, partner_ids):
        """Read the time zones of partners: {partner id: name}."""
        partners = self.env["res.partner"].with_context(active_test=False)
        found = partners.search_fetch([("id", "in", list(partner_ids))], ["tz"])
        return {partner.id: partner.tz for partner in found}

    @api.model
    def _reason(self, window, zone):
        """Say in a sentence why a message waits."""
        start, end = (f"{minutes // 60:02}:{minutes % 60:02}" for minutes in (window.start, window.end))
        return _(
            "Quiet hours: messages leave between %(start)s and %(end)s (%(zone)s), on the days chosen for "
            "that. Process Now sends it at once.",
            start=start,
            end=end,
            zone=zone.zone,
        )


class Openings(dict):
    """Answers of `next_allowed` by its arguments: many messages are due at the same time in the same zone."""

    def __missing__(self, key):
        self[key] = next_allowed(*key)
        return self[key]
