"""`make demo-send`: approve a permit in Odoo and watch the message arrive at the simulated phone."""

from __future__ import annotations

import time
from typing import Any

from . import rpc, run
from .console import SetupError, say
from .waiting import wait_until

PERMIT = "sicantik.permit"
PATIENCE = 60
#: One approval may send more than one message; the others arrive with the first.
SETTLING = 0.5


def main() -> int:
    """Use what `make run` runs in another terminal, else start everything for this one message."""
    if running := run.find():
        _send(running)
        say()
        say(f"See it on the phone page: {running.gateway}")
        return 0
    say("Nothing is running in this checkout; starting everything for this one message.")
    with run.started() as (running, _processes):
        _send(running)
    return 0


def _send(running: run.Running) -> None:
    client = running.client()
    permit = _draft_permit(client)
    number = permit["registration_id"]
    phone = _phone_of(client, permit["partner_id"])
    inbox = f"{running.gateway}/admin/messages?to={phone.lstrip('+')}"
    seen = max((message["id"] for message in rpc.fetch(inbox)["messages"]), default=0)
    say(f"Approving permit {number} of {permit['partner_id'][1]} ({phone})")
    begin = time.monotonic()
    client.call(PERMIT, "write", [permit["id"]], {"state": "approved"})
    arrived: list[dict[str, Any]] = []

    def look() -> bool:
        arrived[:] = rpc.fetch(f"{inbox}&since_id={seen}")["messages"]
        return bool(arrived)

    if not wait_until(look, seconds=PATIENCE):
        raise SetupError(_diagnosis(client, permit["id"]))
    seconds = time.monotonic() - begin
    time.sleep(SETTLING)
    look()
    say(f"Arrived after {seconds:.1f} s:")
    for message in arrived:
        say()
        say(f"  through {message['provider']} for {message['to']}")
        for line in message["text"].splitlines():
            say(f"  | {line}")


def _draft_permit(client: rpc.Client) -> dict[str, Any]:
    """A permit in draft whose applicant has a WhatsApp number; made anew when none is left."""
    fields = ["registration_id", "partner_id"]
    domain = [["state", "=", "draft"], ["partner_id.whatsapp_e164", "!=", False]]
    found = client.call(PERMIT, "search_read", domain, fields, limit=1)
    if not found:
        known = client.call(
            PERMIT,
            "search_read",
            [["partner_id.whatsapp_e164", "!=", False]],
            ["partner_id", "permit_type_id", "applicant_name"],
            limit=1,
        )
        if not known:
            raise SetupError("There is no demo permit with a WhatsApp number; was the demo data deleted?")
        values = {
            "partner_id": known[0]["partner_id"][0],
            "permit_type_id": known[0]["permit_type_id"] and known[0]["permit_type_id"][0],
            "applicant_name": known[0]["applicant_name"],
            "state": "draft",
        }
        permit_id = client.call(PERMIT, "create", values)
        found = client.call(PERMIT, "read", [permit_id], fields)
    return found[0]


def _phone_of(client: rpc.Client, partner: list[Any]) -> str:
    return client.call("res.partner", "read", [partner[0]], ["whatsapp_e164"])[0]["whatsapp_e164"]


def _diagnosis(client: rpc.Client, permit_id: int) -> str:
    """Where the message stopped on its way, in words."""
    domain = [["permit_id", "=", permit_id]]
    fields = ["state", "error_message", "scheduled_date"]
    rows = client.call("sicantik.notification.queue", "search_read", domain, fields)
    lines = [f"No message arrived within {PATIENCE} s."]
    if not rows:
        lines.append(
            "No queue entry was made: is the trigger permit_state_change active, with an active rule? "
            "(SICANTIK > Automatic Notifications > Configuration)"
        )
    for row in rows:
        reason = row["error_message"] or f"scheduled for {row['scheduled_date'] or 'now'} (UTC)"
        lines.append(f"Queue entry {row['id']} is {row['state']}: {reason}")
    return "\n".join(lines)
