-------------------------------- MODULE Tree --------------------------------
\* The message discipline of the tree: who sends to whom, through how much room, and who waits.
\* Calls go down; what comes up comes on the channel that the call carried, or as a notice to a
\* mailbox whose actor waits for nothing else. So there is no cycle of actors that wait for each
\* other: TLC finds no deadlock, and finds one in each of two variants that break a rule.
\*
\* Here     in the code                      who sends, and how
\* -------- -------------------------------- -----------------------------------------------------
\* poolBox      POOL_MAILBOX = 64            callers, subtrees, its alarm: each waits in line
\* sessionsBox  MESSAGES_A_PLACE = 3         the pool: send_nowait; times max_sessions
\* sessionBox   SESSION_MAILBOX = 16         client, subtree, reader, its alarm: each waits in line
\* transportBox TRANSPORT_MAILBOX = 80       the session: send_nowait
\* handed       HANDED_AT_MOST = 8           the session hands down no more jobs than these
\* events       EVENT_CAPACITY = 8           the reader waits in line, or a lingering task for it
\* reply        ANSWERS_A_REPLY = 1          whoever answers, once: send_nowait
\* SpawnerTakes SPAWNER_MAILBOX = 0          the subtree waits until the spawner has taken it
\* down                                      the command task, which keeps what finds no room
\* up                                        the worker waits while its socket is full
\*
\* Modelled: the pool with its mailbox and waiters, Sessions, a subtree a session with its Session
\* and the two tasks of its Transport, the spawner's mailbox, the worker and its socket, callers
\* and their executions, cancellation, deaths, alarms, shutdown. Each action is what a task does
\* between two waits.
\*
\* Not modelled: what Pool.tla and Session.tla are about (templates, spares, the breaker; execution
\* ids, input, connections). Questions to the worker, which go the way of executions and answer on
\* a reply. Answers to input(): a client sends as many as it is asked for, and they are bounded by
\* the session's turns; see TRANSPORT_MAILBOX. A runner that says that it is broken: its kill comes
\* instead of the next run. Starts that a pause holds up, and the spawner's zygote, which wait for
\* nobody in the tree. The clock bounds that cut off what takes too long (GIVE_BACK_S, ABANDON_S,
\* shutdown_s): nothing here needs them.
EXTENDS Naturals, Sequences, FiniteSets

CONSTANTS
    Callers,          \* who acquires a session, each once: 1, 2, ...
    Ids,              \* enough names for sessions; a name is used again once nobody knows it
    Max,              \* PoolConfig.max_sessions
    Warm,             \* sessions that are idle at the start
    Jobs,             \* executions that a caller sends to its session, without waiting between
    Prints,           \* whether executions print, each as much as it likes
    PoolMailbox,
    SessionsMailbox,
    SessionMailbox,
    TransportMailbox,
    HandedAtMost,
    EventRoom,
    SocketRoom,       \* messages that fit into a worker's socket, each way
    Cancellations,    \* whether callers are cancelled, at any moment
    Deaths,           \* whether workers die and starts fail, at any moment
    Alarms,           \* whether deadlines pass, at any moment
    Stops             \* whether the service is stopped, at any moment

VARIABLES
    caller,       \* of each caller: what it does
    reply,        \* of each caller: the one-shot channel that its request carries
    service,      \* "open", "stopping" or "closed"
    poolBox,      \* the pool's mailbox, and the line before it
    phase,        \* of each session: the pool's record
    waiters,      \* the pool's waiting callers, in order
    sessionsBox,  \* the mailbox of Sessions
    life,         \* of each session: what its subtree does
    sessionBox,   \* of each session: its mailbox, and the line before it
    session,      \* of each session: its SessionState
    transportBox, \* of each session: its transport's mailbox
    transport,    \* of each session: its Transport, with its two tasks
    down,         \* of each session: the socket to the worker, and what the transport keeps for it
    up,           \* of each session: the socket from the worker
    worker,       \* of each session: its process
    job,          \* of each execution: what its caller's task for it does
    events        \* of each execution: the channel of its events, and the line before it

callerVars == <<caller, reply, job>>
poolVars == <<service, poolBox, phase, waiters, sessionsBox>>
sessionVars == <<life, sessionBox, session>>
transportVars == <<transportBox, transport>>
workerVars == <<down, up, worker>>
vars == <<callerVars, poolVars, sessionVars, transportVars, workerVars, events>>

Sessions == 1..Ids
Numbers == 1..(Jobs * Cardinality(Callers))
JobsOf(c) == ((c - 1) * Jobs + 1)..(c * Jobs)

NoReply == [state |-> "none", session |-> 0]

\* handed: at the transport, the first one runs. marked: to be interrupted when they begin.
NoSession == [mode |-> "ended", queued |-> <<>>, handed |-> <<>>, marked |-> {}, rung |-> "none"]
NewSession == [NoSession EXCEPT !.mode = "open"]

\* takes: whether the command task lives. flights: what the worker has been sent. hurried: flights
\* that wait for no client any more. reader: what the reader's task does.
NoTransport == [takes |-> FALSE, flights |-> <<>>, hurried |-> {}, reader |-> "gone"]
NewTransport == [NoTransport EXCEPT !.takes = TRUE, !.reader = "reads"]

\* running: the job that it has, or 0.
NoWorker == [lives |-> FALSE, running |-> 0]
NewWorker == [NoWorker EXCEPT !.lives = TRUE]

MinOf(set) == CHOOSE least \in set : \A each \in set : least <= each

ElementsOf(line) == {line[at] : at \in 1..Len(line)}

