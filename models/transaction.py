"""Short transactions of our own, apart from the one that the caller is in.

The drain must commit its claims before a request leaves and its results right after, whatever transaction the
scheduled action or the button runs in. This is the only place of the addon where that is done.
"""

import logging
import random
import threading
import time

import psycopg2

from odoo import SUPERUSER_ID, api
from odoo.modules import module

from .sicantik_notification_evaluation import CONCURRENCY_ERRORS

_logger = logging.getLogger(__name__)

TRIES = 8


def shares_cursor(env):
    """Tell whether we are inside a test that rolls everything back.

    Such a test holds its records in a transaction that never commits, where no other cursor could see them.
    """
    return bool(module.current_test or getattr(threading.current_thread(), "testing", False))


def committed(env, work):
    """Run work(env) in a new transaction and commit it.

    :param env: any environment of the database
    :param work: function of an Environment in superuser mode, with the context of `env`; it may run several
        times, since cursors are REPEATABLE READ and parallel drains collide now and then
    :return: what `work` returns; records must not leave it
    """
    context = {key: value for key, value in env.context.items() if key != "active_test"}
    if shares_cursor(env):
        with env.cr.savepoint():
            return work(env(user=SUPERUSER_ID, su=True, context=context))
    for attempt in range(1, TRIES + 1):
        try:
            with env.registry.cursor() as cr:
                return work(api.Environment(cr, SUPERUSER_ID, context))
        except psycopg2.Error as error:
            if error.pgcode not in CONCURRENCY_ERRORS or attempt == TRIES:
                raise
            _logger.debug("transaction collided with another one (%s), trying again", error.pgcode)
            time.sleep(random.uniform(0, 0.02 * 2**attempt))
    raise AssertionError("unreachable")
