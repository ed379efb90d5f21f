------------------------------ MODULE Snapshot ------------------------------
(* One session whose state can be rolled back: the process that runs code   *)
(* forks a keeper, which holds the state as it was, and takes over when its *)
(* parent dies. The model of who speaks for the session, of what is told to *)
(* have been kept or undone, and of what is left when it has ended.         *)
(*                                                                          *)
(* Four parties. The worker runs code, and dies at any moment. The keeper   *)
(* waits for the service's leave. The zygote reaps, adopts and reports. The *)
(* service (the session and its transport, as one) reads one socket, and    *)
(* decides. They share that socket, and two words of the control page: the  *)
(* keeper that is to survive, and the last request that was begun.          *)
(*                                                                          *)
(* The message is what commits: whoever was told that an execution is kept  *)
(* finds it kept for as long as the session goes on, so a keeper that is    *)
(* older than what was told is of no use. That is why the service looks for *)
(* what was begun: a worker that dies between its message and the next      *)
(* change of the page would else be followed by a keeper of the past, under *)
(* the next request that has one.                                           *)
(*                                                                          *)
(* What was begun has ended with its process. Of the rest nobody knows what *)
(* the dead had read of it. So the service sends all of that again, behind  *)
(* a mark, and a keeper that takes over throws away what is before the mark *)
(* in the socket, and what it has read itself.                              *)
(*                                                                          *)
(* An execution says which transaction it was asked in, as it may have been *)
(* asked before anybody knew that this one has been rolled back. One that   *)
(* was asked while none was known, or behind the end of one, runs in        *)
(* whichever there is.                                                      *)
(*                                                                          *)
(* State is a set: the executions whose effects a process holds.            *)
(*                                                                          *)
(* Left out: clocks, output (a message is there whole or not at all: what a *)
(* death cuts off is dropped, as in Session.tla), code that lies, mailboxes *)
(* (but for a kill on its way), the death of the service (the zygote's end  *)
(* is that of all, and keepers hear of it as of any other end), snapshots   *)
(* that are kept for later.                                                 *)
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
    within,       \* the transaction that each was asked in; 0 for none
    flights,      \* requests at the transport: the first of them runs
    transaction,  \* the request that began the one that is open; 0 for none
    committed,    \* those that were
    told,         \* the terminal events of each request
    kept,         \* executions that the client was told are there to stay
    pending,      \* ... that stay if their transaction does
    undone,       \* ... that it was told are as if they had never been
    hand,         \* "serves", "waits" (its process is dead, and all of it read),
                  \* "adopts" (another one, which has no leave to speak yet), "gone"
    holds,        \* the process whose words these are
    deaf,         \* to whatever else it says
    forsaken,     \* it is to end, so nobody is adopted any more
    kill,         \* on its way to the transport: whom the ladder is to end, ForGood; or 0
    (* Between them. *)
    down,         \* what the service has written; Shutdown and Mark are no requests
    up,           \* what was written to the service, and by whom
    survivor,     \* who is to take over, on the control page; 0 for nobody
    begun,        \* the last request that was begun, on the control page
    reports,      \* the zygote's: who has survived the process that has ended; or 0
    (* The world's. *)
    processes,
    zygote,       \* it lives
    workers       \* its children that it knows, and has not reaped

asked == <<kind, within>>
outcomes == <<committed, told, kept, pending, undone>>
holding == <<hand, holds, deaf, forsaken, kill>>
service == <<asked, flights, transaction, outcomes, holding>>
page == <<survivor, begun>>
world == <<down, up, page, reports, processes, zygote, workers>>
vars == <<service, world>>

---------------------------------------------------------------------------
(* What is read from the state.                                            *)

With(f, x, value) == [y \in DOMAIN f \cup {x} |-> IF y = x THEN value ELSE f[y]]
Greatest(numbers) == CHOOSE n \in numbers : \A m \in numbers : m <= n
Least(numbers) == CHOOSE n \in numbers : \A m \in numbers : n <= m

Shutdown == 0
ForGood == Cardinality(Numbers) + 1
Mark == Cardinality(Numbers) + 2

\* at: where it is. job: what it runs, or was made for. inbox: what it has read of the socket.
\* keeper: its own. parent: of a keeper. leave: whether it may speak.
Process ==
    [at |-> "idle", job |-> 0, memory |-> {}, inbox |-> <<>>, transaction |-> 0, keeper |-> 0,
     parent |-> 0, leave |-> FALSE]
Dead == [Process EXCEPT !.at = "dead"]

OfKeepers == {"starts", "keeps"}
OfWorkers == {"idle", "begins", "forks", "waits", "answers", "runs", "commits", "frees", "leaves",
              "ends"}
Lives(p) == p \in DOMAIN processes /\ processes[p].at # "dead"
Works(p) == p \in DOMAIN processes /\ processes[p].at \in OfWorkers
IsKeeper(p) == p \in DOMAIN processes /\ processes[p].at \in OfKeepers
IsReady(p) == p \in DOMAIN processes /\ processes[p].at = "keeps"
IsAlone(p) == IsKeeper(p) /\ ~Lives(processes[p].parent)
Killed(ps) == [p \in DOMAIN processes |-> IF p \in ps THEN Dead ELSE processes[p]]

Frame(from, n, what) == [from |-> from, job |-> n, what |-> what]
Tells(p, what) == Append(up, Frame(p, processes[p].job, what))

Members(sequence) == {sequence[i] : i \in DOMAIN sequence}
ToldTo(ns, outcome) ==
    [n \in DOMAIN told |-> IF n \in ns THEN Append(told[n], outcome) ELSE told[n]]
First == IF flights = <<>> THEN 0 ELSE Head(flights)
\* The ends of transactions that were asked for. What is behind one is meant for the state after it.
EndsAsked == {n \in DOMAIN kind : kind[n] \in {"commit", "rollback"}}
IsExecution(n) == kind[n] \in {"plain", "guarded"}

\* What was begun has ended with its process, also what it had ended unheard.
Ends == {n \in Members(flights) : n <= begun}
Left(sequence) == SelectSeq(sequence, LAMBDA n : n > begun)

\* What a keeper that takes over has of what it had read, ...
OfItsOwn(sequence) == <<>>
\* ... and of what is there to be read.
Marks(sequence) == {i \in DOMAIN sequence : sequence[i] = Mark}
Behind(sequence) == SubSeq(sequence, Greatest(Marks(sequence)) + 1, Len(sequence))
\* What is sent again.
Again(sequence) == sequence
\* Who is to be spared by a sweep, though nobody has adopted it yet.
IsNamed(p) == survivor = p
\* What was asked in a transaction that is no more is not for the state that goes on.
IsMeantFor(n, open) == within[n] \in {0, open}
\* Whether a survivor is ended that was reported when nobody waited for it any more.
IsEndedLate(p) == hand = "gone"

\* ---- conditions ----
\* Whether a snapshot was asked for that nobody has been told to be past. One that was taken for
\* what is behind an end which was not heard is another one.
MaySurvive ==
    IF transaction # 0
    THEN \A n \in Members(flights) : kind[n] = "commit" => n >= begun
    ELSE First = begun /\ kind[First] = "guarded"
IsAdopted(p) == p # 0 /\ ~forsaken /\ MaySurvive

\* Whether a kill of what runs is one of it alone.
IsOutlived(n) == kind[n] = "guarded" \/ transaction # 0

\* What the client may rely on once it has heard that the request is kept.
KeptBy(n) ==
    CASE kind[n] = "commit" -> pending
      [] kind[n] = "begin" -> {}
      [] OTHER -> IF transaction = 0 THEN {n} ELSE {}
CommittedBy(n) == IF kind[n] = "commit" THEN {transaction} ELSE {}
PendingAfter(n) ==
    CASE kind[n] \in {"begin", "commit"} -> {}
      [] OTHER -> IF transaction = 0 THEN {} ELSE pending \cup {n}
TransactionAfter(n) ==
    CASE kind[n] = "begin" -> n
      [] kind[n] = "commit" -> 0
      [] OTHER -> transaction

\* What is to be done about what was begun.
Fits(p) == IsExecution(processes[p].job) => IsMeantFor(processes[p].job, processes[p].transaction)
Begins(p, kinds, inTransaction) ==
    /\ processes[p].at = "begins"
    /\ kind[processes[p].job] \in kinds
    /\ (processes[p].transaction # 0) = inTransaction
    /\ Fits(p)

\* A child of the zygote by now, that came of this worker. One that is not ready is still in its
\* group, and dies with it.
Heir(p) == IF IsReady(survivor) /\ processes[survivor].parent = p THEN {survivor} ELSE {}
OrphansOf(p) == {q \in DOMAIN processes : processes[q].parent = p}
Orphans == {q \in DOMAIN processes : ~Lives(processes[q].parent) /\ q \notin workers}
\* ---- end of conditions ----

---------------------------------------------------------------------------
Init ==
    /\ kind = <<>>
    /\ within = <<>>
    /\ flights = <<>>
    /\ transaction = 0
    /\ committed = {}
    /\ told = <<>>
    /\ kept = {}
    /\ pending = {}
    /\ undone = {}
    /\ hand = "serves"
    /\ holds = 1
    /\ deaf = FALSE
    /\ forsaken = FALSE
    /\ kill = 0
    /\ down = <<>>
    /\ up = <<>>
    /\ survivor = 0
    /\ begun = 0
    /\ reports = <<>>
    /\ processes = <<Process>>
    /\ zygote = TRUE
    /\ workers = {1}

\* ---- actions ----
(* The service: what it is asked for, and what it hears.                   *)

\* It is written at once, also to the dead: their successor gets it again.
Ask(n, what) ==
    /\ ~forsaken
    /\ hand # "gone"
    /\ Len(flights) < HandedAtMost
    /\ n = Cardinality(DOMAIN kind) + 1
    /\ kind' = With(kind, n, what)
    /\ within' = With(within, n, IF Members(flights) \cap EndsAsked # {} THEN 0 ELSE transaction)
    /\ told' = With(told, n, <<>>)
    /\ flights' = Append(flights, n)
    /\ down' = Append(down, n)
    /\ UNCHANGED <<transaction, committed, kept, pending, undone, holding>>
    /\ UNCHANGED <<up, page, reports, processes, zygote, workers>>

\* This is what commits.
TakeResult ==
    /\ up # <<>>
    /\ ~deaf
    /\ Head(up).what = "kept"
    /\ up' = Tail(up)
    /\ flights' = Tail(flights)
    /\ told' = ToldTo({Head(up).job}, "kept")
    /\ kept' = kept \cup KeptBy(Head(up).job)
    /\ pending' = PendingAfter(Head(up).job)
    /\ transaction' = TransactionAfter(Head(up).job)
    /\ committed' = committed \cup CommittedBy(Head(up).job)
    /\ UNCHANGED <<asked, undone, holding>>
    /\ UNCHANGED <<down, page, reports, processes, zygote, workers>>

\* Nothing was done: no snapshot could be had, or it was asked for what there is not.
TakeFailure ==
    /\ up # <<>>
    /\ ~deaf
    /\ Head(up).what = "failed"
    /\ up' = Tail(up)
    /\ flights' = Tail(flights)
    /\ told' = ToldTo({Head(up).job}, "failed")
    /\ UNCHANGED <<asked, transaction, committed, kept, pending, undone, holding>>
    /\ UNCHANGED <<down, page, reports, processes, zygote, workers>>

\* The last word. Nobody is told before there is somebody to go on.
TakeFarewell ==
    /\ up # <<>>
    /\ ~deaf
    /\ Head(up).what = "rolled_back"
    /\ up' = Tail(up)
    /\ deaf' = TRUE
    /\ processes' = Killed({holds})
    /\ UNCHANGED <<asked, flights, transaction, outcomes, hand, holds, forsaken, kill>>
    /\ UNCHANGED <<down, page, reports, zygote, workers>>

\* What is to be undone is not told as done any more.
Ignore ==
    /\ up # <<>>
    /\ deaf
    /\ up' = Tail(up)
    /\ UNCHANGED <<service, down, page, reports, processes, zygote, workers>>

(* The service: a death, and what comes of it.                             *)

\* All that it wrote is read first.
SeeDeath ==
    /\ hand = "serves"
    /\ ~Lives(holds)
    /\ up = <<>>
    /\ hand' = "waits"
    /\ UNCHANGED <<asked, flights, transaction, outcomes, holds, deaf, forsaken, kill, world>>

\* The snapshot is that of what is open now, and of nothing that has been told as kept since.
Adopt ==
    /\ hand = "waits"
    /\ holds \in DOMAIN reports
    /\ IsAdopted(reports[holds])
    /\ hand' = "adopts"
    /\ holds' = reports[holds]
    /\ deaf' = FALSE
    /\ told' = ToldTo(Ends, "rolled_back")
    /\ undone' = undone \cup pending \cup Ends
    /\ pending' = {}
    /\ transaction' = 0
    /\ flights' = Left(flights)
    /\ UNCHANGED <<asked, committed, kept, forsaken, kill, world>>

\* With all that it is to do, behind a mark.
LetSpeak ==
    /\ hand = "adopts"
    /\ hand' = "serves"
    /\ down' = down \o <<Mark>> \o Again(flights) \o IF forsaken THEN <<Shutdown>> ELSE <<>>
    /\ processes' = IF Lives(holds) THEN [processes EXCEPT ![holds].leave = TRUE] ELSE processes
    /\ UNCHANGED <<asked, flights, transaction, outcomes, holds, deaf, forsaken, kill>>
    /\ UNCHANGED <<up, page, reports, zygote, workers>>

\* Nobody has survived, or none that is of use.
Lose ==
    /\ hand = "waits"
    /\ holds \in DOMAIN reports
    /\ ~IsAdopted(reports[holds])
    /\ hand' = "gone"
    /\ told' = ToldTo(Members(flights), "lost")
    /\ flights' = <<>>
    /\ processes' = Killed({reports[holds]})
    /\ UNCHANGED <<asked, transaction, committed, kept, pending, undone>>
    /\ UNCHANGED <<holds, deaf, forsaken, kill>>
    /\ UNCHANGED <<down, up, page, reports, zygote, workers>>

\* The zygote says nothing. Its report may still come, ...
GiveUp ==
    /\ hand = "waits"
    /\ holds \notin DOMAIN reports
    /\ hand' = "gone"
    /\ told' = ToldTo(Members(flights), "lost")
    /\ flights' = <<>>
    /\ UNCHANGED <<asked, transaction, committed, kept, pending, undone>>
    /\ UNCHANGED <<holds, deaf, forsaken, kill>>
    /\ UNCHANGED world

\* ... to whoever waits until nothing is left of the session.
EndLateSurvivor(p) ==
    /\ p \in DOMAIN reports
    /\ IsEndedLate(p)
    /\ Lives(reports[p])
    /\ processes' = Killed({reports[p]})
    /\ UNCHANGED <<service, down, up, page, reports, zygote, workers>>

(* The service: how it makes an end.                                       *)

\* The ladder's last rung. The session decides it, and the transport hears of it later.
DeadlinePassed(n) ==
    /\ n = First
    /\ kill = 0
    /\ kill' = IF IsOutlived(n) THEN n ELSE ForGood
    /\ forsaken' = (forsaken \/ ~IsOutlived(n))
    /\ UNCHANGED <<asked, flights, transaction, outcomes, hand, holds, deaf, world>>

\* What has ended by now is killed no more, as the process may be another by now. What is killed
\* alone is to be undone, and not told as done any more.
TakeKill ==
    /\ kill # 0
    /\ kill' = 0
    /\ deaf' = (deaf \/ kill = First)
    /\ processes' = IF kill \in {First, ForGood} THEN Killed({holds}) ELSE processes
    /\ UNCHANGED <<asked, flights, transaction, outcomes, hand, holds, forsaken>>
    /\ UNCHANGED <<down, up, page, reports, zygote, workers>>

Close ==
    /\ ~forsaken
    /\ forsaken' = TRUE
    /\ down' = Append(down, Shutdown)
    /\ UNCHANGED <<asked, flights, transaction, outcomes, hand, holds, deaf, kill>>
    /\ UNCHANGED <<up, page, reports, processes, zygote, workers>>

\* A close at once. (Who breaks a rule is killed, and not listened to any more: that is a death.)
Forsake ==
    /\ ~forsaken
    /\ forsaken' = TRUE
    /\ processes' = Killed({holds})
    /\ UNCHANGED <<asked, flights, transaction, outcomes, hand, holds, deaf, kill>>
    /\ UNCHANGED <<down, up, page, reports, zygote, workers>>

CloseGracePassed ==
    /\ forsaken
    /\ Lives(holds)
    /\ processes' = Killed({holds})
    /\ UNCHANGED <<service, down, up, page, reports, zygote, workers>>
\* ---- end of actions ----

\* ---- the world ----
(* The worker.                                                             *)

\* As far ahead as it likes: code that reads input reads the same socket.
Receive(p) ==
    /\ Works(p)
    /\ down # <<>>
    /\ down' = Tail(down)
    /\ processes' = [processes EXCEPT ![p].inbox = Append(@, Head(down))]
    /\ UNCHANGED <<service, up, page, reports, zygote, workers>>

\* From here on it is this process's, whatever becomes of it.
Begin(p) ==
    /\ processes[p].at = "idle"
    /\ processes[p].inbox # <<>>
    /\ Head(processes[p].inbox) # Shutdown
    /\ begun' = Head(processes[p].inbox)
    /\ processes' = [processes EXCEPT
                        ![p].at = "begins",
                        ![p].job = Head(processes[p].inbox),
                        ![p].inbox = Tail(@)]
    /\ UNCHANGED <<service, down, up, survivor, reports, zygote, workers>>

Run(p) ==
    /\ Begins(p, {"plain"}, FALSE) \/ Begins(p, {"plain", "guarded"}, TRUE)
    /\ processes' = [processes EXCEPT
                        ![p].at = "runs",
                        ![p].memory = @ \cup {processes[p].job}]
    /\ UNCHANGED <<service, down, up, page, reports, zygote, workers>>

BeginSnapshot(p) ==
    /\ Begins(p, {"guarded", "begin"}, FALSE)
    /\ processes' = [processes EXCEPT ![p].at = "forks"]
    /\ UNCHANGED <<service, down, up, page, reports, zygote, workers>>

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
                                 !.leave = FALSE])
    /\ UNCHANGED <<service, down, up, page, reports, zygote, workers>>

