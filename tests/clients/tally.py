"""Counts the tests in JUnit files: prints a line for each, then `PASSED FAILED`.

What was skipped has not shown anything, so it counts as failed.
"""

import sys
import xml.etree.ElementTree as ElementTree


def cases(path):
    for case in ElementTree.parse(path).getroot().iter("testcase"):
        bad = any(case.find(kind) is not None for kind in ("failure", "error", "skipped"))
        yield case.get("name"), not bad


def main(client, path):
    passed = failed = 0
    for name, good in cases(path):
        print(f"test {client}: {name} ... {'ok' if good else 'FAILED'}", file=sys.stderr)
        passed, failed = passed + good, failed + (not good)
    print(passed, failed)


if __name__ == "__main__":
    main(*sys.argv[1:])
