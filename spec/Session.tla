------------------------------ MODULE Session ------------------------------
(* One session: what runs when, and how what runs too long is ended. The    *)
(* model of pyrepl3/session/session_state.py, action for action, and of the *)
(* world around it: a client whose connection may be lost, the transport,   *)
(* and a worker that dies at any moment and may lie. A snapshot may outlive *)
(* it: that goes on from where it was taken, and what ran is undone.        *)
(*                                                                          *)
(* Two halves. The actions of the session change the session's variables    *)
(* alone; that is what SessionState records, and what a recording is held   *)
(* to. A step of the world changes the world's alone. Where the two meet    *)
(* Next joins a half of each: an Execute and the request that Arrives, an   *)
(* Ended and the notice that IsHeard, a Hand and the command that is Sent.  *)
(*                                                                          *)
(* The session acts as the pool does (Pool.tla). It is told something, or   *)
(* time does something, and that makes effects due; what is due happens at  *)
(* once, in order: while anything is due nothing else can happen (Settled). *)
(*                                                                          *)
(* A worker serves one session, so the number of a job is its epoch.        *)
(*                                                                          *)
(* The journal, and requests that are sent again, are what the endpoint     *)
(* does around the session (pyrepl3/hosting); SessionState records nothing  *)
(* of them. The journal here forgets nothing. The code's is bounded: once   *)
(* an outcome cannot be read any more, its id is forgotten with it.         *)
(*                                                                          *)
(* Left out: clocks (what has a deadline may pass it at any time, and will  *)
(* in the end), what is printed, slow clients (events never wait), the size *)
(* of mailboxes (Tree.tla), the start of the worker and its reaping         *)
(* (Pool.tla).                                                              *)
EXTENDS Naturals, Sequences, FiniteSets

CONSTANTS
    Ids,           \* of requests, chosen by the client: 1 .. n
    Interrupts,    \* requests to interrupt: 1 .. n
    Patient,       \* those of them with an endless grace
    Kinds,         \* what a client asks: "execution", "question", "reader" (an
                   \* execution that may read input)
    Timed,         \* whether a job may have, or lack, a deadline
    Protected,     \* whether a snapshot may be taken before an execution, or not
    Limits,        \* how many may be queued; the greatest at first
    HandedAtMost,  \* jobs at the transport: the code's HANDED_AT_MOST
    Outputs,       \* how often an execution may print
    SocketRoom,    \* messages that fit into the worker's socket
    May,           \* what may befall it, of Happenings
    Unnamed        \* no id: an interrupt of whatever runs

VARIABLES
    (* The session's. *)
    phase,      \* "open", "closing", "lost" (its state is gone), "ended"
    waiting,    \* the numbers of the jobs that wait, the first one first
    handed,     \* those at the transport: the first of them runs
    jobs,       \* what is known of each of both, by number
    ladder,     \* under the job that is to end
    closing,    \* the grace of a closing session runs
    limit,      \* how many may be queued
    last,       \* the number that was given last
    transaction, \* one is open: a kill goes back to its beginning
    due,        \* effects that are to happen now, in order
    (* The world's: the client and the service's memory of requests. *)
    connected,
    wire,       \* requests on their way to the service
    journal,    \* the events of each request that came, by id
    cursor,     \* where in it the client's connection is
    heard,      \* what the client has, of each request that it made
    left,       \* those that it waits for no more
    told,       \* what was answered to each interrupt, and of which id
    allowed,    \* how many it was told that may be queued
    (* The world's: transport and worker. *)
    commands,   \* on their way from the session to the transport
    notices,    \* on their way from the transport to the session
    flights,    \* jobs at the worker, or in its socket
    gone,       \* the transport has told of the death, and has ended
    opened,     \* the transport was told that a transaction is open
    worker,     \* its process
    up,         \* what the worker has sent
    page,       \* the number on the control page: who is to be interrupted
    sigint,     \* a SIGINT is on its way to the worker
    ran         \* the numbers under which each id was run; nothing depends on it

session == <<phase, waiting, handed, jobs, ladder, closing, limit, last, transaction, due>>
client == <<connected, wire, journal, cursor, heard, left, told, allowed>>
process == <<commands, notices, flights, gone, opened, worker, up, page, sigint, ran>>
vars == <<session, client, process>>

---------------------------------------------------------------------------
(* What is read from the session's state.                                  *)

With(f, x, value) == [y \in DOMAIN f \cup {x} |-> IF y = x THEN value ELSE f[y]]
Without(f, x) == [y \in DOMAIN f \ {x} |-> f[y]]
Members(sequence) == {sequence[i] : i \in DOMAIN sequence}
Remove(sequence, x) == SelectSeq(sequence, LAMBDA y : y # x)
Front(sequence) == SubSeq(sequence, 1, Len(sequence) - 1)
RECURSIVE Joined(_)
Joined(sequences) == IF sequences = <<>> THEN <<>> ELSE Head(sequences) \o Joined(Tail(sequences))

Terminals == {"result", "error", "refused", "undone"}
LastOf(events) == events[Len(events)].what
Over(events) == events # <<>> /\ LastOf(events) \in Terminals

\* ---- conditions ----
First(numbers) == IF numbers = <<>> THEN 0 ELSE Head(numbers)
Running == First(handed)
NoLadder == [job |-> 0, rung |-> "none", patient |-> FALSE, replies |-> <<>>]

\* Everything behind the running job counts, also what is at the worker.
QueueIsFull == Len(waiting) + Len(handed) > limit
\* Never behind one whose input() reads the same socket.
CanHand ==
    IF handed = <<>> THEN TRUE
    ELSE Len(handed) < HandedAtMost /\ ~jobs[handed[Len(handed)]].reads
HandIsDue == waiting # <<>> /\ CanHand
Settled == due = <<>> /\ ~HandIsDue

Clock == phase \in {"open", "closing"}
StateNow == IF Clock THEN "kept" ELSE "lost"
StateAfter(undone) == IF undone /\ Clock THEN "rolled_back" ELSE StateNow

\* Whether a kill of what runs is one of it alone: a snapshot goes on.
IsOutlived == jobs[Running].protected \/ transaction

\* Effects. A reply of 0 is nobody's. A wish is how soon: "no" (not at all),
\* "patient" (a signal, and no more), "soon" (the whole ladder).
Climb(n, reply, wish) == [do |-> "climb", job |-> n, reply |-> reply, how |-> wish]
Tell(reply, outcome) == [do |-> "settle", job |-> 0, reply |-> reply, how |-> outcome]
ToDrop(n) == [do |-> "drop", job |-> n, reply |-> 0, how |-> ""]
ToKill(n) == [do |-> "kill", job |-> n, reply |-> 0, how |-> ""]
Plain(what) == [do |-> what, job |-> 0, reply |-> 0, how |-> ""]
Due == IF due = <<>> THEN Plain("nothing") ELSE Head(due)
DueThen == Tail(due)

Replies(reply) == IF reply = 0 THEN <<>> ELSE <<reply>>
Tells(replies, outcome) == [i \in DOMAIN replies |-> Tell(replies[i], outcome)]
Drops(numbers) == [i \in DOMAIN numbers |-> ToDrop(numbers[i])]
Climbs(numbers) == [i \in DOMAIN numbers |-> Climb(numbers[i], 0, "soon")]
\* The next one begins: with it an interrupt that came before its turn.
Begins(numbers) ==
    IF numbers = <<>> \/ jobs[Head(numbers)].wish = "no" THEN <<>>
    ELSE <<Climb(Head(numbers), 0, jobs[Head(numbers)].wish)>>
Sooner(wish, other) == IF "soon" \in {wish, other} THEN "soon" ELSE other

IsExecution(n, id) == jobs[n].kind = "execution" /\ jobs[n].id = id
\* What an interrupt of this id comes to; of Unnamed: of whatever runs.
CallOff(id, reply, wish) ==
    LET target == {n \in DOMAIN jobs : IsExecution(n, id)}
        nothing == Tells(Replies(reply), StateNow)
    IN  IF id = Unnamed
        THEN IF handed = <<>> THEN nothing ELSE <<Climb(Running, reply, wish)>>
        ELSE IF target = {} THEN Tells(Replies(reply), "unknown")
             ELSE LET n == CHOOSE n \in target : TRUE
                  IN  IF n \in Members(handed) THEN <<Climb(n, reply, wish)>>
                      ELSE <<ToDrop(n)>> \o nothing

Job(id, kind, reads, timed, protected) ==
    [id |-> id, kind |-> kind, reads |-> reads, timed |-> timed, protected |-> protected,
     wish |-> "no", replies |-> <<>>]

(* What is read from the world's.                                          *)

Command(what, n, id) == [do |-> what, job |-> n, id |-> id]
Message(what, n, place) == [what |-> what, job |-> n, place |-> place]
Notice(what, n) == [what |-> what, job |-> n]
Event(what, epoch, place) == [what |-> what, epoch |-> epoch, place |-> place]
Told(id, event) == [journal EXCEPT ![id] = Append(@, event)]

Numbers == 1 .. Cardinality(Ids)
Greatest(numbers) == CHOOSE n \in numbers : \A m \in numbers : m <= n
\* The place among the flights of what the worker begins next; 0 for none.
NextFlight ==
    LET new == {i \in DOMAIN flights : flights[i].job > worker.begun}
    IN  IF new = {} THEN 0 ELSE CHOOSE i \in new : \A j \in new : i <= j
Flies(n) == \E i \in DOMAIN flights : flights[i].job = n
Requests(id) == {request \in wire : request.id = id}
\* Whether the worker speaks of what runs, which is all that it may.
IsInTurn(message) == flights # <<>> /\ Head(flights).job = message.job
\* What the worker has taken from its socket, and what is there still.
Begun == SelectSeq(flights, LAMBDA flight : flight.job <= worker.begun)
Unbegun == SelectSeq(flights, LAMBDA flight : flight.job > worker.begun)
\* Whether a snapshot that outlives the worker is the one that the transport
\* was asked for, and nobody was told to be past. Of what was begun behind an
\* end that was not read, it cannot be; but for that of the transaction, if
\* that was no end of it.
MaySurvive ==
    IF opened
    THEN \A i \in DOMAIN flights : flights[i].job < worker.begun => jobs[flights[i].job].kind # "question"
    ELSE flights # <<>> /\ Head(flights).job = worker.begun /\ jobs[Head(flights).job].protected
RunFor(id, n) == With(ran, id, Append(IF id \in DOMAIN ran THEN ran[id] ELSE <<>>, n))
\* ---- end of conditions ----

---------------------------------------------------------------------------
TheWorldBegins ==
    /\ connected = TRUE
    /\ wire = {}
    /\ journal = <<>>
    /\ cursor = <<>>
    /\ heard = <<>>
    /\ left = {}
    /\ told = <<>>
    /\ allowed = Greatest(Limits)
    /\ commands = <<>>
    /\ notices = <<>>
    /\ flights = <<>>
    /\ gone = FALSE
    /\ opened = FALSE
    /\ worker = [alive |-> TRUE, runs |-> 0, begun |-> 0, printed |-> 0, struck |-> 0,
                 dumped |-> FALSE, snapshot |-> 0, open |-> FALSE]
    /\ up = <<>>
    /\ page = 0
    /\ sigint = FALSE
    /\ ran = <<>>

Init ==
    /\ phase = "open"
    /\ waiting = <<>>
    /\ handed = <<>>
    /\ jobs = <<>>
    /\ ladder = NoLadder
    /\ closing = FALSE
    /\ limit = Greatest(Limits)
    /\ last = 0
    /\ transaction = FALSE
    /\ due = <<>>
    /\ TheWorldBegins

\* ---- actions ----
(* What the session is told by clients.                                    *)

Execute(n, id, reads, timed, protected) ==
    /\ phase = "open"
    /\ ~QueueIsFull
    /\ n = last + 1
    /\ last' = n
    /\ waiting' = Append(waiting, n)
    /\ jobs' = With(jobs, n, Job(id, "execution", reads, timed, protected))
    /\ UNCHANGED <<phase, handed, ladder, closing, limit, due, transaction>>

\* A question takes its turn like an execution.
Query(n, id, timed) ==
    /\ phase = "open"
    /\ ~QueueIsFull
    /\ n = last + 1
    /\ last' = n
    /\ waiting' = Append(waiting, n)
    /\ jobs' = With(jobs, n, Job(id, "question", FALSE, timed, FALSE))
    /\ UNCHANGED <<phase, handed, ladder, closing, limit, due, transaction>>

Refuse(reason) ==
    /\ reason = IF phase # "open" THEN "closed" ELSE IF QueueIsFull THEN "full" ELSE "none"
    /\ UNCHANGED session

\* A line for the execution that runs; one for any other is thrown away.
AnswerInput(id) ==
    /\ handed # <<>>
    /\ IsExecution(Running, id)
    /\ UNCHANGED session

Interrupt(id, reply, wish) ==
    /\ due' = CallOff(id, reply, wish)
    /\ UNCHANGED <<phase, waiting, handed, jobs, ladder, closing, limit, last, transaction>>

\* Its client has gone.
Abandon(id) ==
    /\ due' = CallOff(id, 0, "soon")
    /\ UNCHANGED <<phase, waiting, handed, jobs, ladder, closing, limit, last, transaction>>

Narrow(queued) ==
    /\ limit' = queued
    /\ UNCHANGED <<phase, waiting, handed, jobs, ladder, closing, last, due, transaction>>

Close(graceful) ==
    /\ phase = "open"
    /\ phase' = IF graceful THEN "closing" ELSE "lost"
    /\ closing' = graceful
    /\ due' = Drops(waiting) \o IF graceful
                                THEN Climbs(handed) \o <<Plain("shut")>>
                                ELSE <<ToKill(0)>>
    /\ UNCHANGED <<waiting, handed, jobs, ladder, limit, last, transaction>>

(* What it is told by its transport.                                       *)

\* The worker has answered, or was outlived, and the next one begins.
Ended(n, undone, open) ==
    /\ n = Running
    /\ handed' = Tail(handed)
    /\ jobs' = Without(jobs, n)
    /\ ladder' = NoLadder
    /\ transaction' = open
    /\ due' = Tells(ladder.replies, StateAfter(undone)) \o Begins(Tail(handed))
    /\ UNCHANGED <<phase, waiting, closing, limit, last>>

\* The worker had begun nothing that has not ended, and the transaction that
\* was open is undone. What was to be killed runs in another process now, and
\* has its time to end there.
Survived ==
    /\ transaction' = FALSE
    /\ ladder' = [ladder EXCEPT !.rung = IF @ = "killed" THEN "signalled" ELSE @]
    /\ UNCHANGED <<phase, waiting, handed, jobs, closing, limit, last, due>>

\* It has answered, and said that it cannot go on: its client hears "lost".
Broke(n) ==
    /\ n = Running
    /\ phase' = "lost"
    /\ closing' = FALSE
    /\ handed' = Tail(handed)
    /\ jobs' = Without(jobs, n)
    /\ ladder' = NoLadder
    /\ due' = Drops(waiting) \o Tells(ladder.replies, "lost") \o Begins(Tail(handed))
              \o <<ToKill(0)>>
    /\ UNCHANGED <<waiting, limit, last, transaction>>

\* The transport has told those whose jobs it had.
Died ==
    /\ phase # "ended"
    /\ phase' = "ended"
    /\ closing' = FALSE
    /\ handed' = <<>>
    /\ jobs' = [n \in Members(waiting) |-> jobs[n]]
    /\ ladder' = NoLadder
    /\ due' = Drops(waiting) \o Tells(ladder.replies, "lost")
              \o Joined([i \in DOMAIN handed |-> Tells(jobs[handed[i]].replies, "lost")])
    /\ UNCHANGED <<waiting, limit, last, transaction>>

(* What time does. There is nothing harder than a kill.                    *)

DeadlinePassed(n) ==
    /\ Clock
    /\ n = Running
    /\ jobs[n].timed
    /\ jobs' = [jobs EXCEPT ![n].timed = FALSE]
    /\ due' = <<Climb(n, 0, "soon")>>
    /\ UNCHANGED <<phase, waiting, handed, ladder, closing, limit, last, transaction>>

GracePassed ==
    /\ Clock
    /\ ladder.rung = "signalled"
    /\ ~ladder.patient
    /\ ladder' = [ladder EXCEPT !.rung = "dumped"]
    /\ due' = <<Plain("dump")>>
    /\ UNCHANGED <<phase, waiting, handed, jobs, closing, limit, last, transaction>>

\* What has a snapshot is killed alone, and the session waits for what comes
\* of it.
DumpPassed ==
    /\ Clock
    /\ ladder.rung = "dumped"
    /\ phase' = IF IsOutlived THEN phase ELSE "lost"
    /\ closing' = (closing /\ IsOutlived)
    /\ ladder' = [ladder EXCEPT !.rung = IF IsOutlived THEN "killed" ELSE @]
    /\ due' = IF IsOutlived THEN <<ToKill(ladder.job)>> ELSE Drops(waiting) \o <<ToKill(0)>>
    /\ UNCHANGED <<waiting, handed, jobs, limit, last, transaction>>

CloseGracePassed ==
    /\ closing
    /\ phase' = "lost"
    /\ closing' = FALSE
    /\ due' = <<ToKill(0)>>
    /\ UNCHANGED <<waiting, handed, jobs, ladder, limit, last, transaction>>

(* What the session does then.                                             *)

\* Only while HandIsDue: it is what is left to do when nothing else is due.
Hand(n) ==
    /\ due = <<>>
    /\ n = First(waiting)
    /\ waiting' = Tail(waiting)
    /\ handed' = Append(handed, n)
    /\ UNCHANGED <<phase, jobs, ladder, closing, limit, last, due, transaction>>

\* An accepted job ends without having run.
Drop(n) ==
    /\ Due.do = "drop"
    /\ n = Due.job
    /\ waiting' = Remove(waiting, n)
    /\ jobs' = Without(jobs, n)
    /\ due' = DueThen
    /\ UNCHANGED <<phase, handed, ladder, closing, limit, last, transaction>>

\* Its turn has not come; when it begins, the ladder does.
Postpone(n, reply) ==
    /\ Due.do = "climb"
    /\ n = Due.job
    /\ reply = Due.reply
    /\ n # Running
    /\ jobs' = [jobs EXCEPT
                   ![n].wish = Sooner(@, Due.how),
                   ![n].replies = @ \o Replies(reply)]
    /\ due' = DueThen
    /\ UNCHANGED <<phase, waiting, handed, ladder, closing, limit, last, transaction>>

\* A second request signals no more, and can only make the ladder quicker.
Join(n, reply) ==
    /\ Due.do = "climb"
    /\ n = Due.job
    /\ reply = Due.reply
    /\ n = ladder.job
    /\ ladder' = [ladder EXCEPT
                     !.patient = @ /\ Due.how = "patient",
                     !.replies = @ \o Replies(reply)]
    /\ due' = DueThen
    /\ UNCHANGED <<phase, waiting, handed, jobs, closing, limit, last, transaction>>

\* The first rung.
Signal(n, reply) ==
    /\ Due.do = "climb"
    /\ n = Due.job
    /\ reply = Due.reply
    /\ n = Running
    /\ ladder.job = 0
    /\ ladder' = [job |-> n, rung |-> "signalled", patient |-> Due.how = "patient",
                  replies |-> Replies(reply) \o jobs[n].replies]
    /\ jobs' = [jobs EXCEPT
                   ![n].wish = "no",
                   ![n].replies = <<>>]
    /\ due' = DueThen
    /\ UNCHANGED <<phase, waiting, handed, closing, limit, last, transaction>>

Settle(reply, outcome) ==
    /\ Due.do = "settle"
    /\ reply = Due.reply
    /\ outcome = Due.how
    /\ due' = DueThen
    /\ UNCHANGED <<phase, waiting, handed, jobs, ladder, closing, limit, last, transaction>>

DumpStack ==
    /\ Due.do = "dump"
    /\ due' = DueThen
    /\ UNCHANGED <<phase, waiting, handed, jobs, ladder, closing, limit, last, transaction>>

\* Of one job, or for good.
KillWorker(n) ==
    /\ Due.do = "kill"
    /\ n = Due.job
    /\ due' = DueThen
    /\ UNCHANGED <<phase, waiting, handed, jobs, ladder, closing, limit, last, transaction>>

ShutWorkerDown ==
    /\ Due.do = "shut"
    /\ due' = DueThen
    /\ UNCHANGED <<phase, waiting, handed, jobs, ladder, closing, limit, last, transaction>>
\* ---- end of actions ----

\* ---- the world ----
(* The client, its connection, and the service's memory of requests.       *)

\* It asks in the order of its ids, as names do not matter.
Ask(id) ==
    /\ connected
    /\ id = Cardinality(DOMAIN heard) + 1
    /\ heard' = With(heard, id, <<>>)
    /\ wire' = wire \cup {[id |-> id, since |-> 0]}
    /\ UNCHANGED <<connected, journal, cursor, left, told, allowed, process>>

\* Whatever is on its way is lost, and nobody knows how much of it.
LoseConnection ==
    /\ connected
    /\ connected' = FALSE
    /\ wire' = {}
    /\ cursor' = <<>>
    /\ UNCHANGED <<journal, heard, left, told, allowed, process>>

Connect ==
    /\ ~connected
    /\ connected' = TRUE
    /\ UNCHANGED <<wire, journal, cursor, heard, left, told, allowed, process>>

\* What it has not heard the end of it sends again, and says what it has.
Resend(id) ==
    /\ connected
    /\ ~Over(heard[id])
    /\ id \notin DOMAIN cursor
    /\ wire' = wire \cup {[id |-> id, since |-> Len(heard[id])]}
    /\ UNCHANGED <<connected, journal, cursor, heard, left, told, allowed, process>>

\* The half of Execute and Query: a request whose id is new.
Arrives(id) ==
    /\ Requests(id) # {}
    /\ id \notin DOMAIN journal
    /\ wire' = wire \ Requests(id)
    /\ journal' = With(journal, id, <<>>)
    /\ cursor' = With(cursor, id, 0)
    /\ UNCHANGED <<connected, heard, left, told, allowed, process>>

\* The half of Refuse.
IsRefused(id) ==
    /\ Requests(id) # {}
    /\ id \notin DOMAIN journal
    /\ wire' = wire \ Requests(id)
    /\ journal' = With(journal, id, <<Event("refused", 0, 0)>>)
    /\ cursor' = With(cursor, id, 0)
    /\ UNCHANGED <<connected, heard, left, told, allowed, process>>

\* A known id never runs again; its events are delivered from the journal.
ArrivesAgain(id) ==
    /\ Requests(id) # {}
    /\ id \in DOMAIN journal
    /\ cursor' = With(cursor, id, (CHOOSE request \in Requests(id) : TRUE).since)
    /\ wire' = wire \ Requests(id)
    /\ UNCHANGED <<connected, journal, heard, left, told, allowed, process>>

Deliver(id) ==
    /\ id \in DOMAIN cursor
    /\ cursor[id] < Len(journal[id])
    /\ heard' = [heard EXCEPT ![id] = Append(@, journal[id][cursor[id] + 1])]
    /\ cursor' = [cursor EXCEPT ![id] = @ + 1]
    /\ UNCHANGED <<connected, wire, journal, left, told, allowed, process>>

\* The half of Abandon.
Leaves(id) ==
    /\ id \in DOMAIN journal \ left
    /\ left' = left \cup {id}
    /\ UNCHANGED <<connected, wire, journal, cursor, heard, told, allowed, process>>

\* The half of Interrupt.
AsksToInterrupt(id, reply) ==
    /\ reply = Cardinality(DOMAIN told) + 1
    /\ told' = With(told, reply, [id |-> id, answer |-> "asked"])
    /\ UNCHANGED <<connected, wire, journal, cursor, heard, left, allowed, process>>

\* The half of Settle.
IsTold(reply, outcome) ==
    /\ told' = [told EXCEPT ![reply].answer = outcome]
    /\ UNCHANGED <<connected, wire, journal, cursor, heard, left, allowed, process>>

\* The half of Narrow.
IsNarrowed(queued) ==
    /\ allowed' = queued
    /\ UNCHANGED <<connected, wire, journal, cursor, heard, left, told, process>>

\* The half of Drop.
IsDropped(id) ==
    /\ journal' = Told(id, Event("error", 0, 0))
    /\ UNCHANGED <<connected, wire, cursor, heard, left, told, allowed, process>>

(* The transport: commands down.                                           *)

\* The half of Hand, AnswerInput, DumpStack and KillWorker.
Sent(what, n, id) ==
    /\ commands' = Append(commands, Command(what, n, id))
    /\ UNCHANGED <<client, notices, flights, gone, opened, worker, up, page, sigint, ran>>

\* The half of Signal.
SentSignal(n) ==
    /\ commands' = Append(commands, Command("signal", n, 0))
    /\ UNCHANGED <<client, notices, flights, gone, opened, worker, up, page, sigint, ran>>

TakeRun ==
    /\ ~gone
    /\ commands # <<>>
    /\ Head(commands).do = "run"
    /\ commands' = Tail(commands)
    /\ flights' = Append(flights, [job |-> Head(commands).job, id |-> Head(commands).id])
    /\ UNCHANGED <<client, notices, gone, opened, worker, up, page, sigint, ran>>

\* What was handed down after the process had ended never ran.
TurnAway ==
    /\ gone
    /\ commands # <<>>
    /\ Head(commands).do = "run"
    /\ commands' = Tail(commands)
    /\ journal' = Told(Head(commands).id, Event("refused", 0, 0))
    /\ UNCHANGED <<connected, wire, cursor, heard, left, told, allowed>>
    /\ UNCHANGED <<notices, flights, gone, opened, worker, up, page, sigint, ran>>

\* The number goes to the page before the signal goes to the process. What
\* has ended is interrupted no more.
TakeSignal ==
    /\ commands # <<>>
    /\ Head(commands).do = "signal"
    /\ commands' = Tail(commands)
    /\ page' = IF Flies(Head(commands).job) THEN Head(commands).job ELSE page
    /\ sigint' = (sigint \/ Flies(Head(commands).job))
    /\ UNCHANGED <<client, notices, flights, gone, opened, worker, up, ran>>

TakeDump ==
    /\ commands # <<>>
    /\ Head(commands).do = "dump"
    /\ commands' = Tail(commands)
    /\ worker' = [worker EXCEPT !.dumped = TRUE]
    /\ UNCHANGED <<client, notices, flights, gone, opened, up, page, sigint, ran>>

\* For good: no snapshot goes on from there, whatever the worker died of.
TakeKill ==
    /\ commands # <<>>
    /\ Head(commands) = Command("kill", 0, 0)
    /\ commands' = Tail(commands)
    /\ worker' = [worker EXCEPT
                     !.alive = FALSE,
                     !.snapshot = 0]
    /\ UNCHANGED <<client, notices, flights, gone, opened, up, page, sigint, ran>>

\* What was sent of what may be undone is told no more. What has ended is
\* killed no more: the kill would be the next one's.
TakeKillOfOne ==
    /\ commands # <<>>
    /\ Head(commands).do = "kill"
    /\ Head(commands).job # 0
    /\ commands' = Tail(commands)
    /\ worker' = [worker EXCEPT !.alive = @ /\ ~IsInTurn(Head(commands))]
    /\ up' = IF IsInTurn(Head(commands)) THEN <<>> ELSE up
    /\ UNCHANGED <<client, notices, flights, gone, opened, page, sigint, ran>>

\* What the code makes of its line is not modelled.
TakeLine ==
    /\ commands # <<>>
    /\ Head(commands).do = "line"
    /\ commands' = Tail(commands)
    /\ UNCHANGED <<client, notices, flights, gone, opened, worker, up, page, sigint, ran>>

(* The worker.                                                             *)

\* An interrupt that was on the page before it strikes at once. A snapshot is
\* let go where what followed it was told, and before what comes next.
Begin ==
    /\ worker.alive
    /\ worker.runs = 0
    /\ NextFlight # 0
    /\ worker' = [worker EXCEPT
                     !.runs = flights[NextFlight].job,
                     !.begun = flights[NextFlight].job,
                     !.printed = 0,
                     !.struck = IF page = flights[NextFlight].job THEN page ELSE 0,
                     !.snapshot = IF worker.open THEN @
                                  ELSE IF jobs[flights[NextFlight].job].protected
                                       THEN flights[NextFlight].job
                                       ELSE 0]
    /\ ran' = RunFor(flights[NextFlight].id, flights[NextFlight].job)
    /\ UNCHANGED <<client, commands, notices, flights, gone, opened, up, page, sigint>>

Print ==
    /\ worker.alive
    /\ worker.runs # 0
    /\ worker.printed < Outputs
    /\ Len(up) < SocketRoom
    /\ up' = Append(up, Message("output", worker.runs, worker.printed + 1))
    /\ worker' = [worker EXCEPT !.printed = @ + 1]
    /\ UNCHANGED <<client, commands, notices, flights, gone, opened, page, sigint, ran>>

\* With a result, an error, or the error that says that it cannot go on; or
\* a question that opens a transaction or commits it.
Finish(what) ==
    /\ worker.alive
    /\ worker.runs # 0
    /\ Len(up) < SocketRoom
    /\ up' = Append(up, Message(what, worker.runs, 0))
    /\ worker' = [worker EXCEPT
                     !.runs = 0,
                     !.struck = 0,
                     !.snapshot = IF what = "opens" THEN worker.runs ELSE @,
                     !.open = what = "opens" \/ (@ /\ what # "commits")]
    /\ UNCHANGED <<client, commands, notices, flights, gone, opened, page, sigint, ran>>

\* User code, also that of a thread, writes what looks like a result, of
\* itself or of another.
Lie(n) ==
    /\ worker.alive
    /\ Len(up) < SocketRoom
    /\ up' = Append(up, Message("result", n, 0))
    /\ UNCHANGED <<client, commands, notices, flights, gone, opened, worker, page, sigint, ran>>

\* A SIGINT arrives, late perhaps: it is for the number on the page alone.
Strike ==
    /\ worker.alive
    /\ sigint
    /\ sigint' = FALSE
    /\ worker' = [worker EXCEPT !.struck = IF page = worker.runs THEN page ELSE @]
    /\ UNCHANGED <<client, commands, notices, flights, gone, opened, up, page, ran>>

\* By itself, at any moment; in the middle of a message, of which nothing
\* is heard then; or killed. To roll back by choice is to die too.
Die(cut) ==
    /\ worker.alive
    /\ worker' = [worker EXCEPT !.alive = FALSE]
    /\ up' = IF cut /\ up # <<>> THEN Front(up) ELSE up
    /\ UNCHANGED <<client, commands, notices, flights, gone, opened, page, sigint, ran>>

(* The transport: messages up.                                             *)

TakeOutput ==
    /\ up # <<>>
    /\ Head(up).what = "output"
    /\ IsInTurn(Head(up))
    /\ up' = Tail(up)
    /\ journal' = Told(Head(flights).id, Event("output", Head(up).job, Head(up).place))
    /\ UNCHANGED <<connected, wire, cursor, heard, left, told, allowed>>
    /\ UNCHANGED <<commands, notices, flights, gone, opened, worker, page, sigint, ran>>

TakeEnd ==
    /\ up # <<>>
    /\ Head(up).what # "output"
    /\ IsInTurn(Head(up))
    /\ up' = Tail(up)
    /\ flights' = Tail(flights)
    /\ opened' = (Head(up).what = "opens" \/ (opened /\ Head(up).what # "commits"))
    /\ notices' = Append(notices, Notice(IF Head(up).what = "broken" THEN "broken"
                                         ELSE IF opened' THEN "open" ELSE "result",
                                         Head(up).job))
    /\ journal' = Told(Head(flights).id, Event("result", Head(up).job, 0))
    /\ UNCHANGED <<connected, wire, cursor, heard, left, told, allowed>>
    /\ UNCHANGED <<commands, gone, worker, page, sigint, ran>>

\* The worker speaks of what does not run: nothing that it says is believed.
Violate ==
    /\ up # <<>>
    /\ ~IsInTurn(Head(up))
    /\ up' = <<>>
    /\ worker' = [worker EXCEPT !.alive = FALSE]
    /\ UNCHANGED <<client, commands, notices, flights, gone, opened, page, sigint, ran>>

\* All that it left is read. Everyone whose job it had is told.
TellDeath ==
    /\ ~worker.alive
    /\ ~gone
    /\ up = <<>>
    /\ gone' = TRUE
    /\ notices' = Append(notices, Notice("died", 0))
    /\ journal' = [id \in DOMAIN journal |->
                      IF \E i \in DOMAIN flights : flights[i].id = id
                      THEN Append(journal[id], Event("error", 0, 0))
                      ELSE journal[id]]
    /\ flights' = <<>>
    /\ UNCHANGED <<connected, wire, cursor, heard, left, told, allowed>>
    /\ UNCHANGED <<commands, opened, worker, up, page, sigint, ran>>

\* Its snapshot has taken over, from where the worker had left its socket.
\* Without one, or where it has died too, or the transport is closing, all
\* that is left is to tell of the death.
Survive ==
    /\ ~worker.alive
    /\ ~gone
    /\ up = <<>>
    /\ worker.snapshot # 0
    /\ MaySurvive
    /\ worker' = [worker EXCEPT
                     !.alive = TRUE,
                     !.runs = 0,
                     !.struck = 0,
                     !.snapshot = 0,
                     !.open = FALSE]
    /\ sigint' = FALSE
    /\ opened' = FALSE
    /\ flights' = Unbegun
    /\ notices' = notices \o IF Begun = <<>> THEN <<Notice("survived", 0)>>
                             ELSE [i \in DOMAIN Begun |-> Notice("undone", Begun[i].job)]
    /\ journal' = [id \in DOMAIN journal |->
                      IF \E i \in DOMAIN Begun : Begun[i].id = id
                      THEN Append(journal[id], Event("undone", ran[id][1], 0))
                      ELSE journal[id]]
    /\ UNCHANGED <<connected, wire, cursor, heard, left, told, allowed>>
    /\ UNCHANGED <<commands, gone, up, page, ran>>

