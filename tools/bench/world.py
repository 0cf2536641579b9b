"""What is measured with: contacts, permits, messages, a model of one's own. All names are invented."""

from __future__ import annotations

from typing import Any

from .session import Session

TEMPLATE = "bench"


def quiet(env: Any) -> None:
    """Put the addon's own triggers, rules and providers out of the way, and every scheduled action."""
    for name in ("notification.trigger", "notification.rule", "whatsapp.provider"):
        env[f"sicantik.{name}"].search([]).active = False
    env["ir.cron"].search([]).active = False


def template(env: Any, parameters: list[str]) -> Any:
    """A master template with these parameters."""
    found = env["sicantik.whatsapp.template.master"].search([("template_key", "=", TEMPLATE)])
    return found or found.create(
        {
            "template_key": TEMPLATE,
            "name": "Bench",
            "body_preview": " ".join(f"{name}: {{{{{name}}}}}." for name in parameters),
            "parameter_list": parameters,
        }
    )


def plain_model(env: Any, name: str) -> None:
    """A model of one's own with three columns and nothing else."""
    fields = {"x_name": "char", "x_watched": "char", "x_other": "char"}
    env["ir.model"].create(
        {
            "name": "Bench",
            "model": name,
            "field_id": [
                (0, 0, {"name": field, "ttype": kind, "field_description": field})
                for field, kind in fields.items()
            ],
        }
    )


def partners(env: Any, count: int) -> None:
    """Contacts with invented numbers, by SQL."""
    env.cr.execute(
        """
        INSERT INTO res_partner (name, complete_name, active, type, is_company, color, lang, tz,
                                 whatsapp_number, whatsapp_e164, create_uid, create_date, write_uid,
                                 write_date)
        SELECT 'Contact ' || n, 'Contact ' || n, true, 'contact', false, 0, 'en_US', 'Asia/Jakarta',
               '+62812' || lpad(n::text, 8, '0'), '+62812' || lpad(n::text, 8, '0'), 1, now(), 1, now()
          FROM generate_series(1, %s) AS n
        """,
        [count],
    )
    env.cr.execute("ANALYZE res_partner")
    env.invalidate_all()


def permits(env: Any, count: int) -> None:
    """Approved permits, by SQL: one for each of the first `count` contacts of `partners`."""
    env.cr.execute(
        """
        INSERT INTO sicantik_permit (registration_id, permit_number, applicant_name, partner_id,
                                     permit_type_id, permit_type_name, state, issue_date, expiry_date,
                                     is_renewal, active, company_id, create_uid, create_date, write_uid,
                                     write_date)
        SELECT 'REG/' || p.id, '503/' || p.id, p.name, p.id, kind.id, kind.name, 'approved', '2026-01-15',
               '2031-01-14', false, true, %s, 1, now(), 1, now()
          FROM res_partner AS p
    CROSS JOIN (SELECT id, name FROM sicantik_permit_type ORDER BY id LIMIT 1) AS kind
         WHERE whatsapp_e164 IS NOT NULL
      ORDER BY p.id
         LIMIT %s
        """,
        [env.company.id, count],
    )
    env.cr.execute("ANALYZE sicantik_permit")
    env.invalidate_all()


def empty(session: Session) -> None:
    """Empty queue and log, so that every measurement begins alike."""
    session.sql("TRUNCATE sicantik_notification_queue, sicantik_notification_log")


def queue(session: Session, count: int, **columns: str) -> None:
    """Put finished rows into the queue, by SQL, and bring its statistics up to date.

    :param columns: SQL of columns, in which `n` is the row's number from 1, beside what a due message has
    """
    values = {
        "message_type": "'template'",
        "template_key": f"'{TEMPLATE}'",
        "context_values": "json_build_object('number', n)::text",
        "event_key": "'bench:' || nextval('sicantik_notification_queue_id_seq')",
        "scheduled_date": "now() at time zone 'UTC' - interval '1 minute'",
        "create_date": "now() at time zone 'UTC'",
        **{"company_id": "1", "priority": "5", "state": "'pending'"},
        **{"max_retries": "3", "retry_count": "0", "attempt_count": "0"},
        **columns,
    }
    session.sql(
        f"""
        WITH contact AS (
            SELECT id, whatsapp_e164, row_number() OVER (ORDER BY id) - 1 AS position, count(*) OVER () AS all
              FROM res_partner WHERE whatsapp_e164 IS NOT NULL
        )
        INSERT INTO sicantik_notification_queue (partner_id, phone, {", ".join(values)})
        SELECT contact.id, contact.whatsapp_e164, {", ".join(values.values())}
          FROM generate_series(1, {count:d}) AS n
          JOIN contact ON contact.position = n % contact.all
      ORDER BY n
        """
    )
    session.sql("VACUUM ANALYZE sicantik_notification_queue")


def rule(env: Any, template_key: str, model: str = "sicantik.permit") -> Any:
    """A rule without limits, on a trigger that nothing fires."""
    trigger = env["sicantik.notification.trigger"].create(
        {
            "name": "Bench",
            "code": "bench",
            "model_id": env["ir.model"]._get_id(model),
            "trigger_type": "manual",
        }
    )
    return env["sicantik.notification.rule"].create(
        {
            "name": "Bench",
            "trigger_id": trigger.id,
            "template_key": template_key,
            "rate_limit_enabled": False,
        }
    )


def provider(env: Any, gateway: str) -> Any:
    """A Fonnte account at the gateway simulator, without limits."""
    return env["sicantik.whatsapp.provider"].create(
        {
            "name": "Bench",
            "provider_type": "fonnte",
            "base_url": f"{gateway}/fonnte",
            "api_token": "FONNTE-TOKEN-DEMO",
            "credential_state": "configured",
        }
    )
