/** @odoo-module **/

import { registry } from "@web/core/registry";
import { standardFieldProps } from "@web/views/fields/standard_field_props";
import { Component } from "@odoo/owl";
import { parseText, readObject } from "./whatsapp_text";

/** A text as the recipient sees it in WhatsApp. Parameters show their samples. */
export class Bubble extends Component {
    static template = "sicantik_notification_automation.Bubble";
    static props = {
        text: { type: String, optional: true },
        // Texts by the names of parameters.
        samples: { type: Object, optional: true },
    };

    get parsed() {
        return parseText(this.props.text, this.props.samples || {});
    }
}

/**
 * A Text field as a bubble. Where the record also has `known_samples` and `sample_values` (JSON objects),
 * its placeholders show them.
 */
export class BubbleField extends Component {
    static template = "sicantik_notification_automation.BubbleField";
    static components = { Bubble };
    static props = { ...standardFieldProps };

    get text() {
        return this.props.record.data[this.props.name] || "";
    }

    get samples() {
        const { known_samples, sample_values } = this.props.record.data;
        return { ...readObject(known_samples), ...readObject(sample_values) };
    }
}

registry.category("fields").add("sicantik_bubble", { component: BubbleField, supportedTypes: ["text", "char"] });