\* The half of Ended, Survived, Broke and Died.
IsHeard(what, n) ==
    /\ notices # <<>>
    /\ Head(notices) = Notice(what, n)
    /\ notices' = Tail(notices)
    /\ UNCHANGED <<client, commands, flights, gone, opened, worker, up, page, sigint, ran>>
\* ---- end of the world ----

---------------------------------------------------------------------------
World == <<client, process>>
Happenings == {"abandon", "close", "kill", "break", "die", "lie", "transact", "disconnect"}
Remote == "disconnect" \in May
Outcomes == {"kept", "rolled_back", "lost", "unknown"}
WishOf(reply) == IF reply \in Patient THEN "patient" ELSE "soon"
Awaits(id) == id \in DOMAIN heard /\ ~Over(heard[id])

Taken(id) ==
    \/ \E n \in Numbers, timed \in Timed :
          \/ \E protected \in Protected :
                \/ "execution" \in Kinds /\ Execute(n, id, FALSE, timed, protected) /\ Arrives(id)
                \/ "reader" \in Kinds /\ Execute(n, id, TRUE, timed, protected) /\ Arrives(id)
          \/ "question" \in Kinds /\ Query(n, id, timed) /\ Arrives(id)
    \/ \E reason \in {"closed", "full"} : Refuse(reason) /\ IsRefused(id)
    \/ ArrivesAgain(id) /\ UNCHANGED session

