"""Filling the queue and sending it: by the drain, and by the loop of every first version."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from dataclasses import dataclass

import requests

from . import cpu, world
from .session import Session
from .simulator import Simulator, form


@dataclass(frozen=True)
class Sample:
    """One measured sending.

    :param speed: messages per second
    :param cpu: CPU milliseconds per message, of everything
    :param client: of it, those of the process that sends
    :param postgres: those of PostgreSQL
    """

    speed: float
    cpu: float
    client: float
    postgres: float


def fill(session: Session, count: int) -> None:
    """Nothing but `count` due messages in the queue, each with its number as its parameter."""
    world.empty(session)
    rule = "(SELECT id FROM sicantik_notification_rule WHERE active ORDER BY id DESC LIMIT 1)"
    world.queue(session, count, rule_id=rule)


def pending(session: Session) -> int:
    """How many messages are still to be sent."""
    states = "('pending', 'processing')"
    return session.sql(f"SELECT count(*) FROM sicantik_notification_queue WHERE state IN {states}")[0][0]


def drain(session: Session) -> float:
    """Call the scheduled action until nothing is left.

    :return: seconds inside the calls
    """
    elapsed = 0.0
    while pending(session):
        with session.environment() as env:
            begin = time.perf_counter()
            done = env["sicantik.notification.queue"].cron_process_queue()
            elapsed += time.perf_counter() - begin
        if not done["processed"] and pending(session):
            raise AssertionError("the drain leaves due messages")
    return elapsed


def naive(session: Session, simulator: Simulator) -> float:
    """The loop of every first version, in plain SQL: post, write, commit. Gives seconds."""
    with session.registry.cursor() as cr:
        cr.execute(
            "SELECT id, partner_id, phone, context_values FROM sicantik_notification_queue ORDER BY id"
        )
        rows = cr.fetchall()
        begin = time.perf_counter()
        for id_, partner_id, phone, context in rows:
            answer = requests.post(
                simulator.address,
                headers=simulator.headers,
                data=form(phone, f"number: {json.loads(context)['number']}."),
                timeout=30,
            ).json()
            cr.execute(
                """
                UPDATE sicantik_notification_queue
                   SET state = 'sent', sent_date = now() at time zone 'UTC', external_message_id = %s
                 WHERE id = %s
                """,
                [answer["id"][0], id_],
            )
            cr.execute(
                """
                INSERT INTO sicantik_notification_log (queue_id, partner_id, phone, state, sent_date,
                                                       external_message_id, create_date)
                VALUES (%s, %s, %s, 'sent', now() at time zone 'UTC', %s, now() at time zone 'UTC')
                """,
                [id_, partner_id, phone, answer["id"][0]],
            )
            cr.commit()
        return time.perf_counter() - begin


def sample(
    session: Session, simulator: Simulator, delay: int, count: int, work: Callable[[], float]
) -> Sample:
    """Send `count` messages by `work`, which gives seconds, and check that each arrived once."""
    fill(session, count)
    simulator.begin(delay)
    pids = [os.getpid(), session.postmaster, session.gateway_pid]
    before = [cpu.seconds([pid]) for pid in pids]
    elapsed = work()
    spent = [cpu.seconds([pid]) - first for pid, first in zip(pids, before, strict=True)]
    arrived = simulator.count()
    if arrived != count or pending(session):
        raise AssertionError(f"{arrived} of {count} messages arrived, {pending(session)} are pending")
    client, postgres, gateway = (seconds / count * 1000 for seconds in spent)
    return Sample(count / elapsed, client + postgres + gateway, client, postgres)
