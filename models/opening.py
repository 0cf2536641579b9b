"""Actions that open lists and forms, for what is not a button of a view."""


def open_list(name, model, domain, records=None):
    """Give the action that opens a list, or the form when it would have one record only.

    :param str name: what its title says
    :param records: the records of the list, where they are known
    :rtype: dict
    """
    if records and len(records) == 1:
        return open_form(model, records.id)
    return {
        "type": "ir.actions.act_window",
        "name": name,
        "res_model": model,
        "domain": domain,
        "views": [(False, "list"), (False, "form")],
        "target": "current",
    }


def open_form(model, res_id):
    """Give the action that opens a record."""
    return {
        "type": "ir.actions.act_window",
        "res_model": model,
        "res_id": res_id,
        "views": [(False, "form")],
        "target": "current",
    }


def open_dialog(name, model, res_id=None, context=None):
    """Give the action that opens a form in a window of its own.

    :param str name: what its title says
    :param int res_id: the record; None for a new one
    :rtype: dict
    """
    action = {
        "type": "ir.actions.act_window",
        "name": name,
        "res_model": model,
        "views": [(False, "form")],
        "target": "new",
        "context": context or {},
    }
    return {**action, "res_id": res_id} if res_id else action
