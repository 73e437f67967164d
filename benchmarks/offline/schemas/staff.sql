-- The staff of a company: regions, countries and locations, departments and jobs, employees with their managers, and the history of jobs and salaries.
create table public.regions (region_id int primary key, region_name varchar(25));
create table public.countries (country_id char(2) primary key, country_name varchar(40), region_id int not null references public.regions);
create table public.locations (
  location_id int primary key, street_address varchar(40), postal_code varchar(12), city varchar(30) not null, state_province varchar(25), country_id char(2) not null references public.countries);
create table public.jobs (job_id varchar(10) primary key, job_title varchar(35) not null, min_salary numeric(8,2), max_salary numeric(8,2));
create table public.departments (department_id int primary key, department_name varchar(30) not null, manager_id int, location_id int references public.locations);
create table public.employees (
  employee_id int primary key, first_name varchar(20), last_name varchar(25) not null, email varchar(100) not null unique, phone_number varchar(20), hire_date date not null,
  job_id varchar(10) not null references public.jobs, salary numeric(8,2) not null, commission_pct numeric(2,2), manager_id int references public.employees, department_id int references public.departments);
create table public.dependents (
  dependent_id int primary key, first_name varchar(50) not null, last_name varchar(50) not null, relationship varchar(25) not null, employee_id int not null references public.employees);
create table public.job_history (
  employee_id int not null references public.employees, start_date date not null, end_date date not null check (end_date > start_date), job_id varchar(10) not null references public.jobs,
  department_id int references public.departments, primary key (employee_id, start_date));
create table public.salaries (
  employee_id int not null references public.employees, amount numeric(8,2) not null, from_date date not null, to_date date, primary key (employee_id, from_date));
comment on column public.salaries.to_date is 'Empty for the salary that is paid now.';

insert into public.regions values (1, 'Europe'), (2, 'Americas'), (3, 'Asia'), (4, 'Middle East and Africa');
insert into public.countries values
  ('AR', 'Argentina', 2), ('AU', 'Australia', 3), ('BE', 'Belgium', 1), ('BR', 'Brazil', 2), ('CA', 'Canada', 2), ('CH', 'Switzerland', 1), ('CN', 'China', 3), ('DE', 'Germany', 1), ('DK', 'Denmark', 1),
  ('EG', 'Egypt', 4), ('FR', 'France', 1), ('IN', 'India', 3), ('IT', 'Italy', 1), ('JP', 'Japan', 3), ('MX', 'Mexico', 2), ('NG', 'Nigeria', 4), ('UK', 'United Kingdom', 1), ('US', 'United States', 2);
insert into public.locations values
  (1400, '2014 Jabberwocky Rd', '26192', 'Southlake', 'Texas', 'US'), (1500, '2011 Interiors Blvd', '99236', 'South San Francisco', 'California', 'US'), (1700, '2004 Charade Rd', '98199', 'Seattle', 'Washington', 'US'),
  (1800, '147 Spadina Ave', 'M5V 2L7', 'Toronto', 'Ontario', 'CA'), (2400, '8204 Arthur St', null, 'London', null, 'UK'), (2500, 'Magdalen Centre', 'OX9 9ZB', 'Oxford', 'Oxfordshire', 'UK'),
  (2700, 'Schwanthalerstraße 7031', '80925', 'München', 'Bayern', 'DE'), (2800, 'Rua Frei Caneca 1360', '01307-002', 'São Paulo', 'São Paulo', 'BR'), (2900, '20 Rue des Corps-Saints', '1730', 'Genève', 'Genève', 'CH'),
  (3200, 'Mariano Escobedo 9991', '11932', 'Mexico City', null, 'MX');
insert into public.jobs values
  ('AD_PRES', 'President', 20000, 40000), ('AD_VP', 'Administration Vice President', 15000, 30000), ('AD_ASST', 'Administration Assistant', 3000, 6000), ('FI_MGR', 'Finance Manager', 8200, 16000),
  ('FI_ACC', 'Accountant', 4200, 9000), ('AC_MGR', 'Accounting Manager', 8200, 16000), ('AC_ACC', 'Public Accountant', 4200, 9000), ('SA_MAN', 'Sales Manager', 10000, 20000), ('SA_REP', 'Sales Representative', 6000, 12000),
  ('PU_MAN', 'Purchasing Manager', 8000, 15000), ('PU_CLERK', 'Purchasing Clerk', 2500, 5500), ('ST_MAN', 'Stock Manager', 5500, 8500), ('ST_CLERK', 'Stock Clerk', 2000, 5000), ('SH_CLERK', 'Shipping Clerk', 2500, 5500),
  ('IT_PROG', 'Programmer', 4000, 10000), ('MK_MAN', 'Marketing Manager', 9000, 15000), ('MK_REP', 'Marketing Representative', 4000, 9000), ('HR_REP', 'Human Resources Representative', 4000, 9000),
  ('PR_REP', 'Public Relations Representative', 4500, 10500);
