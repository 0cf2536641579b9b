/** @odoo-module **/

import { _t } from "@web/core/l10n/translation";
import { registry } from "@web/core/registry";
import { TextField, textField } from "@web/views/fields/text/text_field";
import { useEffect, useState } from "@odoo/owl";
import { Bubble } from "../bubble/bubble";
import { hasBrokenPlaceholder, namesIn, readObject } from "../bubble/whatsapp_text";

// Characters of a body at Meta.
const META_LIMIT = 1024;
const MARKS = [
    { mark: "*", icon: "fa-bold", name: "bold" },
    { mark: "_", icon: "fa-italic", name: "italic" },
    { mark: "~", icon: "fa-strikethrough", name: "strike" },
    { mark: "```", icon: "fa-code", name: "mono" },
];

/**
 * The text of a template with its parameters, and beside it how it looks on the recipient's phone, while it is
 * being typed. Works on the record's `parameter_list` (JSON list), `sample_values` and `known_samples` (JSON
 * objects) too.
 */
export class TemplateEditor extends TextField {
    static template = "sicantik_notification_automation.TemplateEditor";
    static components = { ...TextField.components, Bubble };

    setup() {
        super.setup();
        this.marks = MARKS;
        // What is being typed; null while it is what the record has.
        this.state = useState({ text: null });
        useEffect(
            () => {
                this.state.text = null;
            },
            () => [this.data[this.props.name], this.props.record.resId]
        );
    }

    get data() {
        return this.props.record.data;
    }

    get text() {
        return this.state.text ?? (this.data[this.props.name] || "");
    }

    // === PARAMETERS ===

    /** The names of the list; null when it is no JSON list of names. */
    get listed() {
        try {
            const names = JSON.parse(this.data.parameter_list || "[]");
            return Array.isArray(names) && names.every((one) => typeof one === "string") ? names : null;
        } catch {
            return null;
        }
    }

    get knownSamples() {
        return readObject(this.data.known_samples);
    }

    get ownSamples() {
        return readObject(this.data.sample_values);
    }

    get samples() {
        return { ...this.knownSamples, ...this.ownSamples };
    }

    get used() {
        return namesIn(this.text);
    }

    /** The parameters: first those of the list, in the order in which Meta numbers them, then the others. */
    get parameters() {
        const listed = this.listed || [];
        const used = this.used;
        const samples = this.ownSamples;
        const known = this.knownSamples;
        return [...new Set([...listed, ...used])].map((name) => ({
            name,
            position: listed.indexOf(name) + 1,
            isUsed: used.includes(name),
            isListed: listed.includes(name),
            sample: samples[name] || "",
            usual: known[name] || `[${name}]`,
            label: _t("Sample value of %s", name),
        }));
    }

    get hasProblem() {
        return this.listed === null || this.parameters.some((one) => !one.isUsed || !one.isListed);
    }

    get isBroken() {
        return hasBrokenPlaceholder(this.text);
    }

    /** What can be inserted: the parameters of the list, then those that permits and documents fill in. */
    get insertable() {
        return [...new Set([...(this.listed || []), ...Object.keys(this.knownSamples)])];
    }

    async take() {
        await this.commit();
        await this.setListed(namesIn(this.data[this.props.name]));
    }

    setListed(names) {
        // As Python writes it.
        const list = `[${names.map((name) => JSON.stringify(name)).join(", ")}]`;
        return this.props.record.update({ parameter_list: list });
    }

    move(name, by) {
        const names = [...this.listed];
        const at = names.indexOf(name);
        names.splice(at, 1);
        names.splice(at + by, 0, name);
        return this.setListed(names);
    }

    remove(name) {
        return this.setListed(this.listed.filter((one) => one !== name));
    }

    setSample(name, value) {
        const samples = { ...this.ownSamples };
        delete samples[name];
        if (value.trim()) {
            samples[name] = value.trim();
        }
        const json = Object.keys(samples).length ? JSON.stringify(samples) : false;
        return this.props.record.update({ sample_values: json });
    }

    // === THE TEXT ===

    onInput(ev) {
        this.state.text = ev.target.value;
    }

    /** Have the record take what stands in the box, as leaving it does. */
    commit() {
        const text = this.textareaRef.el?.value ?? this.text;
        return text === (this.data[this.props.name] || "")
            ? Promise.resolve()
            : this.props.record.update({ [this.props.name]: text });
    }

    replace(text, start, end, select) {
        const el = this.textareaRef.el;
        el.focus();
        el.setRangeText(text, start, end, "end");
        if (select) {
            el.setSelectionRange(...select);
        }
        el.dispatchEvent(new InputEvent("input", { bubbles: true }));
        // Leaving the box says nothing to the record about what was not typed.
        el.dispatchEvent(new Event("change", { bubbles: true }));
    }

    /** Put the marks of a style around what is selected. */
    style(mark) {
        const { selectionStart: start, selectionEnd: end, value } = this.textareaRef.el;
        const selected = value.slice(start, end);
        const inner = selected.trim();
        const lead = selected.length - selected.trimStart().length;
        const from = start + lead;
        const place = from + mark.length;
        this.replace(mark + inner + mark, from, from + inner.length, [place, place + inner.length]);
    }

    onInsert(ev) {
        const name = ev.target.value;
        ev.target.value = "";
        if (name) {
            const { selectionStart: start, selectionEnd: end } = this.textareaRef.el;
            this.replace(`{{${name}}}`, start, end);
        }
    }

    // === LENGTH ===

    /** The length of the text as Meta has it: `{{1}}` in place of `{{partner_name}}`. */
    get length() {
        const names = this.used;
        const body = this.text.replace(
            /\{\{\s*([\p{L}\p{N}_]+)\s*\}\}/gu,
            (_whole, name) => `{{${names.indexOf(name) + 1}}}`
        );
        return [...body].length;
    }

    get isTooLong() {
        return this.length > META_LIMIT;
    }

    get lengthText() {
        return _t("%s of %s characters", this.length, META_LIMIT);
    }

    // === WORDS ===

    get markTitles() {
        return {
            bold: _t("Bold"),
            italic: _t("Italic"),
            strike: _t("Strikethrough"),
            mono: _t("Monospace"),
        };
    }
}

registry.category("fields").add("sicantik_template_editor", {
    ...textField,
    component: TemplateEditor,
    supportedTypes: ["text"],
    fieldDependencies: [
        { name: "parameter_list", type: "text" },
        { name: "sample_values", type: "text" },
        { name: "known_samples", type: "text" },
    ],
});
