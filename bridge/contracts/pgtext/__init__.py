"""PostgreSQL's text forms of structured values: one grammar per kind, `parse` beside `format`.

They read what the server's output functions print and nothing looser; whatever else comes raises
`ValueError`. `format` writes a text that the server's input functions read as the same value.
"""
