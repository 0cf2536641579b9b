import json
import re
from collections import Counter

from odoo import _, api, fields, models
from odoo.exceptions import UserError, ValidationError

from ..compat import check_access
from ..providers import parameters
from .copying import with_free_names
from .opening import open_dialog, open_list
from .template_samples import SAMPLES

META_PREFIX = "meta_"
STATUSES = [
    ("draft", "Draft"),
    ("configured", "Configured"),
    ("approved", "Approved"),
    ("rejected", "Rejected"),
]
USABLE_STATUSES = ("configured", "approved")
# A campaign in these states sends nothing any more.
ENDED = ("completed", "cancelled")


class SicantikWhatsappTemplateMaster(models.Model):
    """One text for all providers, with named placeholders, and what each provider calls it."""

    _name = "sicantik.whatsapp.template.master"
    _description = "WhatsApp Master Template"
    _inherit = ["mail.thread", "mail.activity.mixin"]
    _order = "template_key"
    _rec_names_search = ["template_key", "name"]

    template_key = fields.Char(required=True, copy=False)
    name = fields.Char(required=True, translate=True)
    description = fields.Text(translate=True)
    body_preview = fields.Text(
        string="Text", required=True, help="The text, with placeholders such as {{partner_name}}."
    )
    parameter_list = fields.Text(
        string="Parameters",
        default="[]",
        help="Names of the placeholders in the order in which Meta numbers them, as a JSON list: "
        '["partner_name", "permit_number"]',
    )
    sample_values = fields.Text(
        copy=True,
        help="Values that the preview and test messages show for the parameters, as a JSON object. "
        "A parameter that is not in it shows the usual example.",
    )
    known_samples = fields.Text(compute="_compute_known_samples")
    unused_parameters = fields.Char(
        compute="_compute_unused_parameters",
        store=True,
        help="Parameters of the list that the text does not use. Meta refuses messages that bring more "
        "parameters than its template has.",
    )
    language = fields.Char(required=True, default="id", help="Language code at Meta: id, en_US, …")
    category = fields.Selection(
        [("utility", "Utility"), ("marketing", "Marketing"), ("authentication", "Authentication")],
        required=True,
        default="utility",
    )
    meta_template_name = fields.Char(string="Meta Name", help="Name of the approved template at Meta.")
    meta_status = fields.Selection(
        [*STATUSES, ("paused", "Paused")], default="draft", required=True, tracking=True
    )
    # As Meta writes them; see `sicantik.whatsapp.template.sync`.
    meta_remote_status = fields.Char(string="Status at Meta", readonly=True, copy=False, tracking=True)
    meta_reason = fields.Char(
        string="Reason at Meta", readonly=True, copy=False, help="Why Meta has rejected or paused it."
    )
    meta_category = fields.Char(string="Category at Meta", readonly=True, copy=False)
    meta_quality = fields.Char(string="Quality at Meta", readonly=True, copy=False)
    fonnte_template_id = fields.Char(
        string="Fonnte Variables",
        help="Set it when Fonnte is to fill in its own variables ({var1}, {var2}, …) instead of being "
        "sent the finished text.",
    )
    fonnte_status = fields.Selection(STATUSES, default="draft", required=True)
    watzap_template_id = fields.Char(
        string="Watzap ID", help="For your reference: Watzap is sent the rendered text."
    )
    watzap_status = fields.Selection(STATUSES, default="draft", required=True)
    twilio_content_sid = fields.Char(
        string="Twilio Content SID",
        help="The approved content template at Twilio (HX…); its variables 1, 2, … are the parameters in "
        "their order. Empty: Twilio is sent the text, which it takes only within 24 hours of the recipient's "
        "last message.",
    )
    active = fields.Boolean(default=True)

    # Where it is used
    rule_count = fields.Integer(string="Rules", compute="_compute_uses")
    campaign_count = fields.Integer(string="Campaigns", compute="_compute_uses")
    waiting_count = fields.Integer(string="Waiting Messages", compute="_compute_waiting_count")
    is_used = fields.Boolean(string="Used", compute="_compute_uses", search="_search_is_used")
    has_meta_account = fields.Boolean(compute="_compute_has_meta_account")

    _sql_constraints = [
        ("template_key_unique", "UNIQUE (template_key)", "Another template has this key already."),
    ]

    @api.depends("template_key", "name")
    def _compute_display_name(self):
        for template in self:
            key = template.template_key
            template.display_name = f"{template.name} ({key})" if key else template.name

    def _compute_known_samples(self):
        """Give the usual examples, the same for all templates: what is being typed is shown with them."""
        self.known_samples = json.dumps(SAMPLES, ensure_ascii=False)

    @api.depends("body_preview", "parameter_list")
    def _compute_unused_parameters(self):
        for template in self:
            used = parameters.names_in(template.body_preview or "")
            listed = self._names_of(template.parameter_list) or []
            template.unused_parameters = ", ".join(name for name in listed if name not in used) or False

    def _compute_uses(self):
        """Count rules and campaigns with a template's key, with and without Meta's prefix: both find it."""
        rules = self._count_by_key("sicantik.notification.rule", [])
        campaigns = Counter(
            self._count_by_key("sicantik.notification.campaign", [("state", "not in", ENDED)])
        )
        for rule, count in self.env["sicantik.notification.campaign"]._read_group(
            [
                ("state", "not in", ENDED),
                ("template_key", "=", False),
                ("rule_id.template_key", "in", self._families()),
            ],
            ["rule_id"],
            ["__count"],
        ):
            campaigns[rule.template_key] += count
        for template in self:
            keys = template._family()
            template.rule_count = sum(rules.get(key, 0) for key in keys)
            template.campaign_count = sum(campaigns.get(key, 0) for key in keys)
            template.is_used = bool(template.rule_count or template.campaign_count)

    def _compute_waiting_count(self):
        waiting = self._count_by_key("sicantik.notification.queue", [("state", "=", "pending")])
        for template in self:
            template.waiting_count = sum(waiting.get(key, 0) for key in template._family())

    def _compute_has_meta_account(self):
        providers = self.env["sicantik.whatsapp.provider"]
        self.has_meta_account = bool(providers.search_count([("provider_type", "=", "meta")], limit=1))

    @api.model
    def _search_is_used(self, operator, value):
        wanted = value if isinstance(value, bool) else True in value
        if operator in ("!=", "not in"):
            wanted = not wanted
        rules = self.env["sicantik.notification.rule"]._read_group(
            [("template_key", "!=", False)], ["template_key"]
        )
        campaigns = self.env["sicantik.notification.campaign"]._read_group(
            [("template_key", "!=", False), ("state", "not in", ENDED)], ["template_key"]
        )
        plain = {key.removeprefix(META_PREFIX) for (key,) in rules + campaigns}
        keys = sorted(plain | {META_PREFIX + key for key in plain})
        return [("template_key", "in" if wanted else "not in", keys)]

    @api.constrains("template_key")
    def _check_template_key(self):
        for template in self:
            if not re.fullmatch(r"[A-Za-z0-9_]+", template.template_key or ""):
                raise ValidationError(
                    _("The key “%s” may have letters, digits and underscores only.", template.template_key)
                )

    @api.constrains("parameter_list", "body_preview")
    def _check_parameter_list(self):
        for template in self:
            names = template._parameter_names()
            missing = [name for name in parameters.names_in(template.body_preview or "") if name not in names]
            if missing:
                raise ValidationError(
                    _(
                        "The text of “%(template)s” uses %(names)s, which the parameter list does not name. "
                        "Add it to the list, or press “Take Parameters from the Text”.",
                        template=template.template_key,
                        names=", ".join(missing),
                    )
                )

    @api.constrains("body_preview")
    def _check_body_preview(self):
        for template in self:
            left = re.sub(r"\{\{\s*\w+\s*\}\}", "", template.body_preview or "")
            if "{{" in left or "}}" in left:
                raise ValidationError(
                    _(
                        "The text of “%s” has an incomplete placeholder. Write it as {{partner_name}}.",
                        template.template_key,
                    )
                )

    @api.constrains("sample_values")
    def _check_sample_values(self):
        for template in self:
            if template._own_samples() is None:
                raise ValidationError(
                    _(
                        "The sample values of “%s” must be a JSON object of texts, such as "
                        '{"partner_name": "Siti"}.',
                        template.template_key,
                    )
                )

    @api.model_create_multi
    def create(self, vals_list):
        return super().create([self._usable_at_meta(self._prepare_vals(vals)) for vals in vals_list])

    def write(self, vals):
        vals = self._prepare_vals(vals)
        if any(template.meta_template_name != vals.get("meta_template_name") for template in self):
            vals = self._usable_at_meta(vals)
        return super().write(vals)

    def copy_data(self, default=None):
        return with_free_names(self, "template_key", super().copy_data(default), default)

    @api.model
    def _prepare_vals(self, vals):
        """Take `parameter_list` as a list too."""
        if isinstance(vals.get("parameter_list"), list | tuple):
            vals = {**vals, "parameter_list": json.dumps(list(vals["parameter_list"]))}
        return vals

    @api.model
    def _usable_at_meta(self, vals):
        """A new name at Meta without a status is configured (contract, section 7)."""
        if vals.get("meta_template_name") and "meta_status" not in vals:
            vals = {**vals, "meta_status": "configured"}
        return vals

    def _parameter_names(self):
        """Read the parameter list.

        :return: the names, in the order in which Meta numbers them
        :rtype: list[str]
        :raise ValidationError: the list is not a JSON list of names
        """
        self.ensure_one()
        names = self._names_of(self.parameter_list)
        if names is None:
            raise ValidationError(
                _(
                    "The parameters of “%s” must be a JSON list of names, such as "
                    '["partner_name", "permit_number"].',
                    self.template_key,
                )
            )
        return names

    @api.model
    def _names_of(self, parameter_list):
        """Read a parameter list: the names, None when it is not a JSON list of names."""
        try:
            names = json.loads(parameter_list or "[]")
        except ValueError:
            return None
        return names if isinstance(names, list) and all(isinstance(name, str) for name in names) else None

    def _own_samples(self):
        """Read the template's own sample values: {name: text}, None when they are not that."""
        try:
            samples = json.loads(self.sample_values or "{}")
        except ValueError:
            return None
        is_texts = isinstance(samples, dict) and all(isinstance(one, str) for one in samples.values())
        return samples if is_texts else None

    def _samples(self):
        """Give a value for each parameter, to show the template without a real message.

        :return: {parameter: text}, in the order of the list: the template's own sample, the usual one, or the
            parameter's name in brackets
        :rtype: dict
        """
        self.ensure_one()
        own = self._own_samples() or {}
        return {
            name: own.get(name) or SAMPLES.get(name) or f"[{name}]"
            for name in self._names_of(self.parameter_list) or []
        }

    def _family(self):
        """Give the keys under which this template is found: its own, and with or without Meta's prefix."""
        self.ensure_one()
        plain = (self.template_key or "").removeprefix(META_PREFIX)
        return [plain, META_PREFIX + plain] if plain else []

    def _families(self):
        return sorted({key for template in self for key in template._family()})

    def _count_by_key(self, model, domain):
        """Count records with the keys of these templates that the user may see: {key: count}, one query."""
        domain = [*domain, ("template_key", "in", self._families())]
        return dict(self.env[model]._read_group(domain, ["template_key"], ["__count"]))

    def _is_usable_at_meta(self):
        """Tell whether Meta can be asked for this template: it has a name there and was not turned down."""
        self.ensure_one()
        return bool(self.meta_template_name) and self.meta_status in USABLE_STATUSES

    @api.model
    def _by_key(self, keys):
        """Look templates up by key, with the Meta variants of the keys (seed 2, section 6.3).

        :param keys: template keys, with or without the `meta_` prefix
        :return: {key: template} of what exists, also for `meta_<key>` and the key without its prefix
        :rtype: dict
        """
        plain = {key.removeprefix(META_PREFIX) for key in keys if key}
        wanted = {key for key in keys if key} | plain | {META_PREFIX + key for key in plain}
        return {
            template.template_key: template
            for template in self.with_context(active_test=True).search([("template_key", "in", list(wanted))])
        }

    # === ACTIONS ===#

    def action_open_rules(self):
        """Open the rules that send this template."""
        domain = [("template_key", "in", self._family())]
        return open_list(_("Rules"), "sicantik.notification.rule", domain)

    def action_open_campaigns(self):
        """Open the campaigns that send it: as their own template, or as their rule's."""
        domain = [
            ("state", "not in", ENDED),
            "|",
            ("template_key", "in", self._family()),
            "&",
            ("template_key", "=", False),
            ("rule_id.template_key", "in", self._family()),
        ]
        return open_list(_("Campaigns"), "sicantik.notification.campaign", domain)

    def action_open_waiting(self):
        """Open the messages with this template that have not left yet."""
        domain = [("template_key", "in", self._family()), ("state", "=", "pending")]
        return open_list(_("Waiting Messages"), "sicantik.notification.queue", domain)

    def action_send_test(self):
        """Open the dialog that sends one message with this template.

        :raise AccessError: the user is no notification user
        """
        self.ensure_one()
        self.env["sicantik.notification.access"]._check_user()
        return open_dialog(
            _("Test Send"),
            "sicantik.notification.test.wizard",
            context={
                "default_template_key": self.template_key,
                "default_context_values": json.dumps(self._samples(), ensure_ascii=False, indent=2),
            },
        )

    @api.model
    def action_sync_from_meta(self):
        """Read from Meta how the templates stand, at all its accounts.

        :raise AccessError: the user is no manager
        :raise UserError: there is no account of Meta
        """
        check_access(self.browse(), "write")
        accounts = self.env["sicantik.whatsapp.provider"].search([("provider_type", "=", "meta")])
        if not accounts:
            raise UserError(
                _("There is no WhatsApp account of Meta. Create one in WhatsApp › Configuration first.")
            )
        return accounts.action_sync_templates()
