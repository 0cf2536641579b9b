"""The targets: what each is about, and what is compared with what."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Target:
    """One target.

    :param title: a few words
    :param subject: the module that measures it
    :param note: what was compared, and how
    """

    title: str
    subject: str
    note: str


_HOOKS = (
    "`plain` is a model of one's own with three columns and nothing else, `partner` is res.partner. "
    "Anchor: a base_automation rule on the same model and field, on_create_or_write, whose action is "
    "`pass`."
)

TARGETS = {
    "T1": Target(
        "A model that nobody watches",
        "hooks",
        "SQL statements with triggers on another model only, against none at all. The hook: write({}) on "
        "an empty recordset, through the addon's override and by calling BaseModel.write itself.",
    ),
    "T2": Target(
        "A watched model, no watched field written",
        "hooks",
        f"{_HOOKS} The hook's time: write of one cached value, through the override and by calling "
        "BaseModel.write.",
    ),
    "T3": Target(
        "A watched field written, no rule matches",
        "hooks",
        "The trigger fires for every change of the field and its rule's condition never holds; the "
        "anchor's filter_domain never holds. `one transaction`: many write() calls and one commit, as the "
        "anchor was measured; `commit each`: a commit after each write(), as a user's clicks do.",
    ),
    "T4": Target(
        "A match that queues messages, 500 at once",
        "hooks",
        "res.partner, one write to 500 records, commit included: the addon queues 500 messages with their "
        "parameters, the anchor runs `pass`. Extra: over the same write without either.",
    ),
    "T5": Target(
        "Campaign: from targets to queue rows",
        "enqueue",
        "A campaign on permits, parameters filled from the template, by its own buttons and scheduled "
        "action, one commit per step. Naive: create() and json.dumps per row, one commit. INSERT SELECT: "
        "the same columns, the parameters put together by PostgreSQL. All on the addon's own table, which "
        "is emptied before each.",
    ),
    "T6": Target(
        "Campaign: linear and bounded",
        "enqueue",
        "The campaign of T5, large against small; the longest transaction and the memory of the process.",
    ),
    "T7": Target(
        "The queue table is lean",
        "enqueue",
        "INSERT SELECT of a campaign's finished rows into the queue, and into a table of the same columns "
        "with 8 indexes (primary key, state, priority, scheduled_date, phone, template_key, campaign_id, "
        "partner_id) and 5 foreign keys (rule, campaign, partner, record, company).",
    ),
    "T8": Target(
        "Drain: as fast as the wire",
        "drain",
        "One drain against the gateway simulator that answers after D. Bound: 32 requests in flight / D.",
    ),
    "T9": Target(
        "Drain against a naive loop and queue_job",
        "drain",
        "Naive: requests.post, UPDATE of the row, INSERT of its log, commit, for each message, in plain "
        "SQL. queue_job: its real runner, 4 workers, one job per message that sends the same request. The "
        "addon does all it does.",
    ),
    "T10": Target(
        "CPU per message",
        "drain",
        "User and system time of the sending process, the simulator and all of PostgreSQL (for queue_job: "
        "Odoo's processes), divided by messages.",
    ),
    "T11": Target(
        "Claim of 200 while the queue grows",
        "claim",
        "The drain's own claim of 200 rows, rolled back, after VACUUM ANALYZE.",
    ),
    "T12": Target(
        "Two drains at once",
        "drain",
        "Two processes against one, D=0, same number of messages; the simulator counts every message.",
    ),
    "T13": Target(
        "Cleaning up old logs",
        "cleanup",
        "The addon's scheduled action until nothing old is left, against search().unlink() by 10,000; each "
        "in a process of its own. A transaction lasts from its first statement to its last, and its "
        "commit.",
    ),
    "T14": Target(
        "Statistics of a campaign",
        "totals",
        "The computed totals of a campaign, cold; of a list of campaigns; and a write of the state of 200 "
        "messages of a large campaign against 200 that belong to none.",
    ),
    "T15": Target(
        "A long drain does not slow down",
        "drain",
        "One drain, D=0, while another connection holds an old REPEATABLE READ snapshot: the last 20 "
        "claims against the first 20.",
    ),
}


def subjects_of(names: list[str]) -> list[str]:
    """The subjects that measure these targets, each once, in the order of the targets.

    :raises ValueError: there is no such target
    """
    if unknown := [name for name in names if name not in TARGETS]:
        raise ValueError(f"there is no target {', '.join(unknown)}; they are T1 to T15")
    return list(dict.fromkeys(target.subject for name, target in TARGETS.items() if name in names))
