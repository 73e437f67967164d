-- A company that trades food: products of suppliers, customers with short codes, orders with their lines, shippers and sales territories.
create table public.categories (category_id smallint primary key, category_name varchar(15) not null, description text);
create table public.suppliers (
  supplier_id smallint primary key, company_name varchar(40) not null, contact_name varchar(30), contact_title varchar(30), address varchar(60), city varchar(15), region varchar(15),
  postal_code varchar(10), country varchar(15), phone varchar(24), fax varchar(24), homepage text);
create table public.products (
  product_id smallint primary key, product_name varchar(40) not null, supplier_id smallint references public.suppliers, category_id smallint references public.categories,
  quantity_per_unit varchar(20), unit_price numeric(10,2), units_in_stock smallint, units_on_order smallint, reorder_level smallint, discontinued boolean not null);
create table public.customers (
  customer_id varchar(5) primary key, company_name varchar(40) not null, contact_name varchar(30), contact_title varchar(30), address varchar(60), city varchar(15), region varchar(15),
  postal_code varchar(10), country varchar(15), phone varchar(24), fax varchar(24));
create table public.employees (
  employee_id smallint primary key, last_name varchar(20) not null, first_name varchar(10) not null, title varchar(30), title_of_courtesy varchar(25), birth_date date, hire_date date,
  address varchar(60), city varchar(15), region varchar(15), postal_code varchar(10), country varchar(15), home_phone varchar(24), extension varchar(4), notes text,
  reports_to smallint references public.employees);
create table public.region (region_id smallint primary key, region_description varchar(60) not null);
create table public.territories (territory_id varchar(20) primary key, territory_description varchar(60) not null, region_id smallint not null references public.region);
create table public.employee_territories (employee_id smallint not null references public.employees, territory_id varchar(20) not null references public.territories, primary key (employee_id, territory_id));
create table public.shippers (shipper_id smallint primary key, company_name varchar(40) not null, phone varchar(24));
create table public.orders (
  order_id smallint primary key, customer_id varchar(5) references public.customers, employee_id smallint references public.employees, order_date date, required_date date, shipped_date date,
  ship_via smallint references public.shippers, freight numeric(10,2), ship_name varchar(40), ship_address varchar(60), ship_city varchar(15), ship_region varchar(15),
  ship_postal_code varchar(10), ship_country varchar(15));
create table public.order_details (
  order_id smallint not null references public.orders, product_id smallint not null references public.products, unit_price numeric(10,2) not null, quantity smallint not null,
  discount numeric(3,2) not null default 0, primary key (order_id, product_id));

insert into public.categories values
  (1, 'Beverages', 'Soft drinks, coffees, teas, beers, and ales'), (2, 'Condiments', 'Sweet and savory sauces, relishes, spreads, and seasonings'), (3, 'Confections', 'Desserts, candies, and sweet breads'),
  (4, 'Dairy Products', 'Cheeses'), (5, 'Grains/Cereals', 'Breads, crackers, pasta, and cereal'), (6, 'Meat/Poultry', 'Prepared meats'), (7, 'Produce', 'Dried fruit and bean curd'),
  (8, 'Seafood', 'Seaweed and fish'), (9, 'Pet Food', null);
