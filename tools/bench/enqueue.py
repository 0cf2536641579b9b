"""T5 to T7: from a campaign's targets to queue rows, and what the table itself costs."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Iterator
from typing import Any

from odoo import models

from odoo.addons.sicantik_notification_automation.models.transaction import Transactions

from . import world
from .lines import ratios
from .session import Session, memory_mb, rounds, seconds, statements, tell

QUEUE = "sicantik_notification_queue"
HEAVY = "bench_heavy_queue"
SOURCE = "bench_rows"
PARAMETERS = ["partner_name", "permit_type", "permit_number", "issue_date"]
MAILING = 2_000
MAILED = ["name", "phone", "lang", "tz"]
#: The heavy table's indexes beside its primary key, and its foreign keys.
INDEXES = ("state", "priority", "scheduled_date", "phone", "template_key", "campaign_id", "partner_id")
KEYS = {
    "rule_id": "sicantik_notification_rule",
    "campaign_id": "sicantik_notification_campaign",
    "partner_id": "res_partner",
    "res_id": "sicantik_permit",
    "company_id": "res_company",
}
# As a campaign queues: its messages have no event key, since it remembers how far it came.
INSERT_SELECT = """
    INSERT INTO {table} (rule_id, campaign_id, partner_id, phone, res_model, res_id, message_type,
                         template_key, context_values, scheduled_date, priority, state,
                         max_retries, company_id, create_date, write_date)
    SELECT %(rule)s, %(campaign)s, p.id, p.whatsapp_e164, 'sicantik.permit', permit.id,
           'template', 'bench',
           jsonb_build_object('partner_name', p.name, 'permit_type', permit.permit_type_name,
                              'permit_number', permit.permit_number,
                              'issue_date', to_char(permit.issue_date, 'DD-MM-YYYY'))::text,
           now() at time zone 'UTC', 5, 'pending', 3, permit.company_id, now() at time zone 'UTC',
           now() at time zone 'UTC'
      FROM sicantik_permit AS permit
      JOIN res_partner AS p ON p.id = permit.partner_id
     ORDER BY permit.id
     LIMIT %(count)s
