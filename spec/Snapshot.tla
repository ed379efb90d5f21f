------------------------------ MODULE Snapshot ------------------------------
(* One session whose state can be rolled back: the process that runs code   *)
(* forks a keeper, which holds the state as it was, and takes over when its *)
(* parent dies. The model of who speaks for the session, of what is told to *)
(* have been kept or undone, and of what is left when it has ended.         *)
(*                                                                          *)
(* Four parties. The worker runs code, and dies at any moment. The keeper   *)
(* waits for its end, and then for the service's word. The zygote reaps,    *)
(* adopts and reports. The service (the session and its transport, as one)  *)
(* reads one socket, and decides. They share that socket, and a word of the *)
(* control page that names the survivor: the keeper, and the request for    *)
(* which it was made.                                                       *)
(*                                                                          *)
(* The message is what commits: whoever was told that an execution is kept  *)
(* finds it kept for as long as the session goes on, so a keeper that is    *)
(* older than what was told is of no use. That is why the word has the      *)
(* request's number too: a worker that dies between its message and the     *)
(* next change of the word would else be followed by a keeper of the past,  *)
(* under the next request that has one.                                     *)
(*                                                                          *)
(* What the dead have read of the socket nobody knows, and of a message     *)
(* perhaps a part. So a keeper that takes over throws away whatever is      *)
(* there, in the socket and in its own memory, and says that it is ready;   *)
(* from the death to that word the service writes nothing, and then writes  *)
(* again what has not ended.                                                *)
(*                                                                          *)
(* A request says which transaction it is meant for, as it may have been    *)
(* asked before anybody knew that this one has been rolled back.            *)
(*                                                                          *)
(* State is a set: the executions whose effects a process holds.            *)
(*                                                                          *)
(* Left out: clocks, output (a message is there whole or not at all: what a *)
(* death cuts off is dropped, as in Session.tla), code that lies, mailboxes *)
(* (but for a kill on its way), the death of the service (the zygote's end  *)
(* is that of all, and keepers hear of it as of any other end).             *)
EXTENDS Naturals, Sequences, FiniteSets

CONSTANTS
    Numbers,      \* of requests: 1 .. n
    Kinds,        \* what a client asks: "plain", "guarded" (an execution that can
                  \* be rolled back), "begin", "commit" and "rollback"
    HandedAtMost, \* requests at the transport
    May           \* what may befall them, of Happenings

VARIABLES
    (* The service's. *)
    kind,         \* of each request that was accepted, by number
    within,       \* the transaction that each is meant for; 0 for none
    flights,      \* requests at the transport: the first of them runs
    transaction,  \* the request that began the one that is open; 0 for none
    told,         \* the terminal events of each request
    kept,         \* executions that the client was told are there to stay
    pending,      \* ... that stay if their transaction does
    undone,       \* ... that it was told are as if they had never been
    hand,         \* "serves", "waits" (its process is dead, and all of it read),
                  \* "adopts", "resumes" (until the new one is ready), "gone"
    holds,        \* the process whose words these are
    forsaken,     \* it is to end, so nobody is adopted any more
    kill,         \* on its way to the transport: whom the ladder is to end; or 0
    (* Between them. *)
    down,         \* what the service has written; Shutdown is no request
    up,           \* what was written to the service, and by whom
    survivor,     \* the word on the control page
    reports,      \* the zygote's, by the process that has ended
    (* The world's. *)
    processes,
    zygote,       \* it lives
    workers       \* its children that it knows, and has not reaped

asked == <<kind, within>>
outcomes == <<told, kept, pending, undone>>
service == <<asked, flights, transaction, outcomes, hand, holds, forsaken, kill>>
world == <<down, up, survivor, reports, processes, zygote, workers>>
vars == <<service, world>>

---------------------------------------------------------------------------
(* What is read from the state.                                            *)

With(f, x, value) == [y \in DOMAIN f \cup {x} |-> IF y = x THEN value ELSE f[y]]
Greatest(numbers) == CHOOSE n \in numbers : \A m \in numbers : m <= n
Least(numbers) == CHOOSE n \in numbers : \A m \in numbers : n <= m

Shutdown == 0
Nobody == [pid |-> 0, of |-> 0]

\* at: where it is. job: what it runs, or was made for. inbox: what it has read of the socket.
\* keeper: its own. parent: of a keeper. freed, go: what it was told.
Process ==
    [at |-> "idle", job |-> 0, memory |-> {}, inbox |-> <<>>, transaction |-> 0, keeper |-> 0,
     parent |-> 0, freed |-> FALSE, go |-> FALSE]
Dead == [Process EXCEPT !.at = "dead"]

OfKeepers == {"starts", "keeps", "stands"}
OfWorkers == {"idle", "forks", "waits", "answers", "runs", "commits", "frees", "reaps", "leaves",
              "closes", "ends"}
Lives(p) == p \in DOMAIN processes /\ processes[p].at # "dead"
Works(p) == p \in DOMAIN processes /\ processes[p].at \in OfWorkers
IsKeeper(p) == p \in DOMAIN processes /\ processes[p].at \in OfKeepers
IsReady(p) == IsKeeper(p) /\ processes[p].at # "starts"
Killed(ps) == [p \in DOMAIN processes |-> IF p \in ps THEN Dead ELSE processes[p]]

Frame(from, n, what) == [from |-> from, job |-> n, what |-> what]
Tells(p, what) == Append(up, Frame(p, processes[p].job, what))
Answers(p, what) == Append(up, Frame(p, Head(processes[p].inbox), what))

ToldTo(ns, outcome) ==
    [n \in DOMAIN told |-> IF n \in ns THEN Append(told[n], outcome) ELSE told[n]]
Flying == {flights[i].job : i \in DOMAIN flights}
First == IF flights = <<>> THEN 0 ELSE Head(flights).job
Unsent == {i \in DOMAIN flights : ~flights[i].sent}
Again(fs) == [i \in DOMAIN fs |-> [fs[i] EXCEPT !.sent = FALSE]]

\* What a keeper that takes over keeps of what was written for others.
Left(sequence) == <<>>
\* Who is to be spared by a sweep, though nobody has adopted it yet.
IsNamed(p) == survivor.pid = p
\* What was meant for a transaction that is no more is not for the state that goes on.
IsMeantFor(n, begun) == within[n] = begun
\* Whether a keeper hears that the service's end of the socket is closed.
HasHungUp == hand = "gone"

\* ---- conditions ----
\* The request for which the snapshot was made to which a death leads back.
Open == IF transaction # 0 THEN transaction ELSE First
IsOpen(report) == report.of = Open
IsAdopted(report) == report.pid # 0 /\ ~forsaken /\ IsOpen(report)

\* The transaction that is open for a client that has not heard yet of what it has asked.
Bounds == {i \in DOMAIN flights : kind[flights[i].job] \in {"begin", "commit", "rollback"}}
Begun ==
    IF Bounds = {} THEN transaction
    ELSE LET n == flights[Greatest(Bounds)].job
         IN  CASE kind[n] # "begin" -> 0
               [] within[n] # 0 -> within[n]
               [] OTHER -> n

\* What the client may rely on once it has heard that the request is kept.
KeptBy(n) ==
    CASE kind[n] = "commit" -> pending
      [] kind[n] = "begin" -> {}
      [] OTHER -> IF transaction = 0 THEN {n} ELSE {}
PendingAfter(n) ==
    CASE kind[n] \in {"begin", "commit"} -> {}
      [] OTHER -> IF transaction = 0 THEN {} ELSE pending \cup {n}
TransactionAfter(n) ==
    CASE kind[n] = "begin" -> n
      [] kind[n] = "commit" -> 0
      [] OTHER -> transaction

\* What is next for a process that is idle.
HasRequest(p) ==
    /\ processes[p].at = "idle"
    /\ processes[p].inbox # <<>>
    /\ Head(processes[p].inbox) # Shutdown
Requested(p) == Head(processes[p].inbox)
Fits(p) == IsMeantFor(Requested(p), processes[p].transaction)
Takes(p, kinds, inTransaction) ==
    /\ HasRequest(p)
    /\ kind[Requested(p)] \in kinds
    /\ (processes[p].transaction # 0) = inTransaction
    /\ Fits(p)

\* A child of the zygote by now, that came of this worker. One that is not ready is still in its
\* group, and dies with it.
Heir(p) ==
    IF IsReady(survivor.pid) /\ processes[survivor.pid].parent = p THEN {survivor.pid} ELSE {}
OrphansOf(p) == {q \in DOMAIN processes : processes[q].parent = p}
Orphans == {q \in DOMAIN processes : ~Lives(processes[q].parent) /\ q \notin workers}
\* ---- end of conditions ----

---------------------------------------------------------------------------
Init ==
    /\ kind = <<>>
    /\ within = <<>>
    /\ flights = <<>>
    /\ transaction = 0
    /\ told = <<>>
    /\ kept = {}
    /\ pending = {}
    /\ undone = {}
    /\ hand = "serves"
    /\ holds = 1
    /\ forsaken = FALSE
    /\ kill = 0
    /\ down = <<>>
    /\ up = <<>>
    /\ survivor = Nobody
    /\ reports = <<>>
    /\ processes = <<Process>>
    /\ zygote = TRUE
    /\ workers = {1}

\* ---- actions ----
(* The service: what it is asked for, and what it hears.                   *)

Ask(n, what) ==
    /\ ~forsaken
    /\ hand # "gone"
    /\ Len(flights) < HandedAtMost
    /\ n = Cardinality(DOMAIN kind) + 1
    /\ kind' = With(kind, n, what)
    /\ within' = With(within, n, Begun)
    /\ told' = With(told, n, <<>>)
    /\ flights' = Append(flights, [job |-> n, sent |-> FALSE])
    /\ UNCHANGED <<transaction, kept, pending, undone, hand, holds, forsaken, kill, world>>

\* To a process that is there to read it: not between a death and the word of the next one.
Send ==
    /\ hand = "serves"
    /\ Unsent # {}
    /\ down' = Append(down, flights[Least(Unsent)].job)
    /\ flights' = [flights EXCEPT ![Least(Unsent)].sent = TRUE]
    /\ UNCHANGED <<asked, transaction, outcomes, hand, holds, forsaken, kill>>
    /\ UNCHANGED <<up, survivor, reports, processes, zygote, workers>>

\* This is what commits.
TakeResult ==
    /\ up # <<>>
    /\ Head(up).what = "kept"
    /\ up' = Tail(up)
    /\ flights' = Tail(flights)
    /\ told' = ToldTo({Head(up).job}, "kept")
    /\ kept' = kept \cup KeptBy(Head(up).job)
    /\ pending' = PendingAfter(Head(up).job)
    /\ transaction' = TransactionAfter(Head(up).job)
    /\ UNCHANGED <<asked, undone, hand, holds, forsaken, kill>>
    /\ UNCHANGED <<down, survivor, reports, processes, zygote, workers>>

\* Nothing was done: no snapshot could be had, or it was asked for what there is not.
TakeFailure ==
    /\ up # <<>>
    /\ Head(up).what = "failed"
    /\ up' = Tail(up)
    /\ flights' = Tail(flights)
    /\ told' = ToldTo({Head(up).job}, "failed")
    /\ UNCHANGED <<asked, transaction, kept, pending, undone, hand, holds, forsaken, kill>>
    /\ UNCHANGED <<down, survivor, reports, processes, zygote, workers>>

\* The worker is about to go. Nobody is told before there is somebody to go on.
TakeFarewell ==
    /\ up # <<>>
    /\ Head(up).what = "rolled_back"
    /\ up' = Tail(up)
    /\ UNCHANGED <<service, down, survivor, reports, processes, zygote, workers>>

TakeReady ==
    /\ up # <<>>
    /\ Head(up).what = "ready"
    /\ up' = Tail(up)
    /\ hand' = "serves"
    /\ UNCHANGED <<asked, flights, transaction, outcomes, holds, forsaken, kill>>
    /\ UNCHANGED <<down, survivor, reports, processes, zygote, workers>>

(* The service: a death, and what comes of it.                             *)

\* All that it wrote is read first.
SeeDeath ==
    /\ hand \in {"serves", "adopts", "resumes"}
    /\ ~Lives(holds)
    /\ up = <<>>
    /\ hand' = "waits"
    /\ UNCHANGED <<asked, flights, transaction, outcomes, holds, forsaken, kill, world>>

\* The snapshot is that of what is open now, and of nothing that has been told as kept since.
Adopt ==
    /\ hand = "waits"
    /\ holds \in DOMAIN reports
    /\ IsAdopted(reports[holds])
    /\ hand' = "adopts"
    /\ holds' = reports[holds].pid
    /\ told' = ToldTo({First}, "rolled_back")
    /\ undone' = undone \cup pending \cup ({First} \ {0})
    /\ pending' = {}
    /\ transaction' = 0
    /\ flights' = IF flights = <<>> THEN flights ELSE Again(Tail(flights))
    /\ UNCHANGED <<asked, kept, forsaken, kill, world>>

SendGo ==
    /\ hand = "adopts"
    /\ hand' = "resumes"
    /\ processes' = IF Lives(holds) THEN [processes EXCEPT ![holds].go = TRUE] ELSE processes
    /\ UNCHANGED <<asked, flights, transaction, outcomes, holds, forsaken, kill>>
    /\ UNCHANGED <<down, up, survivor, reports, zygote, workers>>

\* Nobody has survived, or none that is of use.
Lose ==
    /\ hand = "waits"
    /\ holds \in DOMAIN reports
    /\ ~IsAdopted(reports[holds])
    /\ hand' = "gone"
    /\ told' = ToldTo(Flying, "lost")
    /\ flights' = <<>>
    /\ processes' = Killed({reports[holds].pid})
    /\ UNCHANGED <<asked, transaction, kept, pending, undone, holds, forsaken, kill>>
    /\ UNCHANGED <<down, up, survivor, reports, zygote, workers>>

\* The zygote says nothing. Its report may still come, to nobody.
GiveUp ==
    /\ hand = "waits"
    /\ holds \notin DOMAIN reports
    /\ hand' = "gone"
    /\ told' = ToldTo(Flying, "lost")
    /\ flights' = <<>>
    /\ UNCHANGED <<asked, transaction, kept, pending, undone, holds, forsaken, kill, world>>

(* The service: how it makes an end.                                       *)

\* The ladder's last rung. The session decides it, and the transport hears of it later.
DeadlinePassed(n) ==
    /\ n = First
    /\ kill = 0
    /\ kill' = n
    /\ UNCHANGED <<asked, flights, transaction, outcomes, hand, holds, forsaken, world>>

\* What has ended by now is killed no more, as the process may be another by now.
TakeKill ==
    /\ kill # 0
    /\ kill' = 0
    /\ processes' = IF kill = First THEN Killed({holds}) ELSE processes
    /\ UNCHANGED <<asked, flights, transaction, outcomes, hand, holds, forsaken>>
    /\ UNCHANGED <<down, up, survivor, reports, zygote, workers>>

Close ==
    /\ ~forsaken
    /\ forsaken' = TRUE
    /\ down' = IF hand = "serves" THEN Append(down, Shutdown) ELSE down
    /\ UNCHANGED <<asked, flights, transaction, outcomes, hand, holds, kill>>
    /\ UNCHANGED <<up, survivor, reports, processes, zygote, workers>>

\* A close at once; or the worker has broken a rule, and nothing of it is believed any more.
Forsake ==
    /\ ~forsaken
    /\ forsaken' = TRUE
    /\ processes' = Killed({holds})
    /\ UNCHANGED <<asked, flights, transaction, outcomes, hand, holds, kill>>
    /\ UNCHANGED <<down, up, survivor, reports, zygote, workers>>

CloseGracePassed ==
    /\ forsaken
    /\ Lives(holds)
    /\ processes' = Killed({holds})
    /\ UNCHANGED <<service, down, up, survivor, reports, zygote, workers>>
\* ---- end of actions ----

\* ---- the world ----
(* The worker.                                                             *)

\* As far ahead as it likes: code that reads input reads the same socket.
Receive(p) ==
    /\ Works(p)
    /\ down # <<>>
    /\ down' = Tail(down)
    /\ processes' = [processes EXCEPT ![p].inbox = Append(@, Head(down))]
    /\ UNCHANGED <<service, up, survivor, reports, zygote, workers>>

Run(p) ==
    /\ Takes(p, {"plain"}, FALSE) \/ Takes(p, {"plain", "guarded"}, TRUE)
    /\ processes' = [processes EXCEPT
                        ![p].at = "runs",
                        ![p].job = Head(processes[p].inbox),
                        ![p].memory = @ \cup {Head(processes[p].inbox)},
                        ![p].inbox = Tail(@)]
    /\ UNCHANGED <<service, down, up, survivor, reports, zygote, workers>>

BeginSnapshot(p) ==
    /\ Takes(p, {"guarded", "begin"}, FALSE)
    /\ processes' = [processes EXCEPT
                        ![p].at = "forks",
                        ![p].job = Head(processes[p].inbox),
                        ![p].inbox = Tail(@)]
    /\ UNCHANGED <<service, down, up, survivor, reports, zygote, workers>>

\* The new process has whatever the old one had, also what it has read and not yet done.
Fork(p) ==
    /\ processes[p].at = "forks"
    /\ LET k == Cardinality(DOMAIN processes) + 1
       IN  processes' = With([processes EXCEPT
                                 ![p].at = "waits",
                                 ![p].keeper = k],
                             k,
                             [processes[p] EXCEPT
                                 !.at = "starts",
                                 !.parent = p,
                                 !.go = FALSE])
    /\ UNCHANGED <<service, down, up, survivor, reports, zygote, workers>>

\* Only then does code run.
NameSurvivor(p) ==
    /\ processes[p].at = "waits"
    /\ processes[processes[p].keeper].at = "keeps"
    /\ survivor' = [pid |-> processes[p].keeper, of |-> processes[p].job]
    /\ processes' = IF kind[processes[p].job] = "begin"
                    THEN [processes EXCEPT ![p].at = "answers"]
                    ELSE [processes EXCEPT
                             ![p].at = "runs",
                             ![p].memory = @ \cup {processes[p].job}]
    /\ UNCHANGED <<service, down, up, reports, zygote, workers>>

\* Its keeper has died before it was ready. Nothing is run that could not be undone.
FindNoKeeper(p) ==
    /\ processes[p].at = "waits"
    /\ ~Lives(processes[p].keeper)
    /\ up' = Tells(p, "failed")
    /\ processes' = [processes EXCEPT
                        ![p].at = "idle",
                        ![p].job = 0,
                        ![p].keeper = 0]
    /\ UNCHANGED <<service, down, survivor, reports, zygote, workers>>

AnswerBegin(p) ==
    /\ processes[p].at = "answers"
    /\ up' = Tells(p, "kept")
    /\ processes' = [processes EXCEPT
                        ![p].at = "idle",
                        ![p].job = 0,
                        ![p].transaction = processes[p].job]
    /\ UNCHANGED <<service, down, survivor, reports, zygote, workers>>

