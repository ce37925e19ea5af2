"""What a route lets old clients do that HTTP/1.1 forbids: `lenience:` of a route, by name."""

from functools import cached_property

from bridge.gateway.routes.sections.section import Flag, Section


class Lenience(Section):
    """Each is off unless it is named; `docs/http.md` says what each one means.

    A request that needed one of the first four is the last of its connection.
    """

    bare_lf: Flag = False
    """Lines of the head may end in LF alone (RFC 9112 2.2). Never in chunks."""
    obs_fold: Flag = False
    """A field may go on in the next line, which begins with white space (RFC 9112 5.2)."""
    equal_content_lengths: Flag = False
    """Content-Length may be given more than once, with the same number (RFC 9110 8.6)."""
    content_length_with_chunked: Flag = False
    """Content-Length may stand beside `Transfer-Encoding: chunked`, and is removed (RFC 9112
    6.3)."""
    underscore_imitations: Flag = False
    """A field such as `Content_Length` or `X_Forwarded_For` is removed instead of refused."""
    encoded_slash: Flag = False
    """`%2F` and `%5C` may stand in a segment of the path, as data of that segment."""
    encoded_dots: Flag = False
    """A segment may be `%2e` or `%2e%2e`, and is a dot segment."""
    double_escapes: Flag = False
    """A path may hold an encoded percent sign before two hexadecimal digits, as in `%252F`."""
    non_utf8: Flag = False
    """Escapes in the path may be Latin-1 instead of UTF-8; overlong forms are refused still."""

    @cached_property
    def names(self) -> frozenset[str]:
        """What is allowed."""
        return frozenset(name for name in type(self).model_fields if getattr(self, name))
