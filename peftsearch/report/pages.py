"""Templates of pages: everything in them is escaped, and what is missing is an error."""

from __future__ import annotations

import jinja2


def environment(package: str) -> jinja2.Environment:
    """Return the templates that lie in a package."""
    return jinja2.Environment(
        loader=jinja2.PackageLoader(package, ""),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