\* With a result, or an error that is to be kept.
Finish(p) ==
    /\ processes[p].at = "runs"
    /\ up' = Tells(p, "kept")
    /\ processes' = [processes EXCEPT
                        ![p].at = IF processes[p].keeper # 0 /\ processes[p].transaction = 0
                                  THEN "commits" ELSE "idle",
                        ![p].job = 0]
    /\ UNCHANGED <<service, down, survivor, reports, zygote, workers>>

\* With an error that is to be undone, or always.
FinishUndone(p) ==
    /\ processes[p].at = "runs"
    /\ processes[p].keeper # 0
    /\ processes[p].transaction = 0
    /\ up' = Tells(p, "rolled_back")
    /\ processes' = [processes EXCEPT ![p].at = "leaves"]
    /\ UNCHANGED <<service, down, survivor, reports, zygote, workers>>

Commit(p) ==
    /\ Takes(p, {"commit"}, TRUE)
    /\ up' = Answers(p, "kept")
    /\ processes' = [processes EXCEPT
                        ![p].at = "commits",
                        ![p].transaction = 0,
                        ![p].inbox = Tail(@)]
    /\ UNCHANGED <<service, down, survivor, reports, zygote, workers>>

RollBack(p) ==
    /\ Takes(p, {"rollback"}, TRUE)
    /\ up' = Answers(p, "rolled_back")
    /\ processes' = [processes EXCEPT
                        ![p].at = "leaves",
                        ![p].inbox = Tail(@)]
    /\ UNCHANGED <<service, down, survivor, reports, zygote, workers>>

