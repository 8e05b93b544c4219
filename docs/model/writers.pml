/* Model of the writers: transactions that change what SDKs read, up to the events that they publish.
 *
 * README.md lists the promises by their numbers, the function behind each step, and the switches (#ifdef), each of
 * which breaks a promise on purpose. delivery.pml continues where an event is published; there a transaction is one
 * step.
 */

/* Bounds */
#ifndef ENVIRONMENTS
#define ENVIRONMENTS 1  /* environments of one project, so they share its gate; at most two */
#endif
#ifndef WRITERS
#define WRITERS 2       /* each makes one transaction, or one save in autocommit mode */
#endif
#ifndef SAVES
#define SAVES 2         /* saves in one transaction */
#endif
#ifndef SAVES_OF_FIRST
#define SAVES_OF_FIRST 3    /* the same for the first writer; not less than SAVES */
#endif
#ifndef SAVEPOINTS
#define SAVEPOINTS 1    /* savepoints that the first writer may set and roll back to: 0 or 1 */
#endif

#ifndef ONLY
#define ONLY 0          /* the one promise that is checked; 0: all */
#endif
#define promise(number, condition) assert(!(ONLY == 0 || ONLY == number) || (condition))

/* Rows by number. Row 0 is a feature state of environment 0. With two environments, row 1 affects both, like a
 * feature. The last row is their project. A change of a row that affects the whole project locks the project first,
 * then the environments in the order of their primary keys, then the row.
 */
#define PROJECT ENVIRONMENTS
#define affects_project(r) (r > 0)
#define affects(r, environment) (r > 0 || environment == 0)

/* The committed rows, and the writer that holds the lock of each. */
byte version[ENVIRONMENTS] = 1;     /* Environment.updated_at */
bit  flag[ENVIRONMENTS];            /* what SDKs read of row 0 and row 1 */
bit  gate;                          /* Project.enable_realtime_updates */
byte environment_lock[ENVIRONMENTS], flag_lock[ENVIRONMENTS], project_lock;

/* The API caches responses by version. True: a response cached for the current version may differ from the rows. */
bit cache_differs[ENVIRONMENTS];

byte finished;

/* A commit hook, with the states to publish. */
typedef Announcement {
    byte version[ENVIRONMENTS];     /* 0: none of this environment */
    bit open;                       /* the gate as it was read when the versions were raised */
    bit gate;                       /* the transaction may have changed the gate */
    bit in_doubt;
    bit nested                      /* registered after the savepoint was set */
}

/* Used within single steps only. (SPIN builds no d_step that ends with a loop, so some end with an assignment.) */
hidden byte e, h, published, is_open, registered, changes_gate;

/* Wait for a row's lock. To end a deadlock, the database may roll back a waiting transaction that has saved before. */
inline acquire(lock) {
    if
    :: lock == 0 || lock == me -> lock = me
    :: lock != 0 && lock != me && saves > 1 -> goto rolled_back
    fi
}

inline release(lock) {
    if
    :: lock == me -> lock = 0
    :: else
    fi
}

inline release_all() {
    for (e in version) {
        release(environment_lock[e]);
        release(flag_lock[e])
    }
    release(project_lock)
}

/* EmbeddedHost.lock: the environments affected by the row, in the order of their primary keys. */
inline lock_first_environment() {
#ifdef LOCKS_IN_NO_ORDER
    if
    :: affects_project(row) && ENVIRONMENTS > 1 -> backwards = 1
    :: true
    fi;
#endif
    acquire(environment_lock[backwards])
}

inline lock_second_environment() {
    if
    :: affects_project(row) && ENVIRONMENTS > 1 -> acquire(environment_lock[1 - backwards])
    :: !affects_project(row) || ENVIRONMENTS == 1
    fi;
    backwards = 0
}

inline choose_save() {
    saves++;
    select (row : 0 .. PROJECT);
    select (value : 0 .. 1)
}

/* Writers with the same bounds begin in the order of their numbers, because other orders are symmetric. */
#define SAME_BOUNDS (SAVES_OF_FIRST == SAVES && SAVEPOINTS == 0)

