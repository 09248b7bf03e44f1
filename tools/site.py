"""The documentation site: `python tools/site.py` builds it strictly into artifacts/site, with every link checked.

Pages are those of docs/. Added here: the API reference from docstrings, the runbooks, and the files at the top of the
repository that pages link to.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

import tachograph

ROOT: Final = Path(__file__).resolve().parents[1]
BUILD: Final = ROOT / "artifacts"
RUNBOOKS: Final = "src/tachograph/catalogue/runbooks"
TOP: Final = {"SECURITY.md": "security.md", "CONTRIBUTING.md": "contributing.md", "CHANGELOG.md": "changelog.md"}
CODE: Final = re.compile(r"^(```|~~~).*?^\1", re.DOTALL | re.MULTILINE)
LINK: Final = re.compile(r"(?<=\]\()([^)\s#]+)(?=[)#])")

NAV: Final[list[tuple[str, list[str]]]] = [
    ("Start", ["index.md", "demo.md", "examples.md"]),
    (
        "Tasks",
        [
            "guides/watch-an-application.md",
            "guides/budget-a-team.md",
            "guides/what-failed-last-night.md",
            "guides/match-the-bill.md",
            "guides/record-other-languages.md",
            "deploying.md",
        ],
    ),
    ("Concepts", ["architecture.md", "glossary.md", "contract.md", "reliability.md", "security.md", "supply-chain.md"]),
]
"""The first sections. Pages that are in none of them are the section Topics; then Reference, Runbooks, Decisions."""
REFERENCE: Final = ("api", "cli", "settings", "metrics", "spans", "alerts", "dashboards", "errors")
PROJECT: Final = ("contributing", "style", "releasing", "benchmarks", "benchmarks-ledger", "mutants", "changelog")


def collect(pages: Path) -> None:
    """Put every page of the site into one folder."""
    shutil.copytree(ROOT / "docs", pages)
    for name, page in TOP.items():
        shutil.copy(ROOT / name, pages / page)
    shutil.copytree(ROOT / RUNBOOKS, pages / "runbooks")
    names = "\n".join(f"::: tachograph.{name}\n" for name in tachograph.__all__ if name != "__version__")
    (pages / "api.md").write_text(f"# Python API\n\nWhat `from tachograph import ...` offers.\n\n{names}", "utf-8")
    for page in pages.rglob("*.md"):
        page.write_text(_with_links_of_the_site(page.read_text("utf-8"), page.parent, pages), "utf-8")


def _with_links_of_the_site(text: str, folder: Path, pages: Path) -> str:
    """Links to files outside docs lead to their pages; to code, which has no page, they become text."""
    depth = "../" * len(folder.relative_to(pages).parts)
    for name, page in TOP.items():
        text = re.sub(rf"(?<=\]\()(?:\.\./)*{re.escape(name)}(?=[)#])", depth + page, text)
    text = re.sub(rf"(?<=\]\()(?:\.\./)*{RUNBOOKS}/", f"{depth}runbooks/", text)
    text = re.sub(r"(?<=\]\()(?:\.\./)*docs/(?=[\w./-]+\.md)", depth, text)
    text = re.sub(r"\]\((?:\.\./)*docs/decisions/\)", f"]({depth}decisions/0001-libraries.md)", text)
    text = re.sub(r"\]\(decisions/\)", "](decisions/0001-libraries.md)", text)
    return re.sub(
        r"\[([^\]]+)\]\((?:\.\./)+(?:src|tests|tools|deploy|examples|benchmarks|tachograph)[^)]*\)", r"\1", text
    )


def broken_links(pages: Path) -> list[str]:
    """Links to a page or a heading that is not there."""
    broken = []
    headings = {page: _anchors(page.read_text("utf-8")) for page in pages.rglob("*.md")}
    for page in sorted(headings):
        text = CODE.sub("", page.read_text("utf-8"))
        for target, anchor in re.findall(r"\]\(([^)\s#]*)(?:#([^)\s]*))?\)", text):
            if "://" in target or target.startswith("mailto:"):
                continue
            found = (page.parent / target).resolve() if target else page
            if not found.exists() or (anchor and found in headings and anchor not in headings[found]):
                broken.append(f"{page.relative_to(pages)} -> {target}{'#' + anchor if anchor else ''}")
    return broken


def _anchors(text: str) -> set[str]:
    found: set[str] = set()
    for title in re.findall(r"^#+ +(.*)$", CODE.sub("", text), re.MULTILINE):
        word = re.sub(r"[^\w\- ]", "", re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", title).lower()).strip().replace(" ", "-")
        found.add(re.sub(r"-+", "-", word))
        found.add(word)
    return found


def configuration(pages: Path) -> str:
    """zensical.toml."""
    placed = {page for _, group in NAV for page in group} | {f"{name}.md" for name in (*REFERENCE, *PROJECT)}
    topics = sorted(page.name for page in pages.glob("*.md") if page.name not in placed)
    sections = [
        *NAV,
        ("Topics", topics),
        ("Reference", [f"{name}.md" for name in REFERENCE]),
        ("Runbooks", sorted(f"runbooks/{page.name}" for page in (pages / "runbooks").glob("*.md"))),
        ("Decisions", sorted(f"decisions/{page.name}" for page in (pages / "decisions").glob("*.md"))),
        ("Project", [f"{name}.md" for name in PROJECT]),
    ]
    nav = ",\n".join(f'  {{ "{title}" = [{", ".join(repr(page) for page in group)}] }}' for title, group in sections)
    return f"""[project]
site_name = "Tachograph"
site_description = "Production monitoring for Python applications that call LLM providers and MCP tools."
docs_dir = "pages"
site_dir = "site"
nav = [
{nav},
]

[project.theme]
font = false
features = ["navigation.tabs", "navigation.sections", "content.code.copy", "toc.follow"]

[[project.theme.palette]]
media = "(prefers-color-scheme: light)"
scheme = "default"
toggle.icon = "lucide/sun"
toggle.name = "Dark"

[[project.theme.palette]]
media = "(prefers-color-scheme: dark)"
scheme = "slate"
toggle.icon = "lucide/moon"
toggle.name = "Light"

[project.plugins.mkdocstrings.handlers.python]
paths = [{str(ROOT / "src")!r}]

[project.plugins.mkdocstrings.handlers.python.options]
docstring_style = "google"
show_root_heading = true
show_source = false
heading_level = 2
"""


def main() -> int:
    """Build; returns the exit code."""
    pages = BUILD / "pages"
    for folder in (pages, BUILD / "site"):
        shutil.rmtree(folder, ignore_errors=True)
    BUILD.mkdir(exist_ok=True)
    collect(pages)
    broken = broken_links(pages)
    if broken:
        print("links that lead nowhere:", *broken, sep="\n  ", file=sys.stderr)
        return 1
    (BUILD / "zensical.toml").write_text(configuration(pages), "utf-8")
    command = [sys.executable, "-m", "zensical", "build", "--strict", "--clean"]
    return subprocess.run(command, cwd=BUILD, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
