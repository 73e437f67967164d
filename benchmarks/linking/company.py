"""Questions about the wide schema of 200 tables. Each names the columns that its answer needs."""

from __future__ import annotations

QUESTIONS = """
Who took the most sick days in each department? | hr.employees.department_id hr.absences.starts_on hr.absence_types.name hr.departments.name
Payroll per cost center | hr.salaries.gross_amount hr.employees.department_id hr.departments.cost_center
Which positions pay above their maximum? | hr.salaries.gross_amount hr.employees.position_id hr.positions.maximum_salary
Open tickets of our ten largest customers | support.tickets.status support.tickets.customer_id crm.customers.name
Suppliers whose goods arrive late | purchasing.suppliers.name purchasing.purchase_orders.supplier_id purchasing.goods_receipts.received_at
Stock on hand per site | logistics.stock_levels.on_hand_count logistics.warehouses.site_id facilities.sites.name
Which products have the most warranty claims? | support.warranty_claims.product_id catalog.products.name
Machines with long downtime and the technician who fixed them | manufacturing.machines.name manufacturing.maintenance_orders.downtime_hours hr.employees.last_name
Defects by product | manufacturing.defects.kind manufacturing.quality_inspections.production_order_id manufacturing.production_orders.product_id catalog.products.name
Parts needed for each product | manufacturing.bills_of_material.quantity manufacturing.parts.name catalog.products.name
Scrap by reason | manufacturing.scrap_records.reason manufacturing.scrap_records.quantity
Shipments stuck in customs | logistics.customs_declarations.shipment_id logistics.shipments.delivered_at
Drivers without a route today | logistics.drivers.employee_id logistics.routes.driver_id
Which leads came from the trade fair campaign? | marketing.campaigns.name marketing.campaign_members.lead_id crm.leads.id
Budget and responses of each campaign | marketing.campaigns.budget_amount marketing.campaign_members.responded_at
Who reads our newsletter? | marketing.newsletter_subscriptions.contact_id marketing.newsletters.subject crm.contacts.id
Visitors per landing page | marketing.web_sessions.landing_page marketing.web_sessions.visitor
Meeting rooms booked most | facilities.room_bookings.room_id facilities.rooms.name
Energy per building | facilities.energy_readings.kilowatt_hours facilities.buildings.name
Blocked badges of people who still work here | facilities.access_badges.is_blocked hr.employees.is_active
Unpaid supplier invoices by due date | purchasing.supplier_invoices.due_on purchasing.supplier_invoices.paid_on purchasing.suppliers.name
Satisfaction by assignee | support.satisfaction_surveys.score support.tickets.assignee_id hr.employees.last_name
Contracted yearly volume versus ordered quantity | purchasing.supplier_contracts.yearly_volume purchasing.purchase_order_lines.quantity purchasing.purchase_orders.supplier_id
Which carriers lose parcels? | logistics.carriers.name logistics.shipments.carrier_id logistics.shipments.delivered_at
"""