\* Only then does code run.
NameSurvivor(p) ==
    /\ processes[p].at = "waits"
    /\ processes[processes[p].keeper].at = "keeps"
    /\ survivor' = processes[p].keeper
    /\ processes' = IF kind[processes[p].job] = "begin"
                    THEN [processes EXCEPT ![p].at = "answers"]
                    ELSE [processes EXCEPT
                             ![p].at = "runs",
                             ![p].memory = @ \cup {processes[p].job}]
    /\ UNCHANGED <<service, down, up, begun, reports, zygote, workers>>

\* Its keeper has died before it was ready. Nothing is run that could not be undone.
FindNoKeeper(p) ==
    /\ processes[p].at = "waits"
    /\ ~Lives(processes[p].keeper)
    /\ up' = Tells(p, "failed")
    /\ processes' = [processes EXCEPT
                        ![p].at = "idle",
                        ![p].job = 0,
                        ![p].keeper = 0]
    /\ UNCHANGED <<service, down, page, reports, zygote, workers>>

AnswerBegin(p) ==
    /\ processes[p].at = "answers"
    /\ up' = Tells(p, "kept")
    /\ processes' = [processes EXCEPT
                        ![p].at = "idle",
                        ![p].job = 0,
                        ![p].transaction = processes[p].job]
    /\ UNCHANGED <<service, down, page, reports, zygote, workers>>

