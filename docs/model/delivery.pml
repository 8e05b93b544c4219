/* Delivery: from the commits of one environment's changes to the clients that stream it.
 *
 * README.md lists the promises by their numbers, the function behind each step, and the switches (#ifdef), each of
 * which breaks a promise on purpose. writers.pml has the steps of a transaction. Here a transaction is one step.
 */

/* Bounds */
#ifndef PROCESSES
#define PROCESSES 1     /* that stream; at most two */
#endif
#ifndef CLIENTS
#define CLIENTS 2       /* at most two */
#endif
#ifndef ROAMING
#define ROAMING CLIENTS /* clients that connect to any process; the others connect to the last one */
#endif
#ifndef THREADS
#define THREADS 2       /* of these processes in turns, that make changes */
#endif
#ifndef CHANGES
#define CHANGES 2       /* by all threads, and by processes that stream nothing, together */
#endif
#ifndef AUTOCOMMIT
#define AUTOCOMMIT 0    /* 1: the gate is also changed in autocommit mode */
#endif
#ifndef READ_AT_ONCE
#define READ_AT_ONCE 0  /* 1: a read and the arrival of its answer are one step */
#endif
#ifndef FAULTS
#define FAULTS 0        /* crashes, disconnects and failed reads together; 0: any number of them */
#endif

#ifndef ONLY
#define ONLY 0          /* the one promise that is checked; 0: all */
#endif
#define promise(number, condition) assert(!(ONLY == 0 || ONLY == number) || (condition))

#define NOWHERE PROCESSES
#define LAST (PROCESSES - 1)

/* The rows of the environment and of its project. */
byte version = 1;       /* Environment.updated_at */
bit  gate;              /* Project.enable_realtime_updates */
byte changes = CHANGES;

/* Only for the promises: the versions at which the gate was open (a bit each), and whether it has been closed for
 * LATE_SECONDS by now.
 */
byte open_at;
bit  closed_long;

typedef Process {
    byte subscribers;
    /* Topic.state: the newest state that is known; 0: none. Topic.frame: the event that was delivered last. */
    byte known; bit known_open;
    byte frame;
    /* A read has to begin from now on: Topic.stale, or a question for StateReader.submit. */
    bit stale;
    /* A read on its way from the query to the event loop. */
    bit reading; byte read; bit read_open;
    /* Only for the promises. The newest observation: a read, or an own commit whose event arrives in time. And: true if
     * something may have been missed and no read has begun since.
     */
    byte observed; bit observed_open;
    bit missed
}
Process process[PROCESSES];

/* Events of own commits on their way into the event loop (EnvironmentListener): version and gate. */
chan queue[PROCESSES] = [1] of { byte, bit };

typedef Thread {
    /* A commit hook that waits to be called (Announcement); 0: none. */
    byte raised; bit open; bit gate;
    /* A save in autocommit mode that is to be announced. */
    bit unannounced
}
Thread thread[THREADS];

mtype = { GONE, SUBSCRIBED, READ, SERVED };

typedef Client {
    byte at = NOWHERE;      /* the process */
    mtype stage = GONE;     /* READ: the read for it has begun */
    bit ready;              /* Sink.ready: nothing waits to be written */
    byte mailbox;           /* Stream._waiting; 0: empty */
    byte seen               /* the newest version that was written for this client, by any process */
}
Client client[CLIENTS];

/* Used within single steps only. (SPIN builds no d_step that ends with a loop, so some end with an assignment.) */
hidden byte c, i, v, live, was_closed;

#if FAULTS > 0
byte faults = FAULTS;
#define fault_happens (faults > 0)
#define count_fault() faults--
#else
#define fault_happens true
#define count_fault() skip
#endif

/* The gate, as far as the process knows */
#define is_closed(p) (process[p].known && !process[p].known_open)

/* ---- Streams ---- */

