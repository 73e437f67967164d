-- The agent's schema: memory, threads and turns, approvals, the execution log, discovery and search.
--
-- Everything is in schema `agents`. Every table has tenant_id and forced row-level security through
-- agents.tenant(). Four logins (made here without LOGIN, given passwords by `agent setup`):
--   agent_app       reads and writes these tables
--   agent_assessor  resolves statements; reads no data
--   agent_reader    reads the application, nothing of ours
--   agent_actor     carries out approved changes of the application; records them by agents.begin_effect/finish_effect

------------------------------------------------------------------------------------------------------------
-- Foundations
------------------------------------------------------------------------------------------------------------

create schema if not exists agents;

do $$
begin
  if not exists (select from pg_extension where extname = 'vector') then
    if exists (select from pg_namespace where nspname = 'extensions') then
      create extension vector with schema extensions;
    else
      create extension vector with schema public;
    end if;
  end if;
  -- Loads the library: who is no superuser (as on Supabase) may not give a function settings that are not known yet.
  execute format('select %L::%s', '[1]', (select t.oid::regtype from pg_type t join pg_depend d on d.objid = t.oid
    join pg_extension e on e.oid = d.refobjid where e.extname = 'vector' and t.typname = 'vector' and d.deptype = 'e'));
end $$;

do $$
declare
  login text;
begin
  foreach login in array array['agent_app', 'agent_assessor', 'agent_reader', 'agent_actor'] loop
    if not exists (select from pg_roles where rolname = login) then
      execute format('create role %I nologin noinherit nosuperuser nocreatedb nocreaterole', login);
    end if;
  end loop;
end $$;

-- The tenant of the current transaction. Our own logins name it by a setting; PostgREST's roles by a signed claim,
-- either `tenant_id` or `app_metadata.tenant_id` (user_metadata is writable by the user, so it does not count).
-- Fails closed: no tenant is an error, not an empty result.
create function agents.tenant() returns text
language plpgsql stable set search_path = pg_catalog
as $$
declare
  tenant text;
  claims jsonb;
begin
  if session_user in ('agent_app', 'agent_actor') then
    tenant := current_setting('agents.tenant_id', true);
  else
    claims := nullif(current_setting('request.jwt.claims', true), '')::jsonb;
    tenant := coalesce(claims ->> 'tenant_id', claims -> 'app_metadata' ->> 'tenant_id');
  end if;
  if tenant is null or tenant = '' then
    raise exception 'no tenant: set agents.tenant_id in this transaction, or send a JWT with a tenant_id claim'
      using errcode = 'insufficient_privilege';
  end if;
  return tenant;
end $$;

-- Forces row-level security by tenant on one of our tables.
create procedure agents.isolate_tenants(target regclass)
language plpgsql set search_path = pg_catalog
as $$
begin
  execute format('alter table %s enable row level security', target);
  execute format('alter table %s force row level security', target);
  execute format(
    'create policy tenant_isolation on %s using (tenant_id = (select agents.tenant()))'
    ' with check (tenant_id = (select agents.tenant()))', target);
end $$;
revoke execute on procedure agents.isolate_tenants(regclass) from public;

-- Which installation this is, as a constant made here: it goes with a backup to any server, where object numbers differ.
do $$
begin
  execute format('create function agents.installation_id() returns text language sql immutable parallel safe return %L::text',
    gen_random_uuid());
end $$;

-- The stop switch and the read-only mode: one row a tenant, read before anything is done.
create table agents.controls (
  tenant_id   text primary key default agents.tenant(),
  stopped     boolean not null default false,
  read_only   boolean not null default false,
  reason      text not null default '',
  changed_by  text not null default '',
  changed_at  timestamptz not null default now()
);
call agents.isolate_tenants('agents.controls');

------------------------------------------------------------------------------------------------------------
-- Memory
------------------------------------------------------------------------------------------------------------

create table agents.agent_memory (
  id              bigint generated always as identity primary key,
  tenant_id       text not null default agents.tenant(),
  database_id     text not null,
  kind            text not null check (kind in ('schema', 'interaction', 'fact', 'pattern', 'skill', 'feedback')),
  subject         text,                       -- what it is about: a qualified object name, or null
  content         text not null check (content <> ''),
  content_hash    bytea not null,             -- sha256 of the normalised content: exact duplicates collapse on it
  metadata        jsonb not null default '{}',
  embedding       vector,
  embedding_model text,                       -- the vector space; null while the embedding is still to be made
  trust           text not null check (trust in ('human', 'agent', 'database', 'external')),
  source_thread   text,
  source_turn     integer,
  source_quote    text,
  evidence_count  integer not null default 1 check (evidence_count > 0),
  valid_from      timestamptz not null default now(),
  valid_until     timestamptz,                -- null: still true
  created_at      timestamptz not null default now(),
  updated_at      timestamptz not null default now(),
  -- Kept by the trigger describe_memory, for BM25:
  terms           bigint[] not null default '{}', -- hashes of its lexemes, salted with tenant and database
  term_weights    sparsevec,                  -- each lexeme's term-frequency weight at the pivot length
  word_count      integer not null default 0,
  embedding_lease timestamptz,                -- until then another process is embedding it
  check ((embedding is null) = (embedding_model is null))
) with (
  fillfactor = 85,           -- room for the evidence to change in place, without touching an index
  toast_tuple_target = 4080  -- vectors of a few hundred dimensions stay in the row: a search reads dozens of them
);
create unique index agent_memory_content on agents.agent_memory (tenant_id, database_id, content_hash)
  where valid_until is null;
