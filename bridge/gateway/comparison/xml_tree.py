"""XML as a value: elements as objects, with namespaces resolved and insignificant space dropped.

`<o id="7"><line>a</line><line>b</line></o>` is
`{"o": [{"@id": "7", "line": [{"#": "a"}, {"#": "b"}]}]}`: elements of one name are a list in their
order, also when there is one; the order of *different* names has no meaning here, nor have
prefixes, comments and processing instructions. A document type declaration is refused: entities
make bombs of small texts and may name files.
"""

from typing import Any, Final
from xml.parsers import expat

# As deep as documents of business go, with room; bounds the recursion of whoever walks the value.
_DEPTH_MAX: Final = 200
_ELEMENTS_MAX: Final = 200_000


class NotXml(ValueError):
    """The text is not well-formed, or more than is looked into."""


class _Builder:
    def __init__(self) -> None:
        self.root: dict[str, Any] = {}
        self._stack: list[tuple[dict[str, Any], list[str]]] = [(self.root, [])]
        self._count = 0

    def start(self, name: str, attributes: dict[str, str]) -> None:
        self._count += 1
        if len(self._stack) > _DEPTH_MAX or self._count > _ELEMENTS_MAX:
            raise NotXml("is deeper or larger than is looked into")
        element: dict[str, Any] = {f"@{key}": value for key, value in attributes.items()}
        self._stack[-1][0].setdefault(name, []).append(element)
        self._stack.append((element, []))

    def end(self, name: str) -> None:
        element, texts = self._stack.pop()
        text = "".join(texts).strip()
        if text:
            element["#"] = text

    def text(self, data: str) -> None:
        self._stack[-1][1].append(data)

    def refuse(self, *_: object) -> None:
        raise NotXml("has a document type declaration")


def xml_value(body: bytes, charset: str | None) -> dict[str, Any]:
    """Return the document as a value.

    Raises:
        NotXml: it is not well-formed, has a document type, or is too deep.
    """
    builder = _Builder()
    try:
        parser = expat.ParserCreate(charset, namespace_separator=" ")
        parser.buffer_text = True
        parser.StartElementHandler = builder.start
        parser.EndElementHandler = builder.end
        parser.CharacterDataHandler = builder.text
        parser.StartDoctypeDeclHandler = builder.refuse
        parser.Parse(body, True)
    except (expat.ExpatError, ValueError, LookupError) as exc:
        if isinstance(exc, NotXml):
            raise
        raise NotXml("is not XML") from exc
    return builder.root
