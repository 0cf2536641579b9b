/** @odoo-module **/

import { registry } from "@web/core/registry";
import { formatInteger } from "@web/views/fields/formatters";
import { standardFieldProps } from "@web/views/fields/standard_field_props";
import { Component } from "@odoo/owl";

const SIGNS = {
    send: "fa-check-circle text-success",
    skip: "fa-minus-circle text-muted",
    fail: "fa-times-circle text-danger",
};

/** What would become of messages: by whom they would go, or why not, and for example whose. */
export class OutlookField extends Component {
    static template = "sicantik_notification_automation.OutlookField";
    static props = { ...standardFieldProps };

    get lines() {
        const lines = this.props.record.data[this.props.name] || [];
        return lines.map((line) => ({ ...line, sign: SIGNS[line.kind], amount: formatInteger(line.count) }));
    }
}

registry.category("fields").add("sicantik_outlook", { component: OutlookField, supportedTypes: ["json", "jsonb"] });