\* One line at a time, for code that has run and asked for one; maybe late.
Answered(id) ==
    /\ "execution" \notin Kinds /\ id \in DOMAIN ran
    /\ \A i \in DOMAIN commands : commands[i].do # "line"
    /\ AnswerInput(id) /\ Sent("line", ran[id][1], id)

Abandoned(id) == "abandon" \in May /\ Abandon(id) /\ Leaves(id)

Asked ==
    \/ \E id \in Ids : Taken(id) \/ Answered(id) \/ Abandoned(id)
    \/ \E id \in Ids \cup {Unnamed}, reply \in Interrupts :
          Interrupt(id, reply, WishOf(reply)) /\ AsksToInterrupt(id, reply)
    \/ \E queued \in Limits : queued < allowed /\ Narrow(queued) /\ IsNarrowed(queued)
    \/ "close" \in May /\ Close(TRUE) /\ UNCHANGED World
    \/ "kill" \in May /\ Close(FALSE) /\ UNCHANGED World

Notified ==
    \/ \E n \in DOMAIN jobs :
          \/ Ended(n, FALSE, FALSE) /\ IsHeard("result", n)
          \/ Ended(n, FALSE, TRUE) /\ IsHeard("open", n)
          \/ Ended(n, TRUE, FALSE) /\ IsHeard("undone", n)
          \/ Broke(n) /\ IsHeard("broken", n)
    \/ Survived /\ IsHeard("survived", 0)
    \/ Died /\ IsHeard("died", 0)