\* With a result, or an error that is to be kept.
Finish(p) ==
    /\ processes[p].at = "runs"
    /\ up' = Tells(p, "kept")
    /\ processes' = [processes EXCEPT
                        ![p].at = IF processes[p].keeper # 0 /\ processes[p].transaction = 0
                                  THEN "commits" ELSE "idle",
                        ![p].job = 0]
    /\ UNCHANGED <<service, down, page, reports, zygote, workers>>

\* With an error that is to be undone, or always.
FinishUndone(p) ==
    /\ processes[p].at = "runs"
    /\ processes[p].keeper # 0
    /\ processes[p].transaction = 0
    /\ up' = Tells(p, "rolled_back")
    /\ processes' = [processes EXCEPT ![p].at = "leaves"]
    /\ UNCHANGED <<service, down, page, reports, zygote, workers>>

Commit(p) ==
    /\ Begins(p, {"commit"}, TRUE)
    /\ up' = Tells(p, "kept")
    /\ processes' = [processes EXCEPT
                        ![p].at = "commits",
                        ![p].job = 0,
                        ![p].transaction = 0]
    /\ UNCHANGED <<service, down, page, reports, zygote, workers>>

RollBack(p) ==
    /\ Begins(p, {"rollback"}, TRUE)
    /\ up' = Tells(p, "rolled_back")
    /\ processes' = [processes EXCEPT ![p].at = "leaves"]
    /\ UNCHANGED <<service, down, page, reports, zygote, workers>>

