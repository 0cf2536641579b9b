"""Short transactions of our own, apart from the one that the caller is in.

The drain must commit its claims before a request leaves and its results right after, whatever transaction the
scheduled action or the button runs in. This is the only place of the addon where that is done.
"""

import logging
import random
import threading
import time

import psycopg2
from psycopg2.extensions import ISOLATION_LEVEL_READ_COMMITTED

from odoo import SUPERUSER_ID, api
from odoo.modules import module
from odoo.sql_db import Cursor

from .sicantik_notification_evaluation import CONCURRENCY_ERRORS

_logger = logging.getLogger(__name__)

TRIES = 8
LOCK_TIMEOUT = "5s"
# Seconds for which a transaction is tried again while the database cannot be reached: what a restart takes.
PATIENCE = 60


def shares_cursor(env):
    """Tell whether we are inside a test that rolls everything back.

    Such a test holds its records in a transaction that never commits, where no other cursor could see them.
    """
    if not isinstance(env.cr, Cursor):  # a test's cursor, in the request of a browser
        return True
    return bool(module.current_test or getattr(threading.current_thread(), "testing", False))


def committed(env, work):
    """Run work(env) in a new transaction and commit it; see `Transactions.run`."""
    with Transactions(env) as transactions:
        return transactions.run(work)


class Transactions:
    """Short transactions, one after the other, on one connection of their own.

    They are READ COMMITTED: each statement sees what others have committed by then. So what is read after a
    lock was taken is current, and a claim passes over rows that others claim instead of failing on them. And
    no snapshot grows old while requests are under way.

    In a test that holds its records in one transaction they are savepoints of that transaction.

    :param env: any environment of the database; its context, without `active_test`, goes to the work
    """

    def __init__(self, env):
        self._registry = env.registry
        self._given = {key: value for key, value in env.context.items() if key != "active_test"}
        self._shared = env if shares_cursor(env) else None
        self._cursor = None

    def __enter__(self):
        return self

    def __exit__(self, *_exception):
        self.close()

    def run(self, work, tries=TRIES):
        """Run work(env) in a transaction and commit it.

        A transaction that collides with another one, or whose connection is lost, is tried again: `work` may
        run several times, the last time after a commit whose answer was lost.

        :param work: function of an Environment in superuser mode
        :param int tries: how often at most, when it collides with others
        :return: what `work` returns; records must not leave it
        """
        if self._shared:
            with self._shared.cr.savepoint():
                return work(self._environment(self._shared.cr))
        collisions, deadline = 0, time.monotonic() + PATIENCE
        while True:
            try:
                return self._once(work)
            except psycopg2.Error as error:
                lost = self._cursor is None  # the class of the error does not tell
                if lost and time.monotonic() < deadline:
                    _logger.warning("The database cannot be reached; trying again")
                    time.sleep(random.uniform(0.5, 1.5))
                    continue
                collisions += 1
                if error.pgcode not in CONCURRENCY_ERRORS or collisions == tries:
                    raise
                _logger.debug("transaction collided with another one (%s), trying again", error.pgcode)
                time.sleep(random.uniform(0, 0.02 * 2**collisions))

    def close(self):
        """Give the connection back."""
        if self._shared:
            self._leave(self._shared.cr)
            return
        if self._cursor is not None:
            try:
                self._leave(self._cursor)
                self._cursor.commit()
                self._cursor.close()
            except psycopg2.Error:
                self._drop()
            self._cursor = None

    @property
    def is_lost(self):
        """Whether the database could not be reached, for longer than anybody's patience."""
        return not self._shared and self._cursor is None

    # === FOR SUBCLASSES ===#

    def _enter(self, cr):
        """Prepare a new connection."""

    def _leave(self, cr):
        """Undo what `_enter` did, before the connection goes back to those of all."""

    # === INSIDE ===#

    def _once(self, work):
        if self._cursor is None:
            self._connect()
        try:
            result = work(self._environment(self._cursor))
            self._cursor.commit()
            return result
        except BaseException:
            self._roll_back()
            raise

    def _connect(self):
        cursor = self._registry.cursor()
        try:
            cursor._cnx.set_isolation_level(ISOLATION_LEVEL_READ_COMMITTED)
            # The caller's own transaction may hold what we wait for, and would wait for us for ever.
            cursor.execute("SET lock_timeout = %s", [LOCK_TIMEOUT])
            self._enter(cursor)
            cursor.commit()
        except BaseException:
            cursor._cnx.close()  # and not back to the pool with what `_enter` has done
            raise
        self._cursor = cursor

    def _roll_back(self):
        if self._cursor is None:
            return
        try:
            self._cursor.rollback()
        except psycopg2.Error:
            self._drop()
        else:
            if self._cursor._cnx.closed:
                self._drop()

    def _drop(self):
        """Forget a broken connection; the pool does when it sees that it is closed."""
        cr, self._cursor = self._cursor, None
        try:
            cr._cnx.close()
            cr.close()
        except psycopg2.Error:
            _logger.debug("a lost connection could not be closed")

    def _environment(self, cr):
        return api.Environment(cr, SUPERUSER_ID, self._given)
