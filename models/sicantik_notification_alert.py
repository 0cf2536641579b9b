from odoo import api, models

from ..compat import group_users
from .sicantik_notification_access import MANAGER


class SicantikNotificationAlert(models.AbstractModel):
    """Who is told when something needs a person: a provider that refuses, a template that Meta has paused."""

    _name = "sicantik.notification.alert"
    _description = "Notification Alert"

    @api.model
    def _managers(self, company=None):
        """Give the notification managers who are at work here.

        :param company: only those who may work for this company: others would not see what they are told of
        """
        managers = group_users(self.env.ref(MANAGER).sudo())
        managers = managers.filtered(lambda user: user.active and not user.share)
        return managers.filtered(lambda user: company in user.company_ids) if company else managers

    @api.model
    def _users(self, company=None):
        """Give who is told: for each company those whom its settings name, else all its managers.

        :param company: the company that is concerned; none: all of them
        :return: users, all of them notification managers
        """
        told = self.env["res.users"].sudo()
        for one in company or self.env["res.company"].sudo().search([]):
            managers = self._managers(one)
            told |= one.sudo().whatsapp_alert_user_ids & managers or managers
        return told