inline begin_next() {
    if
    :: saves == 1 && me < WRITERS && (me > 1 || SAME_BOUNDS) -> run Writer(me + 1)
    :: else
    fi
}

inline read_old_row() {
    before = (row == PROJECT -> (wrote_gate -> new_gate : gate) : (wrote_flag[row] -> new_flag[row] : flag[row]))
}

/* EmbeddedHost.versions */
inline read_versions() {
    d_step {
        for (e in version) {
            prepared[e] = (affects(row, e) -> version[e] : 0)
        }
        e = 0
    }
}

/* RowSignals.before_save in a transaction: Watcher.prepare takes the locks, then the old row is read. */
inline lock_and_read() {
    atomic {
        choose_save();
        if
#ifdef OLD_ROW_UNLOCKED
        :: unlocked = 1
#endif
        :: affects_project(row) -> acquire(project_lock)
        :: !affects_project(row) -> lock_first_environment()
        fi;
        begin_next();
#if ENVIRONMENTS > 1                /* Each lock is a step. */
    }
    atomic {
#endif
        if
        :: affects_project(row) && !unlocked -> lock_first_environment()
        :: !affects_project(row) || unlocked
        fi;
#if ENVIRONMENTS > 1
    }
    atomic {
#endif
        if
        :: !unlocked -> lock_second_environment()
        :: unlocked
        fi;
        unlocked = 0;
        read_old_row()
    }
}

/* RowSignals.before_save in autocommit mode: Watcher.prepare reads the versions, then the old row is read. */
inline read_in_autocommit() {
#ifdef VERSIONS_READ_LATE
    atomic { choose_save(); begin_next(); read_old_row() }
    read_versions();
#else
    atomic { choose_save(); begin_next(); read_versions() }
    read_old_row();
#endif
}

/* The UPDATE, which also commits in autocommit mode. */
inline update() {
    atomic {
        if
        :: row == PROJECT && !autocommit -> acquire(project_lock); wrote_gate = 1; new_gate = value
        :: row != PROJECT && !autocommit -> acquire(flag_lock[row]); wrote_flag[row] = 1; new_flag[row] = value
        :: row == PROJECT && autocommit && project_lock == 0 -> gate = value
        :: row != PROJECT && autocommit && flag_lock[row] == 0 -> commit_flag(row, value)
        fi;
        visible = (before != value);
        before = 0
    }
}

/* Watcher.__call__ in autocommit mode, for a save that seems to change nothing. */
inline compare_versions() {
    d_step {
        for (e in version) {
#ifndef AUTOCOMMIT_SKIPS
            visible = (visible || affects(row, e) && prepared[e] != version[e]);
#endif
            prepared[e] = 0
        }
        e = 0
    }
}

/* versions.announce: take the locks (unless they are held), raise the versions, register the hook. */
inline announce() {
    atomic {
        lock_first_environment();
#if ENVIRONMENTS > 1
    }
    atomic {
#endif
        lock_second_environment();
        d_step {
            changes_gate = (row == PROJECT);
            for (e in version) {
                due[e] = affects(row, e);
                open[e] = (row == PROJECT -> value : open[e]);
                for (h : 0 .. SAVES_OF_FIRST - 1) {
                    changes_gate = (changes_gate || hook[h].in_doubt && hook[h].gate && hook[h].version[e] && due[e])
                }
            }
#ifndef RAISED_AGAIN
            for (h : 0 .. SAVES_OF_FIRST - 1) {
                for (e in version) {
                    if
                    :: due[e] && hook[h].version[e] && !hook[h].in_doubt ->
                        due[e] = 0;
#ifndef FIRST_GATE_KEPT
                        hook[h].gate = (hook[h].gate || changes_gate)
#endif
                    :: else
                    fi
                }
            }
#endif
            registered = 0;
            for (e in version) {
                if
                :: due[e] ->
                    raise_version(e);
                    is_open = (wrote_gate -> new_gate : gate);
                    open[e] = is_open;
                    hook[hooks].version[e] = new_version[e];
                    hook[hooks].open = is_open;
                    hook[hooks].gate = changes_gate;
                    hook[hooks].nested = in_savepoint;
                    hook[hooks].in_doubt = 0;
                    registered = 1;
                    due[e] = 0;
#ifdef VERSION_UNLOCKED
                    release(environment_lock[e]);
#endif
#ifdef PUBLISHED_AT_ONCE
                    published = new_version[e];
                    publish(e);
                    hook[hooks].version[e] = 0
#endif
                :: else
                fi
            }
            hooks = hooks + registered;
            row = 0; value = 0; visible = 0
        }
    }
}

