"""Lists the extensions whose code is known, so that a read may run their types and operators, and these of their functions.

Major versions are listed, because a new one may differ. An extension's types, operators and indexes run its own code in C,
which only a superuser can install. Of the functions that a statement calls by name, only pure ones are listed. Functions that
run SQL from a string (crosstab, connectby, xpath_table), change settings (set_limit), or read files, pages, other servers or
other sessions are not listed, so a human is asked.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class KnownExtension:
    """An extension: its major `versions`, and the `functions` that a statement may call by name."""

    functions: frozenset[str]
    versions: tuple[str, ...] = ("1",)


def _known(functions: str = "", *versions: str) -> KnownExtension:
    return KnownExtension(frozenset(functions.split()), versions or ("1",))


_POSTGIS = """
  _st_bestsrid _st_voronoi
  box box2d box3d box3dtobox bytea geography geometry geometrytype json jsonb path point polygon text
  st_3dclosestpoint st_3ddfullywithin st_3ddistance st_3ddwithin st_3dextent st_3dintersects st_3dlength
  st_3dlineinterpolatepoint st_3dlongestline st_3dmakebox st_3dmaxdistance st_3dperimeter st_3dshortestline st_addmeasure
  st_addpoint st_affine st_angle st_area st_area2d st_asbinary st_asencodedpolyline st_asewkb st_asewkt st_asgeojson
  st_asgml st_ashexewkb st_askml st_aslatlontext st_asmvt st_asmvtgeom st_assvg st_astext st_astwkb st_azimuth st_boundary
  st_boundingdiagonal st_box2dfromgeohash st_buffer st_buildarea st_centroid st_chaikinsmoothing st_cleangeometry
  st_clipbybox2d st_closestpoint st_closestpointofapproach st_clusterdbscan st_clusterintersecting st_clusterkmeans
  st_clusterwithin st_collect st_collectionextract st_collectionhomogenize st_combinebbox st_concavehull st_contains
  st_containsproperly st_convexhull st_coorddim st_coveredby st_covers st_crosses st_curvetoline st_delaunaytriangles
  st_dfullywithin st_difference st_dimension st_disjoint st_distance st_distancesphere st_distancespheroid st_dump
  st_dumppoints st_dumprings st_dumpsegments st_dwithin st_endpoint st_envelope st_equals st_expand st_extent
  st_exteriorring st_flipcoordinates st_force2d st_force3d st_force3dm st_force3dz st_force4d st_forcecollection
  st_forcecurve st_forcepolygonccw st_forcepolygoncw st_forcerhr st_frechetdistance st_geogfromtext st_geogfromwkb
  st_geographyfromtext st_geohash st_geomcollfromtext st_geometricmedian st_geometryfromtext st_geometryn st_geometrytype
  st_geomfromewkb st_geomfromewkt st_geomfromgeohash st_geomfromgeojson st_geomfromgml st_geomfromkml st_geomfromtext
  st_geomfromtwkb st_geomfromwkb st_hasarc st_hausdorffdistance st_hexagon st_hexagongrid st_interiorringn
  st_interpolatepoint st_intersection st_intersects st_isclosed st_iscollection st_isempty st_ispolygonccw st_ispolygoncw
  st_isring st_issimple st_isvalid st_isvaliddetail st_isvalidreason st_length st_length2d st_linecrossingdirection
  st_linefromencodedpolyline st_linefrommultipoint st_linefromtext st_linefromwkb st_lineinterpolatepoint
  st_lineinterpolatepoints st_linelocatepoint st_linemerge st_linesubstring st_linetocurve st_locatealong st_locatebetween
  st_longestline st_m st_makebox2d st_makeenvelope st_makeline st_makepoint st_makepointm st_makepolygon st_makevalid
  st_maxdistance st_maximuminscribedcircle st_minimumboundingcircle st_minimumboundingradius st_minimumclearance st_multi
  st_ndims st_node st_normalize st_npoints st_nrings st_numgeometries st_numinteriorring st_numinteriorrings st_numpoints
  st_offsetcurve st_orderingequals st_orientedenvelope st_overlaps st_perimeter st_perimeter2d st_point
  st_pointfromgeohash st_pointfromtext st_pointfromwkb st_pointinsidecircle st_pointm st_pointn st_pointonsurface
  st_points st_pointz st_pointzm st_polyfromtext st_polygon st_polygonfromtext st_polygonize st_project
  st_quantizecoordinates st_reduceprecision st_relate st_relatematch st_removepoint st_removerepeatedpoints st_reverse
  st_rotate st_scale st_setpoint st_setsrid st_sharedpaths st_shiftlongitude st_shortestline st_simplify
  st_simplifypolygonhull st_simplifypreservetopology st_simplifyvw st_snap st_snaptogrid st_split st_square st_squaregrid
  st_srid st_startpoint st_subdivide st_summary st_symdifference st_tileenvelope st_touches st_transform st_translate
  st_triangulatepolygon st_unaryunion st_union st_within st_wrapx st_x st_xmax st_xmin st_y st_ymax st_ymin st_z st_zmax
  st_zmin
