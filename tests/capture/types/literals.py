"""Texts that PostgreSQL reads as values of its built-in types, extremes first of all.

A text that some version refuses is passed over there; that every type gets values is asserted.
"""

from typing import Final

TEXTS: Final = (
    "", " ", "a", "NULL", "null", "{}", "(,)", "[1,2)", 'say "yes"', "it's", "back\\slash",
    "a,b", "{a}", "line\nfeed", "tab\there", "日本語", "\U0001f600", "%s %% $1", "trailing ",
    "\\x41", "empty", "infinity", "x" * 300,
)  # fmt: skip

_INT4 = ("0", "1", "-1", "2147483647", "-2147483648")
_DATES = (
    "2024-02-29", "0001-01-01", "0001-01-01 BC", "4713-01-01 BC", "5874897-12-31", "10000-01-01",
    "9999-12-31", "infinity", "-infinity", "0044-03-15 BC",
)  # fmt: skip
# Not the very last microsecond: rounded by a type modifier it is one that no server reads again.
_STAMPS = (
    "2024-02-29 12:34:56.789012", "0001-01-01 00:00:00 BC", "4713-01-01 00:00:00 BC",
    "294276-12-31 23:59:58.999998", "10000-01-01 00:00:00", "1999-12-31 23:59:59.5", "infinity",
    "-infinity", "0044-03-15 06:00:00.25 BC", "9999-12-31 23:59:59.999999",
)  # fmt: skip
# Without JSON's own null as a whole value: an event cannot tell it from NULL (docs/contracts.md).
_JSON = (
    "{}", "[]", "[null]", '"text"', "1.10", "-0.0", "123456789012345678901234567890",
    '{"a": [1, {"b": null}], "quote\\"d": "\\u00e9\\n"}', "[1e2, 1E+2, 0.10]", "true",
    '{"z": 1, "a": 2, "deep": {"x": [[], {}, [[1]]]}}', ' {"spaces" : [ 1 , 2 ] } ',
)  # fmt: skip
_FLOATS = (
    "0", "-0", "1", "0.1", "1e-5", "3.4028235e38", "NaN", "Infinity", "-Infinity", "1.1754944e-38",
    "123456.789",
)  # fmt: skip

