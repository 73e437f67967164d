"""The question set: each question with the SQL for its rows, or with None if it cannot be answered.

An answer must hold the rows of that SQL. A listing shows at most 21 rows, so the SQL for a longer one is cut there. For
`ordered` questions the order of the rows counts.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Case:
    """One case. `asked` is a question, or a conversation whose last question counts."""

    asked: str | tuple[str, ...]
    sql: str | None
    ordered: bool = False
    memories: tuple[str, ...] = ()


_STATUS = (
    "- [fact, human] campaign status 1 means planned (memory 11)",
    "- [fact, human] campaign status 2 means running (memory 12)",
    "- [fact, human] campaign status 3 means paused (memory 13)",
)

DEMO = (
    Case("how many clients do we have?", "select count(*) from clients"),
    Case("How many orders are there?", "select count(*) from orders"),
    Case("count the invoices", "select count(*) from invoices"),
    Case("list the departments", "select id, name from departments"),
    Case("show me 5 products", "select name from products order by id limit 5"),
    Case("how many orders per status?", "select status, count(*) from orders group by 1"),
    Case("number of clients by country", "select country, count(*) from clients group by 1"),
    Case("how many active clients are there?", "select count(*) from clients where status = 'active'"),
    Case("how many orders were shipped?", "select count(*) from orders where status = 'shipped'"),
    Case("how many orders are not cancelled?", "select count(*) from orders where status <> 'cancelled'"),
    Case(
        "top 5 clients by total order value",
        "select c.name, sum(o.total) from orders o join clients c on c.id = o.client_id group by c.id order by 2 desc limit 5",
        ordered=True,
    ),
    Case(
        "which client has the most orders?",
        "select c.name, count(*) from orders o join clients c on c.id = o.client_id group by c.id order by 2 desc, 1 limit 1",
    ),
    Case(
        "total order value per client",
        "select c.name, sum(o.total) from orders o join clients c on c.id = o.client_id group by c.id order by 2 desc limit 21",
    ),
    Case("what is the average order total?", "select avg(total) from orders"),
    Case("total of all paid invoices", "select sum(total) from invoices where status = 'paid'"),
    Case("latest 3 orders", "select id from orders order by placed_at desc nulls last limit 3", ordered=True),
    Case(
        "the 5 most expensive products",
        "select name, unit_price from products order by unit_price desc limit 5",
        ordered=True,
    ),
    Case("cheapest product", "select unit_price from products order by unit_price limit 1"),
    Case(
        "clients without orders",
        "select name from clients c where not exists (select from orders o where o.client_id = c.id) order by id limit 21",
    ),
    Case(
        "how many clients have no campaigns?",
        "select count(*) from clients c where not exists (select from campaigns o where o.client_id = c.id)",
    ),
    Case(
        "clients with more than 15 orders",
        "select name from clients c where (select count(*) from orders o where o.client_id = c.id) > 15 order by id limit 21",
    ),
    Case("orders of client 7", "select id from orders where client_id = 7 order by id limit 21"),
    Case("how many orders does client 7 have?", "select count(*) from orders where client_id = 7"),
    Case(
        "orders of client Dune Studio",
        "select o.id from orders o join clients c on c.id = client_id where name = 'Dune Studio' order by 1 limit 21",
    ),
    Case(
        "how many invoices does client 'Cedar Foods' have?",
        "select count(*) from invoices i join clients c on c.id = client_id where name = 'Cedar Foods'",
    ),
    Case("what is the email of employee 5?", "select email from employees where id = 5"),
    Case(
        "how many orders were placed in the last 30 days?",
        "select count(*) from orders where placed_at >= now() - interval '30 days' and placed_at < now()",
    ),
    Case(
        "invoices issued this month",
        "select number from invoices where issued_on >= date_trunc('month', now()) and issued_on < date_trunc('month', now()) + interval '1 month' order by id limit 21",
    ),
    Case("number of orders per month", "select count(*) from orders group by date_trunc('month', placed_at)"),
    Case(
        "employees per department",
        "select d.name, count(*) from employees e join departments d on d.id = e.department_id group by d.id",
    ),
    Case(
        "which employees work in Hamburg?",
        "select email from employees where office_city = 'Hamburg' order by id limit 21",
    ),
    Case("how many employees were hired since 2022?", "select count(*) from employees where hired_on >= '2022-01-01'"),
    Case("campaigns with a budget over 60000", "select name from campaigns where budget > 60000 order by id limit 21"),
    Case(
        "campaigns with budget between 10000 and 12000",
        "select name from campaigns where budget between 10000 and 12000 order by id limit 21",
    ),
    Case("how many overdue invoices are there?", "select count(*) from invoices where status = 'overdue'"),
    Case("open tickets", None),
    Case("tickets where closed_at is empty", "select id from tickets where closed_at is null order by id limit 21"),
    Case("contacts without a phone", "select id from contacts where phone is null order by id limit 21"),
    Case(
        "products whose name contains 'design'",
        "select name from products where name ilike '%design%' order by id limit 21",
    ),
    Case("average budget of campaigns per objective", "select objective, avg(budget) from campaigns group by 1"),
    Case("how many hours were worked per employee?", None),
    Case(
        "total hours per campaign",
        "select c.name, sum(hours) from time_entries t join campaigns c on c.id = t.campaign_id group by c.id order by 2 desc limit 21",
    ),
    Case("sum of payments by method", "select method, sum(amount) from payments group by 1"),
    Case(
        "which campaigns are paused?",
        "select name from campaigns where status = 3 order by id limit 21",
        memories=_STATUS,
    ),
    Case("how many campaigns are running?", "select count(*) from campaigns where status = 2", memories=_STATUS),
    Case("which campaigns are paused?", None),
    Case(
        "names and monthly budgets of paused clients",
        "select name, monthly_budget from clients where status = 'paused' order by id limit 21",
    ),
    Case(
        "list clients sorted by monthly budget descending",
        "select name, monthly_budget from clients order by monthly_budget desc limit 21",
    ),
    Case(
        ("how many clients are there?", "and only the active ones?"),
        "select count(*) from clients where status = 'active'",
    ),
    Case(("list paused clients", "how many of those?"), "select count(*) from clients where status = 'paused'"),
    Case(
        ("how many orders were placed in 2025?", "and for 2026?"),
        "select count(*) from orders where placed_at >= '2026-01-01' and placed_at < '2027-01-01'",
    ),
    Case(("how many clients do we have?", "what about invoices?"), "select count(*) from invoices"),
    Case(("how many orders does client 7 have?", "and client 9?"), "select count(*) from orders where client_id = 9"),
    Case(("how many orders are there?", "per status?"), "select status, count(*) from orders group by 1"),
    Case("highest order total", "select total from orders order by 1 desc limit 1"),
    Case("how many clients are in the food industry?", None),
    Case("clients where industry is food", "select name from clients where industry = 'food' order by id limit 21"),
    Case("how many high priority orders are there?", "select count(*) from orders where priority = 'high'"),
    Case(
        "shipped orders over 5000",
        "select id from orders where status = 'shipped' and total > 5000 order by id limit 21",
    ),
)

LIBRARY_SCHEMA = """
create table branches (id serial primary key, name text not null, city text not null, opened_on date);
create table authors (id serial primary key, first_name text not null, last_name text not null, country text, birth_date date);
create table books (id serial primary key, title text not null, isbn text unique, author_id int not null references authors,
  genre text not null check (genre in ('fiction', 'science', 'history', 'children')), published_year int, pages int, price numeric(8,2));
