"""Domains that can be answered from the values of records, without a search.

A condition means what it means in a list view: what a search finds. Where that is certain from the values
alone, the search is spared; `PlainDomain` knows the conditions for which it is, and says when it is not. What
makes the difference is NULL: it is neither equal to nor less than anything, and an empty number reads like
zero.
"""

from dataclasses import dataclass
from datetime import date, datetime

from odoo import models
from odoo.exceptions import MissingError

KINDS = ("boolean", "integer", "char", "text", "selection", "date", "datetime", "many2one")
ORDERS = {
    "<": lambda value, other: value < other,
    "<=": lambda value, other: value <= other,
    ">": lambda value, other: value > other,
    ">=": lambda value, other: value >= other,
}
# What a model may override to find other records than its table says.
SEARCHES = ("search", "_search", "_where_calc")


class Uncertain(Exception):
    """The value does not tell what a search would find."""


@dataclass(frozen=True)
class Term:
    """One comparison.

    :param str name: name of the field
    :param str kind: its type
    :param str operator: `in` or `not in`, which = and != are turned into, or one of `ORDERS`
    :param value: for the first two a frozenset, in which False stands for empty; else one value
    """

    name: str
    kind: str
    operator: str
    value: object

    def values(self, records):
        """Give the values of the field, in the order of the records."""
        if self.name == "id":
            return records._ids
        if self.kind == "many2one":
            return [record[self.name].id for record in records]
        if self.kind == "datetime":
            return [bool(value) for value in records.mapped(self.name)]
        return records.mapped(self.name)

    def holds(self, value):
        """Tell whether a search finds a record with this value.

        :raise Uncertain: that depends on more than the value
        """
        if self.operator in ORDERS:
            if value is False:
                return False  # NULL
            holds = ORDERS[self.operator](value, self.value)
            if holds and value == 0:
                raise Uncertain  # true of 0, not of NULL
            return holds
        if value == "" or (self.kind == "integer" and value == 0 and 0 in self.value):
            raise Uncertain  # NULL or not; that False equals 0 is meant
        return (value in self.value) is (self.operator == "in")


class PlainDomain:
    """A domain of plain comparisons of stored fields, joined by `&` and `|`.

    It holds names and values only, so that it may be kept in a cache.
    """

    __slots__ = ("_terms",)

    def __init__(self, terms):
        self._terms = terms

    @classmethod
    def of(cls, model, domain):
        """Understand a domain.

        :param model: any recordset of the model
        :param list domain: as `_eval_domain` gives it
        :return: the PlainDomain, None when only a search can answer it
        """
        if domain and not _searches_its_table(model):
            return None
        terms = [part if part in ("&", "|") else _term(model, part) for part in domain]
        return None if None in terms or not _is_complete(terms) else cls(terms)

    def within(self, records):
        """Give those of the records that a search with the domain finds, in their own order.

        Values that are not in the cache are read, with one query.

        :param records: recordset
        :return: recordset, None when only a search can tell
        """
        if not self._terms or not records:
            return records
        if not records.env.su:
            return None  # record rules
        stack = []
        try:
            for term in reversed(self._terms):
                if term == "&":
                    stack.append([one and other for one, other in zip(stack.pop(), stack.pop(), strict=True)])
                elif term == "|":
                    stack.append([one or other for one, other in zip(stack.pop(), stack.pop(), strict=True)])
                else:
                    stack.append([term.holds(value) for value in term.values(records)])
        except (Uncertain, MissingError):
            return None
        found = zip(records._ids, zip(*stack, strict=True), strict=True)
        return records.browse(id_ for id_, holds in found if all(holds))


def _searches_its_table(model):
    """Tell whether a search of the model looks at its own table and nothing else."""
    return model._auto and all(
        getattr(type(model), name, None) is getattr(models.BaseModel, name, None) for name in SEARCHES
    )


def _is_complete(terms):
    """Tell whether each operator has its two terms; what is left over is joined by `&`."""
    count = 0
    for term in reversed(terms):
        count += 1 if isinstance(term, Term) else -1
        if count < 1:
            return False
    return True


def _term(model, part):
    """Understand one comparison; None when it is not a plain one."""
    if not (isinstance(part, list | tuple) and len(part) == 3 and isinstance(part[0], str)):
        return None
    name, operator, value = part
    field = model._fields.get(name)
    if field is None or not _is_column(field):
        return None
    if operator in ("=", "!="):
        operator, value = ("in" if operator == "=" else "not in"), [value]
    elif isinstance(value, list | tuple) and None in value:  # Odoo 19 refuses it for dates
        return None
    try:
        if operator in ("in", "not in") and isinstance(value, list | tuple):
            return Term(name, field.type, operator, frozenset(_value(field, one) for one in value))
        if operator in ORDERS and field.type in ("integer", "date"):
            if value is False or value is None:
                return None
            return Term(name, field.type, operator, _value(field, value))
    except ValueError:
        return None
    return None


def _is_column(field):
    """Tell whether a search for the field looks at its column and nothing else."""
    return (
        field.store
        and field.type in KINDS
        and not (field.inherited or field.company_dependent or field.search)
        and not getattr(field, "translate", False)
        and not getattr(field, "size", None)
    )


def _value(field, value):
    """Give what values of a field are compared with.

    :raise ValueError: only the database knows how this compares
    """
    kind = field.type
    if kind == "boolean":
        plain = isinstance(value, bool)
    elif value is False or value is None:
        value, plain = False, True
    elif kind == "date":
        if isinstance(value, str) and len(value) == 10 and value[4] == value[7] == "-":
            value = date.fromisoformat(value)
        plain = isinstance(value, date) and not isinstance(value, datetime)
    elif kind in ("char", "text", "selection"):
        plain = isinstance(value, str) and value
    else:
        plain = type(value) is int and (kind == "integer" or (kind == "many2one" and value > 0))
    if not plain:
        raise ValueError(kind)
    return value
