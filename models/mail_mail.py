from odoo import models


class MailMail(models.Model):
    _inherit = "mail.mail"

    def _postprocess_sent_message(self, success_pids, *args, **kwargs):
        """Tell the notification log which mails the mail server took; here, because they may be deleted right
        after.
        """
        problem, reason = kwargs.get("failure_type"), kwargs.get("failure_reason")
        if problem:
            labels = dict(self._fields["failure_type"]._description_selection(self.env))
            problem = labels.get(problem, problem)
            problem = ": ".join(filter(None, [problem, " ".join(str(reason or "").split())[:300]]))
        self.env["sicantik.notification.mail"]._note_outcome(self.sudo().mapped("message_id"), problem)
        return super()._postprocess_sent_message(success_pids, *args, **kwargs)
