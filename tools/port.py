"""Port the addon's 17.0 source to Odoo 19, mechanically.

    python -m tools.port --odoo <Odoo 19's dist-packages> SOURCE TARGET

Run it with an interpreter that has Odoo 19's requirements. The source is copied, rewritten by Odoo's own
`upgrade_code` scripts and then by the few rewrites below, and checked: every XML file parses, every Python
file compiles, nothing is left that 19 would refuse or, worse, ignore.

`upgrade_code` is called as a function, never as a command: the command also rewrites the addons of Odoo
itself.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterable
from pathlib import Path

#: Folders at the top of the checkout that are not part of the addon.
NOT_ADDON = {"tools", "docs", "node_modules"}
NOT_ADDON_FILES = {"Makefile", "pyproject.toml"}

CHATTER = re.compile(r'<div class="oe_chatter">.*?</div>', re.S)
CRON_FIELDS = re.compile(r'\n[ \t]*<field name="(?:numbercall|doall)"[^>]*?(?:/>|>[^<]*</field>)')
MANIFEST_VERSION = re.compile(r"""(["']version["']:\s*["'])17\.0\.""")
RECORD = re.compile(r"[ \t]*<record\b[^>]*>.*?</record>", re.S)
CATEGORY_FIELD = re.compile(r"""[ \t]*<field name="category_id" ref="(?P<ref>[\w.]+)"\s*/>\n?""")
HIDDEN_CATEGORY = "base.module_category_hidden"

#: What must not be in the result: (file suffix, pattern, what it is).
LEFTOVERS = [
    (".xml", re.compile(r"<tree\b"), "<tree> view"),
    (".xml", re.compile(r"kanban-(box|menu)"), "kanban template with its old name"),
    (".xml", re.compile(r"oe_chatter"), "chatter div"),
    (".xml", re.compile(r"\bgroups_id\b"), "groups_id"),
    (".xml", re.compile(r'name="(numbercall|doall)"'), "removed field of ir.cron"),
    (".py", re.compile(r"\bgroups_id\b"), "groups_id"),
    (".py", re.compile(r"^\s*_sql_constraints\s*=", re.M), "_sql_constraints (19 ignores it)"),
]


class PortError(Exception):
    """The source holds something that these rewrites do not handle; the text says where."""


def addon_files(source: Path) -> list[Path]:
    """The addon's files, relative to `source`, sorted: tracked by git or new and not ignored.

    Outside a git checkout: all files, without what starts with a dot or an underscore cache.
    """
    names = _git_files(source)
    if names is None:
        names = [str(path.relative_to(source)) for path in source.rglob("*") if path.is_file()]
    paths = (Path(name) for name in set(names))
    return sorted(path for path in paths if _belongs(path) and (source / path).is_file())


def _git_files(source: Path) -> list[str] | None:
    """Names from git, or None when `source` is not the top of a git checkout."""
    if not (source / ".git").exists():
        return None
    # The checkout may belong to another user than the one who runs this (root).
    command = ["git", "-c", f"safe.directory={source}", "ls-files", "-coz", "--exclude-standard"]
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        result = subprocess.run(command, cwd=source, capture_output=True, timeout=60, check=True)
        return [os.fsdecode(name) for name in result.stdout.split(b"\0") if name]
    return None


def _belongs(path: Path) -> bool:
    return not (
        path.parts[0] in NOT_ADDON
        or path.name in NOT_ADDON_FILES
        or path.suffix == ".pyc"
        or any(part.startswith(".") for part in path.parts)
    )


def copy_addon(source: Path, target: Path) -> None:
    """Copy the addon's files into `target`, which must not exist."""
    for path in addon_files(source):
        (target / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source / path, target / path)


def upgrade_code(dist: Path, folder: Path) -> None:
    """Run Odoo 19's own rewrites over the addons in `folder`.

    :param dist: the folder that holds the package `odoo`
    :param folder: an addons folder; nothing outside it is touched
    """
    sys.path.insert(0, str(dist))
    from odoo.cli import upgrade_code as script
    from odoo.tools import parse_version

    with contextlib.redirect_stdout(sys.stderr):
        script.migrate(
            addons_path=[str(folder)],
            glob="**/*",
            from_version=parse_version("17.0"),
            to_version=parse_version("19.0"),
        )


def rewrite_manifest(text: str) -> str:
    """The version's series: 19 refuses to install a module of another series."""
    return MANIFEST_VERSION.sub(r"\g<1>19.0.", text)


def rewrite_python(text: str) -> str:
    """`groups_id` of users, actions, menus and views became `group_ids`."""
    return re.sub(r"\bgroups_id\b", "group_ids", text)


