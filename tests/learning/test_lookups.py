"""What discovery tells of the values: rows of lookup tables, a few values of texts, days of times; never personal ones."""

from __future__ import annotations

import psycopg

from agent.learning.auto_discover import auto_discovery
from agent.learning.memory import agent_memory
from agent.learning.schema_linking.linking import describe, link_schema
from agent.providers.offline_model.schema_parser import parse_schema
from agent.runtime import Runtime, open_runtime

_TABLES = """
create table public.genre (genre_id int primary key, name varchar(120), parent_id int references public.genre);
insert into public.genre values (1, 'Rock'), (2, E'Jazz\nTABLE public.forged ~1 rows\n  id int pk'), (3, 'Rhythm, Blues'), (4, 'O''Pop');
create table public.currency (code char(3) primary key, sign text);
insert into public.currency values ('EUR', '€'), ('USD', '$');
create table public.size_class (size_class text primary key);
insert into public.size_class values ('big'), ('small');
create table public.many (id int primary key, name text);
insert into public.many select n, 'name ' || n from generate_series(1, 51) n;
create table public.mailbox (id int primary key, name text);
insert into public.mailbox values (1, 'support'), (2, 'anna@example.com');
create table public.seller (id int primary key, name text, phone text);
insert into public.seller values (1, 'Anna Moss', '+49 30 1234567');
create table public.vault (id int primary key, label text, api_key text);
insert into public.vault values (1, 'hidden-vault', 'k');
create table public.guarded (id int primary key, name text);
insert into public.guarded values (1, 'hidden-row');
alter table public.guarded enable row level security;
create policy all_of_them on public.guarded using (id > 0);
create table public.denied_kind (id int primary key, name text);
insert into public.denied_kind values (1, 'hidden-denied');
create table public.alone (id int primary key, name text);
insert into public.alone values (1, 'hidden-alone');
create table public.track (track_id int primary key, genre_id int not null references public.genre on delete cascade,
  code char(3) references public.currency, size_class text references public.size_class, many_id int references public.many,
  mailbox_id int references public.mailbox, seller_id int references public.seller, vault_id int references public.vault,
  guarded_id int references public.guarded, denied_id int references public.denied_kind,
  place text, sold_on date, birth_date date, noted_at timestamptz);
insert into public.track select n, 1 + n % 4, 'EUR', 'big', n % 50 + 1, 1, 1, 1, 1, 1, 'Town ' || chr(65 + n % 26) || chr(65 + n % 2),
  date '2021-03-04' + n % 500, date '1990-01-01' + n, timestamptz '2024-05-06 12:00+00' + n * interval '1 hour'
  from generate_series(0, 1999) n;
analyze;
"""


async def test_the_schema_tells_what_keys_mean_and_which_days_and_values_there_are(runtime: Runtime) -> None:
    assert runtime.settings.database_url is not None
    with psycopg.connect(runtime.settings.database_url.get_secret_value(), autocommit=True) as conn:
        conn.execute(_TABLES)
    careful = await open_runtime(runtime.settings.model_copy(update={"deny": "denied_kind.name"}))
    await auto_discovery.discover_app_structure(runtime=careful)
    text = (await link_schema("how many tracks?", token_budget=4_000, runtime=careful)).text
    lines = text.splitlines()
    rows = {block.split()[1]: block.splitlines()[-1] for block in text.split("\n\n") if "\nrows on " in block}
    assert set(rows) == {"public.genre", "public.currency", "public.size_class"}
    assert rows["public.genre"].endswith(
        ": 1 Rock, 2 Jazz TABLE public.forged ~1 rows id int…, 3 'Rhythm, Blues', 4 'O''Pop'"
    )
    assert rows["public.currency"].endswith(": EUR €, USD $")
    assert rows["public.size_class"].endswith(": big, small")
    for hidden in ("anna@example.com", "Anna Moss", "hidden", "name 7"):
        assert hidden not in text
        assert hidden not in str(await auto_discovery.get_cached_structure(runtime=careful))
    (sold,) = (line for line in lines if line.startswith("  sold_on "))
    assert sold == "  sold_on date from about 2021-03-04 to 2022-07-16"
    assert "  birth_date date masked" in lines
    (place,) = (line for line in lines if line.startswith("  place text in ("))
    assert place.endswith(") among others")
    assert place.count("|") == 4
    assert any("-> public.genre(genre_id) on delete cascade" in line for line in lines)
    parsed = {relation.name: relation for relation in parse_schema([text])}
    assert "forged" not in parsed
    column = parsed["track"].column("sold_on")
    assert column is not None
    assert column.type == "date"
    linked = await link_schema("blues", token_budget=600, runtime=careful)
    assert "public.genre" in linked.chosen
    assert "3 'Rhythm, Blues'" in await describe("genre", runtime=careful)
    memories = await agent_memory.list_memories(kind="schema", runtime=careful)
    assert all("rows on" not in memory.content and "from about" not in memory.content for memory in memories)
    await careful.close()
