import ast
import logging
import time
import traceback
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import psycopg2
from dateutil.relativedelta import relativedelta
from psycopg2 import errorcodes
from psycopg2.extensions import TRANSACTION_STATUS_INERROR

from odoo import _, api, fields, models
from odoo.exceptions import ValidationError
from odoo.tools import safe_eval as safe
from odoo.tools.safe_eval import safe_eval

from ..compat import check_access
from .plain_domain import PlainDomain

_logger = logging.getLogger(__name__)

# The server repeats the whole transaction after these; nothing may swallow them.
CONCURRENCY_ERRORS = (
    errorcodes.SERIALIZATION_FAILURE,
    errorcodes.DEADLOCK_DETECTED,
    errorcodes.LOCK_NOT_AVAILABLE,
)
# What a domain may be made of. `safe_eval` alone is for administrators: it lets `str.format` and the
# attributes of functions through, and by these everything in the process can be reached.
DOMAIN_NODES = (
    ast.Expression,
    ast.List,
    ast.Tuple,
    ast.Dict,
    ast.Constant,
    ast.Name,
    ast.Attribute,
    ast.Subscript,
    ast.Call,
    ast.keyword,
    ast.BinOp,
    ast.UnaryOp,
    ast.BoolOp,
    ast.Compare,
    ast.IfExp,
    ast.expr_context,
    ast.operator,
    ast.unaryop,
    ast.boolop,
    ast.cmpop,
)
# Attributes of dates and times, which are all that a domain has to do with.
DOMAIN_ATTRIBUTES = {
    *("now", "today", "utcnow", "combine", "date", "time", "replace", "strftime", "isoformat", "weekday"),
    *("isoweekday", "year", "month", "day", "hour", "minute", "second", "days", "total_seconds", "get"),
    *("min", "max"),
}
# Fields that say what is read: whoever changes one of them answers for it.
AUTHORED = {
    *("model_id", "trigger_id", "rule_id", "target_model"),
    *("condition_domain", "recipient_type", "recipient_domain", "target_domain"),
}
# Names that differ from record to record: a domain that uses one of them is evaluated for each.
PER_RECORD_NAMES = {"record_id", "old_state", "new_state", "changed"}
# Under which capture (`base.py`) keeps its notes, and what it remembers of the cache.
KEY = "sicantik_notification_automation.capture"
# What capture keeps in a cache is made of these (`watch.py`).
PLANNED = ("sicantik.notification.trigger", "sicantik.notification.rule")
# Set in `cr.postcommit.data` by a transaction that has changed some of them.
UNCOMMITTED = "sicantik_notification_automation.uncommitted"


@dataclass(frozen=True)
class Event:
    """What happened to one record.

    `key` makes it this event and no other (part of the unique key of its queue rows), `old_state` and
    `new_state` are the values of the watched field, `changed` is {field: (old, new)} with ids for records,
    `values` what the caller wants in the message.
    """

    key: str
    old_state: object = None
    new_state: object = None
    changed: dict = field(default_factory=dict)
    values: dict = field(default_factory=dict)


class Failure:
    """Filled by a fence: `error` is the sentence for people, None when all went well. `held_back` counts the
    messages that a repeat policy has left out.
    """

    error = None
    held_back = 0

    def hold_back(self, row):
        """Count a queue row that the repeat policy of its rule leaves out."""
        self.held_back += 1


class _Undo(Exception):
    """Ends a savepoint whose changes are not wanted."""


