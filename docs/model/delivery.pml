/* Model of the delivery: from the commits of changes of one environment to the clients that stream it.
 *
 * README.md lists the promises by their numbers, the function behind each step, and the switches (#ifdef), each of
 * which breaks a promise on purpose. writers.pml models the steps of a transaction. Here a transaction is one step.
 */

/* Bounds */
#ifndef PROCESSES
#define PROCESSES 1     /* processes with streams; at most two */
#endif
#ifndef CLIENTS
#define CLIENTS 2       /* at most two */
#endif
#ifndef ROAMING
#define ROAMING CLIENTS /* clients that connect to any process; the others connect to the last one */
#endif
#ifndef THREADS
#define THREADS 2       /* threads that make changes, assigned to these processes in turn */
#endif
#ifndef CHANGES
#define CHANGES 2       /* changes by all threads and by processes without streams, in total */
#endif
#ifndef AUTOCOMMIT
#define AUTOCOMMIT 0    /* 1: the gate is also changed in autocommit mode */
#endif
#ifndef READ_AT_ONCE
#define READ_AT_ONCE 0  /* 1: a read and the arrival of its result are one step */
#endif
#ifndef FAULTS
#define FAULTS 0        /* crashes, disconnects and failed reads, in total; 0: any number */
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
 * MAX_EVENT_AGE_SECONDS by now.
 */
byte open_at;
bit  closed_long;

typedef Process {
    byte subscribers;
    /* Topic.state: the newest accepted state; 0: none. Topic.frame: the event that was delivered last. */
    byte state; bit state_open;
    byte frame;
    /* Topic.stale or a request of Batcher.submit: a read must begin from now on. */
    bit stale;
    /* A read whose query has run, and whose result has not arrived in the event loop. */
    bit reading; byte read; bit read_open;
/* Only for the promises. The newest observation: a read, or an own commit whose event arrives in time. missed: an
     * event may have been missed, and no read has begun since.
     */
    byte observed; bit observed_open;
    bit missed
}
Process process[PROCESSES];

/* The queue of EnvironmentListener: events (version and gate) of own commits that the event loop has not processed. */
chan queue[PROCESSES] = [1] of { byte, bit };

typedef Thread {
    /* A pending commit hook (Announcement); 0: none. */
    byte raised; bit open; bit gate;
    /* A save in autocommit mode that is not announced yet. */
    bit unannounced
}
Thread thread[THREADS];

mtype = { GONE, SUBSCRIBED, READ, SERVED };

typedef Client {
    byte at = NOWHERE;      /* the process */
    mtype stage = GONE;     /* READ: the read requested for it has begun */
    bit ready;              /* Sink.ready: nothing waits to be written */
    byte mailbox;           /* Stream._pending; 0: empty */
    byte seen               /* the newest version written to this client, by any process */
}
Client client[CLIENTS];

/* Used within single steps only. (SPIN builds no d_step that ends with a loop, so some end with an assignment.) */
hidden byte c, i, v, is_open, was_closed;

#if FAULTS > 0
byte faults = FAULTS;
#define fault_happens (faults > 0)
#define count_fault() faults--
#else
#define fault_happens true
#define count_fault() skip
#endif

/* Topic.is_closed */
#define is_closed(p) (process[p].state && !process[p].state_open)

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

/* Stream.deliver, for all streams that have got their initial state */
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

/* Stream.initialize, for streams whose state was read: the newest event, or a comment if the gate is closed */
inline deliver_initial(p) {
    for (c : 0 .. CLIENTS - 1) {
        if
        :: client[c].at == p && client[c].stage == READ ->
            client[c].stage = SERVED;
            if
            :: process[p].state_open && client[c].ready -> write(c, process[p].frame)
            :: process[p].state_open && !client[c].ready -> client[c].mailbox = process[p].frame
            :: else
            fi
        :: else
        fi
    }
}

/* Stream.drained and Stream._take_pending: the pending event is written, unless the gate was closed meanwhile. */
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

/* Stream.open: Hub.subscribe, then Topic.request_state. */
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