insert into public.suppliers (supplier_id, company_name, contact_name, contact_title, address, city, region, postal_code, country, phone, fax, homepage) values
  (1, 'Exotic Liquids', 'Charlotte Cooper', 'Purchasing Manager', '49 Gilbert St.', 'London', null, 'EC1 4SD', 'UK', '(171) 555-2222', null, null),
  (2, 'New Orleans Cajun Delights', 'Shelley Burke', 'Order Administrator', 'P.O. Box 78934', 'New Orleans', 'LA', '70117', 'USA', '(100) 555-4822', null, 'https://cajun.example'),
  (3, 'Grandma Kelly''s Homestead', 'Regina Murphy', 'Sales Representative', '707 Oxford Rd.', 'Ann Arbor', 'MI', '48104', 'USA', '(313) 555-5735', '(313) 555-3349', null),
  (4, 'Tokyo Traders', 'Yoshi Nagase', 'Marketing Manager', '9-8 Sekimai', 'Tokyo', null, '100', 'Japan', '(03) 3555-5011', null, null),
  (5, 'Cooperativa de Quesos ''Las Cabras''', 'Antonio del Valle', 'Export Administrator', 'Calle del Rosal 4', 'Oviedo', 'Asturias', '33007', 'Spain', '(98) 598 76 54', null, null),
  (6, 'Mayumi''s', 'Mayumi Ohno', 'Marketing Representative', '92 Setsuko', 'Osaka', null, '545', 'Japan', '(06) 431-7877', null, 'https://mayumi.example'),
  (7, 'Pavlova, Ltd.', 'Ian Devling', 'Marketing Manager', '74 Rose St.', 'Melbourne', 'Victoria', '3058', 'Australia', '(03) 444-2343', '(03) 444-6588', null),
  (8, 'PB Knäckebröd AB', 'Lars Peterson', 'Sales Agent', 'Kaloadagatan 13', 'Göteborg', null, 'S-345 67', 'Sweden', '031-987 65 43', '031-987 65 91', null),
  (9, 'Heli Süßwaren GmbH & Co. KG', 'Petra Winkler', 'Sales Manager', 'Tiergartenstraße 5', 'Berlin', null, '10785', 'Germany', '(010) 9984510', null, null),
  (10, 'Plutzer Lebensmittelgroßmärkte AG', 'Martin Bein', 'Marketing Manager', 'Bogenallee 51', 'Frankfurt', null, '60439', 'Germany', '(069) 992755', null, 'https://plutzer.example'),
  (11, 'Norske Meierier', 'Beate Vileid', 'Marketing Manager', 'Hatlevegen 5', 'Sandvika', null, '1320', 'Norway', '(0)2-953010', null, null),
  (12, 'Aux joyeux ecclésiastiques', 'Guylène Nodier', 'Sales Manager', '203, Rue des Francs-Bourgeois', 'Paris', null, '75004', 'France', '(1) 03.83.00.68', '(1) 03.83.00.62', null),
  (13, 'Lyngbysild', 'Niels Petersen', 'Sales Manager', 'Fiskebakken 10', 'Lyngby', null, '2800', 'Denmark', '43844108', '43844115', null);
