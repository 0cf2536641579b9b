/** @odoo-module **/

import { loadBundle } from "@web/core/assets";
import { _t } from "@web/core/l10n/translation";
import { Component, onWillStart, onWillUnmount, useEffect, useRef } from "@odoo/owl";

const SERIES = ["sent", "failed", "skipped"];

/**
 * Bars of what was sent, failed and skipped, with Odoo's own Chart.js; below them the same as a table, for
 * the keyboard and for whoever cannot see the bars.
 */
export class OverviewChart extends Component {
    static template = "sicantik_notification_automation.OverviewChart";
    static props = {
        title: String,
        // Of a day or an hour: its `label`, and a number for each series.
        bars: Array,
        // The names of the series.
        names: Object,
        // Opens the list behind a number.
        open: Function,
    };

    setup() {
        this.series = SERIES;
        this.canvas = useRef("canvas");
        this.chart = null;
        this.canDraw = true;
        onWillStart(async () => {
            try {
                await loadBundle("web.chartjs_lib");
            } catch {
                this.canDraw = false; // the table is there, and so is the rest of the page
            }
        });
        useEffect(
            () => this.draw(),
            () => [this.props.bars]
        );
        onWillUnmount(() => this.chart?.destroy());
    }

    get isEmpty() {
        return !this.props.bars.some((bar) => SERIES.some((key) => bar[key]));
    }

    get summary() {
        const total = (key) => this.props.bars.reduce((sum, bar) => sum + bar[key], 0);
        const numbers = SERIES.map((key) => `${this.props.names[key]}: ${total(key)}`);
        return `${this.props.title}. ${numbers.join(", ")}`;
    }

    get tableLabel() {
        return _t("As a table");
    }

    draw() {
        if (!this.canDraw) {
            return;
        }
        const { bars, names } = this.props;
        const labels = bars.map((bar) => bar.label);
        const data = (key) => bars.map((bar) => bar[key]);
        if (this.chart) {
            this.chart.data.labels = labels;
            this.chart.data.datasets.forEach((set, at) => (set.data = data(SERIES[at])));
            this.chart.update("none");
            return;
        }
        // The colours of the legend, so that they are right whatever the colours of the page are.
        const box = this.canvas.el.closest(".o_sicantik_chart");
        const color = (key) => getComputedStyle(box.querySelector(`.o_sicantik_${key}`)).backgroundColor;
        const text = getComputedStyle(box.querySelector(".o_sicantik_chart_text")).color;
        const grid = getComputedStyle(box).borderTopColor;
        this.chart = new Chart(this.canvas.el, {
            type: "bar",
            data: {
                labels,
                datasets: SERIES.map((key) => ({
                    label: names[key],
                    data: data(key),
                    backgroundColor: color(key),
                    maxBarThickness: 28,
                })),
            },
            options: {
                animation: false,
                maintainAspectRatio: false,
                interaction: { mode: "index", intersect: false },
                plugins: { legend: { display: false } },
                scales: {
                    x: { stacked: true, ticks: { color: text, maxRotation: 0 }, grid: { display: false } },
                    y: {
                        stacked: true,
                        beginAtZero: true,
                        ticks: { color: text, precision: 0, maxTicksLimit: 6 },
                        grid: { color: grid },
                    },
                },
                onClick: (ev, _elements, chart) => {
                    const [hit] = chart.getElementsAtEventForMode(ev, "nearest", { intersect: true }, false);
                    if (hit) {
                        this.props.open(SERIES[hit.datasetIndex], this.props.bars[hit.index]);
                    }
                },
            },
        });
    }
}
