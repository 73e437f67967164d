"""Lists the functions of the server that only show their arguments, by their names in pg_proc.

They take any value without an error and return one row. So masking their result is enough: nothing is learned from whether,
how often or how they ran. Every other function reveals something about a secret that it gets.
"""

from __future__ import annotations

from agent.text.words import word_set

# The result holds the value as it is.
WHOLE = word_set(
    """
    textcat anytextcat textanycat jsonb_concat array_cat array_append array_prepend concat concat_ws text varchar bpchar
    name upper lower btrim ltrim rtrim to_json to_jsonb row_to_json array_to_json json_build_object json_build_array
    jsonb_build_object jsonb_build_array string_agg array_agg json_agg jsonb_agg json_object_agg
    jsonb_object_agg json_agg_strict jsonb_agg_strict min max any_value lag lead first_value last_value nth_value
    quote_literal quote_nullable quote_ident array_to_string json_strip_nulls jsonb_strip_nulls jsonb_pretty
    json_object_field json_object_field_text jsonb_object_field jsonb_object_field_text json_array_element
    json_array_element_text jsonb_array_element jsonb_array_element_text json_extract_path json_extract_path_text
    jsonb_extract_path jsonb_extract_path_text jsonb_delete
    """
)
# The result holds a part or a digest of the value.
PIECES = word_set(
    """
    left right substr substring reverse md5 sha224 sha256 sha384 sha512 length char_length character_length octet_length
    bit_length initcap replace translate encode to_hex overlay split_part
    """
)
COUNTS = word_set("count")
_TYPES = word_set(
    "text bpchar name int2 int4 int8 int24 int42 int28 int82 int48 int84 char oid numeric_ jsonb_ uuid_ bytea array_ record_ bool"
)
EQUALITIES = frozenset(f"{name}{end}" for name in _TYPES for end in ("eq", "ne"))
NAMES = WHOLE | PIECES | COUNTS | EQUALITIES
