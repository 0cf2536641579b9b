import dataclasses
import json
import logging
import time
import traceback
from datetime import datetime, timedelta
from typing import NamedTuple

from odoo import api, fields, models

from ..providers import events, provider_for
from ..providers.base import storable
from .limits import precise_now
from .sicantik_notification_evaluation import CONCURRENCY_ERRORS

_logger = logging.getLogger(__name__)

MODEL = "sicantik.whatsapp.event"
CONSENT = "sicantik.whatsapp.consent"
KINDS = {
    "receipt": events.Receipt,
    "inbound": events.Inbound,
    "preference": events.Preference,
    "template": events.TemplateChange,
    "sender": events.SenderChange,
}
KIND_OF = {event: kind for kind, event in KINDS.items()}
# Who applies what; see `_apply`. In this order: like the drain, it locks allowances before messages.
APPLIERS = {
    "sender": "sicantik.whatsapp.circuit",
    "receipt": "sicantik.whatsapp.receipt",
    "inbound": CONSENT,
    "preference": CONSENT,
    "template": "sicantik.whatsapp.template.sync",
}
# Events that one transaction applies, and so many such transactions before messages have their turn again.
CHUNK = 200
CHUNKS = 10
# A receipt may be quicker than the row that it is about: for so long it is looked for again, at growing
# intervals from the first one on. After that a log row or a pairing that comes yet wakes it.
RETRY_FOR = timedelta(hours=1)
FIRST_RETRY = timedelta(seconds=10)
# Longer ids than any service's are not ours; an index would refuse them.
LONGEST_ID = 250
# Seconds within which one call of the scheduled action is enough for all that comes.
WAKE_INTERVAL = 2
# How often a chunk is tried that meets what others are writing; after that it waits, so that messages need
# not.
TRIES = 2
# The status of a message whose sender's number is still to be asked for; how long that may take in all, and
# for one of them (connect, read).
NUMBERLESS = "number unknown"
ASK_SECONDS = 5.0
ASK_TIMEOUT = (2.0, 3.0)
# A service that did not answer is asked again after so long, for so long.
ASK_AGAIN = timedelta(minutes=1)
ASK_FOR = timedelta(days=1)


class Stored(NamedTuple):
    """An event as it is applied: id of its row, provider, the event itself, and when it came."""

    id: int
    provider_id: int
    event: events.Event
    date: datetime


class Verdict(NamedTuple):
    """What became of an event: its new state, and a sentence where that needs one; the campaign of which a
    message has failed by it.
    """

    state: str
    note: str = ""
    campaign_id: int | None = None


APPLIED = Verdict("applied")


