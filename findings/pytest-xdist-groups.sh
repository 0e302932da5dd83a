#!/usr/bin/env bash
# pytest-xdist's groups have no effect with pytest 9.2, and nothing says so.
#
# Guess:  tests that are marked `xdist_group("one")` run in one worker with `--dist loadgroup`, as pytest-xdist documents.
# Seen:   pytest-xdist 3.8.0 writes the group into the private `_nodeid` of each test. pytest 9.2.0 no longer reads that,
#         so the tests are spread over all workers. There is no warning. With pytest 9.1.1 they run in one.
# Why it matters: what a group shares, a server that is started once, is started once for each worker and each test, or
#         two workers use at the same time what only one may use. The tests only become slower, or fail now and then.
#
# Needs Python 3.10 or newer. Installs nothing outside of a temporary folder.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cat > "$folder/test_group.py" <<'PYTHON'
import os, time
import pytest

@pytest.mark.xdist_group("one")
@pytest.mark.parametrize("number", range(6))
def test_where_it_runs(number):
    time.sleep(0.2)  # long enough for the other worker to take one too
    with open("workers", "a") as file:
        file.write(os.environ["PYTEST_XDIST_WORKER"] + "\n")
PYTHON

workers() { # with this version of pytest
    python3 -m venv "$folder/$1"
    "$folder/$1/bin/pip" install -q "pytest==$1" pytest-xdist==3.8.0 >&2
    (cd "$folder" && rm -f workers && "$1/bin/pytest" -q -n 2 --dist loadgroup test_group.py >&2)
    sort -u "$folder/workers" | wc -l
}

old=$(workers 9.1.1)
new=$(workers 9.2.0)
echo "workers that ran one group: $old with pytest 9.1.1, $new with 9.2.0"
[[ $old -eq 1 && $new -eq 2 ]]