\* A transaction in a transaction, the end of none, or what was meant for one that has ended.
RefuseRequest(p) ==
    /\ HasRequest(p)
    /\ \/ ~Fits(p)
       \/ Takes(p, {"begin"}, TRUE)
       \/ Takes(p, {"commit", "rollback"}, FALSE)
    /\ up' = Answers(p, "failed")
    /\ processes' = [processes EXCEPT ![p].inbox = Tail(@)]
    /\ UNCHANGED <<service, down, survivor, reports, zygote, workers>>

\* The message was sent before.
ClearSurvivor(p) ==
    /\ processes[p].at = "commits"
    /\ survivor' = Nobody
    /\ processes' = [processes EXCEPT ![p].at = "frees"]
    /\ UNCHANGED <<service, down, up, reports, zygote, workers>>

FreeKeeper(p) ==
    /\ processes[p].at = "frees"
    /\ processes' = IF Lives(processes[p].keeper)
                    THEN [processes EXCEPT
                             ![p].at = "reaps",
                             ![processes[p].keeper].freed = TRUE]
                    ELSE [processes EXCEPT ![p].at = "reaps"]
    /\ UNCHANGED <<service, down, up, survivor, reports, zygote, workers>>

ReapKeeper(p) ==
    /\ processes[p].at = "reaps"
    /\ ~Lives(processes[p].keeper)
    /\ processes' = [processes EXCEPT
                        ![p].at = "idle",
                        ![p].keeper = 0]
    /\ UNCHANGED <<service, down, up, survivor, reports, zygote, workers>>