Without(line, element) == SelectSeq(line, LAMBDA each : each # element)

\* ---- conditions ----
\* ---- lines ----

\* A mailbox is a line: the first few messages are in it, as many as it has room for, and whoever
\* sent one of the others stands before it, in order. That is how trio's channels work.
Outside(line, capacity) == {line[at] : at \in (capacity + 1)..Len(line)}

\* The numbers of the messages of one kind, in order.
RECURSIVE NumbersOf(_, _)
NumbersOf(line, kind) ==
    IF line = <<>> THEN <<>>
    ELSE (IF Head(line)[1] = kind THEN <<Head(line)[2]>> ELSE <<>>) \o NumbersOf(Tail(line), kind)

\* A closed pool takes nothing: whoever sends is told so at once.
SentToPool(message) == IF service = "closed" THEN poolBox ELSE Append(poolBox, message)

SentToSession(s, message) ==
    IF session[s].mode = "ended" THEN sessionBox[s] ELSE Append(sessionBox[s], message)

\* A request that still stands before the mailbox is withdrawn with its sender.
Withdrawn(line, capacity, message) ==
    IF message \in Outside(line, capacity) THEN Without(line, message) ELSE line

ReaderWaitsForSession(s) ==
    \E message \in Outside(sessionBox[s], SessionMailbox) : message[1] \in {"Ended", "Died"}

\* Whether the client's task for this execution still holds the channel of its events.
IsThere(n) == job[n] \in {"sent", "leaves"}

\* Where not, or where the execution is to end, the reader waits for nobody.
ReaderWaitsForClient(s, n) == IsThere(n) /\ n \notin transport[s].hurried

\* A task of the transport waits until a client takes the last events of an execution.
Lingers(s) == \E c \in Callers : reply[c].session = s /\
                 \E n \in JobsOf(c) : Outside(events[n], EventRoom) # {}

WithEnds(numbers) ==
    [n \in Numbers |->
        IF n \in numbers /\ IsThere(n) THEN Append(events[n], "end") ELSE events[n]]

\* A caller sends one request after the other, waiting for no answer between.
NextOf(c) ==
    LET new == {n \in JobsOf(c) : job[n] = "new"}
    IN  IF caller[c] # "uses" \/ new = {} THEN {} ELSE {MinOf(new)}

\* ---- what the pool decides ----

Records(p) == {s \in Sessions : p.phase[s] # "none"}

In(p, which) == {s \in Sessions : p.phase[s] = which}

Known(p) ==
    Records(p)
        \cup {s \in Sessions : life[s] # "none"}
        \cup {sessionsBox[at][2] : at \in 1..Len(sessionsBox)}
        \cup {reply[c].session : c \in Callers}

Answered(p, c, state, s) ==
    IF p.reply[c].state = "open"
    THEN [p EXCEPT !.reply[c] = [state |-> state, session |-> s]]
    ELSE p

\* A caller that has gone takes nothing: Reply.answer returns False, and the session stays idle.
RECURSIVE HandedOut(_)
HandedOut(p) ==
    IF p.waiters = <<>> \/ In(p, "idle") = {}
    THEN p
    ELSE LET c == Head(p.waiters)
             s == MinOf(In(p, "idle"))
             given == IF p.reply[c].state = "open" THEN "leased" ELSE "idle"
         IN  HandedOut([Answered(p, c, "leased", s) EXCEPT
                 !.waiters = Tail(@),
                 !.phase[s] = given])

RECURSIVE Started(_)
Started(p) ==
    IF Cardinality(Records(p)) >= Max \/ Len(p.waiters) <= Cardinality(In(p, "starting"))
    THEN p
    ELSE LET s == MinOf(Sessions \ Known(p))
         IN  Started([p EXCEPT
                 !.phase[s] = "starting",
                 !.sent = Append(@, <<"Start", s>>)])

Settled(p) == IF p.service = "open" THEN Started(HandedOut(p)) ELSE p

RECURSIVE Stopped(_, _)
Stopped(p, sessions) ==
    IF sessions = {}
    THEN p
    ELSE LET s == MinOf(sessions)
         IN  Stopped([p EXCEPT
                 !.phase[s] = "stopping",
                 !.sent = Append(@, <<"Stop", s>>)], sessions \ {s})

RECURSIVE Refused(_)
Refused(p) ==
    IF p.waiters = <<>>
    THEN p
    ELSE Refused([Answered(p, Head(p.waiters), "refused", 0) EXCEPT !.waiters = Tail(@)])

Became(p, s, before, after) ==
    IF p.phase[s] = before THEN [p EXCEPT !.phase[s] = after] ELSE p

GivenBack(p, c, used) ==
    LET s == p.reply[c].session
        taken == Answered(p, c, "taken", 0)
    IN  IF p.phase[s] # "leased" THEN taken
        ELSE IF used \/ p.service # "open" THEN Stopped(taken, {s})
        ELSE Became(taken, s, "leased", "idle")

\* One message: the state is changed and all is sent without waiting, as Pool._handle does.
Decided(message) ==
    LET now == [phase |-> phase, waiters |-> waiters, reply |-> reply, sent |-> <<>>,
                service |-> service]
        kind == message[1]
        of == message[2]
    IN  CASE kind = "Acquire" ->
                 IF service = "open"
                 THEN Settled([now EXCEPT !.waiters = Append(@, of)])
                 ELSE Answered(now, of, "refused", 0)
          [] kind = "CancelAcquire" -> Settled([now EXCEPT !.waiters = Without(@, of)])
          [] kind = "Release" -> Settled(GivenBack(now, of, TRUE))
          [] kind = "ReleaseUnused" -> Settled(GivenBack(now, of, FALSE))
          [] kind = "SessionStarted" -> Settled(Became(now, of, "starting", "idle"))
          [] kind = "SessionDied" -> Settled([now EXCEPT !.phase[of] = "stopping"])
          [] kind \in {"SessionStartFailed", "SessionEnded"} ->
                 Settled([now EXCEPT !.phase[of] = "none"])
          [] kind = "WaitersAreLate" -> Settled(Refused(now))
          [] kind = "IdleAreOld" -> Settled(Stopped(now, In(now, "idle")))
          [] kind = "StopPool" ->
                 [Stopped(Refused(now), Records(now) \ In(now, "stopping")) EXCEPT
                     !.service = "stopping"]

\* ---- what a session decides ----

RECURSIVE HandedDown(_)
HandedDown(d) ==
    IF d.queued = <<>> \/ Len(d.handed) >= HandedAtMost
    THEN d
    ELSE HandedDown([d EXCEPT
             !.queued = Tail(@),
             !.handed = Append(@, Head(d.queued)),
             !.sent = Append(@, <<"Run", Head(d.queued)>>)])

\* One rung of the ladder under what runs.
Climbed(d) ==
    CASE d.rung = "none" ->
             [d EXCEPT !.sent = Append(@, <<"Signal", Head(d.handed)>>), !.rung = "signalled"]
      [] d.rung = "signalled" ->
             [d EXCEPT !.sent = Append(@, <<"DumpStack", 0>>), !.rung = "dumped"]
      [] d.rung = "dumped" -> [d EXCEPT !.sent = Append(@, <<"Kill", 0>>), !.rung = "killed"]
      [] OTHER -> d

Interrupted(d) == IF d.handed # <<>> /\ d.rung = "none" THEN Climbed(d) ELSE d

Begun(d) ==
    IF d.handed # <<>> /\ Head(d.handed) \in d.marked
    THEN [Interrupted(d) EXCEPT !.marked = @ \ {Head(d.handed)}]
    ELSE d

Abandoned(d, n) ==
    CASE d.handed # <<>> /\ Head(d.handed) = n -> Interrupted(d)
      [] n \in Outside(d.handed, 1) -> [d EXCEPT !.marked = @ \cup {n}]
      [] OTHER -> [d EXCEPT
             !.queued = Without(@, n),
             !.told = @ \cup (ElementsOf(d.queued) \cap {n})]

AllDropped(d) == [d EXCEPT !.told = @ \cup ElementsOf(d.queued), !.queued = <<>>]

\* One message: the state is changed and all is sent without waiting, as Session._handle does.
Concluded(s, message) ==
    LET kind == message[1]
        n == message[2]
        state == session[s]
        now == [mode |-> state.mode, queued |-> state.queued, handed |-> state.handed,
                marked |-> state.marked, rung |-> state.rung, sent |-> <<>>, told |-> {}]
    IN  CASE kind = "Execute" /\ now.mode = "open" ->
                 HandedDown([now EXCEPT !.queued = Append(@, n)])
          [] kind = "Execute" /\ now.mode # "open" -> [now EXCEPT !.told = {n}]
          [] kind = "Ended" ->
                 HandedDown(Begun([now EXCEPT !.handed = Tail(@), !.rung = "none"]))
          [] kind = "Abandon" -> Abandoned(now, n)
          [] kind = "Rang" /\ now.handed # <<>> -> Climbed(now)
          [] kind = "GraceIsOver" /\ now.mode = "closing" ->
                 [now EXCEPT !.mode = "killed", !.sent = Append(@, <<"Kill", 0>>)]
          [] kind = "Close" /\ now.mode = "open" ->
                 LET closing == Interrupted(AllDropped([now EXCEPT !.mode = "closing"]))
                 IN  [closing EXCEPT !.sent = Append(@, <<"Shutdown", 0>>)]
          [] kind = "Died" ->
                 [AllDropped([now EXCEPT !.mode = "ended"]) EXCEPT
                     !.told = @ \cup ElementsOf(NumbersOf(sessionBox[s], "Execute")),
                     !.handed = <<>>,
                     !.marked = {},
                     !.rung = "none"]
          [] OTHER -> now

RemainsOf(decided) ==
    [mode |-> decided.mode, queued |-> decided.queued, handed |-> decided.handed,
     marked |-> decided.marked, rung |-> decided.rung]
\* ---- end of conditions ----

\* ---- the start ----

Init ==
    /\ caller = [c \in Callers |-> "away"]
    /\ reply = [c \in Callers |-> NoReply]
    /\ service = "open"
    /\ poolBox = <<>>
    /\ phase = [s \in Sessions |-> IF s <= Warm THEN "idle" ELSE "none"]
    /\ waiters = <<>>
    /\ sessionsBox = <<>>
    /\ life = [s \in Sessions |-> IF s <= Warm THEN "live" ELSE "none"]
    /\ sessionBox = [s \in Sessions |-> <<>>]
    /\ session = [s \in Sessions |-> IF s <= Warm THEN NewSession ELSE NoSession]
    /\ transportBox = [s \in Sessions |-> <<>>]
    /\ transport = [s \in Sessions |-> IF s <= Warm THEN NewTransport ELSE NoTransport]
    /\ down = [s \in Sessions |-> <<>>]
    /\ up = [s \in Sessions |-> <<>>]
    /\ worker = [s \in Sessions |-> IF s <= Warm THEN NewWorker ELSE NoWorker]
    /\ job = [n \in Numbers |-> "new"]
    /\ events = [n \in Numbers |-> <<>>]

\* ---- actions ----

\* The pool: one message, decided and carried out. It waits for nothing else.
PoolCarriesOut(decided) ==
    /\ poolBox' = Tail(poolBox)
    /\ phase' = decided.phase
    /\ waiters' = decided.waiters
    /\ reply' = decided.reply
    /\ sessionsBox' = sessionsBox \o decided.sent
    /\ service' = decided.service
    /\ UNCHANGED <<caller, job, sessionVars, transportVars, workerVars, events>>

\* A stopped pool that has nothing left closes its mailbox, and with it the requests in it.
PoolEnds ==
    /\ service = "stopping"
    /\ \A s \in Sessions : phase[s] = "none"
    /\ service' = "closed"
    /\ poolBox' = <<>>
    /\ reply' = [c \in Callers |->
                    IF reply[c].state = "open"
                    THEN [NoReply EXCEPT !.state = "refused"]
                    ELSE reply[c]]
    /\ UNCHANGED <<caller, job, phase, waiters, sessionsBox, sessionVars,
                   transportVars, workerVars, events>>

\* Sessions: starts a subtree; a stop it passes on to the subtree's task, which sends Close and
\* waits in line if it must, or calls off the start. It waits for nothing else.
SessionsCarriesOut(message) ==
    /\ sessionsBox' = Tail(sessionsBox)
    /\ life' = [life EXCEPT ![message[2]] =
           IF message[1] = "Start" THEN "asks"
           ELSE IF @ \in {"asks", "born"} THEN "none" ELSE @]
    /\ sessionBox' = [sessionBox EXCEPT ![message[2]] =
           IF message[1] = "Stop" /\ life[message[2]] = "live"
           THEN Append(@, <<"Close", 0>>)
           ELSE @]
    /\ poolBox' =
           IF message[1] = "Stop" /\ life[message[2]] \in {"asks", "born"}
           THEN Append(poolBox, <<"SessionStartFailed", message[2]>>)
           ELSE poolBox
    /\ UNCHANGED <<callerVars, service, phase, waiters, session, transportVars,
                   workerVars, events>>

