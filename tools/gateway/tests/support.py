"""A simulator in a process of its own, and short ways to talk to it."""

import json
import os
import subprocess
import sys
import unittest
from base64 import b64encode
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlencode

ROOT = Path(__file__).resolve().parents[3]
TIMEOUT = 10.0

META = "/meta/v23.0/200000000000002"
META_AUTH = {"Authorization": "Bearer META-TOKEN-DEMO"}
FONNTE_AUTH = {"Authorization": "FONNTE-TOKEN-DEMO"}
WATZAP_KEYS = {"api_key": "WATZAP-KEY-DEMO", "number_key": "WATZAP-NUMBER-DEMO"}
TWILIO = "/twilio/2010-04-01/Accounts/AC00000000000000000000000000000001"
TWILIO_AUTH = {
    "Authorization": "Basic " + b64encode(b"AC00000000000000000000000000000001:TWILIO-TOKEN-DEMO").decode()
}
WAHA_AUTH = {"X-Api-Key": "WAHA-KEY-DEMO"}
BUDI = "6281200000001"
SITI = "6281200000002"


def start(*arguments: str) -> tuple[subprocess.Popen, int]:
    """Start a simulator on a free port; return the process and the port once it listens."""
    command = [sys.executable, "-m", "tools.gateway", "--port", "0", *arguments]
    process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    line = process.stdout.readline()
    if not line.startswith("gateway ready on http://127.0.0.1:"):
        process.kill()
        raise AssertionError(f"unexpected first line: {line!r}")
    return process, int(line.rpartition(":")[2])


def end(process: subprocess.Popen) -> int:
    """Ask the process to end; return its exit code."""
    process.terminate()
    code = process.wait(TIMEOUT)
    process.stdin.close()
    process.stdout.close()
    return code


def template(name="izin_selesai", *values, language="id", names=()):
    """Return the `template` part of a Meta send."""
    part = {"name": name, "language": {"code": language}}
    if values:
        parameters = [{"type": "text", "text": value} for value in values]
        for parameter, parameter_name in zip(parameters, names, strict=False):
            parameter["parameter_name"] = parameter_name
        part["components"] = [{"type": "body", "parameters": parameters}]
    return part


class GatewayCase(unittest.TestCase):
    """Gives every test a simulator in its first state."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.process, cls.port = start("--parent", str(os.getpid()))
        cls.addClassCleanup(end, cls.process)

    def setUp(self):
        super().setUp()
        self.admin("POST", "/reset", {})

    def call(self, method, path, *, body=b"", headers=(), timeout=TIMEOUT):
        """Send one request on a fresh connection; return (status, headers, body bytes)."""
        connection = HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        try:
            connection.request(method, path, body, dict(headers))
            answer = connection.getresponse()
            return answer.status, answer.headers, answer.read()
        finally:
            connection.close()

    def json(self, method, path, values=None, headers=()):
        """Send JSON; return (status, parsed answer)."""
        body = b"" if values is None else json.dumps(values).encode()
        status, _headers, answer = self.call(method, path, body=body, headers=headers)
        return status, json.loads(answer)

    def admin(self, method, path, values=None):
        """Use an admin door that must answer 200; return its JSON."""
        status, answer = self.json(method, f"/admin{path}", values)
        self.assertEqual(status, 200, answer)
        return answer

    def messages(self, query=""):
        """Return what the phones got."""
        return self.admin("GET", f"/messages{query}")["messages"]

    def send_meta(self, values=None, **changes):
        """Send by Meta, a template unless `values` say otherwise; return (status, answer)."""
        values = values or {"type": "template", "template": template("izin_selesai", "Budi", "SIUP")}
        message = {"messaging_product": "whatsapp", "to": BUDI, **values, **changes}
        return self.json("POST", f"{META}/messages", message, META_AUTH)

    def form(self, path, headers=FONNTE_AUTH, **fields):
        """Post a form to Fonnte; return (status, answer)."""
        headers = {**headers, "Content-Type": "application/x-www-form-urlencoded"}
        status, _headers, body = self.call(
            "POST", f"/fonnte{path}", body=urlencode(fields).encode(), headers=headers
        )
        return status, json.loads(body)

    def send_fonnte(self, **fields):
        """Send by Fonnte; return (status, answer)."""
        return self.form("/send", **{"target": BUDI, "message": "Halo", **fields})

    def watzap(self, path, **fields):
        """Call Watzap with the right keys; return (status, answer)."""
        return self.json("POST", f"/watzap/v1{path}", {**WATZAP_KEYS, **fields})

    def send_watzap(self, **fields):
        """Send by Watzap; return (status, answer)."""
        return self.watzap("/send_message", **{"phone_no": BUDI, "message": "Halo", **fields})

    def send_twilio(self, headers=TWILIO_AUTH, account=TWILIO, **fields):
        """Send by Twilio, a text unless `fields` say otherwise; return (status, answer)."""
        fields = {"From": "whatsapp:+6221500000", "To": f"whatsapp:+{BUDI}", "Body": "Halo", **fields}
        headers = {**headers, "Content-Type": "application/x-www-form-urlencoded"}
        status, _headers, body = self.call(
            "POST", f"{account}/Messages.json", body=urlencode(fields).encode(), headers=headers
        )
        return status, json.loads(body)

    def send_waha(self, headers=WAHA_AUTH, **fields):
        """Send by WAHA; return (status, answer)."""
        message = {"session": "default", "chatId": f"{BUDI}@c.us", "text": "Halo", **fields}
        return self.json("POST", "/waha/api/sendText", message, headers)
