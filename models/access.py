"""Who may call what by name: a method without an underscore can be called by RPC, by whoever can log in."""

from odoo import _
from odoo.exceptions import AccessError

USER = "sicantik_notification_automation.group_notification_user"
MANAGER = "sicantik_notification_automation.group_notification_manager"


def check_internal(env):
    """Refuse portal and public users.

    :raise AccessError: the user is neither the system nor an internal user
    """
    if not env.su and not env.user.has_group("base.group_user"):
        raise AccessError(_("Only internal users may do this."))


def check_user(env):
    """Refuse who has nothing to do with notifications.

    :raise AccessError: the user is neither the system nor a notification user
    """
    if not env.su and not env.user.has_group(USER):
        raise AccessError(
            _("Only notification users may do this. Ask an administrator for the access right.")
        )


def check_manager(env):
    """Refuse who may look at notifications but not run them as a whole.

    :raise AccessError: the user is neither the system nor a notification manager
    """
    if not env.su and not env.user.has_group(MANAGER):
        raise AccessError(
            _("Only notification managers may do this. Ask an administrator for the access right.")
        )