\* The spawner's mailbox has capacity 0: asker and spawner meet.
SpawnerTakes(s) ==
    /\ life[s] = "asks"
    /\ life' = [life EXCEPT ![s] = "born"]
    /\ UNCHANGED <<callerVars, poolVars, sessionBox, session, transportVars, workerVars, events>>

\* One message of a session's client, transport or alarm, decided and carried out. What is sent to
\* a transport that has ended is told as refused.
SessionCarriesOut(s, decided) ==
    /\ session' = [session EXCEPT ![s] = RemainsOf(decided)]
    /\ transportBox' = [transportBox EXCEPT
           ![s] = IF transport[s].takes THEN @ \o decided.sent ELSE @]
    /\ events' = WithEnds(decided.told \cup
           IF transport[s].takes THEN {} ELSE ElementsOf(NumbersOf(decided.sent, "Run")))
    /\ sessionBox' = [sessionBox EXCEPT ![s] = IF decided.mode = "ended" THEN <<>> ELSE Tail(@)]
    /\ life' = [life EXCEPT ![s] = IF decided.mode = "ended" THEN "dying" ELSE @]
    /\ poolBox' =
           IF decided.mode = "ended" THEN Append(poolBox, <<"SessionDied", s>>) ELSE poolBox
    /\ UNCHANGED <<callerVars, service, phase, waiters, sessionsBox, transport,
                   workerVars>>

