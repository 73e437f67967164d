"""A small schema, which fits the budget whole: a veterinary clinic."""

from __future__ import annotations

from benchmarks.wide_schema import tables_ddl

CLINIC = tables_ddl(
    """
owners: full_name street town phone joined_on
species: label
breeds: species_id>species label
animals: owner_id>owners breed_id>breeds call_name sex born_on died_on chip_number
vets: full_name licence specialty hired_on
rooms: label floor
appointments: animal_id>animals vet_id>vets room_id>rooms starts_at ends_at outcome reason
diagnoses: appointment_id>appointments code remark
drugs: label active_substance stock_quantity reorder_quantity
prescriptions: appointment_id>appointments drug_id>drugs dose_mg days_count
vaccinations: animal_id>animals drug_id>drugs given_on due_on batch
surgeries: animal_id>animals vet_id>vets room_id>rooms started_at finished_at procedure
weights: animal_id>animals measured_on kilograms
bills: owner_id>owners appointment_id>appointments issued_on paid_on total_amount
bill_lines: bill_id>bills description quantity unit_price
""".strip()
)

QUESTIONS = """
Which pets are due for a jab this month? | animals.call_name vaccinations.due_on
Who has not paid yet? | owners.full_name bills.paid_on bills.total_amount
How many cats do we treat? | species.label breeds.species_id animals.breed_id
Average weight of a Labrador | breeds.label animals.breed_id weights.kilograms
Which vet did the most operations? | vets.full_name surgeries.vet_id
What medicine is running out? | drugs.label drugs.stock_quantity drugs.reorder_quantity
Contact details of Bello's human | animals.call_name animals.owner_id owners.phone
No-shows by weekday | appointments.outcome appointments.starts_at
How long does an operation take on average? | surgeries.started_at surgeries.finished_at
Turnover per month | bills.issued_on bills.total_amount
What did we prescribe for itching? | diagnoses.remark prescriptions.drug_id drugs.label
Welche Tierärzte haben diese Woche die meisten Termine? | vets.full_name appointments.vet_id appointments.starts_at
Oldest animal that is still alive | animals.born_on animals.died_on animals.call_name
Which batch of the rabies shot went to whom? | vaccinations.batch vaccinations.drug_id drugs.label animals.call_name
Is room 3 free tomorrow morning? | rooms.label appointments.room_id appointments.starts_at appointments.ends_at surgeries.room_id
Clients with more than three dogs | owners.full_name animals.owner_id species.label breeds.species_id
Who lost weight since last year? | weights.kilograms weights.measured_on animals.call_name
Most common diagnosis among rabbits | diagnoses.code appointments.animal_id species.label
what do we charge most for | bill_lines.description bill_lines.unit_price bill_lines.quantity
Newest doctor | vets.hired_on vets.full_name
"""
