"""The container files name what exists: paths, extras, command lines, volumes."""

from __future__ import annotations

import argparse
import re
import tomllib
from typing import Any

import pytest
import yaml

from support.parts import ROOT
from tachograph.cli import console, ledger

COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "deploy/compose.production.yaml").read_text("utf-8"))
CONTAINERFILE = (ROOT / "deploy/Containerfile").read_text("utf-8")


def takes(command: list[str]) -> None:
    parser = argparse.ArgumentParser(exit_on_error=False)
    {"console": console, "ledger": ledger}[command[0]].add_arguments(parser)
    parser.parse_args(command[1:])


@pytest.mark.parametrize("name", ["console", "writer"])
def test_a_service_is_bounded_watched_and_without_privileges(name: str) -> None:
    service = COMPOSE["services"][name]
    takes(service["command"])
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["mem_limit"]
    assert service["healthcheck"]["test"][0] == "CMD"
    assert (ROOT / "deploy" / service["build"]["context"] / service["build"]["dockerfile"]).is_file()


def test_every_volume_that_is_mounted_is_declared() -> None:
    mounted = {volume.split(":")[0] for service in COMPOSE["services"].values() for volume in service["volumes"]}
    assert mounted == set(COMPOSE["volumes"])


def test_no_password_stands_in_the_file() -> None:
    for service in COMPOSE["services"].values():
        for key, value in service["environment"].items():
            if re.search("PASSWORD|TOKEN|URL", key):
                assert "${" in value


def test_the_image_installs_extras_that_exist_and_runs_as_the_charts_user() -> None:
    extras = re.search(r"'\.\[(.*?)\]'", CONTAINERFILE)
    assert extras is not None
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    assert set(extras[1].split(",")) <= set(project["optional-dependencies"])
    values = yaml.safe_load((ROOT / "deploy/helm/tachograph/values.yaml").read_text("utf-8"))
    assert f"USER {values['podSecurityContext']['runAsUser']}:" in CONTAINERFILE
    command = re.search(r"^CMD \[(.*)\]$", CONTAINERFILE, re.MULTILINE)
    assert command is not None
    takes([part.strip().strip('"') for part in command[1].split(",")])


def test_each_copied_path_exists() -> None:
    for line in re.findall(r"^COPY (?!--from)(.*) \S+$", CONTAINERFILE, re.MULTILINE):
        assert all((ROOT / path).exists() for path in line.split())
