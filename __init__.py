from . import controllers, models, wizards


def uninstall_hook(env):
    """Take away what `models/unchecked.py` has put on tables that stay, and the rules' entries in Action
    menus, which nobody could open any more.
    """
    env["ir.actions.act_window"].search([("sicantik_rule_id", "!=", False)]).unlink()
    env.cr.execute("DROP FUNCTION IF EXISTS sicantik_forget_deleted() CASCADE")