/* Sink.write. The next piece can be written when Stream.drained is called. */
inline write(one, piece) {
    promise(2, piece >= client[one].seen);
    promise(3, piece <= version);
    promise(6, open_at & (1 << piece));
    promise(6, process[client[one].at].observed_open);
    client[one].seen = piece;
    client[one].ready = 0
}

/* Stream.deliver, of all streams that have been served the state that was read for them */
inline deliver(p) {
    for (c : 0 .. CLIENTS - 1) {
        if
        :: client[c].at == p && client[c].stage == SERVED && client[c].ready -> write(c, process[p].frame)
        :: client[c].at == p && client[c].stage == SERVED && !client[c].ready ->
#ifdef MAILBOX_KEEPS_FIRST
            client[c].mailbox = (client[c].mailbox -> client[c].mailbox : process[p].frame)
#else
            client[c].mailbox = process[p].frame
#endif
        :: else
        fi
    }
}

/* Stream.deliver_initial, of those for which the state was read: the newest event, or a comment if the gate is closed */
inline welcome(p) {
    for (c : 0 .. CLIENTS - 1) {
        if
        :: client[c].at == p && client[c].stage == READ ->
            client[c].stage = SERVED;
            if
            :: process[p].known_open && client[c].ready -> write(c, process[p].frame)
            :: process[p].known_open && !client[c].ready -> client[c].mailbox = process[p].frame
            :: else
            fi
        :: else
        fi
    }
}

/* Stream.drained and Stream._take_pending: the waiting event is written, unless the gate has been closed since. */
inline drain(one) {
    client[one].ready = 1;
    v = client[one].mailbox;
    client[one].mailbox = 0;
    if
#ifdef MAILBOX_IGNORES_GATE
    :: v ->
#else
    :: v && !is_closed(client[one].at) ->
#endif
        promise(4, v == process[client[one].at].frame);
        write(one, v)
    :: else
    fi;
    v = 0
}

#ifdef READ_BEFORE_SUBSCRIBE
byte read_first[CLIENTS];
#define CLOSED 255
#define may_subscribe(one) (client[one].at == NOWHERE && read_first[one])
#else
#define may_subscribe(one) (client[one].at == NOWHERE)
#endif

/* Stream.open: Hub.subscribe, then Topic.ask_for. */
inline subscribe(one, p) {
    process[p].subscribers++;
    client[one].at = p;
#ifdef READ_BEFORE_SUBSCRIBE
    client[one].stage = SERVED;
    client[one].seen = (read_first[one] == CLOSED -> client[one].seen : read_first[one]);
    read_first[one] = 0
#else
    client[one].stage = SUBSCRIBED
#endif
}

/* Stream.connection_lost and Topic.unsubscribe. The last subscriber takes the topic with it. */
inline leave(one) {
    v = client[one].at;
    client[one].at = NOWHERE; client[one].stage = GONE; client[one].ready = 0; client[one].mailbox = 0;
    process[v].subscribers--;
    if
    :: !process[v].subscribers ->
        process[v].known = 0; process[v].known_open = 0; process[v].frame = 0; process[v].stale = 0;
        process[v].observed = 0; process[v].observed_open = 0; process[v].missed = 0;
        do
        :: queue[v]?_,_
        :: empty(queue[v]) -> break
        od
    :: else
    fi;
    v = 0
}

/* ---- Topics ---- */

/* Topic.accept of the state (v, live) */
inline offer(p) {
    if
#ifndef OLDER_ACCEPTED
    :: v < process[p].known
#endif
    :: else ->
        was_closed = is_closed(p);
        process[p].known = v;
        process[p].known_open = live;
        if
#ifdef OFFER_IGNORES_GATE
        :: v > process[p].frame ->
#else
#ifdef REOPENING_IGNORED
        :: live && v > process[p].frame ->
#else
        :: live && (v > process[p].frame || was_closed) ->
#endif
#endif
            process[p].frame = v;
            deliver(p)
        :: else
        fi
    fi;
    /* If the gate is open, each stream has the newest state now, or as soon as its client reads. */
    for (c : 0 .. CLIENTS - 1) {
        promise(6, client[c].at != p || client[c].stage != SERVED || !process[p].known_open
                || client[c].seen == process[p].known || client[c].mailbox == process[p].known)
    }
}