DeadlinePasses == \E n \in DOMAIN jobs : DeadlinePassed(n) /\ UNCHANGED World
GracePasses == GracePassed /\ UNCHANGED World
DumpPasses == DumpPassed /\ UNCHANGED World
CloseGracePasses == CloseGracePassed /\ UNCHANGED World

Effect ==
    \/ \E n \in DOMAIN jobs :
          \/ Hand(n) /\ Sent("run", n, jobs[n].id)
          \/ Drop(n) /\ IsDropped(jobs[n].id)
          \/ \E reply \in {0} \cup Interrupts :
                \/ Postpone(n, reply) /\ UNCHANGED World
                \/ Join(n, reply) /\ UNCHANGED World
                \/ Signal(n, reply) /\ SentSignal(n)
    \/ \E reply \in Interrupts, outcome \in Outcomes : Settle(reply, outcome) /\ IsTold(reply, outcome)
    \/ DumpStack /\ Sent("dump", 0, 0)
    \/ \E n \in {0} \cup DOMAIN jobs : KillWorker(n) /\ Sent("kill", n, 0)
    \/ ShutWorkerDown /\ UNCHANGED World

Connects == Connect /\ UNCHANGED session
ResendsIt(id) == id \in DOMAIN heard /\ Resend(id) /\ UNCHANGED session
Delivers(id) == Deliver(id) /\ UNCHANGED session
Commanded ==
    /\ TakeRun \/ TurnAway \/ TakeSignal \/ TakeDump \/ TakeKill \/ TakeKillOfOne \/ TakeLine
    /\ UNCHANGED session