Leave(p) ==
    /\ processes[p].at = "leaves"
    /\ processes' = Killed({p})
    /\ UNCHANGED <<service, down, up, survivor, reports, zygote, workers>>

ShutDown(p) ==
    /\ processes[p].at = "idle"
    /\ processes[p].inbox # <<>>
    /\ Head(processes[p].inbox) = Shutdown
    /\ survivor' = Nobody
    /\ processes' = [processes EXCEPT ![p].at = "ends"]
    /\ UNCHANGED <<service, down, up, reports, zygote, workers>>

\* First its keeper, then itself.
EndItself(p) ==
    /\ processes[p].at = "ends"
    /\ processes' = Killed({p, processes[p].keeper})
    /\ UNCHANGED <<service, down, up, survivor, reports, zygote, workers>>

(* The keeper.                                                             *)

BecomeReady(k) ==
    /\ processes[k].at = "starts"
    /\ processes' = [processes EXCEPT ![k].at = "keeps"]
    /\ UNCHANGED <<service, down, up, survivor, reports, zygote, workers>>

ObeyItsWorker(k) ==
    /\ k \in DOMAIN processes
    /\ processes[k].at = "keeps"
    /\ processes[k].freed
    /\ processes' = Killed({k})
    /\ UNCHANGED <<service, down, up, survivor, reports, zygote, workers>>

