"""Lists what a statement may consist of and still count as a read; for anything else a human is asked.

The names are of pg_catalog. A function is listed only if calling it changes nothing, shows nothing of other sessions, files
or secrets, and runs no SQL that is hidden in a string.
"""

from __future__ import annotations

import re

from agent.text.words import word_set

READ_NODES = word_set("""
  A_ArrayExpr A_Const A_Expr A_Indices A_Indirection A_Star Alias BitString BoolExpr Boolean BooleanTest CTECycleClause
  CTESearchClause CaseExpr CaseWhen CoalesceExpr CollateClause ColumnRef CommonTableExpr Float FuncCall GroupingFunc
  GroupingSet Integer JoinExpr JsonAggConstructor JsonArrayAgg JsonArrayConstructor JsonArrayQueryConstructor JsonFormat
  JsonFuncExpr JsonKeyValue JsonObjectAgg JsonObjectConstructor JsonOutput JsonReturning JsonBehavior JsonArgument
  JsonTable JsonTableColumn JsonTablePathSpec JsonValueExpr
  List MinMaxExpr NamedArgExpr NullTest ParseResult RangeFunction RangeSubselect RangeTableSample RangeVar RawStmt ResTarget
  RowExpr SQLValueFunction SelectStmt SortBy String SubLink TypeCast TypeName WindowDef WithClause ColumnDef
""")

# First aggregates, then window functions, then the others by their subject.
FUNCTIONS = word_set("""
  any_value array_agg avg bit_and bit_or bit_xor bool_and bool_or corr count covar_pop covar_samp every json_agg
  json_agg_strict json_object_agg json_object_agg_strict json_object_agg_unique json_object_agg_unique_strict jsonb_agg
  jsonb_agg_strict jsonb_object_agg jsonb_object_agg_strict jsonb_object_agg_unique jsonb_object_agg_unique_strict max min
  mode percentile_cont percentile_disc range_agg range_intersect_agg regr_avgx regr_avgy regr_count regr_intercept regr_r2
  regr_slope regr_sxx regr_sxy regr_syy stddev stddev_pop stddev_samp string_agg sum var_pop var_samp variance

  cume_dist dense_rank first_value lag last_value lead nth_value ntile percent_rank rank row_number

  abs acos acosd acosh asin asind asinh atan atan2 atan2d atand atanh cbrt ceil ceiling cos cosd cosh cot cotd degrees div
  erf erfc exp factorial floor gamma gcd lcm lgamma ln log log10 min_scale mod pi pow power radians random random_normal
  round scale sign sin sind sinh sqrt tan tand tanh trim_scale trunc width_bucket
  bool float4 float8 int2 int4 int8 numeric

  ascii bit_count bit_length bpchar btrim casefold char_length character_length chr concat concat_ws convert_from
  convert_to crc32 crc32c decode encode format get_bit get_byte initcap is_normalized left length like_escape lower
  lpad ltrim md5 normalize octet_length overlay position quote_ident quote_literal quote_nullable regexp_count regexp_instr
  regexp_like regexp_match regexp_matches regexp_replace regexp_split_to_array regexp_split_to_table regexp_substr
  repeat replace reverse right rpad rtrim sha224 sha256 sha384 sha512 similar_escape similar_to_escape split_part
  starts_with string_to_array string_to_table strpos substr substring text to_ascii to_bin to_hex to_oct translate
  unicode_assigned unistr upper varchar

  age clock_timestamp date date_add date_bin date_part date_subtract date_trunc extract interval isfinite justify_days
  justify_hours justify_interval make_date make_interval make_time make_timestamp make_timestamptz now overlaps
  statement_timestamp timeofday timestamp timestamptz timezone to_char to_date to_number to_timestamp transaction_timestamp

  json_array_elements json_array_elements_text json_array_length json_build_array json_build_object json_each
  json_each_text json_extract_path json_extract_path_text json_object json_object_keys json_strip_nulls json_to_record
  json_to_recordset json_typeof jsonb_array_elements jsonb_array_elements_text jsonb_array_length jsonb_build_array
  jsonb_build_object jsonb_each jsonb_each_text jsonb_extract_path jsonb_extract_path_text jsonb_insert jsonb_object
  jsonb_object_keys jsonb_path_exists jsonb_path_exists_tz jsonb_path_match jsonb_path_match_tz jsonb_path_query
  jsonb_path_query_array jsonb_path_query_array_tz jsonb_path_query_first jsonb_path_query_first_tz jsonb_path_query_tz
  jsonb_pretty jsonb_set jsonb_set_lax jsonb_strip_nulls jsonb_to_record jsonb_to_recordset jsonb_typeof row_to_json
  to_json to_jsonb

  array_append array_cat array_dims array_length array_lower array_ndims array_position array_positions array_prepend
  array_remove array_replace array_reverse array_sample array_shuffle array_sort array_to_json array_to_string array_upper
  cardinality generate_series generate_subscripts trim_array unnest

  daterange int4multirange int4range int8multirange int8range isempty lower_inc lower_inf multirange numrange
  nummultirange datemultirange tsmultirange tstzmultirange range_merge tsrange tstzrange upper_inc upper_inf

  array_to_tsvector numnode phraseto_tsquery plainto_tsquery querytree setweight strip to_tsquery to_tsvector
  json_to_tsvector jsonb_to_tsvector ts_delete ts_filter ts_headline ts_rank ts_rank_cd tsquery_phrase tsvector_to_array
  websearch_to_tsquery

  enum_first enum_last enum_range gen_random_uuid uuid_extract_timestamp uuid_extract_version uuidv4 uuidv7

  abbrev broadcast family host hostmask inet_merge inet_same_family masklen netmask network set_masklen

  area box center circle diameter height lseg npoints path point polygon radius width

  current_catalog current_database current_schema current_schemas current_user pg_typeof session_user version

  col_description format_type obj_description pg_get_constraintdef pg_get_expr pg_get_indexdef pg_get_viewdef
  pg_get_function_arguments pg_get_function_result pg_get_serial_sequence
  pg_get_userbyid pg_get_partkeydef pg_column_size pg_collation_for pg_database_size pg_indexes_size pg_relation_size
  pg_size_bytes pg_size_pretty pg_table_is_visible pg_table_size pg_total_relation_size to_regclass to_regnamespace
  has_table_privilege has_column_privilege has_schema_privilege
""")

