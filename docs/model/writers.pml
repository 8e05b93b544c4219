/* Writers: transactions that change what SDKs read, up to the events that they publish.
 *
 * README.md lists the promises by their numbers, the function behind each step, and the switches (#ifdef), each of
 * which breaks a promise on purpose. delivery.pml continues where an event is published, and takes a transaction for
 * one step.
 */

/* Bounds */
#ifndef ENVIRONMENTS
#define ENVIRONMENTS 1  /* of one project, so they share its gate; at most two */
#endif
#ifndef WRITERS
#define WRITERS 2       /* each makes one transaction, or one save in autocommit mode */
#endif
#ifndef SAVES
#define SAVES 2         /* of one transaction */
#endif
#ifndef SAVES_OF_FIRST
#define SAVES_OF_FIRST 3    /* the same for the first writer; not less than SAVES */
#endif
#ifndef SAVEPOINTS
#define SAVEPOINTS 1    /* that the first writer may set, and roll back to: 0 or 1 */
#endif

#ifndef ONLY
#define ONLY 0          /* the one promise that is checked; 0: all */
#endif
#define promise(number, condition) assert(!(ONLY == 0 || ONLY == number) || (condition))

/* Rows by number. Row 0 is a feature state of environment 0. Row 1, if there are two environments, is of both, like a
 * feature. The last one is their project. A change of a row that concerns the whole project locks the project first,
 * then the environments in the order of their primary keys, then the row.
 */
#define PROJECT ENVIRONMENTS
#define concerns_project(r) (r > 0)
#define concerns(r, environment) (r > 0 || environment == 0)

/* The committed rows, and the writer that has locked each. */
byte version[ENVIRONMENTS] = 1;     /* Environment.updated_at */
bit  flag[ENVIRONMENTS];            /* what SDKs read of row 0 and row 1 */
bit  gate;                          /* Project.enable_realtime_updates */
byte environment_lock[ENVIRONMENTS], flag_lock[ENVIRONMENTS], project_lock;

/* The API caches its answers by version. True: under the present version it may hold one that differs from the rows. */
bit cache_differs[ENVIRONMENTS];

byte finished;

/* A commit hook, with the states that it is to publish. */
typedef Announcement {
    byte version[ENVIRONMENTS];     /* 0: none of this environment */
    bit open;                       /* the gate as it was read when the versions were raised */
    bit gate;                       /* the transaction may have changed the gate */
    bit in_doubt;
    bit nested                      /* registered after the savepoint was set */
}

/* Used within single steps only. (SPIN builds no d_step that ends with a loop, so some end with an assignment.) */
hidden byte e, h, published, live, registered, changes_gate;

/* Wait for a row's lock. To end a deadlock the database may roll back a transaction that waits and has saved before. */
inline take(lock) {
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

/* EmbeddedHost.lock: the environments of the row, in the order of their primary keys */
inline lock_first_environment() {
#ifdef LOCKS_IN_NO_ORDER
    if
    :: concerns_project(row) && ENVIRONMENTS > 1 -> backwards = 1
    :: true
    fi;
#endif
    take(environment_lock[backwards])
}

inline lock_second_environment() {
    if
    :: concerns_project(row) && ENVIRONMENTS > 1 -> take(environment_lock[1 - backwards])
    :: !concerns_project(row) || ENVIRONMENTS == 1
    fi;
    backwards = 0
}

inline choose_save() {
    saves++;
    select (row : 0 .. PROJECT);
    select (value : 0 .. 1)
}

/* Writers with the same bounds begin in the order of their numbers: another order would differ in the numbers only. */
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
            prepared[e] = (concerns(row, e) -> version[e] : 0)
        }
        e = 0
    }
}

