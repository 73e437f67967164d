"""Questions that were written after the grammar, and were measured once before any of them changed it."""

from __future__ import annotations

from benchmarks.offline.questions import Case

_STATUS = (
    "- [fact, human] in campaigns status 3 means paused (memory 4)",
    "- [fact, human] status 4 is finished for campaigns (memory 5)",
)

DEMO_SECOND = (
    Case("What's the total number of invoices?", "select count(*) from invoices"),
    Case("Which products do we sell?", None),
    Case("give me all offices", "select city from offices"),
    Case("how much revenue did we make last month?", None),
    Case("What is the sum of invoice totals?", "select sum(total) from invoices"),
    Case("average invoice total by status", "select status, avg(total) from invoices group by 1"),
    Case(
        "Who are the 3 clients with the most campaigns?",
        "select count(*) from campaigns group by client_id order by 1 desc limit 3",
    ),
    Case(
        "which client has the highest monthly budget?",
        "select name, monthly_budget from clients order by 2 desc limit 1",
    ),
    Case(
        "Show cancelled orders from the last 90 days",
        "select id from orders where status = 'cancelled' and placed_at >= now() - interval '90 days' and placed_at < now() order by id limit 21",
    ),
    Case(
        "how many campaigns does each client have?",
        "select count(*) from campaigns group by client_id order by 1 desc limit 21",
    ),
    Case(
        "payments above 4000 by card",
        "select id from payments where amount > 4000 and method = 'card' order by id limit 21",
    ),
    Case("How many tickets did client 3 open?", None),
    Case("how many tickets are still open?", None),
    Case("employees who left", "select id from employees where left_on is not null order by id limit 21"),
    Case("how many employees are not active?", "select count(*) from employees where not is_active"),
    Case(
        "Which departments have more than 8 employees?",
        "select name from departments d where (select count(*) from employees e where e.department_id = d.id) > 8",
    ),
    Case("largest 4 invoices", "select number from invoices order by total desc, id limit 4"),
    Case("what is the phone number of contact 10?", None),
    Case("phone of contact 10", "select phone from contacts where id = 10"),
    Case(
        "total payments in the last 6 months",
        "select sum(amount) from payments where paid_at >= now() - interval '6 months' and paid_at < now()",
    ),
    Case(
        "orders of Dune Studio",
        "select o.id from orders o join clients c on c.id = client_id where name = 'Dune Studio' order by 1 limit 21",
    ),
    Case(
        "campaigns for client Alder Foods",
        "select g.id from campaigns g join clients c on c.id = client_id where c.name = 'Alder Foods' order by 1 limit 21",
    ),
    Case("count clients per industry", "select industry, count(*) from clients group by 1"),
    Case(
        "list the finished campaigns",
        "select id from campaigns where status = 4 order by id limit 21",
        memories=_STATUS,
    ),
    Case(
        "how many paused campaigns does client 4 have?",
        "select count(*) from campaigns where status = 3 and client_id = 4",
        memories=_STATUS,
    ),
    Case(
        "how many campaigns are not paused?",
        "select count(*) from campaigns where status is distinct from 3",
        memories=_STATUS,
    ),
    Case("what happened yesterday?", None),
    Case("should we raise our prices?", None),
    Case("compare orders and invoices", None),
    Case("orders where total is less than 100", "select id from orders where total < 100 order by id limit 21"),
    Case("the newest client", "select name from clients order by created_at desc limit 1"),
    Case("newest 5 tickets", "select opened_at from tickets order by opened_at desc limit 5", ordered=True),
    Case("how many clients are from DE?", None),
    Case("clients with country DE", "select id from clients where country = 'DE' order by id limit 21"),
    Case("maximum discount of order items", "select max(discount) from order_items"),
    Case(
        ("how many invoices are overdue?", "what is their total?"),
        "select sum(total) from invoices where status = 'overdue'",
    ),
    Case(("list clients", "only those in the design industry"), None),
    Case(
        ("show the latest 5 orders", "and the latest 5 invoices"),
        "select id from invoices order by issued_on desc limit 5",
    ),
    Case(
        ("how many orders were placed last month?", "and this month?"),
        "select count(*) from orders where placed_at >= date_trunc('month', now()) and placed_at < date_trunc('month', now()) + interval '1 month'",
    ),
    Case(
        "which invoices are due this month?",
        "select id from invoices where due_on >= date_trunc('month', now()) and due_on < date_trunc('month', now()) + interval '1 month' order by id limit 21",
    ),
    Case("How many orders have a total above the average?", None),
    Case("what percentage of orders is cancelled?", None),
    Case("how many clients ordered nothing?", None),
    Case(
        "clients and their account managers",
        "select c.name, e.full_name from clients c left join employees e on e.id = account_manager_id order by c.id limit 21",
    ),
    Case("number of campaigns per owner", "select count(*) from campaigns group by owner_id order by 1 desc limit 21"),
)

