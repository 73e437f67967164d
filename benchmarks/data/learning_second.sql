-- A second application for the questions of learning_second.jsonl: a group of veterinary practices, in schema public.
--
-- Run it on an empty public schema. Everything is computed from row numbers and md5 hashes, nothing is random. Days count
-- back from current_date, so every answer that the questions ask for is the same on any date. All persons are invented.
-- Some columns are as terse as in grown applications: their codes are explained nowhere in the schema, on purpose.

comment on schema public is 'A group of veterinary practices';

-- A stable number from 0 to n - 1 for a text.
create function pg_temp.pick(key text, n integer) returns integer
language sql immutable
as $$ select (('x' || substr(md5(key), 1, 8))::bit(32)::bigint % n)::integer $$;

------------------------------------------------------------------------------------------------------------
-- Tables
------------------------------------------------------------------------------------------------------------

create table public.sites (
  id         integer primary key,
  name       text not null unique,
  town       text not null,
  rooms      integer not null check (rooms > 0),
  opened_on  date not null
);
comment on table public.sites is 'The practices of the group';

create table public.staff (
  id          integer primary key,
  full_name   text not null,
  role        text not null check (role in ('vet', 'nurse', 'reception')),
  site_id     integer not null references public.sites,
  workdays    integer not null check (workdays between 1 and 127),
  started_on  date not null,
  left_on     date check (left_on > started_on)
);
create index staff_site on public.staff (site_id);
comment on table public.staff is 'People who work or worked at a practice';

create table public.owners (
  id         integer primary key,
  full_name  text not null,
  card       char(1) not null check (card in ('S', 'F', 'W', 'B')),
  town       text not null,
  phone      text,
  letters    boolean not null default true,
  joined_on  date not null
);
comment on table public.owners is 'People who bring animals';
comment on column public.owners.letters is 'whether they agreed to reminders by post';

create table public.animals (
  id        integer primary key,
  owner_id  integer not null references public.owners,
  name      text not null,
  species   text not null,
  breed     text not null default '',
  born_on   date not null,
  died_on   date check (died_on >= born_on),
  chip      text,
  weight_g  integer not null check (weight_g > 0)
);
create index animals_owner on public.animals (owner_id);
comment on table public.animals is 'The patients';
comment on column public.animals.weight_g is 'at the last weighing, in grams';

create table public.care_plans (
  animal_id  integer not null references public.animals,
  plan       text not null check (plan in ('basic', 'plus', 'complete')),
  valid      daterange not null,
  monthly    numeric(6, 2) not null,
  primary key (animal_id, valid)
);
comment on table public.care_plans is 'Which plan an animal is on; a change of plan adds a row';
comment on column public.care_plans.monthly is 'in euros';

create table public.visits (
  id        integer primary key,
  animal_id integer not null references public.animals,
  staff_id  integer not null references public.staff,
  site_id   integer not null references public.sites,
  begins    bigint not null,
  minutes   integer not null check (minutes > 0),
  state     smallint not null check (state between 1 and 4),
  reason    text not null,
  findings  jsonb not null default '{}'
);
create index visits_animal on public.visits (animal_id);
create index visits_site on public.visits (site_id, begins);
comment on table public.visits is 'Appointments, past and coming';

create table public.ledger (
  id         integer primary key,
  visit_id   integer not null references public.visits,
  kind       char(1) not null check (kind in ('C', 'P', 'W', 'R')),
  amount     integer not null check (amount > 0),
  booked_on  date not null
);
create index ledger_visit on public.ledger (visit_id);
comment on table public.ledger is 'Money around a visit';

create table public.vaccinations (
  animal_id   integer not null references public.animals,
  vaccine     text not null,
  given_on    date not null,
  valid_days  integer not null check (valid_days > 0),
  primary key (animal_id, vaccine, given_on)
);
comment on table public.vaccinations is 'Doses that were given, and for how many days each protects';

------------------------------------------------------------------------------------------------------------
-- Data
------------------------------------------------------------------------------------------------------------

insert into public.sites values
  (1, 'Harbour Street', 'Ashport', 6, current_date - 5200), (2, 'Mill Green', 'Tarnley', 4, current_date - 4100),
  (3, 'Pier Lane', 'Ashport', 3, current_date - 2600), (4, 'Castle Hill', 'Brackwell', 5, current_date - 1900),
  (5, 'Lighthouse', 'Sandby', 2, current_date - 700);

