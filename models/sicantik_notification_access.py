from odoo import _, api, models
from odoo.exceptions import AccessError

USER = "sicantik_notification_automation.group_notification_user"
MANAGER = "sicantik_notification_automation.group_notification_manager"


class SicantikNotificationAccess(models.AbstractModel):
    """Who may call what by name: a method without an underscore can be called by RPC by any user."""

    _name = "sicantik.notification.access"
    _description = "Access to Notifications"

    @api.model
    def _check_internal(self):
        """Refuse portal and public users.

        :raise AccessError: the user is neither the system nor an internal user
        """
        if not self.env.su and not self.env.user.has_group("base.group_user"):
            raise AccessError(_("Only internal users may do this."))

    @api.model
    def _check_user(self):
        """Refuse who has nothing to do with notifications.

        :raise AccessError: the user is neither the system nor a notification user
        """
        if not self.env.su and not self.env.user.has_group(USER):
            raise AccessError(
                _("Only notification users may do this. Ask an administrator for the access right.")
            )

    @api.model
    def _check_manager(self):
        """Refuse who may look at notifications but not run them as a whole.

        :raise AccessError: the user is neither the system nor a notification manager
        """
        if not self.env.su and not self.env.user.has_group(MANAGER):
            raise AccessError(
                _("Only notification managers may do this. Ask an administrator for the access right.")
            )