Reads == (TakeOutput \/ TakeEnd \/ Violate) /\ UNCHANGED session
TellsDeath == (TellDeath \/ Survive) /\ UNCHANGED session

\* Nobody waits for a connection on which nothing is to come.
Connection ==
    \/ LoseConnection /\ UNCHANGED session /\ \E id \in Ids : Awaits(id)
    \/ Connects
    \/ \E id \in Ids : ResendsIt(id) \/ Delivers(id)

WorkerActs ==
    /\ \/ Begin \/ Print \/ Finish("result") \/ Strike
       \/ "break" \in May /\ Finish("broken")
       \/ /\ "transact" \in May /\ worker.alive /\ worker.runs # 0
          /\ jobs[worker.runs].kind = "question"
          /\ IF worker.open THEN Finish("commits") ELSE Finish("opens")
       \/ "lie" \in May /\ \E n \in Numbers : Lie(n)
       \/ "die" \in May /\ \E cut \in BOOLEAN : Die(cut)
    /\ UNCHANGED session

\* The session has ended, or is idle, and everyone was told of everything.
Terminated ==
    /\ phase \in {"open", "ended"}
    /\ handed = <<>>
    /\ commands = <<>>
    /\ \A id \in Ids : id \in DOMAIN journal /\ Over(journal[id])
    /\ Remote => \A id \in Ids : ~Awaits(id)
    /\ \A reply \in Interrupts : reply \in DOMAIN told /\ told[reply].answer # "asked"
    /\ UNCHANGED vars

