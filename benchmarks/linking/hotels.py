"""A schema that does not fit the budget: a group of hotels. Each question names the columns that its answer needs.

A line of `_TABLES` is a table, as in `wide_schema`; `_AUDITED` columns are in every table, as in many applications.
"""

from __future__ import annotations

from benchmarks.wide_schema import tables_ddl

_AUDITED = "created_at updated_at created_by updated_by external_reference is_archived"

_TABLES = """
hotel: title city country star_rating opened_on region_id>region
region: title director_id>employee
floor: hotel_id>hotel level_count
room: hotel_id>hotel floor_id>floor room_category_id>room_category number view_direction
room_category: title max_guests_count base_price
amenity: title
room_amenity: room_id>room amenity_id>amenity
guest: full_name nationality language joined_on loyalty_level_id>loyalty_level
guest_preference: guest_id>guest topic wish
loyalty_level: title minimum_nights_count discount_percent
loyalty_entry: guest_id>guest points_count reason booked_on
company: title industry negotiated_rate_id>rate_plan
rate_plan: title cancellable_until_hours includes_breakfast
rate: rate_plan_id>rate_plan room_category_id>room_category valid_on price
season: title starts_on ends_on surcharge_percent
sales_channel: title commission_percent
reservation: guest_id>guest company_id>company hotel_id>hotel sales_channel_id>sales_channel rate_plan_id>rate_plan state arrives_on departs_on adults_count
reservation_room: reservation_id>reservation room_category_id>room_category nightly_price
stay: reservation_id>reservation room_id>room checked_in_at checked_out_at
stay_guest: stay_id>stay guest_id>guest
cancellation: reservation_id>reservation cancelled_at reason fee_amount
no_show: reservation_id>reservation noted_at fee_amount
folio: stay_id>stay opened_at closed_at
folio_item: folio_id>folio product_id>product quantity unit_price posted_at
product: title product_group_id>product_group tax_rate_id>tax_rate list_price
product_group: title
tax_rate: title percent
settlement: folio_id>folio settlement_method_id>settlement_method amount settled_at
settlement_method: title
refund: settlement_id>settlement amount reason refunded_at
voucher: code face_amount valid_until_on sold_at
voucher_use: voucher_id>voucher folio_id>folio amount
restaurant: hotel_id>hotel title seats_count
dining_table: restaurant_id>restaurant label seats_count
table_booking: dining_table_id>dining_table guest_id>guest starts_at party_count
menu: restaurant_id>restaurant title starts_on
dish: menu_id>menu title price is_vegetarian
dish_allergen: dish_id>dish allergen_id>allergen
allergen: title
recipe_item: dish_id>dish ingredient_id>ingredient quantity
ingredient: title unit
supplier: title city payment_terms
supply_order: supplier_id>supplier hotel_id>hotel ordered_on state
supply_order_item: supply_order_id>supply_order ingredient_id>ingredient quantity unit_price
spa: hotel_id>hotel title
treatment: spa_id>spa title duration_minutes price
treatment_booking: treatment_id>treatment guest_id>guest therapist_id>employee starts_at
employee: full_name job_title_id>job_title hotel_id>hotel supervisor_id>employee hired_on left_on
job_title: title hourly_cost
shift: employee_id>employee starts_at ends_at
absence: employee_id>employee kind starts_on ends_on
skill: title
employee_skill: employee_id>employee skill_id>skill acquired_on
cleaning_task: room_id>room employee_id>employee planned_on finished_at
inspection: room_id>room inspector_id>employee score inspected_at
damage: room_id>room reported_by_id>employee description repair_cost reported_at
repair_order: damage_id>damage contractor_id>contractor ordered_on finished_on
contractor: title trade
minibar_check: room_id>room employee_id>employee checked_at
minibar_line: minibar_check_id>minibar_check product_id>product quantity
lost_item: hotel_id>hotel room_id>room found_on description claimed_by_id>guest
survey: stay_id>stay sent_at answered_at
survey_answer: survey_id>survey survey_topic_id>survey_topic score remark
survey_topic: title
complaint: stay_id>stay topic opened_at solved_at compensation_amount
event_hall: hotel_id>hotel title capacity_count
banquet: event_hall_id>event_hall company_id>company held_on price
banquet_menu: banquet_id>banquet menu_id>menu covers_count
parking_space: hotel_id>hotel label
parking_use: parking_space_id>parking_space stay_id>stay license_plate entered_at
shuttle: hotel_id>hotel title seats_count
shuttle_ride: shuttle_id>shuttle driver_id>employee departs_at passengers_count
meter: hotel_id>hotel medium unit
meter_reading: meter_id>meter reading read_on
mailing: title subject sent_at
mailing_recipient: mailing_id>mailing guest_id>guest opened_at
""".strip()