insert into public.departments values
  (10, 'Administration', 200, 1700), (20, 'Marketing', 201, 1800), (30, 'Purchasing', 114, 1700), (40, 'Human Resources', 203, 2400), (50, 'Shipping', 121, 1500), (60, 'IT', 103, 1400),
  (70, 'Public Relations', 204, 2700), (80, 'Sales', 145, 2500), (90, 'Executive', 100, 1700), (100, 'Finance', 108, 1700), (110, 'Accounting', 205, 1700), (120, 'Treasury', null, 1700), (130, 'Payroll', null, null);
insert into public.employees (employee_id, first_name, last_name, email, phone_number, hire_date, job_id, salary, commission_pct, manager_id, department_id) values
  (100, 'Steven', 'King', 'steven.king@company.example', '515.123.4567', '2009-06-17', 'AD_PRES', 24000, null, null, 90), (101, 'Neena', 'Kochhar', 'neena.kochhar@company.example', '515.123.4568', '2011-09-21', 'AD_VP', 17000, null, 100, 90),
  (102, 'Lex', 'De Haan', 'lex.dehaan@company.example', '515.123.4569', '2013-01-13', 'AD_VP', 17000, null, 100, 90), (103, 'Alexander', 'Hunold', 'alexander.hunold@company.example', '590.423.4567', '2012-01-03', 'IT_PROG', 9000, null, 102, 60),
  (104, 'Bruce', 'Ernst', 'bruce.ernst@company.example', '590.423.4568', '2017-05-21', 'IT_PROG', 6000, null, 103, 60), (105, 'David', 'Austin', 'david.austin@company.example', '590.423.4569', '2017-06-25', 'IT_PROG', 4800, null, 103, 60),
  (106, 'Valli', 'Pataballa', 'valli.pataballa@company.example', null, '2018-02-05', 'IT_PROG', 4800, null, 103, 60), (107, 'Jürgen', 'Größer', 'juergen.groesser@company.example', '590.423.5567', '2019-02-07', 'IT_PROG', 4200, null, 103, 60),
  (108, 'Nancy', 'Greenberg', 'nancy.greenberg@company.example', '515.124.4569', '2012-08-17', 'FI_MGR', 12000, null, 101, 100), (109, 'Daniel', 'Faviet', 'daniel.faviet@company.example', '515.124.4169', '2012-08-16', 'FI_ACC', 9000, null, 108, 100),
  (110, 'John', 'Chen', 'john.chen@company.example', '515.124.4269', '2015-09-28', 'FI_ACC', 8200, null, 108, 100), (111, 'Ismael', 'Sciarra', 'ismael.sciarra@company.example', null, '2016-09-30', 'FI_ACC', 7700, null, 108, 100),
  (112, 'José Manuel', 'Urmán', 'josemanuel.urman@company.example', '515.124.4469', '2016-03-07', 'FI_ACC', 7800, null, 108, 100), (113, 'Luis', 'Popp', 'luis.popp@company.example', '515.124.4567', '2017-12-07', 'FI_ACC', 6900, null, 108, 100),
  (114, 'Den', 'Raphaely', 'den.raphaely@company.example', '515.127.4561', '2012-12-07', 'PU_MAN', 11000, null, 100, 30), (115, 'Alexander', 'Khoo', 'alexander.khoo@company.example', '515.127.4562', '2013-05-18', 'PU_CLERK', 3100, null, 114, 30),
  (116, 'Shelli', 'Baida', 'shelli.baida@company.example', '515.127.4563', '2015-12-24', 'PU_CLERK', 2900, null, 114, 30), (117, 'Sigal', 'Tobias', 'sigal.tobias@company.example', '515.127.4564', '2015-07-24', 'PU_CLERK', 2800, null, 114, 30),
  (118, 'Guy', 'Himuro', 'guy.himuro@company.example', null, '2016-11-15', 'PU_CLERK', 2600, null, 114, 30), (120, 'Matthew', 'Weiß', 'matthew.weiss@company.example', '650.123.1234', '2014-07-18', 'ST_MAN', 8000, null, 100, 50),
  (121, 'Adam', 'Fripp', 'adam.fripp@company.example', '650.123.2234', '2015-04-10', 'ST_MAN', 8200, null, 100, 50), (122, 'Payam', 'Kaufling', 'payam.kaufling@company.example', '650.123.3234', '2013-05-01', 'ST_MAN', 7900, null, 100, 50),
  (126, 'Irene', 'Mikkilineni', 'irene.mikkilineni@company.example', '650.124.1224', '2016-09-28', 'ST_CLERK', 2700, null, 120, 50), (127, 'James', 'Landry', 'james.landry@company.example', '650.124.1334', '2017-01-14', 'ST_CLERK', 2400, null, 120, 50),
  (128, 'Steven', 'Markle', 'steven.markle@company.example', null, '2018-03-08', 'ST_CLERK', 2200, null, 120, 50), (129, 'Laura', 'Bissot', 'laura.bissot@company.example', '650.124.5234', '2015-08-20', 'ST_CLERK', 3300, null, 121, 50),
  (130, 'Mozhe', 'Atkinson', 'mozhe.atkinson@company.example', '650.124.6234', '2015-10-30', 'ST_CLERK', 2800, null, 121, 50), (131, 'James', 'Marlow', 'james.marlow@company.example', '650.124.7234', '2015-02-16', 'ST_CLERK', 2500, null, 121, 50),
  (141, 'Trenna', 'Rajs', 'trenna.rajs@company.example', '650.121.8009', '2013-10-17', 'ST_CLERK', 3500, null, 122, 50), (145, 'John', 'Russell', 'john.russell@company.example', '44.1344.429268', '2014-10-01', 'SA_MAN', 14000, 0.40, 100, 80),
  (146, 'Karen', 'Partners', 'karen.partners@company.example', '44.1344.467268', '2015-01-05', 'SA_MAN', 13500, 0.30, 100, 80), (147, 'Alberto', 'Errázuriz', 'alberto.errazuriz@company.example', '44.1344.429278', '2015-03-10', 'SA_MAN', 12000, 0.30, 100, 80),
  (150, 'Peter', 'Tucker', 'peter.tucker@company.example', '44.1344.129268', '2015-01-30', 'SA_REP', 10000, 0.30, 145, 80), (151, 'David', 'Bernstein', 'david.bernstein@company.example', '44.1344.345268', '2015-03-24', 'SA_REP', 9500, 0.25, 145, 80),
  (152, 'Peter', 'Hall', 'peter.hall@company.example', '44.1344.478968', '2015-08-20', 'SA_REP', 9000, 0.25, 145, 80), (156, 'Janette', 'King', 'janette.king@company.example', '44.1345.429268', '2014-01-30', 'SA_REP', 10000, 0.35, 146, 80),
  (157, 'Patrick', 'Sully', 'patrick.sully@company.example', null, '2014-03-04', 'SA_REP', 9500, 0.35, 146, 80), (162, 'Clara', 'Vishney', 'clara.vishney@company.example', '44.1346.129268', '2015-11-11', 'SA_REP', 10500, 0.25, 147, 80),
  (163, 'Danielle', 'Greene', 'danielle.greene@company.example', '44.1346.229268', '2017-03-19', 'SA_REP', 9500, 0.15, 147, 80), (178, 'Kimberely', 'Grant', 'kimberely.grant@company.example', '44.1644.429263', '2017-05-24', 'SA_REP', 7000, 0.15, 147, null),
  (180, 'Winston', 'Taylor', 'winston.taylor@company.example', '650.507.9876', '2016-01-24', 'SH_CLERK', 3200, null, 120, 50), (181, 'Jean', 'Fleaur', 'jean.fleaur@company.example', '650.507.9877', '2016-02-23', 'SH_CLERK', 3100, null, 120, 50),
  (192, 'Sarah', 'Bell', 'sarah.bell@company.example', '650.501.1876', '2014-02-04', 'SH_CLERK', 4000, null, 122, 50), (198, 'Donald', 'O''Connell', 'donald.oconnell@company.example', '650.507.9833', '2017-06-21', 'SH_CLERK', 2600, null, 121, 50),
  (200, 'Jennifer', 'Whalen', 'jennifer.whalen@company.example', '515.123.4444', '2013-09-17', 'AD_ASST', 4400, null, 101, 10), (201, 'Michael', 'Hartstein', 'michael.hartstein@company.example', '515.123.5555', '2014-02-17', 'MK_MAN', 13000, null, 100, 20),
  (202, 'Pat', 'Fay', 'pat.fay@company.example', '603.123.6666', '2015-08-17', 'MK_REP', 6000, null, 201, 20), (203, 'Susan', 'Mavris', 'susan.mavris@company.example', '515.123.7777', '2012-06-07', 'HR_REP', 6500, null, 101, 40),
  (204, 'Hermann', 'Bär', 'hermann.baer@company.example', '515.123.8888', '2012-06-07', 'PR_REP', 10000, null, 101, 70), (205, 'Shelley', 'Higgins', 'shelley.higgins@company.example', '515.123.8080', '2012-06-07', 'AC_MGR', 12000, null, 101, 110),
  (206, 'William', 'Gietz', 'william.gietz@company.example', '515.123.8181', '2012-06-07', 'AC_ACC', 8300, null, 205, 110), (207, null, 'Wałęsa', 'walesa@company.example', null, '2023-04-03', 'IT_PROG', 4500, null, 103, 60);