inline observe(p) {
    process[p].observed = v;
    process[p].observed_open = live
}

/* Topic._accept of an event (v, live), whose state is offered as it is */
inline accept(p) {
    if
#ifdef SAME_VERSION_TRUSTED
    :: v >= process[p].known ->
#else
    :: v > process[p].known ->
#endif
        promise(6, !live || !closed_long);
        if
        :: v > process[p].observed -> observe(p)
        :: else
        fi;
        offer(p)
    :: else
    fi;
    v = 0
}

/* Topic._accept of an event that is a hint: the state is read, and what was read is offered. */
inline accept_after_read(p) {
    if
    :: v > process[p].known -> ask(p)
    :: else
    fi;
    v = 0
}

/* StateReader.submit, and Hub.refresh */
inline ask(p) {
    process[p].stale = 1;
    process[p].missed = 1
}

/* ---- Reads ---- */

/* Reconcile._read and Batcher._run. The mark is cleared before the read begins. */
inline begin_read(p) {
    for (c : 0 .. CLIENTS - 1) {
        if
        :: client[c].at == p && client[c].stage == SUBSCRIBED -> client[c].stage = READ
        :: else
        fi
    }
#ifndef STALE_CLEARED_LATE
    process[p].stale = 0;
#endif
    process[p].missed = 0;
    process[p].reading = 1; process[p].read = version; process[p].read_open = gate
}

inline end_read(p) {
    process[p].reading = 0; process[p].read = 0; process[p].read_open = 0
}

/* The answer, in the event loop: Topic.accept_from_reconcile, Topic._accept_read, Topic._welcome */
inline answer_read(p) {
    v = process[p].read; live = process[p].read_open;
    end_read(p);
#ifdef STALE_CLEARED_LATE
    process[p].stale = 0;
#endif
    if
    :: process[p].subscribers ->
        if
        :: v >= process[p].observed -> observe(p)
        :: else
        fi;
        offer(p);
        welcome(p)
    :: else
    fi;
    promise(5, !process[p].missed || process[p].stale)
}

/* Topic._start_repeat: the last of several events once more, for clients that drop events while they fetch */
inline repeat(p) {
    if
#ifdef REPEAT_TRUSTS_READ
    :: process[p].subscribers && process[p].frame && live -> deliver(p)
#else
    :: process[p].subscribers && process[p].known_open -> deliver(p)
#endif
    :: else
    fi;
    v = 0
}

inline fail_read(p) {
    end_read(p);
    for (c : 0 .. CLIENTS - 1) {
        if
        :: client[c].at == p && client[c].stage == READ -> client[c].stage = SUBSCRIBED
        :: else
        fi
    }
    if
    :: process[p].subscribers -> ask(p)
    :: else
    fi;
    v = 0
}

#define newcomer(p, one) (client[one].at == p && client[one].stage == SUBSCRIBED)

#ifdef NO_RECONCILE
#define reconcile_finds(p) false
#else
#define reconcile_finds(p) (process[p].known != version || process[p].known_open != gate)
#endif

#ifdef DELIVERY_WAITS
#define waits_for(p, one) (client[one].at == p && client[one].stage == SERVED && !client[one].ready)
#define can_deliver(p) !(waits_for(p, 0) || waits_for(p, CLIENTS - 1))
#else
#define can_deliver(p) true
#endif

/* A read that finds the known state would change nothing, and is left out. */
#define read_begins(p) (process[p].subscribers && !process[p].reading && can_deliver(p) \
    && (process[p].stale || newcomer(p, 0) || newcomer(p, CLIENTS - 1) || reconcile_finds(p)))

