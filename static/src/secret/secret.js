/** @odoo-module **/

import { _t } from "@web/core/l10n/translation";
import { registry } from "@web/core/registry";
import { CharField, charField } from "@web/views/fields/char/char_field";
import { useState } from "@odoo/owl";

/** A password that can be looked at: a token is copied in, and its ends are compared with the service's page. */
export class SecretField extends CharField {
    static template = "sicantik_notification_automation.SecretField";

    setup() {
        super.setup();
        this.state = useState({ shown: false });
    }

    get title() {
        return this.state.shown ? _t("Hide") : _t("Show");
    }
}

registry.category("fields").add("sicantik_secret", {
    ...charField,
    component: SecretField,
    supportedTypes: ["char"],
    extractProps: (...info) => ({ ...charField.extractProps(...info), isPassword: true }),
});
