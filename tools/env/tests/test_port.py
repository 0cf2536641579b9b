"""The rewrites for Odoo 19, each on a small text, and the check for what they leave."""

from __future__ import annotations

import subprocess
import tempfile
import unittest
import xml.etree.ElementTree as ElementTree
from pathlib import Path

from tools import port


def squeeze(text: str) -> str:
    return " ".join(text.split())


class TestRewrites(unittest.TestCase):
    def test_manifest_version(self) -> None:
        self.assertEqual(port.rewrite_manifest('"version": "17.0.1.2.3",'), '"version": "19.0.1.2.3",')
        self.assertEqual(port.rewrite_manifest("'version':'17.0.1.0.0'"), "'version':'19.0.1.0.0'")
        self.assertEqual(port.rewrite_manifest('"depends": ["x17.0."]'), '"depends": ["x17.0."]')

    def test_list_views(self) -> None:
        changed = port.rewrite_xml('<tree editable="top"><field name="x"/></tree>')
        self.assertEqual(changed, '<list editable="top"><field name="x"/></list>')
        self.assertEqual(port.rewrite_xml("<treeview/>"), "<treeview/>")

    def test_groups_id(self) -> None:
        self.assertEqual(port.rewrite_python('user.write({"groups_id": x})'), 'user.write({"group_ids": x})')
        self.assertEqual(port.rewrite_python("my_groups_id_old"), "my_groups_id_old")
        self.assertEqual(port.rewrite_xml('<field name="groups_id"/>'), '<field name="group_ids"/>')

    def test_cron_fields_vanish_and_the_others_stay(self) -> None:
        changed = port.rewrite_xml(
            '<record id="c" model="ir.cron">\n'
            '    <field name="interval_number">1</field>\n'
            '    <field name="numbercall">-1</field>\n'
            '    <field name="doall" eval="False"/>\n'
            '    <field name="priority">5</field>\n'
            "</record>"
        )
        names = [node.get("name") for node in ElementTree.fromstring(changed)]
        self.assertEqual(names, ["interval_number", "priority"])

    def test_chatter(self) -> None:
        changed = port.rewrite_xml(
            '<form><sheet/>\n<div class="oe_chatter">\n<field name="message_ids"/>\n</div>\n</form>'
        )
        self.assertEqual(squeeze(changed), "<form><sheet/> <chatter/> </form>")

    def test_kanban_templates(self) -> None:
        changed = port.rewrite_xml('<t t-name="kanban-box"/><t t-name="kanban-menu"/>')
        self.assertEqual(changed, '<t t-name="card"/><t t-name="menu"/>')


class TestGroups(unittest.TestCase):
    CATEGORY = (
        '    <record id="category_x" model="ir.module.category">\n'
        '        <field name="name">X</field>\n'
        "    </record>\n"
    )

    @staticmethod
    def group(reference: str) -> str:
        return (
            '    <record id="group_x" model="res.groups">\n'
            '        <field name="name">G</field>\n'
            f'        <field name="category_id" ref="{reference}"/>\n'
            '        <field name="users" eval="[]"/>\n'
            "    </record>\n"
        )

    def test_a_privilege_stands_between_category_and_group(self) -> None:
        tree = ElementTree.fromstring(
            f"<odoo>{port.rewrite_groups(self.CATEGORY + self.group('category_x'))}</odoo>"
        )
        category, privilege, group = tree
        self.assertEqual(category.get("model"), "ir.module.category")
        self.assertEqual(privilege.get("id"), "category_x_privilege")
        self.assertEqual(privilege.get("model"), "res.groups.privilege")
        fields = {field.get("name"): field for field in privilege}
        self.assertEqual(fields["name"].text, "X")
        self.assertEqual(fields["category_id"].get("ref"), "category_x")
        fields = {field.get("name"): field for field in group}
        self.assertEqual(fields["privilege_id"].get("ref"), "category_x_privilege")
        self.assertEqual(set(fields), {"name", "privilege_id", "user_ids"})

    def test_hidden_category_is_dropped(self) -> None:
        changed = port.rewrite_groups(self.group("base.module_category_hidden"))
        self.assertNotIn("category", changed)
        ElementTree.fromstring(changed)

    def test_foreign_category_is_refused(self) -> None:
        with self.assertRaisesRegex(port.PortError, "base.module_category_sales"):
            port.rewrite_groups(self.group("base.module_category_sales"))

    def test_other_records_keep_their_category_and_users(self) -> None:
        record = self.group("category_x").replace("res.groups", "product.product")
        self.assertEqual(port.rewrite_groups(record), record)


