"""Settings: documented, frozen, silent about secrets, and read only when asked."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import ValidationError

from agent.errors import ConfigurationError
from agent.settings import Settings, env_example, variable_name

ROOT = Path(__file__).parents[2]
SECRET = "hunter2-is-a-secret"


def test_every_setting_is_in_the_example_file_with_its_meaning() -> None:
    text = (ROOT / ".env.example").read_text(encoding="utf-8")
    for name, field in Settings.model_fields.items():
        assert field.description, f"{name} has no description"
        assert field.description.endswith("."), name
        assert "\n" not in field.description, name
        assert f"# {field.description}\n# {variable_name(name)}=" in text, name
    assert text == env_example(), "run `make .env.example`"


def test_the_example_file_changes_nothing_when_it_is_used(tmp_path: Path) -> None:
    uncommented = "\n".join(
        line.removeprefix("# ")
        for line in env_example().splitlines()
        if line.startswith("# ") and "=" in line.split(" ")[1]
    )
    (tmp_path / "env").write_text(uncommented, encoding="utf-8")
    assert Settings(_env_file=tmp_path / "env") == Settings(_env_file=None)


@pytest.mark.parametrize("where", ["environment", "file"])
@pytest.mark.parametrize("name", sorted(Settings.model_fields))
def test_no_variable_of_somebody_elses_is_read(
    name: str, where: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    documented = {variable_name(name) for name in Settings.model_fields}
    before, file = Settings(_env_file=None), tmp_path / "env"
    for variable in (name, name.upper()):
        if variable.upper() in documented:
            continue
        if where == "environment":
            monkeypatch.setenv(variable, "postgresql://u:p@127.0.0.1/elsewhere")
        else:
            file.write_text(f"{variable}=postgresql://u:p@127.0.0.1/elsewhere")
    own = {"user", "home"}  # their defaults are made of such variables
    assert Settings(_env_file=file).model_dump(exclude=own) == before.model_dump(exclude=own)


def test_the_folder_is_one_in_the_users_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert tmp_path in Settings(_env_file=None).home.parents


def test_settings_are_frozen() -> None:
    with pytest.raises(ValidationError):
        Settings(_env_file=None).tenant_id = "other"  # type: ignore[misc]  # that it fails is the test


@pytest.mark.parametrize("name", sorted(Settings.model_fields))
def test_no_setting_is_quoted_in_an_error(name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    variable = variable_name(name)
    monkeypatch.setenv(variable, f"mysql://u:{SECRET}@h\x01/")
    message, shown = "", ""
    try:
        shown = repr(Settings.load())
    except ConfigurationError as error:
        message = str(error)
    assert SECRET not in message
    assert not message or variable in message
    if "Secret" in str(Settings.model_fields[name].annotation) or name.endswith("_base_url"):
        assert SECRET not in shown  # a gateway's URL may hold credentials too


def test_an_empty_variable_counts_as_not_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AGENT_MAX_ROWS", "")
    monkeypatch.setenv("DATABASE_URL", "")
    assert Settings.load().max_rows == Settings(_env_file=None).max_rows
    assert Settings.load().embedded


def test_the_environment_wins_over_the_file_and_an_argument_over_both(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".env").write_text("AGENT_MAX_ROWS=1\nAGENT_TENANT=file\n", encoding="utf-8")
    monkeypatch.setenv("AGENT_MAX_ROWS", "2")
    assert (Settings.load().max_rows, Settings.load().tenant_id) == (2, "file")
    assert Settings.load(max_rows=3).max_rows == 3


def test_the_home_folder_is_absolute_whatever_was_written(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AGENT_HOME", "~/agent")
    assert Settings.load().home == Path.home() / "agent"
    monkeypatch.setenv("AGENT_HOME", "agent")
    assert Settings.load().home == tmp_path / "agent"


@pytest.mark.parametrize(
    "domains", ["*example.com", "*", "*.", "firm.example, mail.*.example", "f?rm.example", "a b.example"]
)
def test_a_star_in_the_mail_domains_stands_for_whole_labels(domains: str) -> None:
    with pytest.raises(ConfigurationError, match=r"AGENT_EMAIL_DOMAINS.*firm\.example, \*\.firm\.example"):
        Settings.load(_env_file=None, email_domains=domains)
    assert Settings.load(_env_file=None, email_domains="firm.example, *.firm.example,")


def test_an_unreadable_file_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".env").write_bytes(b"AGENT_TENANT=caf\xe9\n")
    with pytest.raises(ConfigurationError, match=r"\.env"):
        Settings.load()


# Reports what code of this package opens, reads or connects to while its modules are imported. What libraries do when
# they are imported is theirs; files of the package itself are as good as code.
WATCH = """
import importlib, os, pkgutil, sys

found = []

def culprit():
    frame = sys._getframe(2)
    if "importlib" in frame.f_code.co_filename:
        return None
    while frame is not None:
        name = frame.f_globals.get("__name__", "")
        if name.split(".")[0] == "agent":
            return name
        if "site-packages" in frame.f_code.co_filename or "importlib._bootstrap" in frame.f_code.co_filename:
            return None
        frame = frame.f_back
    return None

def hook(event, arguments):
    if event == "open" or event.startswith(("socket.", "subprocess.", "sqlite3.", "os.system", "os.mkdir", "os.putenv")):
        who = culprit()
        if who and not (event == "open" and str(arguments[0]).startswith(package)):
            found.append((who, event, str(arguments[:1])))

class Environment(type(os.environ)):
    def __getitem__(self, key):
        who = culprit()
        if who:
            found.append((who, "environment", key))
        return super().__getitem__(key)

import agent
package = os.path.dirname(agent.__file__)
os.environ.__class__ = Environment
sys.addaudithook(hook)
names = [module.name for module in pkgutil.walk_packages(agent.__path__, "agent.") if not module.name.endswith("__main__")]
for name in names:
    importlib.import_module(name)
print(len(names))
for line in found:
    print(*line)
"""


def test_no_group_of_settings_takes_a_name_of_another_one() -> None:
    """The groups are joined in one class: of two validators or fields with one name, one would silently be lost."""
    named: dict[str, str] = {}
    for group in Settings.__mro__:
        if not group.__module__.startswith("agent.settings") or group is Settings:
            continue
        own = {name for name in vars(group) if not name.startswith(("__", "model_", "_abc"))}
        for name in {*own, *vars(group).get("__annotations__", {})}:
            assert named.setdefault(name, group.__name__) == group.__name__, (name, group.__name__, named[name])


def test_importing_any_module_opens_nothing_and_reads_no_environment() -> None:
    done = subprocess.run([sys.executable, "-c", WATCH], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    count, *found = done.stdout.splitlines()
    assert int(count) > 20
    assert found == []


def test_the_watch_itself_notices_what_it_should(tmp_path: Path) -> None:
    bad = tmp_path / "agent"
    bad.mkdir()
    (bad / "__init__.py").write_text("")
    (bad / "reads.py").write_text(
        "import os, pathlib\nos.environ.get('HOME')\npathlib.Path('/etc/hostname').exists()\nopen('/etc/passwd').close()\n"
    )
    (bad / "connects.py").write_text("import socket\nsocket.socket().close()\n")
    done = subprocess.run([sys.executable, "-c", WATCH], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert {line.split()[1] for line in done.stdout.splitlines()[1:]} == {"environment", "open", "socket.__new__"}
