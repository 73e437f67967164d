-- A film rental shop with two stores: films and their actors, copies in stock, customers, rentals and payments.
create type public.mpaa_rating as enum ('G', 'PG', 'PG-13', 'R', 'NC-17');
create table public.actor (actor_id int primary key, first_name text not null, last_name text not null, last_update timestamptz not null default '2022-02-15');
create table public.category (category_id int primary key, name text not null);
create table public.language (language_id int primary key, name character(20) not null);
create table public.country (country_id int primary key, country text not null);
create table public.city (city_id int primary key, city text not null, country_id int not null references public.country);
create table public.address (
  address_id int primary key, address text not null, address2 text, district text not null, city_id int not null references public.city, postal_code text, phone text not null);
create table public.film (
  film_id int primary key, title text not null, description text, release_year int, language_id int not null references public.language, original_language_id int references public.language,
  rental_duration smallint not null default 3, rental_rate numeric(4,2) not null default 4.99, length smallint, replacement_cost numeric(5,2) not null default 19.99,
  rating public.mpaa_rating default 'G', special_features text[]);
create table public.film_actor (actor_id int not null references public.actor, film_id int not null references public.film, primary key (actor_id, film_id));
create table public.film_category (film_id int not null references public.film, category_id int not null references public.category, primary key (film_id, category_id));
create table public.store (store_id int primary key, manager_staff_id int not null, address_id int not null references public.address);
create table public.staff (
  staff_id int primary key, first_name text not null, last_name text not null, address_id int not null references public.address, email text, store_id int not null references public.store,
  active boolean not null default true, username text not null);
create table public.customer (
  customer_id int primary key, store_id int not null references public.store, first_name text not null, last_name text not null, email text, address_id int not null references public.address,
  activebool boolean not null default true, create_date date not null);
create table public.inventory (inventory_id int primary key, film_id int not null references public.film, store_id int not null references public.store);
create table public.rental (
  rental_id int primary key, rental_date timestamp not null, inventory_id int not null references public.inventory, customer_id int not null references public.customer,
  return_date timestamp, staff_id int not null references public.staff);
create table public.payment (
  payment_id int primary key, customer_id int not null references public.customer, staff_id int not null references public.staff, rental_id int not null references public.rental,
  amount numeric(5,2) not null, payment_date timestamp not null);

insert into public.actor (actor_id, first_name, last_name) values
  (1, 'Penelope', 'Guiness'), (2, 'Nick', 'Wahlberg'), (3, 'Ed', 'Chase'), (4, 'Jürgen', 'Vogel'), (5, 'Siobhán', 'O''Hara'), (6, 'Bette', 'Nicholson'), (7, 'Grace', 'Mostel'),
  (8, 'Matthew', 'Johansson'), (9, 'Joe', 'Swank'), (10, 'Christian', 'Gable'), (11, 'Zero', 'Cage'), (12, 'Karl', 'Berry'), (13, 'Uma', 'Wood'), (14, 'Vivien', 'Bergen'),
  (15, 'Cuba', 'Olivier'), (16, 'Fred', 'Costner'), (17, 'Helen', 'Voight'), (18, 'Dan', 'Torn'), (19, 'Bob', 'Fawcett'), (20, 'Lucille', 'Tracy'), (21, 'Kirsten', 'Paltrow'),
  (22, 'Elvis', 'Marx'), (23, 'Sandra', 'Kilmer'), (24, 'Cameron', 'Streep'), (25, 'Kevin', 'Bloom'), (26, 'Nina', 'Hoß'), (27, 'Susan', 'Davis'), (28, 'Susan', 'Davis'),
  (29, 'Penelope', 'Pinkett'), (30, 'Greta', 'Malden');
insert into public.category values
  (1, 'Action'), (2, 'Animation'), (3, 'Children'), (4, 'Classics'), (5, 'Comedy'), (6, 'Documentary'), (7, 'Drama'), (8, 'Family'), (9, 'Foreign'), (10, 'Horror'), (11, 'Music'),
  (12, 'Sci-Fi'), (13, 'Sports'), (14, 'Travel');