alter table public.departments add foreign key (manager_id) references public.employees;
insert into public.dependents values
  (1, 'Penelope', 'Gietz', 'Child', 206), (2, 'Nick', 'Higgins', 'Child', 205), (3, 'Ed', 'Whalen', 'Child', 200), (4, 'Jennifer', 'King', 'Child', 100), (5, 'Johnny', 'Kochhar', 'Child', 101), (6, 'Bette', 'De Haan', 'Child', 102),
  (7, 'Grace', 'Faviet', 'Child', 109), (8, 'Matthew', 'Chen', 'Child', 110), (9, 'Joe', 'Sciarra', 'Child', 111), (10, 'Christian', 'Urmán', 'Child', 112), (11, 'Zoë', 'Popp', 'Child', 113), (12, 'Karl', 'Greenberg', 'Child', 108),
  (13, 'Uma', 'Mavris', 'Child', 203), (14, 'Vivien', 'Hunold', 'Child', 103), (15, 'Cuba', 'Ernst', 'Spouse', 104), (16, 'Fred', 'Austin', 'Spouse', 105), (17, 'Helen', 'Pataballa', 'Spouse', 106), (18, 'Anaïs', 'Größer', 'Child', 107),
  (19, 'Bob', 'Hartstein', 'Child', 201), (20, 'Lucille', 'Fay', 'Child', 202), (21, 'Kirsten', 'Bär', 'Child', 204), (22, 'Elvis', 'Khoo', 'Child', 115), (23, 'Sandra', 'Baida', 'Child', 116), (24, 'Cameron', 'Tobias', 'Spouse', 117),
  (25, 'Mara', 'King', 'Child', 100), (26, 'Seán', 'O''Connell', 'Parent', 198);
