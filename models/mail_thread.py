from odoo import _, api, models


class MailThread(models.AbstractModel):
    _inherit = "mail.thread"

    @api.model
    def _routing_handle_bounce(self, email_message, message_dict):
        """Tell the notification log of e-mails that came back."""
        message_ids = message_dict.get("bounced_msg_ids")
        if message_ids:
            self.env["sicantik.notification.mail"]._note_outcome(
                message_ids, _("The recipient's mail server has sent it back.")
            )
        return super()._routing_handle_bounce(email_message, message_dict)