\* The end of the pipe. What it means is on the page.
SeeItsWorkersEnd(k) ==
    /\ k \in DOMAIN processes
    /\ processes[k].at \in {"starts", "keeps"}
    /\ ~Lives(processes[k].parent)
    /\ processes' = IF survivor.pid = k
                    THEN [processes EXCEPT ![k].at = "stands"]
                    ELSE Killed({k})
    /\ UNCHANGED <<service, down, up, survivor, reports, zygote, workers>>

\* Nobody is there any more for whom to take over.
SeeHangUp(k) ==
    /\ IsKeeper(k)
    /\ HasHungUp
    /\ processes' = Killed({k})
    /\ UNCHANGED <<service, down, up, survivor, reports, zygote, workers>>

\* With the state as it was; but not with what was read, or is still there to be read.
TakeOver(k) ==
    /\ processes[k].at = "stands"
    /\ processes[k].go
    /\ zygote
    /\ down' = Left(down)
    /\ up' = Append(up, Frame(k, 0, "ready"))
    /\ processes' = [processes EXCEPT
                        ![k].at = "idle",
                        ![k].job = 0,
                        ![k].inbox = Left(@)]
    /\ UNCHANGED <<service, survivor, reports, zygote, workers>>

\* It cannot be tied to a parent that has gone.
FindNoZygote(k) ==
    /\ k \in DOMAIN processes
    /\ processes[k].at = "stands"
    /\ processes[k].go
    /\ ~zygote
    /\ processes' = Killed({k})
    /\ UNCHANGED <<service, down, up, survivor, reports, zygote, workers>>