insert into public.language values (1, 'English'), (2, 'Italian'), (3, 'Japanese'), (4, 'Mandarin'), (5, 'French'), (6, 'German');
insert into public.country values (1, 'Argentina'), (2, 'Australia'), (3, 'Brazil'), (4, 'Canada'), (5, 'France'), (6, 'Germany'), (7, 'India'), (8, 'Japan'), (9, 'Mexico'), (10, 'Poland'), (11, 'United States'), (12, 'Iceland');
insert into public.city values
  (1, 'Córdoba', 1), (2, 'Woodridge', 2), (3, 'Curitiba', 3), (4, 'Lethbridge', 4), (5, 'Toulouse', 5), (6, 'Saarbrücken', 6), (7, 'Halle/Saale', 6), (8, 'Nagpur', 7), (9, 'Pune', 7),
  (10, 'Nagoya', 8), (11, 'Cuernavaca', 9), (12, 'Łódź', 10), (13, 'Memphis', 11), (14, 'Dallas', 11), (15, 'Aurora', 11), (16, 'São Bernardo do Campo', 3);
insert into public.address
select n, a.address, case when n % 11 = 0 then 'Apt. ' || n when n % 7 = 0 then '' end, a.district, a.city, case when n % 13 <> 0 then (10000 + n * 1373)::text end, a.phone
from (select *, row_number() over ()::int n from (values
  ('47 MySakila Drive', 'Alberta', 4, '14033335568'), ('28 MySQL Boulevard', 'QLD', 2, '6172235589'), ('23 Workhaven Lane', 'Alberta', 4, '14033335570'), ('1411 Lillydale Drive', 'QLD', 2, '6172235590'),
  ('1913 Hanoi Way', 'Córdoba', 1, '28303384290'), ('1121 Loja Avenue', 'Paraná', 3, '838635286649'), ('692 Joliet Street', 'Haute-Garonne', 5, '448477190408'), ('1566 Inegöl Manor', 'Saarland', 6, '705814003527'),
  ('53 Idfu Parkway', 'Sachsen-Anhalt', 7, '10655648674'), ('1795 Santiago Way', 'Maharashtra', 8, '860452626434'), ('900 Santa Fé Parkway', 'Maharashtra', 9, '716571220373'), ('478 Joliet Way', 'Aichi', 10, '657282285970'),
  ('613 Korolev Drive', 'Morelos', 11, '380657522649'), ('1531 Salé Drive', 'Łódzkie', 12, '648856936185'), ('1542 Tarlac Parkway', 'Tennessee', 13, '635297277345'), ('808 Bhopal Manor', 'Texas', 14, '465887807014'),
  ('270 Amroha Parkway', 'Texas', 14, '695479687538'), ('770 Bydgoszcz Avenue', 'Colorado', 15, '517338314235'), ('419 Iligan Lane', 'São Paulo', 16, '990911107354'), ('360 Toulouse Parkway', 'Saarland', 6, '949312333307'),
  ('270 Toulon Boulevard', 'Maharashtra', 8, '407752414682'), ('320 Brest Avenue', 'Morelos', 11, '747791594069'), ('1417 Lancaster Avenue', 'Tennessee', 13, '272572357893'), ('1688 Okara Way', 'Texas', 14, '144453869132'),
  ('262 A Coruña Parkway', 'Colorado', 15, '34418604499'), ('28 Charlotte Amalie Street', 'Paraná', 3, '161968374323'), ('1780 Hino Boulevard', 'Sachsen-Anhalt', 7, '902731229323'), ('96 Tafuna Way', 'Łódzkie', 12, '934730187245'),
  ('934 San Felipe Street', 'Aichi', 10, '196495945706'), ('18 Duisburg Boulevard', 'Haute-Garonne', 5, '998009777982')
) a(address, district, city, phone)) a;
insert into public.store values (1, 1, 1), (2, 2, 2);
insert into public.staff values
  (1, 'Mike', 'Hillyer', 3, 'mike.hillyer@rentals.example', 1, true, 'Mike'), (2, 'Jon', 'Stephens', 4, 'jon.stephens@rentals.example', 2, true, 'Jon'),
  (3, 'Zoë', 'D''Angelo', 18, null, 1, true, 'Zoe'), (4, 'Anton', 'Krüger', 20, 'anton.krueger@rentals.example', 2, false, 'Anton');