LITERALS: Final[dict[str, tuple[str, ...]]] = {
    "bool": ("true", "false"),
    "int2": ("0", "32767", "-32768"),
    "int4": _INT4,
    "int8": (*_INT4, "9223372036854775807", "-9223372036854775808", "9007199254740993"),
    "oid": ("0", "4294967295", "16384"),
    "xid": ("0", "3", "4294967295"),
    "cid": ("0", "4294967295"),
    "xid8": ("0", "18446744073709551615"),
    "tid": ("(0,1)", "(4294967295,65535)"),
    "float4": _FLOATS,
    "float8": (*_FLOATS, "1.7976931348623157e308", "5e-324", "0.30000000000000004"),
    "numeric": (
        "0", "-0.00", "1.10", "NaN", "Infinity", "-Infinity", "0.0000000001", "1" + "0" * 200,
        "-" + "9" * 60 + "." + "9" * 60, "0." + "0" * 300 + "1", "12345678901234567890.10",
    ),
    "money": ("0", "-0.01", "92233720368547758.07", "-92233720368547758.08", "1234567.89"),
    "text": TEXTS, "varchar": TEXTS, "bpchar": TEXTS, "name": TEXTS, "citext": TEXTS,
    "char": ("a", "", "\\", '"', "\\377"),
    "bytea": ("", "\\x00", "\\xdeadbeef", "\\x5c27", "\\x" + "ff" * 100),
    "date": _DATES,
    "time": ("00:00:00", "23:59:59.999999", "24:00:00", "12:00:00.5"),
    "timetz": ("00:00:00+00", "24:00:00-15:59:59", "12:00:00.5+05:30", "01:02:03+15:59", "1:00-8"),
    "timestamp": _STAMPS,
    "timestamptz": (*_STAMPS, "2024-07-01 00:00:00+09", "2024-07-01 00:00:00-03:30"),
    "interval": (
        "0", "1 year 2 mons 3 days 4:05:06.789", "-1 year", "1 year -1 day 00:00:01", "-0.5 s",
        "178000000 years", "-178000000 years", "2147483647 days", "1 mon -2 days +3:00", "infinity",
        "-infinity", "1000 hours", "-1000:00:00.000001", "1 day", "00:00:00.000001",
    ),
    "uuid": ("00000000-0000-0000-0000-000000000000", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"),
    "json": _JSON, "jsonb": _JSON,
    "jsonpath": ("$", '$."a"[*] ? (@ > 1)', "strict $.a.b"),
    "xml": ("<a/>", "<a b='c'>d &amp; e</a>", "text only", "<a>日本</a>", "<!-- c --><b/>"),
    "bit": ("1", "0"),
    "varbit": ("", "1", "0101", "1" * 70),
    "inet": ("1.2.3.4", "10.0.0.0/8", "::1", "2001:db8::/32", "::ffff:1.2.3.4/128"),
    "cidr": ("10.0.0.0/8", "1.2.3.4/32", "2001:db8::/32", "::/0"),
    "macaddr": ("08:00:2b:01:02:03", "ff:ff:ff:ff:ff:ff"),
    "macaddr8": ("08:00:2b:01:02:03:04:05",),
    "point": ("(0,0)", "(1e300,-0.1)", "(NaN,Infinity)"),
    "lseg": ("[(0,0),(1,1.5)]",),
    "path": ("((0,0),(1,1))", "[(0,0),(1,1),(2,0)]"),
    "box": ("(1,1),(0,0)", "(2.5,3),(-1,-1)"),
    "polygon": ("((0,0),(1,1),(1,0))",),
    "line": ("{1,-1,0}",),
    "circle": ("<(0,0),1.5>",),
    "tsvector": ("", "'a':1A 'b':2,3", "'it''s' 'back\\\\slash'"),
    "tsquery": ("", "'a' & !'b'", "'a' <-> 'b' | 'c':*A"),
    "pg_lsn": ("0/0", "FFFFFFFF/FFFFFFFF", "16/B374D848"),
    "txid_snapshot": ("10:20:10,14,15", "1:1:"),
    "pg_snapshot": ("10:20:10,14,15", "1:1:"),
    "aclitem": ("=r/postgres", "postgres=arwdDxt/postgres"),
    "refcursor": ("cursor", "NULL", ""),
    "gtsvector": (),
    "int2vector": ("", "1", "1 -2 3"),
    "oidvector": ("", "1", "1 2 4294967295"),
    "regclass": ("pg_class", "-", "public.every_type_statistics", "12345678"),
    "regtype": ("integer", "public.mood", 'public."Mixed Case"', "timestamp with time zone", "-"),
    "regproc": ("pg_catalog.now", "-"), "regprocedure": ("abs(integer)", "-"),
    "regoper": ("pg_catalog.||/", "0"), "regoperator": ("+(integer,integer)", "0"),
    "regconfig": ("simple", "english"), "regdictionary": ("simple",),
    "regnamespace": ("pg_catalog", "public"), "regrole": ("postgres", "-"),
    "regcollation": ('"C"', '"default"'), "regdatabase": ("postgres", "template1"),
    "hstore": ("", "a=>1", '"a b"=>NULL, c=>"d\\"e", ""=>"\\\\"'),
    "ltree": ("", "Top.Science", "a.b.c"), "lquery": ("Top.*", "*{1,2}.a@"),
    "ltxtquery": ("a & b",),
    "lxtree": (),
}  # fmt: skip
"""Candidates by type name."""

COPIED: Final[dict[str, str]] = {
    "pg_node_tree": "select adbin from pg_attrdef limit 1",
    "pg_ndistinct": "select stxdndistinct from pg_statistic_ext_data limit 1",
    "pg_dependencies": "select stxddependencies from pg_statistic_ext_data limit 1",
    "pg_mcv_list": "select stxdmcv from pg_statistic_ext_data limit 1",
}
"""Types that no text can be read as: values exist in the catalog alone, and are copied from it."""

VALUELESS: Final = frozenset((
    "gtsvector",  # An index's inner page; it cannot be read from a text.
    "pg_brin_bloom_summary", "pg_brin_minmax_multi_summary",  # As well.
    "ghstore", "ltree_gist",  # As well.
))  # fmt: skip
"""Types of which a user's table cannot hold a value."""
