import secrets
from datetime import timedelta

from odoo import _, api, fields, models
from odoo.exceptions import UserError

from ..compat import check_access
from ..providers import PROVIDERS, Account, provider_for
from .opening import open_list
from .road import Sender
from .sicantik_notification_access import MANAGER

# What takes part in the connection: a change makes the last test worthless.
CONNECTION_FIELDS = ("provider_type", "base_url", "api_token", "sender_id", "account_id", "api_version")

# Names of templates that a message to the user lists.
NAMES_SHOWN = 10


class SicantikWhatsappProvider(models.Model):
    """An account at a WhatsApp service: credentials, limits, health. The wire itself is in `providers/`."""

    _name = "sicantik.whatsapp.provider"
    _description = "WhatsApp Provider"
    _inherit = ["mail.thread", "mail.activity.mixin", "sicantik.whatsapp.provider.health"]
    _order = "sequence, id"

    name = fields.Char(required=True)
    provider_type = fields.Selection(
        [
            ("meta", "Meta WhatsApp"),
            ("fonnte", "Fonnte"),
            ("watzap", "Watzap"),
            ("twilio", "Twilio"),
            ("waha", "WAHA"),
        ],
        required=True,
    )
    sequence = fields.Integer(default=10)
    active = fields.Boolean(default=True)
    company_id = fields.Many2one("res.company", index=True, help="Empty: used for every company.")

    # State of the connection
    credential_state = fields.Selection(
        [("draft", "Not Tested"), ("configured", "Configured"), ("error", "Error")],
        string="Status",
        default="draft",
        required=True,
        copy=False,
        tracking=True,
    )
    last_error_message = fields.Text(readonly=True, copy=False)
    tested_date = fields.Datetime(string="Last Test", readonly=True, copy=False)
    account_facts = fields.Text(
        string="The Service Says", readonly=True, copy=False, help="What the last connection test has found."
    )
    probe_date = fields.Datetime(
        string="Tried Again At",
        compute="_compute_standing",
        help="Messages were refused several times in a row, so they go elsewhere or wait. One is tried then.",
    )
    paused_until = fields.Datetime(
        compute="_compute_standing", help="The service has asked to slow down until then."
    )

    # Connection
    base_url = fields.Char(
        string="Service Address",
        compute="_compute_base_url",
        store=True,
        readonly=False,
        help="Without the version of the API. Empty: the address of the real service. "
        "WAHA: the address of your own server.",
    )
    api_token = fields.Char(
        string="API Token",
        groups=MANAGER,
        copy=False,
        help="Meta: access token. Fonnte: device token. Watzap: api_key. Twilio: auth token. WAHA: API key.",
    )
    # Watzap's number_key is as secret as a token.
    sender_id = fields.Char(
        groups=MANAGER,
        help="Meta: phone number id. Fonnte: device (optional). Watzap: number_key. "
        "Twilio: the WhatsApp number. WAHA: session (empty: default).",
    )
    account_id = fields.Char(help="Meta: id of the WhatsApp Business account. Twilio: account SID.")
    api_version = fields.Char(string="API Version", help="Meta only, such as v23.0. Empty: the built-in one.")
    app_secret = fields.Char(
        groups=MANAGER,
        copy=False,
        help="Meta: the app's secret. WAHA: the webhook's HMAC key. Without it every webhook is refused. "
        "Several, separated by blanks, hold while one is exchanged for another.",
    )
    verify_token = fields.Char(
        groups=MANAGER, copy=False, help="Any word of your own: Meta asks for it when the webhook is entered."
    )
    webhook_token = fields.Char(
        groups=MANAGER, copy=False, readonly=True, default=lambda self: self._default_webhook_token()
    )
    webhook_url = fields.Char(compute="_compute_webhook_url", groups=MANAGER)

    # Limits
    rate_per_second = fields.Float(help="Messages per second at most; 0: no limit.")
    daily_limit = fields.Integer(help="Messages in any 24 hours at most; 0: no limit.")
    min_delay_seconds = fields.Float(
        string="Minimum Delay (s)",
        help="Seconds between two messages at least; up to a quarter more, at random.",
    )
    messaging_limit = fields.Integer(
        help="Meta's messaging limit: how many people may be written to first in any 24 hours "
        "(250, 2000, 10000, 100000); 0: no limit.",
    )
    on_interrupted = fields.Selection(
        [("hold", "Hold for a person to decide"), ("resend", "Send again")],
        string="When the Outcome Is Unknown",
        default="hold",
        required=True,
        help="What happens to a message whose sending was interrupted, so that nobody knows whether it left.",
    )

    _sql_constraints = [
        (
            "limits_not_negative",
            "CHECK (rate_per_second >= 0 AND daily_limit >= 0 AND min_delay_seconds >= 0"
            " AND messaging_limit >= 0)",
            "A limit cannot be negative. Enter 0 for none.",
        ),
    ]

    @api.model
    def _default_webhook_token(self):
        return secrets.token_urlsafe(24)

    @api.depends("provider_type")
    def _compute_base_url(self):
        """Offer the address of the real service; an address that somebody entered stays."""
        real = {provider_type: adapter.default_base_url for provider_type, adapter in PROVIDERS.items()}
        for provider in self:
            if not provider.base_url or provider.base_url in real.values():
                provider.base_url = real.get(provider.provider_type) or False

    @api.depends("webhook_token")
    def _compute_webhook_url(self):
        base = self.env["ir.config_parameter"].sudo().get_param("web.base.url", "")
        for provider in self:
            provider.webhook_url = (
                provider.id
                and provider.webhook_token
                and f"{base}/sicantik/webhook/{provider.id}/{provider.webhook_token}"
            )

    def _compute_standing(self):
        standing = self.env["sicantik.notification.allowance"].sudo()._standing(self.ids)
        for provider in self:
            paused_until, probe_date = standing.get(provider.id, (None, None))
            provider.paused_until = paused_until and paused_until.replace(microsecond=0)
            provider.probe_date = probe_date and probe_date.replace(microsecond=0)

    @api.model_create_multi
    def create(self, vals_list):
        for vals in vals_list:
            if vals.get("base_url"):
                vals["base_url"] = vals["base_url"].strip().rstrip("/")
        return super().create(vals_list)

    def write(self, vals):
        """Changed credentials are untested ones, unless the same write says how they are."""
        vals = dict(vals)
        if vals.get("base_url"):
            vals["base_url"] = vals["base_url"].strip().rstrip("/")
        if "credential_state" not in vals and any(
            name in vals and any(provider[name] != vals[name] for provider in self)
            for name in CONNECTION_FIELDS
        ):
            vals.update(credential_state="draft", last_error_message=False, account_facts=False)
            self.env["sicantik.whatsapp.circuit"].sudo()._reset(self)
        return super().write(vals)

    # === WHAT THE WIRE NEEDS ===#

    def _account(self):
        """Give the plain values that an adapter needs; the only way for a secret out of this model.

        :rtype: providers.Account
        """
        self.ensure_one()
        provider = self.sudo()
        webhook_url = provider.webhook_url or ""
        return Account(
            provider_type=provider.provider_type,
            base_url=provider.base_url or "",
            api_token=provider.api_token or "",
            sender_id=provider.sender_id or "",
            account_id=provider.account_id or "",
            api_version=provider.api_version or "",
            # A service refuses a message with an address that it cannot call.
            callback_url=webhook_url if webhook_url.startswith("https://") else "",
            app_secret=provider.app_secret or "",
            verify_token=provider.verify_token or "",
        )

    def _sender(self, paused_until=None, probe_date=None):
        """Give what the drain has to know.

        :param datetime paused_until: until when it rests; see `sicantik.notification.allowance`
        :param datetime probe_date: when it is tried again, while its circuit is open
        :rtype: road.Sender
        """
        self.ensure_one()
        return Sender(
            id=self.id,
            name=self.name,
            provider_type=self.provider_type,
            company_id=self.company_id.id or None,
            account=self._account(),
            on_interrupted=self.on_interrupted,
            rate_per_second=self.rate_per_second,
            min_delay_seconds=self.min_delay_seconds,
            daily_limit=self.daily_limit,
            messaging_limit=self.messaging_limit,
            probe_date=probe_date,
            paused_until=paused_until,
        )

    # === ACTIONS ===#

    def action_renew_webhook_url(self):
        """Make new secret addresses for the webhooks; whoever knows the old ones can do nothing with them."""
        check_access(self, "write")
        for provider in self:
            provider.webhook_token = self._default_webhook_token()

    def action_test_connection(self):
        """Ask the service whether it would take our messages; nothing is sent to anybody."""
        check_access(self, "write")
        # All are asked before anything is written: a drain may want what we write to.
        reports = {provider: provider._test_connection() for provider in self}
        for provider, report in reports.items():
            provider._take_report(report)
        failed = self.filtered(lambda provider: provider.credential_state != "configured")
        return {
            "type": "ir.actions.client",
            "tag": "display_notification",
            "params": {
                "type": "danger" if failed else "success",
                "title": _("Connection test"),
                "message": "\n".join(provider._report_text() for provider in self),
                "sticky": bool(failed),
                "next": {"type": "ir.actions.act_window_close"},
            },
        }

    def _test_connection(self):
        """Ask the service.

        :rtype: providers.Report
        """
        self.ensure_one()
        return provider_for(self._account()).test_connection()

    def _take_report(self, report):
        """Write what a connection test has found.

        A circuit that is open stays so when the test fails: the provider is tried again by itself.

        :param providers.Report report: what the service said
        """
        self.ensure_one()
        self.write(
            {
                "credential_state": "configured" if report.ok else "error",
                "last_error_message": False if report.ok else report.message,
                "account_facts": self._describe(report.details) or False,
                "tested_date": fields.Datetime.now(),
            }
        )
        if report.ok:
            self.env["sicantik.whatsapp.circuit"].sudo()._reset(self)

    def _report_text(self):
        """Say what the last connection test has found, on one line."""
        self.ensure_one()
        facts = "; ".join((self.account_facts or "").splitlines())
        parts = [self.last_error_message or _("the connection works."), facts and f"{facts}."]
        if not self.last_error_message and self.provider_type == "meta" and not self.account_id:
            parts.append(_("Enter the WhatsApp Business Account ID to synchronize templates too."))
        return f"{self.name}: {' '.join(part for part in parts if part)}"

    def action_sync_templates(self):
        """Read from Meta which templates there are and how they stand; nothing is sent to anybody."""
        check_access(self, "write")
        accounts = self.filtered(lambda provider: provider.provider_type == "meta")
        if not accounts:
            raise UserError(_("Only Meta keeps templates. Choose a WhatsApp account of Meta."))
        sync = self.env["sicantik.whatsapp.template.sync"].sudo()
        # All are asked before anything is written: a drain may want what we write to.
        lists = sync._read_lists(accounts)
        lines, failed = [], False
        for provider, found in lists.items():
            if isinstance(found, str):
                failed = True
                lines.append(f"{provider.name}: {found}")
                continue
            updated, missing, unknown = sync._sync(found)
            lines.append(
                _(
                    "%(account)s: %(updated)s templates updated, %(missing)s of ours missing at Meta, "
                    "%(unknown)s of Meta's unknown here.",
                    account=provider.name,
                    updated=len(updated),
                    missing=len(missing),
                    unknown=unknown,
                )
            )
            if missing:
                names = ", ".join(sorted(set(missing.mapped("meta_template_name")))[:NAMES_SHOWN])
                lines.append(_("Missing at Meta, by name or language: %s", names))
        return {
            "type": "ir.actions.client",
            "tag": "display_notification",
            "params": {
                "type": "danger" if failed else "success",
                "title": _("Template synchronization"),
                "message": "\n".join(lines),
                "sticky": True,
                "next": {"type": "ir.actions.act_window_close"},
            },
        }

    def action_open_log(self):
        """Open what went through this provider in the last 24 hours, and what it refused."""
        self.ensure_one()
        since = fields.Datetime.to_string(fields.Datetime.now() - timedelta(days=1))
        domain = [("provider_id", "=", self.id), ("create_date", ">=", since)]
        return open_list(_("Last 24 Hours"), "sicantik.notification.log", domain)

    def action_open_events(self):
        """Open what the service has told by its webhook."""
        self.ensure_one()
        return open_list(_("Webhook Events"), "sicantik.whatsapp.event", [("provider_id", "=", self.id)])