\* The transport's command task: it waits for nothing but its mailbox. What the socket does not
\* take, it keeps.
TransportCarriesOut(s, message) ==
    /\ transportBox' = [transportBox EXCEPT ![s] = Tail(@)]
    /\ transport' = [transport EXCEPT
           ![s].flights = @ \o NumbersOf(<<message>>, "Run"),
           ![s].hurried = @ \cup (ElementsOf(NumbersOf(<<message>>, "Signal"))
                                  \cap ElementsOf(transport[s].flights))]
    /\ down' = [down EXCEPT ![s] =
           IF message[1] = "Kill" THEN <<>>
           ELSE IF worker[s].lives /\ message[1] \in {"Run", "Shutdown"}
           THEN Append(@, message)
           ELSE @]
    /\ worker' = [worker EXCEPT ![s] = IF message[1] = "Kill" THEN NoWorker ELSE @]
    /\ UNCHANGED <<callerVars, poolVars, sessionVars, up, events>>

\* The transport's reader: an event goes to the client, and waits for room there, unless the
\* execution is to end. That slows the worker. (With the event in its hands the reader is one
\* place more in the socket, so the event is left there.)
ReaderDelivers(s) ==
    /\ transport[s].reader = "reads"
    /\ up[s] # <<>>
    /\ Head(up[s])[1] = "Output"
    /\ Len(events[Head(up[s])[2]]) < EventRoom \/ ~ReaderWaitsForClient(s, Head(up[s])[2])
    /\ up' = [up EXCEPT ![s] = Tail(@)]
    /\ events' = [events EXCEPT ![Head(up[s])[2]] =
           IF ReaderWaitsForClient(s, Head(up[s])[2]) THEN Append(@, "output") ELSE @]
    /\ UNCHANGED <<callerVars, poolVars, sessionVars, transportVars, down, worker>>

\* A result: the session is told first, and the reader waits for room in its mailbox.
ReaderNotifies(s) ==
    /\ transport[s].reader = "reads"
    /\ up[s] # <<>>
    /\ Head(up[s])[1] = "Result"
    /\ up' = [up EXCEPT ![s] = Tail(@)]
    /\ transport' = [transport EXCEPT ![s].reader = "finishes"]
    /\ sessionBox' = [sessionBox EXCEPT ![s] = Append(@, <<"Ended", Head(up[s])[2]>>)]
    /\ UNCHANGED <<callerVars, poolVars, life, session, transportBox, down, worker, events>>

\* Then the client is. What finds no room is a lingering task's, which waits instead of the reader.
ReaderFinishes(s) ==
    /\ transport[s].reader = "finishes"
    /\ ~ReaderWaitsForSession(s)
    /\ transport' = [transport EXCEPT
           ![s].reader = "reads",
           ![s].flights = Tail(@)]
    /\ events' = WithEnds({Head(transport[s].flights)})
    /\ UNCHANGED <<callerVars, poolVars, sessionVars, transportBox, workerVars>>

\* The process is dead, and all that it left is read: nobody takes from the mailbox any more, so it
\* is closed, with the requests in it, and the session is told.
ReaderSeesDeath(s) ==
    /\ transport[s].reader = "reads"
    /\ ~worker[s].lives
    /\ up[s] = <<>>
    /\ transport' = [transport EXCEPT
           ![s].reader = "dies",
           ![s].takes = FALSE]
    /\ transportBox' = [transportBox EXCEPT ![s] = <<>>]
    /\ events' = WithEnds(ElementsOf(NumbersOf(transportBox[s], "Run")))
    /\ sessionBox' = [sessionBox EXCEPT ![s] = Append(@, <<"Died", 0>>)]
    /\ UNCHANGED <<callerVars, poolVars, life, session, workerVars>>

\* Then those are told whose executions it had.
TransportEnds(s) ==
    /\ transport[s].reader = "dies"
    /\ ~ReaderWaitsForSession(s)
    /\ transport' = [transport EXCEPT ![s] = NoTransport]
    /\ events' = WithEnds(ElementsOf(transport[s].flights))
    /\ UNCHANGED <<callerVars, poolVars, sessionVars, transportBox, workerVars>>

