/** @odoo-module **/

import { browser } from "@web/core/browser/browser";
import { registry } from "@web/core/registry";
import { standardWidgetProps } from "@web/views/widgets/standard_widget_props";
import { Component, onMounted, onWillUnmount, xml } from "@odoo/owl";

const REFRESH = 5000;
const LONGEST_WAIT = 120000;
// Counting takes this share of the time at most.
const SHARE = 20;

/** Reads a campaign again while it runs and somebody looks at it, and never what is being edited. */
export class CampaignLive extends Component {
    static template = xml`<span class="o_sicantik_live d-none"/>`;
    static props = { ...standardWidgetProps };

    setup() {
        this.failures = 0;
        this.took = 0;
        this.onVisibility = () => this.schedule();
        onMounted(() => {
            document.addEventListener("visibilitychange", this.onVisibility);
            this.schedule();
        });
        onWillUnmount(() => {
            this.left = true;
            browser.clearTimeout(this.timer);
            document.removeEventListener("visibilitychange", this.onVisibility);
        });
    }

    schedule() {
        browser.clearTimeout(this.timer);
        if (!this.left && document.visibilityState === "visible") {
            const wait = Math.max(REFRESH, SHARE * this.took) * 2 ** this.failures;
            this.timer = browser.setTimeout(() => this.refresh(), Math.min(wait, LONGEST_WAIT));
        }
    }

    async refresh() {
        const { record } = this.props;
        try {
            // The state is looked at each time: a button may start what did not run when the page was opened.
            if (record.resId && record.data.state === "running" && !(await record.isDirty())) {
                const start = Date.now();
                await record.load();
                this.took = Date.now() - start;
            }
            this.failures = 0;
        } catch {
            // The numbers that are there stay; it is tried again.
            this.failures = Math.min(this.failures + 1, 5);
        } finally {
            this.schedule();
        }
    }
}

registry.category("view_widgets").add("sicantik_campaign_live", {
    component: CampaignLive,
    fieldDependencies: [{ name: "state", type: "selection" }],
});
