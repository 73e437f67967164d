-- Memory that helps: words that no memory knows lower the score, rare kinds are searched completely, turns are found by the turns
-- around them, and each memory says who spoke and what it comes from.
set search_path = pg_catalog, pg_temp;

-- Who said it or asked for it; null where the agent itself noted it.
alter table agents.agent_memory add column speaker text;
-- Few memories of a kind are all compared, so that no frequent kind hides them.
create index agent_memory_kind on agents.agent_memory (tenant_id, database_id, kind, id) where valid_until is null;
create index agent_memory_turn on agents.agent_memory (tenant_id, database_id, source_thread, source_turn)
  where valid_until is null and source_thread is not null;

-- What a memory has to do with an earlier one: it was concluded from it, corrects it, or took its place.
create table agents.memory_links (
  tenant_id  text not null default agents.tenant(),
  memory_id  bigint not null references agents.agent_memory on delete cascade,
  earlier_id bigint not null references agents.agent_memory on delete cascade,
  relation   text not null check (relation in ('derived', 'corrects', 'replaces')),
  primary key (tenant_id, memory_id, earlier_id, relation)
);
create index memory_links_earlier on agents.memory_links (tenant_id, earlier_id);
create index memory_links_cascade on agents.memory_links (earlier_id);
call agents.isolate_tenants('agents.memory_links');
revoke all on agents.memory_links from public;
grant select, insert, update, delete on agents.memory_links to agent_app;

-- `word_share` is the part of the query's information that a memory holds, `information` how much that is, `similarity` the cosine of both vectors, and
-- `nearness` by how many standard deviations that is more than between unrelated memories.
alter type agents.found_memory add attribute speaker text, add attribute word_share double precision,
  add attribute information double precision, add attribute similarity double precision, add attribute nearness double precision;

-- Whether a text has words with several spellings.
create function agents.has_spellings(content text) returns boolean
language sql immutable parallel safe
return octet_length(content) <> length(content)
  or content ~ '[a-z][A-Z]|[[:alpha:]]-[[:alnum:]]|\d[.,'']\d{3}|\m[[:alpha:]]''[[:alpha:]]{2}|\m[A-Z]{2,3}\M|\m[A-Za-z]\.[A-Za-z]\.';