# This function is allowed only with a constant argument that SHOWN_SETTINGS names.
SETTING_FUNCTION = "current_setting"

# SHOW and current_setting may show only these: custom settings often hold secrets, such as Supabase's JWT secret.
SHOWN_SETTINGS = word_set("""
  server_version server_version_num server_encoding client_encoding timezone datestyle intervalstyle search_path
  transaction_isolation transaction_read_only default_transaction_isolation statement_timeout lock_timeout
  standard_conforming_strings lc_collate lc_ctype lc_monetary lc_numeric lc_time max_connections integer_datetimes
  block_size data_checksums work_mem effective_cache_size shared_buffers
""")

# Functions that casts, window frames and samples call without naming them.
_IMPLICIT_FUNCTIONS = word_set("""
  in_range bernoulli system name char regclass bit varbit money time timetz interval jsonb json cidr inet macaddr macaddr8
  oid xid line polygon tsvector array_subscript_handler
""")
RESOLVED_FUNCTIONS = FUNCTIONS | _IMPLICIT_FUNCTIONS | {SETTING_FUNCTION}

# Nodes of the server's trees (pg_node_tree); Postgres 15 has other names for some of them, which are here too.
TREE_NODES = word_set("""
  AGGREF ALIAS ARRAY ARRAYCOERCEEXPR ARRAYEXPR BOOLEANTEST BOOLEXPR CASE CASEEXPR CASETESTEXPR CASEWHEN COALESCE
  COALESCEEXPR COERCETODOMAIN COERCETODOMAINVALUE COERCEVIAIO COLLATEEXPR COMMONTABLEEXPR CONST CONVERTROWTYPEEXPR
  CTECYCLECLAUSE CTESEARCHCLAUSE DISTINCTEXPR FIELDSELECT FROMEXPR FUNCEXPR GROUPINGFUNC GROUPINGSET JOINEXPR JSONBEHAVIOR
  JSONCONSTRUCTOREXPR JSONEXPR JSONFORMAT JSONRETURNING JSONTABLEPATH JSONTABLEPATHSCAN JSONTABLESIBLINGJOIN JSONVALUEEXPR
  MINMAX MINMAXEXPR NAMEDARGEXPR NULLIFEXPR NULLTEST OPEXPR PARAM PARTITIONBOUNDSPEC PARTITIONRANGEDATUM QUERY RANGETBLENTRY
  RANGETBLFUNCTION RANGETBLREF RELABELTYPE ROW ROWCOMPARE ROWCOMPAREEXPR ROWEXPR RTE RTEPERMISSIONINFO SCALARARRAYOPEXPR
  SETOPERATIONSTMT SORTGROUPCLAUSE SQLVALUEFUNCTION SUBLINK SUBSCRIPTINGREF TABLEFUNC TABLESAMPLECLAUSE TARGETENTRY VAR WHEN
  WINDOWCLAUSE WINDOWFUNC
""")

# Types of the system that no honest question names. Every other type of the system is allowed; a user's type is resolved.
OTHER_SYSTEM_TYPES = word_set("""
  aclitem cid cstring int2vector internal oidvector pg_lsn pg_ndistinct pg_node_tree pg_snapshot regcollation regoper
  regoperator regproc regprocedure regrole tid txid_snapshot void xid8 xml refcursor gtsvector anyelement anyarray trigger
""")

