// Opens every page of a role and looks for what should not be there. See test_role_pages.py.
(async () => {
    const { menus, module, pages, refused } = __PARAMETERS__;
    const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
    const visible = (element) => element.getClientRects().length > 0;
    let where = "the first page";

    async function until(what, test) {
        for (let i = 0; i < 300; i++) {
            const found = test();
            if (found) {
                return found;
            }
            await sleep(50);
        }
        throw new Error(`${where}: ${what}`);
    }

    const services = await until("the client does not start", () => {
        const root = odoo.__WOWL_DEBUG__ && odoo.__WOWL_DEBUG__.root;
        return root && document.querySelector(".o_main_navbar") && root.env.services;
    });

    function check(page) {
        const dialog = document.querySelector(".modal-dialog");
        if (dialog) {
            throw new Error(`${where}: ${dialog.textContent.slice(0, 300)}`);
        }
        for (const button of document.querySelectorAll(".o_action_manager button[name]")) {
            if (visible(button) && (refused[page.model] || []).includes(button.getAttribute("name"))) {
                throw new Error(`${where}: the button ${button.getAttribute("name")} is refused when pressed`);
            }
        }
        const add = ".o_list_button_add, .o_form_button_create, .o-kanban-button-new";
        if (!page.create && [...document.querySelectorAll(add)].some(visible)) {
            throw new Error(`${where}: offers to create what may not be created`);
        }
    }

    async function shown(action) {
        await until("does not open", () => {
            const controller = services.action.currentController;
            const manager = document.querySelector(".o_action_manager");
            return controller && action(controller) && manager && manager.textContent.trim();
        });
        await sleep(100);
    }

    const ours = services.menu.getAll().filter((menu) => (menu.xmlid || "").startsWith(`${module}.`));
    const names = ours.map((menu) => menu.xmlid.slice(module.length + 1)).sort();
    if (JSON.stringify(names) !== JSON.stringify(menus)) {
        throw new Error(`menus: ${JSON.stringify(names)}`);
    }
    for (const page of pages) {
        where = page.menu || page.model;
        if (page.menu) {
            const menu = ours.find((one) => one.xmlid === `${module}.${page.menu}`);
            await services.menu.selectMenu(menu);
            await shown((controller) => controller.action.id === menu.actionID);
            check(page);
            const views = services.action.currentController.action.views || [];
            for (const [, type] of views.filter((view) => !["form", "search"].includes(view[1]))) {
                where = `${page.menu} as ${type}`;
                if (services.action.currentController.view.type !== type) {
                    await services.action.switchView(type);
                    await shown((controller) => controller.view && controller.view.type === type);
                }
                check(page);
            }
        }
        if (page.id) {
            where = `form of ${page.model}`;
            await services.action.doAction({
                type: "ir.actions.act_window",
                res_model: page.model,
                res_id: page.id,
                views: [[false, "form"]],
                target: "current",
            });
            await until("does not open", () => document.querySelector(".o_form_view .o_form_renderer"));
            check(page);
            for (const tab of document.querySelectorAll(".o_form_view .o_notebook a.nav-link")) {
                where = `form of ${page.model}, ${tab.textContent}`;
                tab.click();
                await sleep(50);
                check(page);
            }
        }
    }
    console.log("test successful");
})().catch((error) => console.error(error.message || String(error)));