-- A text with the other spellings of its words after it, so that each finds the other: orderItems and order items, e-mail and
-- email, O'Hara and OHara, umlauts and their two letters, U.S. and US. A name that is a stop word (IT) counts if it stands in capitals.
-- Numbers are written without separators of thousands, and letters without strokes and ligatures.
create function agents.spellings(content text) returns text
language sql immutable parallel safe
return (
  select concat_ws(' ', plain,
    (select string_agg(regexp_replace(word[1], '([a-z0-9])([A-Z])', '\1 \2', 'g'), ' ')
       from regexp_matches(plain, '\m(\w*[a-z][A-Z]\w*)\M', 'g') as word),
    (select string_agg(word[1] || word[2], ' ') from regexp_matches(plain, '\m([[:alpha:]]+)-([[:alnum:]]+)\M', 'g') as word),
    (select string_agg(word[1] || word[2], ' ') from regexp_matches(plain, '\m([[:alpha:]])''([[:alpha:]]{2,})\M', 'g') as word),
    (select string_agg(replace(word[1], '.', ''), ' ') from regexp_matches(plain, '\m((?:[A-Za-z]\.){2,})', 'g') as word),
    (select string_agg('q' || lower(word[1]) || 'q', ' ') from regexp_matches(plain, '\m([A-Z]{2,3})\M', 'g') as word
      where (plain ~ '[a-z]' or plain !~ '\s') and to_tsvector('pg_catalog.english'::regconfig, word[1]) = ''::tsvector),
    (select string_agg(replace(replace(replace(lower(word[1]), U&'!00e4' uescape '!', 'ae'), U&'!00f6' uescape '!', 'oe'), U&'!00fc' uescape '!', 'ue'), ' ')
       from regexp_matches(plain, U&'\m(\w*[!00e4!00f6!00fc!00c4!00d6!00dc]\w*)\M' uescape '!', 'g') as word))
    from (select regexp_replace(
            replace(replace(replace(replace(replace(translate(normalize(content, nfc), U&'!0141!0142!00d8!00f8!0110!0111!00d0!00f0!0131!0130!2019!02bc' uescape '!', 'LlOoDdDdiI'''''),
              U&'!00df' uescape '!', 'ss'), U&'!00e6' uescape '!', 'ae'), U&'!00c6' uescape '!', 'Ae'), U&'!0153' uescape '!', 'oe'), U&'!0152' uescape '!', 'Oe'),
            '(?<=\d)[.,''\u00a0\u202f](?=\d{3}(?!\d))', '', 'g')) as normal (plain)
);

-- The same as before, with all spellings; Khmer and Tibetan count by character too.
create or replace function agents.lexemes(content text) returns tsvector
language sql immutable parallel safe
return (
  select to_tsvector('pg_catalog.english'::regconfig,
    case when octet_length(plain) = length(plain) then plain
      else regexp_replace(regexp_replace(normalize(plain, nfkd), '[\u0300-\u036f]', '', 'g'),
        '([\u0e00-\u0fff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\U00020000-\U0003ffff])', ' \1 ', 'g')
    end)
  from (select translate(case when agents.has_spellings(content) then agents.spellings(content) else content end,
                         '._-/\:@~+=<>&?#%', repeat(' ', 16))) as blanked (plain)
);
revoke all on function agents.has_spellings(text), agents.spellings(text) from public;
grant execute on function agents.has_spellings(text), agents.spellings(text) to agent_app;

-- What is stored is counted again in its other spellings. The tables' owner sees all tenants for that.
alter table agents.agent_memory no force row level security;
alter table agents.memory_changes no force row level security;
update agents.agent_memory set content = content where agents.has_spellings(content);
alter table agents.agent_memory force row level security;
alter table agents.memory_changes force row level security;

-- What a word of a query weighs: its idf. A word that no memory has weighs like a rare one, so that it lowers the share of every
-- memory. Words that many questions have, and unknown numbers, weigh little. Among few memories the idf is that of a word in a hundred.
create function agents.word_weight(lexeme text, documents double precision, of_documents double precision) returns double precision
language sql immutable parallel safe
return least(ln(1 + greatest(greatest(of_documents, 100) - documents + 0.5, 0.5) / (documents + 0.5)),
             case when documents <= 0 then 4.5 end)
  * case when lexeme in ('mani', 'much', 'show', 'list', 'give', 'tell', 'pleas', 'find', 'get', 'want', 'know', 'need', 'see',
                         'let', 'us', 'also', 'would', 'could', 'rememb', 'mean', 'write', 'make', 'say', 'said', 'come', 'came')
              or (documents <= 0 and (lexeme ~ '^[0-9.,-]+$' or lexeme in ('last', 'next', 'day', 'week', 'month', 'quarter', 'year',
                    'today', 'yesterday', 'tomorrow', 'ago', 'late', 'date', 'time', 'number', 'total', 'name', 'ye', 'ok')))
       then 0.25 else 1 end;

-- The words of a query, those that its scope knows first and the rarest of these first. `known` says whether a memory has the
-- word, `candidate` whether the word's memories are fetched (while they are few enough) or it only scores the candidates that
-- others bring. If the candidates are given (`among`), the words are counted in them alone, and none is fetched. (Searches before this version used agents.query_terms.)
create function agents.weigh_query(tenant text, in_database text, query text, fetch_limit integer, among bigint[])
returns table (term bigint, index bigint, weight double precision, candidate boolean, average double precision, known boolean,
  word text)
language sql stable set search_path = pg_catalog, pg_temp
as $$
  with asked as materialized (
    select lexeme, hashtextextended(lexeme, agents.memory_scope(tenant, in_database)) as term,
           (hashtextextended(lexeme, 0) & 536870911) + 1 as index
      from unnest(agents.lexemes(query))
  ), pending as materialized (
    select c.documents, c.words, c.terms from agents.memory_changes c
     where c.tenant_id = tenant and c.database_id = in_database and among is null
  ), totals as materialized (
    select sum(documents)::float8 as documents, sum(words)::float8 as words
      from (select documents, words from agents.memory_statistics s
             where s.tenant_id = tenant and s.database_id = in_database and among is null
            union all select documents, documents * words from pending
            union all select 1, m.word_count from agents.agent_memory m where m.id = any (among)) as parts
  ), counted as (
    select a.lexeme, a.term, a.index,
           case when among is null then
             coalesce((select f.documents from agents.memory_terms f
                        where f.tenant_id = tenant and f.database_id = in_database and f.term = a.term), 0)
             + coalesce((select sum(p.documents) from pending p where a.term = any (p.terms)), 0)
           else (select count(*) from agents.agent_memory m where m.id = any (among) and a.term = any (m.terms)) end as documents
      from asked a
  )
  select c.term, c.index, agents.word_weight(c.lexeme, c.documents, t.documents),
         among is null and c.documents > 0 and (sum(c.documents) over rarest_first <= fetch_limit or row_number() over rarest_first = 1),
         greatest(t.words / nullif(t.documents, 0), 1), c.documents > 0, c.lexeme
    from counted c, totals t
   where t.documents > 0
  window rarest_first as (order by c.documents <= 0, c.documents, c.term)
   order by c.documents <= 0, c.documents, c.term
   limit 64
$$;
revoke all on function agents.weigh_query(text, text, text, integer, bigint[]), agents.word_weight(text, double precision, double precision)
  from public;

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
  few constant integer := 1000; -- so many memories of the kinds asked for are compared without an index
  wanted text;
  fetched bigint[];
  candidates bigint[] := '{}';
  complete boolean := match_kinds is not null;
  query_weights agents.agent_memory.term_weights%type;
  asked_information double precision; -- of the query's words, in all
  known double precision; -- of those that a memory has
  average_length double precision;
  mean double precision := 0.15;
  deviation double precision := 0.12;
  target agents.agent_memory.embedding%type;
  near bigint[];
  around bigint[];
  asked_words text[];
  asked_weights double precision[];
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
  foreach wanted in array coalesce(match_kinds, '{}') loop
    exit when not complete;
    candidates := candidates || array(
      select m.id from agents.agent_memory m
       where m.tenant_id = tenant and m.database_id = in_database and m.kind = wanted and m.valid_until is null
       limit few + 1);
    complete := cardinality(candidates) <= few;
  end loop;
  if not complete then
    candidates := '{}';
  end if;
  select array_agg(t.term) filter (where t.candidate), max(t.average), sum(t.weight), sum(t.weight) filter (where t.known),
         array_agg(t.word), array_agg(t.weight), ('{' || string_agg(t.index || ':' || t.weight, ',') || '}/536870912')
    into fetched, average_length, asked_information, known, asked_words, asked_weights, query_weights
    from agents.weigh_query(tenant, in_database, query_text, 100 + 5 * depth, case when complete then candidates end) t;
  if fetched is not null and not complete then
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
    end if;
  end if;
  if target is not null and not complete then
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
  -- An answer often stands beside the words of the question: turns around the best ones are candidates too.
  if query_text is not null and exists (
       select from agents.agent_memory m where m.id = any (candidates) and m.source_thread is not null) then
    around := array(
      select distinct n.id
        from (select m.source_thread, m.source_turn from agents.agent_memory m
               where m.id = any (candidates) and m.source_thread is not null
               order by agents.negative_inner_product(m.term_weights, query_weights) limit 64) as best
        join agents.agent_memory n on n.source_thread = best.source_thread
         and n.source_turn between best.source_turn - 2 and best.source_turn + 2
       where n.tenant_id = tenant and n.database_id = in_database and n.valid_until is null
         and (match_kinds is null or n.kind = any (match_kinds)));
    candidates := array(select distinct id from unnest(candidates || around) as id);
  end if;
  return query
    with speakers as materialized ( -- who spoke counts like a word of what was said
      select d.speaker, sum(asked.weight) as weight
        from (select distinct m.speaker from agents.agent_memory m where m.id = any (candidates) and m.speaker is not null) as d,
             unnest(asked_words, asked_weights) as asked (word, weight)
       where asked.word = any (tsvector_to_array(agents.lexemes(d.speaker)))
       group by d.speaker
    ), scored as (
      select m.id, m.source_thread, m.source_turn, words.share as word_share, vectors.similarity,
             coalesce((vectors.similarity - mean) / deviation, 0) as nearness,
             coalesce(12 * (words.share * asked_information + coalesce(speakers.weight, 0)) / known, 0)
             + coalesce((vectors.similarity - mean) / deviation, 0) as alone
        from agents.agent_memory m left join speakers on speakers.speaker = m.speaker,
             lateral (select case when known is null then 0 else
                        -1 / asked_information * agents.negative_inner_product(m.term_weights, query_weights)
                        * (1 + agents.bm25_damping(m.word_count, 32)) / (1 + agents.bm25_damping(m.word_count, average_length))
                        end as share) as words,
             lateral (select case when target is not null and m.embedding_model = query_model
                        then 1 - agents.cosine_distance(m.embedding, target) end as similarity) as vectors
       where m.id = any (candidates)
    ), placed as ( -- what the turn itself says, it and those beside it, and also those after and before these
      select s.*, sum(greatest(alone, 0)) over (turn_order range current row) as own,
             sum(greatest(alone, 0)) over (turn_order range between 1 preceding and 1 following) as three,
             sum(greatest(alone, 0)) over (turn_order range between 2 preceding and 2 following) as five,
             greatest(max(alone) over (partition by source_thread), 0) as best_of_thread
        from scored s
      window turn_order as (partition by source_thread order by source_turn)
    ), ranked as (
      select p.id, p.word_share, p.word_share * asked_information as information, p.similarity, p.nearness,
             -- Unknown words take the same from all, so that they change no order.
             p.alone - coalesce(12 * (1 - coalesce(known, 0) / asked_information), 0)
             + case when p.source_thread is null or query_text is null then 0
                    else 0.5 * (p.three - p.own) + 0.25 * (p.five - p.three) + 0.1 * p.best_of_thread end as score
        from placed p
       order by score desc, p.id desc limit match_count
    )
    select m.id, m.kind, m.content, m.trust, m.subject, m.metadata, m.source_thread, m.source_turn, m.source_quote, m.evidence_count,
           coalesce(u.use_count, 0), m.embedding_model, m.valid_from, m.valid_until, m.created_at, u.last_used_at, r.score, m.speaker,
           r.word_share, r.information, r.similarity, r.nearness
      from ranked r join agents.agent_memory m on m.id = r.id
      left join agents.memory_use u on u.memory_id = m.id and u.tenant_id = tenant
     order by r.score desc, r.id desc;
end $$;

reset search_path;
