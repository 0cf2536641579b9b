/** @odoo-module **/

import { browser } from "@web/core/browser/browser";
import { deserializeDate, deserializeDateTime, formatDateTime } from "@web/core/l10n/dates";
import { _t } from "@web/core/l10n/translation";
import { registry } from "@web/core/registry";
import { useService } from "@web/core/utils/hooks";
import { Layout } from "@web/search/layout";
import { formatFloat, formatInteger } from "@web/views/fields/formatters";
import { standardActionServiceProps } from "@web/webclient/actions/action_service";
import { Component, onMounted, onWillStart, onWillUnmount, useState } from "@odoo/owl";
import { OverviewChart } from "./overview_chart";

const { DateTime } = luxon;

const MODEL = "sicantik.notification.overview";
const FIRST_STEPS = "sicantik.notification.first.steps";
const REFRESH = 15000;
const HISTORY = 10 * 60000;
const LONGEST_WAIT = 120000;
// A page that is slow to count is counted more seldom: counting takes this share of the time at most.
const SHARE = 20;

const SERIES = ["sent", "delivered", "read", "failed", "skipped"];

/** How the messages are doing, and what needs somebody. It refreshes itself while somebody looks at it. */
export class Overview extends Component {
    static template = "sicantik_notification_automation.Overview";
    static components = { Layout, OverviewChart };
    static props = { ...standardActionServiceProps };

