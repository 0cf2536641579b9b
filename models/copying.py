"""Copies of records that have a unique technical name."""


def with_free_names(records, field, data, default):
    """Give every copy a technical name of its own: `permit_ready` → `permit_ready_copy`,
    `permit_ready_copy2`, …

    :param records: the originals
    :param str field: the unique field
    :param list[dict] data: what `copy_data` prepared, one per original
    :param dict default: what the caller of `copy` wants; a name given there stays
    :return: `data`, completed
    """
    if field in (default or {}):
        return data
    model = records.sudo().with_context(active_test=False)
    for record, vals in zip(records, data, strict=True):
        base, number = f"{record[field]}_copy", 1
        name = base
        while model.search_count([(field, "=", name)], limit=1):
            number += 1
            name = f"{base}{number}"
        vals[field] = name
    return data