create unique index agent_memory_schema_subject on agents.agent_memory (tenant_id, database_id, subject)
  where kind = 'schema' and valid_until is null;
create index agent_memory_newest on agents.agent_memory (tenant_id, database_id, id);
create index agent_memory_embedded on agents.agent_memory (tenant_id, database_id, embedding_model) where valid_until is null;
-- No pending list: a search would have to read all of it.
create index agent_memory_terms on agents.agent_memory using gin (terms) with (fastupdate = off);
call agents.isolate_tenants('agents.agent_memory');

-- How often a memory was given to a model. Apart, because it changes at every turn: a memory's own row is wide and in many
-- indexes, which would each grow by an entry.
create table agents.memory_use (
  tenant_id    text not null default agents.tenant(),
  memory_id    bigint not null references agents.agent_memory on delete cascade,
  use_count    integer not null default 1,
  last_used_at timestamptz not null default now(),
  primary key (memory_id, tenant_id)
);
call agents.isolate_tenants('agents.memory_use');

-- What a tenant's vectors of one model look like. `similarity_mean` and `similarity_deviation` are those of unrelated
-- memories: they tell how much a similarity says.
create table agents.embedding_models (
  tenant_id            text not null default agents.tenant(),
  database_id          text not null,
  model                text not null,
  dimensions           integer not null check (dimensions between 1 and 16000),
  similarity_mean      double precision not null,
  similarity_deviation double precision not null check (similarity_deviation > 0),
  primary key (tenant_id, database_id, model)
);
call agents.isolate_tenants('agents.embedding_models');

-- BM25's statistics: the number of memories and of their words, and in how many memories each term occurs.
create table agents.memory_statistics (
  tenant_id    text not null default agents.tenant(),
  database_id  text not null,
  documents    bigint not null,
  words        bigint not null,
  primary key (tenant_id, database_id)
);
call agents.isolate_tenants('agents.memory_statistics');

create table agents.memory_terms (
  tenant_id    text not null default agents.tenant(),
  database_id  text not null,
  term         bigint not null,
  documents    integer not null,
  primary key (tenant_id, database_id, term)
) with (fillfactor = 70);
call agents.isolate_tenants('agents.memory_terms');

-- Changes that are not in the statistics yet. Writers only append, so they never wait for each other; a search adds
-- what is here to what is folded, so it is always exact.
create table agents.memory_changes (
  tenant_id    text not null default agents.tenant(),
  database_id  text not null,
  documents    smallint not null check (documents in (1, -1)),
  words        integer not null,
  terms        bigint[] not null
);
create index memory_changes_scope on agents.memory_changes (tenant_id, database_id);
call agents.isolate_tenants('agents.memory_changes');

-- The stemmed words of a text, with their positions. Punctuation is blanked first, because the parser would take
-- "public.orders" for a host name and "a < b > c" for a tag. Accents do not count; scripts that are written without
-- spaces count by character.
create function agents.lexemes(content text) returns tsvector
language sql immutable parallel safe
as $$
  select to_tsvector('pg_catalog.english'::regconfig,
    case when octet_length(plain) = length(plain) then plain
      else regexp_replace(regexp_replace(normalize(plain, nfkd), '[\u0300-\u036f]', '', 'g'),
        '([\u0e00-\u0eff\u1000-\u109f\u3040-\u30ff\u3400-\u9fff\U00020000-\U0003ffff])', ' \1 ', 'g')
    end)
  from (select translate(content, '._-/\:@~+=<>&?#%', repeat(' ', 16))) as blanked (plain)
$$;

-- The hash that salts a scope's terms: equal words of two tenants are different terms.
create function agents.memory_scope(tenant_id text, database_id text) returns bigint
language sql immutable parallel safe
return hashtextextended(database_id, hashtextextended(tenant_id, 0));

-- BM25 with k1 = 1.2 and b = 0.75: how much a memory's length dampens its term frequencies.
create function agents.bm25_damping(words double precision, average double precision) returns double precision
language sql immutable parallel safe
return 1.2 * (0.25 + 0.75 * words / average);

-- The term-frequency weights of a text, at a pivot length of 32 words: the score of a query is one inner product, and
-- bm25_damping corrects it for the true average. The index of a lexeme is 29 bits of its hash.
create function agents.bm25_weights(lexemes tsvector, words integer) returns text
language sql immutable parallel safe
as $$
  select '{' || coalesce(string_agg(index || ':' || weight, ',' order by index), '') || '}/536870912'
    from (select (hashtextextended(lexeme, 0) & 536870911) + 1 as index,
                 sum(2.2 * tf / (tf + agents.bm25_damping(words, 32)))::real as weight
            from (select lexeme, cardinality(positions) as tf from unnest(lexemes)) as counted
           group by 1) as weighed