/* The reads of a process: for the reconcile, for new streams, and for events that are hints. */
proctype Reconcile(byte p) {
    do
#if READ_AT_ONCE
    :: d_step { read_begins(p) -> begin_read(p); answer_read(p); v = 0 }
#else
    :: d_step { read_begins(p) -> begin_read(p) }
    :: d_step { process[p].reading && can_deliver(p) -> answer_read(p); v = 0 }
    :: d_step { process[p].reading && can_deliver(p) -> answer_read(p); repeat(p) }
    :: d_step { process[p].reading && fault_happens -> count_fault(); fail_read(p) }
#endif
    od
}

/* ---- Own commits ---- */

/* Topic._receive of an event of this process. If the event says that the gate is open, and the gate has been closed for
 * LATE_SECONDS by now, then the event is at least as old as that.
 */
proctype Listener(byte p) {
    do
    /* The version is closer to the clock than LATE_SECONDS. */
    :: d_step { nempty(queue[p]) && can_deliver(p) && !(closed_long && queue[p]?[_, 1]) -> queue[p]?v,live; accept(p) }
    /* It is behind the clock: the event is late. */
#ifdef LATE_INFINITE
    :: d_step { nempty(queue[p]) && can_deliver(p) -> queue[p]?v,live; accept(p) }
#else
    :: d_step { nempty(queue[p]) && can_deliver(p) -> queue[p]?v,live; accept_after_read(p) }
#endif
    /* It is ahead of the clock: the event may be in time or late. */
#ifdef FUTURE_TRUSTED
    :: d_step { nempty(queue[p]) && can_deliver(p) -> queue[p]?v,live; accept(p) }
#else
    :: d_step { nempty(queue[p]) && can_deliver(p) -> queue[p]?v,live; accept_after_read(p) }
#endif
    od
}

inline note_gate() {
    open_at = open_at | (gate << version)
}

inline turn_gate() {
    gate = !gate;
    closed_long = 0
}

/* EmbeddedHost.raise_versions, and the commit */
inline raise_version() {
    version++;
    note_gate()
}

/* versions.announce: the same in one of the threads, which then has a hook to call. If the transaction changes the
 * gate, the hook reads the state again.
 */
inline announce(t, changes_gate) {
    raise_version();
    thread[t].raised = version;
    thread[t].open = (changes_gate -> 0 : gate);
    thread[t].gate = changes_gate
}

inline forget_hook(t) {
    thread[t].raised = 0; thread[t].open = 0; thread[t].gate = 0
}

/* publish.publish. If the queue is full, the event is dropped and the state is read again. */
inline publish(p) {
    if
    :: process[p].subscribers && len(queue[p]) == 0 -> queue[p]!v,live
    :: process[p].subscribers && len(queue[p]) > 0 -> ask(p)
    :: process[p].subscribers == 0
    fi
}

/* Announcement.__call__ */
inline call_hook(t, p) {
    v = thread[t].raised;
    live = thread[t].open;
    if
    :: thread[t].gate && version == v -> live = gate; publish(p)
    :: thread[t].gate && version != v      /* The transaction that has raised it further publishes it. */
    :: !thread[t].gate -> publish(p)
    fi;
    forget_hook(t);
    v = 0
}

#define may_change(t) (changes > 0 && !thread[t].raised && !thread[t].unannounced)

