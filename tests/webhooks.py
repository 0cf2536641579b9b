"""What tests of webhooks share: events as providers tell them, told directly or over HTTP."""

import hashlib
import hmac
import json
from contextlib import nullcontext
from itertools import count

import requests

from odoo import fields
from odoo.tests import HttpCase

from ..providers import events
from .common import TIMEOUT, NotificationCase

SECRET = "META-SECRET-DEMO"
VERIFY = "META-VERIFY-DEMO"


class EventCase(NotificationCase):
    """Events are stored as the door stores them, and applied by the scheduled action."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.events = cls.env["sicantik.whatsapp.event"]
        cls.blacklist = cls.env["sicantik.notification.blacklist"]
        cls.partner.write({"whatsapp_opt_in": True})
        cls.numbers = count(1)

    @classmethod
    def _meta(cls, **vals):
        return cls._provider("meta", **{"app_secret": SECRET, "verify_token": VERIFY, **vals})

    def tell(self, provider, *told):
        """Have a provider tell events, without applying them; give their rows."""
        last = self.events.search([], limit=1).id or 0
        self.events._store(provider, told)
        return self.events.search([("id", ">", last)], order="id")

    def told(self, provider, *told):
        """Have a provider tell events and apply them; give their rows."""
        rows = self.tell(provider, *told)
        self.drain()
        return rows

    def wait_for_the_pair(self):
        """Let the time pass after which Meta takes a second message to the same number."""
        self.env["sicantik.whatsapp.pair"].search([]).unlink()
        self.rows(state="pending").scheduled_date = fields.Datetime.now()

    def receipt(self, message_id, state, key="", **values):
        return events.Receipt(key or f"{message_id}:{state}", message_id, state, **values)

    def inbound(self, text, phone="+6281200000001", **values):
        return events.Inbound(f"in:{next(self.numbers)}", phone, text=text, **values)

    def send(self, **vals):
        """Send one message, each to a number of its own: Meta takes one in six seconds to the same one. Give
        its row and log row.
        """
        row = self._row(**{"phone": f"0812000{next(self.numbers):05}", **vals})
        self.drain()
        return row, self.logs.search([("queue_id", "=", row.id)], order="id")[-1:]


class DoorCase(HttpCase, EventCase):
    """Real HTTP: Odoo's own server, called by us or by the simulator."""

    def setUp(self):
        super().setUp()
        self.env["ir.config_parameter"].sudo().set_param("web.base.url", self.base_url())

    def path(self, provider):
        return f"/sicantik/webhook/{provider.id}/{provider.webhook_token}"

    def call(self, path, body=b"", method="POST", **kwargs):
        """Call the door, without a session."""
        self.env.flush_all()
        url = self.base_url() + path
        with self.open_doors():
            return requests.request(method, url, data=body, timeout=TIMEOUT, allow_redirects=False, **kwargs)

    def open_doors(self):
        """Let requests in while the test waits for them; Odoo 19 refuses what it did not send itself."""
        allow = getattr(self, "allow_requests", None)
        return allow(all_requests=True) if allow else nullcontext()

    def signed(self, provider, body, secret=SECRET):
        """Call the door as Meta does."""
        body = body if isinstance(body, bytes) else json.dumps(body).encode()
        signature = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
        return self.call(
            self.path(provider),
            body,
            headers={"X-Hub-Signature-256": f"sha256={signature}", "Content-Type": "application/json"},
        )

    def connect(self, provider, **settings):
        """Tell the simulator where the webhooks of a provider go."""
        self.gateway.account(
            **{provider.provider_type: {"callback_url": self.base_url() + self.path(provider), **settings}}
        )

    def happen(self, provider, event, **values):
        """Let something happen at the simulated service; give the statuses that we answered."""
        values = {"provider": provider.provider_type, "event": event, **values}
        self.env.flush_all()
        with self.open_doors():
            return [call["status"] for call in self.gateway._call("POST", "hooks", json=values)["calls"]]