alter table public.store add foreign key (manager_staff_id) references public.staff;
insert into public.customer
select n, case when n % 3 = 0 then 2 else 1 end, c.first, c.last, case when n % 14 <> 0 then lower(translate(c.first, 'éÖóäø', 'eOoao') || '.' || translate(c.last, '''üłä', '-ula')) || '@mail.example' end,
  5 + (n * 5) % 26, n not in (6, 16, 23, 31), date '2020-11-02' + (n * 37)::int
from (select *, row_number() over ()::int n from (values
  ('Mary', 'Smith'), ('Patricia', 'Johnson'), ('Linda', 'Williams'), ('Barbara', 'Jones'), ('Elizabeth', 'Brown'), ('Jennifer', 'Davis'), ('Maria', 'Müller'), ('Susan', 'Wilson'),
  ('Margaret', 'O''Brien'), ('Dorothy', 'Taylor'), ('Lisa', 'Anderson'), ('Nancy', 'Thomas'), ('Karen', 'Jackson'), ('Betty', 'White'), ('Helen', 'Harris'), ('Sandra', 'Martin'),
  ('Donna', 'Thompson'), ('Carol', 'García'), ('Ruth', 'Martínez'), ('Sharon', 'Robinson'), ('Mary', 'Smith'), ('Laura', 'Rodríguez'), ('Sarah', 'Lewis'), ('Kimberly', 'Lee'),
  ('Deborah', 'Walker'), ('Jessica', 'Hall'), ('Shirley', 'Allen'), ('Cynthia', 'Young'), ('Angela', 'Hernández'), ('Melissa', 'King'), ('Brenda', 'Wright'), ('Amy', 'López'),
  ('Jörg', 'Bäcker'), ('Rebecca', 'Scott'), ('Virginia', 'Green'), ('Kathleen', 'Adams'), ('Zofia', 'Wałęsa'), ('Martha', 'González'), ('Debra', 'Nelson'), ('Amanda', 'Carter')
) c(first, last)) c;
insert into public.film
select n, f.title, f.about, f.year, f.language, case when n in (9, 27, 41) then 3 when n = 33 then 6 end, 3 + n % 5, (array[0.99, 2.99, 4.99])[1 + n % 3], f.minutes, 9.99 + (n * 7) % 20, f.rating::public.mpaa_rating,
  case when n % 6 <> 0 then (array['{Trailers}', '{Trailers,"Deleted Scenes"}', '{Commentaries,"Behind the Scenes"}', '{"Deleted Scenes"}'])[1 + n % 4]::text[] end
from (select *, row_number() over ()::int n from (values
  ('Academy Dinosaur', 'An epic drama of a feminist and a mad scientist', 2006, 1, 86, 'PG'), ('Ace Goldfinger', 'An astounding epistle of a database administrator', 2006, 1, 48, 'G'),
  ('Adaptation Holes', null, 2007, 1, 50, 'NC-17'), ('Affair Prejudice', 'A fanciful documentary of a frisbee and a lumberjack', 2008, 1, 117, 'G'), ('African Egg', 'A documentary of a pastry chef and a dentist', 2008, 1, 130, 'G'),
  ('Agent Truman', 'An intrepid panorama of a robot', 2009, 1, 169, 'PG'), ('Airplane Sierra', 'A touching saga of a hunter and a butler', 2010, 1, 62, 'PG-13'), ('Airport Pollock', null, 2010, 1, 54, 'R'),
  ('Alabama Devil', 'A thoughtful panorama of a database administrator', 2011, 1, 114, 'PG-13'), ('Aladdin Calendar', 'An action-packed tale of a man and a lumberjack', 2012, 1, 63, 'NC-17'),
  ('Alamo Videotape', 'A boring epistle of a butler and a cat', 2012, 1, 126, 'G'), ('Alaska Phantom', 'A fanciful saga of a hunter', 2013, 1, 136, 'PG'), ('Ali Forever', 'An action-packed drama of a dentist', 2013, 1, 150, 'PG'),
  ('Alone Trip', 'A fast-paced character study of a composer', 2014, 1, 82, 'R'), ('Amadeus Holy', null, 2014, 6, 113, 'PG'), ('Amélie''s Garden', 'A gentle tale of a waitress', 2015, 5, 121, 'PG-13'),
  ('Anaconda Confessions', 'A lacklusture display of a dentist', 2015, 1, 92, 'R'), ('Angels Life', 'A thoughtful display of a woman', 2015, 1, 74, 'G'), ('Antitrust Tomatoes', 'A fateful yarn of a womanizer', 2016, 1, 168, 'NC-17'),
  ('Arachnophobia Rollercoaster', 'An action-packed reflection of a pastry chef', 2016, 1, 147, 'PG-13'), ('Armageddon Lost', null, 2016, 1, 99, 'G'), ('Baked Cleopatra', 'A stunning drama of a forensic psychologist', 2017, 1, 182, 'G'),
  ('Bang Kwai', 'A story of a mad cow', 2017, 1, 87, 'NC-17'), ('Barbarella Streetcar', 'A boring saga of a robot', 2017, 2, 65, 'G'), ('Beach Heartbreakers', 'A fateful display of a womanizer', 2018, 1, 122, 'G'),
  ('Bear Graceland', 'An astounding saga of a dog', 2018, 1, 160, 'R'), ('Betrayed Rear', 'An emotional character study of a boat', 2018, 1, 122, 'NC-17'), ('Bikini Borrowers', 'A tale of an astronaut', 2019, 1, 142, 'NC-17'),
  ('Bird Independence', null, 2019, 1, 163, 'G'), ('Blackout Private', 'An intrepid yarn of a pastry chef', 2019, 1, 85, 'PG'), ('Blanket Beverly', 'An emotional documentary of a student', 2020, 1, 148, 'G'),
  ('Blindness Gun', 'A touching drama of a robot', 2020, 1, 103, 'PG-13'), ('Böse Sterne', 'A dark yarn of two brothers', 2020, 1, 98, 'R'), ('Boogie Amélie', 'A lacklusture character study of a husband', 2021, 5, 121, 'R'),
  ('Bucket Brotherhood', 'A great display of a girl', 2021, 1, 133, 'PG'), ('Cabin Flash', 'A stunning epistle of a boat', 2021, 1, 53, 'NC-17'), ('Casablanca Super', 'A amazing panorama of a crocodile', 2021, 1, 85, 'G'),
  ('Chicago North', null, 2022, 1, 185, 'PG-13'), ('Chisum Behavior', 'An epic documentary of a sumo wrestler', 2022, 1, 124, 'G'), ('Connection Microcosmos', 'A fateful documentary of a crocodile', 2022, 1, 115, 'G'),
  ('Tokyo Nights', 'A quiet tale of a night nurse', 2022, 1, 101, null), ('Zorro''s Ark', 'An intrepid panorama of a mad scientist', null, 1, null, 'NC-17')
) f(title, about, year, language, minutes, rating)) f;
-- The actors 26 and 30 are in no film; the film 42 has no copy; the film 21 has copies that nobody rented.
insert into public.film_actor
select distinct 1 + (f.film_id * 7 + k * 11) % 29, f.film_id from public.film f cross join generate_series(0, 4) k where k <= f.film_id % 5 and (f.film_id * 7 + k * 11) % 29 <> 25;
insert into public.film_category select film_id, 1 + (film_id * 5) % 13 from public.film where film_id <> 42;
insert into public.inventory
select row_number() over (order by f.film_id, k), f.film_id, 1 + (f.film_id + k) % 2 from public.film f cross join generate_series(1, 4) k where k <= 1 + f.film_id % 4 and f.film_id <> 42;
-- The customers 39 and 40 never rented; the last dozen of rentals are not returned yet.
insert into public.rental
select n, timestamp '2022-05-24 10:53' + n * interval '53 hours' + (n % 9) * interval '37 minutes', i.inventory_id, 1 + (n * 17 + n / 38) % 38,
  case when n < 186 or n % 2 = 0 then timestamp '2022-05-24 18:20' + n * interval '53 hours' + (1 + n % 8) * interval '1 day' end, case when n % 5 = 0 then 3 when n % 2 = 0 then 1 else 2 end
from generate_series(1, 200) n join public.inventory i on i.inventory_id = 1 + (n * 13) % (select count(*) from public.inventory) where i.film_id <> 21;
insert into public.rental
select 200 + n, timestamp '2022-09-03 16:40' + n * interval '19 days', (select min(inventory_id) from public.inventory where film_id = 19 and store_id = 1), 32,
  timestamp '2022-09-05 09:15' + n * interval '19 days', 1
from generate_series(1, 4) n;
insert into public.payment
select row_number() over (order by r.rental_id), r.customer_id, r.staff_id, r.rental_id, f.rental_rate + case when r.rental_id % 4 = 0 then 2 when r.rental_id % 9 = 0 then 5 else 0 end, r.rental_date + interval '3 minutes'
from public.rental r join public.inventory i using (inventory_id) join public.film f using (film_id) where r.rental_id % 16 <> 3;
