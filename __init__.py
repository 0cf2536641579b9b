from . import controllers, models, wizards


def uninstall_hook(env):
    """Take away what `models/unchecked.py` has put on tables that stay, the rules' entries in Action menus,
    which nobody could open any more, and the activities that would keep their type from being deleted.
    """
    env["ir.actions.act_window"].search([("sicantik_rule_id", "!=", False)]).unlink()
    kind = env.ref("sicantik_notification_automation.mail_activity_type_trouble", raise_if_not_found=False)
    if kind:
        activities = env["mail.activity"].with_context(active_test=False)
        activities.search([("activity_type_id", "=", kind.id)]).unlink()
    env.cr.execute("DROP FUNCTION IF EXISTS sicantik_forget_deleted() CASCADE")