"""


def run(session: Session) -> None:
    """Measure T5 to T7."""
    size = session.size
    with session.environment() as env:
        world.quiet(env)
        world.partners(env, size.campaign)
        world.permits(env, size.campaign)
        template = world.template(env, PARAMETERS)
        rule = world.rule(env, template.template_key)
        campaign = Campaign.draft(env, rule, "Bench")
        ids = {"rule": rule.id, "campaign": campaign.id}
    _campaigns(session, ids)
    _mailing(session)
    _table(session, ids)


class Campaign:
    """One campaign from its button to its last queue row."""

    def __init__(self, session: Session, ids: dict[str, int], count: int) -> None:
        self.session = session
        self.count = count
        self.steps: list[float] = []
        world.empty(session)
        with session.environment() as env:
            permits = env["sicantik.permit"].search([], order="id", limit=1, offset=count - 1)
            rule = env["sicantik.notification.rule"].browse(ids["rule"])
            self.id = self.draft(env, rule, f"Bench {count}", f"[('id', '<=', {permits.id})]").id

    @staticmethod
    def draft(env: Any, rule: Any, name: str, domain: str = "[]") -> Any:
        """A campaign that has not begun."""
        return env["sicantik.notification.campaign"].create(
            {"name": name, "rule_id": rule.id, "target_model": "sicantik.permit", "target_domain": domain}
        )

    def run(self) -> float:
        """Start it and go on until all targets are queued, each step a call of its own.

        :return: seconds; those of the steps are in `steps`
        """
        self._step(lambda env: env["sicantik.notification.campaign"].browse(self.id).action_start())
        while not self._expanded():
            self._step(lambda env: env["sicantik.notification.campaign"].cron_process_campaign_batch())
        with self.session.environment() as env:
            queued = env["sicantik.notification.queue"].search_count([("campaign_id", "=", self.id)])
            env["sicantik.notification.campaign"].browse(self.id).state = "completed"
        if queued != self.count:
            raise AssertionError(f"{queued} of {self.count} targets were queued")
        return sum(self.steps)

    def _step(self, work: Any) -> None:
        begin = time.perf_counter()
        with self.session.environment() as env:
            work(env)
        self.steps.append(time.perf_counter() - begin)

    def _expanded(self) -> bool:
        with self.session.environment() as env:
            return env["sicantik.notification.campaign"].browse(self.id).expanded


@contextlib.contextmanager
def _transactions() -> Iterator[list[float]]:
    """Note how many seconds each short transaction of the addon takes."""
    spans: list[float] = []
    original = Transactions.run

    def run(self: Transactions, *args: Any, **options: Any) -> Any:
        begin = time.perf_counter()
        try:
            return original(self, *args, **options)
        finally:
            spans.append(time.perf_counter() - begin)

    Transactions.run = run
    try:
        yield spans
    finally:
        Transactions.run = original


def _campaigns(session: Session, ids: dict[str, int]) -> None:
    """T5 and T6: the addon beside a naive loop and PostgreSQL's own speed."""
    size = session.size
    tell("memory of the large campaign")
    Campaign(session, ids, size.campaign_small).run()
    before = memory_mb()
    first = Campaign(session, ids, size.campaign)
    with _transactions() as spans:
        first.run()
    session.add("T6", f"memory, {size.campaign:,} targets", [memory_mb("VmHWM") - before], "MB", at_most=100)
    # The first step is the button's, a transaction of its own.
    session.add("T6", "longest transaction, commit included", [max(first.steps[0], *spans)], "s", at_most=1)
    with statements() as counts:
        Campaign(session, ids, size.campaign_small).run()
    tell("campaigns, naive, INSERT SELECT")

    def campaign(count: int) -> float:
        return count / Campaign(session, ids, count).run()

    def naive() -> float:
        world.empty(session)
        return size.naive / seconds(lambda: _naive(session, ids, size.naive))

    def insert_select() -> float:
        world.empty(session)
        return _insert_select(session, QUEUE, ids, size.campaign)

    found = rounds(
        size.rounds,
        small=lambda: campaign(size.campaign_small),
        large=lambda: campaign(size.campaign),
        naive=naive,
        sql=insert_select,
    )
    large, small = found["large"], found["small"]
    session.add("T5", f"addon, campaign of {size.campaign:,}", large, "rows/s")
    session.add("T5", f"naive, {size.naive:,} rows", found["naive"], "rows/s")
    session.add("T5", f"INSERT SELECT of {size.campaign:,}", found["sql"], "rows/s")
    session.add("T5", "addon / naive", ratios(large, found["naive"]), "x", at_least=4)
    session.add("T5", "addon / INSERT SELECT", ratios(large, found["sql"]), "x", at_least=0.35)
    session.add("T5", "addon: SQL statements per row", [counts["all"] / size.campaign_small])
    session.add("T6", f"addon, campaign of {size.campaign_small:,}", small, "rows/s")
    session.add("T6", "large / small, rows/s", ratios(large, small), "x", at_least=0.9)


def _naive(session: Session, ids: dict[str, int], count: int) -> None:
    """The loop that one writes first: a dict, json.dumps and create() for each target, one commit."""
    with session.environment() as env:
        queue = env["sicantik.notification.queue"]
        for permit in env["sicantik.permit"].search([], order="id", limit=count):
            partner = permit.partner_id
            context = {
                "partner_name": partner.name,
                "permit_type": permit.permit_type_name,
                "permit_number": permit.permit_number,
                "issue_date": permit.issue_date.strftime("%d-%m-%Y"),
            }
            values = {
                "rule_id": ids["rule"],
                "campaign_id": ids["campaign"],
                "partner_id": partner.id,
                "phone": partner.whatsapp_e164,
                "res_model": permit._name,
                "res_id": permit.id,
                "template_key": world.TEMPLATE,
                "event_key": f"naive:{permit.id}",
                "context_values": json.dumps(context),
                "company_id": permit.company_id.id,
            }
            # Without what the addon's own create() adds for people who queue by hand.
            models.BaseModel.create(queue, [values])