$$;

create function agents.describe_memory() returns trigger
language plpgsql set search_path = pg_catalog, extensions, public, pg_temp
as $$
declare
  words tsvector := agents.lexemes(new.content);
begin
  select coalesce(array_agg(hashtextextended(lexeme, agents.memory_scope(new.tenant_id, new.database_id))), '{}'),
         coalesce(sum(cardinality(positions)), 0)
    into new.terms, new.word_count from unnest(words);
  new.term_weights := agents.bm25_weights(words, new.word_count)::sparsevec;
  return new;
end $$;
create trigger describe_memory before insert or update of content, tenant_id, database_id on agents.agent_memory
  for each row execute function agents.describe_memory();

create function agents.count_new_memories() returns trigger
language plpgsql set search_path = pg_catalog
as $$
begin
  insert into agents.memory_changes (tenant_id, database_id, documents, words, terms)
  select tenant_id, database_id, 1, word_count, terms from added where valid_until is null;
  return null;
end $$;
create trigger count_new_memories after insert on agents.agent_memory
  referencing new table as added for each statement execute function agents.count_new_memories();

create function agents.count_changed_memory() returns trigger
language plpgsql set search_path = pg_catalog
as $$
begin
  if old.valid_until is null then
    insert into agents.memory_changes (tenant_id, database_id, documents, words, terms)
    values (old.tenant_id, old.database_id, -1, old.word_count, old.terms);
  end if;
  if tg_op = 'UPDATE' and new.valid_until is null then
    insert into agents.memory_changes (tenant_id, database_id, documents, words, terms)
    values (new.tenant_id, new.database_id, 1, new.word_count, new.terms);
  end if;
  return null;
end $$;
create trigger count_removed_memory after delete on agents.agent_memory
  for each row execute function agents.count_changed_memory();
create trigger count_changed_memory after update of content, tenant_id, database_id, valid_until on agents.agent_memory
  for each row execute function agents.count_changed_memory();

-- Moves the changes of one scope into its statistics; returns how many. One process at a time folds a scope.
create function agents.fold_memory_changes(in_database text) returns bigint
language plpgsql set search_path = pg_catalog
as $$
declare
  tenant text := agents.tenant();
  folded bigint;
begin
  if not pg_try_advisory_xact_lock(7246105, (agents.memory_scope(tenant, in_database) & 2147483647)::integer) then
    return 0;
  end if;
  with taken as (
    delete from agents.memory_changes c where c.tenant_id = tenant and c.database_id = in_database returning c.*
  ), totals as (
    insert into agents.memory_statistics as s (tenant_id, database_id, documents, words)
    select tenant, in_database, sum(t.documents), sum(t.documents * t.words) from taken t having count(*) > 0
    on conflict (tenant_id, database_id)
    do update set documents = s.documents + excluded.documents, words = s.words + excluded.words
  ), frequencies as (
    insert into agents.memory_terms as f (tenant_id, database_id, term, documents)
    select tenant, in_database, term, sum(t.documents) from taken t, unnest(t.terms) as term
     group by term having sum(t.documents) <> 0 order by term
    on conflict (tenant_id, database_id, term) do update set documents = f.documents + excluded.documents
  )
  select count(*) into folded from taken;
  return folded;
end $$;

-- Makes the index for one vector space, before its first vector is stored, so that there is nothing to build. Runs as
-- the tables' owner because agent_app may not create indexes. Vectors of more than 2,000 dimensions are indexed in half
-- precision; of more than 4,000 not at all.
create function agents.prepare_embedding_model(model_name text, model_dimensions integer) returns void
language plpgsql security definer set search_path = pg_catalog, extensions, public, pg_temp
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
    'create index if not exists %I on agents.agent_memory using hnsw ((embedding::%s(%s)) %s_cosine_ops)'
    ' where embedding_model = %L and valid_until is null',
    index_name, vector_type, model_dimensions, vector_type, model_name);
end $$;

-- What a search returns: a memory without its search columns.
create type agents.found_memory as (
  id bigint, kind text, content text, trust text, subject text, metadata jsonb, source_thread text, source_turn integer,
  source_quote text, evidence_count integer, use_count integer, embedding_model text, valid_from timestamptz,
  valid_until timestamptz, created_at timestamptz, last_used_at timestamptz, score double precision
);

