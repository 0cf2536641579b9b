"""The demo office a little later: messages have gone out, so that the pages have something to show."""

from __future__ import annotations

from ..env import rpc

QUEUE, PERMIT = "sicantik.notification.queue", "sicantik.permit"
TIME_ZONE = "Asia/Jakarta"
OFFICE, NUMBER = "DPMPTSP Kota Contoh", "+6281200000099"


def prepare(client: rpc.Client) -> None:
    """Approve what waits for it, and send the messages to the simulated phones.

    :param client: connected as the administrator, to a database of its own with demo data; its providers are
        connected to the simulator
    """
    me = {"tz": TIME_ZONE, "name": "Administrator", "image_1920": False, "whatsapp_number": NUMBER}
    client.call("res.users", "write", [client.uid], me)
    client.call("res.company", "write", [1], {"name": OFFICE})
    writable = [["state", "=", "draft"], ["partner_id.whatsapp_e164", "!=", False]]
    for permit in client.call(PERMIT, "search", writable, limit=2):
        client.call(PERMIT, "write", [permit], {"state": "approved"})
    client.call(QUEUE, "cron_process_queue")


def speak(client: rpc.Client, language: str) -> None:
    """Let the administrator's pages be in a language (`id_ID`)."""
    client.call("res.users", "write", [client.uid], {"lang": language})
