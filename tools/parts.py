"""Get the real parts that the tests use, and say what is there and what is not.

Where it can: as root on Debian with apt, elsewhere on Debian by unpacking packages into .parts/, on macOS with Homebrew
when `TACHOGRAPH_PARTS_BREW=1` allows it. npm packages are unpacked into .parts/npm. What cannot be had is named with
how to get it; the tests that need it are skipped, plainly. `TACHOGRAPH_REQUIRE_PARTS=1` (CI) makes it an error.
"""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PARTS = ROOT / ".parts"


@dataclass(frozen=True)
class Part:
    """One program: how it is called, where Debian and Homebrew keep it."""

    name: str
    programs: tuple[str, ...]
    debian: tuple[str, ...]
    brew: str
    places: tuple[str, ...] = ()
    unpacks: bool = False


WANTED = (
    Part("Prometheus", ("prometheus",), ("prometheus",), "prometheus", unpacks=True),
    Part("promtool", ("promtool",), ("prometheus",), "prometheus", unpacks=True),
    Part(
        "Alertmanager",
        ("prometheus-alertmanager", "alertmanager"),
        ("prometheus-alertmanager",),
        "alertmanager",
        unpacks=True,
    ),
    Part("amtool", ("amtool",), ("prometheus-alertmanager",), "alertmanager", unpacks=True),
    Part(
        "PostgreSQL",
        ("initdb",),
        ("postgresql",),
        "postgresql@16",
        places=("/usr/lib/postgresql/*/bin", "/opt/homebrew/opt/postgresql*/bin", "/usr/local/opt/postgresql*/bin"),
    ),
    Part(
        "Chromium",
        ("chromium", "chromium-browser", "google-chrome", "Google Chrome"),
        ("chromium", "fonts-dejavu-core"),
        "chromium",
        places=("/Applications/Google Chrome.app/Contents/MacOS",),
    ),
    Part("npm", ("npm",), ("nodejs", "npm"), "node"),
    Part("git", ("git",), ("git",), "git"),
)
NPM = ("@grafana/schema@13", "typescript@5", "axe-core@4", "prettier@3", "@modelcontextprotocol/server-everything")


def find(part: Part) -> str | None:
    """The first of the part's programs that is there."""
    for program in part.programs:
        found = shutil.which(program) or shutil.which(program, path=str(PARTS / "debian/usr/bin"))
        if found:
            return found
        for pattern in part.places:
            for place in sorted(Path("/").glob(pattern.lstrip("/")), reverse=True):
                if (place / program).is_file():
                    return str(place / program)
    return None


def run(*command: str, cwd: Path | None = None) -> bool:
    """Run a command quietly; its output is shown only when it fails."""
    done = subprocess.run(command, cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    if done.returncode:
        print(f"  {' '.join(command[:4])} ... failed:\n" + "\n".join(done.stdout.splitlines()[-5:]))
    return done.returncode == 0


def get(missing: list[Part]) -> None:
    """Get what is missing in the way this machine allows."""
    if shutil.which("apt-get"):
        packages = sorted({package for part in missing for package in part.debian})
        if os.geteuid() == 0:
            print(f"Installing with apt: {' '.join(packages)}")
            os.environ["DEBIAN_FRONTEND"] = "noninteractive"
            run("apt-get", "update", "-qq")
            run("apt-get", "install", "-y", "-qq", "--no-install-recommends", *packages)
            return
        target = PARTS / "debian"
        target.mkdir(parents=True, exist_ok=True)
        for package in sorted({package for part in missing if part.unpacks for package in part.debian}):
            print(f"Unpacking {package} into .parts/")
            if run("apt-get", "download", "-qq", package, cwd=PARTS):
                for archive in PARTS.glob(f"{package}_*.deb"):
                    run("dpkg", "-x", str(archive), str(target))
    elif shutil.which("brew") and os.environ.get("TACHOGRAPH_PARTS_BREW") == "1":
        for formula in sorted({part.brew for part in missing}):
            run("brew", "install", "--quiet", formula)


def get_npm() -> bool:
    """The npm packages that tests use, in .parts/npm."""
    folder = PARTS / "npm"
    stamp = folder / ".installed"
    if stamp.is_file() and stamp.read_text() == "\n".join(NPM):
        return True
    npm = shutil.which("npm")
    if not npm:
        return False
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "package.json").write_text('{"private": true}\n')
    print("Getting npm packages for the tests ...")
    if run(npm, "install", "--silent", "--no-audit", "--no-fund", "--no-package-lock", *NPM, cwd=folder):
        stamp.write_text("\n".join(NPM))
        return True
    return False


FOCUS = ("focus-validator==1.0.0", "multimethod<2")
"""In an environment of its own: it needs older packages than ours."""


def get_focus() -> bool:
    """The validator of the FOCUS specification, in .parts/focus."""
    folder = PARTS / "focus"
    if (folder / "bin/focus-validator").is_file():
        return True
    print("Getting focus-validator for the tests ...")
    return run(sys.executable, "-m", "venv", str(folder)) and run(
        str(folder / "bin/pip"), "install", "--quiet", "--disable-pip-version-check", *FOCUS
    )


def main() -> int:
    """Get the parts and list them; 1 when one is required and missing."""
    missing = [part for part in WANTED if find(part) is None]
    if missing and "--no-get" not in sys.argv:
        get(missing)
    lacking = []
    for part in WANTED:
        found = find(part)
        if found:
            print(f"  {part.name:<13} {found}")
            continue
        lacking.append(part.name)
        on_linux = platform.system() == "Linux"
        how = f"apt install {' '.join(part.debian)}" if on_linux else f"brew install {part.brew}"
        print(f"  {part.name:<13} missing: its tests are skipped. To have them: {how}")
    if get_npm():
        print(f"  {'npm packages':<13} {' '.join(NPM)}")
    else:
        lacking.append("npm packages")
        print(
            f"  {'npm packages':<13} missing: their tests are skipped. To have them: install Node.js, then make parts"
        )
    if get_focus():
        print(f"  {'FOCUS':<13} {' '.join(FOCUS)}")
    else:
        lacking.append("focus-validator")
        print(f"  {'FOCUS':<13} missing: its test is skipped. To have it: reach a package index, then make parts")
    if lacking and os.environ.get("TACHOGRAPH_REQUIRE_PARTS") == "1":
        print(f"Required here and missing: {', '.join(lacking)}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