class SicantikWhatsappEvent(models.Model):
    """What providers told by webhook, one row per event: kept first, answered, then applied.

    States::

        pending ──► applied | ignored
           ▲  └───► unmatched (about a message or person that is not known here, or not yet)
           └────────────┘

    `key` is the same when a provider repeats an event, so it is there once. The run of the queue applies
    what is pending (`run.py`), a chunk per transaction; several workers may do so at once.
    """

    _name = "sicantik.whatsapp.event"
    _description = "WhatsApp Event"
    _order = "id desc"
    _rec_name = "key"
    _log_access = False

    provider_id = fields.Many2one("sicantik.whatsapp.provider", required=True, ondelete="cascade")
    kind = fields.Selection(
        [
            ("receipt", "Receipt"),
            ("inbound", "Message Received"),
            ("preference", "Preference"),
            ("template", "Template Changed"),
            ("sender", "Sender Changed"),
        ],
        required=True,
    )
    key = fields.Char(required=True)
    status = fields.Char(help="What the provider said, such as delivered, failed, stop, PAUSED.")
    message_id = fields.Char(string="Provider Message ID")
    payload = fields.Text(required=True, help="The event as JSON.")
    state = fields.Selection(
        [
            ("pending", "Pending"),
            ("applied", "Applied"),
            ("ignored", "Ignored"),
            ("unmatched", "Unmatched"),
        ],
        string="Status Here",
        required=True,
        default="pending",
    )
    note = fields.Char()
    create_date = fields.Datetime(string="Received on", default=fields.Datetime.now)
    write_date = fields.Datetime(string="Applied on")

    _sql_constraints = [
        ("key_unique", "UNIQUE (provider_id, key)", "A provider's event is kept once."),
    ]

    def init(self):
        """What is to be applied, and what waits for its message, are few among many."""
        self.env.cr.execute(
            """
            CREATE INDEX IF NOT EXISTS sicantik_whatsapp_event_pending
                ON sicantik_whatsapp_event (id) WHERE state = 'pending';
            CREATE INDEX IF NOT EXISTS sicantik_whatsapp_event_unmatched
                ON sicantik_whatsapp_event (message_id) WHERE state = 'unmatched' AND kind = 'receipt';
            CREATE INDEX IF NOT EXISTS sicantik_whatsapp_event_waiting
                ON sicantik_whatsapp_event (create_date) WHERE state = 'unmatched' AND kind = 'receipt';
            """
        )

    # === STORING ===#

    @api.model
    def _store(self, provider, found):
        """Keep events, each once, and wake the scheduled action that applies them.

        :param provider: the record whose webhook told them
        :param list[events.Event] found: the events, in the order in which they were told
        :return: how many are new
        :rtype: int
        """
        if not found:
            return 0
        rows = [self._columns(event) for event in found]
        now = precise_now()
        # Arrays and not one JSON text: what strangers write would have to be escaped for that.
        self.env.cr.execute(
            """
            INSERT INTO sicantik_whatsapp_event
                   (provider_id, kind, key, status, message_id, payload, state, create_date)
            SELECT %s, kind, key, status, message_id, payload, 'pending', %s
              FROM unnest(%s::text[], %s::text[], %s::text[], %s::text[], %s::text[]) WITH ORDINALITY
                   AS given (kind, key, status, message_id, payload, place)
          ORDER BY place
            ON CONFLICT (provider_id, key) DO NOTHING
            """,
            [provider.id, now, *(list(column) for column in zip(*rows, strict=True))],
            log_exceptions=False,  # the server would log numbers and texts
        )
        new = self.env.cr.rowcount
        if new:
            self.invalidate_model()
            self._wake()
        return new

    @api.model
    def _columns(self, event):
        """Give kind, key, status, message id and payload of an event, fit for the database."""
        values = {
            name: storable(value) if isinstance(value, str) else value
            for name, value in dataclasses.asdict(event).items()
        }
        for name in ("message_id", "alias"):
            if len(values.get(name) or "") > LONGEST_ID:
                values[name] = ""
        status = values.get("state") or values.get("status")
        if isinstance(event, events.Preference):
            status = "stop" if event.opted_out else "resume"
        elif isinstance(event, events.SenderChange):
            status = "works" if event.works else event.error_class
        elif isinstance(event, events.Inbound) and event.sender and not event.phone:
            status = NUMBERLESS
        return (
            KIND_OF[type(event)],
            values["key"][: events.MAX_KEY],
            status or None,
            values.get("message_id") or values.get("alias") or None,
            json.dumps(values, default=_iso),
        )

    @api.model
    def _wake(self):
        """Have the scheduled action run at once, if nothing else has just asked for that."""
        queue = self.env["sicantik.notification.queue"]
        if not queue._is_woken(WAKE_INTERVAL):
            queue._wake_cron()

    # === APPLYING ===#

    @api.model
    def _apply(self, ids=None, failing=None):
        """Apply the next events, in the order in which they came. Call it in a transaction of its own.

        An event that cannot be applied now, because somebody else is writing what it changes, stays
        pending.

        :param list ids: these ones; None for what is next
        :param set failing: takes ids of campaigns of which messages have failed
        :return: how many were looked at; 0 when none of them could be applied
        :rtype: int
        """
        self.env.flush_all()
        self.env.cr.execute(
            """
            SELECT id, provider_id, kind, payload, create_date
              FROM sicantik_whatsapp_event
             WHERE state = 'pending' AND (%(any)s OR id = ANY(%(ids)s))
               AND status IS DISTINCT FROM %(numberless)s
          ORDER BY id
             LIMIT %(limit)s
               FOR UPDATE SKIP LOCKED
            """,
            {"any": ids is None, "ids": ids or [], "limit": CHUNK, "numberless": NUMBERLESS},
        )
        by_applier, verdicts = {}, {}
        found = self.env.cr.fetchall()
        for id_, provider_id, kind, payload, date in found:
            stored = Stored(id_, provider_id, self._event_of(kind, payload), date)
            by_applier.setdefault(APPLIERS[kind], []).append(stored)
        for model in dict.fromkeys(APPLIERS.values()):
            if model in by_applier:
                verdicts.update(self.env[model]._apply_events(by_applier[model]))
        if failing is not None:
            failing |= {verdict.campaign_id for verdict in verdicts.values()} - {None}
        self._mark(verdicts)
        return len(found) if verdicts else 0

    @api.model
    def _event_of(self, kind, payload):
        values = json.loads(payload)
        if values.get("at"):
            values["at"] = datetime.fromisoformat(values["at"])
        return KINDS[kind](**values)

    @api.model
    def _opt_out_alone(self, id_):
        """Put the sender of an event on the blacklist who wants no messages, and do nothing else."""
        event = self.browse(id_)
        if APPLIERS[event.kind] == CONSENT:
            told = self._event_of(event.kind, event.payload)
            self.env[CONSENT]._block([Stored(id_, event.provider_id.id, told, event.create_date)])

    @api.model
    def _mark(self, verdicts):
        """Write what became of events.

        :param dict verdicts: {event id: Verdict}
        """
        if not verdicts:
            return
        self.env.cr.execute(
            """
            UPDATE sicantik_whatsapp_event AS e
               SET state = v.state, note = NULLIF(v.note, ''), write_date = %s
              FROM unnest(%s, %s::text[], %s::text[]) AS v (id, state, note)
             WHERE e.id = v.id
            """,
            [
                precise_now(),
                list(verdicts),
                [verdict.state for verdict in verdicts.values()],
                [verdict.note for verdict in verdicts.values()],
            ],
        )
        self.invalidate_model()

    # === WHO WROTE ===#

    @api.model
    def _numberless(self):
        """Give messages of people whose number was not told; of wishes only, for each costs a request.
        Services that have just not answered are left alone for a while.

        :return: [(event id, Account, the id of the person that was told)]
        :rtype: list
        """
        events_ = self.search(
            [("state", "=", "pending"), ("status", "=", NUMBERLESS)], limit=CHUNK, order="id"
        )
        if not events_:
            return []
        since = fields.Datetime.now() - ASK_AGAIN
        silent = events_.filtered(lambda one: one.write_date and one.write_date > since).provider_id
        events_ = events_.filtered(lambda one: one.provider_id not in silent)
        consent = self.env[CONSENT]
        wishes = events_.filtered(lambda one: consent._is_wish(self._event_of(one.kind, one.payload)))
        (events_ - wishes).write({"status": False})
        return [(one.id, one.provider_id._account(), json.loads(one.payload)["sender"]) for one in wishes]

    @api.model
    def _put_numbers(self, numbers):
        """Add numbers that services have told when they were asked.

        :param dict numbers: {event id: E.164 number, an empty text for none, or None: it did not answer}
        """
        now = fields.Datetime.now()
        for event in self.browse(numbers):
            number = numbers[event.id]
            if number is None and now - event.create_date < ASK_FOR:
                event.write_date = now  # asked, not applied: it stays pending
                continue
            payload = {**json.loads(event.payload), "phone": number or ""}
            event.write({"payload": json.dumps(payload), "status": False})

    # === WHAT CAME TOO EARLY ===#

    @api.model
    def _look_again(self):
        """Have young receipts applied again whose message was not known, each time after twice as long."""
        now = precise_now()
        self.env.cr.execute(
            """
            UPDATE sicantik_whatsapp_event
               SET state = 'pending'
             WHERE state = 'unmatched' AND kind = 'receipt' AND create_date > %(since)s
               AND %(now)s - write_date > GREATEST(%(first)s, write_date - create_date)
            """,
            {"now": now, "since": now - RETRY_FOR, "first": FIRST_RETRY},
        )

    @api.model
    def _awaken(self, message_ids):
        """Have receipts applied again that came before these ids were known.

        :param message_ids: ids or aliases of messages
        """
        ids = [id_ for id_ in message_ids if id_]
        if ids:
            self.env.cr.execute(
                """
                UPDATE sicantik_whatsapp_event
                   SET state = 'pending'
                 WHERE state = 'unmatched' AND kind = 'receipt' AND message_id = ANY(%s)
                """,
                [ids],
            )
            self.invalidate_model()


