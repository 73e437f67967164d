-- What a name in our own functions means is nobody else's to decide: they look names up in the system's schema only, and name
-- everything else by its schema. Postgres prefers an exact match anywhere on the search_path to a built-in function that takes
-- any type, so a schema in which others may create objects is on no path of ours, also where pgvector lies there.
set search_path = pg_catalog, pg_temp;

-- The schema of pgvector, as it is now: an administrator may move it.
create or replace function agents.vector_schema() returns name
language sql stable parallel safe
return (select n.nspname from pg_extension e join pg_namespace n on n.oid = e.extnamespace where e.extname = 'vector');

-- What we need of pgvector, as functions of ours. Their bodies are kept with the numbers of what they use, so they need no
-- name that could be another's, and no right on pgvector's schema; the planner puts the bodies in the place of the calls.
do $$
declare
  vector_schema name := agents.vector_schema();
begin
  -- Loads the library: who is no superuser may not give a function settings that are not known yet.
  execute format('select %L::%I.vector', '[1]', vector_schema);
  execute replace($functions$
    create or replace function agents.as_vector(given text) returns @.vector
    language sql immutable parallel safe return given::@.vector;

    create or replace function agents.cosine_distance(one @.vector, other @.vector) returns double precision
    language sql immutable parallel safe return one operator(@.<=>) other;

    create or replace function agents.negative_inner_product(one @.sparsevec, other @.sparsevec) returns double precision
    language sql immutable parallel safe return one operator(@.<#>) other;

    -- The classic form: nearest vectors only, of each database's model that has as many dimensions as the query.
    create or replace function agents.match_agent_memory(query_embedding @.vector, match_count integer default 5, in_database text default null)
    returns setof agents.found_memory
    language plpgsql stable security definer set search_path = pg_catalog, pg_temp
    as $body$
    declare
      space agents.embedding_models;
    begin
      for space in
        select * from agents.embedding_models e
         where e.tenant_id = agents.tenant() and e.dimensions = cardinality(query_embedding::real[])
           and (in_database is null or e.database_id = in_database)
      loop
        return query select * from agents.search_memories(null, space.database_id, query_embedding::real[], space.model, match_count);
      end loop;
    end $body$;
  $functions$, '@', quote_ident(vector_schema));
end $$;

-- The same as before, as bodies whose names were looked up here and now.
create or replace function agents.lexemes(content text) returns tsvector
language sql immutable parallel safe
return (
  select to_tsvector('pg_catalog.english'::regconfig,
    case when octet_length(plain) = length(plain) then plain
      else regexp_replace(regexp_replace(normalize(plain, nfkd), '[\u0300-\u036f]', '', 'g'),
        '([\u0e00-\u0eff\u1000-\u109f\u3040-\u30ff\u3400-\u9fff\U00020000-\U0003ffff])', ' \1 ', 'g')
    end)
  from (select translate(content, '._-/\:@~+=<>&?#%', repeat(' ', 16))) as blanked (plain)
);

create or replace function agents.bm25_weights(lexemes tsvector, words integer) returns text
language sql immutable parallel safe
return (
  select '{' || coalesce(string_agg(index || ':' || weight, ',' order by index), '') || '}/536870912'
    from (select (hashtextextended(lexeme, 0) & 536870911) + 1 as index,
                 sum(2.2 * tf / (tf + agents.bm25_damping(words, 32)))::real as weight
            from (select lexeme, cardinality(positions) as tf from unnest(lexemes)) as counted
           group by 1) as weighed
);

create or replace function agents.describe_memory() returns trigger
language plpgsql set search_path = pg_catalog, pg_temp
as $$
declare
  words tsvector := agents.lexemes(new.content);
begin
  select coalesce(array_agg(hashtextextended(lexeme, agents.memory_scope(new.tenant_id, new.database_id))), '{}'),
         coalesce(sum(cardinality(positions)), 0)
    into new.terms, new.word_count from unnest(words);
  new.term_weights := agents.bm25_weights(words, new.word_count);
  return new;
end $$;

create or replace function agents.prepare_embedding_model(model_name text, model_dimensions integer) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
  index_name text := 'agent_memory_hnsw_' || left(encode(sha256(convert_to(model_name, 'UTF8')), 'hex'), 16);
  vector_type text := case when model_dimensions <= 2000 then 'vector' else 'halfvec' end;
begin
  if length(model_name) not between 1 and 200 or model_dimensions not between 1 and 16000 then
    raise exception 'not an embedding model: % with % dimensions', model_name, model_dimensions
      using errcode = 'invalid_parameter_value';
  end if;
  if model_dimensions > 4000 or to_regclass('agents.' || index_name) is not null then
    return;
  end if;
  perform pg_advisory_xact_lock(7246105002);
  if (select count(*) from pg_indexes where schemaname = 'agents' and indexname like 'agent\_memory\_hnsw\_%') >= 32 then
    raise exception 'there are 32 embedding models already: drop an index agents.agent_memory_hnsw_... that is no longer used'
      using errcode = 'configuration_limit_exceeded';
  end if;
  execute format(
    'create index if not exists %I on agents.agent_memory using hnsw ((embedding::%2$I.%3$s(%4$s)) %2$I.%3$s_cosine_ops)'
    ' where embedding_model = %5$L and valid_until is null',
    index_name, agents.vector_schema(), vector_type, model_dimensions, model_name);
end $$;

create or replace function agents.search_memories(
  query_text text, in_database text, query_embedding real[] default null, query_model text default null,
  match_count integer default 5, match_kinds text[] default null
) returns setof agents.found_memory
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
set hnsw.iterative_scan = relaxed_order
set hnsw.ef_search = 40
set jit = off
as $$
declare
  tenant text := agents.tenant();
  depth integer := least(24 + 4 * match_count, 1000); -- candidates by words and by similarity, each
  fetched bigint[];
  candidates bigint[];
  query_weights agents.agent_memory.term_weights%type;
  information double precision;
  average_length double precision;
  mean double precision := 0.15;
  deviation double precision := 0.12;
  target agents.agent_memory.embedding%type;
  near bigint[];
begin
  if match_count < 1 then
    return;
  end if;
  if query_text is null then
    depth := least(match_count + 8, 1000);
    -- Nothing else makes up for a near memory that is overlooked.
    perform set_config('hnsw.ef_search', least(2 * match_count + 70, 1000)::text, true);
  else
    perform set_config('hnsw.ef_search', least(depth + 8, 1000)::text, true);
  end if;
  select array_agg(t.term) filter (where t.candidate), max(t.average), sum(t.weight),
         ('{' || string_agg(t.index || ':' || t.weight, ',') || '}/536870912')
    into fetched, average_length, information, query_weights
    from agents.query_terms(tenant, in_database, query_text, 100 + 5 * depth) t;
  if fetched is not null then
    -- Terms are salted with tenant and database, so that their index finds this scope's memories only. The names are
    -- compared in a form that serves no index: with a plan made once, another index could be the wrong one for this tenant.
    candidates := array(
      select m.id from agents.agent_memory m
       where m.terms && fetched and m.tenant_id || '' = tenant and m.database_id || '' = in_database and m.valid_until is null
         and (match_kinds is null or m.kind = any (match_kinds))
       order by agents.negative_inner_product(m.term_weights, query_weights) * (1 + agents.bm25_damping(m.word_count, 32))
                / (1 + agents.bm25_damping(m.word_count, average_length))
       limit depth);
  end if;
  if query_embedding is not null then
    select e.similarity_mean, e.similarity_deviation into mean, deviation from agents.embedding_models e
     where e.tenant_id = tenant and e.database_id = in_database and e.model = query_model and e.dimensions = cardinality(query_embedding);
    if found then -- else no memory has a vector of this model
      target := query_embedding;
      -- Planned each time: which index is the right one depends on the tenant's size, and the model's own is partial.
      execute format(
        'select array(select m.id from agents.agent_memory m where m.tenant_id = $1 and m.database_id = $2'
        ' and m.valid_until is null and m.embedding_model = %L and ($3 is null or m.kind = any ($3))'
        ' order by m.embedding::%2$I.%3$s(%4$s) operator(%2$I.<=>) $4::%2$I.%3$s(%4$s) limit $5)',
        query_model, agents.vector_schema(), case when cardinality(query_embedding) <= 2000 then 'vector' else 'halfvec' end,
        cardinality(query_embedding))
        into near using tenant, in_database, match_kinds, target, depth;
      candidates := candidates || near;
    end if;
  end if;
  return query
    select best.id, best.kind, best.content, best.trust, best.subject, best.metadata, best.source_thread, best.source_turn,
           best.source_quote, best.evidence_count, coalesce(u.use_count, 0), best.embedding_model, best.valid_from,
           best.valid_until, best.created_at, u.last_used_at, best.score
      from (select m.*,
                   case when fetched is null then 0 else
                     -12 / information * agents.negative_inner_product(m.term_weights, query_weights) * (1 + agents.bm25_damping(m.word_count, 32))
                     / (1 + agents.bm25_damping(m.word_count, average_length)) end
                   + case when target is not null and m.embedding_model = query_model
                          then (1 - agents.cosine_distance(m.embedding, target) - mean) / deviation else 0 end as score
              from agents.agent_memory m where m.id = any (candidates)
             order by score desc, m.id desc limit match_count) best
      left join agents.memory_use u on u.memory_id = best.id and u.tenant_id = tenant
     order by best.score desc, best.id desc;
end $$;

revoke all on function agents.vector_schema(), agents.as_vector(text) from public;
do $$
declare
  ours regprocedure;
begin
  for ours in select p.oid::regprocedure from pg_proc p where p.pronamespace = 'agents'::regnamespace
      and p.proname in ('cosine_distance', 'negative_inner_product') loop
    execute format('revoke all on function %s from public', ours);
    execute format('grant execute on function %s to agent_app', ours);
  end loop;
  grant execute on function agents.as_vector(text) to agent_app;

  -- Functions with a path of their own: temporary objects hide nothing either.
  for ours in select p.oid::regprocedure from pg_proc p where p.pronamespace = 'agents'::regnamespace
      and p.prokind in ('f', 'p') and p.prosqlbody is null loop
    execute format('alter routine %s set search_path = pg_catalog, pg_temp', ours);
  end loop;

  -- Where only some roles may use pgvector's schema (on Supabase), ours may too, for whoever works with this login by hand.
  begin
    execute format('grant usage on schema %I to agent_app', agents.vector_schema());
  exception when insufficient_privilege then
    null;
  end;
end $$;

reset search_path;