(* The zygote.                                                             *)

\* It kills the group, in which no keeper is, and all that the dead has left but its heir.
ReapWorker(p) ==
    /\ zygote
    /\ p \in workers
    /\ ~Lives(p)
    /\ workers' = (workers \ {p}) \cup Heir(p)
    /\ reports' = With(reports, p, IF Heir(p) = {} THEN Nobody ELSE survivor)
    /\ processes' = Killed(OrphansOf(p) \ Heir(p))
    /\ UNCHANGED <<service, down, up, survivor, zygote>>

\* Another worker of it has died. What that has left is not told from what ours has.
SweepOrphans ==
    /\ zygote
    /\ processes' = Killed({q \in Orphans : ~IsNamed(q)})
    /\ UNCHANGED <<service, down, up, survivor, reports, zygote, workers>>

(* What may befall them.                                                   *)

\* At any moment.
Die(p) ==
    /\ Works(p)
    /\ processes' = Killed({p})
    /\ UNCHANGED <<service, down, up, survivor, reports, zygote, workers>>

\* While its code runs, which is what a snapshot is for.
Crash(p) ==
    /\ processes[p].at = "runs"
    /\ processes[p].keeper # 0
    /\ processes' = Killed({p})
    /\ UNCHANGED <<service, down, up, survivor, reports, zygote, workers>>

KeeperDies(k) ==
    /\ IsKeeper(k)
    /\ processes' = Killed({k})
    /\ UNCHANGED <<service, down, up, survivor, reports, zygote, workers>>

\* Its workers are tied to it: one that has been a keeper since it took over.
ZygoteDies ==
    /\ zygote
    /\ zygote' = FALSE
    /\ workers' = {}
    /\ processes' = Killed({p \in workers : Works(p)})
    /\ UNCHANGED <<service, down, up, survivor, reports>>
\* ---- end of the world ----

---------------------------------------------------------------------------
Happenings ==
    {"die", "crash", "keeper", "zygote", "sibling", "impatience", "ladder", "close", "kill"}
Pids == DOMAIN processes

\* Everybody has been told of everything, and what is left waits for more, or is nobody.
Rest ==
    /\ \A n \in DOMAIN kind : told[n] # <<>>
    /\ hand = "serves" \/ (hand = "gone" /\ \A p \in Pids : ~Lives(p))
    /\ UNCHANGED vars

Reads == TakeResult \/ TakeFailure \/ TakeFarewell \/ TakeReady
Decides == Adopt \/ Lose
GivesUp == ("impatience" \in May \/ ~zygote) /\ GiveUp
DeadlinePasses == "ladder" \in May /\ \E n \in DOMAIN kind : DeadlinePassed(n)
WorkerActs(p) ==
    \/ Receive(p) \/ Run(p) \/ BeginSnapshot(p) \/ Fork(p) \/ NameSurvivor(p) \/ FindNoKeeper(p)
    \/ AnswerBegin(p) \/ Finish(p) \/ FinishUndone(p) \/ Leave(p)
    \/ Commit(p) \/ RollBack(p) \/ RefuseRequest(p)
    \/ ClearSurvivor(p) \/ FreeKeeper(p) \/ ReapKeeper(p) \/ ShutDown(p) \/ EndItself(p)