\* A transaction in a transaction, the end of none, or what was asked in one that has ended.
RefuseRequest(p) ==
    /\ processes[p].at = "begins"
    /\ \/ ~Fits(p)
       \/ Begins(p, {"begin"}, TRUE)
       \/ Begins(p, {"commit", "rollback"}, FALSE)
    /\ up' = Tells(p, "failed")
    /\ processes' = [processes EXCEPT
                        ![p].at = "idle",
                        ![p].job = 0]
    /\ UNCHANGED <<service, down, page, reports, zygote, workers>>

\* The message was sent before.
ClearSurvivor(p) ==
    /\ processes[p].at = "commits"
    /\ survivor' = 0
    /\ processes' = [processes EXCEPT ![p].at = "frees"]
    /\ UNCHANGED <<service, down, up, begun, reports, zygote, workers>>

EndKeeper(p) ==
    /\ processes[p].at = "frees"
    /\ processes' = [Killed({processes[p].keeper}) EXCEPT
                        ![p].at = "idle",
                        ![p].keeper = 0]
    /\ UNCHANGED <<service, down, up, page, reports, zygote, workers>>

Leave(p) ==
    /\ processes[p].at = "leaves"
    /\ processes' = Killed({p})
    /\ UNCHANGED <<service, down, up, page, reports, zygote, workers>>

