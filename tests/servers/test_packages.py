"""Absent servers are installed without starting anything, or the one line says what to do."""

import os
import stat
from pathlib import Path

import pytest

from bridge.demo.servers import ServerNotStarted, packages
from bridge.demo.servers.packages import PackagesMissing

# Notes its arguments and what the policy would answer to a package that wants to start a service.
APT_GET = """\
#!/bin/sh
echo "$@" >> {notes}/calls
if [ -x {policy} ]; then {policy}; echo $? >> {notes}/policy; fi
{then}
"""


@pytest.fixture
def absent(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither server is on the machine."""

    def nowhere() -> Path:
        raise ServerNotStarted("not here")

    monkeypatch.setattr(packages, "bin_dir", nowhere)
    monkeypatch.setattr(packages, "scripts_dir", nowhere)


@pytest.fixture
def policy(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    path = tmp_path / "policy-rc.d"
    monkeypatch.setattr(packages, "_POLICY", path)
    return path


def _put_apt_get(
    monkeypatch: pytest.MonkeyPatch, folder: Path, policy: Path, then: str = "exit 0"
) -> None:
    programs = folder / "programs"
    programs.mkdir()
    program = programs / "apt-get"
    program.write_text(APT_GET.format(notes=folder, policy=policy, then=then))
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    monkeypatch.setattr(os, "geteuid", lambda: 0)


def test_nothing_is_done_when_both_are_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", f"/nonexistent:{os.environ['PATH']}")
    assert packages.ensure() == []
    assert packages.main() == 0


@pytest.mark.parametrize("package", ["openssl", "nodejs"])
def test_tests_need_more_programs_than_the_demo(
    monkeypatch: pytest.MonkeyPatch, package: str
) -> None:
    assert package not in packages.missing(for_tests=True)
    monkeypatch.setattr("shutil.which", lambda _name, **_: None)
    assert package in packages.missing(for_tests=True)
    assert package not in packages.missing()


@pytest.mark.usefixtures("absent")
def test_services_are_held_back_while_packages_are_installed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, policy: Path
) -> None:
    _put_apt_get(monkeypatch, tmp_path, policy)
    with pytest.raises(PackagesMissing, match="although apt-get installed them"):
        packages.ensure()
    update, install = (tmp_path / "calls").read_text().splitlines()
    assert update.endswith("update")
    assert install.endswith("install -y --no-install-recommends postgresql rabbitmq-server")
    assert (tmp_path / "policy").read_text().split() == ["101", "101"]
    assert not policy.exists()


@pytest.mark.usefixtures("absent")
def test_an_administrators_policy_stands(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, policy: Path
) -> None:
    policy.write_text("#!/bin/sh\nexit 0\n")
    _put_apt_get(monkeypatch, tmp_path, policy)
    with pytest.raises(PackagesMissing):
        packages.ensure()
    assert policy.read_text() == "#!/bin/sh\nexit 0\n"


@pytest.mark.usefixtures("absent")
def test_a_failed_installation_is_quoted_and_leaves_no_policy(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    policy: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    _put_apt_get(monkeypatch, tmp_path, policy, then="echo 'E: no route' >&2; exit 100")
    assert packages.main() == 69
    assert "ended with 100: E: no route; run as root: apt-get" in capsys.readouterr().err
    assert not policy.exists()


@pytest.mark.usefixtures("absent")
def test_without_apt_get_the_line_says_what_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(PackagesMissing, match="has no apt-get; install PostgreSQL 13 or later"):
        packages.ensure()


@pytest.mark.usefixtures("absent")
def test_an_ordinary_user_without_sudo_is_told_the_command(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, policy: Path
) -> None:
    _put_apt_get(monkeypatch, tmp_path, policy)
    monkeypatch.setenv("PATH", str(tmp_path / "programs"))
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(PackagesMissing, match=r"run once as root: apt-get install .*postgresql"):
        packages.ensure()


def test_all_versions_are_fetched_on_request(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    fetched: list[int] = []
    monkeypatch.setattr(packages, "fetch", fetched.append)
    monkeypatch.setattr("sys.argv", ["packages"])
    assert packages.main() == 0
    assert fetched == []
    monkeypatch.setattr("sys.argv", ["packages", "--all-versions"])
    assert packages.main() == 0
    assert fetched == [14, 15, 16, 17, 18]

    def refuse(version: int) -> None:
        raise ServerNotStarted(f"no {version}")

    monkeypatch.setattr(packages, "fetch", refuse)
    assert packages.main() == 69
    assert capsys.readouterr().err == "no 14\n"
