from odoo import api, models

from ..compat import group_users
from .sicantik_notification_access import MANAGER


class SicantikNotificationAlert(models.AbstractModel):
    """Who is told when something needs a person: a provider that refuses, a template that Meta has paused."""

    _name = "sicantik.notification.alert"
    _description = "Notification Alert"

    @api.model
    def _managers(self):
        """Give the notification managers who are at work here."""
        return group_users(self.env.ref(MANAGER).sudo()).filtered(lambda user: user.active and not user.share)

    @api.model
    def _users(self, company=None):
        """Give who is told: for each company those whom its settings name, else all its managers.

        :param company: the company that is concerned; none: all of them
        :return: users, all of them notification managers
        """
        managers = self._managers()
        told = managers.browse()
        for one in company or self.env["res.company"].sudo().search([]):
            chosen = one.sudo().whatsapp_alert_user_ids & managers
            told |= chosen or managers.filtered(lambda user, one=one: one in user.company_ids)
        return told
