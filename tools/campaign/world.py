"""The records of a run: contacts, permits, a rule without limits, the simulator's account, a campaign.

Run inside Odoo's interpreter by `run`; prints the campaign's id as JSON.
"""

from __future__ import annotations

import json
from typing import Any

from ..bench import world
from ..chaos.inside import open_registry, transaction
from ..past import FORGET

MODULE = "sicantik_notification_automation"
CRONS = ("ir_cron_process_queue", "ir_cron_campaign_batch")


def build(env: Any, gateway: str, size: int) -> dict:
    """Silence what the demo brought, and make the run's own records.

    :param size: how many permits, with an applicant each
    """
    world.quiet(env)
    for name in CRONS:
        env.ref(f"{MODULE}.{name}").active = True
    env.cr.execute(FORGET)
    env["sicantik.notification.blacklist"].with_context(active_test=False).search([]).unlink()
    env.cr.execute("UPDATE res_partner SET whatsapp_e164 = NULL")  # of the demo; nobody else is written to
    world.partners(env, size)
    env["sicantik.permit"].search([]).active = False
    world.permits(env, size)
    env.cr.execute("UPDATE sicantik_permit SET permit_number = 'K' || lpad(id::text, 7, '0') WHERE active")
    env.invalidate_all()
    template = world.template(env, ["permit_number"])
    world.provider(env, gateway)
    campaign = env["sicantik.notification.campaign"].create(
        {"name": "Campaign", "rule_id": world.rule(env, template.template_key).id, "target_domain": "[]"}
    )
    return {"campaign": campaign.id}


def main() -> None:
    """Build the world in the database of the command line."""
    registry, values = open_registry()
    print(json.dumps(transaction(registry, lambda env: build(env, values["gateway"], values["size"]))))


if __name__ == "__main__":
    main()
