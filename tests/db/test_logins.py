"""The SQL that a database administrator is given: the same each time, without passwords, and with no more than is needed."""

from __future__ import annotations

import pytest

from agent.db.logins import derive_password
from agent.db.setup import setup_script
from agent.types import LOGINS

SCRIPT = setup_script("s3cret", ["public", 'od"d'], bypass_rls=False)


def test_the_script_is_the_same_each_time_and_holds_no_password() -> None:
    assert setup_script("s3cret", ["public", 'od"d'], bypass_rls=False) == SCRIPT
    assert "s3cret" not in SCRIPT
    assert not any(derive_password("s3cret", login) in SCRIPT for login in LOGINS)


@pytest.mark.parametrize("login", LOGINS)
def test_a_login_that_is_made_inherits_no_rights_of_other_roles(login: str) -> None:
    assert f'create role "{login}" noinherit' in SCRIPT


def test_rights_are_given_on_each_schema_whatever_its_name() -> None:
    assert 'grant usage on schema "public" to' in SCRIPT
    assert 'grant usage on schema "od""d" to' in SCRIPT
    assert "bypassrls" not in SCRIPT.replace("nobypassrls", "").replace("rolbypassrls", "")