/* EmbeddedHost.raise_versions: greatest(clock, updated_at + 1 us) with a clock that lags. A clock that is ahead would
 * only skip some numbers.
 */
inline raise_version(one) {
    if
    :: new_version[one] == 0 -> new_version[one] = version[one]
    :: else
    fi;
#ifndef CLOCK_ALONE
    new_version[one]++
#endif
}

inline commit_flag(r, new) {
    for (e in version) {
        cache_differs[e] = (cache_differs[e] || flag[r] != new && affects(r, e))
    }
    flag[r] = new
}

inline commit() {
    d_step {
        for (h in flag) {
            if
            :: wrote_flag[h] -> commit_flag(h, new_flag[h])
            :: else
            fi
        }
        for (e in version) {
            if
            :: new_version[e] ->
                promise(2, new_version[e] > version[e]);
                version[e] = new_version[e];
                cache_differs[e] = 0
            :: else
            fi
        }
        if
        :: wrote_gate -> gate = new_gate
        :: else
        fi;
        release_all()
    }
}

/* transaction.savepoint */
inline set_savepoint() {
    d_step {
        in_savepoint = 1;
        for (e in version) {
            old_version[e] = new_version[e];
            old_flag[e] = new_flag[e];
            old_wrote_flag[e] = wrote_flag[e];
            old_open[e] = open[e];
            had_lock[e] = (environment_lock[e] == me)
        }
        old_gate = new_gate; old_wrote_gate = wrote_gate; had_project = (project_lock == me)
    }
}

/* transaction.savepoint_rollback reverts the writes, locks and hooks since the savepoint. A rollback in raw
 * SQL keeps the hooks registered (left_over). versions.watch_rollbacks marks the remaining hooks.
 */
inline roll_back_to_savepoint() {
    if
    :: left_over = 0
    :: left_over = 1
    fi;
    d_step {
        for (e in version) {
            if
            :: !had_lock[e] -> release(environment_lock[e])
            :: else
            fi;
            if
            :: !old_wrote_flag[e] -> release(flag_lock[e])
            :: else
            fi;
            new_version[e] = old_version[e];
            new_flag[e] = old_flag[e];
            wrote_flag[e] = old_wrote_flag[e];
            open[e] = old_open[e]
        }
        if
        :: !had_project -> release(project_lock)
        :: else
        fi;
        new_gate = old_gate; wrote_gate = old_wrote_gate;
        for (h : 0 .. SAVES_OF_FIRST - 1) {
            for (e in version) {
                if
                :: hook[h].nested && !left_over -> hook[h].version[e] = 0
                :: else
                fi
            }
#ifndef NEVER_IN_DOUBT
            hook[h].in_doubt = 1
#endif
        }
        clear_savepoint();
        savepoints = 0
    }
}

/* Announcement.__call__, after the commit. */
inline call_hooks() {
    d_step {
        for (h : 0 .. SAVES_OF_FIRST - 1) {
            for (e in version) {
                published = hook[h].version[e];
                is_open = hook[h].open;
                if
                :: published && (hook[h].gate || hook[h].in_doubt) ->
                    /* Read the state again. If the version was raised further, another hook publishes it. */
                    is_open = gate;
                    excused[e] = (excused[e] || !gate || version[e] > new_version[e]);
                    published = (version[e] == published -> published : 0)
                :: else
                fi;
                if
                :: published -> publish(e)
                :: else
                fi
            }
        }
        for (e in version) {
            /* After a rollback in raw SQL the same version may be raised again, and published twice. */
            promise(1, events[e] <= 1 + left_over);
            promise(1, !new_version[e] || !open[e] || excused[e] || events[e] > 0)
        }
        published = 0
    }
}

