"""A database's URL as people have it: what other programs add is left out, what cannot be read is one sentence without secrets."""

from __future__ import annotations

import pytest
from psycopg.conninfo import conninfo_to_dict

from agent.errors import ConfigurationError
from agent.settings import Settings
from agent.settings.values import read_postgres_url

PRISMA = "postgresql://postgres.ref:s%40cret@aws-0-eu.pooler.supabase.com:5432/postgres?pgbouncer=true&schema=shop&connection_limit=1&pool_timeout=0&sslmode=require"


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("postgres://u:p@h/d", "postgresql://u:p@h/d"),
        ("POSTGRESQL://u:p@h/d", "postgresql://u:p@h/d"),
        ("postgresql+asyncpg://u:p@h/d", "postgresql://u:p@h/d"),
        ("postgresql+psycopg2://u:p@h/d?sslmode=disable", "postgresql://u:p@h/d?sslmode=disable"),
        ("jdbc:postgresql://h:5433/d?user=u&password=p&ssl=true&currentSchema=x", "postgresql://h:5433/d?user=u&password=p&sslmode=require"),
        ("postgis://u:p@h/d", "postgresql://u:p@h/d"),
        ("  'postgresql://u:p@h/d'\n", "postgresql://u:p@h/d"),
        ('"postgresql://u:p@h/d" ', "postgresql://u:p@h/d"),
        ("\ufeffpostgresql://u:p@h/d\r\n", "postgresql://u:p@h/d"),
        ("postgresql://u:p@[2001:db8::1]:5433/d", "postgresql://u:p@[2001:db8::1]:5433/d"),
        ("postgresql://u:p@h1:5432,h2:5433/d?target_session_attrs=read-write", "postgresql://u:p@h1:5432,h2:5433/d?target_session_attrs=read-write"),
        ("postgresql:///d?host=/var/run/postgresql", "postgresql:///d?host=/var/run/postgresql"),
        ("postgresql://%2Fvar%2Frun/d", "postgresql://%2Fvar%2Frun/d"),
        ("postgresql:///?service=shop", "postgresql:///?service=shop"),
        ("postgresql://u:p#ss:w~d@h/d?channel_binding=require", "postgresql://u:p#ss:w~d@h/d?channel_binding=require"),
        ("postgresql://u:p[x]y@h/d", "postgresql://u:p[x]y@h/d"),
        ("postgresql://u:p@h/d?sslmode=no-verify", "postgresql://u:p@h/d?sslmode=require"),
        ("postgresql://u:p@h/d?application_name=a@b", "postgresql://u:p@h/d?application_name=a@b"),
        (PRISMA, "postgresql://postgres.ref:s%40cret@aws-0-eu.pooler.supabase.com:5432/postgres?sslmode=require"),
    ],
)  # fmt: skip
def test_a_url_is_read_as_it_was_meant(text: str, url: str) -> None:
    found = read_postgres_url(text)
    assert found.url == url
    assert conninfo_to_dict(found.url)
    assert read_postgres_url(found.url).url == found.url


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("postgresql://u:s3cr@t@host.example/d", "%40"), ("postgresql://u:s3cr/t@host.example/d", "%2F"), ("postgresql://u:12/s3cr@t@h/d", "%2F"),
        ("postgresql://u:s3cr%zz@h/d", "%25"), ("postgresql://u:s3 cr@h/d", "%20"), ("postgresql://u:1?s3cr=t@h/d", "%3F"),
        ("postgresql://u:s3cr?pt@h/d", "%3F"), ("mysql://u:s3cr@h/d", "postgresql://"), ("DATABASE_URL=postgresql://u:s3cr@h/d", "postgresql://"),
        ("s3cr", "postgresql://"), ("postgresql://u:s3cr@h/d?sslmodes=require", "'sslmodes'"), ("postgresql://u:[YOUR-PASSWORD]@h/d", "placeholder"),
        ("postgresql://u:<password>@h/d", "placeholder"), ("postgres://[db-user].[project-ref]:s3cr@aws-0-[aws-region].pooler.example:5432/d", "placeholder"),
        ("postgresql://u:[password]@h/d", "placeholder"), ("postgresql://u:s3cr@99@h:5432/d?pgbouncer=true", "%40"), ("postgresql://u:s3cr@h/d?connection_limtit=1", "limtit"), ("postgresql://u:s3cr@h/d?sslmode=s3cr", "verify-full"),
        ("postgresql://u:s3cr@h:54x2/d", "postgresql://"), ("https://h.supabase.co/s3cr", "postgresql://"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_one_sentence_without_a_secret(text: str, says: str) -> None:
    for variable in ("database_url", "app_database_url"):
        with pytest.raises(ConfigurationError) as refused:
            Settings.load(_env_file=None, **{variable: text})
        told = str(refused.value)
        assert says in told
        assert "s3" not in told
        assert told.startswith("Correct these settings")


def test_what_is_left_out_is_said_and_a_schema_is_taken() -> None:
    settings = Settings(_env_file=None, database_url=PRISMA)
    (hint,) = settings.url_hints
    assert "pgbouncer, schema, connection_limit, pool_timeout" in hint
    assert "'shop'" in hint
    assert "cret" not in hint
    assert settings.chosen_schemas == ("shop",)
    assert Settings(_env_file=None, database_url=PRISMA, app_schemas="other").chosen_schemas == ("other",)
    assert Settings(_env_file=None, database_url="postgresql://u@h/d?schema=public").chosen_schemas == ()
    apart = Settings(_env_file=None, database_url=PRISMA, app_database_url="postgresql://u@h/d")
    assert apart.chosen_schemas == ()