class SicantikNotificationEvaluation(models.AbstractModel):
    """How text written by users is evaluated: domains by managers, Python by Settings administrators.

    Domains see values only (contract, section 7), Python sees records and `env`. Everything goes through
    `safe_eval`, and through `_fence`, so that no mistake in it reaches the business transaction.
    """

    _name = "sicantik.notification.evaluation"
    _description = "Evaluation of Conditions"

    # === DOMAINS ===#

    @api.model
    def _domain_values(self, records=(), record_id=False, event=None, names=None):
        """Give the names that a domain may use: values, never recordsets.

        :param names: set of those that are needed, None for all; some of them cost a query
        """
        values = {
            "uid": lambda: self.env.uid,
            "user_id": lambda: self.env.uid,
            "company_id": lambda: self.env.company.id,
            "company_ids": lambda: self.env.companies.ids,
            "record_id": lambda: record_id,
            "record_ids": lambda: list(records and records.ids),
            "old_state": lambda: event and event.old_state,
            "new_state": lambda: event and event.new_state,
            "changed": lambda: event.changed if event else {},
        }
        given = {name: value() for name, value in values.items() if names is None or name in names}
        return {**given, **self._time_values()}

    @api.model
    def _time_values(self):
        return {
            "datetime": datetime,
            "timedelta": timedelta,
            "relativedelta": relativedelta,
            "time": safe.time,
            "context_today": lambda: fields.Date.context_today(self),
        }

    @api.model
    def _eval_domain(self, text, values):
        """Evaluate the text of a domain.

        :param str text: a Python expression, empty for “everything”
        :param dict values: from `_domain_values`
        :rtype: list
        :raise ValueError: it is not a domain
        """
        text = (text or "[]").strip()
        self._check_domain_text(text)
        domain = safe_eval(text, dict(values))
        if not isinstance(domain, list | tuple):
            raise ValueError(_("it is not a domain: a list of conditions is needed."))
        return list(domain)

    @api.model
    def _check_domain_text(self, text):
        """Let through what dates, numbers and texts are compared with, and nothing else.

        :raise ValueError: the expression has something that no domain needs
        :raise SyntaxError: it is no expression
        """
        for node in ast.walk(ast.parse(text, mode="eval")):
            if not isinstance(node, DOMAIN_NODES):
                raise ValueError(_("“%s” cannot be used in a domain.", ast.unparse(node)))
            if isinstance(node, ast.Attribute) and node.attr not in DOMAIN_ATTRIBUTES:
                raise ValueError(_("“%s” cannot be used in a domain.", ast.unparse(node)))
            if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Pow | ast.LShift):
                raise ValueError(_("“%s” cannot be used in a domain.", ast.unparse(node)))

    @api.model
    def _names_in(self, text):
        return {
            node.id for node in ast.walk(ast.parse(text.strip(), mode="eval")) if isinstance(node, ast.Name)
        }

    @api.model
    def _filter(self, text, records, events, search=True):
        """Give the records for which a domain holds.

        :param str text: the domain
        :param records: recordset, in superuser mode
        :param dict events: {record id: Event}
        :param bool search: search where the values of the records do not tell
        :return: recordset, None when it takes a search and there is to be none
        """
        if not (text or "").strip() or not records:
            return records
        names = self._names_in(text)
        if not names & PER_RECORD_NAMES:
            domain = self._eval_domain(text, self._domain_values(records, names=names))
            return self._within(records, domain, search)
        groups = {}
        for record in records:
            values = self._domain_values(records, record.id, events[record.id], names)
            domain = self._eval_domain(text, values)
            groups.setdefault(str(domain), (domain, []))[1].append(record.id)
        kept = set()
        for domain, ids in groups.values():
            found = self._within(records.browse(ids), domain, search)
            if found is None:
                return None
            kept.update(found.ids)
        return records.filtered(lambda record: record.id in kept)

    @api.model
    def _within(self, records, domain, search=True):
        """Give those of `records` that a search with the domain finds, in their own order.

        A search and not `filtered_domain`, so that a condition means what it means in a list view or a
        campaign: fields with a search method (`days_until_expiry`) and empty values are treated differently
        there. It is spared where the values alone tell what it would find.
        """
        plain = PlainDomain.of(records, domain)
        found = plain and plain.within(records)
        if found is not None or not search:
            return found
        found = records.with_context(active_test=False).search([("id", "in", records.ids), *domain])
        ids = set(found.ids)
        return records.filtered(lambda record: record.id in ids)

    # === CONDITIONS IN THE CACHE ===#

    @api.model
    def _condition(self, text, model):
        """Prepare a domain for `_holding`.

        :param str text: the domain
        :param model: any recordset of the model it is for
        :return: a PlainDomain; the text when it uses names, which have to be looked up each time; None when
            only a search can answer it. Each may be kept in a cache.
        """
        try:
            if (text or "").strip() and self._names_in(text):
                return text
            return PlainDomain.of(model, self._eval_domain(text, {}))
        except Exception:
            return None  # it is said what is wrong when it is evaluated

    @api.model
    def _holding(self, condition, records, events):
        """Give the records for which a condition holds, without a search.

        :param condition: from `_condition`
        :param records: recordset, in superuser mode
        :param dict events: {record id: Event}
        :return: recordset, None when only a search can tell
        """
        if isinstance(condition, str):
            return self._filter(condition, records, events, search=False)
        return condition and condition.within(records)

    @api.model
    def _check_domain(self, text, model_name, label):
        """Refuse a domain that cannot work on a model.

        :raise ValidationError: it does not parse, uses an unknown name or an unknown field
        """
        if not (text or "").strip():
            return
        try:
            values = self._domain_values(record_id=0, event=Event("", "", ""))
            domain = self._eval_domain(text, values)
            if model_name in self.env:
                self.env.flush_all()
                with self.env.cr.savepoint(flush=False):
                    # As the one who writes it: it is evaluated in superuser mode later, and must not tell of
                    # fields and records that its author may not see.
                    self.env[model_name].search(domain, limit=1)
        except Exception as error:
            raise ValidationError(
                _(
                    "%(label)s cannot be used: %(error)s\nWrite a list of conditions, such as "
                    "[('state', '=', 'approved')].",
                    label=label,
                    error=error,
                )
            ) from error

    # === AUTHORS ===#

    def _domains(self):
        """List the domains of a record; to be extended by the models that have some.

        :return: [(text, model name, label)]; an empty text still tells which model is used
        :rtype: list
        """
        self.ensure_one()
        return []

    def _check_domains(self):
        """Refuse domains that cannot work.

        :raise ValidationError: naming the first one, and what is wrong with it
        """
        for record in self:
            for domain in record._domains():
                record._check_domain(*domain)

    def _check_author(self):
        """Refuse who hangs messages on what they may not read: messages and counters tell of it.

        Not a constraint, because Odoo 19 runs those in superuser mode.

        :raise AccessError: the user may not read the model
        :raise ValidationError: a domain uses what the user may not search by
        """
        if self.env.su:
            return
        for record in self:
            for text, model_name, label in record._domains():
                if model_name in self.env:
                    check_access(self.env[model_name], "read")
                record._check_domain(text, model_name, label)

    @api.model_create_multi
    def create(self, vals_list):
        records = super().create(vals_list)
        records._forget_watches()
        records._check_author()
        return records

    def write(self, vals):
        result = super().write(vals)
        self._forget_watches()
        if not AUTHORED.isdisjoint(vals):
            self._check_author()
        return result

    def unlink(self):
        result = super().unlink()
        self._forget_watches()
        return result

    @api.model
    def _forget_watches(self):
        """Make every process read the triggers and rules anew, now and once more when this is committed.

        In between, an older transaction may fill the cache with what it sees, and a rollback to a savepoint
        may make wrong what this one has filled in.
        """
        if self._name not in PLANNED:
            return
        self.env.flush_all()
        self.env.cr.postcommit.data[UNCOMMITTED] = []
        self._clear_watches()
        self.env.cr.postcommit.add(self._clear_watches)

    @api.model
    def _clear_watches(self):
        self.pool.__dict__.pop(KEY, None)  # somebody may still hold what it refers to
        self.pool.clear_cache()

    # === PYTHON ===#

    @api.model
    def _python_values(self, record, records, event, recipient=None):
        """Give the names that Python fields may use."""
        return {
            "record": record,
            "records": records,
            "recipient": recipient,
            "env": record.env,
            "user": record.env.user,
            "old_state": event.old_state,
            "new_state": event.new_state,
            "changed": event.changed,
            "values": dict(event.values),
            **self._time_values(),
        }

    @api.model
    def _eval_python(self, expression, values):
        return safe_eval(expression.strip(), values)

    # === THE FENCE ===#

    @contextmanager
    def _fence(self, subject, undo=False):
        """Keep what goes wrong in the block out of the transaction around it.

        The block runs in a savepoint that is undone when it fails; the traceback goes to the server log, the
        sentence into the yielded Failure. Serialization failures pass: the server repeats the transaction.

        :param str subject: what is evaluated, for the log
        :param bool undo: undo what the block did also when it went well: it was for its values only
        :return: context manager yielding a Failure
        """
        failure = Failure()
        # Not a flushing savepoint: that would run the precommit hooks, which may be where we come from.
        self.env.flush_all()
        try:
            with self.env.cr.savepoint(flush=False):
                yield failure
                self.env.flush_all()
                if self.env.cr._cnx.get_transaction_status() == TRANSACTION_STATUS_INERROR:
                    raise ValueError("a query failed, and the code that made it has hidden that")
                if undo:
                    raise _Undo
        except _Undo:
            self.env.clear()
        except Exception as error:
            if isinstance(error, psycopg2.Error) and error.pgcode in CONCURRENCY_ERRORS:
                raise
            self.env.clear()
            failure.error = self._sentence(error)
            self._log_failure(error, "Notification: %s failed", subject)

    @contextmanager
    def _each(self, record, trouble):
        """Let one record fail without the others; what SQL broke is left to the fence around.

        :param record: the record that the block is about
        :param Failure trouble: told of the first failure
        """
        try:
            yield
        except psycopg2.Error:
            raise
        except Exception as error:
            broken = error.__cause__ or error.__context__
            if isinstance(broken, psycopg2.Error):
                raise broken from error
            if not trouble.error:
                trouble.error = f"{record}: {self._sentence(error)}"
                self._log_failure(error, "Notification: %s failed for %s", self, record)

    @api.model
    def _log_failure(self, error, message, *args):
        """Log a traceback; of a database error without its text, which quotes rows, numbers and names."""
        if isinstance(error, psycopg2.Error):
            trace = "".join(traceback.format_tb(error.__traceback__))
            _logger.error(message + ": %s\nTraceback:\n%s", *args, self._plain_text(error), trace)
        else:
            _logger.error(message, *args, exc_info=error)

    @api.model
    def _plain_text(self, error):
        if isinstance(error, psycopg2.Error):
            return (error.diag and error.diag.message_primary) or type(error).__name__
        return str(error)

    @api.model
    def _sentence(self, error):
        """Say an exception in one line, with the time; people read it on the trigger or the rule."""
        text = " ".join(self._plain_text(error).split()) or type(error).__name__
        text = text.replace("\x00", "").encode(errors="replace").decode()  # what the database can hold
        return (
            f"{time.strftime('%Y-%m-%d %H:%M:%S', time.gmtime())} UTC: {type(error).__name__}: {text[:500]}"
        )
