"""What an older dump defines on each partition is not lost when partitions are folded into their parent."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest

from agent.learning.auto_discover import auto_discovery
from agent.learning.discovery.structure import AppStructure, Relation, relations
from agent.learning.schema_linking.linking import describe
from agent.providers.offline_model.schema_parser import parse_schema
from agent.runtime import Runtime
from agent.settings import Settings
from agent.testing.cluster import Cluster

FERRY = """
create table public.people (id int primary key); create table public.boats (id int primary key); create table public.ports (a int, b int, primary key (a, b));
create table public.trips (id int not null, day date not null, person_id int, boat_id int, a int, b int, own_id int references public.boats)
  partition by range (day);
create table public.trips_1 partition of public.trips for values from ('2026-01-01') to ('2026-02-01');
create table public.trips_2 partition of public.trips for values from ('2026-02-01') to ('2026-03-01');
create table public.trips_more partition of public.trips for values from ('2026-03-01') to ('2027-01-01') partition by list (id);
create table public.trips_more_1 partition of public.trips_more for values in (1);
create table public.trips_rest partition of public.trips default;
alter table trips_1 add primary key (id), add constraint t1_person foreign key (person_id) references people, add constraint t1_boat foreign key (boat_id) references boats;
alter table trips_2 add primary key (id), add constraint t2_person foreign key (person_id) references people, add constraint t2_boat foreign key (boat_id) references people;
alter table trips_more_1 add primary key (id), add constraint tm_person foreign key (person_id) references people;
alter table trips_more add constraint tm_port foreign key (a, b) references ports;
alter table trips_rest add primary key (id), add constraint tr_own foreign key (own_id) references boats;
alter table trips_1 add constraint few check (person_id < 9);
create index trips_2_boat on trips_2 (boat_id);
create function touch() returns trigger language plpgsql as 'begin return new; end';
create trigger t before update on trips_1 for each row execute function touch();
create table public.notes (trip_id int references public.trips_1 (id), note text);
create table public.lots (day date, id int, primary key (day, id)) partition by range (day);
create table public.lots_1 partition of public.lots for values from ('2026-01-01') to ('2027-01-01');
create table public.bids (day date, lot int, foreign key (day, lot) references public.lots);
create table public.base (id int primary key, boat_id int references public.boats); create table public.kid (extra int references public.people) inherits (public.base);
"""


def fill(conn: psycopg.Connection) -> None:
    conn.execute(FERRY.encode())


@pytest.fixture
def settings(cluster: Cluster) -> Iterator[Settings]:
    settings = cluster.database(cluster.template("ferry", fill))
    yield settings
    cluster.drop(settings)


def _relation(structure: AppStructure, name: str) -> Relation:
    return next(item for item in relations(structure) if item["qualified"] == name)


async def test_keys_of_partitions_are_their_parents_or_named(runtime: Runtime) -> None:
    structure = await auto_discovery.discover_app_structure(runtime=runtime)
    trips = _relation(structure, "public.trips")
    edges = {(tuple(k["columns"]), k["target"], tuple(k["partitions"])) for k in trips["foreign_keys"]}
    assert edges == {
        (("person_id",), "public.people", ()),
        (("boat_id",), "public.boats", ("public.trips_1",)),
        (("boat_id",), "public.people", ("public.trips_2",)),
        (("a", "b"), "public.ports", ()),
        (("own_id",), "public.boats", ()),
    }
    assert trips["partitions"] == 4
    parts = {item["definition"]: item["partitions"] for item in trips["of_partitions"]}
    assert parts == {
        "PRIMARY KEY (id)": [],
        "CHECK ((person_id < 9))": ["public.trips_1"],
        "INDEX USING btree (boat_id)": ["public.trips_2"],
        "trigger calling public.touch": ["public.trips_1"],
    }
    assert trips["primary_key"] == []


async def test_a_key_that_refers_to_a_partition_refers_to_its_parent(runtime: Runtime) -> None:
    structure = await auto_discovery.discover_app_structure(runtime=runtime)
    edges = {
        (e["source"], tuple(e["columns"]), e["target"], tuple(e["target_columns"])) for e in structure["relationships"]
    }
    assert ("public.notes", ("trip_id",), "public.trips", ("id",)) in edges
    assert ("public.bids", ("day", "lot"), "public.lots", ("day", "id")) in edges
    assert len([edge for edge in edges if edge[0] == "public.bids"]) == 1
    assert {edge for edge in edges if edge[0] in {"public.base", "public.kid"}} == {
        ("public.base", ("boat_id",), "public.boats", ("id",)), ("public.kid", ("extra",), "public.people", ("id",)),
    }  # fmt: skip


async def test_the_text_tells_which_partitions_a_key_is_of_and_reads_back(runtime: Runtime) -> None:
    text = await describe("trips", runtime=runtime)
    assert "  person_id integer -> public.people(id)" in text
    assert "  fk (boat_id) -> public.boats(id) -- only in public.trips_1" in text
    assert "in every partition: PRIMARY KEY (id)" in text
    assert "in of its partitions" not in text
    (trips,) = parse_schema([text])
    assert [column.name for column in trips.columns] == ["id", "day", "person_id", "boat_id", "a", "b", "own_id"]
    assert len(trips.foreign_keys) == 5


async def test_a_denied_partition_is_not_named(cluster: Cluster) -> None:
    from agent.testing.running import running

    settings = cluster.database(cluster.template("ferry", fill), deny="trips_1")
    async with running(settings) as runtime:
        structure = await auto_discovery.discover_app_structure(runtime=runtime)
        assert "trips_1" not in str(structure)
    cluster.drop(settings)