"""

KNOWN: Mapping[str, KnownExtension] = {
    "vector": _known("""
      avg sum l2_distance inner_product cosine_distance l1_distance vector_dims vector_norm l2_normalize binary_quantize
      subvector hamming_distance jaccard_distance l2_norm array_to_vector vector halfvec sparsevec vector_to_halfvec
      halfvec_to_vector vector_to_sparsevec sparsevec_to_vector array_to_halfvec vector_to_float4 halfvec_to_float4
    """, "0"),
    "pg_trgm": _known("show_limit show_trgm similarity strict_word_similarity word_similarity"),
    "citext": _known("""
      citext max min regexp_match regexp_matches regexp_replace regexp_split_to_array regexp_split_to_table replace
      split_part strpos translate
    """),
    "unaccent": _known("unaccent"),
    "fuzzystrmatch": _known("""
      daitch_mokotoff difference dmetaphone dmetaphone_alt levenshtein levenshtein_less_equal metaphone soundex text_soundex
    """),
    "hstore": _known("""
      akeys avals defined delete each exist fetchval hstore hstore_to_array hstore_to_json hstore_to_json_loose
      hstore_to_jsonb hstore_to_jsonb_loose hstore_to_matrix isdefined isexists skeys slice slice_array svals
    """),
    "btree_gin": _known(),
    "btree_gist": _known(),
    "bloom": _known(),
    "ltree": _known("index lca ltree2text nlevel subltree subpath text2ltree"),
    "intarray": _known("icount idx intset querytree sort sort_asc sort_desc subarray uniq"),
    "intagg": _known("int_array_aggregate int_array_enum"),
    "cube": _known("""
      cube cube_coord cube_dim cube_distance cube_enlarge cube_inter cube_is_point cube_ll_coord cube_size cube_subset
      cube_union cube_ur_coord distance_chebyshev distance_taxicab
    """),
    "earthdistance": _known("""
      earth earth_box earth_distance gc_to_sec geo_distance latitude ll_to_earth longitude sec_to_gc
    """),
    "seg": _known("seg_center seg_inter seg_lower seg_size seg_union seg_upper"),
    "isn": _known("is_valid isbn isbn13 ismn ismn13 issn issn13 make_valid upc"),
    "pgcrypto": _known("""
      armor crypt dearmor decrypt decrypt_iv digest encrypt encrypt_iv gen_random_bytes gen_random_uuid gen_salt hmac
      pgp_armor_headers pgp_key_id pgp_pub_decrypt pgp_pub_decrypt_bytea pgp_pub_encrypt pgp_pub_encrypt_bytea
      pgp_sym_decrypt pgp_sym_decrypt_bytea pgp_sym_encrypt pgp_sym_encrypt_bytea
    """),
    "uuid-ossp": _known("""
      uuid_generate_v1mc uuid_generate_v3 uuid_generate_v4 uuid_generate_v5 uuid_nil uuid_ns_dns uuid_ns_oid uuid_ns_url
      uuid_ns_x500
    """),
    "tablefunc": _known("normal_rand"),
    "postgis": _known(_POSTGIS, "2", "3"),
}  # fmt: skip

# "name major" for each, as the query implicit_code compares them with the catalogs.
NAMES_WITH_VERSIONS = sorted(f"{name} {version}" for name, known in KNOWN.items() for version in known.versions)

FUNCTIONS_OF_EXTENSIONS = frozenset[str]().union(*(known.functions for known in KNOWN.values()))


def is_pure(extension: str | None, function: str) -> bool:
    """Return whether a statement may call this function of an extension by name."""
    return extension is not None and extension in KNOWN and function in KNOWN[extension].functions