\* The pool has heard of the death, the transport and its lingering tasks have ended, and the
\* process is reaped.
SubtreeEnds(s) ==
    /\ life[s] = "dying"
    /\ transport[s].reader = "gone"
    /\ <<"SessionDied", s>> \notin Outside(poolBox, PoolMailbox)
    /\ ~Lingers(s)
    /\ life' = [life EXCEPT ![s] = "none"]
    /\ poolBox' = Append(poolBox, <<"SessionEnded", s>>)
    /\ UNCHANGED <<callerVars, service, phase, waiters, sessionsBox, sessionBox,
                   session, transportVars, workerVars, events>>

\* The alarms send to their own actor's mailbox, and wait in line like everyone.
PoolRings(what) ==
    /\ IF what = "WaitersAreLate" THEN waiters # <<>> ELSE \E s \in Sessions : phase[s] = "idle"
    /\ <<what, 0>> \notin ElementsOf(poolBox)
    /\ poolBox' = Append(poolBox, <<what, 0>>)
    /\ UNCHANGED <<callerVars, service, phase, waiters, sessionsBox, sessionVars,
                   transportVars, workerVars, events>>

SessionRings(s, what) ==
    /\ IF what = "GraceIsOver"
       THEN session[s].mode = "closing"
       ELSE session[s].handed # <<>> /\ session[s].rung # "killed"
    /\ <<what, 0>> \notin ElementsOf(sessionBox[s])
    /\ sessionBox' = [sessionBox EXCEPT ![s] = Append(@, <<what, 0>>)]
    /\ UNCHANGED <<callerVars, poolVars, life, session, transportVars, workerVars, events>>

\* ---- end of actions ----

\* ---- the world ----

Ask(c) ==
    /\ caller[c] = "away"
    /\ caller' = [caller EXCEPT ![c] = IF service = "closed" THEN "done" ELSE "asks"]
    /\ reply' = [reply EXCEPT ![c].state = IF service = "closed" THEN "none" ELSE "open"]
    /\ poolBox' = SentToPool(<<"Acquire", c>>)
    /\ UNCHANGED <<job, service, phase, waiters, sessionsBox, sessionVars,
                   transportVars, workerVars, events>>

\* What it asked for, a refusal, or the receipt for what it gave back.
TakeAnswer(c) ==
    /\ caller[c] \in {"asks", "returns"}
    /\ reply[c].state \in {"leased", "refused", "taken"}
    /\ caller' = [caller EXCEPT ![c] = IF reply[c].state = "leased" THEN "uses" ELSE "done"]
    /\ UNCHANGED <<reply, job, poolVars, sessionVars, transportVars, workerVars, events>>

\* Cancelled while it waits. A session that was handed over in that very moment it gives back;
\* otherwise it says that it has gone. Both are shielded.
Cancel(c) ==
    /\ caller[c] = "asks"
    /\ caller' = [caller EXCEPT ![c] =
           IF service = "closed" THEN "done"
           ELSE IF reply[c].state = "leased" THEN "returns" ELSE "cancels"]
    /\ reply' = [reply EXCEPT ![c] =
           IF @.state = "leased" /\ service # "closed"
           THEN [@ EXCEPT !.state = "open"]
           ELSE NoReply]
    /\ poolBox' =
           IF service = "closed" THEN poolBox
           ELSE IF reply[c].state = "leased" THEN Append(poolBox, <<"ReleaseUnused", c>>)
           ELSE Append(Withdrawn(poolBox, PoolMailbox, <<"Acquire", c>>), <<"CancelAcquire", c>>)
    /\ UNCHANGED <<job, service, phase, waiters, sessionsBox, sessionVars,
                   transportVars, workerVars, events>>

CallerLeaves(c) ==
    /\ caller[c] = "cancels"
    /\ <<"CancelAcquire", c>> \notin Outside(poolBox, PoolMailbox)
    /\ caller' = [caller EXCEPT ![c] = "done"]
    /\ UNCHANGED <<reply, job, poolVars, sessionVars, transportVars, workerVars, events>>

\* All that it asked of its session has ended.
GiveBack(c) ==
    /\ caller[c] = "uses"
    /\ \A n \in JobsOf(c) : job[n] = "over"
    /\ caller' = [caller EXCEPT ![c] = IF service = "closed" THEN "done" ELSE "returns"]
    /\ reply' = [reply EXCEPT ![c] =
           IF service = "closed" THEN NoReply ELSE [@ EXCEPT !.state = "open"]]
    /\ poolBox' = SentToPool(<<"Release", c>>)
    /\ UNCHANGED <<job, service, phase, waiters, sessionsBox, sessionVars, transportVars,
                   workerVars, events>>

\* A task for each execution: it sends the request, and waits in line if it must.
SendExecution(c, n) ==
    /\ job' = [job EXCEPT ![n] =
           IF session[reply[c].session].mode = "ended" THEN "over" ELSE "sent"]
    /\ sessionBox' = [sessionBox EXCEPT
           ![reply[c].session] = SentToSession(reply[c].session, <<"Execute", n>>)]
    /\ UNCHANGED <<caller, reply, poolVars, life, session, transportVars, workerVars, events>>

\* It takes its events, until the last.
TakeEvent(n) ==
    /\ job[n] = "sent"
    /\ events[n] # <<>>
    /\ events' = [events EXCEPT ![n] = Tail(@)]
    /\ job' = [job EXCEPT ![n] = IF Head(events[n]) = "end" THEN "over" ELSE @]
    /\ UNCHANGED <<caller, reply, poolVars, sessionVars, transportVars, workerVars>>

\* Cancelled: it tells the session, shielded, and takes no event meanwhile.
Abandon(c, n) ==
    /\ job[n] = "sent"
    /\ job' = [job EXCEPT ![n] = "leaves"]
    /\ sessionBox' = [sessionBox EXCEPT ![reply[c].session] = Withdrawn(
           SentToSession(reply[c].session, <<"Abandon", n>>), SessionMailbox, <<"Execute", n>>)]
    /\ UNCHANGED <<caller, reply, poolVars, life, session, transportVars, workerVars, events>>