create table members (id serial primary key, name text not null, email text, branch_id int references branches, joined_on date not null,
  is_active boolean not null default true);
create table copies (id serial primary key, book_id int not null references books, branch_id int not null references branches, condition text);
create table loans (id serial primary key, copy_id int not null references copies, member_id int not null references members,
  loaned_at timestamptz not null, due_on date not null, returned_at timestamptz);
create table fines (id serial primary key, loan_id int not null references loans, amount numeric(8,2) not null, paid_at timestamptz);
create table reviews (member_id int references members, book_id int references books, rating int not null, comment text,
  primary key (member_id, book_id));
comment on table fines is 'Penalties for late returns';
insert into branches (name, city, opened_on) values ('Central', 'Leeds', '1990-01-01'), ('North', 'York', '2005-05-05'), ('East', 'Hull', '2015-03-01');
insert into authors (first_name, last_name, country, birth_date) select (array['Ann','Bob','Cy'])[1+i%3], 'Author' || i, (array['UK','US','FR','IT'])[1+i%4], date '1950-01-01' + i * 400 from generate_series(1, 30) i;
insert into books (title, isbn, author_id, genre, published_year, pages, price) select 'Book ' || chr(65 + i % 26) || ' ' || i, 'ISBN-' || i, 1 + i * 7 % 25, (array['fiction','science','history','children'])[1+i*i%7%4], 1980 + i % 45, 100 + i * 13 % 700, 5 + (i * 37 % 400) / 10.0 from generate_series(1, 200) i;
insert into members (name, email, branch_id, joined_on, is_active) select 'Member ' || i, case when i % 6 > 0 then 'm' || i || '@example.org' end, 1 + i % 3, current_date - i * 9, i % 5 > 0 from generate_series(1, 150) i;
update members set name = 'Maria O''Neil' where id = 12;
insert into copies (book_id, branch_id, condition) select 1 + i % 190, 1 + i % 3, (array['new','used','worn'])[1 + i % 3] from generate_series(1, 400) i;
insert into loans (copy_id, member_id, loaned_at, due_on, returned_at) select 1 + i * 3 % 400, 1 + i * i % 140, now() - i * interval '9 hours', current_date - (i * 9 / 24) + 21, case when i % 4 > 0 then now() - i * interval '5 hours' end from generate_series(1, 900) i;
insert into fines (loan_id, amount, paid_at) select i * 5, 1 + i % 9, case when i % 2 = 0 then now() - i * interval '1 day' end from generate_series(1, 120) i;
insert into reviews (member_id, book_id, rating, comment) select 1 + i % 150, 1 + i * 11 % 199, 1 + i % 5, 'ok' from generate_series(1, 150) i;
"""

LIBRARY = (
    Case("how many books are there?", "select count(*) from books"),
    Case("how many science books do we have?", "select count(*) from books where genre = 'science'"),
    Case("books by genre", "select genre, count(*) from books group by 1"),
    Case("show the 3 longest books", None),
    Case("books with more than 600 pages", "select title from books where pages > 600 order by id limit 21"),
    Case(
        "which author has the most books?",
        "select a.last_name, count(*) from books b join authors a on a.id = b.author_id group by a.id order by 2 desc, a.first_name || ' ' || a.last_name limit 1",
    ),
    Case("number of books per author", "select count(*) from books group by author_id order by 1 desc limit 21"),
    Case(
        "authors without books",
        "select last_name from authors a where not exists (select from books b where b.author_id = a.id)",
    ),
    Case("books published after 2020", "select title from books where published_year > 2020 order by id limit 21"),
    Case("how many books were published in 2001?", "select count(*) from books where published_year = 2001"),
    Case("average price of fiction books", "select avg(price) from books where genre = 'fiction'"),
    Case("most expensive book", "select price from books order by price desc limit 1"),
    Case(
        "members who joined in the last 60 days",
        "select name from members where joined_on >= now() - interval '60 days' and joined_on < now() order by id limit 21",
    ),
    Case("how many inactive members are there?", "select count(*) from members where not is_active"),
    Case(
        "active members per branch",
        "select b.name, count(*) from members m join branches b on b.id = branch_id where is_active group by b.id",
    ),
    Case("members without an email", "select name from members where email is null order by id limit 21"),
    Case("loans that were not returned", "select id from loans where returned_at is null order by id limit 21"),
    Case("how many loans are returned?", "select count(*) from loans where returned_at is not null"),
    Case("how many unpaid fines are there?", "select count(*) from fines where paid_at is null"),
    Case("total amount of unpaid fines", "select sum(amount) from fines where paid_at is null"),
    Case(
        "loans of member 'Maria O'Neil'",
        "select l.id from loans l join members m on m.id = member_id where name = 'Maria O''Neil' order by 1 limit 21",
    ),
    Case(
        'loans of member "Maria O\'Neil"',
        "select l.id from loans l join members m on m.id = member_id where name = 'Maria O''Neil' order by 1 limit 21",
    ),
    Case("what is the email of member 20?", "select email from members where id = 20"),
    Case(
        "which member has the most loans?",
        "select m.name, count(*) from loans l join members m on m.id = member_id group by m.id order by 2 desc, 1 limit 1",
    ),
    Case(
        "members with at least 10 loans",
        "select name from members m where (select count(*) from loans l where l.member_id = m.id) >= 10 order by id limit 21",
    ),
    Case("branches in York", "select name from branches where city = 'York'"),
    Case("latest loan", "select id from loans order by loaned_at desc limit 1"),
    Case("oldest author", "select last_name from authors order by birth_date limit 1"),
    Case("average rating of reviews", "select avg(rating) from reviews"),
    Case(
        "which genre has the highest average price?",
        "select genre, avg(price) from books group by 1 order by 2 desc limit 1",
    ),
    Case("books of author 3", "select title from books where author_id = 3 order by id limit 21"),
    Case(
        "titles and prices of children books",
        "select title, price from books where genre = 'children' order by id limit 21",
    ),
    Case("loans per month", "select count(*) from loans group by date_trunc('month', loaned_at)"),
    Case(
        "how many copies per branch",
        "select b.name, count(*) from copies c join branches b on b.id = branch_id group by b.id",
    ),
    Case(
        ("books with more than 600 pages", "only the history ones"),
        "select title from books where pages > 600 and genre = 'history' order by id limit 21",
    ),
    Case(
        ("how many members joined this year?", "and last year?"),
        "select count(*) from members where joined_on >= date_trunc('year', now()) - interval '1 year' and joined_on < date_trunc('year', now())",
    ),
    Case("who is the best reader?", None),
    Case("why are there so few loans?", None),
    Case(
        "books with their authors",
        "select title, last_name from books b join authors a on a.id = author_id order by b.id limit 21",
    ),
    Case(
        "which branch has the fewest members?",
        "select b.name from branches b left join members m on m.branch_id = b.id group by b.id order by count(m.id), 1 limit 1",
    ),
)

ODD_SCHEMA = """
create schema "Lager";
create table "Lager"."tblKunden" ("KundenNr" serial primary key, "Vorname" text, "Name" text not null, "Ort" text, "aktiv?" boolean not null default true);
comment on table "Lager"."tblKunden" is 'Customers of the warehouse';
comment on column "Lager"."tblKunden"."Ort" is 'City of residence';
create table "Lager"."order" (id bigserial primary key, "KundenNr" int references "Lager"."tblKunden", "user" text, "select" numeric(10,2), st smallint not null, created timestamptz not null);
comment on column "Lager"."order"."select" is 'Gross price in euros';
comment on column "Lager"."order".st is 'State code';
create table "Lager"."Order Lines" ("order" bigint references "Lager"."order"(id), "line no" int, qty int not null, "unitPrice" numeric(8,2), primary key ("order", "line no"));
create table "Lager".itm_mstr (itm_cd text primary key, itm_desc text, wt_kg real, "lastCount" date);
comment on table "Lager".itm_mstr is 'Articles in stock';
comment on column "Lager".itm_mstr.wt_kg is 'Weight in kilograms';
create table "Lager"."sensorReadings" ("sensorId" int, "takenAt" timestamptz, "degreesC" double precision, primary key ("sensorId", "takenAt"));
insert into "Lager"."tblKunden" ("Vorname", "Name", "Ort", "aktiv?") select 'V' || i, 'Kunde ' || i, (array['Bonn','Ulm','Kiel'])[1 + i % 3], i % 4 > 0 from generate_series(1, 40) i;
insert into "Lager"."order" ("KundenNr", "user", "select", st, created) select 1 + i * 3 % 35, (array['ann','bob'])[1 + i % 2], i * 1.5, 1 + i % 4, now() - i * interval '1 day' from generate_series(1, 160) i;
insert into "Lager"."Order Lines" select 1 + i % 160, i, 1 + i % 7, 2.5 * (1 + i % 9) from generate_series(1, 500) i;
insert into "Lager".itm_mstr select 'A-' || i, 'Article ' || i, i / 3.0, current_date - i from generate_series(1, 60) i;
insert into "Lager"."sensorReadings" select 1 + i % 5, now() - i * interval '1 hour', 15 + i % 11 from generate_series(1, 300) i;
"""

ODD = (
    Case("how many customers are there?", 'select count(*) from "Lager"."tblKunden"'),
    Case("how many kunden", 'select count(*) from "Lager"."tblKunden"'),
    Case("list the articles", 'select itm_cd from "Lager".itm_mstr order by 1 limit 21'),
    Case("how many orders are there?", 'select count(*) from "Lager"."order"'),
    Case("orders per user", 'select "user", count(*) from "Lager"."order" group by 1'),
    Case("total gross price of orders", 'select sum("select") from "Lager"."order"'),
    Case("how many order lines are there?", 'select count(*) from "Lager"."Order Lines"'),
    Case(
        "order lines with qty over 5",
        'select "order" from "Lager"."Order Lines" where qty > 5 order by "order", "line no" limit 21',
    ),
    Case("average degrees C of sensor readings", 'select avg("degreesC") from "Lager"."sensorReadings"'),
    Case("sensor readings per sensor id", 'select "sensorId", count(*) from "Lager"."sensorReadings" group by 1'),
    Case("latest sensor reading", 'select "takenAt" from "Lager"."sensorReadings" order by 1 desc limit 1'),
    Case("articles with weight over 15", 'select itm_cd from "Lager".itm_mstr where wt_kg > 15 order by 1 limit 21'),
    Case("heaviest article", None),
    Case(
        "customers where Ort is Bonn",
        'select "Name" from "Lager"."tblKunden" where "Ort" = \'Bonn\' order by "KundenNr" limit 21',
    ),
    Case("customers per Ort", 'select "Ort", count(*) from "Lager"."tblKunden" group by 1'),
    Case(
        "orders created in the last 10 days",
        'select id from "Lager"."order" where created >= now() - interval \'10 days\' order by 1 limit 21',
    ),
    Case("orders with st 3", 'select id from "Lager"."order" where st = 3 order by id limit 21'),
    Case(
        "how many orders are blocked?",
        'select count(*) from "Lager"."order" where st = 4',
        memories=("- [fact, agent] st 4 means blocked (memory 3)",),
    ),
    Case("how many orders are blocked?", None),
    Case("how many orders are blocked?", None, memories=("- [fact, external] st 4 means blocked (memory 3)",)),
    Case("how many rockets are there?", None),
    Case("delete all orders", None),
    Case(
        "customers without orders",
        'select "Name" from "Lager"."tblKunden" k where not exists (select from "Lager"."order" o where o."KundenNr" = k."KundenNr") order by "KundenNr" limit 21',
    ),
    Case(
        "which customer has the most orders?",
        'select count(*) from "Lager"."order" group by "KundenNr" order by 1 desc limit 1',
    ),
    Case("number of orders by month", 'select count(*) from "Lager"."order" group by date_trunc(\'month\', created)'),
    Case("inactive customers", None),
    Case("readings above 24 degrees C", None),
    Case(
        "sensor readings where degrees C is over 24",
        'select "takenAt" from "Lager"."sensorReadings" where "degreesC" > 24 order by "sensorId", "takenAt" limit 21',
    ),
)
