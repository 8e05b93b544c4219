# Functions for the other scripts, which source this file: find a Python, and create the virtual environment .venv.
# Needs only bash, the system's basic programs and Python. Works in the project's folder.

# Exists while the environment is being created.
unfinished=.venv/.unfinished

fail() {
    echo "${0##*/}: $*" >&2
    exit 1
}

# Whether this is a Python of 3.11 or newer. (A shim of pyenv may be on PATH and not work.)
new_enough() {
    "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1
}

version_of() {
    "$1" -c 'import platform; print(platform.python_version())' 2>/dev/null
}

# Print a Python of 3.11 or newer: $PYTHON if set, otherwise the environment's or the first one on PATH.
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

# Fail unless files can be created in this folder. Creates a missing folder.
need_writable() {
    local probe="$1/.writable-$$"
    if ! mkdir -p "$1" 2>/dev/null || ! touch "$probe" 2>/dev/null; then
        fail "cannot write to the folder $1"
    fi
    rm -f "$probe"
}

# lock_folder PYTHON: lock this folder against other scripts until unlock_folder or the end of the script. The system
# releases the lock with the last process that has the folder open, so no stale lock remains.
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
    pass  # A file system without locks (NFS): concurrent scripts may conflict.
PYTHON
}

unlock_folder() {
    exec 9<&-
}

# attempt LOG NAME COMMAND...: run a command. If it fails, write its output to the log, and fail with the last line.
attempt() {
    local log="$1" name="$2" output
    shift 2
    output=$("$@" 2>&1) && return
    # On a full disk there is no log, but the last line has the reason.
    printf '%s\n' "$output" 2>/dev/null >"$log" || true
    fail "$name failed, see $log: ${output##*$'\n'}"
}

# make_environment PYTHON REQUIREMENTS [FILE...]: install the requirements file into .venv, unless it and the files that
# it includes are unchanged. Call it between lock_folder and unlock_folder.
make_environment() {
    local python="$1" requirements="$2" log=.venv/install.log
    local stamp=".venv/.installed-$requirements"
    shift
    if new_enough .venv/bin/python && cat "$@" | cmp -s - "$stamp"; then
        return
    fi
    need_writable "$PWD"
    # An environment whose creation was interrupted may have a Python and no pip.
    if [ -e "$unfinished" ] || ! new_enough .venv/bin/python; then
        echo "Making the virtual environment .venv with $python"
        # Remove its Python first, and then the mark of an unfinished one, so that find_python does not find it.
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

# make_latest_environment PYTHON FOLDER: install the newest versions that pyproject.toml allows into this folder.
make_latest_environment() {
    local python="$1" folder="$2"
    need_writable "$PWD/$folder"
    echo "Installing the newest versions into $folder"
    attempt "$folder/install.log" "$python -m venv" "$python" -m venv "$folder"
    "$python" -m tests.support.latest >"$folder/ranges.txt"
    attempt "$folder/install.log" "installing $folder/ranges.txt" "$folder/bin/python" -m pip install \
        --disable-pip-version-check --quiet --upgrade --upgrade-strategy eager --requirement "$folder/ranges.txt"
}