# System relations that describe the database and show nothing of other sessions, statements or secrets. The view
# pg_sequences is not listed: reading it takes a writer's lock on every sequence.
CATALOGS = word_set("""
  pg_am pg_attrdef pg_attribute pg_class pg_collation pg_constraint pg_database pg_depend pg_description pg_enum
  pg_extension pg_index pg_indexes pg_inherits pg_language pg_matviews pg_namespace pg_opclass pg_operator
  pg_partitioned_table pg_policies pg_policy pg_proc pg_range pg_rewrite pg_sequence pg_tables pg_trigger
  pg_type pg_views pg_stat_user_tables pg_stat_user_indexes pg_stat_all_tables pg_stat_all_indexes pg_statio_user_tables
  pg_timezone_names pg_ts_config pg_statistic_ext pg_stat_database pg_available_extensions
""")

# Columns of these catalogs that often hold secrets: settings of functions, arguments of triggers, options of foreign tables.
SECRET_COLUMNS = {
    "pg_proc": frozenset({"proconfig"}),
    "pg_trigger": frozenset({"tgargs"}),
    "pg_attribute": frozenset({"attfdwoptions"}),
}

# Views of the information_schema, without those of options and of user mappings.
INFORMATION_VIEWS = word_set("""
  applicable_roles attributes character_sets check_constraint_routine_usage check_constraints
  collation_character_set_applicability collations column_column_usage column_domain_usage column_privileges
  column_udt_usage columns constraint_column_usage constraint_table_usage data_type_privileges domain_constraints
  domain_udt_usage domains element_types enabled_roles information_schema_catalog_name key_column_usage parameters
  referential_constraints role_column_grants role_routine_grants role_table_grants role_udt_grants role_usage_grants
  routine_column_usage routine_privileges routine_routine_usage routine_sequence_usage routine_table_usage routines
  schemata sequences table_constraints table_privileges tables triggered_update_columns triggers
  udt_privileges usage_privileges user_defined_types view_column_usage view_routine_usage view_table_usage views
""")

# Statistics hold values of the columns, so they cannot be read while AGENT_DENY denies some columns.
VALUE_CATALOGS = word_set("pg_stats pg_stats_ext pg_stats_ext_exprs")

SECRET_CATALOGS = word_set("""
  pg_authid pg_shadow pg_user_mapping pg_user_mappings pg_hba_file_rules pg_ident_file_mappings pg_file_settings
  pg_subscription pg_largeobject pg_statistic pg_statistic_ext_data user_mapping_options _pg_user_mappings
""")

OUR_SCHEMAS = re.compile(r"^agents(_|$)", re.IGNORECASE)

# Kinds of statements that no agent needs: they act on the session, the server or people's rights.
REFUSED_KINDS = word_set("""
  AlterDatabaseRefreshCollStmt AlterDatabaseSetStmt AlterDatabaseStmt AlterEventTrigStmt AlterFdwStmt
  AlterForeignServerStmt AlterRoleSetStmt AlterRoleStmt AlterSubscriptionStmt AlterSystemStmt
  AlterTableMoveAllStmt AlterTableSpaceOptionsStmt AlterUserMappingStmt CheckPointStmt ClosePortalStmt ConstraintsSetStmt
  CopyStmt CreateAmStmt CreateEventTrigStmt CreateFdwStmt CreateForeignServerStmt CreatePLangStmt CreateRoleStmt
  CreateSubscriptionStmt CreateTableSpaceStmt CreateUserMappingStmt CreatedbStmt DeallocateStmt DeclareCursorStmt
  DiscardStmt DoStmt DropOwnedStmt DropRoleStmt DropSubscriptionStmt DropTableSpaceStmt DropUserMappingStmt DropdbStmt
  ExecuteStmt FetchStmt GrantRoleStmt ListenStmt LoadStmt LockStmt NotifyStmt PrepareStmt ReassignOwnedStmt
  SecLabelStmt TransactionStmt UnlistenStmt VariableSetStmt CreateTransformStmt CreateCastStmt CreateConversionStmt
  ImportForeignSchemaStmt CreateForeignTableStmt
""")

# Functions that reach outside the transaction's rollback: another session, a file, the network, another role.
REFUSED_FUNCTIONS = re.compile(
    r"^(set_config|dblink.*|pg_(terminate|cancel)_backend|pg_read_.*|pg_ls_.*|pg_stat_file|pg_file_.*|lo_.*|"
    r"pg_(try_)?advisory_.*|pg_reload_conf|pg_rotate_logfile|pg_promote|pg_switch_wal|pg_create_.*|pg_drop_.*|"
    r"pg_replication_.*|pg_logical_.*|pg_backup_.*|pg_wal_replay_.*|pg_execute_server_program|http_.*|http|"
    r"net\..*|pg_sleep.*|pg_notify|(query|table|schema|database|cursor)_to_xml.*|ts_stat|ts_rewrite|"
    r"pg_(restore|clear)_.*_stats|binary_upgrade_.*|satisfies_hash_partition)$"
)