ShutDown(p) ==
    /\ processes[p].at = "idle"
    /\ processes[p].inbox # <<>>
    /\ Head(processes[p].inbox) = Shutdown
    /\ survivor' = 0
    /\ processes' = [processes EXCEPT ![p].at = "ends"]
    /\ UNCHANGED <<service, down, up, begun, reports, zygote, workers>>

\* First its keeper, then itself.
EndItself(p) ==
    /\ processes[p].at = "ends"
    /\ processes' = Killed({p, processes[p].keeper})
    /\ UNCHANGED <<service, down, up, page, reports, zygote, workers>>

(* The keeper. It has a group of its own once it is ready.                 *)

BecomeReady(k) ==
    /\ processes[k].at = "starts"
    /\ processes' = [processes EXCEPT ![k].at = "keeps"]
    /\ UNCHANGED <<service, down, up, page, reports, zygote, workers>>

\* With the state as it was; but not with what was read, or is there to be read by others.
TakeOver(k) ==
    /\ IsReady(k)
    /\ processes[k].leave
    /\ zygote
    /\ survivor' = 0
    /\ down' = Behind(down)
    /\ processes' = [processes EXCEPT
                        ![k].at = "idle",
                        ![k].job = 0,
                        ![k].inbox = OfItsOwn(@)]
    /\ UNCHANGED <<service, up, begun, reports, zygote, workers>>

