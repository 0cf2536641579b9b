"""The records of a run: providers, templates, rules, people, permits, and lanes that drain side by side.

Run inside Odoo's interpreter by `run`; prints the ids that the loader needs as JSON.
"""

from __future__ import annotations

import json
from typing import Any

from ..past import FORGET
from .books import LIMIT
from .inside import open_registry, transaction

MODULE = "sicantik_notification_automation"
#: Drains at once: the scheduled action and copies of it, since Odoo runs one scheduled action once at a time.
LANES = 4
PEOPLE = 1000
PERMITS = 1500
CREDENTIALS = {
    "meta": {"api_token": "META-TOKEN-DEMO", "sender_id": "200000000000002", "account_id": "100000000000001"},
    "fonnte": {"api_token": "FONNTE-TOKEN-DEMO"},
    "watzap": {"api_token": "WATZAP-KEY-DEMO", "sender_id": "WATZAP-NUMBER-DEMO"},
}


def build(env: Any, gateway: str) -> dict:
    """Silence what the demo brought, and make the run's own records.

    :return: ids: `rules` {kind: id}, `companies` {policy: id}, `partners`, `permits`, `lanes`
    """
    for name in ("whatsapp.provider", "notification.rule"):
        env[f"sicantik.{name}"].search([]).write({"active": False})
    env.cr.execute(FORGET)
    companies = {name: env["res.company"].create({"name": f"Chaos {name}"}) for name in ("hold", "resend")}
    for sequence, (provider_type, policy) in enumerate(
        (("meta", "hold"), ("fonnte", "hold"), ("watzap", "resend")), 1
    ):
        env["sicantik.whatsapp.provider"].create(
            {
                "name": f"{provider_type} ({policy})",
                "provider_type": provider_type,
                "sequence": sequence,
                "company_id": companies[policy].id,
                "on_interrupted": policy,
                "base_url": f"{gateway}/{provider_type}",
                "credential_state": "configured",
                **CREDENTIALS[provider_type],
            }
        )
    for prefix in ("", "meta_"):
        env["sicantik.whatsapp.template.master"].create(
            {
                "template_key": f"{prefix}chaos",
                "name": f"{prefix}chaos",
                "body_preview": "Izin {{permit_number}} telah disetujui.",
                "parameter_list": '["permit_number"]',
                "meta_template_name": "chaos",
                "meta_status": "approved" if prefix else "draft",
            }
        )
    partners = env["res.partner"].create(
        [
            {
                "name": f"Warga {number}",
                "whatsapp_number": f"+6281200{number:06d}",
                "whatsapp_opt_in": number % 2 == 0,  # Meta asks for it; the others go to Fonnte
            }
            for number in range(PEOPLE)
        ]
    )
    permits = env["sicantik.permit"].create(
        [
            {"partner_id": partners[number % PEOPLE].id, "company_id": companies["hold"].id}
            for number in range(PERMITS)
        ]
    )
    return {
        "rules": _rules(env),
        "companies": {policy: company.id for policy, company in companies.items()},
        "partners": partners.ids,
        "permits": permits.ids,
        "lanes": _lanes(env),
    }


def _rules(env: Any) -> dict[str, int]:
    never = "[('id', '=', 0)]"  # its rows are queued by hand
    kinds = {
        "hold": {"condition_domain": never},
        "resend": {"condition_domain": never},
        "permit": {"condition_domain": "[('state', '=', 'approved')]"},
        "limited": {
            "condition_domain": never,
            "rate_limit_enabled": True,
            "rate_limit_count": LIMIT,
            "rate_limit_period": "minute",
        },
    }
    trigger = env.ref(f"{MODULE}.sicantik_notification_trigger_permit_state_change")
    trigger.active = True
    return {
        kind: env["sicantik.notification.rule"]
        .create(
            {
                "name": f"Chaos: {kind}",
                "trigger_id": trigger.id,
                "template_key": "chaos",
                "recipient_type": "partner",
                "rate_limit_enabled": False,
                "retry_delay": 0,
                **values,
            }
        )
        .id
        for kind, values in kinds.items()
    }


def _lanes(env: Any) -> list[int]:
    drain = env.ref(f"{MODULE}.ir_cron_process_queue")
    ours = env["ir.model.data"].search([("module", "=", MODULE), ("model", "=", "ir.cron")]).mapped("res_id")
    env["ir.cron"].search([("id", "not in", ours)]).write({"active": False})
    lanes = drain
    for number in range(2, LANES + 1):
        lanes |= drain.copy({"name": f"{drain.name} ({number})", "active": True})
    return lanes.ids


def main() -> None:
    """Build the world in the database of the command line."""
    registry, values = open_registry()
    made = transaction(registry, lambda env: build(env, values["gateway"]))
    print(json.dumps(made))


if __name__ == "__main__":
    main()
