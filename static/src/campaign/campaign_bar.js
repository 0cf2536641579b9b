/** @odoo-module **/

import { registry } from "@web/core/registry";
import { formatFloat, formatInteger } from "@web/views/fields/formatters";
import { standardFieldProps } from "@web/views/fields/standard_field_props";
import { Component } from "@odoo/owl";

const PARTS = {
    total_sent: "bg-success",
    total_failed: "bg-danger",
    total_skipped: "bg-warning",
    total_cancelled: "bg-secondary",
    total_pending: "bg-200",
};

/** How far a campaign has come: a bar of what became of its messages, with a legend where there is room. */
export class CampaignBar extends Component {
    static template = "sicantik_notification_automation.CampaignBar";
    static props = { ...standardFieldProps, legend: { type: Boolean, optional: true } };

    get parts() {
        const { data, fields } = this.props.record;
        const total = data.total_targets || 1;
        return Object.entries(PARTS).map(([name, color]) => ({
            name,
            color,
            label: fields[name].string,
            count: data[name] || 0,
            text: formatInteger(data[name] || 0),
            style: `width: ${(100 * (data[name] || 0)) / total}%`,
        }));
    }

    get percent() {
        return formatFloat(this.props.record.data[this.props.name] || 0, { digits: [16, 0] });
    }

    /** What a screen reader says instead of showing the bar. */
    get summary() {
        return this.parts.map((part) => `${part.label}: ${part.text}`).join(", ");
    }
}

export const campaignBar = {
    component: CampaignBar,
    supportedTypes: ["float"],
    fieldDependencies: ["total_targets", ...Object.keys(PARTS)].map((name) => ({ name, type: "integer" })),
    extractProps: ({ options }) => ({ legend: Boolean(options.legend) }),
};

registry.category("fields").add("sicantik_campaign_bar", campaignBar);