Leave(c, n) ==
    /\ job[n] = "leaves"
    /\ <<"Abandon", n>> \notin Outside(sessionBox[reply[c].session], SessionMailbox)
    /\ job' = [job EXCEPT ![n] = "over"]
    /\ events' = [events EXCEPT ![n] = <<>>]
    /\ UNCHANGED <<caller, reply, poolVars, sessionVars, transportVars, workerVars>>

\* The zygote has forked, and the worker says `ready`.
ZygoteStarts(s) ==
    /\ life[s] = "born"
    /\ life' = [life EXCEPT ![s] = "live"]
    /\ session' = [session EXCEPT ![s] = NewSession]
    /\ transport' = [transport EXCEPT ![s] = NewTransport]
    /\ worker' = [worker EXCEPT ![s] = NewWorker]
    /\ poolBox' = Append(poolBox, <<"SessionStarted", s>>)
    /\ UNCHANGED <<callerVars, service, phase, waiters, sessionsBox, sessionBox,
                   transportBox, down, up, events>>

\* The zygote dies, the fork fails, the worker is not ready in time.
StartFails(s) ==
    /\ life[s] \in {"asks", "born"}
    /\ life' = [life EXCEPT ![s] = "none"]
    /\ poolBox' = Append(poolBox, <<"SessionStartFailed", s>>)
    /\ UNCHANGED <<callerVars, service, phase, waiters, sessionsBox, sessionBox,
                   session, transportVars, workerVars, events>>

\* The worker reads one message at a time, and only between executions.
WorkerTakes(s) ==
    /\ worker[s].running = 0
    /\ down[s] # <<>>
    /\ down' = [down EXCEPT ![s] = Tail(@)]
    /\ worker' = [worker EXCEPT ![s] =
           IF Head(down[s])[1] = "Run" THEN [@ EXCEPT !.running = Head(down[s])[2]] ELSE NoWorker]
    /\ UNCHANGED <<callerVars, poolVars, sessionVars, transportVars, up, events>>

\* It waits while its socket is full.
WorkerPrints(s) ==
    /\ worker[s].running # 0
    /\ Len(up[s]) < SocketRoom
    /\ up' = [up EXCEPT ![s] = Append(@, <<"Output", worker[s].running>>)]
    /\ UNCHANGED <<callerVars, poolVars, sessionVars, transportVars, down, worker, events>>

WorkerEnds(s) ==
    /\ worker[s].running # 0
    /\ Len(up[s]) < SocketRoom
    /\ up' = [up EXCEPT ![s] = Append(@, <<"Result", worker[s].running>>)]
    /\ worker' = [worker EXCEPT ![s] = NewWorker]
    /\ UNCHANGED <<callerVars, poolVars, sessionVars, transportVars, down, events>>

WorkerDies(s) ==
    /\ worker[s].lives
    /\ worker' = [worker EXCEPT ![s] = NoWorker]
    /\ down' = [down EXCEPT ![s] = <<>>]
    /\ UNCHANGED <<callerVars, poolVars, sessionVars, transportVars, up, events>>

Stop ==
    /\ service = "open"
    /\ <<"StopPool", 0>> \notin ElementsOf(poolBox)
    /\ poolBox' = Append(poolBox, <<"StopPool", 0>>)
    /\ UNCHANGED <<callerVars, service, phase, waiters, sessionsBox, sessionVars,
                   transportVars, workerVars, events>>

\* ---- end of the world ----

\* An actor takes whenever there is a message: it waits for nothing else. (The variants replace
\* these.)
FirstOf(line) == IF line = <<>> THEN {} ELSE {Head(line)}

PoolTakes == \E message \in FirstOf(poolBox) : \E decided \in {Decided(message)} :
    PoolCarriesOut(decided)

SessionsTakes == \E message \in FirstOf(sessionsBox) : SessionsCarriesOut(message)

SessionTakes(s) == \E message \in FirstOf(sessionBox[s]) :
    \E decided \in {Concluded(s, message)} : SessionCarriesOut(s, decided)

TransportTakes(s) == \E message \in FirstOf(transportBox[s]) : TransportCarriesOut(s, message)

Execute(c) == \E n \in NextOf(c) : SendExecution(c, n)

\* Nothing is left to do: every actor waits for its mailbox, which is empty, and nobody waits for
\* an actor. That is no deadlock.
Rest ==
    /\ \A c \in Callers : caller[c] = "done"
    /\ poolBox = <<>>
    /\ sessionsBox = <<>>
    /\ \A s \in Sessions : phase[s] \in {"none", "idle"}
    /\ \A s \in Sessions : life[s] = (IF phase[s] = "none" THEN "none" ELSE "live")
    /\ UNCHANGED vars

\* A model chooses what of the world there is in it.
When(switch, set) == IF switch THEN set ELSE {}

Next ==
    \/ PoolTakes \/ PoolEnds \/ SessionsTakes
    \/ \E what \in When(Alarms, {"WaitersAreLate", "IdleAreOld"}) : PoolRings(what)
    \/ \E s \in Sessions :
          \/ SpawnerTakes(s) \/ SessionTakes(s) \/ TransportTakes(s)
          \/ \E what \in When(Alarms, {"Rang", "GraceIsOver"}) : SessionRings(s, what)
          \/ ReaderDelivers(s) \/ ReaderNotifies(s) \/ ReaderFinishes(s) \/ ReaderSeesDeath(s)
          \/ TransportEnds(s) \/ SubtreeEnds(s)
          \/ ZygoteStarts(s) \/ WorkerTakes(s) \/ WorkerEnds(s)
    \/ \E s \in When(Prints, Sessions) : WorkerPrints(s)
    \/ \E s \in When(Deaths, Sessions) : StartFails(s) \/ WorkerDies(s)
    \/ \E c \in Callers :
          \/ Ask(c) \/ TakeAnswer(c) \/ CallerLeaves(c) \/ GiveBack(c)
          \/ Execute(c)
          \/ \E n \in JobsOf(c) : Leave(c, n)
    \/ \E c \in When(Cancellations, Callers) : Cancel(c) \/ \E n \in JobsOf(c) : Abandon(c, n)
    \/ \E n \in Numbers : TakeEvent(n)
    \/ \E once \in When(Stops, {1}) : Stop
    \/ Rest

