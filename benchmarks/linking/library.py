"""A small schema, which fits the budget whole: a public library. Each question names the columns that its answer needs."""

from __future__ import annotations

LIBRARY = """
create table branch (branch_id int primary key, title text not null, town text, opened_on date);
create table shelf (shelf_id int primary key, branch_id int not null references branch, label text, floor int);
create table writer (writer_id int primary key, pen_name text not null, born_in text);
create table publisher (publisher_id int primary key, title text not null, country text);
create table genre (genre_id int primary key, label text not null);
create table book (book_id int primary key, title text not null, isbn text, publisher_id int references publisher,
  genre_id int references genre, pages int, language_code char(2), published_on date);
create table book_writer (book_id int references book, writer_id int references writer, primary key (book_id, writer_id));
create table copy (copy_id int primary key, book_id int not null references book, shelf_id int references shelf,
  condition text, bought_on date, price numeric(8,2));
create table reader (reader_id int primary key, full_name text not null, town text, joined_on date, birth_date date);
create table loan (loan_id int primary key, copy_id int not null references copy, reader_id int not null references reader,
  lent_at timestamptz not null, due_on date not null, returned_at timestamptz);
create table fine (fine_id int primary key, loan_id int not null references loan, amount numeric(8,2), settled_on date);
create table hold (hold_id int primary key, book_id int not null references book, reader_id int not null references reader,
  placed_at timestamptz, cancelled boolean);
create table librarian (librarian_id int primary key, full_name text not null, branch_id int references branch,
  reports_to int references librarian, hired_on date);
create table reading_circle (circle_id int primary key, title text, host_id int references librarian, branch_id int references branch);
create table circle_visit (circle_id int references reading_circle, reader_id int references reader, visited_on date,
  primary key (circle_id, reader_id, visited_on));
"""

QUESTIONS = """
Which books are overdue? | loan.due_on loan.returned_at copy.book_id book.title
Who owes us the most? | fine.amount loan.reader_id reader.full_name
What do people in Lakeside like to read? | reader.town loan.reader_id copy.book_id book.genre_id genre.label
Which authors are most popular? | writer.pen_name book_writer.writer_id copy.book_id loan.copy_id
How many novels do we have per branch? | branch.title shelf.branch_id copy.shelf_id book.genre_id genre.label
Is there anything that nobody ever borrowed? | copy.book_id loan.copy_id book.title
Average time until a book comes back | loan.lent_at loan.returned_at
Who is the boss of Ada Moss? | librarian.full_name librarian.reports_to
Welche Leser haben am meisten ausgeliehen? | reader.full_name loan.reader_id
Wie viele Bücher gibt es pro Verlag? | book.publisher_id publisher.title
How much did we spend on purchases last year? | copy.price copy.bought_on
monthly active borrowers | loan.lent_at loan.reader_id
Longest titles on the shelves of the harbour branch | branch.title shelf.branch_id copy.shelf_id book.pages
Which sites host the most reading groups? | branch.title reading_circle.branch_id
Who attends the book clubs but never borrows? | circle_visit.reader_id loan.reader_id reader.full_name
How long is the waiting list for each title? | hold.book_id hold.cancelled book.title
Members that have not come for a year | reader.full_name loan.lent_at loan.reader_id
Staff hired before 2015 | librarian.hired_on librarian.full_name
Worn copies that should be replaced | copy.condition copy.book_id book.title
Which publishers have unpaid penalties on their books? | publisher.title book.publisher_id copy.book_id loan.copy_id fine.settled_on
Show me everything about Ines Oak | writer.pen_name book_writer.book_id book.title
In which languages do our youngest members read? | reader.birth_date loan.copy_id copy.book_id book.language_code
"""