/* A thread of process p that makes changes, one after the other. */
proctype Writer(byte t, p) {
    do
    /* A transaction changes a flag, */
    :: d_step { may_change(t) -> changes--; announce(t, 0) }
    /* or the gate, perhaps after a flag: then the version was raised while the gate was as before. */
    :: d_step {
            may_change(t) ->
            changes--; turn_gate();
#ifdef FIRST_GATE_KEPT
            announce(t, 0); thread[t].open = !gate
#else
            announce(t, 1)
#endif
        }
    :: d_step { thread[t].raised -> call_hook(t, p) }
#if AUTOCOMMIT
    /* A save of the gate, then its announcement. */
    :: d_step { may_change(t) -> changes--; turn_gate(); note_gate(); thread[t].unannounced = 1 }
    :: d_step { thread[t].unannounced -> thread[t].unannounced = 0; announce(t, 1) }
#endif
#ifdef PUBLISHED_EARLY
    :: d_step { may_change(t) -> v = version + 1; live = gate; publish(p); v = 0 }
#endif
    od
}

/* ---- Clients ---- */

proctype Subscriber(byte one) {
    do
#ifdef READ_BEFORE_SUBSCRIBE
    :: d_step { client[one].at == NOWHERE && !read_first[one] -> read_first[one] = (gate -> version : CLOSED) }
#endif
    :: d_step { may_subscribe(one) -> subscribe(one, LAST) }
#if PROCESSES > 1
    :: d_step { may_subscribe(one) && one < ROAMING -> subscribe(one, 0) }
#endif
    :: d_step { client[one].at != NOWHERE && fault_happens -> count_fault(); leave(one) }
    /* The client reads. */
    :: d_step { client[one].at != NOWHERE && !client[one].ready -> drain(one) }
    /* The second client may stop reading for ever. */
    :: one > 0 && client[one].at != NOWHERE && !client[one].ready -> skip
    od
}

/* ---- Faults, messages and time ---- */

/* A process is killed and starts again, but not between a save in autocommit mode and its announcement. */
inline crash(p) {
    end_read(p);
    for (i : 0 .. CLIENTS - 1) {
        if
        :: client[i].at == p -> leave(i)
        :: else
        fi
    }
    for (i : 0 .. THREADS - 1) {
        if
        :: i % PROCESSES == p -> forget_hook(i)
        :: else
        fi
    }
    v = 0
}

/* The bus: a message that names a committed version may come at any time, several times, in any order, or never. All
 * messages that name a newer version than the known one have the same effect.
 */
#define message_comes(p) (process[p].subscribers && version > process[p].known && !process[p].stale)

/* What may happen at any time, or never. */
proctype Chance() {
    do
    /* A process without streams changes a flag or the gate. */
    :: d_step { changes > 0 -> changes--; raise_version() }
    :: d_step { changes > 0 -> changes--; turn_gate(); raise_version() }
    /* The bus */
    :: d_step { message_comes(0) -> ask(0) }
#if PROCESSES > 1
    :: d_step { message_comes(1) -> ask(1) }
#endif
#ifdef MESSAGE_BELIEVED
    :: d_step {
            process[0].subscribers && version > process[0].known + 1 ->
            v = version - 1; live = (open_at >> v) & 1;
            accept(0)
        }
#endif
    :: d_step { fault_happens -> count_fault(); crash(0) }
#if PROCESSES > 1
    :: d_step { fault_happens -> count_fault(); crash(1) }
#endif
#if FAULTS == 0
    /* LATE_SECONDS pass. Only promise 6 depends on it. */
    :: d_step { !gate && !closed_long -> closed_long = 1 }
#endif
    :: version > 0 -> skip
    od
}

init {
    atomic {
        select (gate : 0 .. 1);
        note_gate();
        for (i : 0 .. PROCESSES - 1) {
            run Reconcile(i);
            run Listener(i)
        }
        for (i : 0 .. THREADS - 1) {
            run Writer(i, i % PROCESSES)
        }
        for (i : 0 .. CLIENTS - 1) {
            run Subscriber(i)
        }
        run Chance()
    }
}

#if FAULTS > 0
/* Promise 5, and 4: in the end the first client has the newest state, whatever the second one does. */
ltl newest { <> [] (client[0].stage == SERVED && (!gate || client[0].seen == version)) }
#endif