\* Its parent has died, and no zygote has come in its place: there is nobody to be tied to.
FindNoZygote(k) ==
    /\ IsAlone(k)
    /\ ~zygote
    /\ processes' = Killed({k})
    /\ UNCHANGED <<service, down, up, page, reports, zygote, workers>>

(* The zygote.                                                             *)

\* It kills the group, in which no keeper is, and all that the dead has left but its heir.
ReapWorker(p) ==
    /\ zygote
    /\ p \in workers
    /\ ~Lives(p)
    /\ workers' = (workers \ {p}) \cup Heir(p)
    /\ reports' = With(reports, p, IF Heir(p) = {} THEN 0 ELSE survivor)
    /\ processes' = Killed(OrphansOf(p) \ Heir(p))
    /\ UNCHANGED <<service, down, up, page, zygote>>

\* Another worker of it has died. What that has left is not told from what ours has. One step,
\* as the orphans are listed before the names are read: an orphan's parent names nobody else.
SweepOrphans ==
    /\ zygote
    /\ processes' = Killed({q \in Orphans : ~IsNamed(q)})
    /\ UNCHANGED <<service, down, up, page, reports, zygote, workers>>

(* What may befall them.                                                   *)

\* At any moment.
Die(p) ==
    /\ Works(p)
    /\ processes' = Killed({p})
    /\ UNCHANGED <<service, down, up, page, reports, zygote, workers>>

\* While its code runs, which is what a snapshot is for.
Crash(p) ==
    /\ processes[p].at = "runs"
    /\ processes[p].keeper # 0
    /\ processes' = Killed({p})
    /\ UNCHANGED <<service, down, up, page, reports, zygote, workers>>

KeeperDies(k) ==
    /\ IsKeeper(k)
    /\ processes' = Killed({k})
    /\ UNCHANGED <<service, down, up, page, reports, zygote, workers>>

\* Its workers are tied to it: one that has been a keeper since it took over.
ZygoteDies ==
    /\ zygote
    /\ zygote' = FALSE
    /\ workers' = {}
    /\ processes' = Killed({p \in workers : Works(p)})
    /\ UNCHANGED <<service, down, up, page, reports>>
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

Reads == TakeResult \/ TakeFailure \/ TakeFarewell \/ Ignore
Decides == Adopt \/ LetSpeak \/ Lose
GivesUp == ("impatience" \in May \/ ~zygote) /\ GiveUp
DeadlinePasses == "ladder" \in May /\ \E n \in DOMAIN kind : DeadlinePassed(n)
WorkerActs(p) ==
    \/ Receive(p) \/ Begin(p) \/ Run(p)
    \/ BeginSnapshot(p) \/ Fork(p) \/ NameSurvivor(p) \/ FindNoKeeper(p)
    \/ AnswerBegin(p) \/ Finish(p) \/ FinishUndone(p) \/ Leave(p)
    \/ Commit(p) \/ RollBack(p) \/ RefuseRequest(p)
    \/ ClearSurvivor(p) \/ EndKeeper(p) \/ ShutDown(p) \/ EndItself(p)

Next ==
    \/ \E n \in Numbers, what \in Kinds : Ask(n, what)
    \/ Reads \/ SeeDeath \/ Decides \/ GivesUp
    \/ DeadlinePasses \/ TakeKill \/ CloseGracePassed
    \/ "close" \in May /\ Close
    \/ "kill" \in May /\ Forsake
    \/ \E p \in Pids :
          \/ WorkerActs(p)
          \/ BecomeReady(p) \/ TakeOver(p) \/ FindNoZygote(p)
          \/ ReapWorker(p)
          \/ EndLateSurvivor(p)
          \/ "die" \in May /\ Die(p)
          \/ "crash" \in May /\ Crash(p)
          \/ "keeper" \in May /\ KeeperDies(p)
    \/ "sibling" \in May /\ SweepOrphans
    \/ "zygote" \in May /\ ZygoteDies
    \/ Rest