insert into public.products
select n, p.name, p.supplier, p.category, p.unit, p.price, p.stock, case when n % 8 = 0 then 40 else 0 end, case when n % 5 = 0 then 0 when n % 3 = 0 then 25 else 10 end, n in (5, 9, 17, 24, 28)
from (select *, row_number() over ()::int n from (values
  ('Chai', 1, 1, '10 boxes x 20 bags', 18.00, 39), ('Chang', 1, 1, '24 - 12 oz bottles', 19.00, 17), ('Aniseed Syrup', 1, 2, '12 - 550 ml bottles', 10.00, 13),
  ('Chef Anton''s Cajun Seasoning', 2, 2, '48 - 6 oz jars', 22.00, 53), ('Chef Anton''s Gumbo Mix', 2, 2, '36 boxes', 21.35, 0), ('Grandma''s Boysenberry Spread', 3, 2, '12 - 8 oz jars', 25.00, 120),
  ('Uncle Bob''s Organic Dried Pears', 3, 7, '12 - 1 lb pkgs.', 30.00, 15), ('Northwoods Cranberry Sauce', 3, 2, '12 - 12 oz jars', 40.00, 6), ('Mishi Kobe Niku', 4, 6, '18 - 500 g pkgs.', 97.00, 29),
  ('Ikura', 4, 8, '12 - 200 ml jars', 31.00, 31), ('Queso Cabrales', 5, 4, '1 kg pkg.', 21.00, 22), ('Queso Manchego La Pastora', 5, 4, '10 - 500 g pkgs.', 38.00, 86),
  ('Konbu', 6, 8, '2 kg box', 6.00, 24), ('Tofu', 6, 7, '40 - 100 g pkgs.', 23.25, 35), ('Genen Shouyu', 6, 2, '24 - 250 ml bottles', 15.50, 39), ('Pavlova', 7, 3, '32 - 500 g boxes', 17.45, 29),
  ('Alice Mutton', 7, 6, '20 - 1 kg tins', 39.00, 0), ('Carnarvon Tigers', 7, 8, '16 kg pkg.', 62.50, 42), ('Vegie-spread', 7, 2, '15 - 625 g jars', 43.90, 24),
  ('Gustaf''s Knäckebröd', 8, 5, '24 - 500 g pkgs.', 21.00, 104), ('Tunnbröd', 8, 5, '12 - 250 g pkgs.', 9.00, 61), ('NuNuCa Nuß-Nougat-Creme', 9, 3, '20 - 450 g glasses', 14.00, 76),
  ('Gumbär Gummibärchen', 9, 3, '100 - 250 g bags', 31.23, 15), ('Guaraná Fantástica', null, 1, '12 - 355 ml cans', 4.50, 20), ('Schoggi Schokolade', 9, 3, '100 - 100 g pieces', 43.90, 49),
  ('Rhönbräu Klosterbier', 10, 1, '24 - 0.5 l bottles', 7.75, 125), ('Original Frankfurter grüne Soße', 10, 2, '12 boxes', 13.00, 32), ('Thüringer Rostbratwurst', 10, 6, '50 bags x 30 sausgs.', 123.79, 0),
  ('Wimmers gute Semmelknödel', 10, 5, '20 bags x 4 pieces', 33.25, 22), ('Geitost', 11, 4, '500 g', 2.50, 112), ('Gudbrandsdalsost', 11, 4, '10 kg pkg.', 36.00, 26), ('Fløtemysost', 11, 4, '10 - 500 g pkgs.', 21.50, 26),
  ('Côte de Blaye', 12, 1, '12 - 75 cl bottles', 263.50, 17), ('Chartreuse verte', 12, 1, '750 cc per bottle', 18.00, 69), ('Røgede sild', 13, 8, '1k pkg.', 9.50, 5), ('Spegesild', 13, 8, '4 - 450 g glasses', 12.00, 95),
  ('Teatime Chocolate Biscuits', null, 3, '10 boxes x 12 pieces', 9.20, 25), ('Steeleye Stout', null, 1, '24 - 12 oz bottles', 18.00, 20), ('Inlagd Sill', 13, 8, null, 19.00, 112), ('Laughing Lumberjack Lager', 2, 1, '24 - 12 oz bottles', 14.00, 52)
) p(name, supplier, category, unit, price, stock)) p;
insert into public.customers (customer_id, company_name, contact_name, contact_title, address, city, region, postal_code, country, phone, fax) values
  ('ALFKI', 'Alfreds Futterkiste', 'Maria Anders', 'Sales Representative', 'Obere Str. 57', 'Berlin', null, '12209', 'Germany', '030-0074321', '030-0076545'),
  ('ANATR', 'Ana Trujillo Emparedados y helados', 'Ana Trujillo', 'Owner', 'Avda. de la Constitución 2222', 'México D.F.', null, '05021', 'Mexico', '(5) 555-4729', '(5) 555-3745'),
  ('ANTON', 'Antonio Moreno Taquería', 'Antonio Moreno', 'Owner', 'Mataderos 2312', 'México D.F.', null, '05023', 'Mexico', '(5) 555-3932', null),
  ('AROUT', 'Around the Horn', 'Thomas Hardy', 'Sales Representative', '120 Hanover Sq.', 'London', null, 'WA1 1DP', 'UK', '(171) 555-7788', '(171) 555-6750'),
  ('BERGS', 'Berglunds snabbköp', 'Christina Berglund', 'Order Administrator', 'Berguvsvägen 8', 'Luleå', null, 'S-958 22', 'Sweden', '0921-12 34 65', '0921-12 34 67'),
  ('BLAUS', 'Blauer See Delikatessen', 'Hanna Moos', 'Sales Representative', 'Forsterstr. 57', 'Mannheim', null, '68306', 'Germany', '0621-08460', null),
  ('BLONP', 'Blondesddsl père et fils', 'Frédérique Citeaux', 'Marketing Manager', '24, place Kléber', 'Strasbourg', null, '67000', 'France', '88.60.15.31', '88.60.15.32'),
  ('BOLID', 'Bólido Comidas preparadas', 'Martín Sommer', 'Owner', 'C/ Araquil, 67', 'Madrid', null, '28023', 'Spain', '(91) 555 22 82', null),
  ('BONAP', 'Bon app''', 'Laurence Lebihan', 'Owner', '12, rue des Bouchers', 'Marseille', null, '13008', 'France', '91.24.45.40', '91.24.45.41'),
  ('BOTTM', 'Bottom-Dollar Markets', 'Elizabeth Lincoln', 'Accounting Manager', '23 Tsawassen Blvd.', 'Tsawassen', 'BC', 'T2F 8M4', 'Canada', '(604) 555-4729', null),
  ('BSBEV', 'B''s Beverages', 'Victoria Ashworth', 'Sales Representative', 'Fauntleroy Circus', 'London', null, 'EC2 5NT', 'UK', '(171) 555-1212', null),
  ('CENTC', 'Centro comercial Moctezuma', 'Francisco Chang', 'Marketing Manager', 'Sierras de Granada 9993', 'México D.F.', null, '05022', 'Mexico', null, null),
  ('CHOPS', 'Chop-suey Chinese', 'Yang Wang', 'Owner', 'Hauptstr. 29', 'Bern', null, '3012', 'Switzerland', '0452-076545', null),
  ('COMMI', 'Comércio Mineiro', 'Pedro Afonso', 'Sales Associate', 'Av. dos Lusíadas, 23', 'São Paulo', 'SP', '05432-043', 'Brazil', '(11) 555-7647', null),
  ('DRACD', 'Drachenblut Delikatessen', 'Sven Ottlieb', 'Order Administrator', 'Walserweg 21', 'Aachen', null, '52066', 'Germany', '0241-039123', '0241-059428'),
  ('EASTC', 'Eastern Connection', 'Ann Devon', 'Sales Agent', '35 King George', 'London', null, 'WX3 6FW', 'UK', '(171) 555-0297', null),
  ('ERNSH', 'Ernst Handel', 'Roland Mendel', 'Sales Manager', 'Kirchgasse 6', 'Graz', null, '8010', 'Austria', '7675-3425', '7675-3426'),
  ('FISSA', 'FISSA Fabrica Inter. Salchichas S.A.', 'Diego Roel', 'Accounting Manager', 'C/ Moralzarzal, 86', 'Madrid', null, '28034', 'Spain', '(91) 555 94 44', null),
  ('FRANK', 'Frankenversand', 'Peter Franken', 'Marketing Manager', 'Berliner Platz 43', 'München', null, '80805', 'Germany', '089-0877310', '089-0877451'),
  ('GREAL', 'Great Lakes Food Market', 'Howard Snyder', 'Marketing Manager', '2732 Baker Blvd.', 'Eugene', 'OR', '97403', 'USA', '(503) 555-7555', null),
  ('HANAR', 'Hanari Carnes', 'Mario Pontes', 'Accounting Manager', 'Rua do Paço, 67', 'Rio de Janeiro', 'RJ', '05454-876', 'Brazil', '(21) 555-0091', null),
  ('HUNGO', 'Hungry Owl All-Night Grocers', 'Patricia McKenna', 'Sales Associate', '8 Johnstown Road', 'Cork', 'Co. Cork', null, 'Ireland', '2967 542', '2967 3333'),
  ('LAZYK', 'Lazy K Kountry Store', 'John Steel', 'Marketing Manager', '12 Orchestra Terrace', 'Walla Walla', 'WA', '99362', 'USA', '(509) 555-7969', null),
  ('PARIS', 'Paris spécialités', 'Marie Bertrand', 'Owner', '265, boulevard Charonne', 'Paris', null, '75012', 'France', '(1) 42.34.22.66', '(1) 42.34.22.77'),
  ('QUICK', 'QUICK-Stop', 'Horst Kloss', 'Accounting Manager', 'Taucherstraße 10', 'Cunewalde', null, '01307', 'Germany', '0372-035188', null),
  ('SAVEA', 'Save-a-lot Markets', 'Jose Pavarotti', 'Sales Representative', '187 Suffolk Ln.', 'Boise', 'ID', '83720', 'USA', '(208) 555-8097', null),
  ('TOMSP', 'Toms Spezialitäten', 'Karin Josephs', 'Marketing Manager', 'Luisenstr. 48', 'Münster', null, '44087', 'Germany', '0251-031259', '0251-035695'),
  ('WOLZA', 'Wolski Zajazd', 'Zbyszek Piestrzeniewicz', 'Owner', 'ul. Filtrowa 68', 'Warszawa', null, '01-012', 'Poland', '(26) 642-7012', null);
