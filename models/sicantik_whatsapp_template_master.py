import json
import re

from odoo import _, api, fields, models
from odoo.exceptions import ValidationError

from ..providers import parameters
from .copying import with_free_names

META_PREFIX = "meta_"
STATUSES = [
    ("draft", "Draft"),
    ("configured", "Configured"),
    ("approved", "Approved"),
    ("rejected", "Rejected"),
]
USABLE_STATUSES = ("configured", "approved")


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

    _sql_constraints = [
        ("template_key_unique", "UNIQUE (template_key)", "Another template has this key already."),
    ]

    @api.depends("template_key", "name")
    def _compute_display_name(self):
        for template in self:
            template.display_name = f"{template.name} ({template.template_key})"

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
                        "Add it to the list.",
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
        try:
            names = json.loads(self.parameter_list or "[]")
        except ValueError:
            names = None
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise ValidationError(
                _(
                    "The parameters of “%s” must be a JSON list of names, such as "
                    '["partner_name", "permit_number"].',
                    self.template_key,
                )
            )
        return names

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