def rewrite_xml(text: str) -> str:
    """All rewrites of views and data records."""
    text = re.sub(r"<(/?)tree\b", r"<\1list", text)
    text = rewrite_groups(text)
    text = CRON_FIELDS.sub("", text)
    text = re.sub(r"\bgroups_id\b", "group_ids", text)
    text = CHATTER.sub("<chatter/>", text)
    text = text.replace('t-name="kanban-box"', 't-name="card"')
    return text.replace('t-name="kanban-menu"', 't-name="menu"')


def rewrite_groups(text: str) -> str:
    """Groups belong to a privilege now, and the privilege to the category.

    Each category record is followed by a privilege of the same name; groups point at the privilege.
    """
    return RECORD.sub(lambda match: _rewrite_group_record(match[0]), text)


def _rewrite_group_record(record: str) -> str:
    head = record[: record.index(">")]
    if 'model="ir.module.category"' in head:
        return f"{record}\n{_privilege(record)}"
    if 'model="res.groups"' not in head:
        return record
    if match := CATEGORY_FIELD.search(record):
        reference = match["ref"]
        if reference == HIDDEN_CATEGORY:
            record = CATEGORY_FIELD.sub("", record)
        elif "." in reference:
            raise PortError(f"A group's category must be the addon's own, not {reference}.")
        else:
            record = record.replace(
                f'name="category_id" ref="{reference}"', f'name="privilege_id" ref="{reference}_privilege"'
            )
    return record.replace('name="users"', 'name="user_ids"')


def _privilege(category: str) -> str:
    """The privilege record for a category record."""
    identifier = re.search(r'id="([\w.]+)"', category)
    name = re.search(r'<field name="name">[^<]*</field>', category)
    if not identifier or not name:
        raise PortError(f"A module category needs an id and a one-line name: {category.strip()[:80]}")
    indent = re.match(r"[ \t]*", category)[0]
    return (
        f'{indent}<record id="{identifier[1]}_privilege" model="res.groups.privilege">\n'
        f"{indent}    {name[0]}\n"
        f'{indent}    <field name="category_id" ref="{identifier[1]}"/>\n'
        f"{indent}</record>"
    )


def rewrite(addon: Path) -> None:
    """Apply our rewrites to every file of the copied addon."""
    for path in _files(addon, ".xml", ".py"):
        text = path.read_text(encoding="utf-8")
        try:
            changed = rewrite_xml(text) if path.suffix == ".xml" else rewrite_python(text)
        except PortError as error:
            raise PortError(f"{path.relative_to(addon)}: {error}") from error
        if path.name == "__manifest__.py":
            changed = rewrite_manifest(changed)
        if changed != text:
            path.write_text(changed, encoding="utf-8")


def problems(addon: Path) -> list[str]:
    """What is wrong with the ported addon, one line each; empty when it is fine."""
    found = []
    for path in _files(addon, ".xml", ".py"):
        name = path.relative_to(addon)
        text = path.read_text(encoding="utf-8")
        try:
            if path.suffix == ".xml":
                ElementTree.fromstring(text.encode())
            else:
                compile(text, str(name), "exec")
        except (ElementTree.ParseError, SyntaxError, ValueError) as error:
            found.append(f"{name}: {error}")
        for suffix, pattern, what in LEFTOVERS:
            if path.suffix == suffix and (match := pattern.search(text)):
                line = text.count("\n", 0, match.start()) + 1
                found.append(f"{name}:{line}: {what} is left")
    manifest = addon / "__manifest__.py"
    if not manifest.exists() or "17.0." in manifest.read_text(encoding="utf-8"):
        found.append("__manifest__.py: missing, or its version is still 17.0")
    return found


def _files(addon: Path, *suffixes: str) -> Iterable[Path]:
    return (path for path in sorted(addon.rglob("*")) if path.suffix in suffixes)


def port(source: Path, target: Path, dist: Path) -> None:
    """Copy, rewrite and check; `target` appears (or is replaced) only when all went well.

    :raises PortError: the source cannot be ported by these rewrites
    """
    # upgrade_code wants an addons folder: the work folder is one, with the addon in it.
    work = target.with_name(f".{target.name}.{os.getpid()}")
    addon = work / target.name
    try:
        copy_addon(source, addon)
        upgrade_code(dist, work)
        rewrite(addon)
        if found := problems(addon):
            raise PortError("\n".join(found))
        if target.exists():
            target.rename(work / "previous")
        addon.rename(target)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def main() -> int:
    """Read the arguments and port; exit code 1 with the problems on stderr."""
    parser = argparse.ArgumentParser(prog="python -m tools.port", description=__doc__.splitlines()[0])
    parser.add_argument("--odoo", required=True, type=Path, help="folder that holds Odoo 19's package `odoo`")
    parser.add_argument("source", type=Path, help="the addon's folder")
    parser.add_argument("target", type=Path, help="folder to write, named as the addon")
    arguments = parser.parse_args()
    try:
        port(arguments.source.resolve(), arguments.target.resolve(), arguments.odoo.resolve())
    except PortError as error:
        print(f"The addon cannot be ported:\n{error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