    setup() {
        this.orm = useService("orm");
        this.action = useService("action");
        this.display = { controlPanel: {} };
        this.series = SERIES;
        this.state = useState({ data: null, days: [], hours: [], done: false, stale: false, loading: false });
        this.failures = 0;
        this.lastLoad = 0;
        this.lastHistory = 0;
        this.onVisibility = () => this.onVisibilityChange();
        onWillStart(() => this.load());
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

    // === LOADING ===

    /** Read the numbers; those of past days only now and then, because they hardly change. */
    async load(orm = this.orm) {
        const start = Date.now();
        const days = this.state.days;
        const history = !days.length || start - this.lastHistory > HISTORY;
        this.state.loading = true;
        let data;
        try {
            data = await orm.call(MODEL, "get_data", [], { history });
        } finally {
            this.state.loading = false;
            this.lastLoad = Date.now();
            this.took = this.lastLoad - start;
        }
        if (history) {
            this.lastHistory = start;
            this.setDays(data.days);
        } else {
            const fresh = new Set(data.days.map((day) => day.date));
            const kept = days.filter((day) => !fresh.has(day.date));
            this.setDays([...kept, ...data.days].slice(-Math.max(days.length, data.days.length)));
        }
        this.state.hours = data.hours.map((bar) => ({ ...bar, label: bar.hour }));
        this.state.data = data;
        this.state.stale = false;
        this.failures = 0;
        this.farewell(orm);
    }

    /** All steps done: shown until the page is left, then never again by itself. */
    farewell(orm) {
        const { is_manager, steps } = this.state.data;
        if (is_manager && steps && steps.every((step) => step.done)) {
            this.state.done = steps;
            orm.call(FIRST_STEPS, "show", [false]).catch(() => {});
        }
    }

    async showSteps(shown) {
        this.state.done = false;
        await this.orm.call(FIRST_STEPS, "show", [shown]);
        await this.refresh();
    }

    setDays(days) {
        this.state.days = days.map((day) => ({
            ...day,
            label: deserializeDate(day.date).toLocaleString({ day: "numeric", month: "short" }),
        }));
    }

    schedule() {
        browser.clearTimeout(this.timer);
        if (!this.left && document.visibilityState === "visible") {
            const wait = Math.max(REFRESH, SHARE * (this.took || 0)) * 2 ** this.failures;
            this.timer = browser.setTimeout(() => this.refresh(), Math.min(wait, LONGEST_WAIT));
        }
    }

    /** One request at a time; the next one is planned when its answer is there, or will not come. */
    async refresh() {
        if (this.refreshing) {
            return;
        }
        this.refreshing = true;
        try {
            await this.load(this.orm.silent);
        } catch {
            // The numbers that are there stay, marked as old; it is tried again.
            this.failures = Math.min(this.failures + 1, 4);
            this.state.stale = true;
        } finally {
            this.refreshing = false;
            this.schedule();
        }
    }

    onVisibilityChange() {
        if (document.visibilityState !== "visible") {
            browser.clearTimeout(this.timer);
        } else if (Date.now() - this.lastLoad >= REFRESH) {
            this.refresh();
        } else {
            this.schedule();
        }
    }

    // === NUMBERS ===

    get data() {
        return this.state.data;
    }

    get names() {
        return Object.fromEntries(SERIES.map((key) => [key, this.data.series[key].name]));
    }

    /** Today and this week: a number per series, and since when it counts. */
    get periods() {
        const { today, week_start } = this.data;
        const period = (key, title, first) => {
            const days = this.state.days.filter((day) => day.date >= first);
            const sum = (one) => days.reduce((total, day) => total + day[one], 0);
            const numbers = Object.fromEntries(SERIES.map((one) => [one, sum(one)]));
            return { key, title, from: days[0].from, numbers, hint: this.share(numbers) };
        };
        return [period("today", _t("Today"), today), period("week", _t("This Week"), week_start)];
    }

    share({ sent, delivered, read }) {
        if (!delivered) {
            return "";
        }
        const percent = (part) => `${Math.round((100 * part) / sent)}%`;
        return _t("%s delivered, %s read", percent(delivered), percent(read));
    }

    get isEmpty() {
        const { queue, rate } = this.data;
        const counted = this.state.days.some((day) => SERIES.some((key) => day[key]));
        return Boolean(
            this.steps && !counted && !rate.count && !queue.due.count && !queue.later.count
        );
    }

    get allWell() {
        const { attention, reasons } = this.data;
        const begun = !this.steps || this.stepsDone === this.steps.length;
        return !attention.length && begun && !reasons.some((one) => one.failed);
    }

    get rate() {
        return this.decimal(this.data.rate.count / this.data.rate.minutes);
    }

    get steps() {
        return this.data.steps || this.state.done;
    }

    get stepsDone() {
        return this.steps.filter((step) => step.done).length;
    }

    get stepsText() {
        return _t("%s of %s done", this.stepsDone, this.steps.length);
    }

    get nextStep() {
        return this.steps.find((step) => !step.done)?.key;
    }

    used(provider) {
        return Math.min(100, Math.round((100 * provider.used) / provider.daily_limit));
    }

    /** The parts of a campaign's bar, in percent of its targets. */
    parts(campaign) {
        const percent = (count) => (100 * count) / (campaign.targets || 1);
        return ["sent", "failed", "skipped", "cancelled"]
            .filter((key) => campaign[key])
            .map((key) => ({ key, width: `width: ${percent(campaign[key])}%` }));
    }

    // === TEXTS ===

    /** Says so when the days and hours are not those of the person's own clock. */
    get zoneText() {
        const { zone } = this.data;
        const differs = DateTime.local().offset !== DateTime.local({ zone }).offset;
        return differs ? _t("Days and hours of the charts: %s", zone) : "";
    }

    integer(value) {
        return formatInteger(value);
    }

    decimal(value) {
        return formatFloat(value, { digits: [16, 1] });
    }

    moment(value) {
        return formatDateTime(deserializeDateTime(value));
    }

    time(value) {
        return deserializeDateTime(value).toLocaleString(DateTime.TIME_WITH_SECONDS);
    }

    age(seconds) {
        const minutes = Math.floor(seconds / 60);
        if (minutes < 1) {
            return _t("%s s", seconds);
        }
        if (minutes < 120) {
            return _t("%s min", minutes);
        }
        const hours = Math.floor(minutes / 60);
        return hours < 48 ? _t("%s h", hours) : _t("%s days", Math.floor(hours / 24));
    }

    get daysTitle() {
        return _t("Last 14 Days");
    }

    get hoursTitle() {
        return _t("Last 24 Hours");
    }

    get dueLabel() {
        return _t("Waiting");
    }

    get processingLabel() {
        return _t("Under Way");
    }

    get laterLabel() {
        return _t("Planned for Later");
    }

    get rateUnit() {
        return _t("per minute");
    }

    get rateTitle() {
        const { count, minutes } = this.data.rate;
        return _t("%s messages in the last %s minutes", formatInteger(count), minutes);
    }

    stepState(step) {
        return step.done ? _t("Done") : _t("To Do");
    }

    stateColor(provider) {
        return { configured: "success", error: "danger" }[provider.state] || "info";
    }

    campaignColor(campaign) {
        return { running: "info", scheduled: "primary" }[campaign.state] || "warning";
    }

    gaugeColor(provider) {
        const percent = this.used(provider);
        return percent >= 100 ? "bg-danger" : percent >= 80 ? "bg-warning" : "bg-success";
    }

    // === LISTS BEHIND THE NUMBERS ===

    openList(name, model, domain) {
        this.action.doAction({
            type: "ir.actions.act_window",
            name,
            res_model: model,
            domain,
            views: [
                [false, "list"],
                [false, "form"],
            ],
            target: "current",
        });
    }

    /** Open what a number of a series counts, from a moment on, and up to one when it is a bar's. */
    openSeries(key, { from, to }) {
        const { name, model, domain, date_field } = this.data.series[key];
        const within = [[date_field, ">=", from]];
        if (to) {
            within.push([date_field, "<", to]);
        }
        this.openList(name, model, [...domain, ...within]);
    }

    openQueue(name, part) {
        this.openList(name, "sicantik.notification.queue", this.data.queue[part].domain);
    }

    openReason(reason, state) {
        this.openList(reason.label, "sicantik.notification.queue", reason[`${state}_domain`]);
    }

    openRecord(model, id) {
        this.action.doAction({
            type: "ir.actions.act_window",
            res_model: model,
            res_id: id,
            views: [[false, "form"]],
            target: "current",
        });
    }

    openAction(action) {
        // After a dialog, such as that of the test message, the numbers are others.
        this.action.doAction(action, { onClose: () => this.refresh() });
    }

    async mend(reason) {
        this.action.doAction(await this.orm.call(MODEL, "action_mend", [reason.reason]));
    }
}

registry.category("actions").add("sicantik_notification_overview", Overview);