(* Fairness: the weakest that does it. The client need not ask, nor close;  *)
(* the worker need do nothing at all, not even go when it has said that it  *)
(* does; and a keeper that has leave to take over need not.                 *)
Fairness ==
    \* The transport reads what there is to read.
    /\ WF_vars(Reads)
    \* The end of a process is told by its pidfd, whatever it did.
    /\ WF_vars(SeeDeath)
    \* What is reported is decided on at once, and carried out, ...
    /\ WF_vars(Decides)
    \* ... and a report is waited for with a bound.
    /\ WF_vars(GivesUp)
    \* Every request has a deadline, whatever it waits for; what has none is Session.tla's.
    /\ WF_vars(DeadlinePasses)
    \* The transport takes commands, and waits for nothing else; SIGKILL ends every process.
    /\ WF_vars(TakeKill)
    \* The grace of a close is bounded.
    /\ WF_vars(CloseGracePassed)
    \* Its subtree waits until nothing is left of a session.
    /\ \A p \in 1 .. Cardinality(Numbers) + 1 : WF_vars(EndLateSurvivor(p))
    \* A keeper hears of its parents' deaths by a signal, and runs nobody's code.
    /\ \A k \in 1 .. Cardinality(Numbers) + 1 : WF_vars(FindNoZygote(k))
    \* The zygote reaps at once.
    /\ \A p \in 1 .. Cardinality(Numbers) + 1 : WF_vars(ReapWorker(p))

Spec == Init /\ [][Next]_vars /\ Fairness

---------------------------------------------------------------------------
(* What always holds.                                                      *)

TypesAreRight ==
    /\ DOMAIN told = DOMAIN kind
    /\ DOMAIN within = DOMAIN kind
    /\ hand \in {"serves", "waits", "adopts", "gone"}
    /\ \A p \in Pids :
          /\ processes[p].at \in OfWorkers \cup OfKeepers \cup {"dead"}
          /\ IsKeeper(p) /\ processes[p].leave => holds = p
    /\ \A n \in DOMAIN told : \A i \in DOMAIN told[n] :
          told[n][i] \in {"kept", "failed", "rolled_back", "lost"}
    /\ hand = "gone" => flights = <<>> /\ ~Lives(holds)
    /\ kill \in {0, ForGood} \cup DOMAIN kind
    /\ begun \in {0} \cup DOMAIN kind
    /\ transaction \in {0} \cup DOMAIN kind
    /\ Len(flights) <= HandedAtMost

\* What was handed down, twice where it was sent to the dead, a mark, and a shutdown each.
BuffersAreBounded ==
    /\ Len(down) <= 2 * HandedAtMost + 3
    /\ Len(up) <= HandedAtMost
    /\ \A p \in Pids : Len(processes[p].inbox) <= HandedAtMost + 1

GoesOn == hand # "gone" /\ Lives(holds)

\* What is read is of the process that is held, ...
OneSpeaks == \A i \in DOMAIN up : up[i].from = holds
\* ... which says nothing before it has leave.
NothingIsSaidWithoutLeave == hand \in {"waits", "adopts", "gone"} => up = <<>>
OneWorks == Cardinality({p \in Pids : Works(p)}) <= 1

ARequestEndsOnce == \A n \in DOMAIN told : Len(told[n]) <= 1

\* With ARequestEndsOnce: for good.
WhatWasToldAsKeptIsThere == GoesOn => kept \cup pending \subseteq processes[holds].memory
WhatWasUndoneIsSeenNoMore == GoesOn => undone \cap processes[holds].memory = {}
NothingIsKeptAndUndone == kept \cap undone = {} /\ pending \cap (kept \cup undone) = {}
WhatWasToldAsUndoneIsUndone ==
    \A n \in DOMAIN told : told[n] = <<"rolled_back">> => n \in undone
WhatNobodyBeganIsNotUndone == \A n \in DOMAIN told : told[n] = <<"rolled_back">> => n <= begun

\* An execution whose client has heard that it is kept is there, or will be, or its client can know.
NothingIsForgotten ==
    \A n \in DOMAIN kind : IsExecution(n) /\ told[n] = <<"kept">> =>
        IF within[n] \in committed THEN n \in kept ELSE n \in kept \cup pending \cup undone