\* Between an input and the last of its effects nothing else has its turn;
\* for the world before or after it comes to the same.
Next ==
    IF Settled
    THEN \/ \E id \in Ids : Ask(id) /\ UNCHANGED session /\ (Remote \/ wire = {})
         \/ Asked \/ Notified
         \/ DeadlinePasses \/ GracePasses \/ DumpPasses \/ CloseGracePasses
         \/ Remote /\ Connection
         \/ Commanded \/ Reads \/ TellsDeath \/ WorkerActs
         \/ Terminated
    ELSE Effect

(* Fairness: the weakest that does it. The client need not ask, nor stay,   *)
(* nor close; the worker need do nothing at all, not even begin.            *)
InItsTurn(A) == Settled /\ A
Fairness ==
    \* What is due is done in the same turn, without waiting for anything.
    /\ WF_vars(Effect)
    \* The session serves its mailbox, and waits for nothing else.
    /\ WF_vars(InItsTurn(Notified))
    \* The transport takes commands, and waits for nothing else; SIGKILL ends
    \* every process.
    /\ WF_vars(InItsTurn(Commanded))
    \* The transport reads what the worker sends.
    /\ WF_vars(InItsTurn(Reads))
    \* The end of a process is told by its pidfd, whatever it did; whether a
    \* snapshot outlives it, by the zygote, for which the wait is bounded.
    /\ WF_vars(InItsTurn(TellsDeath))
    \* The alarm is set to whatever comes next: a deadline ...
    /\ WF_vars(InItsTurn(DeadlinePasses))
    \* ... the grace of an interrupt ...
    /\ WF_vars(InItsTurn(GracePasses))
    \* ... the time for a dump of the stack ...
    /\ WF_vars(InItsTurn(DumpPasses))
    \* ... and the grace of a close.
    /\ WF_vars(InItsTurn(CloseGracePasses))
    \* A client that waits for something connects again.
    /\ WF_vars(InItsTurn(Connects))
    \* Strong, as the connection may be lost again and again: sometimes it
    \* holds for long enough to send a request again, ...
    /\ \A id \in Ids : SF_vars(InItsTurn(ResendsIt(id)))
    \* ... for the request to arrive ...
    /\ \A id \in Ids : SF_vars(InItsTurn(Taken(id)))
    \* ... and for an event to be delivered.
    /\ \A id \in Ids : SF_vars(InItsTurn(Delivers(id)))

Spec == Init /\ [][Next]_vars /\ Fairness

---------------------------------------------------------------------------
(* What always holds.                                                      *)

TypesAreRight ==
    /\ phase \in {"open", "closing", "lost", "ended"}
    /\ closing => phase = "closing"
    /\ \A n \in DOMAIN jobs :
          /\ n \in 1 .. last
          /\ jobs[n].wish \in {"no", "patient", "soon"}
          /\ jobs[n].timed \in BOOLEAN
    /\ IF ladder.job = 0 THEN ladder = NoLadder ELSE ladder.rung \in {"signalled", "dumped", "killed"}
    /\ limit \in Limits
    /\ ~connected => wire = {} /\ cursor = <<>>
    /\ DOMAIN journal \subseteq DOMAIN heard
    /\ \A id \in DOMAIN cursor : cursor[id] <= Len(journal[id])
    /\ \A reply \in DOMAIN told : told[reply].answer \in {"asked"} \cup Outcomes
    /\ gone => ~worker.alive /\ flights = <<>>

EveryJobIsSomewhereOnce ==
    /\ DOMAIN jobs = Members(waiting) \cup Members(handed)
    /\ LET numbers == handed \o waiting
       IN  \A i, j \in DOMAIN numbers : i < j => numbers[i] < numbers[j]

