# Sourced by the scripts beside it: finds a Python that is new enough and keeps the virtual environment .venv.
# Needs nothing but bash, the system's basic programs and Python. Works in the project's folder.

# There while the environment is made.
unfinished=.venv/.unfinished

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
        if [ "$candidate" = .venv/bin/python ] && [ -e "$unfinished" ]; then
            continue
        fi
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

# lock_folder PYTHON: let no other script that makes something in this folder go on, until unlock_folder or the end.
# The system ends the lock with the last process that has the folder open, so none is left behind.
lock_folder() {
    exec 9<"$PWD"
    "$1" - <<'PYTHON'
import fcntl

try:
    fcntl.flock(9, fcntl.LOCK_EX | fcntl.LOCK_NB)
except BlockingIOError:
    print("Waiting for another script that prepares this folder", flush=True)
    fcntl.flock(9, fcntl.LOCK_EX)
except OSError:
    pass  # A file system without such locks (NFS): scripts that start at once may then disturb each other.
PYTHON
}

unlock_folder() {
    exec 9<&-
}

# attempt LOG NAME COMMAND...: run a command, and fail with the last line that it prints; all of it goes into the log.
attempt() {
    local log="$1" name="$2" output
    shift 2
    output=$("$@" 2>&1) && return
    # On a full disk there is no log, and the last line says why.
    printf '%s\n' "$output" 2>/dev/null >"$log" || true
    fail "$name failed, see $log: ${output##*$'\n'}"
}

# make_environment PYTHON REQUIREMENTS [FILE...]: let .venv hold what the requirements file lists. Takes no time while
# it, and the files that it includes, are what they were the last time. Call it between lock_folder and unlock_folder.
make_environment() {
    local python="$1" requirements="$2" log=.venv/install.log
    local stamp=".venv/.installed-$requirements"
    shift
    if new_enough .venv/bin/python && cat "$@" | cmp -s - "$stamp"; then
        return
    fi
    need_writable "$PWD"
    # One whose making was interrupted may have a Python and no pip.
    if [ -e "$unfinished" ] || ! new_enough .venv/bin/python; then
        echo "Making the virtual environment .venv with $python"
        # Its Python goes first, and the mark of what is unfinished after it: find_python never takes one that goes.
        rm -rf .venv/bin .venv
        mkdir .venv
        touch "$unfinished"
        attempt "$log" "$python -m venv (in Debian and Ubuntu from the package python3-venv)" \
            "$python" -m venv .venv
        rm "$unfinished"
    fi
    echo "Installing $requirements"
    attempt "$log" "installing $requirements" \
        .venv/bin/python -m pip install --disable-pip-version-check --quiet -r "$requirements"
    cat "$@" 2>/dev/null >"$stamp" || fail "cannot write $PWD/$stamp: is the disk full?"
}
