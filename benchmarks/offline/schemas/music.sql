-- A music shop that sells tracks by download: artists, albums and tracks, customers with their invoices, and playlists.
create table public.artist (artist_id int primary key, name varchar(120));
create table public.album (album_id int primary key, title varchar(160) not null, artist_id int not null references public.artist);
create table public.media_type (media_type_id int primary key, name varchar(120));
create table public.genre (genre_id int primary key, name varchar(120));
create table public.employee (
  employee_id int primary key, last_name varchar(20) not null, first_name varchar(20) not null, title varchar(30), reports_to int references public.employee,
  birth_date timestamp, hire_date timestamp, address varchar(70), city varchar(40), state varchar(40), country varchar(40), postal_code varchar(10),
  phone varchar(24), fax varchar(24), email varchar(60));
create table public.customer (
  customer_id int primary key, first_name varchar(40) not null, last_name varchar(20) not null, company varchar(80), address varchar(70), city varchar(40), state varchar(40),
  country varchar(40), postal_code varchar(10), phone varchar(24), fax varchar(24), email varchar(60) not null, support_rep_id int references public.employee);
create table public.track (
  track_id int primary key, name varchar(200) not null, album_id int references public.album, media_type_id int not null references public.media_type,
  genre_id int references public.genre, composer varchar(220), milliseconds int not null, bytes int, unit_price numeric(10,2) not null);
create table public.playlist (playlist_id int primary key, name varchar(120));
create table public.playlist_track (playlist_id int not null references public.playlist, track_id int not null references public.track, primary key (playlist_id, track_id));
create table public.invoice (
  invoice_id int primary key, customer_id int not null references public.customer, invoice_date timestamp not null, billing_address varchar(70), billing_city varchar(40),
  billing_state varchar(40), billing_country varchar(40), billing_postal_code varchar(10), total numeric(10,2) not null);
create table public.invoice_line (
  invoice_line_id int primary key, invoice_id int not null references public.invoice, track_id int not null references public.track, unit_price numeric(10,2) not null, quantity int not null);

insert into public.artist values
  (1, 'Motörhead'), (2, 'Nina Simone'), (3, 'Sinéad O''Connor'), (4, 'Johann Sebastian Bach'), (5, 'Die Ärzte'), (6, 'Miles Davis'), (7, 'Os Mutantes'), (8, 'Kraftwerk'),
  (9, 'Buena Vista Social Club'), (10, 'Aretha Franklin'), (11, 'Black Sabbath'), (12, 'Fela Kuti'), (13, 'Björk'), (14, 'Gilberto Gil'), (15, 'Guns N'' Roses'),
  (16, 'Arvo Pärt'), (17, 'Portishead'), (18, 'Bob Marley'), (19, 'Mercedes Sosa'), (20, 'Sigur Rós'), (21, 'Queen'), (22, 'Édith Piaf'), (23, 'The Clash'), (24, 'Ravi Shankar'),
  (25, 'Blur');
insert into public.album values
  (1, 'Ace of Spades', 1), (2, 'Overkill', 1), (3, 'Pastel Blues', 2), (4, 'Wild Is the Wind', 2), (5, 'The Lion and the Cobra', 3), (6, 'Goldberg Variations', 4),
  (7, 'Cello Suites', 4), (8, 'Geräusch', 5), (9, 'Kind of Blue', 6), (10, 'Bitches Brew', 6), (11, 'Sketches of Spain', 6), (12, 'Os Mutantes', 7), (13, 'Autobahn', 8),
  (14, 'Die Mensch-Maschine', 8), (15, 'Buena Vista Social Club', 9), (16, 'Lady Soul', 10), (17, 'Paranoid', 11), (18, 'Master of Reality', 11), (19, 'Zombie', 12),
  (20, 'Homogenic', 13), (21, 'Vespertine', 13), (22, 'Expresso 2222', 14), (23, 'Appetite for Destruction', 15), (24, 'Tabula Rasa', 16), (25, 'Dummy', 17), (26, 'Third', 17),
  (27, 'Exodus', 18), (28, 'Catch a Fire', 18), (29, 'Cantora', 19), (30, 'Ágætis byrjun', 20), (31, 'A Night at the Opera', 21), (32, 'Sheer Heart Attack', 21),
  (33, 'Greatest Hits', 21), (34, 'Greatest Hits', 18), (35, 'London Calling', 23);
