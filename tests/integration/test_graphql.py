"""The read side as GraphQL: what it shows, to whom, and what a greedy query gets."""

from __future__ import annotations

from tests.integration.served import serving

from agent.access import keys
from agent.integration import integration_manager
from agent.runtime import Runtime


async def test_a_query_gets_what_it_names_and_of_its_tenant_only(runtime: Runtime) -> None:
    register = {"schema_name": "lesson", "platform": "backend", "definition": {"type": "object"}}
    await integration_manager.execute("schema_validator", "register", register, runtime=runtime)
    await integration_manager.coordinator.run("user_sync", {"user_id": "1"}, runtime=runtime)
    stranger = (await keys.create("stranger", role="viewer", runtime=runtime.for_tenant("other"))).secret
    query = "{ agents { name status } schemas { schemaName newest } runs(limit: 5) { planId status steps { id } } workflows { name } }"
    async with serving(runtime) as client:
        data = (await client.post("/graphql", json={"query": query})).json()["data"]
        theirs = (await client.post("/graphql", json={"query": query}, headers={"Authorization": f"Bearer {stranger}"})).json()["data"]  # fmt: skip
        referred = "query ($r: [_Any!]!) { _entities(representations: $r) { ... on PlatformSchema { newest } } }"
        of_other_graph = {"r": [{"__typename": "PlatformSchema", "schemaName": "lesson", "platform": "backend"}]}
        entity = (await client.post("/graphql", json={"query": referred, "variables": of_other_graph})).json()
        service = (await client.post("/graphql", json={"query": "{ _service { sdl } }"})).json()["data"]["_service"]["sdl"]  # fmt: skip
    assert {one["name"] for one in data["agents"]} >= {"api_gateway", "schema_validator"}
    assert data["schemas"] == [{"schemaName": "lesson", "newest": "1"}]
    assert (data["runs"][0]["planId"], data["runs"][0]["status"], len(data["runs"][0]["steps"])) == ("user_sync", "succeeded", 4)  # fmt: skip
    assert (theirs["schemas"], theirs["runs"]) == ([], [])
    assert entity["data"] == {"_entities": [{"newest": "1"}]}
    assert '@key(fields: "schemaName platform")' in service


async def test_a_greedy_or_wrong_query_gets_an_error(runtime: Runtime) -> None:
    many = "{ " + " ".join(f"a{at}: workflows {{ name }}" for at in range(50)) + " }"
    deep = "{ __schema { types { " + "fields { type { " * 10 + "name" + " } }" * 10 + " } } }"
    async with serving(runtime) as client:
        for query in (many, deep, "{ agents { name " * 400, "{ nothing }", "mutation { x }", "{"):
            answer = (await client.post("/graphql", json={"query": query})).json()
            assert answer["errors"], query[:40]
            assert not answer.get("data")
        assert (await client.post("/graphql", json={"query": ""})).status_code == 422
