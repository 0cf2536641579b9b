from odoo import _, api, fields, models

from ..models.road import Refusal
from ..models.sicantik_notification_evaluation import Event, Failure
from ..models.sicantik_notification_queue import ONCE
from ..models.sicantik_notification_settlement import HELD_BACK

# Targets that are looked at; what is said of more of them is an estimate.
LIMIT = 10_000
CHUNK = 1000
SAMPLES = 3


class Findings:
    """What would become of messages: {(kind, text): [how many, samples]}, and who would hear something."""

    def __init__(self):
        self.groups, self.recipients = {}, set()

    def add(self, kind, text, sample=None):
        """Count one.

        :param str kind: `send`, `skip` or `fail`
        :param str text: why, or by whom
        :param str sample: whom it is about
        """
        group = self.groups.setdefault((kind, text), [0, []])
        group[0] += 1
        if sample and len(group[1]) < SAMPLES:
            group[1].append(sample)

    def listed(self):
        """Give what was counted, by kind and then by how often: [(kind, text, how many, samples)]."""
        order = {"send": 0, "skip": 1, "fail": 2}
        found = [(kind, text, *group) for (kind, text), group in self.groups.items()]
        return sorted(found, key=lambda one: (order[one[0]], -one[2]))

    def count(self, *kinds):
        return sum(count for (kind, _text), (count, _samples) in self.groups.items() if kind in kinds)


