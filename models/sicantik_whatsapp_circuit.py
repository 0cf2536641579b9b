import logging
from datetime import timedelta

from odoo import _, api, models

from ..providers import REFUSED, UNKNOWN, Attempt, errors
from .limits import precise_now
from .sicantik_whatsapp_event import APPLIED

_logger = logging.getLogger(__name__)

# Failures of the account or sender in a row that open the circuit; refused credentials open it at once.
FAILURES = 5
# Seconds until the first probe; doubled each time that one fails.
PROBE_AFTER = 60
PROBE_AFTER_AT_MOST = 3600
# Seconds for which a provider rests that asks to slow down and does not say for how long.
PAUSE = 10
ACTIVITY = "mail.mail_activity_data_warning"
LONGEST_PAUSE = 24 * 3600
FAILING = (errors.RETRY_LATER, errors.ACCOUNT_BLOCKED, errors.BAD_CREDENTIALS)


class SicantikWhatsappCircuit(models.AbstractModel):
    """Which providers are left alone for a while, because they fail or ask for it.

    A provider that fails several times in a row, for a reason that would hold for every message, is not asked
    any more: its circuit is open, `credential_state` says so, the managers get an activity. Messages go to
    the next provider or wait without spending attempts. From `probe_date` on a single message is tried; when
    it is taken the circuit closes, when not it waits twice as long.

    The counts are in `sicantik.notification.allowance`; whoever is fine has none there.
    """

    _name = "sicantik.whatsapp.circuit"
    _description = "WhatsApp Circuit"

    @api.model
    def _note(self, outcomes, certain=False):
        """Take note of what providers answered. Call it before anything else locks allowances in the same
        transaction.

        :param list outcomes: (provider id, Attempt), in the order in which they came
        :param bool certain: whether a single failure is enough: the service itself says that nothing works
        :return: whether something about a provider has changed
        :rtype: bool
        """
        if not outcomes:
            return False
        pauses, history = {}, {}
        now = precise_now()
        for provider_id, attempt in outcomes:
            if attempt.error_class == errors.RATE_LIMITED:
                if attempt.scope in (errors.SENDER, errors.ACCT):
                    wait = min(attempt.retry_after or PAUSE, LONGEST_PAUSE)
                    until = now + timedelta(seconds=wait)
                    pauses[provider_id] = max(until, pauses.get(provider_id, until))
            else:
                history.setdefault(provider_id, []).append(attempt)
        failing = {id_ for id_, attempts in history.items() if any(self._is_failure(one) for one in attempts)}
        states = self._states(history, lock=False)
        concerned = failing | states.keys()
        if pauses or concerned:  # all of them at once, in the order in which all workers lock them
            states = self._states(concerned | pauses.keys(), lock=True)
            self.env["sicantik.notification.allowance"]._pause(pauses)
            for id_ in sorted(concerned):
                self._apply(id_, history[id_], states[id_], now, certain)
        return bool(pauses or concerned)

    @api.model
    def _is_failure(self, attempt):
        """Whether an attempt speaks against the account or sender, and not against the one message."""
        if attempt.outcome == UNKNOWN:
            return True
        return attempt.error_class in FAILING and attempt.scope in (errors.SENDER, errors.ACCT)

    def _states(self, provider_ids, lock):
        """Read who has failed lately.

        :return: {provider id: (failures in a row, how often it opened, probe date, whether a probe is under
            way)}; when it is read without a lock, of those only that are not fine
        """
        subjects = sorted(f"provider:{id_}" for id_ in provider_ids)
        if lock:
            self.env["sicantik.notification.allowance"]._lock(subjects)
        self.env.cr.execute(
            """
            SELECT subject, COALESCE(failure_count, 0), COALESCE(open_count, 0), probe_date, probing
              FROM sicantik_notification_allowance
             WHERE subject = ANY(%s) AND (%s OR failure_count > 0 OR probe_date IS NOT NULL)
            """,
            [subjects, lock],
        )
        return {int(subject.partition(":")[2]): state for subject, *state in self.env.cr.fetchall()}

    def _apply(self, provider_id, attempts, state, now, certain=False):
        failures, opened, probe_date, probing = state
        was_open = bool(probe_date)
        worst = None
        for attempt in attempts:
            if not self._is_failure(attempt):
                failures, opened, probe_date, worst = 0, 0, None, None
                continue
            failures += 1
            worst = attempt
        at_once = worst is not None and (certain or worst.error_class == errors.BAD_CREDENTIALS)
        if worst is not None and (failures >= FAILURES or at_once):
            # Others that were under way when it opened are no news; the answer to a probe is.
            if not was_open or probing:
                opened += 1
                wait = min(PROBE_AFTER * 2 ** (opened - 1), PROBE_AFTER_AT_MOST)
                probe_date = now + timedelta(seconds=wait)
        self.env.cr.execute(
            """
            UPDATE sicantik_notification_allowance
               SET failure_count = %s, open_count = %s, probe_date = %s, probing = false
             WHERE subject = %s
            """,
            [failures, opened, probe_date, f"provider:{provider_id}"],
        )
        self.env["sicantik.notification.allowance"].invalidate_model()
        provider = self.env["sicantik.whatsapp.provider"].browse(provider_id).exists()
        if provider and probe_date and worst is not None:
            self._tell_open(provider, worst, was_open)
        elif provider and was_open and not probe_date:
            self._tell_closed(provider)

    # === TOLD BY WEBHOOK ===#

    @api.model
    def _apply_events(self, stored):
        """Apply what services told about senders; the last word about each counts.

        :param list[Stored] stored: the events, in the order in which they came
        :return: {event id: Verdict}
        :rtype: dict
        """
        last = {one.provider_id: one.event for one in stored}
        for provider in self.env["sicantik.whatsapp.provider"].browse(sorted(last)):
            change = last[provider.id]
            if change.works:
                self._reset(provider)
                if provider.credential_state == "error":
                    self._tell_closed(provider)
            else:
                known = change.error_class in FAILING
                attempt = Attempt(
                    REFUSED,
                    error_class=change.error_class if known else errors.ACCOUNT_BLOCKED,
                    error_message=change.error_message
                    or _("The service says that the sender does not work."),
                    scope=errors.SENDER,
                )
                self._note([(provider.id, attempt)], certain=True)
        return {one.id: APPLIED for one in stored}

    # === TELLING PEOPLE ===#

    def _tell_open(self, provider, attempt, was_open):
        provider.write({"credential_state": "error", "last_error_message": attempt.error_message or False})
        if was_open:
            return
        _logger.warning("Provider %s fails and is left alone for a while", provider.id)
        for user in self.env["sicantik.notification.alert"]._users(provider.company_id):
            # Quick: no e-mail about it from within the drain.
            provider.with_context(mail_activity_quick_update=True, lang=user.lang).activity_schedule(
                ACTIVITY,
                user_id=user.id,
                summary=_("This provider refuses messages"),
                note=_(
                    "Messages go to the next provider or wait. It is tried again by itself; after you have "
                    "put it right, “Test Connection” makes it take messages at once."
                ),
            )

    def _tell_closed(self, provider):
        if provider.credential_state == "error":
            provider.write({"credential_state": "configured", "last_error_message": False})
        provider.activity_unlink([ACTIVITY])

    @api.model
    def _reset(self, providers):
        """Forget failures: somebody has changed or tested the providers."""
        self.env.cr.execute(
            """
            UPDATE sicantik_notification_allowance
               SET failure_count = 0, open_count = 0, probe_date = NULL, probing = false, paused_until = NULL
             WHERE subject = ANY(%s)
               AND (failure_count > 0 OR probe_date IS NOT NULL OR paused_until > %s)
            """,
            [[f"provider:{id_}" for id_ in providers.ids], precise_now()],
        )
        if self.env.cr.rowcount:
            self.env["sicantik.notification.allowance"].invalidate_model()
            providers.sudo().activity_unlink([ACTIVITY])
