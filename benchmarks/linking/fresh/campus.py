"""A schema of about 80 tables: a university. Its names are singular, some of them shortened."""

from __future__ import annotations

from benchmarks.wide_schema import tables_ddl

CAMPUS = tables_ddl(
    """
faculty: name dean_id>lecturer
dept: faculty_id>faculty name head_id>lecturer budget_amount
lecturer: dept_id>dept given_name family_name academic_title hired_on office_id>room
student: matriculation_no given_name family_name birth_on nationality enrolled_on left_on programme_id>programme tutor_id>lecturer
programme: dept_id>dept title degree_id>degree credits_total_count language
degree: title level
course: dept_id>dept code title ects_count level description
course_prereq: course_id>course required_course_id>course
semester: label begins_on ends_on
offering: course_id>course semester_id>semester lecturer_id>lecturer capacity_count mode
offering_slot: offering_id>offering room_id>room weekday starts_at ends_at
enrolment: student_id>student offering_id>offering registered_at withdrawn_at
exam: offering_id>offering held_on room_id>room kind
exam_attempt: exam_id>exam student_id>student grade attempt_count passed
thesis: student_id>student title supervisor_id>lecturer submitted_on grade
thesis_reviewer: thesis_id>thesis lecturer_id>lecturer
scholarship: title funder_id>funder monthly_amount
scholarship_award: scholarship_id>scholarship student_id>student starts_on ends_on
tuition_fee: programme_id>programme semester_id>semester amount
fee_payment: student_id>student tuition_fee_id>tuition_fee paid_at amount
building: campus_id>campus name built_on
campus: name town
room: building_id>building number seats_count kind
room_equipment: room_id>room equipment_id>equipment
equipment: name acquired_on cost
room_reservation: room_id>room person_id>staff starts_at ends_at purpose
staff: given_name family_name dept_id>dept position_id>staff_position hired_on
staff_position: title pay_grade_id>pay_grade
pay_grade: label monthly_amount
leave_request: staff_id>staff kind starts_on ends_on approved_at
timesheet: staff_id>staff worked_on worked_hours project_id>project
project: title acronym funder_id>funder starts_on ends_on grant_amount lead_id>lecturer
project_member: project_id>project lecturer_id>lecturer share_percent
funder: name country kind
expense_claim: staff_id>staff project_id>project amount claimed_on approved_by_id>staff
publication: title venue_id>venue published_on doi kind
publication_author: publication_id>publication lecturer_id>lecturer position_count
citation: publication_id>publication citing_doi noted_on
venue: name ranking
patent: title filed_on granted_on
patent_inventor: patent_id>patent lecturer_id>lecturer
dormitory: campus_id>campus name
dorm_room: dormitory_id>dormitory number rent_amount beds_count
dorm_contract: dorm_room_id>dorm_room student_id>student moves_in_on moves_out_on
dorm_repair: dorm_room_id>dorm_room reported_at fixed_at description
canteen: campus_id>campus name
canteen_dish: canteen_id>canteen name served_on price is_vegan
canteen_sale: canteen_dish_id>canteen_dish student_card_id>student_card sold_at
student_card: student_id>student issued_on balance_amount blocked_at
lib_branch: campus_id>campus name
lib_title: name author_text published_year isbn
lib_item: lib_title_id>lib_title lib_branch_id>lib_branch shelfmark condition
lib_loan: lib_item_id>lib_item student_card_id>student_card lent_at due_on returned_at
lib_fee: lib_loan_id>lib_loan amount paid_at
lib_reservation: lib_title_id>lib_title student_card_id>student_card placed_at
sport_course: title trainer_id>staff fee_amount weekday
sport_signup: sport_course_id>sport_course student_id>student signed_at
club: name founded_on
club_member: club_id>club student_id>student role joined_on
event: title campus_id>campus starts_at organiser_id>staff visitors_count
event_ticket: event_id>event student_id>student price bought_at
counselling_session: student_id>student counsellor_id>staff held_at topic
internship: student_id>student company_id>company starts_on ends_on salary
company: name industry town
alumni: student_id>student graduated_on employer_id>company donates
donation: alumni_id>alumni amount given_on purpose
exchange_partner: name country
exchange_stay: student_id>student exchange_partner_id>exchange_partner semester_id>semester
applicant: given_name family_name programme_id>programme applied_on decision points_count
applicant_document: applicant_id>applicant kind uploaded_at
admission_round: programme_id>programme semester_id>semester places_count
evaluation: offering_id>offering sent_at
evaluation_answer: evaluation_id>evaluation question rating remark
assignment: offering_id>offering title due_at
submission: assignment_id>assignment student_id>student handed_in_at points_count plagiarism_percent
attendance: offering_slot_id>offering_slot student_id>student attended_on
it_account: student_id>student login created_at locked_at
it_ticket: it_account_id>it_account subject opened_at closed_at assignee_id>staff
licence: software seats_count expires_on
print_job: it_account_id>it_account pages_count printed_at
parking_permit: staff_id>staff plate valid_until_on
vehicle: plate kind mileage_count
vehicle_trip: vehicle_id>vehicle driver_id>staff departed_at returned_at
audit_entry: actor_id>staff action_text noted_at
""".strip()
)

QUESTIONS = """
Which lectures are overbooked? | offering.capacity_count enrolment.offering_id course.title
Failure rate of each class last term | exam_attempt.passed exam.offering_id offering.course_id course.title semester.label
Who supervises the most theses? | thesis.supervisor_id lecturer.family_name
Students that have not paid their tuition | student.family_name fee_payment.student_id tuition_fee.amount
Which professors publish in the best venues? | lecturer.family_name publication_author.lecturer_id publication.venue_id venue.ranking
How many beds are empty in each dorm? | dormitory.name dorm_room.beds_count dorm_contract.dorm_room_id
Overdue library books by branch | lib_loan.due_on lib_loan.returned_at lib_item.lib_branch_id lib_branch.name
Grant money per funder | project.grant_amount project.funder_id funder.name
Where do our graduates work? | alumni.employer_id company.name
Average rating of Prof. Weber's courses | evaluation_answer.rating evaluation.offering_id offering.lecturer_id lecturer.family_name
Which rooms have a projector and at least 50 seats? | room.seats_count room_equipment.equipment_id equipment.name
Homework with a lot of copying | submission.plagiarism_percent assignment.title
Welche Studierenden sind im Austausch? | exchange_stay.student_id student.family_name exchange_partner.name
Hours booked on project ALPHA | timesheet.worked_hours project.acronym
vegan meals sold per canteen | canteen_dish.is_vegan canteen_sale.canteen_dish_id canteen.name
Who is on holiday next week? | leave_request.starts_on leave_request.ends_on staff.family_name
How many people applied for each degree programme and how many places are there? | applicant.programme_id programme.title admission_round.places_count
What do we pay per pay grade? | pay_grade.label pay_grade.monthly_amount staff_position.pay_grade_id staff.position_id
Which helpdesk tickets are still open? | it_ticket.closed_at it_ticket.subject
Donations by year of graduation | donation.amount alumni.graduated_on
Courses that must be taken before Databases II | course_prereq.required_course_id course.title
Lost library cards with money left on them | student_card.blocked_at student_card.balance_amount
"""