AnIdRunsAtMostOnce == \A id \in DOMAIN ran : Len(ran[id]) = 1

\* With liveness: exactly one.
NothingComesAfterTheTerminalEvent ==
    \A id \in DOMAIN journal : \A i \in DOMAIN journal[id] :
        journal[id][i].what \in Terminals => i = Len(journal[id])

\* What lies may end what has not begun, and nothing of another session.
ResultsCarryTheCurrentEpoch ==
    \A id \in DOMAIN journal : \A i \in DOMAIN journal[id] :
        journal[id][i].what \in {"output", "result", "undone"} =>
            IF id \in DOMAIN ran THEN ran[id] = <<journal[id][i].epoch>> ELSE "lie" \in May

EventsComeInOrder ==
    \A id \in DOMAIN journal : \A i \in DOMAIN journal[id] :
        journal[id][i].what = "output" => journal[id][i].place = i

ARefusedRequestNeverRan ==
    \A id \in DOMAIN journal : \A i \in DOMAIN journal[id] :
        journal[id][i].what = "refused" => id \notin DOMAIN ran /\ Len(journal[id]) = 1

TheClientHearsWhatHappened ==
    \A id \in DOMAIN heard \cap DOMAIN journal :
        heard[id] = SubSeq(journal[id], 1, Len(heard[id]))

ALateSignalStrikesNoOtherExecution == worker.struck \in {0, worker.runs}

AnInterruptReachesItsExecution ==
    /\ worker.runs # 0 /\ worker.runs = page /\ ~sigint => worker.struck = page
    /\ Settled /\ ladder.job # 0 /\ Flies(ladder.job) =>
           \/ page = ladder.job
           \/ \E i \in DOMAIN commands : commands[i] = Command("signal", ladder.job, 0)

ALadderDumpsBeforeItKills ==
    /\ commands # <<>>
    /\ Head(commands).do = "kill"
    /\ Head(commands).job \in {0, ladder.job}
    /\ ladder.rung \in {"dumped", "killed"}
    => worker.dumped

AKillIsForGood ==
    (\E i \in DOMAIN commands : commands[i] = Command("kill", 0, 0)) => phase \in {"lost", "ended"}

OnlyWhatIsOutlivedIsKilledAlone == ladder.rung = "killed" => IsOutlived

\* What is not on its way will not come, and there is no rung above it.
AKillComesToSomething ==
    Settled /\ ladder.rung = "killed" =>
        \/ Command("kill", ladder.job, 0) \in Members(commands)
        \/ ~worker.alive
        \/ notices # <<>>

\* But for what is on its way.
ATransactionIsKnown == Clock /\ notices = <<>> => transaction = opened

\* The answer to an interrupt is of what the execution's own client hears.
IsUndone(id) == id \in DOMAIN journal /\ journal[id] # <<>> /\ LastOf(journal[id]) = "undone"
WhatIsToldAgrees ==
    \A reply \in DOMAIN told :
        /\ IsUndone(told[reply].id) => told[reply].answer # "kept"
        /\ told[reply].answer = "rolled_back" =>
               \E id \in Ids : IsUndone(id) /\ told[reply].id \in {id, Unnamed}

\* Nobody wanted it to end, and it may take all the time that it needs.
CodeIsLeftAlone ==
    /\ told = <<>>
    /\ left = {}
    /\ TRUE \notin Timed
    /\ May \cap {"close", "kill", "break"} = {}
    => ladder.job = 0 /\ phase \in {"open", "ended"}

ALineReachesNoOtherExecution ==
    commands # <<>> /\ Head(commands).do = "line" => worker.runs \in {0, Head(commands).job}

NothingIsBehindCodeThatMayReadInput ==
    \A i \in DOMAIN handed : i < Len(handed) => ~jobs[handed[i]].reads

TheWorkerGetsAFewAtATime == Len(handed) <= HandedAtMost /\ Len(flights) <= HandedAtMost

\* For each job that is handed down a run, a signal and a line; a dump and
\* two kills. Where jobs are killed alone, a dump and a kill for each; and
\* each transaction that ends with its process tells of that too.
HasSnapshots == TRUE \in Protected \/ "transact" \in May
BuffersAreBounded ==
    /\ Len(waiting) + Len(handed) <= Greatest(Limits) + 1
    /\ Len(commands) <= 3 * HandedAtMost + 3 + IF HasSnapshots THEN 2 * HandedAtMost ELSE 0
    /\ Len(notices) <= HandedAtMost + 1 + IF HasSnapshots THEN HandedAtMost ELSE 0
    /\ Len(up) <= SocketRoom
    /\ worker.printed <= Outputs

TheLimitIsWhatTheClientWasTold == limit = allowed

NoticesAreOfWhatRuns ==
    notices # <<>> /\ Head(notices).what \notin {"survived", "died"} /\ phase # "ended" =>
        Head(notices).job = Running

AnHonestWorkerIsBelieved == up # <<>> /\ "lie" \notin May => IsInTurn(Head(up))

WhatWasBegunIsHeardOf ==
    worker.alive /\ worker.runs = 0 =>
        \A i \in DOMAIN flights : flights[i].job <= worker.begun =>
            \E j \in DOMAIN up : up[j].job = flights[i].job /\ up[j].what # "output"

OutputsIn(messages) == Len(SelectSeq(messages, LAMBDA message : message.what = "output"))
NothingPrintedIsLost ==
    worker.alive /\ "lie" \notin May =>
        \A i \in DOMAIN flights : flights[i].job = worker.runs =>
            worker.printed = OutputsIn(journal[flights[i].id])
                             + OutputsIn(SelectSeq(up, LAMBDA x : x.job = worker.runs))

\* Whoever can wait for ever keeps nobody waiting who cannot, and is hurried by nobody else.
ALadderIsAsPatientAsItsInterrupts ==
    /\ left = {}
    /\ TRUE \notin Timed
    /\ "close" \notin May
    /\ ladder.job # 0
    => (ladder.patient <=> Members(ladder.replies) \subseteq Patient)

\* Nobody names a question: an interrupt of whatever runs ends it, its deadline, or a close.
AQuestionIsLeftAlone ==
    /\ TRUE \notin Timed
    /\ "close" \notin May
    /\ ladder.job # 0
    => \/ jobs[ladder.job].kind = "execution"
       \/ \E reply \in Members(ladder.replies) : told[reply].id = Unnamed

WhateverRunsIsKnown ==
    \A reply \in DOMAIN told : told[reply].id = Unnamed => told[reply].answer # "unknown"

\* With an event, or with a refusal: also where nothing is accepted.
ARequestIsAnsweredAtOnce ==
    Settled => \A id \in Ids : Requests(id) # {} => ENABLED Taken(id)

OnlyWhatRunsHasALadder == ladder.job \in {0, Running}

NothingWaitsInASessionThatEnds == Settled /\ phase # "open" => waiting = <<>>

\* In the turn in which a job begins, so does its ladder.
AnInterruptBeginsWithItsJob ==
    Settled /\ Running # 0 => jobs[Running].wish = "no" /\ jobs[Running].replies = <<>>

\* Once each: under the ladder, with a job that is to be interrupted, or due.
Promised(reply) ==
    LET climbs == ladder.replies \o Joined([i \in DOMAIN handed |-> jobs[handed[i]].replies])
        dues == [i \in DOMAIN due |-> due[i].reply]
    IN  Len(SelectSeq(climbs \o dues, LAMBDA x : x = reply))