class TestProblems(unittest.TestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.addon = Path(folder.name)
        self.write("__manifest__.py", '{"version": "19.0.1.0.0"}\n')

    def write(self, name: str, text: str) -> None:
        (self.addon / name).parent.mkdir(parents=True, exist_ok=True)
        (self.addon / name).write_text(text)

    def test_nothing_wrong(self) -> None:
        self.write("views/a.xml", "<odoo><list/></odoo>")
        self.write("models/a.py", "x = 1\n")
        self.assertEqual(port.problems(self.addon), [])

    def test_each_leftover_is_named_with_its_line(self) -> None:
        cases = {
            "views/a.xml": ("<odoo>\n<tree/></odoo>", "views/a.xml:2: <tree> view"),
            "views/b.xml": ('<odoo t="kanban-box"/>', "views/b.xml:1: kanban template"),
            "views/c.xml": ('<odoo class="oe_chatter"/>', "views/c.xml:1: chatter"),
            "data/d.xml": ('<field name="numbercall">-1</field>', "data/d.xml:1: removed field"),
            "models/e.py": ("class A:\n    _sql_constraints = []\n", "models/e.py:2: _sql_constraints"),
            "models/f.py": ("x = 'groups_id'\n", "models/f.py:1: groups_id"),
        }
        for name, (text, expected) in cases.items():
            with self.subTest(name):
                self.write(name, text)
                self.assertIn(expected, "\n".join(port.problems(self.addon)))

    def test_broken_files_are_named(self) -> None:
        self.write("views/a.xml", "<odoo><list></odoo>")
        self.write("models/a.py", "def broken(:\n")
        found = port.problems(self.addon)
        self.assertEqual([line.partition(":")[0] for line in found], ["models/a.py", "views/a.xml"])

    def test_version_of_17_is_refused(self) -> None:
        self.write("__manifest__.py", '{"version": "17.0.1.0.0"}\n')
        self.assertEqual(len(port.problems(self.addon)), 1)


class TestAddonFiles(unittest.TestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.root = Path(folder.name)
        for name in (
            *("__init__.py", "models/a.py", "tools/b.py", "tests/test_a.py", "i18n/id.po", "Makefile"),
            *(".env/venv/c.py", "models/__pycache__/a.pyc", "scratch/d.py"),
        ):
            (self.root / name).parent.mkdir(parents=True, exist_ok=True)
            (self.root / name).touch()
        (self.root / ".gitignore").write_text("/.env/\n/scratch/\n")

    def names(self) -> list[str]:
        return [str(path) for path in port.addon_files(self.root)]

    def test_in_a_git_checkout_ignored_files_are_left_out(self) -> None:
        subprocess.run(["git", "init", "-q", self.root], check=True, timeout=30)
        self.assertEqual(self.names(), ["__init__.py", "i18n/id.po", "models/a.py", "tests/test_a.py"])

    def test_outside_git_what_is_no_addon_file_is_left_out(self) -> None:
        self.assertEqual(
            self.names(), ["__init__.py", "i18n/id.po", "models/a.py", "scratch/d.py", "tests/test_a.py"]
        )

    def test_a_file_deleted_but_still_tracked_is_left_out(self) -> None:
        subprocess.run(["git", "init", "-q", self.root], check=True, timeout=30)
        subprocess.run(["git", "-C", self.root, "add", "."], check=True, timeout=30)
        (self.root / "models/a.py").unlink()
        self.assertNotIn("models/a.py", self.names())
