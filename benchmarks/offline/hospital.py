"""A fourth schema and its questions, written last and never used to build the grammar. They show how well it generalises."""

from __future__ import annotations

from benchmarks.offline.questions import Case

HOSPITAL_SCHEMA = """
create type triage as enum ('green', 'yellow', 'red');
create table wards (ward_id serial primary key, ward_name text not null, floor int not null, beds int not null);
create table doctors (doctor_id serial primary key, full_name text not null, specialty text not null, ward_id int references wards, hired date not null, salary numeric(10,2));
create table patients (patient_id serial primary key, first_name text not null, last_name text not null, sex char(1) check (sex in ('F', 'M')), date_of_birth date, city text, insured boolean not null);
create table admissions (admission_id serial primary key, patient_id int not null references patients, ward_id int not null references wards,
  attending_doctor_id int references doctors, admitted_at timestamptz not null, discharged_at timestamptz, urgency triage not null);
create table medications (code text primary key, med_name text not null, unit_cost numeric(8,2) not null, controlled boolean not null default false);
create table prescriptions (prescription_id serial primary key, admission_id int not null references admissions, medication_code text not null references medications, doses int not null, prescribed_on date not null);
create table bills (bill_id serial primary key, patient_id int not null references patients, amount numeric(10,2) not null, issued_on date not null, paid boolean not null);
insert into wards (ward_name, floor, beds) values ('Surgery', 1, 20), ('Pediatrics', 2, 30), ('Cardiology', 3, 15), ('Oncology', 3, 12), ('Unused', 5, 4);
insert into doctors (full_name, specialty, ward_id, hired, salary) select 'Dr ' || (array['Adams','Baker','Chen','Diaz','Evans'])[1 + i % 5] || ' ' || i, (array['surgeon','cardiologist','pediatrician'])[1 + i % 3], 1 + i % 4, date '2010-01-01' + i * 97, 60000 + i * 1700 from generate_series(1, 30) i;
insert into patients (first_name, last_name, sex, date_of_birth, city, insured) select (array['Lia','Tom','Uma','Vic'])[1 + i % 4], 'Person' || i, case when i % 2 = 0 then 'F' else 'M' end, date '1940-01-01' + i * 83, (array['Basel','Bern','Chur'])[1 + i % 3], i % 7 > 0 from generate_series(1, 300) i;
insert into admissions (patient_id, ward_id, attending_doctor_id, admitted_at, discharged_at, urgency) select 1 + i * 7 % 280, 1 + i % 4, 1 + i % 29, now() - i * interval '20 hours', case when i > 25 then now() - i * interval '15 hours' end, (array['green','yellow','red'])[1 + i * i % 3]::triage from generate_series(1, 700) i;
insert into medications select 'M' || i, (array['Aspirin','Ibuprofen','Insulin','Morphine'])[1 + i % 4] || ' ' || i, 1 + i * 1.3, i % 5 = 0 from generate_series(1, 40) i;
insert into prescriptions (admission_id, medication_code, doses, prescribed_on) select 1 + i % 690, 'M' || (1 + i % 38), 1 + i % 6, current_date - i % 200 from generate_series(1, 1500) i;
insert into bills (patient_id, amount, issued_on, paid) select 1 + i % 250, 50 + i * 3.7, current_date - i, i % 3 > 0 from generate_series(1, 500) i;
analyze;
"""