insert into public.media_type values (1, 'MPEG audio file'), (2, 'Protected AAC audio file'), (3, 'Purchased AAC audio file'), (4, 'AAC audio file'), (5, 'Protected MPEG-4 video file');
insert into public.genre values
  (1, 'Rock'), (2, 'Jazz'), (3, 'Metal'), (4, 'Classical'), (5, 'Soul'), (6, 'Reggae'), (7, 'Electronic'), (8, 'Latin'), (9, 'World'), (10, 'Punk'), (11, 'Opera'), (12, 'Comedy');
insert into public.employee values
  (1, 'Adams', 'Andrew', 'General Manager', null, '1972-02-18', '2012-08-14', '11120 Jasper Ave NW', 'Edmonton', 'AB', 'Canada', 'T5K 2N1', '+1 (780) 428-9482', '+1 (780) 428-3457', 'andrew@musicshop.example'),
  (2, 'Edwards', 'Nancy', 'Sales Manager', 1, '1978-12-08', '2013-05-01', '825 8 Ave SW', 'Calgary', 'AB', 'Canada', 'T2P 2T3', '+1 (403) 262-3443', null, 'nancy@musicshop.example'),
  (3, 'Peacock', 'Jane', 'Sales Support Agent', 2, '1983-08-29', '2013-04-01', '1111 6 Ave SW', 'Calgary', 'AB', 'Canada', 'T2P 5M5', '+1 (403) 262-3443', null, 'jane@musicshop.example'),
  (4, 'Park', 'Margaret', 'Sales Support Agent', 2, '1967-09-19', '2014-05-03', '683 10 Street SW', 'Calgary', 'AB', 'Canada', 'T2P 5G3', '+1 (403) 263-4423', null, 'margaret@musicshop.example'),
  (5, 'Johnson', 'Steve', 'Sales Support Agent', 2, '1985-03-03', '2014-10-17', '7727B 41 Ave', 'Calgary', 'AB', 'Canada', 'T3B 1Y7', null, null, 'steve@musicshop.example'),
  (6, 'Mitchell', 'Michael', 'IT Manager', 1, '1983-07-01', '2014-10-17', '5827 Bowness Road NW', 'Calgary', 'AB', 'Canada', 'T3B 0C5', '+1 (403) 246-9887', null, 'michael@musicshop.example'),
  (7, 'King', 'Robert', 'IT Staff', 6, '1990-05-29', '2019-01-02', '590 Columbia Boulevard W', 'Lethbridge', 'AB', 'Canada', 'T1K 5N8', '+1 (403) 456-9986', null, 'robert@musicshop.example'),
  (8, 'Callahan', 'Laura', 'IT Staff', 6, '1988-01-09', '2019-03-04', '923 7 St NW', 'Lethbridge', 'AB', 'Canada', 'T1H 1Y8', '+1 (403) 467-3351', null, 'laura@musicshop.example');