insert into public.employees (employee_id, last_name, first_name, title, title_of_courtesy, birth_date, hire_date, address, city, region, postal_code, country, home_phone, extension, notes, reports_to) values
  (2, 'Fuller', 'Andrew', 'Vice President, Sales', 'Dr.', '1962-02-19', '2012-08-14', '908 W. Capital Way', 'Tacoma', 'WA', '98401', 'USA', '(206) 555-9482', '3457', 'Fluent in French and Italian.', null),
  (1, 'Davolio', 'Nancy', 'Sales Representative', 'Ms.', '1978-12-08', '2012-05-01', '507 - 20th Ave. E.', 'Seattle', 'WA', '98122', 'USA', '(206) 555-9857', '5467', null, 2),
  (3, 'Leverling', 'Janet', 'Sales Representative', 'Ms.', '1983-08-30', '2012-04-01', '722 Moss Bay Blvd.', 'Kirkland', 'WA', '98033', 'USA', '(206) 555-3412', '3355', null, 2),
  (4, 'Peacock', 'Margaret', 'Sales Representative', 'Mrs.', '1967-09-19', '2013-05-03', '4110 Old Redmond Rd.', 'Redmond', 'WA', '98052', 'USA', '(206) 555-8122', '5176', 'Speaks Spanish.', 2),
  (5, 'Buchanan', 'Steven', 'Sales Manager', 'Mr.', '1975-03-04', '2013-10-17', '14 Garrett Hill', 'London', null, 'SW1 8JR', 'UK', '(71) 555-4848', '3453', null, 2),
  (6, 'Suyama', 'Michael', 'Sales Representative', 'Mr.', '1983-07-02', '2013-10-17', 'Coventry House', 'London', null, 'EC2 7JR', 'UK', '(71) 555-7773', '428', null, 5),
  (7, 'King', 'Robert', 'Sales Representative', 'Mr.', '1980-05-29', '2014-01-02', 'Edgeham Hollow', 'London', null, 'RG1 9SP', 'UK', '(71) 555-5598', '465', null, 5),
  (8, 'Callahan', 'Laura', 'Inside Sales Coordinator', 'Ms.', '1978-01-09', '2014-03-05', '4726 - 11th Ave. N.E.', 'Seattle', 'WA', '98105', 'USA', '(206) 555-1189', '2344', 'Reads and writes French.', 2),
  (9, 'Dodsworth', 'Anne', 'Sales Representative', 'Ms.', '1986-01-27', '2014-11-15', '7 Houndstooth Rd.', 'London', null, 'WG2 7LT', 'UK', null, '452', null, 5),
  (10, 'O''Neill', 'Siobhán', 'Trainee', 'Ms.', '2001-06-14', '2023-09-01', '3 Quay Street', 'Galway', null, null, 'Ireland', null, null, null, 5);