def _insert_select(session: Session, table: str, ids: dict[str, int], count: int) -> float:
    """Rows per second of one INSERT SELECT, commit included."""
    with session.environment() as env:
        begin = time.perf_counter()
        env.cr.execute(INSERT_SELECT.format(table=table), {**ids, "count": count})
        env.cr.commit()
        return count / (time.perf_counter() - begin)


def _mailing(session: Session) -> None:
    """T5: Odoo's own mass SMS, when it is there."""
    what = "addon / mass_mailing_sms"
    with session.environment() as env:
        if "sms_template_id" not in env.get("mailing.mailing", env["res.partner"])._fields:
            session.add("T5", what, unit="x", at_least=10, reason="mass_mailing_sms is not installed")
            return
        env.cr.execute("UPDATE res_partner SET phone = whatsapp_e164 WHERE whatsapp_e164 IS NOT NULL")
        last = env["res.partner"].search([("whatsapp_e164", "!=", False)], order="id", limit=MAILING)[-1:].id
    tell("mass_mailing_sms")

    def mailing() -> float:
        with session.environment() as env:
            one = env["mailing.mailing"].create(
                {
                    "subject": "Bench",
                    "mailing_type": "sms",
                    "mailing_model_id": env["ir.model"]._get_id("res.partner"),
                    "mailing_domain": f"[('whatsapp_e164', '!=', False), ('id', '<=', {last})]",
                    # As many parameters as the addon fills in.
                    "body_plaintext": " ".join(f"{{{{ object.{name} }}}}" for name in MAILED),
                }
            )
            env.cr.commit()
            elapsed = seconds(lambda: (one.action_send_sms(), env.flush_all(), env.cr.commit()))
            made = env["sms.sms"].search_count([("mailing_id", "=", one.id)])
            if made != MAILING:
                raise AssertionError(f"mass_mailing_sms made {made} messages of {MAILING}")
            return MAILING / elapsed

    speed = rounds(1, mailing=mailing)["mailing"]
    addon = next(line for line in session.lines if line.what.startswith("addon, campaign of"))
    session.add("T5", f"mass_mailing_sms, {MAILING:,} recipients", speed, "rows/s")
    session.add("T5", what, [addon.median / speed[0]], "x", at_least=10)


def _table(session: Session, ids: dict[str, int]) -> None:
    """T7: the same finished rows into the queue and into a table with an index on every other column."""
    tell("the tables")
    world.empty(session)
    _insert_select(session, QUEUE, ids, session.size.campaign)
    session.sql(f"CREATE TABLE {SOURCE} AS TABLE {QUEUE}")
    session.sql(f"CREATE TABLE {HEAVY} (LIKE {QUEUE} INCLUDING DEFAULTS, PRIMARY KEY (id))")
    for column in INDEXES:
        session.sql(f"CREATE INDEX ON {HEAVY} ({column})")
    for column, table in KEYS.items():
        session.sql(f"ALTER TABLE {HEAVY} ADD FOREIGN KEY ({column}) REFERENCES {table} (id)")
    session.sql(f"ANALYZE {SOURCE}")

    def into(table: str) -> float:
        session.sql(f"TRUNCATE {table} CASCADE")
        return session.size.campaign / seconds(
            lambda: session.sql(f"INSERT INTO {table} SELECT * FROM {SOURCE} ORDER BY id")
        )

    found = rounds(session.size.rounds, queue=lambda: into(QUEUE), heavy=lambda: into(HEAVY))
    session.add("T7", "the queue", found["queue"], "rows/s")
    session.add("T7", "a table with 8 indexes and 5 foreign keys", found["heavy"], "rows/s")
    session.add("T7", "queue / heavy table", ratios(found["queue"], found["heavy"]), "x", at_least=1.8)
    world.empty(session)
