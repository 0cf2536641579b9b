"""T14: the statistics of campaigns, and that nothing is counted while messages are settled."""

from __future__ import annotations

import time

from . import world
from .lines import ratios
from .session import Session, rounds, statements, tell

CAMPAIGNS = 20
STATES = "(ARRAY['sent', 'sent', 'failed', 'skipped', 'pending'])[n % 5 + 1]"
BATCH = 200
TOTALS = [
    *("total_targets", "total_sent", "total_failed", "total_skipped", "total_pending"),
    "progress_percentage",
]


def run(session: Session) -> None:
    """Measure T14."""
    with session.environment() as env:
        world.quiet(env)
        world.partners(env, 1_000)
        template = world.template(env, ["number"])
        rule = world.rule(env, template.template_key)
        campaigns = env["sicantik.notification.campaign"].create(
            [
                {"name": f"Bench {number}", "rule_id": rule.id, "target_model": "sicantik.permit"}
                for number in range(CAMPAIGNS)
            ]
        )
        ids = campaigns.ids
        campaigns.state = "running"
        rule_id = rule.id
    large = session.size.statistics_rows
    tell(f"a campaign of {large:,} messages, others of {large // 100:,}, and messages without one")
    world.empty(session)
    for position, id_ in enumerate(ids):
        mine = {"rule_id": str(rule_id), "campaign_id": str(id_)}
        world.queue(session, large // 100 if position else large, state=STATES, **mine)
    world.queue(session, large, state=STATES)
    _totals(session, ids, large)
    _writes(session, ids[0], large)


def _totals(session: Session, ids: list[int], large: int) -> None:
    """The computed totals, read as a form or a list reads them, the cache empty."""
    tell("totals")

    def read(ids: list[int]) -> float:
        with session.environment() as env:
            campaigns = env["sicantik.notification.campaign"].browse(ids)
            campaigns.mapped("name")
            begin = time.perf_counter()
            values = campaigns.read(TOTALS)
            elapsed = time.perf_counter() - begin
        if values[0]["total_targets"] != large:
            raise AssertionError(f"the totals say {values[0]['total_targets']} of {large}")
        return elapsed * 1000

    found = rounds(max(5, session.size.rounds), one=lambda: read(ids[:1]), all=lambda: read(ids))
    session.add("T14", f"totals of a campaign of {large:,}", found["one"], "ms", at_most=100)
    session.add("T14", f"totals of a list of {len(ids)} campaigns", found["all"], "ms")
    with session.environment() as env:
        campaigns = env["sicantik.notification.campaign"].browse(ids)
        campaigns.mapped("name")
        with statements() as counts:
            campaigns.read(TOTALS)
    session.add("T14", f"SQL statements for a list of {len(ids)} campaigns", [counts["all"]], at_most=1)


def _writes(session: Session, campaign_id: int, large: int) -> None:
    """A batch write of states: of the large campaign, and of messages of no campaign and no rule."""
    tell("batch writes")

    def write(domain: list[tuple[str, str, int | bool]]) -> float:
        with session.environment() as env:
            rows = env["sicantik.notification.queue"].search(
                [*domain, ("state", "=", "sent")], limit=BATCH, order="id"
            )
            rows.mapped("state")
            begin = time.perf_counter()
            rows.write({"state": "failed"})
            env.flush_all()
            elapsed = time.perf_counter() - begin
            env.cr.rollback()
        return elapsed * 1000

    found = rounds(
        max(5, session.size.rounds),
        campaign=lambda: write([("campaign_id", "=", campaign_id)]),
        alone=lambda: write([("campaign_id", "=", False), ("rule_id", "=", False)]),
    )
    session.add("T14", f"write of {BATCH} states, messages of no campaign", found["alone"], "ms")
    session.add("T14", f"write of {BATCH} states, of a campaign of {large:,}", found["campaign"], "ms")
    session.add("T14", "with / without a campaign", ratios(found["campaign"], found["alone"]), "x", at_most=2)
