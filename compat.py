"""What differs between Odoo 17 and the later versions that the same source runs on."""

import inspect

from odoo.tools.safe_eval import safe_eval

_NOCOPY = {"nocopy": True} if "nocopy" in inspect.signature(safe_eval).parameters else {}


def check_access(records, operation):
    """Check access rights and record rules of the user.

    :raise AccessError: the user may not do `operation` with all of `records`
    """
    if hasattr(records, "check_access"):
        records.check_access(operation)
    else:
        records.check_access_rights(operation)
        records.check_access_rule(operation)


def has_access(records, operation):
    """Tell whether the user has an access right to the model of an empty recordset."""
    if hasattr(records, "has_access"):
        return records.has_access(operation)
    return records.check_access_rights(operation, raise_exception=False)


def group_users(group):
    """Give the users of a group, those included who have it through another group."""
    return group["all_user_ids" if "all_user_ids" in group._fields else "users"]


def run_code(code, values):
    """Run Python statements under `safe_eval`; what they assign is found in `values` afterwards."""
    safe_eval(code, values, mode="exec", **_NOCOPY)