/* publish.publish: an event for the streams, if the gate is open. */
inline publish(one) {
    if
    :: is_open && published == new_version[one] -> events[one]++
    :: else
    fi;
    promise(1, published == new_version[one] || published == version[one]);
    promise(3, published <= version[one]);
    promise(6, !is_open || open[one] || gate)
}

/* Clears values that no longer matter, so that SPIN does not distinguish otherwise equal states. */
inline clear_savepoint() {
    for (e in version) {
        old_version[e] = 0; old_flag[e] = 0; old_wrote_flag[e] = 0; old_open[e] = 0; had_lock[e] = 0
    }
    old_gate = 0; old_wrote_gate = 0; had_project = 0; in_savepoint = 0
}

inline clear() {
    for (e in version) {
        for (h : 0 .. SAVES_OF_FIRST - 1) {
            hook[h].version[e] = 0; hook[h].open = 0; hook[h].gate = 0; hook[h].in_doubt = 0;
            hook[h].nested = 0
        }
        new_version[e] = 0; new_flag[e] = 0; wrote_flag[e] = 0; open[e] = 0; events[e] = 0; excused[e] = 0
    }
    new_gate = 0; wrote_gate = 0; hooks = 0; saves = 0; max_saves = 0; savepoints = 0; left_over = 0; autocommit = 0;
    clear_savepoint()
}

proctype Writer(byte me) {
    /* The writes of the transaction, and those before its savepoint. */
    byte new_version[ENVIRONMENTS], old_version[ENVIRONMENTS];      /* 0: not raised */
    bit new_flag[ENVIRONMENTS], old_flag[ENVIRONMENTS], new_gate, old_gate;
    bit wrote_flag[ENVIRONMENTS], old_wrote_flag[ENVIRONMENTS], wrote_gate, old_wrote_gate;
    bit had_lock[ENVIRONMENTS], had_project;
    /* The gate when the transaction raised the version, or as changed by the transaction since. */
    bit open[ENVIRONMENTS], old_open[ENVIRONMENTS];
    Announcement hook[SAVES_OF_FIRST];
    byte hooks, saves, max_saves = SAVES, savepoints;
    bit autocommit, in_savepoint, left_over;
    /* The current save. */
    byte row;
    bit value, before, visible, backwards, unlocked, due[ENVIRONMENTS];
    byte prepared[ENVIRONMENTS];        /* in autocommit mode: the versions before the save */
    /* For promise 1: the number of published events, and whether another transaction may publish instead. */
    byte events[ENVIRONMENTS];
    bit excused[ENVIRONMENTS];

    atomic {
        if
        :: me == 1 -> max_saves = SAVES_OF_FIRST; savepoints = SAVEPOINTS
        :: me != 1
        fi;
        if
        :: autocommit = 0
        :: autocommit = 1; max_saves = 1; savepoints = 0
        fi
    }
    do
    :: saves < max_saves ->
        if
        :: !autocommit -> lock_and_read(); update()
        :: autocommit -> read_in_autocommit(); update(); compare_versions()
        fi;
        if
        :: visible -> announce()
        :: d_step { !visible -> row = 0; value = 0 }
        fi
    :: atomic { savepoints && !in_savepoint -> set_savepoint() }
    :: atomic { in_savepoint -> roll_back_to_savepoint() }
    :: atomic { saves > 0 -> commit() }
        call_hooks();
        break
    :: saves > 0 && !autocommit -> goto rolled_back
    od;
    goto done;

rolled_back:
    skip;
    d_step {
        release_all();
        for (e in version) {
            promise(1, events[e] == 0)
        }
        row = 0; value = 0; visible = 0; before = 0; backwards = 0; unlocked = 0
    }
done:
    skip;
    d_step {
        finished++;
        clear()
    }
}

init {
    atomic {
        select (gate : 0 .. 1);
        run Writer(1);
        if
        :: WRITERS > 1 && !SAME_BOUNDS -> run Writer(2)
        :: else
        fi
    }
    d_step {
        finished == WRITERS;
        for (e in version) {
            promise(11, !cache_differs[e])
        }
        e = 0
    }
}