class SicantikNotificationDryRun(models.TransientModel):
    """What a campaign would do if it started now: how many messages, and which would not be sent and why.

    It goes the way of the messages, from the rule to the choice of the provider, and undoes it.
    """

    _name = "sicantik.notification.dry.run"
    _description = "Dry Run of a Campaign"

    campaign_id = fields.Many2one(
        "sicantik.notification.campaign", required=True, readonly=True, ondelete="cascade"
    )
    total_targets = fields.Integer(string="Targets", readonly=True)
    examined = fields.Integer(string="Targets Examined", readonly=True)
    is_estimate = fields.Boolean(readonly=True)
    recipient_count = fields.Integer(string="Recipients", readonly=True)
    send_count = fields.Integer(string="Would Be Sent", readonly=True)
    skip_count = fields.Integer(string="Would Be Skipped", readonly=True)
    fail_count = fields.Integer(string="Would Fail", readonly=True)
    line_ids = fields.One2many("sicantik.notification.dry.run.line", "dry_run_id", readonly=True)

    @api.model
    def _of(self, campaign):
        """Play a campaign without doing it.

        :param campaign: one campaign, which the user may change
        :return: the record that shows what came of it
        """
        return self._show(campaign, *self._findings(campaign))

    @api.model
    def _findings(self, campaign, limit=None):
        """Find out what would become of the messages of a campaign.

        :param campaign: one campaign
        :param int limit: how many targets are looked at; None: `LIMIT`
        :return: how many targets there are, how many were looked at, the Findings
        :rtype: tuple
        """
        campaign.ensure_one()
        campaign = campaign.sudo().with_company(campaign.company_id)
        findings, total, ids = Findings(), 0, []
        limit = limit or LIMIT
        with campaign._fence(f"dry run of campaign {campaign.id}", undo=True) as failure:
            targets, domain = self.env["sicantik.notification.expansion"]._audience(campaign)
            ids = targets.search(domain, order="id", limit=limit).ids
            total = len(ids) if len(ids) < limit else targets.search_count(domain)
        if failure.error:
            findings.add("fail", _("The target domain cannot be used: %s", failure.error))
        for start in range(0, len(ids), CHUNK):
            self._play(campaign, ids[start : start + CHUNK], findings)
        return total, len(ids), findings

    @api.model
    def _play(self, campaign, ids, findings):
        rule = campaign.rule_id
        records = campaign.env[campaign.target_model].browse(ids)
        trouble = Failure()
        found = Findings()
        with campaign._fence(f"dry run of campaign {campaign.id}", undo=True) as failure:
            events = dict.fromkeys(ids, Event("dry run"))
            rows = rule._prepare_rows(records, events, trouble, campaign.template_key)
            self._judge_rows(campaign, records, rows, found)
            for record in records.browse(set(ids) - {row["res_id"] for row in rows}):
                if trouble.error:
                    found.add("fail", _("The rule fails: %s", trouble.error), record.display_name)
                else:
                    found.add("skip", _("Held back by the repeat policy of the rule"), record.display_name)
        if failure.error:
            found = Findings()
            for _id in ids:
                found.add("fail", _("The rule fails: %s", failure.error))
        findings.recipients |= found.recipients
        for (kind, text), (count, samples) in found.groups.items():
            group = findings.groups.setdefault((kind, text), [0, []])
            group[0] += count
            group[1] += samples[: SAMPLES - len(group[1])]

    def _judge_rows(self, campaign, records, rows, found):
        """Say of each row what would become of it, as the queue and the drain would."""
        queue = self.env["sicantik.notification.queue"]
        labels = dict(queue._fields["error_class"]._description_selection(self.env))
        types = dict(queue._fields["provider_type"]._description_selection(self.env))
        channels = dict(queue._fields["channel"]._description_selection(self.env))
        names = {record.id: record.display_name for record in records}
        partners = campaign.env["res.partner"].browse(
            {row["partner_id"] for row in rows if row.get("partner_id")}
        )
        partner_names = {partner.id: partner.display_name for partner in partners}

        def sample(row, reason=None):
            who = partner_names.get(row.get("partner_id"))
            return " – ".join(filter(None, (names.get(row["res_id"]), who, reason)))

        found.recipients |= {row.get("phone") or row.get("email") or row.get("partner_id") for row in rows}
        found.recipients.discard(None)
        told = self._told(campaign, rows)
        pending = []
        for row in rows:
            if row["state"] != "pending":
                found.add("skip", labels.get(row["error_class"], ""), sample(row, row["error_message"]))
            elif row.get("event_key") in told:
                found.add("skip", _("Held back by the repeat policy of the rule"), sample(row))
            else:
                pending.append(row)
        for row, job in zip(pending, self._plan(campaign, pending), strict=True):
            if isinstance(job.verdict, Refusal):
                kind = "skip" if job.verdict.error_class in HELD_BACK else "fail"
                text = labels.get(job.verdict.error_class, "")
                found.add(kind, text, sample(row, job.verdict.error_message))
            else:
                way = types[job.routes[0].account.provider_type] if job.routes else channels[row["channel"]]
                found.add("send", way, sample(row))

    def _told(self, campaign, rows):
        """Give the keys of messages that a rule with the policy `once` has queued already."""
        queue = campaign.env["sicantik.notification.queue"]
        keys = {row["event_key"] for row in rows if ONCE in (row.get("event_key") or "")}
        if not keys:
            return set()
        free = {row["event_key"] for row in queue._without_told(rows)}
        there = queue.search_fetch([("event_key", "in", list(keys))], ["event_key"])
        return (keys - free) | set(there.mapped("event_key"))

    def _plan(self, campaign, rows):
        """Choose the providers of rows that do not exist.

        :rtype: list[road.Job]
        """
        jobs, _directory, _rules = campaign.env["sicantik.notification.trial"]._plan(rows)
        return jobs

    @api.model
    def _show(self, campaign, total, examined, findings):
        factor = total / examined if examined else 1

        def estimate(count):
            return round(count * factor)

        return self.create(
            {
                "campaign_id": campaign.id,
                "total_targets": total,
                "examined": examined,
                "is_estimate": total > examined,
                "recipient_count": estimate(len(findings.recipients)),
                "send_count": estimate(findings.count("send")),
                "skip_count": estimate(findings.count("skip")),
                "fail_count": estimate(findings.count("fail")),
                "line_ids": [
                    (
                        0,
                        0,
                        {"kind": kind, "reason": text, "amount": count, "samples": "\n".join(samples)},
                    )
                    for kind, text, count, samples in findings.listed()
                ],
            }
        )

    def action_start(self):
        """Start the campaign that was played."""
        self.ensure_one()
        self.campaign_id.action_start()
        return {"type": "ir.actions.act_window_close"}
