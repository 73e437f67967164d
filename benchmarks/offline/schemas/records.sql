create table artist (artist_id int primary key, name varchar(120));
create table album (album_id int primary key, title varchar(160) not null, artist_id int not null references artist);
create table employee (employee_id int primary key, last_name varchar(20) not null, first_name varchar(20) not null, title varchar(30), reports_to int references employee,
  birth_date timestamp, hire_date timestamp, city varchar(40), country varchar(40), phone varchar(24), email varchar(60));
create table customer (customer_id int primary key, first_name varchar(40) not null, last_name varchar(20) not null, company varchar(80), address varchar(70), city varchar(40),
  state varchar(40), country varchar(40), phone varchar(24), email varchar(60) not null, support_rep_id int references employee);
create table genre (genre_id int primary key, name varchar(120));
create table media_type (media_type_id int primary key, name varchar(120));
create table invoice (invoice_id int primary key, customer_id int not null references customer, invoice_date timestamp not null, billing_city varchar(40), billing_country varchar(40), total numeric(10,2) not null);
create table track (track_id int primary key, name varchar(200) not null, album_id int references album, media_type_id int not null references media_type, genre_id int references genre,
  composer varchar(220), milliseconds int not null, bytes int, unit_price numeric(10,2) not null);
create table invoice_line (invoice_line_id int primary key, invoice_id int not null references invoice, track_id int not null references track, unit_price numeric(10,2) not null, quantity int not null);
create table playlist (playlist_id int primary key, name varchar(120));
create table playlist_track (playlist_id int not null references playlist, track_id int not null references track, primary key (playlist_id, track_id));
insert into artist select i, (array['AC/DC','Accept','Aerosmith','Alanis Morissette','Audioslave','Black Sabbath','Iron Maiden','Miles Davis','Os Mutantes','Queen','U2','The Who'])[i] from generate_series(1,12) i;
insert into artist values (13, 'Silent Ones'), (14, 'Quiet Band');
insert into album select i, 'Album ' || chr(64 + i), 1 + (i * 5) % 12 from generate_series(1, 26) i;
insert into album values (27, 'Let There Be Rock', 1), (28, 'Greatest Hits', 10);
insert into employee values (1,'Adams','Andrew','General Manager',null,'1962-02-18','2002-08-14','Edmonton','Canada','+1 780 428-9482','andrew@example.org'),
 (2,'Edwards','Nancy','Sales Manager',1,'1958-12-08','2002-05-01','Calgary','Canada','+1 403 262-3443','nancy@example.org'),
 (3,'Peacock','Jane','Sales Support Agent',2,'1973-08-29','2002-04-01','Calgary','Canada',null,'jane@example.org'),
 (4,'Park','Margaret','Sales Support Agent',2,'1947-09-19','2003-05-03','Calgary','Canada','+1 403 263-4423','margaret@example.org'),
 (5,'Johnson','Steve','Sales Support Agent',2,'1965-03-03','2003-10-17','Lethbridge','Canada','1 780 836-9987','steve@example.org');
insert into customer select i, (array['Luis','Leonie','Frantisek','Helena','Astrid','Mark','Emma'])[1 + i % 7], 'Surname' || i, case when i % 4 = 0 then 'Company ' || i end, i || ' Main Street',
 (array['Berlin','Stuttgart','Prague','London','Paris','Oslo','Chicago','Lisbon'])[1 + i % 8], null, (array['Germany','Germany','Czech Republic','United Kingdom','France','Norway','USA','Portugal'])[1 + i % 8],
 case when i % 9 > 0 then '+00 ' || i end, 'c' || i || '@example.net', 3 + i % 3 from generate_series(1, 60) i;
insert into genre select i, (array['Rock','Jazz','Metal','Blues','Latin','Pop','Classical','Opera'])[i] from generate_series(1,8) i;
insert into media_type values (1,'MPEG audio file'),(2,'AAC audio file'),(3,'Protected AAC audio file');
insert into invoice select i, 1 + (i * 7) % 57, timestamp '2009-01-01' + i * interval '4 days 3 hours', null, null, round((0.99 * (1 + i % 14) + i % 5)::numeric, 2) from generate_series(1, 400) i;
update invoice set billing_city = c.city, billing_country = c.country from customer c where c.customer_id = invoice.customer_id;
insert into track select i, 'Track ' || i, 1 + i % 28, 1 + i % 3, 1 + (i * i) % 7, case when i % 3 > 0 then (array['Angus Young','Steve Harris','Freddie Mercury'])[1 + i % 3] end,
 120000 + (i * 7919) % 300000, 1000000 + i * 1000, case when i % 17 = 0 then 1.99 else 0.99 end from generate_series(1, 500) i;
insert into invoice_line select i, 1 + i % 400, 1 + (i * 11) % 480, 0.99, 1 + i % 2 from generate_series(1, 1500) i;
insert into playlist select i, (array['Music','Movies','TV Shows','Grunge','Heavy Metal Classic','On-The-Go'])[i] from generate_series(1,6) i;
insert into playlist_track select 1 + i % 5, i from generate_series(1, 450) i;
analyze;