insert into public.customer (customer_id, first_name, last_name, company, address, city, state, country, postal_code, phone, email, support_rep_id) values
  (1, 'Luís', 'Gonçalves', 'Aero Boa Vista', 'Av. Faria Lima 2170', 'São José dos Campos', 'SP', 'Brazil', '12227-000', '+55 (12) 3923-5555', 'luisg@aero.example', 3),
  (2, 'Leonie', 'Köhler', null, 'Theodor-Heuss-Straße 34', 'Stuttgart', null, 'Germany', '70174', '+49 711 2842222', 'leonie.koehler@post.example', 5),
  (3, 'François', 'Tremblay', null, '1498 rue Bélanger', 'Montréal', 'QC', 'Canada', 'H2G 1A7', '+1 (514) 721-4711', 'ftremblay@courrier.example', 3),
  (4, 'Bjørn', 'Hansen', null, 'Ullevålsveien 14', 'Oslo', null, 'Norway', '0171', '+47 22 44 22 22', 'bjorn.hansen@nord.example', 4),
  (5, 'František', 'Wichterlová', 'JetBrains', 'Klanova 9/506', 'Prague', null, 'Czech Republic', '14700', '+420 2 4172 5555', 'frantisekw@ide.example', 4),
  (6, 'Helena', 'Holý', null, 'Rilská 3174/6', 'Prague', null, 'Czech Republic', '14300', '+420 2 4177 0449', 'hholy@post.example', 5),
  (7, 'Astrid', 'Gruber', null, 'Rotenturmstraße 4', 'Vienna', null, 'Austria', '1010', '+43 1 5134505', 'astrid.gruber@wien.example', 5),
  (8, 'Daan', 'Peeters', null, 'Grétrystraat 63', 'Brussels', null, 'Belgium', '1000', '+32 2 219 03 03', 'daan_peeters@bel.example', 4),
  (9, 'Kara', 'Nielsen', null, 'Sønder Boulevard 51', 'Copenhagen', null, 'Denmark', '1720', '+45 33 31 49 91', 'kara.nielsen@dan.example', 4),
  (10, 'Eduardo', 'Martins', 'Woodstock Discos', 'Rua Dr. Falcão Filho 155', 'São Paulo', 'SP', 'Brazil', '01007-010', '+55 (11) 3033-5446', 'eduardo@woodstock.example', 4),
  (11, 'Alexandre', 'Rocha', 'Banco do Sul S.A.', 'Av. Paulista 2022', 'São Paulo', 'SP', 'Brazil', '01310-200', '+55 (11) 3055-3278', 'alero@banco.example', 5),
  (12, 'Roberto', 'Almeida', null, 'Praça Pio X 119', 'Rio de Janeiro', 'RJ', 'Brazil', '20040-020', '+55 (21) 2271-7000', 'roberto.almeida@rio.example', 3),
  (13, 'Ana', 'Souza', null, 'SCN Bloco C', 'Brasília', 'DF', 'Brazil', '71020-677', null, 'ana.souza@brasilia.example', 4),
  (14, 'Mark', 'Philips', 'Telus', '8210 111 St NW', 'Edmonton', 'AB', 'Canada', 'T6G 2C7', '+1 (780) 434-4554', 'mphilips12@mail.example', 5),
  (15, 'Jennifer', 'Peterson', 'Rogers Canada', '700 W Pender Street', 'Vancouver', 'BC', 'Canada', 'V6C 1G8', '+1 (604) 688-2255', 'jenniferp@mail.example', 3),
  (16, 'Frank', 'Harris', null, '1600 Amphitheatre Parkway', 'Mountain View', 'CA', 'USA', '94043-1351', '+1 (650) 253-0000', 'fharris@mail.example', 4),
  (17, 'Jack', 'Smith', null, '1 Microsoft Way', 'Redmond', 'WA', 'USA', '98052-8300', '+1 (425) 882-8080', 'jacksmith@mail.example', 5),
  (18, 'Michelle', 'Brooks', null, '627 Broadway', 'New York', 'NY', 'USA', '10012-2612', '+1 (212) 221-3546', 'michelleb@mail.example', 3),
  (19, 'Tim', 'Goyer', null, '1 Infinite Loop', 'Cupertino', 'CA', 'USA', '95014', null, 'tgoyer@mail.example', 3),
  (20, 'Frank', 'Ralston', null, '162 E Superior Street', 'Chicago', 'IL', 'USA', '60611', '+1 (312) 332-3232', 'fralston@mail.example', 3),
  (21, 'Hannah', 'Schneider', null, 'Tauentzienstraße 8', 'Berlin', null, 'Germany', '10789', '+49 30 26550280', 'hannah.schneider@post.example', 5),
  (22, 'Fynn', 'Zimmermann', null, 'Berger Straße 10', 'Frankfurt', null, 'Germany', '60316', '+49 69 40598889', 'fzimmermann@post.example', 3),
  (23, 'Niklas', 'Schröder', null, 'Barbarossastraße 19', 'Berlin', null, 'Germany', '10779', '+49 30 2141444', 'nschroder@post.example', 3),
  (24, 'Camille', 'Bernard', null, '4, rue Milton', 'Paris', null, 'France', '75009', '+33 1 49 70 65 65', 'camille.bernard@poste.example', 4),
  (25, 'Dominique', 'Lefebvre', null, '8, rue Hanovre', 'Paris', null, 'France', '75002', null, 'dominique@poste.example', 4),
  (26, 'Marc', 'Dubois', null, '11, place Bellecour', 'Lyon', null, 'France', '69002', '+33 4 78 30 30 30', 'marc.dubois@poste.example', 5),
  (27, 'Hugh', 'O''Reilly', null, '3 Chatham Street', 'Dublin', 'Dublin', 'Ireland', null, '+353 1 6792424', 'hughoreilly@eire.example', 3),
  (28, 'Emma', 'Jones', null, '202 Hoxton Street', 'London', null, 'United Kingdom', 'N1 5LH', '+44 20 7707 0707', 'emma_jones@mail.example', 3),
  (29, 'Phil', 'Hughes', null, '113 Lupus St', 'London', null, 'United Kingdom', 'SW1V 3EN', '+44 20 7976 5722', 'phil.hughes@mail.example', 3),
  (30, 'Manoj', 'Pareek', null, '12 Community Centre', 'Delhi', null, 'India', '110017', '+91 124 39883988', 'manoj.pareek@ind.example', 3),
  (31, 'Puja', 'Srivastava', null, '3 Raj Bhavan Road', 'Bangalore', null, 'India', '560001', '+91 80 22289999', 'puja@ind.example', 3),
  (32, 'Luis', 'Rojas', null, 'Calle Lira 198', 'Santiago', null, 'Chile', null, '+56 2 635 4444', 'luisrojas@chile.example', 5),
  (33, 'Ana', 'Pinto', null, 'Rua da Assunção 53', 'Lisbon', null, 'Portugal', '1100-042', '+351 213 466 111', 'ana.pinto@lisboa.example', null),
  (34, 'Ingrid', 'Müller', null, 'Maximilianstraße 5', 'Munich', null, 'Germany', '80539', '+49 89 221133', 'ingrid.mueller@post.example', null),
  (35, 'Kathy', 'Chase', null, '801 W 4th Street', 'Reno', 'NV', 'USA', '89503', null, 'kachase@mail.example', 5);
