"""Header rules on a whole block of fields do what they do line by line."""

from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.gateway.routes.block_edit import block_edit
from bridge.gateway.routes.sections.rewriting import HeaderRules

NAMES = ["A", "b", "A-b", "x.y", "X*", "Pragma", "X-G"]
SOME = st.lists(st.sampled_from(NAMES), max_size=3, unique=True)
VALUED = SOME.map(lambda names: dict.fromkeys(names, "v"))
RULES = st.builds(
    lambda remove, given_, added, renamed: HeaderRules(
        remove=tuple(remove), set=given_, add=added, rename=renamed
    ),
    SOME, VALUED, VALUED, st.sampled_from([{}, {}, {"Old": "New"}, {"b": "Pragma"}]),
)  # fmt: skip
LINE = st.builds(
    lambda name, spell, rest: spell(name).encode() + rest,
    st.sampled_from([*NAMES, "Xx", "Ab", "pragma2", "Old"]),
    st.sampled_from([str.lower, str.upper, str]),
    st.sampled_from([b":", b": 1", b": a: b", b":\tPragma: x"]),
)


@settings(max_examples=300, deadline=None)
@given(rules=st.lists(RULES, min_size=1, max_size=2), lines=st.lists(LINE, max_size=6))
def test_a_block_and_its_lines_agree(rules: list[HeaderRules], lines: list[bytes]) -> None:
    edit = block_edit(rules)
    if edit is not None:
        block = b"".join(line + b"\r\n" for line in lines)
        assert edit.block(block) == b"".join(line + b"\r\n" for line in edit.lines(lines))
