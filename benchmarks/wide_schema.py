"""Generate an application of 200 tables in ten schemas, with many similar names and keys of every kind.

`ddl()` returns its SQL. Each line of `_TABLES` is a table: `schema.name: column column ...`. A column's type follows from
its name; `x>table` refers to the id of that table. Companion tables of the core tables (notes, history, attachments, tags)
bring the number to 200, to make linking harder.
"""

from __future__ import annotations

from collections.abc import Iterator

TABLES = 200

_TABLES = """
hr.employees: employee_number first_name last_name email hired_on department_id>hr.departments position_id>hr.positions manager_id>hr.employees is_active
hr.departments: name cost_center budget_amount parent_id>hr.departments
hr.positions: title grade minimum_salary maximum_salary
hr.salaries: employee_id>hr.employees valid_from_on gross_amount currency
hr.absences: employee_id>hr.employees absence_type_id>hr.absence_types starts_on ends_on approved_by_id>hr.employees
hr.absence_types: name is_paid yearly_allowance_count
hr.trainings: title provider duration_hours price
hr.training_attendances: training_id>hr.trainings employee_id>hr.employees attended_on passed_score
hr.performance_reviews: employee_id>hr.employees reviewer_id>hr.employees period rating summary
hr.job_openings: position_id>hr.positions opened_on closed_on status
hr.applicants: first_name last_name email phone applied_on job_opening_id>hr.job_openings stage
hr.interviews: applicant_id>hr.applicants interviewer_id>hr.employees held_at verdict
hr.shifts: employee_id>hr.employees site_id>facilities.sites starts_at ends_at
hr.payroll_runs: period executed_at total_amount status
hr.payslips: payroll_run_id>hr.payroll_runs employee_id>hr.employees net_amount gross_amount
crm.customers: name industry country status segment account_manager_id>hr.employees created_at
crm.contacts: customer_id>crm.customers first_name last_name email phone role
crm.leads: company source status score owner_id>hr.employees created_at
crm.opportunities: customer_id>crm.customers stage amount probability closes_on owner_id>hr.employees
crm.activities: opportunity_id>crm.opportunities kind happened_at summary
crm.contracts: customer_id>crm.customers signed_on expires_on yearly_amount status
crm.segments: name description
crm.territories: name region head_id>hr.employees
crm.customer_addresses: customer_id>crm.customers street city postcode country
crm.loyalty_accounts: customer_id>crm.customers points_count tier
sales.orders: customer_id>crm.customers status placed_at total_amount currency sales_rep_id>hr.employees
sales.order_items: order_id>sales.orders product_id>catalog.products quantity unit_price discount
sales.quotes: customer_id>crm.customers opportunity_id>crm.opportunities valid_until_on total_amount status
sales.quote_items: quote_id>sales.quotes product_id>catalog.products quantity unit_price
sales.returns: order_id>sales.orders reason requested_at refunded_amount status
sales.return_items: return_id>sales.returns product_id>catalog.products quantity
sales.coupons: code discount_percent expires_on usage_count
sales.coupon_redemptions: coupon_id>sales.coupons order_id>sales.orders redeemed_at
sales.commissions: employee_id>hr.employees order_id>sales.orders amount
sales.sales_targets: employee_id>hr.employees quarter target_amount
sales.carts: customer_id>crm.customers started_at abandoned_at
sales.cart_items: cart_id>sales.carts product_id>catalog.products quantity
catalog.products: sku name category_id>catalog.categories brand_id>catalog.brands list_price weight_grams is_active
catalog.categories: name parent_id>catalog.categories
catalog.brands: name country
catalog.product_images: product_id>catalog.products url position_count
catalog.product_reviews: product_id>catalog.products customer_id>crm.customers rating body written_at
catalog.price_lists: name currency valid_from_on
catalog.price_list_entries: price_list_id>catalog.price_lists product_id>catalog.products price
catalog.attributes: name unit
catalog.product_attributes: product_id>catalog.products attribute_id>catalog.attributes content
catalog.bundles: name price
catalog.bundle_items: bundle_id>catalog.bundles product_id>catalog.products quantity
finance.invoices: customer_id>crm.customers order_id>sales.orders number status issued_on due_on total_amount
finance.invoice_lines: invoice_id>finance.invoices description quantity net_amount tax_rate_id>finance.tax_rates
finance.payments: invoice_id>finance.invoices amount method received_at
finance.refunds: payment_id>finance.payments amount refunded_at
finance.tax_rates: country percent valid_from_on
finance.accounts: number name kind parent_id>finance.accounts
finance.journal_entries: booked_on description period
finance.journal_lines: journal_entry_id>finance.journal_entries account_id>finance.accounts debit_amount credit_amount
finance.budgets: department_id>hr.departments year planned_amount
finance.expenses: employee_id>hr.employees category amount spent_on status
finance.exchange_rates: currency rate valid_on
finance.bank_transactions: booked_at amount counterparty reference
finance.dunning_letters: invoice_id>finance.invoices level_count sent_on fee_amount
finance.assets: name purchased_on purchase_price depreciation_years site_id>facilities.sites
purchasing.suppliers: name country rating payment_terms
purchasing.purchase_orders: supplier_id>purchasing.suppliers buyer_id>hr.employees ordered_on status total_amount
purchasing.purchase_order_lines: purchase_order_id>purchasing.purchase_orders part_id>manufacturing.parts quantity unit_price
purchasing.supplier_contracts: supplier_id>purchasing.suppliers starts_on ends_on yearly_volume
purchasing.goods_receipts: purchase_order_id>purchasing.purchase_orders received_at warehouse_id>logistics.warehouses
purchasing.supplier_invoices: supplier_id>purchasing.suppliers purchase_order_id>purchasing.purchase_orders amount due_on paid_on
logistics.warehouses: name city capacity_count site_id>facilities.sites
logistics.stock_levels: warehouse_id>logistics.warehouses product_id>catalog.products on_hand_count reserved_count
logistics.stock_movements: warehouse_id>logistics.warehouses product_id>catalog.products quantity moved_at reason
logistics.shipments: order_id>sales.orders carrier_id>logistics.carriers warehouse_id>logistics.warehouses shipped_at delivered_at tracking_number
logistics.shipment_items: shipment_id>logistics.shipments order_item_id>sales.order_items quantity
logistics.carriers: name service_level
logistics.vehicles: license_plate model capacity_kilograms purchased_on
logistics.drivers: employee_id>hr.employees license_class
logistics.routes: name driver_id>logistics.drivers vehicle_id>logistics.vehicles planned_on
logistics.route_stops: route_id>logistics.routes shipment_id>logistics.shipments sequence_count arrived_at
logistics.customs_declarations: shipment_id>logistics.shipments tariff_code declared_amount
manufacturing.parts: number name unit_cost
manufacturing.bills_of_material: product_id>catalog.products part_id>manufacturing.parts quantity
manufacturing.machines: name site_id>facilities.sites installed_on status
manufacturing.maintenance_orders: machine_id>manufacturing.machines technician_id>hr.employees planned_on completed_on downtime_hours
manufacturing.production_orders: product_id>catalog.products quantity due_on status machine_id>manufacturing.machines
manufacturing.quality_inspections: production_order_id>manufacturing.production_orders inspector_id>hr.employees result defect_count inspected_at
manufacturing.defects: quality_inspection_id>manufacturing.quality_inspections kind severity
manufacturing.scrap_records: production_order_id>manufacturing.production_orders quantity reason
support.tickets: customer_id>crm.customers product_id>catalog.products assignee_id>hr.employees subject priority status opened_at resolved_at
support.ticket_comments: ticket_id>support.tickets author body written_at
support.service_level_agreements: customer_id>crm.customers response_hours resolution_hours
support.satisfaction_surveys: ticket_id>support.tickets score answered_at
support.knowledge_articles: title body author_id>hr.employees published_at
support.warranty_claims: product_id>catalog.products customer_id>crm.customers claimed_on status
marketing.campaigns: name channel budget_amount starts_on ends_on owner_id>hr.employees
marketing.campaign_members: campaign_id>marketing.campaigns lead_id>crm.leads responded_at
marketing.newsletters: subject sent_at recipients_count
marketing.newsletter_subscriptions: contact_id>crm.contacts newsletter_id>marketing.newsletters subscribed_at
marketing.web_sessions: visitor started_at landing_page duration_seconds
marketing.page_views: web_session_id>marketing.web_sessions path viewed_at
marketing.events: name city held_on capacity_count
marketing.event_registrations: event_id>marketing.events contact_id>crm.contacts registered_at attended
facilities.sites: name city country opened_on
facilities.buildings: site_id>facilities.sites name floor_count
facilities.rooms: building_id>facilities.buildings name seats_count
facilities.room_bookings: room_id>facilities.rooms booked_by_id>hr.employees starts_at ends_at
facilities.energy_readings: building_id>facilities.buildings kilowatt_hours read_at
facilities.access_badges: employee_id>hr.employees issued_on is_blocked
""".strip()