insert into public.staff (id, full_name, role, site_id, workdays, started_on, left_on)
select i, first || ' ' || last, case when i % 5 < 2 then 'vet' when i % 5 < 4 then 'nurse' else 'reception' end,
       1 + pg_temp.pick('site' || i, 5),
       (array[31, 31, 15, 62, 21, 42, 96, 63])[1 + pg_temp.pick('workdays' || i, 8)],
       current_date - 60 - pg_temp.pick('started' || i, 3600),
       case when i % 9 = 0 then current_date - 5 - pg_temp.pick('left' || i, 50) end
  from generate_series(1, 34) i
  cross join lateral (select
    (array['Amber', 'Basil', 'Cora', 'Dexter', 'Edith', 'Fergus', 'Gwen', 'Hollis', 'Ivy', 'Jasper', 'Kira', 'Linus'])[1 + i % 12] as first,
    (array['Arkwright', 'Bellamy', 'Croft', 'Dunmore', 'Ellery', 'Fairfax', 'Garland'])[1 + i % 7] as last) names;

insert into public.owners
select i, first || ' ' || last, (array['S', 'S', 'S', 'F', 'F', 'W', 'B'])[1 + pg_temp.pick('card' || i, 7)],
       (array['Ashport', 'Ashport', 'Tarnley', 'Brackwell', 'Sandby', 'Ottermouth'])[1 + pg_temp.pick('town' || i, 6)],
       case when pg_temp.pick('phone' || i, 6) > 0 then '+44 1632 96' || lpad(i::text, 4, '0') end,
       pg_temp.pick('letters' || i, 3) > 0, current_date - 30 - pg_temp.pick('joined' || i, 2800)
  from generate_series(1, 150) i
  cross join lateral (select
    (array['Alma', 'Bernard', 'Clio', 'Doris', 'Ewan', 'Flora', 'Gus', 'Hester', 'Ishaan', 'Judith', 'Kamal', 'Lottie', 'Milo', 'Nerys', 'Omar']
    )[1 + i % 15] as first,
    (array['Abbot', 'Barlow', 'Carrick', 'Dacre', 'Elwood', 'Frobisher', 'Grange', 'Hartley', 'Ingram', 'Jarrow', 'Kestle'])[1 + i % 11] as last
  ) names;

insert into public.animals
select i, case when i <= 150 then i else 1 + pg_temp.pick('owner' || i, 150) end,
       (array['Biscuit', 'Clover', 'Domino', 'Echo', 'Fudge', 'Ginger', 'Hazel', 'Inky', 'Jinx', 'Kiwi', 'Luna', 'Mocha', 'Nutmeg', 'Olive',
              'Pepper', 'Rusty', 'Smudge', 'Treacle', 'Waffle'])[1 + pg_temp.pick('name' || i, 19)],
       kind.species,
       case kind.species when 'dog' then (array['working/sheepdog', 'terrier/border', 'terrier/jack russell', 'hound/beagle', 'gundog/labrador',
                                                'gundog/spaniel', 'mixed'])[1 + pg_temp.pick('breed' || i, 7)]
                         when 'cat' then (array['shorthair/british', 'shorthair/domestic', 'longhair/persian', 'mixed'])[1 + pg_temp.pick('breed' || i, 4)]
                         else '' end,
       life.born, case when pg_temp.pick('died' || i, 9) = 0 then greatest(life.born, current_date - 1 - pg_temp.pick('when died' || i, 400)) end,
       case pg_temp.pick('chip' || i, 8) when 0 then null when 1 then '000000000000000'
            else (array['826', '826', '528', '276', '372'])[1 + pg_temp.pick('chip country' || i, 5)] || lpad((7919::bigint * i * 131)::text, 12, '0') end,
       case kind.species when 'dog' then 6000 + 100 * pg_temp.pick('weight' || i, 290) when 'cat' then 2500 + 50 * pg_temp.pick('weight' || i, 90)
                         when 'tortoise' then 900 + 10 * pg_temp.pick('weight' || i, 180) else 150 + 10 * pg_temp.pick('weight' || i, 210) end
  from generate_series(1, 240) i
  cross join lateral (select (array['dog', 'dog', 'dog', 'dog', 'cat', 'cat', 'cat', 'rabbit', 'ferret', 'parrot', 'tortoise']
                             )[1 + pg_temp.pick('species' || i, 11)] as species) kind
  cross join lateral (select current_date - 90 - pg_temp.pick('born' || i, 5200) as born) life;