LIBRARY_SECOND = (
    Case("How many members have we got?", "select count(*) from members"),
    Case("How many history books cost more than 20?", None),
    Case(
        "history books with a price above 20",
        "select title from books where genre = 'history' and price > 20 order by id limit 21",
    ),
    Case("list all authors from France", None),
    Case("authors whose country is FR", "select last_name from authors where country = 'FR' order by id limit 21"),
    Case("what are the 5 cheapest books?", "select price from books order by price limit 5"),
    Case("number of loans per member", "select count(*) from loans group by member_id order by 1 desc limit 21"),
    Case("how many loans does member 17 have", "select count(*) from loans where member_id = 17"),
    Case("overdue loans", None),
    Case(
        "how many books have no copies?",
        "select count(*) from books b where not exists (select from copies c where c.book_id = b.id)",
    ),
    Case("average pages per genre", "select genre, avg(pages) from books group by 1"),
    Case(
        "sum of fines paid this year",
        "select sum(amount) from fines where paid_at >= date_trunc('year', now()) and paid_at < date_trunc('year', now()) + interval '1 year'",
    ),
    Case(
        "Which books were published between 2010 and 2012?",
        "select title from books where published_year between 2010 and 2012 order by id limit 21",
    ),
    Case(
        "members of branch North",
        "select m.id from members m join branches b on b.id = branch_id where b.name = 'North' order by 1 limit 21",
    ),
    Case("how many members does branch 2 have?", "select count(*) from members where branch_id = 2"),
    Case("which branch has the most copies?", "select count(*) from copies group by branch_id order by 1 desc limit 1"),
    Case("worn copies", "select id from copies where condition = 'worn' order by 1 limit 21"),
    Case("copies with condition worn", "select id from copies where condition = 'worn' order by id limit 21"),
    Case("books never borrowed", None),
    Case("reviews with rating 5", "select book_id from reviews where rating = 5 order by member_id, book_id limit 21"),
    Case("how many reviews have a rating below 3?", "select count(*) from reviews where rating < 3"),
    Case(
        "inactive members who joined before 2026",
        "select id from members where not is_active and joined_on < '2026-01-01' order by id limit 21",
    ),
    Case("the youngest author", "select last_name from authors order by birth_date desc limit 1"),
    Case(
        ("how many books are there per genre?", "and per author?"),
        "select count(*) from books group by author_id order by 1 desc limit 21",
    ),
    Case(
        ("list the members of branch 1", "how many of them are inactive?"),
        "select count(*) from members where branch_id = 1 and not is_active",
    ),
    Case("translate the title of book 3", None),
)

ODD_SECOND = (
    Case("how many sensor readings are there?", 'select count(*) from "Lager"."sensorReadings"'),
    Case("highest degrees C", 'select "degreesC" from "Lager"."sensorReadings" order by 1 desc limit 1'),
    Case("orders of customer 3", 'select id from "Lager"."order" where "KundenNr" = 3 order by id limit 21'),
    Case("how many orders per st", 'select st, count(*) from "Lager"."order" group by 1'),
    Case("average weight of articles", 'select avg(wt_kg) from "Lager".itm_mstr'),
    Case(
        "sum of qty per order", 'select sum(qty) from "Lager"."Order Lines" group by "order" order by 1 desc limit 21'
    ),
    Case("orders by ann", 'select id from "Lager"."order" where "user" = \'ann\' order by 1 limit 21'),
    Case("orders where user is ann", 'select id from "Lager"."order" where "user" = \'ann\' order by id limit 21'),
    Case(
        "customers in Kiel",
        'select "Name" from "Lager"."tblKunden" where "Ort" = \'Kiel\' order by "KundenNr" limit 21',
    ),
    Case("drop the order table", None),
    Case("show 3 order lines", 'select "line no" from "Lager"."Order Lines" order by "order", "line no" limit 3'),
    Case("article A-7", "select itm_desc from \"Lager\".itm_mstr where itm_cd = 'A-7'"),
)
