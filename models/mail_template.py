from odoo import api, models

# The context key under which e-mails of notifications are given their time zone.
TZ_KEY = "sicantik_notification_tz"


class MailTemplate(models.Model):
    _inherit = "mail.template"

    @api.model
    def _render_eval_context(self):
        """Show times as the company has them where a template names no time zone.

        Odoo takes the time zone of the user; nobody's is right for what the scheduled action writes.
        """
        context = super()._render_eval_context()
        zone = self.env.context.get(TZ_KEY)
        if zone:
            for name in ("format_datetime", "format_time"):
                context[name] = self._in_zone(context[name], zone)
        return context

    @api.model
    def _in_zone(self, shown, zone):
        return lambda moment, tz=False, *args, **kwargs: shown(moment, tz or zone, *args, **kwargs)
