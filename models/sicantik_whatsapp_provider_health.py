from datetime import timedelta

from odoo import _, api, fields, models
from odoo.tools.misc import format_datetime

from .limits import DAY

RATE_MINUTES = 5
LOG = "sicantik.notification.log"


class SicantikWhatsappProviderHealth(models.AbstractModel):
    """How a provider is doing, for its form and its card: whether it takes messages, and how much of its
    limits is used. A number of queries that does not depend on how many providers or messages there are.
    """

    _name = "sicantik.whatsapp.provider.health"
    _description = "WhatsApp Provider Health"

    health = fields.Selection(
        [
            ("ready", "Takes Messages"),
            ("untested", "Not Tested"),
            ("resting", "Resting"),
            ("full", "Daily Limit Reached"),
            ("refusing", "Refuses Messages"),
            ("off", "Switched Off"),
        ],
        compute="_compute_health",
    )
    health_text = fields.Char(string="What That Means", compute="_compute_health")
    used_count = fields.Integer(
        string="Used of the Daily Limit",
        compute="_compute_used_count",
        help="Messages in the last 24 hours that count towards the daily limit.",
    )
    reached_count = fields.Integer(
        string="Used of the Messaging Limit",
        compute="_compute_used_count",
        help="People who were written to first in the last 24 hours.",
    )
    sent_count = fields.Integer(
        string="Sent (24 h)",
        compute="_compute_traffic",
        help="Messages that it accepted in the last 24 hours.",
    )
    failed_count = fields.Integer(
        string="Refused (24 h)",
        compute="_compute_traffic",
        help="Attempts of the last 24 hours that did not succeed.",
    )
    rate_now = fields.Float(
        string="Per Minute",
        digits=(16, 1),
        compute="_compute_traffic",
        help="Messages per minute, on an average of the last five minutes.",
    )
    last_event_date = fields.Datetime(
        string="Last Webhook",
        compute="_compute_last_event_date",
        help="When the service called the webhook last. Events are kept for 8 days.",
    )

    @api.depends("active", "credential_state", "daily_limit", "used_count")
    def _compute_health(self):
        for provider in self:
            provider.health, provider.health_text = provider._find_health()

    def _find_health(self):
        """Say in a word and a sentence whether messages go through this provider at present.

        :return: one of `health`, and the sentence
        :rtype: tuple[str, str]
        """
        if not self.active:
            return "off", _("It is archived: nothing goes through it.")
        if self.probe_date:
            return "refusing", _(
                "Messages go to the next provider or wait. One is tried again at %s.",
                format_datetime(self.env, self.probe_date),
            )
        if self.credential_state == "error":
            return "refusing", _("It cannot be used. Put it right, then press “Test Connection”.")
        if self.credential_state != "configured":
            return "untested", _("It is not used before “Test Connection” has succeeded.")
        if self.paused_until:
            return "resting", _(
                "The service has asked to slow down: messages wait until %s.",
                format_datetime(self.env, self.paused_until),
            )
        if 0 < self.daily_limit <= self.used_count:
            return "full", _("Messages go to the next provider with room, or wait.")
        return "ready", _("Messages go through it.")

    def _compute_used_count(self):
        now = fields.Datetime.now()
        limited = self.filtered(lambda one: one.daily_limit > 0)
        subjects = {f"provider:{provider.id}": provider.id for provider in limited}
        used = {}
        if subjects:
            groups = (
                self.env["sicantik.notification.usage"]
                .sudo()
                ._read_group(
                    [("subject", "in", list(subjects)), ("bucket", ">", now - timedelta(seconds=DAY))],
                    ["subject"],
                    ["count:sum"],
                )
            )
            used = {subjects[subject]: count or 0 for subject, count in groups}
        reached = self.env["sicantik.whatsapp.pair"].sudo()._reached(self, now)
        for provider in self:
            provider.used_count = used.get(provider.id, 0)
            provider.reached_count = reached.get(provider.id, (0, 0))[0]

    def _compute_traffic(self):
        now = fields.Datetime.now()
        log = self.env[LOG]
        day = [("provider_id", "in", self.ids), ("create_date", ">=", now - timedelta(days=1))]
        counts = {
            (provider.id, state): count
            for provider, state, count in log._read_group(day, ["provider_id", "state"], ["__count"])
        }
        latest = [
            ("provider_id", "in", self.ids),
            ("state", "=", "sent"),
            ("create_date", ">=", now - timedelta(minutes=RATE_MINUTES)),
        ]
        recent = dict(log._read_group(latest, ["provider_id"], ["__count"]))
        for provider in self:
            provider.sent_count = counts.get((provider.id, "sent"), 0)
            provider.failed_count = counts.get((provider.id, "failed"), 0)
            provider.rate_now = recent.get(provider, 0) / RATE_MINUTES

    def _compute_last_event_date(self):
        """Read the newest event of each; there may be millions, which a maximum would read all."""
        self.env["sicantik.whatsapp.event"].flush_model(["provider_id", "create_date"])
        self.env.cr.execute(
            """
            SELECT provider.id, event.create_date
              FROM unnest(%s::int[]) AS provider (id), LATERAL (
                       SELECT create_date FROM sicantik_whatsapp_event
                        WHERE provider_id = provider.id ORDER BY id DESC LIMIT 1
                   ) AS event
            """,
            [self.ids],
        )
        last = dict(self.env.cr.fetchall())
        for provider in self:
            provider.last_event_date = last.get(provider._origin.id, False)

    # === WHAT THE CONNECTION TEST FOUND ===#

    @api.model
    def _fact_labels(self):
        """Name the facts that services tell in a connection test (`providers.Report.details`)."""
        return {
            "account": _("Account"),
            "account_name": _("Account"),
            "active_until": _("Number valid until"),
            "device": _("Device"),
            "device_status": _("Device status"),
            "display_phone_number": _("Number"),
            "engine": _("Engine"),
            "expired": _("Valid until"),
            "expires_on": _("Account valid until"),
            "friendly_name": _("Account"),
            "name": _("Name"),
            "number": _("Number"),
            "package": _("Package"),
            "plan": _("Package"),
            "quality_rating": _("Quality"),
            "quota": _("Messages left"),
            "session": _("Session"),
            "status": _("Status"),
            "type": _("Kind of account"),
            "verified_name": _("Name"),
            "wa_number": _("Number"),
        }

    @api.model
    def _describe(self, details):
        """Write the facts of a connection test as people read them.

        :param dict details: facts by the services' names for them
        :return: lines `label: fact`
        :rtype: str
        """
        labels = self._fact_labels()
        return "\n".join(f"{labels.get(name, name)}: {fact}" for name, fact in details.items())