/* RowSignals.before_save: Watcher.prepare, then the old row is read. In a transaction that takes locks. */
inline lock_and_read() {
    atomic {
        choose_save();
        if
#ifdef OLD_ROW_UNLOCKED
        :: unlocked = 1
#endif
        :: concerns_project(row) -> take(project_lock)
        :: !concerns_project(row) -> lock_first_environment()
        fi;
        begin_next();
#if ENVIRONMENTS > 1                /* Each lock is a step. */
    }
    atomic {
#endif
        if
        :: concerns_project(row) && !unlocked -> lock_first_environment()
        :: !concerns_project(row) || unlocked
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

/* The same in autocommit mode: the versions are read, before the row is. */
inline read_in_autocommit() {
#ifdef VERSIONS_READ_LATE
    atomic { choose_save(); begin_next(); read_old_row() }
    read_versions();
#else
    atomic { choose_save(); begin_next(); read_versions() }
    read_old_row();
#endif
}

/* The UPDATE. In autocommit mode it also commits. */
inline update() {
    atomic {
        if
        :: row == PROJECT && !autocommit -> take(project_lock); wrote_gate = 1; new_gate = value
        :: row != PROJECT && !autocommit -> take(flag_lock[row]); wrote_flag[row] = 1; new_flag[row] = value
        :: row == PROJECT && autocommit && project_lock == 0 -> gate = value
        :: row != PROJECT && autocommit && flag_lock[row] == 0 -> commit_flag(row, value)
        fi;
        visible = (before != value);
        before = 0
    }
}

/* Watcher.__call__ in autocommit mode, of a save that seems to change nothing */
inline compare_versions() {
    d_step {
        for (e in version) {
#ifndef AUTOCOMMIT_SKIPS
            visible = (visible || concerns(row, e) && prepared[e] != version[e]);
#endif
            prepared[e] = 0
        }
        e = 0
    }
}

/* versions.announce: the locks (which most saves have), the versions, and the hook. */
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
                due[e] = concerns(row, e);
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
                    live = (wrote_gate -> new_gate : gate);
                    open[e] = live;
                    hook[hooks].version[e] = new_version[e];
                    hook[hooks].open = live;
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

/* EmbeddedHost.raise_versions: greatest(clock, updated_at + 1 us), with a clock that lags. A clock that is ahead would
 * only leave out some numbers.
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
        cache_differs[e] = (cache_differs[e] || flag[r] != new && concerns(r, e))
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

/* transaction.savepoint_rollback undoes what was written, locked and registered since the savepoint. A rollback in raw
 * SQL leaves the hooks registered (left_over). versions.watch_rollbacks marks the hooks that remain.
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
        forget_savepoint();
        savepoints = 0
    }
}

/* Announcement.__call__, after the commit */
inline call_hooks() {
    d_step {
        for (h : 0 .. SAVES_OF_FIRST - 1) {
            for (e in version) {
                published = hook[h].version[e];
                live = hook[h].open;
                if
                :: published && (hook[h].gate || hook[h].in_doubt) ->
                    /* Read again. A transaction or hook that has raised the version further publishes it. */
                    live = gate;
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
            /* After raw SQL the same version may have been raised a second time, and be published twice. */
            promise(1, events[e] <= 1 + left_over);
            promise(1, !new_version[e] || !open[e] || excused[e] || events[e] > 0)
        }
        published = 0
    }
}

/* publish.publish: an event for the streams if the gate is open */
inline publish(one) {
    if
    :: live && published == new_version[one] -> events[one]++
    :: else
    fi;
    promise(1, published == new_version[one] || published == version[one]);
    promise(3, published <= version[one]);
    promise(6, !live || open[one] || gate)
}

/* Values that no longer matter are cleared: otherwise equal states would count as different ones. */
inline forget_savepoint() {
    for (e in version) {
        old_version[e] = 0; old_flag[e] = 0; old_wrote_flag[e] = 0; old_open[e] = 0; had_lock[e] = 0
    }
    old_gate = 0; old_wrote_gate = 0; had_project = 0; in_savepoint = 0
}

inline forget() {
    for (e in version) {
        for (h : 0 .. SAVES_OF_FIRST - 1) {
            hook[h].version[e] = 0; hook[h].open = 0; hook[h].gate = 0; hook[h].in_doubt = 0;
            hook[h].nested = 0
        }
        new_version[e] = 0; new_flag[e] = 0; wrote_flag[e] = 0; open[e] = 0; events[e] = 0; excused[e] = 0
    }
    new_gate = 0; wrote_gate = 0; hooks = 0; saves = 0; most = 0; savepoints = 0; left_over = 0; autocommit = 0;
    forget_savepoint()
}

proctype Writer(byte me) {
    /* What the transaction has written, and what it had written at its savepoint. */
    byte new_version[ENVIRONMENTS], old_version[ENVIRONMENTS];      /* 0: not raised */
    bit new_flag[ENVIRONMENTS], old_flag[ENVIRONMENTS], new_gate, old_gate;
    bit wrote_flag[ENVIRONMENTS], old_wrote_flag[ENVIRONMENTS], wrote_gate, old_wrote_gate;
    bit had_lock[ENVIRONMENTS], had_project;
    /* The gate as the transaction read it when it raised the version, or as it has changed it since. */
    bit open[ENVIRONMENTS], old_open[ENVIRONMENTS];
    Announcement hook[SAVES_OF_FIRST];
    byte hooks, saves, most = SAVES, savepoints;
    bit autocommit, in_savepoint, left_over;
    /* The present save. */
    byte row;
    bit value, before, visible, backwards, unlocked, due[ENVIRONMENTS];
    byte prepared[ENVIRONMENTS];        /* in autocommit mode: the versions before the save */
    /* For promise 1: the events published, and whether there may be none because of another transaction. */
    byte events[ENVIRONMENTS];
    bit excused[ENVIRONMENTS];

    atomic {
        if
        :: me == 1 -> most = SAVES_OF_FIRST; savepoints = SAVEPOINTS
        :: me != 1
        fi;
        if
        :: autocommit = 0
        :: autocommit = 1; most = 1; savepoints = 0
        fi
    }
    do
    :: saves < most ->
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
        forget()
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
