from collections import Counter
from datetime import datetime, time, timedelta

import pytz

from odoo import _, api, fields, models
from odoo.tools import SQL
from odoo.tools.misc import get_lang

from .company_time import find_zone, local_time
from .road import EMAIL
from .sicantik_notification_access import MANAGER

# How far back the charts go, and the reasons.
DAYS = 14
HOURS = 24
REASON_DAYS = 7
# Minutes over which the rate is measured.
RATE_MINUTES = 5
CAMPAIGNS = 20
PROVIDERS = 50
# Of these campaigns nothing leaves.
HELD = ("paused", "cancelled")
UNDER_WAY = ("running", "paused", "scheduled")

LOG = "sicantik.notification.log"
QUEUE = "sicantik.notification.queue"
SENT = [("state", "=", "sent"), ("delivery_state", "!=", "failed")]
# Their rows in the queue stay sent; those of other messages that are refused afterwards become failed.
RETURNED = [("state", "=", "sent"), ("delivery_state", "=", "failed"), ("channel", "=", EMAIL)]


class SicantikNotificationOverview(models.AbstractModel):
    """The numbers of the Overview page.

    What was *sent*, delivered and read comes from the log: the attempts that a provider accepted and did not
    refuse afterwards. What *failed* or was *skipped* comes from the queue: messages that ended so and were
    not sent since. So a message that failed at one provider and went out by the next one counts as sent only,
    and the list behind “Failed” is the list of what somebody may have to mend.

    Everything is read with the rights and companies of the user, in a number of queries that does not depend
    on how much there is.
    """

    _name = "sicantik.notification.overview"
    _description = "Notification Overview"

    def init(self):
        """What this page counts is found by date: sent messages in the log, ended ones without success, which
        are few, in the queue.
        """
        self.env.cr.execute(
            """
            CREATE INDEX IF NOT EXISTS sicantik_notification_log_time
                ON sicantik_notification_log (create_date);
            CREATE INDEX IF NOT EXISTS sicantik_notification_queue_unsent
                ON sicantik_notification_queue (error_class, write_date)
             WHERE state IN ('failed', 'skipped');
            """
        )

    # === THE PAGE ===#

    @api.model
    def get_data(self, history=True):
        """Give all that the page shows.

        Days are those of the current company's time zone. Moments are UTC, as the web client writes them.

        :param bool history: count the days of the whole chart; else those of yesterday and today only, which
            is all that changes quickly
        :return: `today` and `week_start` (dates), `days` and `hours` (one dict per bar: `from`, `to` and a
            number per series), `series` (per key the model, domain and date field of the list behind a
            number), `rate`, `queue`, `providers`, `campaigns`, `reasons`, `attention`, `steps` (False when
            there is nothing to show), `is_manager`, `zone`, `now`
        :rtype: dict
        :raise AccessError: the user is no notification user
        """
        self.env["sicantik.notification.access"]._check_user()
        zone = self._zone()
        now = fields.Datetime.now()
        local = local_time(now, zone)
        providers = self._providers(now)
        campaigns = self._campaigns()
        queue = self._queue(now)
        rate = self._rate(now)
        hours, reasons, returned = self._counts(zone, local, history)
        attention = self.env["sicantik.notification.attention"]
        steps = self.env["sicantik.notification.first.steps"]._steps(providers)
        week_start = local.date() - timedelta(days=(local.isoweekday() - self._week_start()) % 7)
        return {
            "now": fields.Datetime.to_string(now),
            "zone": zone.zone,
            "today": fields.Date.to_string(local.date()),
            "week_start": fields.Date.to_string(week_start),
            "series": self._series(),
            "days": self._days(zone, local, hours, DAYS if history else 2),
            "hours": self._hours(zone, local, hours),
            "rate": rate,
            "queue": queue,
            "providers": providers,
            "campaigns": campaigns,
            "reasons": reasons,
            "attention": attention._cards(now, providers, campaigns, queue, rate, returned, steps),
            "steps": steps,
            "is_manager": self.env.user.has_group(MANAGER),
        }

    @api.model
    def action_mend(self, reason):
        """Open what has to be changed so that the messages that ended for a reason go out.

        :param str reason: one of the `reason` of `get_data`
        :return: an action
        :rtype: dict
        :raise AccessError: the user is no notification user
        """
        self.env["sicantik.notification.access"]._check_user()
        zone = self._zone()
        since = self._reasons_since(zone, local_time(fields.Datetime.now(), zone))
        return self.env["sicantik.notification.mending"]._remedy(reason, since)

    # === TIME ===#

    @api.model
    def _zone(self):
        return find_zone(self.env.company._notification_tz())

    @api.model
    def _utc(self, zone, local):
        """Give the moment at which a clock shows a time; the first one, when it does so twice."""
        moment = zone.localize(local, is_dst=True).astimezone(pytz.utc).replace(tzinfo=None)
        return fields.Datetime.to_string(moment)

    @api.model
    def _week_start(self):
        """The first day of the week where the user's language is spoken, 1 for Monday."""
        return int(get_lang(self.env).week_start or 1)

    # === NUMBERS ===#

    @api.model
    def _series(self):
        """Give what is counted: for each kind of number the list of which it is the length.

        :return: {key: {"name", "model", "domain", "date_field"}}
        :rtype: dict
        """

        def series(name, model, domain, date_field):
            return {"name": name, "model": model, "domain": domain, "date_field": date_field}

        return {
            "sent": series(_("Sent"), LOG, SENT, "create_date"),
            "delivered": series(
                _("Delivered"),
                LOG,
                [("state", "=", "sent"), ("delivery_state", "in", ("delivered", "read"))],
                "create_date",
            ),
            "read": series(
                _("Read"), LOG, [("state", "=", "sent"), ("delivery_state", "=", "read")], "create_date"
            ),
            "failed": series(_("Failed"), QUEUE, [("state", "=", "failed")], "write_date"),
            "skipped": series(_("Skipped"), QUEUE, [("state", "=", "skipped")], "write_date"),
        }

    @api.model
    def _reasons_since(self, zone, local):
        """Give the moment from which on the reasons are counted: the first of the last days."""
        first = datetime.combine(local.date(), time()) - timedelta(days=REASON_DAYS - 1)
        return self._utc(zone, first)

    def _counts(self, zone, local, history):
        """Count what was sent and what was not, by hours.

        :param datetime local: the present, by the clocks of the zone
        :return: {hour by the clocks of the zone: Counter of the keys of `_series`}, the reasons, and the
            e-mails that came back since yesterday
        :rtype: tuple
        """
        midnight = datetime.combine(local.date(), time())
        days = (DAYS if history else 2) - 1
        hours = {}
        log = self.env[LOG].with_context(tz=zone.zone)
        since = self._utc(zone, midnight - timedelta(days=days))
        yesterday = midnight - timedelta(days=1)
        returned = {"count": 0, "domain": [*RETURNED, ("create_date", ">=", self._utc(zone, yesterday))]}
        for hour, delivery_state, channel, count in log._read_group(
            [("state", "=", "sent"), ("create_date", ">=", since)],
            ["create_date:hour", "delivery_state", "channel"],
            ["__count"],
        ):
            hour = hour.replace(tzinfo=None)
            if delivery_state == "failed":
                returned["count"] += count if channel == EMAIL and hour >= yesterday else 0
                continue
            counter = hours.setdefault(hour, Counter())
            counter["sent"] += count
            counter["delivered"] += count if delivery_state in ("delivered", "read") else 0
            counter["read"] += count if delivery_state == "read" else 0
        reasons = {}
        reasons_since = self._reasons_since(zone, local)
        since = self._utc(zone, midnight - timedelta(days=max(days, REASON_DAYS - 1)))
        queue = self.env[QUEUE].with_context(tz=zone.zone)
        for hour, state, reason, count in queue._read_group(
            [("state", "in", ("failed", "skipped")), ("write_date", ">=", since)],
            ["write_date:hour", "state", "error_class"],
            ["__count"],
        ):
            hour = hour.replace(tzinfo=None)
            hours.setdefault(hour, Counter())[state] += count
            if self._utc(zone, hour) >= reasons_since:
                reasons.setdefault(reason, Counter())[state] += count
        return hours, self.env["sicantik.notification.mending"]._reasons(reasons, reasons_since), returned

    def _days(self, zone, local, hours, days):
        per_day = {}
        for hour, counter in hours.items():
            per_day.setdefault(hour.date(), Counter()).update(counter)
        result = []
        for back in range(days - 1, -1, -1):
            day = local.date() - timedelta(days=back)
            start = datetime.combine(day, time())
            result.append(
                {
                    "date": fields.Date.to_string(day),
                    **self._bar(zone, start, start + timedelta(days=1), per_day.get(day, {})),
                }
            )
        return result

    def _hours(self, zone, local, hours):
        last = local.replace(minute=0, second=0, microsecond=0)
        return [
            {
                "hour": start.strftime("%H:%M"),
                **self._bar(zone, start, start + timedelta(hours=1), hours.get(start, {})),
            }
            for start in (last - timedelta(hours=back) for back in range(HOURS - 1, -1, -1))
        ]

    def _bar(self, zone, start, end, counter):
        return {
            "from": self._utc(zone, start),
            "to": self._utc(zone, end),
            **{key: counter.get(key, 0) for key in self._series_keys()},
        }

    @api.model
    def _series_keys(self):
        return ("sent", "delivered", "read", "failed", "skipped")

    def _rate(self, now):
        since = fields.Datetime.to_string(now - timedelta(minutes=RATE_MINUTES))
        count = self.env[LOG].search_count([*SENT, ("create_date", ">=", since)])
        return {"count": count, "minutes": RATE_MINUTES, "from": since}

    # === QUEUE ===#

    def _queue(self, now):
        """Count what waits: what is due and may leave, what is planned for later, what is under way."""
        moment = fields.Datetime.to_string(now)
        waiting = [
            ("state", "=", "pending"),
            ("held", "!=", True),
            "|",
            ("campaign_id", "=", False),
            ("campaign_id.state", "not in", HELD),
        ]
        processing = [("state", "=", "processing")]
        queue = self.env[QUEUE]
        queue.flush_model()
        query = queue._search(waiting)
        # Says what the domain says, in the words of the index of the claim.
        query.add_where("sicantik_notification_queue.held IS NOT TRUE")
        date = SQL.identifier(queue._table, "scheduled_date")
        due = SQL("%s <= %s", date, moment)
        self.env.cr.execute(
            query.select(
                SQL("count(*) FILTER (WHERE %s)", due),
                SQL("min(%s) FILTER (WHERE %s)", date, due),
                SQL("count(*)"),
            )
        )
        due_count, oldest, total = self.env.cr.fetchone()
        return {
            "due": {"count": due_count, "domain": [*waiting, ("scheduled_date", "<=", moment)]},
            "later": {"count": total - due_count, "domain": [*waiting, ("scheduled_date", ">", moment)]},
            "processing": {"count": queue.search_count(processing), "domain": processing},
            "oldest": fields.Datetime.to_string(oldest) if oldest else False,
            "oldest_seconds": max(0, int((now - oldest).total_seconds())) if oldest else 0,
        }

    # === PROVIDERS ===#

    def _providers(self, now):
        """Tell how providers stand; nothing secret is read."""
        found = self.env["sicantik.whatsapp.provider"].search([], limit=PROVIDERS)
        states = dict(found._fields["credential_state"]._description_selection(self.env))
        types = dict(found._fields["provider_type"]._description_selection(self.env))
        used = self._used(found, now)
        result = []
        for provider in found:
            circuit = fields.Datetime.to_string(provider.probe_date) if provider.probe_date else False
            paused = fields.Datetime.to_string(provider.paused_until) if provider.paused_until else False
            full = provider.daily_limit > 0 and used.get(provider.id, 0) >= provider.daily_limit
            level = "success"
            if circuit or provider.credential_state == "error":
                level = "danger"
            elif paused or full or provider.credential_state != "configured":
                level = "warning"
            result.append(
                {
                    "id": provider.id,
                    "name": provider.name,
                    "type": types[provider.provider_type],
                    "state": provider.credential_state,
                    "state_label": states[provider.credential_state],
                    "level": level,
                    "problem": provider.last_error_message or "",
                    "probe_date": circuit,
                    "paused_until": paused,
                    "daily_limit": provider.daily_limit,
                    "used": used.get(provider.id, 0) if provider.daily_limit > 0 else 0,
                }
            )
        return result

    def _used(self, providers, now):
        """Count what providers with a daily limit have sent in the last 24 hours.

        :return: {provider id: messages}
        :rtype: dict
        """
        subjects = {
            f"provider:{provider.id}": provider.id for provider in providers if provider.daily_limit > 0
        }
        groups = (
            self.env["sicantik.notification.usage"]
            .sudo()
            ._read_group(
                [("subject", "in", list(subjects)), ("bucket", ">", now - timedelta(days=1))],
                ["subject"],
                ["count:sum"],
            )
        )
        return {subjects[subject]: count or 0 for subject, count in groups}

    # === CAMPAIGNS ===#

    def _campaigns(self):
        found = self.env["sicantik.notification.campaign"].search(
            [("state", "in", UNDER_WAY)], limit=CAMPAIGNS
        )
        labels = dict(found._fields["state"]._description_selection(self.env))
        return [
            {
                "id": campaign.id,
                "name": campaign.name,
                "state": campaign.state,
                "state_label": labels[campaign.state],
                "reason": campaign.state_reason or "" if campaign.state == "paused" else "",
                "scheduled_date": fields.Datetime.to_string(campaign.scheduled_date)
                if campaign.scheduled_date
                else False,
                "progress": round(campaign.progress_percentage, 1),
                "targets": campaign.total_targets,
                "sent": campaign.total_sent,
                "failed": campaign.total_failed,
                "skipped": campaign.total_skipped,
                "cancelled": campaign.total_cancelled,
                "pending": campaign.total_pending,
            }
            for campaign in found
        ]
