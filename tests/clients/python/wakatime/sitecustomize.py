"""What Python took away since wakatime 13.1.0 was written, put back for its process only (PYTHONPATH).

3.10 moved the ABCs out of `collections`, 3.12 dropped finders of the old kind (its copy of six has one),
3.13 dropped `cgi`.
"""

import collections
import collections.abc
import email.message
import importlib.util
import sys
import types

for name in collections.abc.__all__:
    if not hasattr(collections, name):
        setattr(collections, name, getattr(collections.abc, name))


class OldFinders:
    """Asks the finders that only have `find_module`."""

    @staticmethod
    def find_spec(name, path=None, _target=None):
        for finder in sys.meta_path:
            if not hasattr(finder, "find_spec"):
                loader = finder.find_module(name, path)
                if loader is not None:
                    return importlib.util.spec_from_loader(name, loader)
        return None


def parse_header(line):
    """The value of a header and its parameters, as `cgi.parse_header` gave them."""
    message = email.message.Message()
    message["content-type"] = line
    (value, _), *parameters = message.get_params() or [("", "")]
    return value, dict(parameters)


if sys.version_info >= (3, 12):
    sys.meta_path.append(OldFinders)
if sys.version_info >= (3, 13):
    sys.modules["cgi"] = types.ModuleType("cgi")
    sys.modules["cgi"].parse_header = parse_header
