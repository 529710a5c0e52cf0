"""What every setting is: its default, its help, and what declaring it costs."""

from __future__ import annotations

import subprocess
import sys

from oroboros_deploy.config import SETTINGS, Build, Config, Frontend, Healthcheck, RegistryTables, load


def test_defaults_are_those_of_the_contract() -> None:
    """With nothing configured, every setting has its documented default."""
    config = load([], {})
    assert config == Config(
        root="/srv/oroboros",
        application=None,
        releases_dir="/srv/oroboros/releases",
        current_link="/srv/oroboros/current",
        repo_root="/srv/oroboros/repo",
        repo_url=None,
        registry_url=None,
        commit_url=None,
        compare_url=None,
        registry=RegistryTables(None),
        services=(
            "ouroboros-api",
            "ouroboros-worker",
            "ouroboros-web@main",
            "ouroboros-web@preview1",
            "ouroboros-web@preview2",
            "ouroboros-web@preview3",
            "ouroboros-caddy",
        ),
        healthcheck=Healthcheck("scripts/runtime-health-check.sh", 60, 1, 2),
        build=Build(
            python=None,
            node=None,
            frontend=Frontend("frontend", "npm ci && npm run build", "dist", "infra/web-main"),
            venvs={"backend": ("backend",), "worker": ("worker",)},
            steps=(),
            timeout=1800,
            installer="auto",
            inputs=(),
            cache=2000,
        ),
        migrate=None,
        restart_timeout=180,
        migrate_timeout=900,
        reconnect_timeout=600,
        parallel=1,
        skip_restart=False,
        skip_healthcheck=False,
        environment=None,
        hosts=(),
        environments={},
        provenance={setting.name: "default" for setting in SETTINGS},
    )


def test_every_setting_can_be_explained() -> None:
    """Each declaration has help, and a default that its own check accepts."""
    for setting in SETTINGS:
        assert setting.help
        if setting.default is not None and not str(setting.default).startswith("{root}"):
            assert setting.check(setting.default) == setting.default


def test_importing_settings_imports_nothing_heavy() -> None:
    """`fab --list` does not pay for the network or the database."""
    code = "import sys, oroboros_deploy.config; print({'fabric', 'paramiko', 'sqlalchemy'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