KeeperEnds(k) == ObeyItsWorker(k) \/ SeeItsWorkersEnd(k) \/ SeeHangUp(k) \/ FindNoZygote(k)

Next ==
    \/ \E n \in Numbers, what \in Kinds : Ask(n, what)
    \/ Send \/ Reads \/ SeeDeath \/ Decides \/ SendGo \/ GivesUp
    \/ DeadlinePasses \/ TakeKill \/ CloseGracePassed
    \/ "close" \in May /\ Close
    \/ "kill" \in May /\ Forsake
    \/ \E p \in Pids :
          \/ WorkerActs(p)
          \/ BecomeReady(p) \/ KeeperEnds(p) \/ TakeOver(p)
          \/ ReapWorker(p)
          \/ "die" \in May /\ Die(p)
          \/ "crash" \in May /\ Crash(p)
          \/ "keeper" \in May /\ KeeperDies(p)
    \/ "sibling" \in May /\ SweepOrphans
    \/ "zygote" \in May /\ ZygoteDies
    \/ Rest

(* Fairness: the weakest that does it. The client need not ask, nor close;  *)
(* the worker need do nothing at all, not even go when it has said that it  *)
(* does; and a keeper that was told to take over need not.                  *)
Fairness ==
    \* The transport reads what there is to read.
    /\ WF_vars(Reads)
    \* The end of a process is told by its pidfd, whatever it did.
    /\ WF_vars(SeeDeath)
    \* What is reported is decided on at once ...
    /\ WF_vars(Decides)
    \* ... and a report is waited for with a bound.
    /\ WF_vars(GivesUp)
    \* Every request has a deadline, whatever it waits for; what has none is Session.tla's.
    /\ WF_vars(DeadlinePasses)
    \* The transport takes commands, and waits for nothing else; SIGKILL ends every process.
    /\ WF_vars(TakeKill)
    \* The grace of a close is bounded.
    /\ WF_vars(CloseGracePassed)
    \* A keeper waits for nothing but these: it runs nobody's code.
    /\ \A k \in 1 .. Cardinality(Numbers) + 1 : WF_vars(KeeperEnds(k))
    \* The zygote reaps at once.
    /\ \A p \in 1 .. Cardinality(Numbers) + 1 : WF_vars(ReapWorker(p))

Spec == Init /\ [][Next]_vars /\ Fairness

---------------------------------------------------------------------------
(* What always holds.                                                      *)

TypesAreRight ==
    /\ DOMAIN told = DOMAIN kind
    /\ DOMAIN within = DOMAIN kind
    /\ hand \in {"serves", "waits", "adopts", "resumes", "gone"}
    /\ \A p \in Pids :
          /\ processes[p].at \in OfWorkers \cup OfKeepers \cup {"dead"}
          /\ processes[p].go => ~IsKeeper(p) \/ hand \in {"resumes", "waits", "gone"}
    /\ \A n \in DOMAIN told : \A i \in DOMAIN told[n] :
          told[n][i] \in {"kept", "failed", "rolled_back", "lost"}
    /\ hand = "gone" => flights = <<>> /\ ~Lives(holds)
    /\ kill \in {0} \cup DOMAIN kind
    /\ transaction \in {0} \cup DOMAIN kind
    /\ Len(flights) <= HandedAtMost

\* What was handed down, and a shutdown.
BuffersAreBounded ==
    /\ Len(down) <= HandedAtMost + 1
    /\ Len(up) <= HandedAtMost
    /\ \A p \in Pids : Len(processes[p].inbox) <= HandedAtMost + 1

GoesOn == hand # "gone" /\ Lives(holds)

\* What is read is of the process that is held, ...
OneSpeaks == \A i \in DOMAIN up : up[i].from = holds
\* ... which says nothing before it was told to.
NothingIsSaidBeforeGo == hand \in {"waits", "adopts", "gone"} => up = <<>>
OneWorks == Cardinality({p \in Pids : Works(p)}) <= 1

ARequestEndsOnce == \A n \in DOMAIN told : Len(told[n]) <= 1

\* With ARequestEndsOnce: for good.
WhatWasToldAsKeptIsThere == GoesOn => kept \cup pending \subseteq processes[holds].memory
WhatWasUndoneIsSeenNoMore == GoesOn => undone \cap processes[holds].memory = {}
NothingIsKeptAndUndone == kept \cap undone = {} /\ pending \cap (kept \cup undone) = {}
WhatWasToldAsUndoneIsUndone ==
    \A n \in DOMAIN told : told[n] = <<"rolled_back">> => n \in undone