HOSPITAL = (
    Case("How many patients do we have?", "select count(*) from patients"),
    Case("list the wards", "select ward_name from wards"),
    Case(
        "doctors per ward",
        "select w.ward_name, count(*) from doctors d join wards w on w.ward_id = d.ward_id group by w.ward_id",
    ),
    Case("how many red admissions were there?", "select count(*) from admissions where urgency = 'red'"),
    Case("admissions by urgency", "select urgency, count(*) from admissions group by 1"),
    Case(
        "number of admissions per ward this year",
        "select w.ward_name, count(*) from admissions a join wards w on w.ward_id = a.ward_id where admitted_at >= date_trunc('year', now()) and admitted_at < date_trunc('year', now()) + interval '1 year' group by w.ward_id",
    ),
    Case("which ward has the most beds?", "select ward_name, beds from wards order by 2 desc limit 1"),
    Case(
        "which ward has the most admissions?",
        "select w.ward_name, count(*) from admissions a join wards w on w.ward_id = a.ward_id group by w.ward_id order by 2 desc, 1 limit 1",
    ),
    Case("average salary of doctors by specialty", "select specialty, avg(salary) from doctors group by 1"),
    Case("highest paid doctor", None),
    Case("doctor with the highest salary", "select full_name, salary from doctors order by 2 desc limit 1"),
    Case("uninsured patients", "select last_name from patients where not insured order by patient_id limit 21"),
    Case("how many patients are insured?", "select count(*) from patients where insured"),
    Case("unpaid bills", "select bill_id from bills where not paid order by 1 limit 21"),
    Case("total amount of unpaid bills", "select sum(amount) from bills where not paid"),
    Case("bills over 1500", "select bill_id from bills where amount > 1500 order by 1 limit 21"),
    Case(
        "top 3 patients by total bill amount",
        "select p.last_name, sum(amount) from bills b join patients p on p.patient_id = b.patient_id group by p.patient_id order by 2 desc limit 3",
        ordered=True,
    ),
    Case("patients in Bern", "select last_name from patients where city = 'Bern' order by patient_id limit 21"),
    Case("how many patients per city?", "select city, count(*) from patients group by 1"),
    Case("oldest patient", "select last_name from patients order by date_of_birth limit 1"),
    Case(
        "patients born before 1950",
        "select last_name from patients where date_of_birth < '1950-01-01' order by patient_id limit 21",
    ),
    Case(
        "admissions that are not discharged",
        "select admission_id from admissions where discharged_at is null order by 1 limit 21",
    ),
    Case("admissions of patient 12", "select admission_id from admissions where patient_id = 12 order by 1 limit 21"),
    Case(
        "admissions in ward Cardiology in the last 14 days",
        "select a.admission_id from admissions a join wards w on w.ward_id = a.ward_id where ward_name = 'Cardiology' and admitted_at >= now() - interval '14 days' order by 1 limit 21",
    ),
    Case(
        "how many admissions did Surgery have?",
        "select count(*) from admissions a join wards w on w.ward_id = a.ward_id where ward_name = 'Surgery'",
    ),
    Case("controlled medications", "select code from medications where controlled order by 1 limit 21"),
    Case(
        "the 5 most expensive medications",
        "select unit_cost from medications order by unit_cost desc limit 5",
        ordered=True,
    ),
    Case(
        "total doses per medication",
        "select m.med_name, sum(doses) from prescriptions p join medications m on m.code = p.medication_code group by m.code order by 2 desc, 1 limit 21",
    ),
    Case(
        "medications without prescriptions",
        "select code from medications m where not exists (select from prescriptions p where p.medication_code = m.code) order by 1 limit 21",
    ),
    Case(
        "wards with no admissions",
        "select ward_name from wards w where not exists (select from admissions a where a.ward_id = w.ward_id)",
    ),
    Case(
        "patients with more than 5 admissions",
        "select last_name from patients p where (select count(*) from admissions a where a.patient_id = p.patient_id) > 5 order by patient_id limit 21",
    ),
    Case(
        "admissions per attending doctor",
        "select count(*) from admissions group by attending_doctor_id order by 1 desc limit 21",
    ),
    Case("who treats patient 5?", None),
    Case(
        "doctors hired after 2015",
        "select full_name from doctors where hired >= '2016-01-01' order by doctor_id limit 21",
    ),
    Case("how long do patients stay?", None),
    Case("bed occupancy per ward", None),
    Case("names and specialties of doctors", "select full_name, specialty from doctors order by doctor_id limit 21"),
    Case("what is the city of patient 9?", "select city from patients where patient_id = 9"),
    Case(
        "bills issued in the last 30 days",
        "select bill_id from bills where issued_on >= now() - interval '30 days' and issued_on < now() order by 1 limit 21",
    ),
    Case(
        "average bill amount per month",
        "select avg(amount) from bills group by date_trunc('month', issued_on) order by date_trunc('month', issued_on) limit 21",
    ),
    Case("wards on floor 3", "select ward_name from wards where floor = 3"),
    Case("female patients", None),
    Case(
        "patients whose last name starts with Person1",
        "select patient_id from patients where last_name like 'Person1%' order by 1 limit 21",
    ),
    Case("latest 4 admissions", "select admitted_at from admissions order by 1 desc limit 4", ordered=True),
    Case(
        ("how many admissions were there in the last 30 days?", "and the red ones?"),
        "select count(*) from admissions where admitted_at >= now() - interval '30 days' and admitted_at < now() and urgency = 'red'",
    ),
    Case(("list uninsured patients", "how many are there?"), "select count(*) from patients where not insured"),
    Case(("how many patients live in Bern?", "and in Chur?"), None),
    Case(
        "prescriptions of medication M7",
        "select prescription_id from prescriptions where medication_code = 'M7' order by 1 limit 21",
    ),
    Case("how many doses of Morphine were prescribed?", None),
    Case("cancel all admissions", None),
)