insert into public.care_plans
select a.id, (array['basic', 'plus', 'complete'])[1 + (pg_temp.pick('plan' || a.id, 3) + n) % 3],
       case when n < changes then daterange(current_date - 900 + 300 * (n - 1), current_date - 900 + 300 * n)
            when pg_temp.pick('ended' || a.id, 7) = 0 then daterange(current_date - 900 + 300 * (n - 1), current_date - 900 + 300 * (n - 1) + 200)
            else daterange(current_date - 900 + 300 * (n - 1), null) end,
       (array[9.50, 17.00, 29.90])[1 + (pg_temp.pick('plan' || a.id, 3) + n) % 3]
  from public.animals a
  cross join lateral (select 1 + pg_temp.pick('changes' || a.id, 3) as changes) history
  cross join lateral generate_series(1, changes) n
 where pg_temp.pick('has a plan' || a.id, 2) = 0;

insert into public.visits
select i, a.id, s.id, s.site_id,
       extract(epoch from (current_date - ago)::timestamp at time zone 'UTC')::bigint + 60 * (480 + 15 * pg_temp.pick('hour' || i, 44)),
       (array[15, 15, 20, 30, 30, 45, 60])[1 + pg_temp.pick('minutes' || i, 7)],
       case when ago < 0 then case when pg_temp.pick('early' || i, 9) = 0 then 3 else 1 end
            else (array[2, 2, 2, 2, 2, 2, 2, 3, 4])[1 + pg_temp.pick('state' || i, 9)] end,
       (array['check-up', 'check-up', 'vaccination', 'dental', 'skin', 'injury', 'surgery', 'poisoning', 'seizure', 'nail trim']
       )[1 + pg_temp.pick('reason' || i, 10)],
       '{}'
  from generate_series(1, 1500) i
  join public.animals a on a.id = 1 + least(pg_temp.pick('animal a' || i, 240), pg_temp.pick('animal b' || i, 240))
  join public.staff s on s.id = 1 + pg_temp.pick('vet' || i, 34) and s.role <> 'reception'
  cross join lateral (select pg_temp.pick('ago' || i, 620) - 20 as ago) day
 where current_date - ago between greatest(a.born_on, s.started_on) and coalesce(a.died_on, current_date + 30)
 order by i;

-- What was found is known only of visits that took place.
update public.visits v set findings = jsonb_build_object(
         'temp', 37.5 + 0.1 * pg_temp.pick('temp' || v.id, 25),
         'codes', to_jsonb((array['{DERM}', '{DENT}', '{DENT,GUM}', '{OBES}', '{ORTH}', '{OBES,ORTH}', '{}'])[1 + pg_temp.pick('codes' || v.id, 7)]::text[]))
 where v.state = 2;

insert into public.ledger
select row_number() over (order by v.id, n), v.id, (array['C', 'P', 'W', 'R'])[n],
       case n when 1 then bill.cents when 2 then paid.cents when 3 then bill.cents - paid.cents else 500 end,
       least((to_timestamp(v.begins) at time zone 'UTC')::date + 10 * (n - 1), current_date)
  from public.visits v
  cross join lateral (select 100 * (18 + v.minutes + pg_temp.pick('bill' || v.id, 60)) as cents) bill
  cross join lateral (select case when pg_temp.pick('pays' || v.id, 6) = 0 then bill.cents / 2 else bill.cents end as cents) paid
  cross join generate_series(1, 4) n
 where v.state = 2
   and (n = 1 or n = 2 and pg_temp.pick('paid' || v.id, 8) > 0 or n = 3 and paid.cents < bill.cents and pg_temp.pick('waived' || v.id, 2) = 0
        or n = 4 and pg_temp.pick('refund' || v.id, 20) = 0);

insert into public.vaccinations
select a.id, shot.vaccine, current_date - 20 - pg_temp.pick('shot' || a.id || shot.vaccine, 330) - 365 * n, shot.days
  from public.animals a
  join (values ('dog', 'rabies', 1095), ('dog', 'kennel cough', 365), ('dog', 'parvo', 365), ('cat', 'cat flu', 365), ('cat', 'leukaemia', 730),
               ('rabbit', 'myxomatosis', 180), ('ferret', 'distemper', 365)) shot(species, vaccine, days) on shot.species = a.species
  cross join generate_series(0, 3) n
 where pg_temp.pick('gets' || a.id || shot.vaccine || n, 3) = 0
   and current_date - 20 - pg_temp.pick('shot' || a.id || shot.vaccine, 330) - 365 * n between a.born_on + 40 and coalesce(a.died_on, current_date);

drop function pg_temp.pick(text, integer);
analyze public.sites, public.staff, public.owners, public.animals, public.care_plans, public.visits, public.ledger, public.vaccinations;