IsCommitted(begun) ==
    \E n \in DOMAIN kind : kind[n] = "commit" /\ within[n] = begun /\ told[n] = <<"kept">>

\* An execution whose client has heard that it is kept is there, or will be, or its client can know.
NothingIsForgotten ==
    \A n \in DOMAIN kind : kind[n] \in {"plain", "guarded"} /\ told[n] = <<"kept">> =>
        IF within[n] = 0 \/ IsCommitted(within[n]) THEN n \in kept ELSE n \in pending \cup undone

\* Of a transaction all is kept, or nothing.
ATransactionIsKeptWhole == \A n \in kept : within[n] # 0 => IsCommitted(within[n])
OnlyATransactionIsPending == transaction = 0 => pending = {}

\* It speaks of what runs, and of nothing else.
AnHonestWorkerIsBelieved ==
    up # <<>> =>
        IF Head(up).what = "ready" THEN hand = "resumes" ELSE Head(up).job = First

\* Whoever is idle, with nothing to be led back to, has no keeper.
ASnapshotIsLetGo ==
    \A p \in Pids : processes[p].at = "idle" /\ processes[p].transaction = 0 =>
        /\ processes[p].keeper = 0
        /\ OrphansOf(p) = {}
        /\ ~IsKeeper(survivor.pid)

\* Code that can be rolled back begins once it can be; so does a transaction.
NothingRunsWithoutItsSnapshot ==
    \A p \in Pids :
        /\ processes[p].at = "runs" /\ kind[processes[p].job] = "guarded" => processes[p].keeper # 0
        /\ processes[p].transaction # 0 => processes[p].keeper # 0
        /\ Works(p) /\ processes[p].keeper # 0 /\ processes[p].at \in {"runs", "answers"}
               => survivor.pid = processes[p].keeper

\* While code runs that has a snapshot, only the death of a keeper, or of the zygote, is a loss.
NoSessionIsLostForNothing ==
    May \subseteq {"crash", "sibling"} => hand # "gone"

\* Where nothing happens that should not, only what makes no sense fails, and nothing is undone
\* but by those who wanted it.
NothingFailsWithoutReason ==
    May \subseteq {"sibling"} =>
        \A n \in DOMAIN told : told[n] = <<"failed">> =>
            CASE kind[n] = "begin" -> within[n] # 0
              [] kind[n] \in {"commit", "rollback"} -> within[n] = 0
              [] OTHER -> FALSE

---------------------------------------------------------------------------
(* What every step keeps to.                                               *)

\* Not in the state that goes on, whoever has read it.
WhatHasEndedDoesNotRun ==
    [][\A p \in Pids : \A n \in processes'[p].memory \ processes[p].memory : told[n] = <<>>]_vars

\* A kill that comes late ends what it was meant for, or nobody.
AKillStrikesNoOtherRequest ==
    [][kill # 0 /\ kill' = 0 /\ kill # First => processes' = processes]_vars

\* It is a child of the zygote by then, and lives; what befalls it later its own end tells.
AReportNamesALivingHeir ==
    [][\A p \in DOMAIN reports' \ DOMAIN reports :
          LET k == reports'[p].pid
          IN  k # 0 => IsKeeper(k) /\ processes[k].parent = p /\ k \in workers']_vars

NothingIsAcceptedInVain ==
    [][DOMAIN kind' # DOMAIN kind => ~forsaken /\ hand # "gone"]_vars

TheDeadStayDead ==
    [][\A p \in Pids : ~Lives(p) => processes'[p] = processes[p]]_vars

WhatIsToldStands ==
    [][/\ kept \subseteq kept'
       /\ undone \subseteq undone'
       /\ \A n \in DOMAIN told : told[n] # <<>> => told'[n] = told[n]]_vars

NobodyIsAdoptedForAnEnd == [][forsaken => holds' = holds]_vars

ASessionEndsOnce == [][hand = "gone" => hand' = "gone" /\ holds' = holds]_vars

---------------------------------------------------------------------------
(* What happens in the end.                                                *)

AnAcceptedRequestEnds ==
    \A n \in Numbers : n \in DOMAIN kind ~> n \in DOMAIN told /\ told[n] # <<>>
ASessionThatClosesEnds == forsaken ~> hand = "gone"
NothingOutlivesItsSession == hand = "gone" ~> [](\A p \in Pids : ~Lives(p))
ASurvivorIsHeldOrEnds ==
    \A p \in 1 .. Cardinality(Numbers) + 1 :
        (p \in DOMAIN reports /\ reports[p].pid # 0)
            ~> (p \in DOMAIN reports /\ (holds = reports[p].pid \/ ~Lives(reports[p].pid)))
=============================================================================