NobodyIsForgotten ==
    \A reply \in Interrupts :
        LET waits == reply \in DOMAIN told /\ told[reply].answer = "asked"
        IN  Promised(reply) = IF waits THEN 1 ELSE 0

---------------------------------------------------------------------------
(* What every step keeps to.                                               *)

NothingIsRefusedWithoutReason ==
    [][/\ \A id \in DOMAIN journal' \ DOMAIN journal :
             journal'[id] # <<>> => phase # "open" \/ QueueIsFull
       /\ \A id \in DOMAIN journal :
             journal'[id] # journal[id] /\ journal'[id][Len(journal'[id])].what = "refused" => gone]_vars

NothingIsTakenThatMustBeRefused ==
    [][last' # last => phase = "open" /\ ~QueueIsFull]_vars

NobodyIsToldThatALostStateIsKept ==
    [][\A reply \in DOMAIN told :
          told'[reply].answer \in {"kept", "rolled_back"} /\ told[reply] # told'[reply] => Clock]_vars

NobodyIsToldThatAKeptStateIsLost ==
    [][\A reply \in DOMAIN told :
          told'[reply].answer = "lost" /\ told[reply].answer # "lost" => ~Clock]_vars

AnInterruptOfWhateverRunsReachesIt ==
    [][\A reply \in DOMAIN told' \ DOMAIN told :
          /\ told'[reply].id = Unnamed
          /\ handed # <<>>
          => due' # <<>> /\ Head(due').do = "climb" /\ Head(due').job = Running]_vars

\* Who named an execution is told when it is over.
AnInterruptIsToldWhenItsJobIsOver ==
    [][\A reply \in DOMAIN told :
          told'[reply] # told[reply] =>
              \A n \in Members(handed) : told[reply].id # jobs[n].id \/ jobs[n].kind = "question"]_vars

ASessionEndsOnce ==
    [][/\ phase = "ended" => phase' = "ended"
       /\ phase = "lost" => phase' \in {"lost", "ended"}
       /\ phase = "closing" => phase' # "open"]_vars

AnAnswerStands ==
    [][\A reply \in DOMAIN told : told[reply].answer # "asked" => told'[reply] = told[reply]]_vars

\* A ladder stays under its job to the end, and only goes up; but where the
\* kill struck a process that had not begun it.
ALadderStays ==
    [][ladder.job # 0 /\ ladder.job \in Members(handed') =>
          /\ ladder'.job = ladder.job
          /\ ladder.rung = "dumped" => ladder'.rung \in {"dumped", "killed"}
          /\ ladder.rung = "killed" => ladder'.rung = "killed" \/ Head(notices).what = "survived"
          /\ ~ladder.patient => ~ladder'.patient]_vars

AnEndlessGraceHasNoEnd == [][ladder.patient => ladder'.rung # "dumped"]_vars

\* A deadline is of what runs, and passes once.
ADeadlineCountsFromTheBeginning ==
    [][\A n \in DOMAIN jobs \cap DOMAIN jobs' :
          jobs'[n].timed # jobs[n].timed => jobs[n].timed /\ n = Running]_vars

TimeDoesNoMoreThanAKill ==
    [][~Clock => /\ \A n \in DOMAIN jobs \cap DOMAIN jobs' : jobs'[n].timed = jobs[n].timed
                 /\ ladder.rung # "dumped" => ladder'.rung # "dumped"
                 /\ ladder.rung # "killed" => ladder'.rung # "killed"]_vars

TheClientForgetsNothing ==
    [][\A id \in DOMAIN heard : Len(heard'[id]) >= Len(heard[id])]_vars

AWorkerFinishesWhatItBegan ==
    [][worker.runs # 0 => worker'.runs \in {worker.runs, 0}]_vars

TheDeadDoNothing ==
    [][~worker.alive => /\ \/ worker'.alive
                           \/ [worker' EXCEPT !.dumped = FALSE, !.snapshot = 0]
                              = [worker EXCEPT !.dumped = FALSE, !.snapshot = 0]
                        /\ ran' = ran
                        /\ Len(up') <= Len(up)]_vars

\* But for what is cut off by a death, what a liar has sent, and what was
\* sent by one that is killed to be undone.
WhatWasSentIsRead ==
    [][Len(up') < Len(up) =>
          \/ journal' # journal
          \/ worker.alive /\ ~worker'.alive /\ up' = Front(up)
          \/ ~IsInTurn(Head(up))
          \/ commands' # commands /\ Head(commands) = Command("kill", ladder.job, 0)]_vars

\* But where it is closed, or breaks.
NothingIsLostThatHasASnapshot ==
    [][Clock /\ phase' = "lost" =>
          \/ "kill" \in May
          \/ closing
          \/ notices' # notices
          \/ ~jobs[Running].protected /\ ~transaction]_vars

AKillStrikesNoOtherExecution ==
    [][commands' # commands /\ worker.alive /\ ~worker'.alive /\ Head(commands).job # 0 =>
          IsInTurn(Head(commands))]_vars

\* Who goes on has what was told as kept, and nothing of what is told as undone;
\* and nothing goes on from where a session is to end.
ASnapshotIsWhatWasTold ==
    [][~worker.alive /\ worker'.alive =>
          /\ worker.snapshot # 0
          /\ \A id \in DOMAIN journal : journal'[id] # journal[id] => ran[id][1] >= worker.snapshot
          /\ \A id \in DOMAIN ran : ran[id][1] >= worker.snapshot => opened \/ LastOf(journal'[id]) = "undone"
          ]_vars

\* What is behind it goes on.
WhatWasNotBegunIsNotUndone ==
    [][~worker.alive /\ worker'.alive =>
          \A i \in DOMAIN flights : flights[i].job > worker.begun => flights[i] \in Members(flights')]_vars

---------------------------------------------------------------------------
(* What happens in the end.                                                *)

\* Code without a deadline, under which there is no ladder that ends it, may
\* run for ever, and what is behind it then waits for ever; but not where
\* its client has left it, or where somebody wants it to end soon.
RunsForEver ==
    /\ FALSE \in Timed
    /\ Running # 0
    /\ ~jobs[Running].timed
    /\ jobs[Running].kind = "question" \/ jobs[Running].id \notin left
    /\ \/ ladder.job = 0
       \/ /\ ladder.rung = "signalled"
          /\ ladder.patient
          /\ \A reply \in DOMAIN told : told[reply].answer = "asked" => reply \in Patient

IsOver(events, id) == id \in DOMAIN events /\ Over(events[id])
IsAnswered(reply) == reply \in DOMAIN told /\ told[reply].answer # "asked"

AnAcceptedRequestEnds ==
    \/ <>[]RunsForEver
    \/ \A id \in Ids : id \in DOMAIN journal ~> IsOver(journal, id)
AnInterruptEnds ==
    \/ <>[]RunsForEver
    \/ \A reply \in Interrupts : reply \in DOMAIN told ~> IsAnswered(reply)
ASessionThatClosesEnds == phase # "open" ~> phase = "ended"
CommandsAreTaken == commands # <<>> ~> commands = <<>>
TheClientHearsTheEnd ==
    \/ <>[]RunsForEver
    \/ \A id \in Ids : id \in DOMAIN heard ~> IsOver(heard, id)
=============================================================================