insert into public.track
select n, t.name, t.album, case when n % 9 = 0 then 4 when n % 13 = 0 then 2 else 1 end, t.genre, t.composer, t.seconds * 1000 + n * 7, t.seconds * 32100 + n,
  case when t.seconds > 900 then 1.99 when t.seconds < 170 then 0.79 else 0.99 end
from (select *, row_number() over ()::int n from (values
  ('Ace of Spades', 1, 3, 'Kilmister', 168), ('Love Me Like a Reptile', 1, 3, 'Kilmister', 203), ('Shoot You in the Back', 1, 3, 'Kilmister', 158), ('The Chase Is Better Than the Catch', 1, 3, null, 256),
  ('Overkill', 2, 3, 'Kilmister', 312), ('Stay Clean', 2, 3, null, 160), ('Metropolis', 2, 3, 'Kilmister', 214), ('Be My Husband', 3, 5, 'Andy Stroud', 201),
  ('Nobody Knows You When You''re Down and Out', 3, 5, 'Jimmy Cox', 159), ('Sinnerman', 3, 5, null, 622), ('Strange Fruit', 3, 5, 'Abel Meeropol', 209), ('I Love Your Lovin'' Ways', 4, 5, null, 155),
  ('Wild Is the Wind', 4, 5, 'Dimitri Tiomkin', 417), ('Four Women', 4, 5, 'Nina Simone', 264), ('Mandinka', 5, 1, 'Sinéad O''Connor', 226), ('Jerusalem', 5, 1, 'Sinéad O''Connor', 260),
  ('Troy', 5, 1, 'Sinéad O''Connor', 394), ('Aria', 6, 4, 'Johann Sebastian Bach', 113), ('Variatio 5', 6, 4, 'Johann Sebastian Bach', 37), ('Variatio 25', 6, 4, 'Johann Sebastian Bach', 388),
  ('Suite No. 1: Prélude', 7, 4, 'Johann Sebastian Bach', 152), ('Suite No. 5: Sarabande', 7, 4, 'Johann Sebastian Bach', 221), ('Deine Schuld', 8, 10, 'Farin Urlaub', 270), ('Unrockbar', 8, 10, 'Farin Urlaub', 221),
  ('Nichts in der Welt', 8, 10, null, 228), ('So What', 9, 2, 'Miles Davis', 562), ('Freddie Freeloader', 9, 2, 'Miles Davis', 586), ('Blue in Green', 9, 2, 'Bill Evans', 327),
  ('All Blues', 9, 2, 'Miles Davis', 693), ('Pharaoh''s Dance', 10, 2, 'Joe Zawinul', 1204), ('Bitches Brew', 10, 2, 'Miles Davis', 1620), ('Spanish Key', 10, 2, 'Miles Davis', 1052),
  ('Concierto de Aranjuez', 11, 2, 'Joaquín Rodrigo', 979), ('Solea', 11, 2, 'Gil Evans', 735), ('Panis et Circenses', 12, 8, 'Gilberto Gil', 220), ('A Minha Menina', 12, 8, 'Jorge Ben', 285),
  ('Bat Macumba', 12, 8, 'Gilberto Gil', 189), ('Autobahn', 13, 7, 'Ralf Hütter', 1366), ('Kometenmelodie 1', 13, 7, 'Ralf Hütter', 386), ('Mitternacht', 13, 7, null, 220),
  ('Die Roboter', 14, 7, 'Ralf Hütter', 371), ('Das Model', 14, 7, 'Ralf Hütter', 218), ('Neonlicht', 14, 7, 'Ralf Hütter', 543), ('Chan Chan', 15, 8, 'Compay Segundo', 256),
  ('El cuarto de Tula', 15, 8, null, 444), ('Candela', 15, 8, 'Faustino Oramas', 327), ('Chain of Fools', 16, 5, 'Don Covay', 168), ('(You Make Me Feel Like) A Natural Woman', 16, 5, 'Carole King', 167),
  ('Ain''t No Way', 16, 5, 'Carolyn Franklin', 255), ('War Pigs', 17, 3, 'Black Sabbath', 475), ('Paranoid', 17, 3, 'Black Sabbath', 168), ('Iron Man', 17, 3, 'Black Sabbath', 356),
  ('Sweet Leaf', 18, 3, 'Black Sabbath', 305), ('Children of the Grave', 18, 3, 'Black Sabbath', 318), ('Zombie', 19, 9, 'Fela Kuti', 746), ('Mister Follow Follow', 19, 9, 'Fela Kuti', 778),
  ('Hunter', 20, 7, 'Björk', 255), ('Jóga', 20, 7, 'Björk', 305), ('Bachelorette', 20, 7, 'Björk', 312), ('Hidden Place', 21, 7, 'Björk', 328), ('Pagan Poetry', 21, 7, 'Björk', 314),
  ('Pipoca Moderna', 22, 8, null, 122), ('Back in Bahia', 22, 8, 'Gilberto Gil', 277), ('Oriente', 22, 8, 'Gilberto Gil', 366), ('Welcome to the Jungle', 23, 1, 'Guns N'' Roses', 273),
  ('Paradise City', 23, 1, 'Guns N'' Roses', 406), ('Sweet Child O'' Mine', 23, 1, 'Guns N'' Roses', 356), ('Fratres', 24, 4, 'Arvo Pärt', 684), ('Cantus in Memoriam Benjamin Britten', 24, 4, 'Arvo Pärt', 300),
  ('Tabula Rasa: Ludus', 24, 4, 'Arvo Pärt', 588), ('Mysterons', 25, 7, null, 302), ('Sour Times', 25, 7, 'Geoff Barrow', 251), ('Glory Box', 25, 7, 'Geoff Barrow', 306),
  ('Machine Gun', 26, 7, 'Geoff Barrow', 283), ('The Rip', 26, 7, 'Geoff Barrow', 270), ('Exodus', 27, 6, 'Bob Marley', 460), ('Jamming', 27, 6, 'Bob Marley', 211),
  ('One Love', 27, 6, 'Bob Marley', 172), ('Concrete Jungle', 28, 6, 'Bob Marley', 253), ('Stir It Up', 28, 6, 'Bob Marley', 333), ('Aquellas pequeñas cosas', 29, 8, 'Joan Manuel Serrat', 148),
  ('La maza', 29, 8, 'Silvio Rodríguez', 330), ('Svefn-g-englar', 30, 1, 'Sigur Rós', 604), ('Starálfur', 30, 1, 'Sigur Rós', 406), ('Bohemian Rhapsody', 31, 1, 'Freddie Mercury', 355),
  ('You''re My Best Friend', 31, 1, 'John Deacon', 172), ('Love of My Life', 31, 1, 'Freddie Mercury', 219), ('Killer Queen', 32, 1, 'Freddie Mercury', 180), ('Brighton Rock', 32, 1, 'Brian May', 308),
  ('We Will Rock You', 33, 1, 'Brian May', 122), ('Radio Ga Ga', 33, 1, 'Roger Taylor', 343), ('Could You Be Loved', 34, 6, 'Bob Marley', 237), ('London Calling', 35, 10, 'Joe Strummer', 199),
  ('Train in Vain', 35, 10, 'Mick Jones', 189), ('The Guns of Brixton', 35, 10, 'Paul Simonon', 187), ('Interview 1974 (unreleased)', null, null, null, 95)
) t(name, album, genre, composer, seconds)) t;
insert into public.playlist values (1, 'Music'), (2, 'Classical'), (3, '90''s Music'), (4, 'Heavy Metal Classic'), (5, 'On-The-Go'), (6, 'Grunge'), (7, 'Late Night Jazz');
insert into public.playlist_track select 1, track_id from public.track where track_id % 2 = 0;
insert into public.playlist_track select 2, track_id from public.track where genre_id = 4;
insert into public.playlist_track select 3, track_id from public.track where album_id in (20, 25);
insert into public.playlist_track select 4, track_id from public.track where genre_id = 3 and track_id <> 4;
insert into public.playlist_track select 7, track_id from public.track where genre_id = 2 and milliseconds < 800000;
insert into public.playlist_track values (5, 45);
-- Customers 33 and 34 never bought anything, and the last twelve tracks were never sold.
insert into public.invoice (invoice_id, customer_id, invoice_date, billing_address, billing_city, billing_state, billing_country, billing_postal_code, total)
select n, c.customer_id, timestamp '2021-01-03' + n * interval '10 days' + (n % 5) * interval '1 day', c.address, c.city, c.state, c.country, c.postal_code, 0
from generate_series(1, 160) n join public.customer c on c.customer_id = 1 + (n * n + 3 * n) % 32;
insert into public.invoice (invoice_id, customer_id, invoice_date, billing_address, billing_city, billing_state, billing_country, billing_postal_code, total)
select 160 + row_number() over (order by customer_id), customer_id, timestamp '2021-02-20' + customer_id * interval '31 days', address, city, state, country, postal_code, 0
from public.customer where customer_id not in (33, 34) and customer_id not in (select customer_id from public.invoice);
insert into public.invoice_line
select row_number() over (order by i.invoice_id, k), i.invoice_id, t.track_id, t.unit_price, 1
from public.invoice i cross join generate_series(0, 5) k join public.track t on t.track_id = 1 + (i.invoice_id * 11 + k * k * 5 + k) % 84
where k <= (i.invoice_id * 7) % 6;
update public.invoice i set total = (select sum(l.unit_price * l.quantity) from public.invoice_line l where l.invoice_id = i.invoice_id);
