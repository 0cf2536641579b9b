from odoo import models


class MailMail(models.Model):
    _inherit = "mail.mail"

    def _postprocess_sent_message(self, success_pids, *args, **kwargs):
        """Tell the notification log which mails the mail server took; here, because they may be deleted right
        after.
        """
        failure_type = kwargs.get("failure_type")
        labels = dict(self._fields["failure_type"]._description_selection(self.env)) if failure_type else {}
        self.env["sicantik.notification.mail"]._note_outcome(
            self.sudo().mapped("message_id"), labels.get(failure_type, failure_type)
        )
        return super()._postprocess_sent_message(success_pids, *args, **kwargs)