\* The reader's task of a transport.
ReaderGoesOn(s) ==
    \/ ReaderDelivers(s) \/ ReaderNotifies(s) \/ ReaderFinishes(s) \/ ReaderSeesDeath(s)
    \/ TransportEnds(s)

\* Weak fairness of a task: trio lets every task run that can. Weak is enough everywhere, as a
\* line keeps its order: what is in it is not overtaken for ever. Nothing is asked of user code,
\* which need not end; nor of a worker, which need not read; nor of a client, which need not take
\* its events; nor of callers, who need not give back.
Fairness ==
    \* Whoever stands in the pool's line is served, and a stopped pool ends.
    /\ WF_vars(PoolTakes \/ PoolEnds)
    \* What the pool wants is begun, or called off.
    /\ WF_vars(SessionsTakes)
    \* A spawner waits for nothing but its mailbox.
    /\ \A s \in Sessions : WF_vars(SpawnerTakes(s))
    \* PoolConfig.start_timeout_s ends a start that does not end by itself.
    /\ \A s \in Sessions : WF_vars(ZygoteStarts(s))
    \* Whoever stands in a session's line is served.
    /\ \A s \in Sessions : WF_vars(SessionTakes(s))
    \* What a session sends is done.
    /\ \A s \in Sessions : WF_vars(TransportTakes(s))
    \* What the worker wrote is read: while the client takes it, and once its execution is to end.
    /\ \A s \in Sessions : WF_vars(ReaderGoesOn(s))
    \* What is over is cleared away: the exit's report is waited for with a bound.
    /\ \A s \in Sessions : WF_vars(SubtreeEnds(s))
    \* Time passes: acquire_timeout_s, the deadlines of executions, the graces of the ladder.
    /\ WF_vars(PoolRings("WaitersAreLate"))
    /\ \A s \in Sessions : WF_vars(SessionRings(s, "Rang"))
    /\ \A s \in Sessions : WF_vars(SessionRings(s, "GraceIsOver"))
    \* A caller's own tasks run too.
    /\ \A c \in Callers : WF_vars(
           TakeAnswer(c) \/ CallerLeaves(c) \/ \E n \in JobsOf(c) : Leave(c, n))

Spec == Init /\ [][Next]_vars /\ Fairness

\* ---- safety ----

\* send_nowait: whoever calls it knows that there is room.
SessionsMailboxHasRoom == Len(sessionsBox) <= SessionsMailbox
TransportMailboxHasRoom == \A s \in Sessions : Len(transportBox[s]) <= TransportMailbox

\* What a transport keeps for a full socket is bounded: the jobs, and a shutdown.
LittleIsKeptForTheWorker == \A s \in Sessions : Len(down[s]) <= HandedAtMost + 1

\* No line grows without end: nobody sends the same again before it is taken.
IsOnceOnly(line) == Cardinality(ElementsOf(line)) = Len(line)

NobodySendsTwice ==
    /\ IsOnceOnly(poolBox)
    /\ IsOnceOnly(waiters)
    /\ IsOnceOnly(sessionsBox)
    /\ \A s \in Sessions : IsOnceOnly(sessionBox[s])

\* What a worker writes, and what a client has not taken, is bounded by the room for it.
AWorkerWaitsForItsSocket == \A s \in Sessions : Len(up[s]) <= SocketRoom
AWorkerWaitsForItsClient == \A n \in Numbers : "output" \notin Outside(events[n], EventRoom)

NothingWaitsInASessionThatEnds ==
    \A s \in Sessions : session[s].mode # "open" => session[s].queued = <<>>

TheWorkerGetsAFewAtATime == \A s \in Sessions : Len(session[s].handed) <= HandedAtMost

\* Flights whose end the session has yet to be told of.
Under(s) ==
    IF transport[s].reader = "finishes" THEN Tail(transport[s].flights) ELSE transport[s].flights

\* No job is lost on its way down or up, and none is there twice.
WhatIsHandedIsOnItsWay ==
    \A s \in Sessions : transport[s].takes =>
        session[s].handed =
            NumbersOf(sessionBox[s], "Ended") \o Under(s) \o NumbersOf(transportBox[s], "Run")

WhatFliesIsAtTheWorker ==
    \A s \in Sessions : worker[s].lives =>
        Under(s) = NumbersOf(up[s], "Result")
                   \o (IF worker[s].running = 0 THEN <<>> ELSE <<worker[s].running>>)
                   \o NumbersOf(down[s], "Run")

AnExecutionEndsOnce ==
    \A n \in Numbers : events[n] # <<>> =>
        "end" \notin ElementsOf(SubSeq(events[n], 1, Len(events[n]) - 1))

Holds(c, s) == caller[c] \in {"asks", "uses", "returns"} /\ reply[c].session = s

ALeaseIsOneCallers ==
    \A s \in Sessions : phase[s] = "leased" => Cardinality({c \in Callers : Holds(c, s)}) = 1

\* The last events of an execution in that session have not been taken.
WaitsForItsClient(s) == \E c \in Callers : \E n \in JobsOf(c) :
    reply[c].session = s /\ Outside(events[n], EventRoom) # {}

\* The place of a session whose process has died is not kept for another one's client.
WhatIsOverCanBeClearedAway ==
    \A s \in Sessions :
        /\ life[s] = "dying"
        /\ transport[s].reader = "gone"
        /\ <<"SessionDied", s>> \notin Outside(poolBox, PoolMailbox)
        /\ ~WaitsForItsClient(s)
        => ENABLED SubtreeEnds(s)

WhoIsDoneWaitsForNoAnswer == \A c \in Callers : caller[c] = "done" => reply[c].state # "open"

WhoHasGoneIsNotAnswered == \A c \in Callers : caller[c] = "cancels" => reply[c] = NoReply

