"""Which columns are masked for their name: a labelled set of columns as real schemas have them, with their types and tables."""

from __future__ import annotations

import pytest

from agent.privacy.sensitive import looks_sensitive

_CATEGORIES = {
    "int": "N", "bigint": "N", "smallint": "N", "numeric": "N", "money": "N", "bool": "B", "date": "D", "timestamptz": "D",
    "interval": "T", "enum": "E", "text": "S", "varchar": "S", "char": "S", "uuid": "U", "jsonb": "U", "bytea": "U", "inet": "I",
    "text[]": "A", "integer[]": "A", "point": "G",
}  # fmt: skip

# table: column type, ...; a `+` before a column says that it is personal or secret, `key` that it is a primary or foreign key.
LABELLED = """
customers: id int key, +email text, +phone varchar, +first_name text, +last_name text, +name text, +date_of_birth date, email_verified bool,
  email_verified_at timestamptz, phone_verified bool, address_id int, address_id int key, +address text, +address_line1 text, +address2 text, city text,
  +postal_code text, country_code char, newsletter bool, loyalty_points int, created_at timestamptz, +fax text, +mobile text, preferred_language text,
  marketing_consent bool, +tax_id text, +vat_number text, status enum, gender enum, email_count int, last_login_at timestamptz, login_count int
users: id uuid key, +username text, +password_hash text, +api_key text, +reset_token text, +ssn int, +ssn text, +phone bigint, +phone_number bigint, +pin int,
  +pin_code text, +otp text, +totp_secret text, password_changed_at timestamptz, failed_login_attempts int, is_admin bool, avatar_id int key, +avatar_url text,
  +last_login_ip inet, +ip_address text, session_count int, +session_token uuid, token_expires_at timestamptz, +refresh_token text, +display_name text, +full_name text,
  +nickname text, +birthday date, birth_country_id int key, +birth_year smallint, age int, role_id int key, email_opt_in bool, +recovery_email text, email_frequency enum,
  phone_type text, email_template text, +device_id text, +user_agent text, locale text, timezone text, password_policy_id int, +email_id text, passport_id int key
employees: +salary numeric, +national_id text, +nationalidnumber varchar, +birthdate date, hiredate date, jobtitle varchar, +maritalstatus char, +gender char, salaried bool,
  vacationhours smallint, +loginid varchar, manager_id int key, +iban text, +bank_account text, +home_phone text, extension text, department_id int, +photo bytea,
  +emergency_contact_phone text, +passport_number text, +driver_license text, sick_days int, +latitude numeric, badge_number int, +wage money, +account_number bigint
person: emailpromotion int, title varchar, +firstname varchar, +middlename varchar, +emailaddress varchar, emailaddressid int key, phonenumbertypeid int key,
  +phonenumber varchar, +addressline1 varchar, addresstypeid int, stateprovinceid int key, +postalcode varchar, addressid int key, modifieddate timestamptz, rowguid uuid, +creditcardnumber bigint
cards: +card_number text, +card_number bigint, +cvv int, +cvc text, expmonth smallint, expyear smallint, cardtype varchar, card_type text, card_id int key, +cardholder_name text, card_count int, +last_four text, +pan text
products: name text, description text, price numeric, vat numeric, vat_rate numeric, weight numeric, photo_count int, sku text, barcode text, race_id int key, age_rating text, +api_secret text, tokens int
orders: id bigint key, customer_id int key, total numeric, status text, +shipping_address text, +billing_address jsonb, billing_city text, billing_state text, +billing_email text,
  shipping_address_id bigint, +ship_postal_code varchar, mail_sent bool, emails_sent int, notes text, tracking_number text, payment_method text, currency char
stores: name text, +phone text, manager_staff_id int key, latitude numeric, longitude numeric, opened_on date, square_metres int, phone_lines int, +email text
llm_calls: input_tokens int, output_tokens int, max_tokens int, total_tokens bigint, token_limit int, model text, prompt_token_count int, cost_per_token numeric, latency interval
commits: commit_hash text, content_hash text, author_id int key, +author_email text, message text, parent_hash text, file_size bigint, +signature text
sessions: id uuid key, user_id uuid key, +token text, +token uuid, created_at timestamptz, expires_at timestamptz, token_type text, ip_version int, session_length interval, +csrf text, +cookie text
webhooks: id int key, +secret text, +signing_key text, url text, secret_version int, secret_rotated_at timestamptz, enabled bool, +access_tokens text[], retry_counts integer[], event_type text
settings: smtp_host text, smtp_port int, +smtp_password text, password_min_length int, password_length int, email_provider text, mail_server text, mail_subject text, oauth_provider text,
  +oauth_token text, jwt_issuer text, otp_length int, pin_attempts smallint, cookie_consent bool, +private_key text, session_timeout int
patients: +diagnosis text, +blood_type text, +medical_record_number text, +insurance_number bigint, weight_unit text, visit_count int, +zip int, +phone2 text, +religion text, +weight numeric
cities: latitude numeric, longitude numeric, +zip text, population int, name text, mayor_id int key, area_code text
accounts: balance numeric, +account_number text, +routing_number text, +swift text, currency text, name text, account_type text, account_status text, owner_id int
repositories: full_name text, display_name text, is_private bool, stars int, +deploy_token text, default_branch text
devices: +mac_address text, +imei bigint, mobile_os text, phone_model_id int key, os_version text, +phone bigint, battery_level int, is_mobile bool
reviews: +reviewername text, +reviewer_name text, phonenumbertype text, rating int, +accountnumber varchar, product_name text, group_name text, +sender_name text
races: race text, race_date date, winner_id int key, lap_count int, distance numeric
"""


def _cases() -> list[tuple[str, str, str, bool, bool]]:
    cases: list[tuple[str, str, str, bool, bool]] = []
    table = ""
    for entry in LABELLED.replace("\n  ", " ").strip().splitlines():
        table, _, columns = entry.partition(": ")
        for column in columns.split(", "):
            name, kind, *key = column.strip().rstrip(",").split()
            cases.append((table, name.removeprefix("+"), kind, bool(key), name.startswith("+")))
    return cases


_CASES = _cases()


@pytest.mark.parametrize(("table", "column", "kind", "is_key", "masked"), _CASES)
def test_a_column_is_masked_where_it_is_somebodys(
    table: str, column: str, kind: str, *, is_key: bool, masked: bool
) -> None:
    siblings = [name for place, name, *_ in _CASES if place == table]
    found = looks_sensitive(
        column, table=table, siblings=siblings, category=_CATEGORIES[kind], type_name=kind, is_key=is_key
    )
    assert found is masked


def test_the_set_is_large_and_of_both_kinds() -> None:
    assert len(_CASES) >= 150
    assert 0.3 < sum(masked for *_, masked in _CASES) / len(_CASES) < 0.7
