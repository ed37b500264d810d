# SPDX-License-Identifier: GPL-3.0-or-later
"""On which line of a TOML text each key stands, so that an error can point at it."""

import re
from collections.abc import Iterator
from typing import NamedTuple

Path = tuple[str | int, ...]  # ("plugins", 0, "name")

_TOKEN = re.compile(
    r"""
      (?P<skip> [^\S\n]+ | \#[^\n]* )
    | (?P<newline> \n )
    | (?P<string> \"{3} (?: \\. | [^\\] )*? \"{3,5} | '{3} .*? '{3,5} | "(?: \\. | [^"\\\n] )*" | '[^'\n]*' )
    | (?P<mark> [\[\]{}=,.] )
    | (?P<bare> [^\s\[\]{}=,.\#"']+ )
    | (?P<stray> . )
    """,
    re.VERBOSE | re.DOTALL,
)


class _Token(NamedTuple):
    kind: str
    text: str
    line: int


def _tokens(text: str) -> Iterator[_Token]:
    line = 1
    for match in _TOKEN.finditer(text):
        if match.lastgroup != "skip":
            yield _Token(match.lastgroup or "", match.group(), line)
        line += match.group().count("\n")
    yield _Token("end", "", line)


class _Reader:
    """Walks a text that `tomllib` has accepted, and notes where things stand."""

    def __init__(self, text: str) -> None:
        self.tokens = list(_tokens(text))
        self.at = 0
        self.lines: dict[Path, int] = {}
        self.tables: dict[Path, int] = {}  # newest row of each array of tables

    def peek(self) -> str:
        token = self.tokens[self.at]
        return token.kind if token.kind in ("newline", "end", "string") else token.text

    def skip(self, *unwanted: str) -> None:
        while self.peek() in unwanted:
            self.at += 1

    def key(self) -> tuple[Path, int]:
        """A dotted key and its line; stops at what ends it."""
        parts: list[str] = []
        line = self.tokens[self.at].line
        while self.peek() not in ("=", "]", "newline", "end"):
            token = self.tokens[self.at]
            if token.text != ".":
                parts.append(token.text.strip("\"'"))
            self.at += 1
        return tuple(parts), line

    def header(self) -> Path:
        """The full path of the table that a ``[header]`` or ``[[header]]`` opens."""
        rows = self.tokens[self.at + 1].text == "["
        self.skip("[")
        names, line = self.key()
        self.skip("]")
        path: Path = ()
        for i, name in enumerate(names):
            path += (name,)
            self.lines.setdefault(path, line)
            if rows and i == len(names) - 1:
                self.tables[path] = self.tables.get(path, -1) + 1
                self.lines.setdefault(path, line)
            if path in self.tables:
                path += (self.tables[path],)
        self.lines.setdefault(path, line)
        return path

    def pair(self, table: Path) -> None:
        names, line = self.key()
        for i in range(1, len(names) + 1):
            self.lines.setdefault(table + names[:i], line)
        self.skip("=")
        self.value(table + names)

    def value(self, path: Path) -> None:
        opening = self.peek()
        if opening not in ("[", "{"):
            while self.peek() not in (",", "]", "}", "newline", "end"):
                self.at += 1
            return
        self.at += 1
        row = 0
        self.skip("newline")
        while self.peek() not in ("]", "}", "end"):
            start = self.at
            if self.peek() == ",":
                row += 1
                self.at += 1
            elif opening == "[":
                self.lines[(*path, row)] = self.tokens[self.at].line
                self.value((*path, row))
            else:
                self.pair(path)
            self.skip("newline")
            if self.at == start:
                break
        self.at += self.peek() != "end"

    def read(self) -> dict[Path, int]:
        table: Path = ()
        self.skip("newline")
        while self.peek() != "end":
            start = self.at
            if self.peek() == "[":
                table = self.header()
            else:
                self.pair(table)
            self.skip("newline")
            self.at += self.at == start
        return self.lines


def key_lines(text: str) -> dict[Path, int]:
    """Line of every key, table and list item of a valid TOML text, counted from 1."""
    return _Reader(text.replace("\r\n", "\n")).read()
