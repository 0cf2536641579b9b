from odoo import fields, models

from .sicantik_whatsapp_dispatcher import DEFAULT_PROVIDER


class ResConfigSettings(models.TransientModel):
    _inherit = "res.config.settings"

    whatsapp_default_provider_id = fields.Many2one(
        "sicantik.whatsapp.provider",
        string="Default Provider",
        config_parameter=DEFAULT_PROVIDER,
        domain="[('provider_type', '!=', 'meta')]",
        help="Tried first when Meta cannot take a message.",
    )