_CORE = """
crm.customers crm.contracts crm.opportunities sales.orders sales.quotes finance.invoices finance.payments
support.tickets catalog.products purchasing.suppliers purchasing.purchase_orders logistics.shipments
logistics.warehouses manufacturing.machines manufacturing.parts marketing.campaigns hr.employees
hr.departments facilities.buildings manufacturing.production_orders crm.leads crm.contacts hr.trainings
"""
_COMPANIONS = (
    "notes: body written_at",
    "history: changed_column old_content new_content changed_at",
    "attachments: file_name size_bytes uploaded_at",
    "tags: tag",
)
_KEYS_OF_EVERY_KIND = """
create table facilities.depots (region text, depot_code text, name text, primary key (region, depot_code));
create table logistics.meter_readings (region text, depot_code text, taken_on date, litres numeric,
  previous_region text, previous_depot text, previous_on date,
  primary key (region, depot_code, taken_on),
  foreign key (depot_code, region) references facilities.depots (depot_code, region),
  foreign key (previous_region, previous_depot, previous_on) references logistics.meter_readings) partition by range (taken_on);
create table logistics.meter_readings_2025 partition of logistics.meter_readings for values from ('2025-01-01') to ('2026-01-01');
create table logistics.meter_readings_2026 partition of logistics.meter_readings for values from ('2026-01-01') to ('2027-01-01');
create table logistics.meter_corrections (id bigint primary key, region text, depot_code text, taken_on date, litres numeric,
  foreign key (region, depot_code, taken_on) references logistics.meter_readings);
"""