def apply_pending(transactions, failing):
    """Apply what providers have told; one event that cannot be applied costs the others nothing.

    :param Transactions transactions: where to run each chunk
    :param set failing: takes ids of campaigns of which messages have failed, also when this raises
    :return: how many events were looked at, and whether there may be more of them
    :rtype: tuple
    :raise psycopg2.Error: others hold what has to be written; what was not applied is still pending
    """
    total = 0
    transactions.run(lambda env: env[MODEL]._look_again())
    _ask_numbers(transactions)
    for _chunk in range(CHUNKS):
        try:
            count = transactions.run(lambda env: env[MODEL]._apply(failing=failing), tries=TRIES)
        except Exception:
            if transactions.is_lost:  # no more can be done
                raise
            count = _apply_one_by_one(transactions, failing)
        total += count
        if count < CHUNK:
            return total, False
    return total, True


def _ask_numbers(transactions):
    """Ask services whose number it is that wishes something, with no transaction open; the rest next time."""
    deadline, numbers = time.monotonic() + ASK_SECONDS, {}
    for id_, account, sender in transactions.run(lambda env: env[MODEL]._numberless()):
        if time.monotonic() > deadline:
            break
        quick = dataclasses.replace(account, timeout=ASK_TIMEOUT)
        numbers[id_] = provider_for(quick).number_of(sender)
    if numbers:
        transactions.run(lambda env: env[MODEL]._put_numbers(numbers))


