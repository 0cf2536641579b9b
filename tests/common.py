"""What the tests share: the gateway simulator, records of their own, and asserts in the field's words."""

import os
import subprocess
import sys
from pathlib import Path

import requests

from odoo.tests import HttpCase, TransactionCase, tagged

ADDON = Path(__file__).resolve().parents[1]
TIMEOUT = 10


class Gateway:
    """The gateway simulator, a process of its own on a free port of 127.0.0.1, reached over real HTTP."""

    @classmethod
    def start(cls, test_class):
        """Start one for the tests of a class; it ends with them."""
        gateway = cls()
        test_class.addClassCleanup(gateway.stop)
        return gateway

    def __init__(self):
        self.process = subprocess.Popen(
            [
                os.environ.get("SICANTIK_PYTHON") or sys.executable,
                "-m",
                "tools.gateway",
                "--host=127.0.0.1",
                "--port=0",
                f"--parent={os.getpid()}",
            ],
            cwd=os.environ.get("SICANTIK_ROOT") or ADDON,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.url = self.process.stdout.readline().split()[-1]

    def stop(self):
        self.process.terminate()
        self.process.wait(TIMEOUT)
        self.process.stdout.close()

    def _call(self, method, path, **kwargs):
        answer = requests.request(method, f"{self.url}/admin/{path}", timeout=TIMEOUT, **kwargs)
        answer.raise_for_status()
        return answer.json()

    def reset(self):
        """Forget everything: messages, requests, faults; restore the accounts."""
        self._call("POST", "reset")

    def messages(self, **filters):
        """Give the messages that services took, oldest first (`provider=`, `to=` filter)."""
        return self._call("GET", "messages", params=filters)["messages"]

    def requests(self, **filters):
        """Give every request seen, oldest first."""
        return self._call("GET", "requests", params=filters)["requests"]

    def fault(self, provider, fault, times=None, **options):
        """Make a provider fail: a code of its own, or `http:500`, `cut_after_read`, `slow`, …"""
        self._call("POST", "faults", json={"provider": provider, "fault": fault, "times": times, **options})

    def clear_faults(self):
        self._call("DELETE", "faults")

    def account(self, **patch):
        """Change what the services know: `meta={"open_windows": ["62812…"]}`, `fonnte={"connected":
        False}`.
        """
        self._call("POST", "accounts", json=patch)


@tagged("post_install", "-at_install")
class NotificationCase(TransactionCase):
    """Fixtures of the notification tests: nothing shipped or of the demo is active."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.gateway = Gateway.start(cls)
        cls.env = cls.env(context={**cls.env.context, "tracking_disable": True, "lang": "en_US", "tz": "UTC"})
        for name in ("whatsapp.provider", "notification.rule", "notification.trigger"):
            cls.env[f"sicantik.{name}"].search([]).write({"active": False})
        cls.env["sicantik.notification.blacklist"].with_context(active_test=False).search([]).unlink()
        cls._forget_the_past()
        cls.queue = cls.env["sicantik.notification.queue"]
        cls.logs = cls.env["sicantik.notification.log"]
        cls.dispatcher = cls.env["sicantik.whatsapp.dispatcher"]
        cls.template = cls.env["sicantik.whatsapp.template.master"].create(
            {
                "template_key": "test_ready",
                "name": "Ready",
                "body_preview": "Dear {{partner_name}}, permit {{permit_number}} is ready.",
                "parameter_list": ["partner_name", "permit_number"],
            }
        )
        cls.meta_template = cls.env["sicantik.whatsapp.template.master"].create(
            {
                "template_key": "meta_test_ready",
                "name": "Ready (Meta)",
                "body_preview": "Dear {{partner_name}}, permit {{permit_number}} is ready.",
                "parameter_list": ["partner_name", "permit_number"],
                "meta_template_name": "izin_siap",
            }
        )
        cls.partner = cls._partner("Ani", "081200000001")

    def setUp(self):
        super().setUp()
        self.gateway.reset()
        self.commit()

    @classmethod
    def _forget_the_past(cls):
        """Delete the messages of the demo, their log and what came of them; its campaigns are drafts, and its
        permits and documents archived, as their dates could be those of a test.
        """
        cls.env.flush_all()
        for name in ("notification.log", "notification.queue", "notification.execution", "whatsapp.event"):
            table = cls.env[f"sicantik.{name}"]._table
            cls.env.cr.execute(f"DELETE FROM {table}")  # pylint: disable=sql-injection
        cls.env.cr.execute("UPDATE sicantik_permit SET active = false")
        cls.env.cr.execute("UPDATE sicantik_document SET active = false")
        cls.env.invalidate_all()
        cls.env["sicantik.notification.campaign"].search([]).state = "draft"
        cls.env["sicantik.auto.message"].search([]).state = "draft"

    # === FIXTURES ===#

    @classmethod
    def _partner(cls, name, number=False, **vals):
        return cls.env["res.partner"].create({"name": name, "whatsapp_number": number, **vals})

    @classmethod
    def _provider(cls, provider_type, **vals):
        """Create a provider that speaks to the simulator with the credentials that it accepts."""
        credentials = {
            "meta": {
                "api_token": "META-TOKEN-DEMO",
                "sender_id": "200000000000002",
                "account_id": "100000000000001",
            },
            "fonnte": {"api_token": "FONNTE-TOKEN-DEMO"},
            "watzap": {"api_token": "WATZAP-KEY-DEMO", "sender_id": "WATZAP-NUMBER-DEMO"},
            "waha": {"api_token": "WAHA-KEY-DEMO"},
            "twilio": {
                "api_token": "TWILIO-TOKEN-DEMO",
                "sender_id": "+6221500000",
                "account_id": "AC00000000000000000000000000000001",
            },
        }[provider_type]
        return cls.env["sicantik.whatsapp.provider"].create(
            {
                "name": provider_type.capitalize(),
                "provider_type": provider_type,
                "base_url": f"{cls.gateway.url}/{provider_type}",
                "credential_state": "configured",
                **credentials,
                **vals,
            }
        )

    @classmethod
    def _trigger(cls, code="test_state", model="sicantik.permit", **vals):
        return cls.env["sicantik.notification.trigger"].create(
            {
                "name": code,
                "code": code,
                "model_id": cls.env["ir.model"]._get_id(model),
                "trigger_type": "on_state_change",
                **vals,
            }
        )

    @classmethod
    def _rule(cls, trigger, **vals):
        return cls.env["sicantik.notification.rule"].create(
            {
                "name": f"Rule of {trigger.code}",
                "trigger_id": trigger.id,
                "template_key": "test_ready",
                **vals,
            }
        )

    @classmethod
    def _permit(cls, **vals):
        return cls.env["sicantik.permit"].create(
            {"partner_id": cls.partner.id, "permit_number": "503/0001", **vals}
        )

    @classmethod
    def _row(cls, **vals):
        """Queue one message by hand."""
        return cls.queue.create(
            {
                "partner_id": cls.partner.id,
                "template_key": "test_ready",
                "context_values": {"partner_name": "Ani", "permit_number": "503/0001"},
                **vals,
            }
        )

    # === TRANSACTIONS ===#

    def commit(self):
        """Do what a commit does, but for committing: hooks run, and what the transaction knew is
        forgotten.
        """
        self.env.cr.flush()
        self.env.cr.postcommit.run()

    def rows(self, **values):
        """Give the queue rows with these values, oldest first."""
        return self.queue.search([(name, "=", value) for name, value in values.items()], order="id")

    def drain(self):
        """Run the scheduled action and forget what was cached of the rows."""
        result = self.queue.cron_process_queue()
        self.env.invalidate_all()
        return result

    # === ASSERTS ===#

    def assertQueued(self, partners, **values):
        """Assert that exactly these partners have a row with these values, one each."""
        found = self.rows(**values)
        self.assertEqual(
            sorted(row.partner_id.name for row in found),
            sorted(partner.name for partner in partners),
            found.read(),
        )
        return found

    def assertSent(self, row, provider_type):
        self.assertEqual(
            (row.state, row.provider_type, row.error_message), ("sent", provider_type, False), row.read()
        )

    def assertAttempts(self, row, expected):
        """Assert the log of a row: [(state, provider type, reason)] in order."""
        logs = self.logs.search([("queue_id", "=", row.id)], order="id")
        self.assertEqual([(log.state, log.provider_type, log.error_class) for log in logs], expected)


class TourCase(HttpCase):
    """A browser, the simulator, and the one provider that is on, which sends to it. All rules are off."""

    browser_size = "1366,768"

    def setUp(self):
        super().setUp()
        self.gateway = Gateway.start(type(self))
        self.env = self.env(context={"tracking_disable": True})
        self.env["sicantik.notification.rule"].search([]).active = False
        self.env["sicantik.whatsapp.provider"].search([]).active = False
        self.env["sicantik.whatsapp.provider"].create(
            {
                "name": "Tour",
                "provider_type": "fonnte",
                "base_url": f"{self.gateway.url}/fonnte",
                "api_token": "FONNTE-TOKEN-DEMO",
                "credential_state": "configured",
            }
        )