/* Stream.connection_lost and Topic.unsubscribe. The topic is closed with its last subscriber. */
inline unsubscribe(one) {
    v = client[one].at;
    client[one].at = NOWHERE; client[one].stage = GONE; client[one].ready = 0; client[one].mailbox = 0;
    process[v].subscribers--;
    if
    :: !process[v].subscribers ->
        process[v].state = 0; process[v].state_open = 0; process[v].frame = 0; process[v].stale = 0;
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

/* Topic.accept of the state (v, is_open). */
inline accept_state(p) {
    if
#ifndef OLDER_ACCEPTED
    :: v < process[p].state
#endif
    :: else ->
        was_closed = is_closed(p);
        process[p].state = v;
        process[p].state_open = is_open;
        if
#ifdef ACCEPT_IGNORES_GATE
        :: v > process[p].frame ->
#else
#ifdef REOPENING_IGNORED
        :: is_open && v > process[p].frame ->
#else
        :: is_open && (v > process[p].frame || was_closed) ->
#endif
#endif
            process[p].frame = v;
            deliver(p)
        :: else
        fi
    fi;
    /* If the gate is open, each stream has the newest state now, or as soon as its client reads. */
    for (c : 0 .. CLIENTS - 1) {
        promise(6, client[c].at != p || client[c].stage != SERVED || !process[p].state_open
                || client[c].seen == process[p].state || client[c].mailbox == process[p].state)
    }
}

inline observe(p) {
    process[p].observed = v;
    process[p].observed_open = is_open
}

/* Topic._receive_event of an event (v, is_open) whose state is accepted without a read. */
inline accept_event(p) {
    if
#ifdef SAME_VERSION_TRUSTED
    :: v >= process[p].state ->
#else
    :: v > process[p].state ->
#endif
        promise(6, !is_open || !closed_long);
        if
        :: v > process[p].observed -> observe(p)
        :: else
        fi;
        accept_state(p)
    :: else
    fi;
    v = 0
}

/* Topic._receive_event of any other event: the state is read, and then accepted. */
inline accept_after_read(p) {
    if
    :: v > process[p].state -> request_read(p)
    :: else
    fi;
    v = 0
}

/* Batcher.submit and Hub.refresh. */
inline request_read(p) {
    process[p].stale = 1;
    process[p].missed = 1
}

/* ---- Reads ---- */

/* Reconcile._read and Batcher._run. stale is reset before the read begins. */
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

/* The result, in the event loop: Topic.reconcile, Topic._receive_read, Topic._initialize. */
inline answer_read(p) {
    v = process[p].read; is_open = process[p].read_open;
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
        accept_state(p);
        deliver_initial(p)
    :: else
    fi;
    promise(5, !process[p].missed || process[p].stale)
}

/* Topic._repeat_event: the last event again, for clients that ignore events while they fetch. */
inline repeat(p) {
    if
#ifdef REPEAT_TRUSTS_READ
    :: process[p].subscribers && process[p].frame && is_open -> deliver(p)
#else
    :: process[p].subscribers && process[p].state_open -> deliver(p)
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
    :: process[p].subscribers -> request_read(p)
    :: else
    fi;
    v = 0
}

#define new_subscriber(p, one) (client[one].at == p && client[one].stage == SUBSCRIBED)

#ifdef NO_RECONCILE
#define reconcile_finds(p) false
#else
#define reconcile_finds(p) (process[p].state != version || process[p].state_open != gate)
#endif

#ifdef DELIVERY_WAITS
#define waits_for(p, one) (client[one].at == p && client[one].stage == SERVED && !client[one].ready)
#define can_deliver(p) !(waits_for(p, 0) || waits_for(p, CLIENTS - 1))
#else
#define can_deliver(p) true
#endif

/* A read whose result equals Topic.state would change nothing, and is left out. */
#define read_begins(p) (process[p].subscribers && !process[p].reading && can_deliver(p) \
    && (process[p].stale || new_subscriber(p, 0) || new_subscriber(p, CLIENTS - 1) || reconcile_finds(p)))

/* The reads of a process: for the reconcile, for new streams, and for events that require a read. */
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

/* Topic._receive of an event of this process. If the gate is open in the event, and the gate has been closed for
 * MAX_EVENT_AGE_SECONDS by now, then the event is at least as old as that.
 */
proctype Listener(byte p) {
    do
    /* The version is closer to the clock than MAX_EVENT_AGE_SECONDS. */
    :: d_step {
            nempty(queue[p]) && can_deliver(p) && !(closed_long && queue[p]?[_, 1]) ->
            queue[p]?v,is_open; accept_event(p)
        }
    /* The version is behind the clock: the event is late. */
#ifdef LATE_INFINITE
    :: d_step { nempty(queue[p]) && can_deliver(p) -> queue[p]?v,is_open; accept_event(p) }
#else
    :: d_step { nempty(queue[p]) && can_deliver(p) -> queue[p]?v,is_open; accept_after_read(p) }
#endif
    /* The version is ahead of the clock: the event may be in time or late. */
#ifdef FUTURE_TRUSTED
    :: d_step { nempty(queue[p]) && can_deliver(p) -> queue[p]?v,is_open; accept_event(p) }
#else
    :: d_step { nempty(queue[p]) && can_deliver(p) -> queue[p]?v,is_open; accept_after_read(p) }
#endif
    od
}

inline note_gate() {
    open_at = open_at | (gate << version)
}

inline toggle_gate() {
    gate = !gate;
    closed_long = 0
}

