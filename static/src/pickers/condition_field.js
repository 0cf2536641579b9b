/** @odoo-module **/

import { Domain } from "@web/core/domain";
import { _t } from "@web/core/l10n/translation";
import { registry } from "@web/core/registry";
import { CharField } from "@web/views/fields/char/char_field";
import { DomainField } from "@web/views/fields/domain/domain_field";
import { standardFieldProps } from "@web/views/fields/standard_field_props";
import { Component, useState } from "@odoo/owl";

const STRINGS = /'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"/g;
const CONSTANTS = ["True", "False", "None"];

/** Tell whether the builder can show a domain: it has values only, no names such as `datetime`. */
export function isPlain(text) {
    const names = text.replace(STRINGS, "''").match(/[A-Za-z_]\w*/g) || [];
    if (names.some((name) => !CONSTANTS.includes(name))) {
        return false;
    }
    try {
        new Domain(text || "[]");
        return true;
    } catch {
        return false;
    }
}

/** A domain, in Odoo's builder where that can show it, and as text where it cannot or where people like to. */
export class ConditionField extends Component {
    static template = "sicantik_notification_automation.ConditionField";
    static components = { CharField, DomainField };
    static props = {
        ...standardFieldProps,
        resModel: { type: String, optional: true },
        placeholder: { type: String, optional: true },
    };

    setup() {
        this.state = useState({ asText: false });
    }

    get text() {
        return this.props.record.data[this.props.name] || "";
    }

    get model() {
        const given = this.props.resModel;
        return given in this.props.record.data ? this.props.record.data[given] : given;
    }

    get isPlain() {
        return isPlain(this.text);
    }

    get inBuilder() {
        return Boolean(this.model) && this.isPlain && !this.state.asText;
    }

    get charProps() {
        const { id, name, record, readonly, placeholder } = this.props;
        return { id, name, record, readonly, placeholder };
    }

    get builderProps() {
        const { id, name, record, readonly } = this.props;
        return { id, name, record, readonly, resModel: this.model, context: {} };
    }
}

export const conditionField = {
    component: ConditionField,
    displayName: _t("Condition"),
    supportedTypes: ["char"],
    isEmpty: () => false,
    extractProps: ({ attrs, options }) => ({
        resModel: options.model,
        placeholder: attrs.placeholder,
    }),
};

registry.category("fields").add("sicantik_condition", conditionField);