CapacityIsKept == Cardinality({s \in Sessions : phase[s] # "none"}) <= Max

NothingLivesUncounted == \A s \in Sessions : life[s] # "none" => phase[s] # "none"

ADeathIsTold ==
    \A s \in Sessions : life[s] = "dying" =>
        phase[s] = "stopping" \/ <<"SessionDied", s>> \in ElementsOf(poolBox)

\* A mailbox is closed by whoever took from it, with all that is in it.
AClosedMailboxIsEmpty ==
    /\ service = "closed" => poolBox = <<>>
    /\ \A s \in Sessions : session[s].mode = "ended" => sessionBox[s] = <<>>
    /\ \A s \in Sessions : ~transport[s].takes => transportBox[s] = <<>>
    /\ \A n \in Numbers : ~IsThere(n) => events[n] = <<>>

AnEndLeavesNothing ==
    /\ \A s \in Sessions : transport[s].reader \in {"dies", "gone"} =>
           ~worker[s].lives /\ up[s] = <<>> /\ down[s] = <<>>
    /\ \A s \in Sessions : life[s] \notin {"live", "dying"} =>
           transport[s] = NoTransport /\ ~WaitsForItsClient(s)
    /\ service = "closed" => \A s \in Sessions : life[s] = "none"

\* ---- safety of steps ----

TheServiceEndsInOrder ==
    [][service' # service =>
           <<service, service'>> \in {<<"open", "stopping">>, <<"stopping", "closed">>}]_vars

\* What a one-shot channel holds stays there until its receiver lets go of it.
AnAnswerStands ==
    [][\A c \in Callers : reply[c].state \in {"leased", "refused", "taken"} =>
           reply'[c] = reply[c] \/ caller'[c] # caller[c]]_vars

\* Who asked waits for the end, unless there was nobody to ask.
WhoSendsAnExecutionWaitsForIt ==
    [][\A c \in Callers : \A n \in JobsOf(c) :
           job[n] = "new" /\ job'[n] = "over" => session[reply[c].session].mode = "ended"]_vars

ARefusalHasItsReason ==
    [][\A c \in Callers : reply[c].state = "open" /\ reply'[c].state = "refused" =>
           service' # "open" \/ Head(poolBox)[1] = "WaitersAreLate"]_vars

\* Whoever stands before a mailbox does nothing else.
WhoeverStandsInLineWaits ==
    [][/\ \A s \in Sessions :
            /\ ReaderWaitsForSession(s) =>
                   transport'[s].reader = transport[s].reader /\ Len(up'[s]) >= Len(up[s])
            /\ <<"SessionDied", s>> \in Outside(poolBox, PoolMailbox) => life'[s] = life[s]
            /\ \A n \in Numbers :
                   <<"Abandon", n>> \in Outside(sessionBox[s], SessionMailbox) => job'[n] = job[n]
       /\ \A c \in Callers :
            <<"CancelAcquire", c>> \in Outside(poolBox, PoolMailbox) => caller'[c] = caller[c]]_vars

\* What is printed comes to a client that is there, and a client that goes says so.
WhatIsToldArrives ==
    [][/\ \A s \in Sessions : \A message \in FirstOf(up[s]) :
            message[1] = "Output" /\ Len(up'[s]) < Len(up[s])
                /\ ReaderWaitsForClient(s, message[2]) => events'[message[2]] # events[message[2]]
       /\ \A n \in Numbers : job[n] = "sent" /\ job'[n] = "leaves" =>
            \E c \in Callers : n \in JobsOf(c) /\ LET s == reply[c].session IN
                session[s].mode = "ended" \/ <<"Abandon", n>> \in ElementsOf(sessionBox'[s])]_vars

\* ---- liveness ----

AnAcquisitionIsAnswered == \A c \in Callers : (caller[c] = "asks") ~> (caller[c] # "asks")

ACallerGetsAway ==
    /\ \A c \in Callers : (caller[c] \in {"cancels", "returns"}) ~> (caller[c] = "done")
    /\ \A n \in Numbers : (job[n] = "leaves") ~> (job[n] = "over")

AStartEnds == \A s \in Sessions : (phase[s] = "starting") ~> (phase[s] # "starting")

\* What is told last waits for a client that does not take it, but nothing else does.
AStopEnds == \A s \in Sessions : (phase[s] = "stopping") ~> (phase[s] # "stopping" \/ WaitsForItsClient(s))

AnExecutionEnds == \A n \in Numbers : IsThere(n) ~> (~IsThere(n) \/ "end" \in ElementsOf(events[n]))

AStoppedServiceEnds ==
    (<<"StopPool", 0>> \in ElementsOf(poolBox))
        ~> (service = "closed" \/ \E s \in Sessions : WaitsForItsClient(s))

\* ---- for models: fewer states ----

\* Callers are alike and ask once each, so they may as well ask in the order of their numbers.
CallersComeInOrder ==
    \A c, d \in Callers : c < d /\ caller'[d] # "away" => caller'[c] # "away"

\* Steps that concern one session's insides, or one caller, alone: whatever happens before such a
\* step may as well happen after it, so where there are any the least one goes first. They come to
\* an end, so nothing is put off for ever. Only for models without executions and alarms, those of
\* callers only without cancellations; and only without the invariant on the transport's mailbox,
\* which they empty.
Insides(s) == <<life[s], sessionBox[s], transportBox[s], transport[s], down[s], worker[s]>>

HasStepsOfItsOwn(s) ==
    \/ life[s] = "asks"
    \/ \E message \in FirstOf(sessionBox[s]) : message[1] # "Died"
    \/ transportBox[s] # <<>>
    \/ down[s] # <<>>
    \/ ~worker[s].lives /\ transport[s].reader \in {"reads", "dies"}

WhoHaveStepsOfTheirOwn == {s \in Sessions : HasStepsOfItsOwn(s)}

SessionsOwnStepsComeFirst ==
    WhoHaveStepsOfTheirOwn # {} =>
        \E s \in {MinOf(WhoHaveStepsOfTheirOwn)} : Insides(s)' # Insides(s)

CallersOwnStepsComeFirst ==
    (\E c \in Callers : caller[c] \in {"asks", "returns"} /\ reply[c].state # "open")
        => caller' # caller /\ poolBox' = poolBox
=============================================================================
