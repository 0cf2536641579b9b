/** @odoo-module **/

import { _t } from "@web/core/l10n/translation";
import { registry } from "@web/core/registry";
import { useBus } from "@web/core/utils/hooks";
import { CharField } from "@web/views/fields/char/char_field";
import { standardFieldProps } from "@web/views/fields/standard_field_props";
import { Component, useRef } from "@odoo/owl";

/**
 * Values of a Char that are chosen by their labels: one, or several that are stored separated by commas.
 *
 * What there is to choose comes from a Json field of the record, `[{value, label}]`. Where that is empty the
 * text is edited as it is. A value can be typed too, as a label or as it is stored.
 */
export class ChoicesField extends Component {
    static template = "sicantik_notification_automation.ChoicesField";
    static components = { CharField };
    static props = {
        ...standardFieldProps,
        choices: { type: String },
        single: { type: Boolean, optional: true },
        placeholder: { type: String, optional: true },
    };

    setup() {
        this.input = useRef("input");
        useBus(this.props.record.model.bus, "NEED_LOCAL_CHANGES", (ev) => {
            if (this.input.el && this.input.el.value) {
                ev.detail.proms.push(this.onTyped());
            }
        });
    }

    get text() {
        return this.props.record.data[this.props.name] || "";
    }

    get choices() {
        return this.props.record.data[this.props.choices] || [];
    }

    get values() {
        const parts = this.props.single ? [this.text] : this.text.split(",");
        return parts.map((part) => part.trim()).filter(Boolean);
    }

    get tags() {
        return this.values.map((value) => {
            const choice = this.choices.find((one) => one.value === value);
            return { value, label: choice ? choice.label : value, known: Boolean(choice) };
        });
    }

    get free() {
        const values = this.values;
        return this.choices.filter((choice) => !values.includes(choice.value));
    }

    /** Several labels may be the same: the value tells them apart. */
    nameOf(choice) {
        return choice.label === choice.value ? choice.label : `${choice.label} (${choice.value})`;
    }

    get listId() {
        return `${this.props.id || this.props.name}_choices`;
    }

    get removeLabel() {
        return _t("Remove");
    }

    async set(values) {
        await this.props.record.update({ [this.props.name]: values.join(",") || false });
    }

    remove(value) {
        return this.set(this.values.filter((one) => one !== value));
    }

    onSelect(ev) {
        return this.set(ev.target.value ? [ev.target.value] : []);
    }

    async onTyped() {
        const typed = this.input.el.value.split(",").map((part) => part.trim());
        this.input.el.value = "";
        const found = typed.filter(Boolean).map((part) => this.find(part));
        const values = this.values;
        const added = found.filter((value) => !values.includes(value));
        if (added.length) {
            await this.set([...values, ...added]);
        }
    }

    find(text) {
        const wanted = text.toLowerCase();
        const choice = this.choices.find((one) =>
            [one.value, one.label, this.nameOf(one)].some((name) => name.toLowerCase() === wanted)
        );
        return choice ? choice.value : text;
    }

    onKeydown(ev) {
        if (ev.key === "Backspace" && !ev.target.value && this.values.length) {
            this.set(this.values.slice(0, -1));
        }
    }
}

export const choicesField = {
    component: ChoicesField,
    displayName: _t("Choices"),
    supportedTypes: ["char"],
    extractProps: ({ attrs, options }) => ({
        choices: options.choices,
        single: Boolean(options.single),
        placeholder: attrs.placeholder,
    }),
};

registry.category("fields").add("sicantik_choices", choicesField);