def _apply_one_by_one(transactions, failing):
    ids = transactions.run(
        lambda env: (
            env[MODEL]
            .search([("state", "=", "pending"), ("status", "!=", NUMBERLESS)], order="id", limit=CHUNK)
            .ids
        )
    )
    for id_ in ids:
        try:
            transactions.run(lambda env, id_=id_: env[MODEL]._apply([id_], failing), tries=TRIES)
        except Exception as error:
            # What others hold they give back: the next run finds this event, and those after it.
            if transactions.is_lost or getattr(error, "pgcode", None) in CONCURRENCY_ERRORS:
                raise
            _log_failure("could not be applied", id_, error)
            _keep_opt_out(transactions, id_)
            verdict = Verdict("ignored", type(error).__name__)
            transactions.run(lambda env, id_=id_, verdict=verdict: env[MODEL]._mark({id_: verdict}))
    return len(ids)


def _keep_opt_out(transactions, id_):
    """Of an event that is given up, keep at least that somebody wants no messages."""
    try:
        transactions.run(lambda env: env[MODEL]._opt_out_alone(id_), tries=TRIES)
    except Exception as error:
        if transactions.is_lost or getattr(error, "pgcode", None) in CONCURRENCY_ERRORS:
            raise
        _log_failure("was no readable wish either", id_, error)


def _log_failure(what, id_, error):
    # The text of the error could quote a number or a message.
    _logger.error(
        "WhatsApp event %s %s: %s\n%s",
        id_,
        what,
        type(error).__name__,
        "".join(traceback.format_tb(error.__traceback__)),
    )


def _iso(moment):
    return moment.isoformat()
