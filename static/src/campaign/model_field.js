/** @odoo-module **/

import { registry } from "@web/core/registry";
import { useService } from "@web/core/utils/hooks";
import { standardFieldProps } from "@web/views/fields/standard_field_props";
import { Component, onWillStart } from "@odoo/owl";

/** Choose a model by what people call it; the field holds its technical name. */
export class ModelField extends Component {
    static template = "sicantik_notification_automation.ModelField";
    static props = { ...standardFieldProps, id: { type: String, optional: true } };

    setup() {
        const orm = useService("orm");
        onWillStart(async () => {
            this.models = await orm.call(this.props.record.resModel, "get_target_models", []);
        });
    }

    get value() {
        return this.props.record.data[this.props.name] || "";
    }

    /** What is in the field is offered too, whatever it is. */
    get options() {
        const known = this.models.some(([model]) => model === this.value);
        const others = known || !this.value ? [] : [[this.value, ""]];
        return [...this.models, ...others].map(([model, name]) => ({
            model,
            label: name ? `${name} (${model})` : model,
        }));
    }

    get label() {
        return this.options.find((option) => option.model === this.value)?.label || "";
    }

    onChange(ev) {
        this.props.record.update({ [this.props.name]: ev.target.value || false });
    }
}

registry.category("fields").add("sicantik_model", { component: ModelField, supportedTypes: ["char"] });
