from . import controllers, models, wizards


def uninstall_hook(env):
    """Take away what `models/unchecked.py` has put on tables that stay."""
    env.cr.execute("DROP FUNCTION IF EXISTS sicantik_forget_deleted() CASCADE")
