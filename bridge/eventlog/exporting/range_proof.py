"""Which subtrees prove a range of entries to be part of a tree, and the root that they give.

The stack of `docs/bundle-format.md`: left nodes, leaf hashes, right nodes; what a verifier folds.
Pure.
"""

from collections.abc import Sequence

from bridge.eventlog.merkle import EMPTY_ROOT, Frontier, Node, node_hash


def left_nodes(start: int) -> list[Node]:
    """Return the complete subtrees that the entries before `start` consist of, largest first."""
    nodes = []
    position = 0
    for level in reversed(range(start.bit_length())):
        if start >> level & 1:
            nodes.append(Node(level, position >> level))
            position += 1 << level
    return nodes


def right_nodes(stop: int, size: int) -> list[Node]:
    """Return the largest aligned complete subtrees from `stop` up to `size`, from left to right."""
    nodes = []
    position = stop
    while position < size:
        # The lowest bit that is set in the position; from 0 on everything is aligned.
        aligned = (position & -position).bit_length() - 1 if position else size.bit_length()
        level = min(aligned, (size - position).bit_length() - 1)
        nodes.append(Node(level, position >> level))
        position += 1 << level
    return nodes


def folded_root(frontier: Frontier, nodes: Sequence[Node], hashes: Sequence[bytes]) -> bytes:
    """Return the root of the tree that `frontier` begins and the right `nodes` complete."""
    levels = [level for level in reversed(range(frontier.size.bit_length()))
              if frontier.size >> level & 1]  # fmt: skip
    stack = list(zip(levels, frontier.peaks, strict=True))
    for node, pushed in zip(nodes, hashes, strict=True):
        stack.append((node.level, pushed))
        while len(stack) > 1 and stack[-1][0] == stack[-2][0]:
            level, right = stack.pop()
            stack[-1] = (level + 1, node_hash(stack[-1][1], right))
    if not stack:
        return EMPTY_ROOT
    root = stack.pop()[1]
    while stack:
        root = node_hash(stack.pop()[1], root)
    return root