-- The words of a query that its scope knows, rarest first. `weight` is the idf; `candidate` says whether the word's memories
-- are fetched (while they are few enough) or the word only scores the candidates that others bring.
create function agents.query_terms(tenant text, in_database text, query text, fetch_limit integer)
returns table (term bigint, index bigint, weight double precision, candidate boolean, average double precision)
language sql stable set search_path = pg_catalog
as $$
  with asked as materialized (
    select hashtextextended(lexeme, agents.memory_scope(tenant, in_database)) as term,
           (hashtextextended(lexeme, 0) & 536870911) + 1 as index
      from unnest(agents.lexemes(query))
  ), pending as materialized (
    select c.documents, c.words, c.terms from agents.memory_changes c
     where c.tenant_id = tenant and c.database_id = in_database
  ), totals as materialized (
    select sum(documents)::float8 as documents, sum(words)::float8 as words
      from (select documents, words from agents.memory_statistics s
             where s.tenant_id = tenant and s.database_id = in_database
            union all select documents, documents * words from pending) as parts
  ), counted as (
    select a.term, a.index,
           coalesce((select f.documents from agents.memory_terms f
                      where f.tenant_id = tenant and f.database_id = in_database and f.term = a.term), 0)
           + coalesce((select sum(p.documents) from pending p where a.term = any (p.terms)), 0) as documents
      from asked a
  )
  select c.term, c.index, ln(1 + greatest(t.documents - c.documents + 0.5, 0.5) / (c.documents + 0.5)),
         sum(c.documents) over rarest_first <= fetch_limit or row_number() over rarest_first = 1,
         greatest(t.words / nullif(t.documents, 0), 1)
    from counted c, totals t
   where c.documents > 0
  window rarest_first as (order by c.documents, c.term)
   order by c.documents, c.term
   limit 64
$$;

