"""An extension of griffe, which reads the docstrings for the API reference.

In the code they refer to other parts in reStructuredText, such as ``:func:`semiuhpe.rotation.geodesic_deg```; the
reference is Markdown.
"""

import contextlib
import re
import textwrap

import griffe

ROLE = re.compile(r":(?:attr|class|data|func|meth|mod):`~?([\w.]+)`")
FORMULA = re.compile(r"^\.\. math:: (.+(?:\n +.+)*)", re.MULTILINE)


class Roles(griffe.Extension):
    """Turn roles into links and formulas into blocks of code; describe what packages import where it is defined."""

    def on_package(self, *, pkg: griffe.Module, **kwargs: object) -> None:
        _convert(pkg)


def _convert(scope: griffe.Object) -> None:
    if isinstance(scope, griffe.Module):
        scope.exports = None
    if scope.docstring:
        text = ROLE.sub(lambda match: _link(match[1], scope), scope.docstring.value)
        scope.docstring.value = FORMULA.sub(lambda match: f"```tex\n{textwrap.dedent(match[1])}\n```", text)
    for member in scope.members.values():
        if not member.is_alias:
            _convert(member)


def _link(name: str, scope: griffe.Object) -> str:
    """Return a link to a name as seen from the object whose docstring it is in; what has no page stays code."""
    target = name
    if name.split(".")[0] != scope.package.name:
        with contextlib.suppress(griffe.NameResolutionError):
            target = scope.resolve(name)
    return f'<autoref optional identifier="{target}"><code>{name}</code></autoref>'