def ddl() -> str:
    """Return the SQL that creates the application: schemas, tables, then the references between them."""
    specifications = list(_specifications())
    schemas = sorted({name.partition(".")[0] for name, _ in specifications})
    statements = [f"create schema {schema};" for schema in schemas]
    statements += [_table(name, columns) for name, columns in specifications]
    statements += [reference for name, columns in specifications for reference in _references(name, columns)]
    keys = _KEYS_OF_EVERY_KIND.replace(
        "primary key (region, depot_code));", "primary key (region, depot_code), unique (depot_code, region));"
    )
    return "\n".join([*statements, keys])


def tables_ddl(text: str) -> str:
    """Return the SQL that creates the tables of `text`, one a line as in `_TABLES`, then the references between them."""
    split = [(name, columns.split()) for name, _, columns in (line.partition(": ") for line in text.splitlines())]
    references = [reference for name, columns in split for reference in _references(name, columns)]
    return "\n".join([*(_table(name, columns) for name, columns in split), *references])


def _specifications() -> Iterator[tuple[str, list[str]]]:
    count = 3  # those with composite keys
    for line in _TABLES.splitlines():
        name, _, columns = line.partition(": ")
        count += 1
        yield name, columns.split()
    for companion in _COMPANIONS:
        suffix, _, columns = companion.partition(": ")
        for owner in _CORE.split():
            if count == TABLES:
                return
            count += 1
            singular = owner.removesuffix("s")
            reference = f"{singular.partition('.')[2]}_id>{owner}"
            yield f"{singular}_{suffix}", [reference, *columns.split()]


def _table(name: str, columns: list[str]) -> str:
    lines = ["id bigint generated always as identity primary key"]
    lines += [f"{column.partition('>')[0]} {_type(column)}" for column in columns]
    return f"create table {name} ({', '.join(lines)});"


def _references(name: str, columns: list[str]) -> Iterator[str]:
    for column in columns:
        own, _, target = column.partition(">")
        if target:
            yield f"alter table {name} add foreign key ({own}) references {target};"


def _type(column: str) -> str:
    endings = {
        ">": "bigint", "_at": "timestamptz", "_on": "date", "amount": "numeric(12,2)", "price": "numeric(12,2)",
        "cost": "numeric(12,2)", "salary": "numeric(12,2)", "quantity": "integer", "_count": "integer", "_hours": "numeric(6,2)",
        "percent": "numeric(5,2)", "rating": "smallint", "score": "smallint",
    }  # fmt: skip
    if ">" in column:
        return "bigint"
    if column.startswith("is_") or column == "attended":
        return "boolean"
    return next((kind for ending, kind in endings.items() if column.endswith(ending)), "text")
