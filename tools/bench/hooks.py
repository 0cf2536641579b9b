"""T1 to T4: what capture costs where nobody watches, where somebody does, and when a rule matches."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from odoo import models

from . import world
from .lines import differences, ratios
from .session import Session, rounds, seconds, statements, tell

PLAIN = "x_bench_plain"
BATCH = 500
CREATED_AT_ONCE = 100
NEVER = "[('id', '<', 0)]"
#: What the names of the records begin with that are written to; others may be there before.
MADE = "Contact"


@dataclass(frozen=True)
class Watched:
    """A model to write to.

    :param model: its name
    :param field: the field that triggers and rules watch
    :param other: a field that nobody watches
    :param name: the field with the record's name
    """

    model: str
    field: str
    other: str
    name: str


MODELS = {
    "plain": Watched(PLAIN, "x_watched", "x_other", "x_name"),
    "partner": Watched("res.partner", "ref", "function", "name"),
}


class Switches:
    """The triggers and automation rules of one model, of which one at most is active at a time."""

    def __init__(self, session: Session, watched: Watched) -> None:
        self.session = session
        self.watched = watched
        with session.environment() as env:
            field = env["ir.model.fields"]._get(watched.model, watched.field)
            template = world.template(env, ["name", "ref"])
            self.ids = {
                ("sicantik.notification.trigger", "nomatch"): self._trigger(env, field, template, NEVER),
                ("sicantik.notification.trigger", "match"): self._trigger(env, field, template, False),
                ("base.automation", "nomatch"): self._automation(env, field, NEVER),
                ("base.automation", "match"): self._automation(env, field, False),
            }

    def _trigger(self, env: Any, field: Any, template: Any, condition: str | bool) -> int:
        trigger = env["sicantik.notification.trigger"].create(
            {
                "name": "Bench",
                "code": f"bench_{field.model.replace('.', '_')}_{'nomatch' if condition else 'match'}",
                "model_id": field.model_id.id,
                "trigger_type": "on_field_change",
                "field_to_watch": field.id,
                "active": False,
            }
        )
        env["sicantik.notification.rule"].create(
            {
                "name": "Bench",
                "trigger_id": trigger.id,
                "template_key": template.template_key,
                "condition_domain": condition,
                "recipient_type": "partner",
            }
        )
        return trigger.id

    def _automation(self, env: Any, field: Any, condition: str | bool) -> int:
        action = {"name": "Bench", "model_id": field.model_id.id, "state": "code", "code": "pass"}
        rule = env["base.automation"].create(
            {
                "name": "Bench",
                "model_id": field.model_id.id,
                "trigger": "on_create_or_write",
                "trigger_field_ids": [(6, 0, field.ids)],
                "filter_domain": condition,
                "action_server_ids": [(0, 0, action)],
                "active": False,
            }
        )
        return rule.id

    def choose(self, model: str = "", which: str = "") -> None:
        """Make one of them active (`choose("base.automation", "match")`), or none."""
        with self.session.environment(active_test=False) as env:
            for (name, kind), id_ in self.ids.items():
                record, active = env[name].browse(id_), (name, kind) == (model, which)
                if record.active != active:
                    record.active = active
        with self.session.environment() as env:
            env[self.watched.model].search([], limit=1)  # caches are filled anew


def run(session: Session) -> None:
    """Measure T1 to T4."""
    with session.environment() as env:
        world.quiet(env)
        world.plain_model(env, PLAIN)
    with session.environment() as env:
        world.partners(env, BATCH)
        env[PLAIN].create([{"x_name": f"{MADE} {number}"} for number in range(BATCH)])
    switches = {name: Switches(session, watched) for name, watched in MODELS.items()}
    for one in switches.values():
        one.choose()
    _bare_hook(session)
    _unwatched(session, switches)
    _cached_write(session, switches["plain"])
    for name, one in switches.items():
        _writes(session, name, one)
    _creates(session, switches["partner"])
    _matches(session, switches["partner"])


ADDON, ANCHOR = "sicantik.notification.trigger", "base.automation"


class Work:
    """Blocks of writes and creates on one model. Values are always new ones, so that something is written."""

    numbers = itertools.count()

    def __init__(self, session: Session, watched: Watched) -> None:
        self.session = session
        self.watched = watched

    def _records(self, env: Any) -> Any:
        domain = [(self.watched.name, "like", f"{MADE} %")]
        records = env[self.watched.model].search(domain, order="id", limit=BATCH)
        records.mapped(self.watched.field)
        return records

    def single(self, count: int, field: str, commit_each: bool = False) -> Callable[[Any], None]:
        """Single writes, one after another."""

        def work(env: Any) -> None:
            records = self._records(env)
            for position in range(count):
                records[position % len(records)].write({field: f"v{next(self.numbers)}"})
                env.flush_all()
                if commit_each:
                    env.cr.commit()

        return work

    def batch(self, count: int, field: str) -> Callable[[Any], None]:
        """Writes to 500 records at once, each committed."""

        def work(env: Any) -> None:
            for _batch in range(count):
                self._records(env).write({field: f"v{next(self.numbers)}"})
                env.cr.commit()

        return work

    def create(self, count: int) -> Callable[[Any], None]:
        """Creates of 100 records at once, one commit."""

        def work(env: Any) -> None:
            for _batch in range(max(1, count // CREATED_AT_ONCE)):
                env[self.watched.model].create(
                    [
                        {
                            "name": f"Created {next(self.numbers)}",
                            self.watched.field: f"v{next(self.numbers)}",
                        }
                        for _record in range(CREATED_AT_ONCE)
                    ]
                )
                env.flush_all()

        return work

    def time(self, work: Callable[[Any], None]) -> float:
        """Seconds of a block in a transaction of its own, commit included; records are read before."""
        with self.session.environment() as env:
            self._records(env)

            def block() -> None:
                work(env)
                env.cr.commit()

            return seconds(block)

    def count(self, work: Callable[[Any], None]) -> dict[str, int]:
        """Statements of the same block, the second time: the first fills the caches."""
        self.time(work)
        with self.session.environment() as env:
            self._records(env)
            with statements() as counts:
                work(env)
                env.cr.commit()
        return counts


def _bare_hook(session: Session) -> None:
    """T1: the override alone."""
    tell("the bare hook")
    calls = session.size.hook_calls
    with session.environment() as env:
        empty = env[PLAIN]

        def sample(function: Callable[..., Any]) -> float:
            begin = time.perf_counter()
            for _call in range(calls):
                function(empty, {})
            return (time.perf_counter() - begin) / calls * 1e6

        found = rounds(
            9, hooked=lambda: sample(type(empty).write), bare=lambda: sample(models.BaseModel.write)
        )
    session.add("T1", "write({}) through the addon's hook", found["hooked"], "us")
    session.add("T1", "write({}) of BaseModel", found["bare"], "us")
    session.add("T1", "the hook", differences(found["hooked"], found["bare"]), "us", at_most=0.5)


def _unwatched(session: Session, switches: dict[str, Switches]) -> None:
    """T1: statements with a trigger and with an automation rule on another model."""
    tell("unwatched models")
    plain, partner = switches["plain"], switches["partner"]
    jobs = {
        "plain, single write": (Work(session, plain.watched).single(20, "x_watched"), plain, partner, 20),
        "partner, single write": (Work(session, partner.watched).single(20, "ref"), partner, plain, 20),
        "partner, create of 100": (Work(session, partner.watched).create(100), partner, plain, 100),
    }
    for what, (work, own, other, count) in jobs.items():
        measured = Work(session, own.watched)
        without = measured.count(work)["all"]
        other.choose(ADDON, "match")
        with_addon = measured.count(work)["all"]
        other.choose(ANCHOR, "match")
        with_anchor = measured.count(work)["all"]
        other.choose()
        session.add("T1", f"{what}: SQL, nothing anywhere", [without / count])
        session.add("T1", f"{what}: extra SQL, base_automation elsewhere", [(with_anchor - without) / count])
        session.add("T1", f"{what}: extra SQL, addon", [(with_addon - without) / count], equal=0)


def _cached_write(session: Session, switches: Switches) -> None:
    """T2: the time of the hook when the model is watched and the written field is not."""
    tell("a field that nobody watches")
    switches.choose(ADDON, "match")
    calls = max(500, session.size.hook_calls // 20)
    name = switches.watched.other
    with session.environment() as env:
        record = env[PLAIN].search([], limit=1)
        record.read()

        def sample(function: Callable[..., Any]) -> float:
            begin = time.perf_counter()
            for number in range(calls):
                function(record, {name: f"v{number}"})
            return (time.perf_counter() - begin) / calls * 1e6

        found = rounds(
            9, hooked=lambda: sample(type(record).write), bare=lambda: sample(models.BaseModel.write)
        )
        env.cr.rollback()
    switches.choose()
    session.add("T2", "plain, one write() in the cache, BaseModel", found["bare"], "us")
    session.add("T2", "the hook", differences(found["hooked"], found["bare"]), "us", at_most=20)


def _writes(session: Session, name: str, switches: Switches) -> None:
    """T2 and T3: statements and time of writes of the unwatched and the watched field."""
    tell(f"writes to {name}")
    watched, work = switches.watched, Work(session, switches.watched)
    count = 20
    own, other = work.single(count, watched.field), work.single(count, watched.other)
    each = work.single(count, watched.field, commit_each=True)
    found = {}
    for model, which in (("", ""), (ANCHOR, "nomatch"), (ADDON, "nomatch")):
        switches.choose(model, which)
        found[model] = [work.count(one)["all"] / count for one in (other, own, each)]
    bare, anchor, addon = found[""], found[ANCHOR], found[ADDON]
    session.add("T2", f"{name}, single write: extra SQL, base_automation", [anchor[0] - bare[0]])
    session.add("T2", f"{name}, single write: extra SQL, addon", [addon[0] - bare[0]], equal=0)
    for position, label in ((1, "one transaction"), (2, "commit each")):
        what = f"{name}, single write, {label}: extra SQL"
        session.add("T3", f"{what}, base_automation", [anchor[position] - bare[position]])
        session.add("T3", f"{what}, addon", [addon[position] - bare[position]], at_most=1)
    _write_times(session, name, switches, work)


def _write_times(session: Session, name: str, switches: Switches, work: Work) -> None:
    size, field = session.size, switches.watched.field
    singles, each = work.single(size.single, field), work.single(size.single, field, commit_each=True)

    def variant(model: str, block: Callable[[Any], None]) -> Callable[[], float]:
        def sample() -> float:
            switches.choose(model, "nomatch" if model else "")
            return work.time(block) / size.single * 1e6

        return sample

    found = rounds(
        size.rounds,
        none=variant("", singles),
        anchor=variant(ANCHOR, singles),
        addon=variant(ADDON, singles),
        none_each=variant("", each),
        anchor_each=variant(ANCHOR, each),
        addon_each=variant(ADDON, each),
    )
    switches.choose()
    for suffix, label in (("", "one transaction"), ("_each", "commit each")):
        what, none = f"{name}, single write, {label}", found[f"none{suffix}"]
        session.add("T3", f"{what}: without either", none, "us")
        session.add("T3", f"{what}: base_automation", ratios(found[f"anchor{suffix}"], none), "x")
        limit = {"at_most": 1.5} if name == "plain" else {}
        session.add("T3", f"{what}: addon", ratios(found[f"addon{suffix}"], none), "x", **limit)


def _creates(session: Session, switches: Switches) -> None:
    """T3: statements of creating partners."""
    tell("creates of partners")
    work = Work(session, switches.watched)
    found = {}
    for model in ("", ANCHOR, ADDON):
        switches.choose(model, "nomatch" if model else "")
        found[model] = work.count(work.create(CREATED_AT_ONCE))["all"] / CREATED_AT_ONCE
    switches.choose()
    what = "partner, create of 100: extra SQL per record"
    session.add("T3", f"{what}, base_automation", [found[ANCHOR] - found[""]])
    session.add("T3", f"{what}, addon", [found[ADDON] - found[""]], at_most=0.05)


def _matches(session: Session, switches: Switches) -> None:
    """T4: 500 partners at once, each gets a message."""
    tell("matches")
    work, size, field = Work(session, switches.watched), session.size, switches.watched.field
    block = work.batch(size.batches, field)

    def variant(model: str) -> Callable[[], float]:
        def sample() -> float:
            session.sql("TRUNCATE sicantik_notification_queue, sicantik_notification_log")
            switches.choose(model, "match" if model else "")
            return work.time(block) / size.batches / BATCH * 1e6

        return sample

    found = rounds(size.rounds, none=variant(""), anchor=variant(ANCHOR), addon=variant(ADDON))
    extra = {name: differences(found[name], found["none"]) for name in ("anchor", "addon")}
    switches.choose(ADDON, "match")
    counts = work.count(work.batch(1, field))
    switches.choose()
    ((queued,),) = session.sql("SELECT count(*) FROM sicantik_notification_queue")
    if not queued:
        raise AssertionError("the rule was to match and queued nothing")
    session.add("T4", "without either, per record", found["none"], "us")
    session.add("T4", "extra per record, base_automation with `pass`", extra["anchor"], "us")
    session.add("T4", "extra per record, addon with a queued message", extra["addon"], "us")
    session.add(
        "T4", "addon's extra / base_automation's", ratios(extra["addon"], extra["anchor"]), "x", at_most=1.2
    )
    inserts = counts["INSERT sicantik_notification_queue"]
    session.add("T4", "INSERTs into the queue for 500 messages", [inserts], at_most=1)
    session.add("T4", "SQL statements for 500 messages, commit included", [counts["all"]])