-- Hybrid search over one tenant's memories, in one call. Either of `query_text` and `query_embedding` may be missing.
-- Runs as the tables' owner and filters by agents.tenant() itself: under row-level security an index could not be
-- used for operators that are not leakproof. Scores are summed on calibrated scales: of the words' information, the
-- share that a memory holds; and of the similarity, by how many standard deviations it exceeds that of unrelated ones.
create function agents.search_memories(
  query_text text, in_database text, query_embedding real[] default null, query_model text default null,
  match_count integer default 5, match_kinds text[] default null
) returns setof agents.found_memory
language plpgsql stable security definer
set search_path = pg_catalog, extensions, public, pg_temp
set hnsw.iterative_scan = relaxed_order
set hnsw.ef_search = 40
set jit = off
as $$
declare
  tenant text := agents.tenant();
  depth integer := least(24 + 4 * match_count, 1000); -- candidates by words and by similarity, each
  fetched bigint[];
  candidates bigint[];
  query_weights sparsevec;
  information double precision;
  average_length double precision;
  mean double precision := 0.15;
  deviation double precision := 0.12;
  target vector;
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
         ('{' || string_agg(t.index || ':' || t.weight, ',') || '}/536870912')::sparsevec
    into fetched, average_length, information, query_weights
    from agents.query_terms(tenant, in_database, query_text, 100 + 5 * depth) t;
  if fetched is not null then
    -- Terms are salted with tenant and database, so that their index finds this scope's memories only. The names are
    -- compared in a form that serves no index: with a plan made once, another index could be the wrong one for this tenant.
    candidates := array(
      select m.id from agents.agent_memory m
       where m.terms && fetched and m.tenant_id || '' = tenant and m.database_id || '' = in_database and m.valid_until is null
         and (match_kinds is null or m.kind = any (match_kinds))
       order by (m.term_weights <#> query_weights) * (1 + agents.bm25_damping(m.word_count, 32))
                / (1 + agents.bm25_damping(m.word_count, average_length))
       limit depth);
  end if;
  if query_embedding is not null then
    select e.similarity_mean, e.similarity_deviation into mean, deviation from agents.embedding_models e
     where e.tenant_id = tenant and e.database_id = in_database and e.model = query_model and e.dimensions = cardinality(query_embedding);
    if found then -- else no memory has a vector of this model
      target := query_embedding::vector;
      -- Planned each time: which index is the right one depends on the tenant's size, and the model's own is partial.
      execute format(
        'select array(select m.id from agents.agent_memory m where m.tenant_id = $1 and m.database_id = $2'
        ' and m.valid_until is null and m.embedding_model = %L and ($3 is null or m.kind = any ($3))'
        ' order by m.embedding::%s(%s) <=> $4::%2$s(%3$s) limit $5)',
        query_model, case when cardinality(query_embedding) <= 2000 then 'vector' else 'halfvec' end, cardinality(query_embedding))
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
                     -12 / information * (m.term_weights <#> query_weights) * (1 + agents.bm25_damping(m.word_count, 32))
                     / (1 + agents.bm25_damping(m.word_count, average_length)) end
                   + case when target is not null and m.embedding_model = query_model
                          then (1 - (m.embedding <=> target) - mean) / deviation else 0 end as score
              from agents.agent_memory m where m.id = any (candidates)
             order by score desc, m.id desc limit match_count) best
      left join agents.memory_use u on u.memory_id = best.id and u.tenant_id = tenant
     order by best.score desc, best.id desc;
end $$;

-- The classic form: nearest vectors only, of each database's model that has as many dimensions as the query.
create function agents.match_agent_memory(query_embedding vector, match_count integer default 5, in_database text default null)
returns setof agents.found_memory
language plpgsql stable security definer set search_path = pg_catalog, extensions, public, pg_temp
as $$
declare
  space agents.embedding_models;
begin
  for space in
    select * from agents.embedding_models e
     where e.tenant_id = agents.tenant() and e.dimensions = vector_dims(query_embedding)
       and (in_database is null or e.database_id = in_database)
  loop
    return query select * from agents.search_memories(null, space.database_id, query_embedding::real[], space.model, match_count);
  end loop;
end $$;

------------------------------------------------------------------------------------------------------------
-- Discovery
------------------------------------------------------------------------------------------------------------

-- The structure of each application database, as last discovered.
create table agents.discovered_databases (
  tenant_id      text not null default agents.tenant(),
  database_id    text not null,
  name           text not null,
  fingerprint    text not null,               -- of the catalogs: equal means that nothing changed
  structure      jsonb not null,
  discovered_at  timestamptz not null default now(),
  checked_at     timestamptz not null default now(),
  primary key (tenant_id, database_id)
);
call agents.isolate_tenants('agents.discovered_databases');

-- What discovery sees, for whoever calls it through PostgREST or psql. Security invoker: they show what the caller
-- may know of the application's schemas, nothing of the system's, the platform's, the agent's or an extension's.
create function agents.is_application_schema(name text) returns boolean
language sql immutable parallel safe set search_path = pg_catalog
return name !~ '^(pg_|agents($|_))' and name not in ('information_schema', 'supabase_migrations', 'auth', 'storage',
  'realtime', '_realtime', 'vault', 'graphql', 'graphql_public', 'pgbouncer', 'pgsodium', 'pgsodium_masks',
  'supabase_functions', 'extensions', 'net', 'cron', 'pgtle', 'dbdev', '_analytics', '_supavisor');

create function agents.discover_tables()
returns table (schema_name text, table_name text, kind text, row_estimate bigint, readable boolean, row_security boolean,
               columns jsonb, comment text)
language sql stable security invoker set search_path = pg_catalog
as $$
  select n.nspname, c.relname,
         case c.relkind when 'r' then 'TABLE' when 'p' then 'PARTITIONED TABLE' when 'f' then 'FOREIGN TABLE'
                        when 'v' then 'VIEW' else 'MATERIALIZED VIEW' end,
         nullif(c.reltuples, -1)::bigint,
         has_schema_privilege(n.oid, 'usage') and has_any_column_privilege(c.oid, 'select'),
         c.relrowsecurity,
         (select coalesce(jsonb_agg(jsonb_build_object('name', a.attname, 'type', format_type(a.atttypid, a.atttypmod),
                   'not_null', a.attnotnull) order by a.attnum), '[]')
            from pg_attribute a where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped),
         obj_description(c.oid, 'pg_class')
    from pg_class c join pg_namespace n on n.oid = c.relnamespace
   where c.relkind in ('r', 'p', 'f', 'v', 'm') and not c.relispartition and agents.is_application_schema(n.nspname)
     and not exists (select from pg_depend e where e.classid = 'pg_class'::regclass and e.objid = c.oid and e.deptype = 'e')
   order by 1, 2
$$;

create function agents.discover_functions()
returns table (schema_name text, function_name text, kind text, arguments text, returns text, volatility text,
               security_definer boolean, executable boolean, comment text)
language sql stable security invoker set search_path = pg_catalog
as $$
  select n.nspname, p.proname,
         case p.prokind when 'f' then 'FUNCTION' when 'p' then 'PROCEDURE' when 'a' then 'AGGREGATE' else 'WINDOW FUNCTION' end,
         pg_get_function_arguments(p.oid), pg_get_function_result(p.oid),
         case p.provolatile when 'i' then 'immutable' when 's' then 'stable' else 'volatile' end, p.prosecdef,
         has_schema_privilege(n.oid, 'usage') and has_function_privilege(p.oid, 'execute'), obj_description(p.oid, 'pg_proc')
    from pg_proc p join pg_namespace n on n.oid = p.pronamespace
   where agents.is_application_schema(n.nspname)
     and not exists (select from pg_depend e where e.classid = 'pg_proc'::regclass and e.objid = p.oid and e.deptype in ('e', 'i'))
   order by 1, 2, 4
$$;

-- Foreign keys by conkey and confkey: `columns[i]` refers to `target_columns[i]`. Those of partitions repeat their parent's.
create function agents.discover_relationships()
returns table (constraint_name text, source_schema text, source_table text, columns text[],
               target_schema text, target_table text, target_columns text[])
language sql stable security invoker set search_path = pg_catalog
as $$
  select k.conname, n.nspname, c.relname,
         (select array_agg(a.attname::text order by o.place) from unnest(k.conkey) with ordinality o (number, place)
            join pg_attribute a on a.attrelid = k.conrelid and a.attnum = o.number),
         tn.nspname, t.relname,
         (select array_agg(a.attname::text order by o.place) from unnest(k.confkey) with ordinality o (number, place)
            join pg_attribute a on a.attrelid = k.confrelid and a.attnum = o.number)
    from pg_constraint k
    join pg_class c on c.oid = k.conrelid join pg_namespace n on n.oid = c.relnamespace
    join pg_class t on t.oid = k.confrelid join pg_namespace tn on tn.oid = t.relnamespace
   where k.contype = 'f' and k.conparentid = 0 and not c.relispartition and agents.is_application_schema(n.nspname)
   order by 2, 3, 1
$$;

grant execute on function agents.is_application_schema(text), agents.discover_tables(), agents.discover_functions(),
  agents.discover_relationships() to agent_app;
do $$
begin
  if exists (select from pg_roles where rolname = 'authenticated') then
    grant execute on function agents.is_application_schema(text), agents.discover_tables(), agents.discover_functions(),
      agents.discover_relationships() to authenticated;
  end if;
end $$;

------------------------------------------------------------------------------------------------------------
-- Threads, turns and tool calls: the truth about what was asked, decided and done
------------------------------------------------------------------------------------------------------------

create table agents.threads (
  tenant_id    text not null default agents.tenant(),
  thread_id    text not null check (thread_id <> '' and length(thread_id) <= 200),
  database_id  text not null,
  title        text not null default '',
  created_by   text not null default '',
  turn_count   integer not null default 0,
  summary      text not null default '',      -- of the turns that no longer fit the model's context
  summarised   integer not null default 0,    -- turns 1..summarised are in the summary
  lease_owner  uuid,                          -- the run that works on this thread now
  lease_until  timestamptz,
  created_at   timestamptz not null default now(),
  updated_at   timestamptz not null default now(),
  primary key (tenant_id, thread_id)
);
create index threads_recent on agents.threads (tenant_id, updated_at desc);
call agents.isolate_tenants('agents.threads');

create table agents.turns (
  tenant_id      text not null default agents.tenant(),
  thread_id      text not null,
  turn           integer not null check (turn > 0),
  status         text not null default 'running' check (status in ('running', 'waiting', 'done', 'failed')),
  asked_by       text not null default '',
  message_id     text,                        -- the client's id of the question: the same one twice is the same turn
  question       text not null,
  answer         text,
  error          text,
  sources        jsonb not null default '{}', -- where the answer comes from: statements, memory ids, linked tables
  model          text,
  input_tokens   integer not null default 0,
  output_tokens  integer not null default 0,
  cost_usd       double precision,
  started_at     timestamptz not null default now(),
  finished_at    timestamptz,
  primary key (tenant_id, thread_id, turn),
  foreign key (tenant_id, thread_id) references agents.threads on delete cascade
);
create index turns_started on agents.turns (tenant_id, started_at);
create unique index turns_message on agents.turns (tenant_id, thread_id, message_id) where message_id is not null;
call agents.isolate_tenants('agents.turns');

-- Takes a thread (a new one is made) and begins its next turn; no row when another run holds the thread. The same message
-- again is the same turn. Nothing begins while the agent is stopped. A turn that waits for a human is returned in place of a new one; one whose run died is ended.
create function agents.begin_turn(
  in_thread text, in_database text, in_user text, in_message text, in_question text, in_owner uuid, in_lease interval
) returns table (turn integer, status text, database_id text, transcript jsonb)
language plpgsql set search_path = pg_catalog
as $$
#variable_conflict use_column
declare
  tenant text := agents.tenant();
  thread agents.threads;
  begun agents.turns;
begin
  if exists (select from agents.controls c where c.tenant_id = tenant and c.stopped) then
    return query select 0, 'stopped', in_database, null::jsonb;
    return;
  end if;
  insert into agents.threads as t (tenant_id, thread_id, database_id, title, created_by, lease_owner, lease_until)
  values (tenant, in_thread, in_database, left(in_question, 80), in_user, in_owner, now() + in_lease)
  on conflict (tenant_id, thread_id) do update
     set lease_owner = excluded.lease_owner, lease_until = excluded.lease_until, updated_at = now()
   where t.lease_owner is null or t.lease_until < now() or t.lease_owner = excluded.lease_owner
  returning t.* into thread;
  if not found then
    return;
  end if;
  if thread.database_id <> in_database then
    update agents.threads t set lease_owner = null, lease_until = null where t.tenant_id = tenant and t.thread_id = in_thread;
    return query select 0, 'failed', thread.database_id, null::jsonb;
    return;
  end if;
  select r.* into begun from agents.turns r
   where r.tenant_id = tenant and r.thread_id = in_thread and r.message_id = in_message;
  if not found then
    select r.* into begun from agents.turns r
     where r.tenant_id = tenant and r.thread_id = in_thread and r.status = 'waiting' order by r.turn desc limit 1;
  end if;
  if not found then
    update agents.turns r set status = 'failed', error = 'interrupted before it was finished', finished_at = now()
     where r.tenant_id = tenant and r.thread_id = in_thread and r.status = 'running';
    update agents.threads t set turn_count = turn_count + 1 where t.tenant_id = tenant and t.thread_id = in_thread;
    insert into agents.turns as r (tenant_id, thread_id, turn, asked_by, message_id, question)
    values (tenant, in_thread, thread.turn_count + 1, in_user, in_message, in_question)
    returning r.* into begun;
  end if;
  return query select begun.turn, begun.status, thread.database_id, agents.transcript(in_thread, begun.turn);
end $$;

-- One row a tool call, stored before it has any effect. `call_id` is the model's name for it, kept only to answer the model.
create table agents.tool_calls (
  tenant_id    text not null default agents.tenant(),
  thread_id    text not null,
  turn         integer not null,
  round        integer not null check (round > 0),
  ordinal      integer not null check (ordinal > 0),
  call_id      text not null default '',
  tool         text not null,
  arguments    jsonb not null default '{}',
  said         text not null default '',      -- what the model said beside the calls of this round (ordinal 1)
  status       text not null default 'stored' check (status in ('stored', 'waiting', 'done')),
  approval_id  bigint,
  result       jsonb,
  created_at   timestamptz not null default now(),
  finished_at  timestamptz,
  primary key (tenant_id, thread_id, turn, round, ordinal),
  foreign key (tenant_id, thread_id, turn) references agents.turns on delete cascade
);
call agents.isolate_tenants('agents.tool_calls');

-- What the model is shown of a thread up to a turn: the summary, the turns that are not in it, the calls of the last ones.
create function agents.transcript(in_thread text, in_turn integer, most_turns integer default 20, turns_with_calls integer default 3)
returns jsonb
language plpgsql stable set search_path = pg_catalog
as $$
declare
  tenant text := agents.tenant();
begin
  return (
    select jsonb_build_object('summary', t.summary,
      'turns', (select jsonb_agg(to_jsonb(shown) order by shown.turn)
                  from (select r.turn, r.question, r.answer, r.status from agents.turns r
                         where r.tenant_id = tenant and r.thread_id = in_thread and r.turn > t.summarised and r.turn <= in_turn
                         order by r.turn desc limit most_turns) shown),
      'calls', (select jsonb_agg(to_jsonb(shown) order by shown.turn, shown.round, shown.ordinal)
                  from (select c.turn, c.round, c.ordinal, c.call_id, c.tool, c.arguments, c.said, c.status, c.approval_id, c.result
                          from agents.tool_calls c
                         where c.tenant_id = tenant and c.thread_id = in_thread and c.turn > in_turn - turns_with_calls
                           and c.turn <= in_turn and (c.turn = in_turn or c.status = 'done')) shown))
      from agents.threads t where t.tenant_id = tenant and t.thread_id = in_thread);
end $$;

------------------------------------------------------------------------------------------------------------
-- Approvals and the execution log
------------------------------------------------------------------------------------------------------------

-- One row a question to a human. The row decides: whoever moves it out of 'pending' wins, and the action is
-- executed from the row, once, by whoever claims it.
create table agents.human_approval_queue (
  id              bigint generated always as identity primary key,
  tenant_id       text not null default agents.tenant(),
  database_id     text not null,
  action          text not null,
  arguments       jsonb not null,
  risk_level      text not null check (risk_level in ('LOW', 'MEDIUM', 'HIGH', 'CRITICAL')),
  reasons         text[] not null default '{}',
  summary         text not null default '',   -- one sentence for the approver
  preview         jsonb,
  policy_version  text not null default '1',
  binding         text not null,              -- sha256 of action, arguments, policy version and preview fingerprint
  executable      boolean not null default true, -- false: the asker only wants the decision
  status          text not null default 'pending' check (status in ('pending', 'approved', 'rejected', 'expired')),
  requested_by    text not null default '',
  decided_by      text,
  decided_via     text,                       -- cli, studio, api, python ...
  comment         text,
  thread_id       text,
  turn            integer,
  round           integer,
  ordinal         integer,
  claim           uuid,                       -- who may execute it, and until when
  claimed_until   timestamptz,
  created_at      timestamptz not null default now(),
  expires_at      timestamptz not null,
  decided_at      timestamptz
);
create index human_approval_queue_pending on agents.human_approval_queue (tenant_id, created_at) where status = 'pending';
create unique index human_approval_queue_call on agents.human_approval_queue (tenant_id, thread_id, turn, round, ordinal)
  where thread_id is not null;
call agents.isolate_tenants('agents.human_approval_queue');

-- Every action: who, what, with which arguments, at what risk, by whose approval, and what came of it.
create table agents.agent_execution_log (
  id             bigint generated always as identity primary key,
  tenant_id      text not null default agents.tenant(),
  database_id    text not null,
  actor          text not null default '',
  action         text not null,
  arguments      jsonb not null default '{}',
  verdict        text not null check (verdict in ('run', 'ask', 'refuse')),
  risk_level     text not null check (risk_level in ('LOW', 'MEDIUM', 'HIGH', 'CRITICAL')),
  reasons        text[] not null default '{}',
  status         text not null check (status in
                   ('running', 'succeeded', 'failed', 'refused', 'rejected', 'expired', 'unknown')),
  approval_id    bigint references agents.human_approval_queue,
  approved_by    text,
  result         jsonb,
  row_count      bigint,
  error          text,
  duration_ms    double precision,
  input_tokens   integer,
  output_tokens  integer,
  cost_usd       double precision,
  thread_id      text,
  turn           integer,
  round          integer,
  ordinal        integer,
  created_at     timestamptz not null default now(),
  finished_at    timestamptz
);
create index agent_execution_log_recent on agents.agent_execution_log (tenant_id, created_at desc);
create index agent_execution_log_thread on agents.agent_execution_log (tenant_id, thread_id, turn);
-- One execution an approval: a second one violates this and takes its effect back with it.
create unique index agent_execution_log_approval on agents.agent_execution_log (tenant_id, approval_id)
  where approval_id is not null;
call agents.isolate_tenants('agents.agent_execution_log');

-- Called by agent_actor at the start of the transaction that carries out an approved action. Only who holds the
-- row's claim can call it, so the approved statement itself cannot. It commits or vanishes with the effect.
create function agents.begin_effect(approval bigint, claim_token uuid) returns bigint
language plpgsql security definer set search_path = pg_catalog
as $$
declare
  request agents.human_approval_queue;
  execution bigint;
begin
  select * into request from agents.human_approval_queue q
   where q.tenant_id = agents.tenant() and q.id = approval and q.claim = claim_token and q.status = 'approved' and q.executable
   for update;
  if not found then
    raise exception 'approval % is not approved, or claimed by another process', approval using errcode = 'insufficient_privilege';
  end if;
  if exists (select from agents.controls c where c.tenant_id = request.tenant_id and (c.stopped or c.read_only)) then
    raise exception 'the agent is stopped or read-only' using errcode = 'insufficient_privilege';
  end if;
  insert into agents.agent_execution_log (tenant_id, database_id, actor, action, arguments, verdict, risk_level, reasons,
    status, approval_id, approved_by, thread_id, turn, round, ordinal)
  values (request.tenant_id, request.database_id, request.requested_by, request.action, request.arguments, 'ask',
    request.risk_level, request.reasons, 'running', request.id, request.decided_by,
    request.thread_id, request.turn, request.round, request.ordinal)
  returning id into execution;
  return execution;
end $$;

-- Called by agent_actor just before it commits: what came of the effect.
create function agents.finish_effect(approval bigint, claim_token uuid, outcome jsonb, affected bigint, elapsed_ms double precision)
returns void
language plpgsql security definer set search_path = pg_catalog
as $$
begin
  update agents.agent_execution_log e
     set status = 'succeeded', result = outcome, row_count = affected, duration_ms = elapsed_ms, finished_at = clock_timestamp()
    from agents.human_approval_queue q
   where q.tenant_id = agents.tenant() and q.id = approval and q.claim = claim_token
     and e.tenant_id = q.tenant_id and e.approval_id = q.id and e.status = 'running';
  if not found then
    raise exception 'no running execution of approval %', approval using errcode = 'insufficient_privilege';
  end if;
end $$;

------------------------------------------------------------------------------------------------------------
-- Grants
------------------------------------------------------------------------------------------------------------

revoke all on all functions in schema agents from public;
revoke all on all tables in schema agents from public;
grant usage on schema agents to agent_app, agent_actor;
grant execute on function agents.tenant() to agent_app, agent_actor;
grant execute on function agents.installation_id() to agent_app;
grant execute on function agents.begin_turn(text, text, text, text, text, uuid, interval), agents.transcript(text, integer, integer, integer) to agent_app;
grant execute on function agents.lexemes(text), agents.memory_scope(text, text), agents.bm25_damping(double precision, double precision),
  agents.bm25_weights(tsvector, integer), agents.fold_memory_changes(text), agents.prepare_embedding_model(text, integer),
  agents.search_memories(text, text, real[], text, integer, text[]), agents.match_agent_memory(vector, integer, text)
  to agent_app;
grant select, insert, update, delete on all tables in schema agents to agent_app;
revoke delete on agents.agent_execution_log, agents.human_approval_queue from agent_app;
grant execute on function agents.begin_effect(bigint, uuid),
  agents.finish_effect(bigint, uuid, jsonb, bigint, double precision) to agent_actor;

-- LangGraph's checkpoint tables: disposable working memory, made by LangGraph itself in a schema that agent_app owns.
do $$
begin
  if not (select rolsuper from pg_roles where rolname = current_user) then
    execute format('grant agent_app to %I', current_user);  -- to be allowed to give it a schema
  end if;
end $$;
create schema if not exists agents_checkpoints authorization agent_app;

-- PostgREST's signed-in role reads through row-level security, where it exists (on Supabase it does).
do $$
begin
  if exists (select from pg_roles where rolname = 'authenticated') then
    grant usage on schema agents to authenticated;
    grant execute on function agents.tenant() to authenticated;
    grant execute on function agents.search_memories(text, text, real[], text, integer, text[]),
      agents.match_agent_memory(vector, integer, text) to authenticated;
    grant select on agents.agent_memory, agents.human_approval_queue, agents.agent_execution_log,
      agents.threads, agents.turns, agents.tool_calls, agents.discovered_databases to authenticated;
  end if;
end $$;