/* EmbeddedHost.raise_versions and the commit. */
inline raise_version() {
    version++;
    note_gate()
}

/* versions.announce in a thread, which then has a hook to call. If the transaction changes the
 * gate, the hook reads the state again.
 */
inline announce(t, changes_gate) {
    raise_version();
    thread[t].raised = version;
    thread[t].open = (changes_gate -> 0 : gate);
    thread[t].gate = changes_gate
}

inline clear_hook(t) {
    thread[t].raised = 0; thread[t].open = 0; thread[t].gate = 0
}

/* publish.publish. If the queue is full, the event is dropped and the state is read again. */
inline publish(p) {
    if
    :: process[p].subscribers && len(queue[p]) == 0 -> queue[p]!v,is_open
    :: process[p].subscribers && len(queue[p]) > 0 -> request_read(p)
    :: process[p].subscribers == 0
    fi
}

/* Announcement.__call__ */
inline call_hook(t, p) {
    v = thread[t].raised;
    is_open = thread[t].open;
    if
    :: thread[t].gate && version == v -> is_open = gate; publish(p)
    :: thread[t].gate && version != v      /* The transaction that raised it further publishes it. */
    :: !thread[t].gate -> publish(p)
    fi;
    clear_hook(t);
    v = 0
}

#define may_change(t) (changes > 0 && !thread[t].raised && !thread[t].unannounced)

/* A thread of process p that makes changes, one after the other. */
proctype Writer(byte t, p) {
    do
    /* A transaction changes a flag. */
    :: d_step { may_change(t) -> changes--; announce(t, 0) }
    /* A transaction changes the gate, perhaps after a flag. Then the version was raised with the old gate. */
    :: d_step {
            may_change(t) ->
            changes--; toggle_gate();
#ifdef FIRST_GATE_KEPT
            announce(t, 0); thread[t].open = !gate
#else
            announce(t, 1)
#endif
        }
    :: d_step { thread[t].raised -> call_hook(t, p) }
#if AUTOCOMMIT
    /* In autocommit mode: a save of the gate, then its announcement. */
    :: d_step { may_change(t) -> changes--; toggle_gate(); note_gate(); thread[t].unannounced = 1 }
    :: d_step { thread[t].unannounced -> thread[t].unannounced = 0; announce(t, 1) }
#endif
#ifdef PUBLISHED_EARLY
    :: d_step { may_change(t) -> v = version + 1; is_open = gate; publish(p); v = 0 }
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
    :: d_step { client[one].at != NOWHERE && fault_happens -> count_fault(); unsubscribe(one) }
    /* The client reads. */
    :: d_step { client[one].at != NOWHERE && !client[one].ready -> drain(one) }
    /* The second client may stop reading for ever: it may take this step instead. */
    :: one > 0 && client[one].at != NOWHERE && !client[one].ready -> skip
    od
}

/* ---- Faults, messages and time ---- */

/* A process is killed and starts again, but not between a save in autocommit mode and its announcement. */
inline crash(p) {
    end_read(p);
    for (i : 0 .. CLIENTS - 1) {
        if
        :: client[i].at == p -> unsubscribe(i)
        :: else
        fi
    }
    for (i : 0 .. THREADS - 1) {
        if
        :: i % PROCESSES == p -> clear_hook(i)
        :: else
        fi
    }
    v = 0
}

/* The bus: a message with a committed version may arrive at any time, several times, in any order, or never. All
 * messages with a newer version than that of Topic.state have the same effect.
 */
#define message_arrives(p) (process[p].subscribers && version > process[p].state && !process[p].stale)

/* Events that may happen at any time, or never. */
proctype Chance() {
    do
    /* A process without streams changes a flag or the gate. */
    :: d_step { changes > 0 -> changes--; raise_version() }
    :: d_step { changes > 0 -> changes--; toggle_gate(); raise_version() }
    /* The bus */
    :: d_step { message_arrives(0) -> request_read(0) }
#if PROCESSES > 1
    :: d_step { message_arrives(1) -> request_read(1) }
#endif
#ifdef MESSAGE_BELIEVED
    :: d_step {
            process[0].subscribers && version > process[0].state + 1 ->
            v = version - 1; is_open = (open_at >> v) & 1;
            accept_event(0)
        }
#endif
    :: d_step { fault_happens -> count_fault(); crash(0) }
#if PROCESSES > 1
    :: d_step { fault_happens -> count_fault(); crash(1) }
#endif
#if FAULTS == 0
    /* MAX_EVENT_AGE_SECONDS pass. Only promise 6 depends on this. */
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
/* Promises 5 and 4: in the end the first client has the newest state, whatever the second one does. */
ltl newest { <> [] (client[0].stage == SERVED && (!gate || client[0].seen == version)) }
#endif
