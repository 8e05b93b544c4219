# Sourced by the scripts beside it: finds a Python that is new enough and keeps the virtual environment .venv.
# Needs nothing but bash, the system's basic programs and Python. Works in the project's folder.

fail() {
    echo "${0##*/}: $*" >&2
    exit 1
}

# Whether this is a Python that we can use. (A shim of pyenv may stand on PATH and still run nothing.)
new_enough() {
    "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1
}

version_of() {
    "$1" -c 'import platform; print(platform.python_version())' 2>/dev/null
}

# Print a Python of 3.11 or newer: $PYTHON if it is set, otherwise the first one of the environment and of PATH.
find_python() {
    local candidate version seen=""
    for candidate in ${PYTHON:-.venv/bin/python python3.11 python3.12 python3.13 python3.14 python3 python}; do
        if new_enough "$candidate"; then
            echo "$candidate"
            return
        fi
        version=$(version_of "$candidate") && seen="$seen; $candidate is $version"
    done
    fail "Python 3.11 or newer is needed${seen:-; there is none here}. Name one: PYTHON=/path/to/python3 $0"
}

# Fail unless files can be made in this folder. A missing folder is made.
need_writable() {
    local probe="$1/.writable-$$"
    if ! mkdir -p "$1" 2>/dev/null || ! touch "$probe" 2>/dev/null; then
        fail "cannot write to the folder $1"
    fi
    rm -f "$probe"
}

# make_environment PYTHON REQUIREMENTS [FILE...]: let .venv hold what the requirements file lists. Takes no time while
# it, and the files that it includes, are what they were the last time.
make_environment() {
    local python="$1" requirements="$2" log=.venv/install.log
    local stamp=".venv/.installed-$requirements"
    shift
    if new_enough .venv/bin/python && cat "$@" | cmp -s - "$stamp"; then
        return
    fi
    need_writable "$PWD"
    if ! new_enough .venv/bin/python; then
        echo "Making the virtual environment .venv with $python"
        rm -rf .venv
        mkdir .venv
        "$python" -m venv .venv >"$log" 2>&1 \
            || fail "$python -m venv failed, see $log (Debian and Ubuntu have it in the package python3-venv)"
    fi
    echo "Installing $requirements"
    .venv/bin/python -m pip install --disable-pip-version-check --quiet -r "$requirements" >"$log" 2>&1 \
        || fail "installing $requirements failed, see $log: $(grep -v '^$' "$log" | tail -n 1)"
    cat "$@" >"$stamp"
}