insert into public.region values (1, 'Eastern'), (2, 'Western'), (3, 'Northern'), (4, 'Southern');
insert into public.territories values
  ('01581', 'Westboro', 1), ('02116', 'Boston', 1), ('06897', 'Wilton', 1), ('10019', 'New York', 1), ('27511', 'Cary', 1), ('30346', 'Atlanta', 4), ('33607', 'Tampa', 4), ('75234', 'Dallas', 4),
  ('48084', 'Troy', 3), ('53404', 'Racine', 3), ('55113', 'Roseville', 3), ('60601', 'Chicago', 2), ('80202', 'Denver', 2), ('85014', 'Phoenix', 2), ('90405', 'Santa Monica', 2), ('98004', 'Bellevue', 2);
insert into public.employee_territories values
  (1, '06897'), (1, '10019'), (2, '01581'), (2, '02116'), (3, '30346'), (3, '33607'), (4, '27511'), (5, '75234'), (5, '98004'), (6, '85014'), (6, '90405'), (7, '60601'), (7, '80202'), (8, '48084'), (9, '53404'), (9, '55113');
insert into public.shippers values (1, 'Speedy Express', '(503) 555-9831'), (2, 'United Package', '(503) 555-3199'), (3, 'Federal Shipping', '(503) 555-9931'), (4, 'Alliance Couriers', null);
-- FISSA and PARIS never ordered; the employee 10 took no order; the last orders are not shipped; the shipper 4 is not used.
insert into public.orders
select 10247 + n, c.customer_id, 1 + (n * 4 + n / 9) % 9, date '2022-07-04' + n * 6, date '2022-07-04' + n * 6 + 28, case when n <= 128 or n % 3 = 0 then date '2022-07-04' + n * 6 + 2 + (n * 7) % 31 end,
  1 + (n * 5 + n / 4) % 3, round(((n * 37) % 211 + 0.5) * 0.73, 2), c.company_name, c.address, c.city, c.region, c.postal_code, c.country
from generate_series(1, 140) n
join (select *, row_number() over (order by customer_id) place from public.customers where customer_id not in ('FISSA', 'PARIS')) c on c.place = 1 + (n * 5 + n / 7) % 26;
insert into public.order_details
select o.order_id, p.product_id, p.unit_price, 2 + (o.order_id * 7 + k * 13) % 49, case (o.order_id + k) % 7 when 0 then 0.15 when 3 then 0.05 else 0 end
from public.orders o cross join generate_series(0, 3) k join public.products p on p.product_id = 1 + (o.order_id * 3 + k * 8) % 39
where k <= o.order_id % 4;