HOTELS = tables_ddl("\n".join(f"public.{line} {_AUDITED}".replace(">", ">public.") for line in _TABLES.splitlines()))

QUESTIONS = """
Occupancy per hotel last month | hotel.title room.hotel_id stay.room_id stay.checked_in_at stay.checked_out_at
Which guests stayed most often? | guest.full_name stay_guest.guest_id stay.checked_in_at
Revenue per product group | folio_item.quantity folio_item.unit_price product.product_group_id product_group.title
Which channel brings the most cancellations? | sales_channel.title reservation.sales_channel_id cancellation.reservation_id
How many reservations were no-shows in March? | reservation.arrives_on no_show.reservation_id
Average score per survey topic and hotel | survey_answer.score survey_topic.title survey.stay_id stay.room_id room.hotel_id hotel.title
Which rooms have not been cleaned today? | room.number cleaning_task.planned_on cleaning_task.finished_at
Repair costs per contractor | damage.repair_cost repair_order.contractor_id contractor.title
Vegetarian dishes that contain nuts | dish.is_vegetarian dish_allergen.allergen_id allergen.title
Which supplier is the most expensive for flour? | supplier.title supply_order.supplier_id supply_order_item.unit_price ingredient.title
Who works the most hours? | employee.full_name shift.starts_at shift.ends_at
Who is the supervisor of Jan Roth? | employee.full_name employee.supervisor_id
How many people are sick today? | absence.kind absence.starts_on absence.ends_on
Guests who drank from the minibar but never paid | guest.full_name minibar_line.quantity minibar_check.room_id stay.room_id settlement.folio_id
Top companies by nights | company.title reservation.company_id reservation.arrives_on reservation.departs_on
Points of each gold member | loyalty_level.title guest.loyalty_level_id loyalty_entry.points_count
Open folios of guests that have left | folio.closed_at stay.checked_out_at stay_guest.guest_id guest.full_name
Unredeemed vouchers | voucher.code voucher.valid_until_on voucher_use.voucher_id
Which treatments are booked together with massages? | treatment.title treatment_booking.guest_id
Spa sales by therapist | treatment.price treatment_booking.therapist_id employee.full_name
Which banquets used the summer menu? | banquet.held_on banquet_menu.menu_id menu.title
Water consumption per hotel | meter.medium meter_reading.reading hotel.title
Were there complaints about room 214? | complaint.topic stay.room_id room.number
Which damages were reported but never repaired? | damage.description repair_order.damage_id
Compensation paid per region | complaint.compensation_amount stay.room_id room.hotel_id hotel.region_id region.title
Tables booked for more than six people tonight | table_booking.party_count table_booking.starts_at dining_table.label
Which cars are still in the garage? | parking_use.license_plate parking_space.label
Who opened our newsletter? | mailing.title mailing_recipient.opened_at guest.full_name
Price of a double room in August for each plan | rate.price rate.valid_on rate_plan.title room_category.title
Refunds by payment method | refund.amount settlement.settlement_method_id settlement_method.title
Umbrellas that were found and never claimed | lost_item.description lost_item.claimed_by_id
How full are the airport shuttles? | shuttle.seats_count shuttle_ride.passengers_count
Inspectors whose scores are lowest | inspection.score employee.full_name
Which rooms have a balcony? | room.number room_amenity.amenity_id amenity.title
"""