\* Of a transaction all is kept, or nothing.
ATransactionIsKeptWhole == \A n \in kept : within[n] \in {0} \cup committed
OnlyATransactionIsPending == transaction = 0 => pending = {}

\* Once it has been told.
ATransactionIsKnown == Works(holds) /\ up = <<>> => transaction = processes[holds].transaction

\* It speaks of what runs, and of nothing else.
AnHonestWorkerIsBelieved == up # <<>> /\ ~deaf => Head(up).job = First

\* In their order, whoever has read them before.
WhatIsAskedIsThereOnce ==
    hand = "serves" /\ Works(holds) =>
        SelectSeq(processes[holds].inbox \o down, LAMBDA n : n # Shutdown) = Left(flights)

\* Whoever is idle, with nothing to be led back to, has no keeper.
ASnapshotIsLetGo ==
    \A p \in Pids : processes[p].at = "idle" /\ processes[p].transaction = 0 =>
        /\ processes[p].keeper = 0
        /\ OrphansOf(p) = {}
        /\ ~IsKeeper(survivor)

\* Code that can be rolled back begins once it can be; so does a transaction.
NothingRunsWithoutItsSnapshot ==
    \A p \in Pids :
        /\ processes[p].at = "runs" /\ kind[processes[p].job] = "guarded" => processes[p].keeper # 0
        /\ processes[p].transaction # 0 => processes[p].keeper # 0
        /\ Works(p) /\ processes[p].keeper # 0 /\ processes[p].at \in {"runs", "answers"}
               => survivor = processes[p].keeper

\* While code runs that has a snapshot, only the death of a keeper, or of the zygote, is a loss.
NoSessionIsLostForNothing ==
    May \subseteq {"crash", "sibling"} => hand # "gone"

\* The transaction that is open for the request of that number, where nobody dies.
RECURSIVE OpenFor(_)
OpenFor(n) ==
    IF n = 1 THEN 0
    ELSE CASE kind[n - 1] \in {"commit", "rollback"} -> 0
           [] kind[n - 1] = "begin" /\ OpenFor(n - 1) = 0 -> n - 1
           [] OTHER -> OpenFor(n - 1)

\* Where nothing happens that should not, only what makes no sense fails, and nothing is undone
\* but by those who wanted it.
NothingFailsWithoutReason ==
    May \subseteq {"sibling"} =>
        \A n \in DOMAIN told : told[n] = <<"failed">> =>
            CASE kind[n] = "begin" -> OpenFor(n) # 0
              [] kind[n] \in {"commit", "rollback"} -> OpenFor(n) = 0
              [] OTHER -> ~IsMeantFor(n, OpenFor(n))

---------------------------------------------------------------------------
(* What every step keeps to.                                               *)

\* Not in the state that goes on, whoever has read it.
WhatHasEndedDoesNotRun ==
    [][\A p \in Pids : \A n \in processes'[p].memory \ processes[p].memory : told[n] = <<>>]_vars

\* A kill that comes late ends what it was meant for, or nobody.
AKillStrikesNoOtherRequest ==
    [][kill # 0 /\ kill' = 0 /\ kill \notin {First, ForGood} => processes' = processes]_vars

WhatHasASnapshotIsKilledAlone ==
    [][kill = 0 /\ kill' = ForGood => transaction = 0 /\ kind[First] # "guarded"]_vars

\* It is a child of the zygote by then, and lives; what befalls it later its own end tells.
AReportNamesALivingHeir ==
    [][\A p \in DOMAIN reports' \ DOMAIN reports :
          LET k == reports'[p]
          IN  k # 0 => IsKeeper(k) /\ processes[k].parent = p /\ k \in workers']_vars

NothingIsAcceptedInVain ==
    [][DOMAIN kind' # DOMAIN kind => ~forsaken /\ hand # "gone"]_vars

\* What is asked in a transaction is meant for it, and what is behind its end is not.
WhatIsAskedIsMeantForWhatIsOpen ==
    [][\A n \in DOMAIN kind' \ DOMAIN kind :
          within'[n] # transaction <=> transaction # 0 /\ Members(flights) \cap EndsAsked # {}]_vars

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
AKillForGoodIsTheEnd == kill = ForGood ~> hand = "gone"
NothingOutlivesItsZygote == ~zygote ~> [](\A p \in Pids : ~Lives(p))
NothingOutlivesItsSession == hand = "gone" ~> [](\A p \in Pids : ~Lives(p))
ASurvivorIsHeldOrEnds ==
    \A p \in 1 .. Cardinality(Numbers) + 1 :
        (p \in DOMAIN reports /\ reports[p] # 0)
            ~> (p \in DOMAIN reports /\ (holds = reports[p] \/ ~Lives(reports[p])))
=============================================================================
