"""The page of scores: what each proxy did wrong, by category and by weight."""

from collections.abc import Iterable, Mapping

from tests.gateway.abuse.case import Case, Level

_HEAD = """\
# HTTP/1.1 abuse: scores

{count} cases of things that a client or an upstream should not do, or may do and that must be
understood, each with the section of RFC 9110, 9112 and their neighbours that says what may follow.
Both ends are watched, and one judge that knows nothing of any proxy looks at the bytes they got:
whatever a case allows, neither end may ever get what can be read in two ways.

`make bench ONLY=http_abuse` writes this page; `make test` holds ours against the same cases, whole
and cut into packets of seven bytes. The cases are in `tests/gateway/abuse/cases/`, what each proxy
was asked for and how it was set up in `tests/bench/http_peers/`: as strictly as each can be without
programming it. All are asked for the same: pass everything on but `/locked`, keep-alive, Via and
X-Forwarded-For, WebSocket, a second of patience. A case is wrong or right; a proxy that is lenient
where the RFC allows it is right as long as what it sends on has one meaning.

*security*: two readers can be made to disagree (smuggling, poisoning, a way past a closed door).
*must*, *should*: what the RFC says in these words; a few *should* are the gateway's own checklist.
"""


def scores_page(
    categories: Mapping[str, tuple[Case, ...]],
    wrong: Mapping[str, Mapping[str, str]],
    versions: Mapping[str, str],
) -> str:
    """Return the page, in Markdown."""
    names = tuple(wrong)
    cases = {case.id: case for group in categories.values() for case in group}
    titles = [f"{name} {versions[name]}" if name in versions else name for name in names]
    lines = [_HEAD.format(count=len(cases)), "## Wrong cases by category", ""]
    lines += _table(["category", "cases", *titles])
    for category, group in categories.items():
        counts = [_count(case.id in wrong[name] for case in group) for name in names]
        lines.append(_row(category, str(len(group)), *counts))
    lines.append(_row("**all**", str(len(cases)), *(f"**{len(wrong[name])}**" for name in names)))
    lines += ["", "## Wrong cases by weight", "", *_table(["weight", "cases", *titles])]
    for level in Level:
        group = tuple(case for case in cases.values() if case.level is level)
        counts = [_count(case.id in wrong[name] for case in group) for name in names]
        lines.append(_row(level.value, str(len(group)), *counts))
    for name, title in zip(names, titles, strict=True):
        if wrong[name]:
            lines += [
                "",
                f"## What {title} did wrong",
                "",
                *_table(["case", "RFC", "weight", "seen"]),
            ]
            lines += [
                _row(f"`{id_}`", cases[id_].rfc, cases[id_].level.value, _escaped(why))
                for id_, why in sorted(wrong[name].items(), key=lambda item: _order(cases[item[0]]))
            ]
    return "\n".join(lines) + "\n"


def _order(case: Case) -> tuple[int, str]:
    return [*Level].index(case.level), case.id


def _count(wrongs: Iterable[bool]) -> str:
    return str(sum(wrongs))


def _table(titles: list[str]) -> list[str]:
    return [_row(*titles), _row(*("---" for _ in titles))]


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def _escaped(why: str) -> str:
    return why.replace("|", "\\|").replace("<", "&lt;").replace("*", "\\*")
