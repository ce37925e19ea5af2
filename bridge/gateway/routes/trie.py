"""The tree of path segments behind a route table, and what its leaves decide."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple, TypeAlias

from bridge.gateway.routes.decision import Decision
from bridge.gateway.routes.route import Route
from bridge.model.errors import ConfigInvalid

_ANY_METHOD: Final = b"*"

_PARAMS_AT: Final = Decision._fields.index("params")
_new_tuple: Final = tuple.__new__


class Leaf(NamedTuple):
    """One route under its group's state."""

    route: Route
    names: tuple[str, ...]
    plain: Decision
    """The decision itself, where the path has no parameters."""

    def decision(self, params: Mapping[str, str]) -> Decision:
        """Return the decision for a path with parameters."""
        # Half the price of `_replace` and of the constructor, once for each request.
        plain = self.plain
        return _new_tuple(Decision, (*plain[:_PARAMS_AT], params, *plain[_PARAMS_AT + 1 :]))


class Choice:
    """Routes that differ in what they ask of header fields: the first that a request fits."""

    __slots__ = ("leaves",)

    def __init__(self, leaves: Iterable[Leaf]) -> None:
        # Those that ask for more come first; those that ask for as much exclude each other.
        self.leaves = sorted(leaves, key=_asked, reverse=True)

    def of(self, lines: Sequence[bytes]) -> Leaf | None:
        """Return the leaf for a request with these field lines."""
        for leaf in self.leaves:
            test = leaf.route.header_test
            if test is None or test.fits(lines):
                return leaf
        return None


def _asked(leaf: Leaf) -> int:
    test = leaf.route.header_test
    return 0 if test is None else len(test.conditions)


Methods: TypeAlias = Mapping[bytes, Leaf | Choice]


class Node:
    """One place in the trie; written only while the table is built."""

    __slots__ = ("literal", "methods", "parameter", "rest")

    def __init__(self) -> None:
        self.literal: dict[str, Node] = {}
        self.parameter: Node | None = None
        self.rest: dict[bytes, Leaf | Choice] = {}
        self.methods: dict[bytes, Leaf | Choice] = {}


class Tail(NamedTuple):
    """What may follow a literal prefix as the path's last segment."""

    literals: frozenset[bytes]
    """Segments that other routes name; they come first."""
    methods: Mapping[bytes, Leaf]
    """Routes that end in a parameter."""


def insert(root: Node, route: Route, leaf: Leaf) -> None:
    """Put a route into the tree; raises `ConfigInvalid` when another takes the same requests."""
    node = root
    methods: dict[bytes, Leaf | Choice] | None = None
    for part in route.path.split("/")[1:]:
        assert methods is None, f"{route.path!r} goes on after its rest"
        if part.startswith("{") and part.endswith("...}"):
            methods = node.rest
        elif part.startswith("{"):
            node.parameter = node.parameter or Node()
            node = node.parameter
        else:
            node = node.literal.setdefault(part, Node())
    if methods is None:
        methods = node.methods
    for method in route.methods or (_ANY_METHOD,):
        known = methods.get(method)
        if known is None and route.header_test is None:
            methods[method] = leaf
            continue
        others = known.leaves if isinstance(known, Choice) else [known] if known else []
        for other in others:
            _refuse_both(other.route, route, method)
        methods[method] = Choice([*others, leaf])


def _refuse_both(one: Route, other: Route, method: bytes) -> None:
    """Refuse two routes where one request could fit both, and neither asks for more."""
    first, second = one.header_test, other.header_test
    both = f"routes {one.route_id!r} and {other.route_id!r} both take {method.decode()}"
    if first is None and second is None:
        raise ConfigInvalid(f"cannot build the route table: {both} {other.path!r}")
    if first is None or second is None or len(first.conditions) != len(second.conditions):
        return
    if not first.excludes(second):
        raise ConfigInvalid(
            f"cannot build the route table: {both} {other.path!r}, and a request may have the"
            " header fields that either asks for; let one ask for more, or for another value"
        )


def gather_exact(
    node: Node, path: bytes, plain: bytes, exact: dict[bytes, Mapping[bytes, Leaf]]
) -> None:
    """Gather the routes of whole paths without parameters, of `plain` bytes and slashes."""
    leaves = {method: leaf for method, leaf in node.methods.items() if isinstance(leaf, Leaf)}
    if leaves and path:
        exact[path] = leaves
    for part, below in node.literal.items():
        name = part.encode("utf-8")
        if name and not name.translate(None, plain):
            gather_exact(below, path + b"/" + name, plain, exact)


def gather_tails(node: Node, prefix: bytes, tails: dict[bytes, Tail]) -> None:
    """Gather what may follow each literal prefix as the last segment."""
    if node.parameter is not None and node.parameter.methods:
        literals = frozenset(part.encode("utf-8") for part in node.literal)
        # What is chosen by header fields takes the long way, and nothing else does for its sake.
        methods = {
            method: leaf
            for method, leaf in node.parameter.methods.items()
            if isinstance(leaf, Leaf)
        }
        tails[prefix] = Tail(literals, methods)
    for part, below in node.literal.items():
        gather_tails(below, prefix + b"/" + part.encode("utf-8"), tails)


def find(
    node: Node,
    parts: list[str],
    at: int,
    method: bytes,
    lines: Sequence[bytes],
    params: list[str],
    allowed: list[bytes],
) -> Leaf | None:
    """Literal before parameter before rest; `allowed` gathers the methods of matching paths."""
    size = len(parts)
    while at < size:
        part = parts[at]
        below = node.literal.get(part)
        parameter = node.parameter
        if parameter is None and not node.rest:
            if below is None:
                return None
            node = below
            at += 1
            continue
        if below is not None:
            leaf = find(below, parts, at + 1, method, lines, params, allowed)
            if leaf is not None:
                return leaf
        # An empty segment is no value: `/orders//status` has no order.
        if parameter is not None and part:
            params.append(part)
            leaf = find(parameter, parts, at + 1, method, lines, params, allowed)
            if leaf is not None:
                return leaf
            params.pop()
        leaf = _of(node.rest, method, lines, allowed) if node.rest else None
        if leaf is not None:
            params.append("/".join(parts[at:]))
        return leaf
    return _of(node.methods, method, lines, allowed)


def _of(
    methods: Methods, method: bytes, lines: Sequence[bytes], allowed: list[bytes]
) -> Leaf | None:
    leaf = methods.get(method)
    if type(leaf) is Leaf:
        return leaf
    for name in (method, b"GET", _ANY_METHOD) if method == b"HEAD" else (method, _ANY_METHOD):
        leaf = methods.get(name)
        if isinstance(leaf, Choice):
            leaf = leaf.of(lines)
        if leaf is not None:
            return leaf
    # A method that a route takes with other header fields is no method to be told of.
    allowed.extend(name for name in methods if name != method)
    return None