insert into public.job_history values
  (101, '2011-09-21', '2013-10-27', 'AC_ACC', 110), (101, '2013-10-28', '2016-03-15', 'AC_MGR', 110), (102, '2013-01-13', '2016-07-24', 'IT_PROG', 60), (114, '2012-12-07', '2014-12-31', 'PU_CLERK', 30), (122, '2013-05-01', '2015-12-31', 'ST_CLERK', 50),
  (200, '2013-09-17', '2015-06-17', 'AD_ASST', 90), (200, '2015-07-01', '2017-12-31', 'AC_ACC', 90), (201, '2014-02-17', '2017-12-19', 'MK_REP', 20), (145, '2014-10-01', '2016-12-31', 'SA_REP', 80), (203, '2012-06-07', '2014-05-31', 'AD_ASST', 10),
  (156, '2014-01-30', '2016-12-31', 'SA_REP', 80), (103, '2012-01-03', '2013-06-30', 'ST_CLERK', 50);
insert into public.salaries
select employee_id, salary, greatest(hire_date, date '2023-01-01' + (employee_id % 3) * 120), null::date from public.employees
union all
select employee_id, round(salary * 0.9, -2), greatest(hire_date, date '2020-01-01'), date '2023-01-01' + (employee_id % 3) * 120 - 1 from public.employees where hire_date < '2023-01-01'
union all
select employee_id, round(salary * 0.8, -2), hire_date, date '2019-12-31' from public.employees where hire_date < '2018-01-01' and employee_id % 4 <> 1;
