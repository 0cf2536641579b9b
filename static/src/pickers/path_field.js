/** @odoo-module **/

import { ModelFieldSelector } from "@web/core/model_field_selector/model_field_selector";
import { _t } from "@web/core/l10n/translation";
import { registry } from "@web/core/registry";
import { CharField } from "@web/views/fields/char/char_field";
import { standardFieldProps } from "@web/views/fields/standard_field_props";
import { Component } from "@odoo/owl";

const RELATIONS = ["many2one", "one2many", "many2many"];

/** The path of a field that leads to other records, such as `permit_id.partner_id`, chosen step by step. */
export class PathField extends Component {
    static template = "sicantik_notification_automation.PathField";
    static components = { CharField, ModelFieldSelector };
    static props = {
        ...standardFieldProps,
        resModel: { type: String },
        placeholder: { type: String, optional: true },
    };

    get model() {
        return this.props.record.data[this.props.resModel];
    }

    get selectorProps() {
        return {
            path: this.props.record.data[this.props.name] || "",
            resModel: this.model,
            readonly: this.props.readonly,
            allowEmpty: true,
            filter: (field) => RELATIONS.includes(field.type),
            update: (path) => this.props.record.update({ [this.props.name]: path || false }),
        };
    }

    get charProps() {
        const { id, name, record, readonly, placeholder } = this.props;
        return { id, name, record, readonly, placeholder };
    }
}

export const pathField = {
    component: PathField,
    displayName: _t("Path of a Field"),
    supportedTypes: ["char"],
    extractProps: ({ attrs, options }) => ({
        resModel: options.model,
        placeholder: attrs.placeholder,
    }),
};

registry.category("fields").add("sicantik_path", pathField);
