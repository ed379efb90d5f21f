------------------------------- MODULE Pool -------------------------------
(* The pool of sessions: who gets which session, and what is started and   *)
(* stopped for it. The model of pyrepl3/pool/pool_state.py, action for     *)
(* action, and of the world around it: callers that leave at any moment,   *)
(* processes that die at any moment, a zygote that takes all of its own    *)
(* with it.                                                                *)
(*                                                                         *)
(* The pool acts in three ways. It is told something, or time does         *)
(* something; that changes the state and may make effects due; and what is *)
(* due happens at once, in the same turn: while anything is due nothing    *)
(* else can happen (Settled). A pool that forgets an effect can therefore  *)
(* not go on, and its recording is rejected.                               *)
(*                                                                         *)
(* What the pool is told lags behind the world: a process can be dead      *)
(* before the pool hears of it, a caller gone before the pool hears of     *)
(* that. So the two are kept apart: sessions is what the pool believes,    *)
(* processes is what there is.                                             *)
(*                                                                         *)
(* Left out: clocks (a deadline passes whenever it likes, a pause ends     *)
(* whenever it likes), the size of the demand (spare sessions beyond       *)
(* MinIdle are started or not), which idle session is the oldest, what     *)
(* runs in a session (Session.tla), the mailboxes (Tree.tla).              *)
EXTENDS Naturals, Sequences, FiniteSets, TLC

CONSTANTS
    Templates,        \* what sessions are started from
    Waiters,          \* callers; one that is done may come again
    Patient,          \* those of them without a deadline, who never leave
    Slots,            \* places for processes: more of them than MaxSessions,
                      \* so that a pool which starts too many can be seen
    Epochs,           \* a slot's sessions are told apart by their epoch: one more
                      \* of them than Waiters, so that a start finds a fresh one
    MinIdle,          \* idle sessions to keep ready, for each template
    MostSpare,        \* ... and at most, when the demand is high
    Snapshots,        \* of the templates those that are copies of a session:
                      \* nothing of them is kept ready
    MaxSessions,      \* starting, idle, leased and stopping together
    BreakerFailures,  \* failed starts in a row that open a breaker
    None

VARIABLES
    sessions,   \* the pool's record of each session, by slot
    processes,  \* what there is of each session's process, by slot
    callers,    \* each caller that asked and is not done
    queue,      \* those of them that wait, the longest waiting first
    breakers,   \* for each template: may its sessions be started?
    shutting,   \* the service ends
    config      \* the numbers above; they never change, but each recording
                \* that is checked against this has its own

vars == <<sessions, processes, callers, queue, breakers, shutting, config>>

---------------------------------------------------------------------------
(* What is read from the state.                                            *)

With(f, x, value) == [y \in DOMAIN f \cup {x} |-> IF y = x THEN value ELSE f[y]]
Without(f, x) == [y \in DOMAIN f \ {x} |-> f[y]]
Most(a, b) == IF a > b THEN a ELSE b
Fewest(a, b) == IF a < b THEN a ELSE b

Of(t) == {s \in DOMAIN sessions : sessions[s].template = t}
InPhase(t, phase) == {s \in Of(t) : sessions[s].phase = phase}
Idle(t) == InPhase(t, "idle")
Starting(t) == InPhase(t, "starting")
Stopping == {s \in DOMAIN sessions : sessions[s].phase = "stopping"}
Waiting(t) == SelectSeq(queue, LAMBDA w : callers[w].template = t)
Waits(w) == \E i \in DOMAIN queue : queue[i] = w
\* ---- conditions ----
IsFirst(w) ==
    \E i \in DOMAIN queue :
        queue[i] = w /\ \A j \in 1 .. i - 1 : callers[queue[j]].template # callers[w].template
Room == ~shutting /\ Cardinality(DOMAIN sessions) < config.max_sessions

\* Session s is leased to w, and w's lease is of this epoch of it.
Leased(w, s) ==
    /\ s \in DOMAIN sessions
    /\ sessions[s].phase = "leased"
    /\ sessions[s].owner = w
    /\ callers[w].epoch = sessions[s].epoch

\* After a failure, and while a breaker is half open, one start at a time.
MayStart(t) ==
    /\ ~breakers[t].paused
    /\ breakers[t].failures = 0 \/ Starting(t) = {}

\* Of those who wait for t, the first for whom no start is under way.
Uncovered(t) == Waiting(t)[Cardinality(Starting(t)) + 1]
ToBeServed ==
    {t \in DOMAIN breakers : MayStart(t) /\ Len(Waiting(t)) > Cardinality(Starting(t))}
PlaceOf(w) == CHOOSE i \in DOMAIN queue : queue[i] = w
\* The template of the longest waiting of those.
NextToBeServed ==
    CHOOSE t \in ToBeServed : \A u \in ToBeServed : PlaceOf(Uncovered(t)) <= PlaceOf(Uncovered(u))

StartsWanted(t) ==
    LET wanted == Most(0, Len(Waiting(t)) - Cardinality(Starting(t)))
    IN  IF ~MayStart(t) THEN 0
        ELSE IF breakers[t].failures = 0 THEN wanted
        ELSE Fewest(wanted, 1)
RECURSIVE AllWanted(_)
AllWanted(ts) ==
    IF ts = {} THEN 0
    ELSE LET t == CHOOSE t \in ts : TRUE IN StartsWanted(t) + AllWanted(ts \ {t})

HandOverIsDue == ~shutting /\ \E t \in DOMAIN breakers : Idle(t) # {} /\ Waiting(t) # <<>>
RefuseIsDue(w) ==
    \/ shutting
    \/ breakers[callers[w].template].position = "open" /\ Idle(callers[w].template) = {}
KeptReady(t) == IF t \in config.snapshots THEN 0 ELSE config.min_idle
MostKeptReady(t) == IF t \in config.snapshots THEN 0 ELSE config.most_spare
\* The longest waiting first; spare sessions when nobody waits for a start.
StartIsDue(t) ==
    /\ Room
    /\ IF ToBeServed # {}
       THEN t = NextToBeServed
       ELSE MayStart(t) /\ Cardinality(Idle(t) \cup Starting(t)) < KeptReady(t) + Len(Waiting(t))
\* A full pool in which somebody waits: idle sessions of others give way.
RoomIsDue ==
    /\ Cardinality(DOMAIN sessions) >= config.max_sessions
    /\ AllWanted(DOMAIN breakers) > Cardinality(Stopping)
StopIsDue(s) ==
    \/ sessions[s].phase = "unwanted"
    \/ shutting /\ sessions[s].phase # "stopping"
    \/ sessions[s].phase = "idle" /\ RoomIsDue

NobodyIsOwedAnAnswer == ~HandOverIsDue /\ \A i \in DOMAIN queue : ~RefuseIsDue(queue[i])
Settled ==
    /\ NobodyIsOwedAnAnswer
    /\ \A t \in DOMAIN breakers : ~StartIsDue(t)
    /\ \A s \in DOMAIN sessions : ~StopIsDue(s)

\* Starts that were under way together fail together: that is one failure,
\* not one for each. A start that was called off failed for that reason.
Counts(s) == sessions[s].phase = "starting" /\ ~sessions[s].stale
AfterFailure(breaker) ==
    LET failures == Fewest(breaker.failures + 1, config.breaker_failures)
        opens == failures = config.breaker_failures
    IN  [position |-> IF opens THEN "open" ELSE "closed", failures |-> failures, paused |-> TRUE]

\* An epoch that no session and no lease of this slot has: a late word about
\* an earlier session of the slot cannot be taken for one about this.
Fresh(s, e) == \A w \in DOMAIN callers : callers[w].slot = s => callers[w].epoch # e
FreeSlots == Slots \ (DOMAIN sessions \cup DOMAIN processes)

NotWaiting(w) == SelectSeq(queue, LAMBDA x : x # w)
\* A waiter that is refused is done, unless it has left, which is heard later.
Refused(w) == IF callers[w].state = "gone" THEN callers ELSE Without(callers, w)
\* ---- end of conditions ----

---------------------------------------------------------------------------
Configurations ==
    {[min_idle |-> MinIdle, most_spare |-> MostSpare, snapshots |-> Snapshots,
      max_sessions |-> MaxSessions, breaker_failures |-> BreakerFailures]}
Closed == [position |-> "closed", failures |-> 0, paused |-> FALSE]

Init ==
    /\ config \in Configurations
    /\ sessions = <<>>
    /\ processes = <<>>
    /\ callers = <<>>
    /\ queue = <<>>
    /\ breakers = [t \in Templates |-> Closed]
    /\ shutting = FALSE

\* ---- actions ----
(* What the pool is told by callers.                                       *)

Acquire(w, t) ==
    /\ w \notin DOMAIN callers
    /\ callers' = With(callers, w, [state |-> "waiting", template |-> t, slot |-> None, epoch |-> None])
    /\ queue' = Append(queue, w)
    /\ UNCHANGED <<sessions, processes, breakers, shutting, config>>

\* It had left, and the pool hears of it. It may be waiting no more by now.
Cancel(w) ==
    /\ callers[w].state = "gone"
    /\ callers[w].slot = None
    /\ callers' = Without(callers, w)
    /\ queue' = NotWaiting(w)
    /\ UNCHANGED <<sessions, processes, breakers, shutting, config>>

\* It gives back what it used. A lease that is over gives nothing back.
Release(w, s) ==
    /\ callers[w].state = "using"
    /\ callers[w].slot = s
    /\ callers' = Without(callers, w)
    /\ sessions' = IF Leased(w, s)
                   THEN [sessions EXCEPT
                            ![s].phase = "unwanted",
                            ![s].owner = None]
                   ELSE sessions
    /\ UNCHANGED <<processes, queue, breakers, shutting, config>>

\* It was given a session and did nothing with it: it changed its mind, or
\* had left before the session was handed over.
TakeBack(w, s) ==
    /\ callers[w].state \in {"given", "gone"}
    /\ callers[w].slot = s
    /\ callers' = IF callers[w].state = "gone"
                  THEN [callers EXCEPT ![w] = [@ EXCEPT !.slot = None, !.epoch = None]]
                  ELSE Without(callers, w)
    /\ sessions' = IF Leased(w, s)
                   THEN [sessions EXCEPT
                            ![s].phase = "idle",
                            ![s].owner = None]
                   ELSE sessions
    /\ UNCHANGED <<processes, queue, breakers, shutting, config>>

(* What the pool is told of sessions.                                      *)

\* Also of a process that has died since.
StartSucceeded(s) ==
    /\ sessions[s].phase = "starting"
    /\ processes[s].state \in {"ready", "dead", "ended"}
    /\ sessions' = [sessions EXCEPT ![s].phase = "idle"]
    /\ breakers' = [breakers EXCEPT ![sessions[s].template] = Closed]
    /\ UNCHANGED <<processes, callers, queue, shutting, config>>

\* It is reaped already: its place is free.
StartFailed(s) ==
    /\ processes[s].state = "failed"
    /\ sessions' = [x \in DOMAIN sessions \ {s} |->
                       IF Counts(s) /\ x \in Starting(sessions[s].template)
                       THEN [sessions[x] EXCEPT !.stale = TRUE]
                       ELSE sessions[x]]
    /\ breakers' = IF Counts(s)
                   THEN [breakers EXCEPT ![sessions[s].template] = AfterFailure(@)]
                   ELSE breakers
    /\ processes' = Without(processes, s)
    /\ UNCHANGED <<callers, queue, shutting, config>>

\* Nobody gets it any more. Its place is taken until it is reaped.
SessionDied(s) ==
    /\ sessions[s].phase \in {"idle", "leased"}
    /\ processes[s].state \in {"dead", "ended"}
    /\ sessions' = [sessions EXCEPT
                       ![s].phase = "stopping",
                       ![s].owner = None]
    \* A mark only on what is there to use all the same: it costs no states.
    /\ processes' = [processes EXCEPT ![s].mourned = sessions'[s].phase # "stopping"]
    /\ UNCHANGED <<callers, queue, breakers, shutting, config>>

\* It is reaped: its place is free. StartSucceeded is told before this.
SessionEnded(s) ==
    /\ sessions[s].phase # "starting"
    /\ processes[s].state = "ended"
    /\ sessions' = Without(sessions, s)
    /\ processes' = Without(processes, s)
    /\ UNCHANGED <<callers, queue, breakers, shutting, config>>

ShutDown ==
    /\ ~shutting
    /\ shutting' = TRUE
    /\ UNCHANGED <<sessions, processes, callers, queue, breakers, config>>

(* What time does. The alarm may ring for several things at once, so these *)
(* need not wait for the starts and stops that each of them makes due.     *)

TimeOut(w) ==
    /\ Waits(w)
    /\ w \notin Patient
    /\ queue' = NotWaiting(w)
    /\ callers' = Refused(w)
    /\ UNCHANGED <<sessions, processes, breakers, shutting, config>>

\* An idle session has lived long enough.
Expire(s) ==
    /\ sessions[s].phase = "idle"
    /\ sessions' = [sessions EXCEPT ![s].phase = "unwanted"]
    /\ UNCHANGED <<processes, callers, queue, breakers, shutting, config>>

\* A pause is over. An open breaker then lets one start through, to see.
Retry(t) ==
    /\ breakers[t].paused
    /\ breakers' = [breakers EXCEPT
                       ![t].paused = FALSE,
                       ![t].position = IF @ = "open" THEN "half_open" ELSE @]
    /\ UNCHANGED <<sessions, processes, callers, queue, shutting, config>>

(* What the pool does then.                                                *)

\* First come, first served. Where w has left, nobody takes the answer, and
\* TakeBack follows.
HandOver(w, s) ==
    /\ ~shutting
    /\ s \in Idle(callers[w].template)
    /\ IsFirst(w)
    /\ sessions' = [sessions EXCEPT
                       ![s].phase = "leased",
                       ![s].owner = w]
    /\ queue' = NotWaiting(w)
    /\ callers' = [callers EXCEPT
                      ![w].state = IF @ = "gone" THEN "gone" ELSE "given",
                      ![w].slot = s,
                      ![w].epoch = sessions[s].epoch]
    /\ UNCHANGED <<processes, breakers, shutting, config>>

Refuse(w) ==
    /\ Waits(w)
    /\ RefuseIsDue(w)
    /\ queue' = NotWaiting(w)
    /\ callers' = Refused(w)
    /\ UNCHANGED <<sessions, processes, breakers, shutting, config>>

\* For a waiter, or as a spare, of which there may be more than are due.
Start(t, s, e) ==
    /\ ~HandOverIsDue
    /\ Room
    /\ MayStart(t)
    /\ \/ StartIsDue(t)
       \/ ToBeServed = {} /\ Cardinality(Idle(t) \cup Starting(t)) < MostKeptReady(t) + Len(Waiting(t))
    /\ s \in FreeSlots
    /\ Fresh(s, e)
    /\ sessions' = With(sessions, s, [template |-> t, phase |-> "starting", owner |-> None,
                                      epoch |-> e, stale |-> FALSE])
    /\ processes' = With(processes, s, [template |-> t, state |-> "starting", used |-> FALSE,
                                        mourned |-> FALSE])
    /\ UNCHANGED <<callers, queue, breakers, shutting, config>>

Stop(s) ==
    /\ ~HandOverIsDue
    /\ StopIsDue(s)
    /\ sessions' = [sessions EXCEPT
                       ![s].phase = "stopping",
                       ![s].owner = None]
    /\ UNCHANGED <<processes, callers, queue, breakers, shutting, config>>
\* ---- end of actions ----

\* ---- the world ----
(* Callers and processes.                                                  *)

\* Cancelled, or killed: the pool will be told.
Leave(w) ==
    /\ callers[w].state = "waiting"
    /\ w \notin Patient
    /\ callers' = [callers EXCEPT ![w].state = "gone"]
    /\ UNCHANGED <<sessions, processes, queue, breakers, shutting, config>>

\* It runs something in the session that it was given.
Use(w) ==
    /\ callers[w].state = "given"
    /\ callers' = [callers EXCEPT ![w].state = "using"]
    /\ processes' = IF Leased(w, callers[w].slot)
                    THEN [processes EXCEPT ![callers[w].slot].used = TRUE]
                    ELSE processes
    /\ UNCHANGED <<sessions, queue, breakers, shutting, config>>

ProcessIsReady(s) ==
    /\ processes[s].state = "starting"
    /\ processes' = [processes EXCEPT ![s].state = "ready"]
    /\ UNCHANGED <<sessions, callers, queue, breakers, shutting, config>>

\* It could not be started, or died before it was ready; what there was of
\* it is reaped.
ProcessFails(s) ==
    /\ processes[s].state = "starting"
    /\ processes' = [processes EXCEPT ![s].state = "failed"]
    /\ UNCHANGED <<sessions, callers, queue, breakers, shutting, config>>

\* By itself, or killed.
ProcessDies(s) ==
    /\ processes[s].state = "ready"
    /\ processes' = [processes EXCEPT ![s].state = "dead"]
    /\ UNCHANGED <<sessions, callers, queue, breakers, shutting, config>>

ProcessIsReaped(s) ==
    /\ processes[s].state = "dead"
    /\ processes' = [processes EXCEPT ![s].state = "ended"]
    /\ UNCHANGED <<sessions, callers, queue, breakers, shutting, config>>

\* All that it had forked die with it; starts under way may yet succeed,
\* from the next one.
ZygoteDies(t) ==
    /\ processes' = [s \in DOMAIN processes |->
                        IF processes[s].template = t /\ processes[s].state = "ready"
                        THEN [processes[s] EXCEPT !.state = "dead"]
                        ELSE processes[s]]
    /\ UNCHANGED <<sessions, callers, queue, breakers, shutting, config>>
\* ---- end of the world ----

\* A service that has ended, and whose callers have all been told.
Ended ==
    /\ shutting
    /\ sessions = <<>>
    /\ callers = <<>>
    /\ UNCHANGED vars

---------------------------------------------------------------------------
Told(w) == \/ Cancel(w)
           \/ \E s \in Slots : Release(w, s) \/ TakeBack(w, s)
Heard(s) == StartSucceeded(s) \/ StartFailed(s) \/ SessionDied(s) \/ SessionEnded(s)
Rings == \/ \E w \in DOMAIN callers : TimeOut(w)
         \/ \E s \in DOMAIN sessions : Expire(s)
         \/ \E t \in Templates : Retry(t)
\* The next session has the least slot and epoch, as names do not matter.
Starts ==
    \E t \in Templates, s \in Slots, e \in Epochs :
        /\ \A x \in FreeSlots : s <= x
        /\ \A x \in Epochs : Fresh(s, x) => e <= x
        /\ Start(t, s, e)
Effect == \/ \E w \in DOMAIN callers : Refuse(w) \/ \E s \in DOMAIN sessions : HandOver(w, s)
          \/ \E s \in DOMAIN sessions : Stop(s)
          \/ Starts

Outside ==
    \/ ShutDown
    \/ \E w \in Waiters, t \in Templates : Acquire(w, t)
    \/ \E w \in DOMAIN callers : Told(w) \/ Leave(w) \/ Use(w)
    \/ \E s \in DOMAIN sessions : Heard(s)
    \/ \E s \in DOMAIN processes : \/ ProcessIsReady(s) \/ ProcessFails(s)
                                   \/ ProcessDies(s) \/ ProcessIsReaped(s)
    \/ \E t \in Templates : ZygoteDies(t)

\* ---- turns ----
\* Between an input and the last of its effects nothing else has its turn,
\* and for callers and processes before or after it comes to the same.
TheOutsideActs ==
    /\ Settled
    /\ Outside

TheAlarmRings ==
    /\ NobodyIsOwedAnAnswer
    /\ Rings
\* ---- end of turns ----

Next == Effect \/ TheAlarmRings \/ TheOutsideActs \/ Ended

(* Fairness: the weakest that does it. Callers need not come, leave or     *)
(* use anything; nothing need die by itself; no deadline need pass and no  *)
(* idle session expire; the service need not be shut down. Each clause is  *)
(* weak: a message in a mailbox stays there until it is taken.             *)
CallerIsHeard(w) == w \in DOMAIN callers /\ Cancel(w)
CallerReturns(w) == w \in DOMAIN callers /\ \E s \in Slots : Release(w, s) \/ TakeBack(w, s)
SessionIsHeard(s) == s \in DOMAIN sessions /\ Heard(s)
StartIsDecided(s) == s \in DOMAIN processes /\ (ProcessIsReady(s) \/ ProcessFails(s))
KillIsFelt(s) == s \in Stopping /\ s \in DOMAIN processes /\ ProcessDies(s)
ReapIsDone(s) == s \in DOMAIN processes /\ ProcessIsReaped(s)

Fairness ==
    \* What is due is done in the same turn, without waiting for anything. A spare that may be
    \* started is not due: nothing may rest on that.
    /\ WF_vars(~Settled /\ Effect)
    \* The pool serves its mailbox, in which a departure waits in line.
    /\ \A w \in Waiters : WF_vars(CallerIsHeard(w))
    \* Callers give back in the end: code that runs has a deadline.
    /\ \A w \in Waiters : WF_vars(CallerReturns(w))
    \* The pool serves its mailbox, in which notices wait in line.
    /\ \A s \in Slots : WF_vars(SessionIsHeard(s))
    \* A start that is not ready in start_timeout_s has failed.
    /\ \A s \in Slots : WF_vars(StartIsDecided(s))
    \* Ask, bounded wait, SIGKILL: a session that was stopped dies.
    /\ \A s \in Slots : WF_vars(KillIsFelt(s))
    \* The zygote reaps at once; where it died itself, the wait is bounded.
    /\ \A s \in Slots : WF_vars(ReapIsDone(s))
    \* The alarm is set to the end of every pause.
    /\ \A t \in Templates : WF_vars(Retry(t))

Spec == Init /\ [][Next]_vars /\ Fairness

\* Neither callers nor templates have an order; for models of safety only.
Symmetry == Permutations(Waiters) \cup Permutations(Templates)

---------------------------------------------------------------------------
(* What always holds.                                                      *)

Positions == {"closed", "open", "half_open"}
TypesAreRight ==
    /\ DOMAIN sessions \subseteq Slots
    /\ \A s \in DOMAIN sessions :
          sessions[s] \in [template : Templates, owner : Waiters \cup {None}, epoch : Epochs,
                           phase : {"starting", "idle", "leased", "unwanted", "stopping"}, stale : BOOLEAN]
    /\ \A s \in DOMAIN processes :
          processes[s] \in [template : Templates, used : BOOLEAN, mourned : BOOLEAN,
                            state : {"starting", "failed", "ready", "dead", "ended"}]
    /\ \A w \in DOMAIN callers :
          callers[w] \in [state : {"waiting", "gone", "given", "using"}, template : Templates,
                          slot : Slots \cup {None}, epoch : Epochs \cup {None}]
    /\ \A w \in DOMAIN callers \cap Patient : callers[w].state # "gone"
    /\ \A i \in DOMAIN queue : queue[i] \in DOMAIN callers /\ callers[queue[i]].slot = None
    /\ breakers \in [Templates -> [position : Positions, failures : 0 .. config.breaker_failures, paused : BOOLEAN]]

Held(w, s) == w \in DOMAIN callers /\ callers[w].slot = s /\ s \in DOMAIN sessions
              /\ callers[w].epoch = sessions[s].epoch /\ sessions[s].phase = "leased"

\* Of all who have a lease of this epoch of a session, one is its owner and
\* there is no other.
ASessionHasOneOwner ==
    \A s \in DOMAIN sessions :
        /\ (sessions[s].phase = "leased") <=> (sessions[s].owner # None)
        /\ \A w \in DOMAIN callers : Held(w, s) <=> (sessions[s].owner = w)

\* Whatever the pool believes: of two callers with leases of one session, one
\* has the lease of an earlier epoch.
NoTwoCallersHoldOneSession ==
    \A v, w \in DOMAIN callers :
        v # w /\ callers[v].slot # None /\ callers[v].slot = callers[w].slot
            => callers[v].epoch # callers[w].epoch

CapacityIsKept == Cardinality(DOMAIN sessions) <= config.max_sessions
EveryProcessIsCounted == DOMAIN processes = DOMAIN sessions

NoUsedSessionIsIdle ==
    \A s \in DOMAIN sessions : sessions[s].phase = "idle" => ~processes[s].used

\* The pool was told of its death: from then on it is nobody's, and for nobody.
NothingKnownDeadIsThereToUse ==
    \A s \in DOMAIN processes : ~processes[s].mourned

OnlyWhatWasReadyIsThereToUse ==
    \A s \in DOMAIN sessions : sessions[s].phase \in {"idle", "leased"}
        => processes[s].state \notin {"starting", "failed"}

ACancelledCallerOwnsNothing ==
    \A s \in DOMAIN sessions : sessions[s].owner # None => sessions[s].owner \in DOMAIN callers

AnOpenBreakerKeepsNobodyWaiting ==
    Settled => \A i \in DOMAIN queue : breakers[callers[queue[i]].template].position # "open"

\* One start at a time is risked, to see.
AFailingTemplateStartsOneAtATime ==
    \A t \in Templates : breakers[t].position = "half_open" \/ breakers[t].failures > 0 =>
        Cardinality({s \in Starting(t) : ~sessions[s].stale}) <= 1

\* Who waits for a template that starts well waits for a start of its own, or for a place.
NobodyWaitsForTheStartOfAnother ==
    Settled /\ Room => \A t \in Templates :
        breakers[t] = Closed => Cardinality(Starting(t)) >= Len(Waiting(t))

\* While there are idle sessions, each of those has a place that comes free.
WhoWaitsIsMadeRoom ==
    Settled /\ ~Room /\ ~shutting /\ (\E t \in Templates : Idle(t) # {}) => \A t \in Templates :
        breakers[t] = Closed =>
            Len(Waiting(t)) <= Cardinality(Starting(t)) + Cardinality(Stopping)

AClosedBreakerHasCountedFewFailures ==
    \A t \in Templates : breakers[t].position = "closed" =>
        breakers[t].failures < config.breaker_failures

\* So every turn ends, and what waits for that (Settled) is not kept from it for ever.
WhatIsDueCanBeDone == ~Settled => ENABLED <<Effect>>_vars

AfterShutdownNothingIsLeft ==
    shutting /\ Settled => queue = <<>> /\ DOMAIN sessions = Stopping

---------------------------------------------------------------------------
(* What every step keeps to.                                               *)

\* A state invariant would not see a session pass from one hand to another.
OwnershipMovesThroughNone ==
    [][\A s \in DOMAIN sessions \cap DOMAIN sessions' :
          sessions[s].owner # None => sessions'[s].owner \in {sessions[s].owner, None}]_vars

APlaceIsGivenBackAfterTheReap ==
    [][\A s \in DOMAIN sessions \ DOMAIN sessions' : processes[s].state \in {"ended", "failed"}]_vars

OnlyAnIdleSessionIsHandedOut ==
    [][\A s \in DOMAIN sessions \cap DOMAIN sessions' :
          sessions[s].owner = None /\ sessions'[s].owner # None
              => sessions[s].phase = "idle" /\ ~processes[s].used]_vars

ASnapshotIsStartedForSomebody ==
    [][\A s \in DOMAIN sessions' \ DOMAIN sessions :
          LET t == sessions'[s].template
          IN  t \in config.snapshots => Len(Waiting(t)) > Cardinality(Idle(t) \cup Starting(t))]_vars

ABreakerOpensAfterItsFailures ==
    [][\A t \in Templates : breakers[t].position = "closed" /\ breakers'[t].position # "closed" =>
          breakers'[t].position = "open" /\ breakers[t].failures + 1 = config.breaker_failures]_vars

\* Each failure that is counted begins a pause, so one that comes in it had begun before.
FailuresTogetherAreOne ==
    [][\A t \in Templates :
          LET more == breakers'[t].failures > breakers[t].failures
              opens == breakers'[t].position = "open" /\ breakers[t].position # "open"
          IN  more \/ opens => ~breakers[t].paused /\ breakers'[t].paused]_vars

\* A start is excused by the failure of another one of its template, and by nothing else.
OnlyAFailureExcuses ==
    [][\A s \in DOMAIN sessions \cap DOMAIN sessions' :
          sessions'[s].stale # sessions[s].stale =>
              LET t == sessions[s].template
              IN  sessions[s].phase = "starting" /\ ~breakers[t].paused /\ breakers'[t].paused]_vars

\* An idle session gives way only for a start that may begin and has no place: of a template that
\* starts well one for each who waits, of another one at a time.
NoMoreGiveWayThanMayStart ==
    [][LET healthy == {t \in Templates : breakers[t] = Closed}
           tries == {t \in Templates \ healthy : ~breakers[t].paused /\ Starting(t) = {}}
           waiting == {i \in DOMAIN queue : callers[queue[i]].template \in healthy}
       IN  \A s \in Stopping' \cap DOMAIN sessions :
              sessions[s].phase = "idle" /\ ~shutting /\ processes[s].state = "ready"
                  => /\ ~Room
                     /\ Cardinality(Stopping) < Cardinality(waiting)
                            + Cardinality({t \in tries : Waiting(t) # <<>>})]_vars

ASuccessForgivesAll ==
    [][\A s \in DOMAIN sessions \cap DOMAIN sessions' :
          sessions[s].phase = "starting" /\ sessions'[s].phase = "idle"
              => breakers'[sessions[s].template] = Closed]_vars

StoppingIsForGood ==
    [][\A s \in Stopping : s \in DOMAIN sessions' => sessions'[s].phase = "stopping"]_vars

FirstComeFirstServed ==
    [][\A i, j \in DOMAIN queue :
          LET first == queue[i]
              second == queue[j]
          IN  /\ i < j
              /\ callers[first].template = callers[second].template
              /\ second \in DOMAIN callers' /\ callers'[second].slot # None
              => callers'[first].slot # None]_vars

\* Who waits and has not left waits until it is answered: with a session, or
\* with a reason.
NobodyIsForgotten ==
    [][\A i \in DOMAIN queue :
          LET w == queue[i]
          IN  callers[w].state = "waiting" /\ (\A j \in DOMAIN queue' : queue'[j] # w)
              => \/ w \in DOMAIN callers' /\ callers'[w].slot # None
                 \/ shutting
                 \/ /\ breakers[callers[w].template].position = "open"
                    /\ Idle(callers[w].template) = {}
                 \/ w \notin Patient]_vars

\* Whoever has left comes back only when the pool has heard of that.
ADepartureIsHeard ==
    [][\A w \in DOMAIN callers : callers[w].state = "gone" =>
          \/ w \in DOMAIN callers' /\ callers'[w].state = "gone"
          \/ Cancel(w)]_vars

\* While its process lives, a session is its owner's until that gives it back.
NobodyLosesALivingSession ==
    [][\A s \in DOMAIN sessions :
          LET w == sessions[s].owner
          IN  /\ w # None
              /\ processes[s].state = "ready"
              /\ s \in DOMAIN sessions' => sessions'[s].owner # w
              => shutting \/ w \notin DOMAIN callers' \/ callers'[w].slot # s]_vars

WhatIsThereIsHandedOutFirst ==
    [][HandOverIsDue => /\ DOMAIN sessions' \subseteq DOMAIN sessions
                        /\ \A s \in DOMAIN sessions' : sessions'[s].phase = "stopping" => s \in Stopping]_vars

\* For the longest waiting, else as a spare; never in a pause.
NothingIsStartedInVain ==
    [][\A s \in DOMAIN sessions' \ DOMAIN sessions :
          LET t == sessions'[s].template
          IN  /\ ~breakers[t].paused
              /\ Cardinality(Idle(t) \cup Starting(t)) < MostKeptReady(t) + Len(Waiting(t))
              /\ ToBeServed # {} => t = NextToBeServed]_vars

AProcessLivesOnce ==
    [][\A s \in DOMAIN processes \cap DOMAIN processes' :
          <<processes[s].state, processes'[s].state>> \in
              {<<x, x>> : x \in {"starting", "failed", "ready", "dead", "ended"}}
              \cup {<<"starting", "ready">>, <<"starting", "failed">>, <<"ready", "dead">>, <<"dead", "ended">>}]_vars

ShutdownIsForGood ==
    [][shutting => /\ shutting'
                   /\ DOMAIN processes' \subseteq DOMAIN processes
                   /\ \A s \in DOMAIN sessions' : sessions'[s].owner # None => sessions[s].owner # None]_vars

EffectsComeFirst ==
    [][~Settled => Effect \/ (NobodyIsOwedAnAnswer /\ Rings)]_vars

---------------------------------------------------------------------------
(* What happens in the end.                                                *)

AWaiterIsAnswered == \A w \in Waiters : w \in DOMAIN callers /\ Waits(w) ~> ~Waits(w)
ACallerIsDone == \A w \in Waiters : w \in DOMAIN callers ~> w \notin DOMAIN callers
ADeathIsReplaced ==
    \A t \in Templates :
        Cardinality(Idle(t) \cup Starting(t)) < KeptReady(t)
            ~> \/ Cardinality(Idle(t) \cup Starting(t)) >= KeptReady(t)
               \/ ~Room
               \/ breakers[t].position # "closed"
ABreakerTriesAgain == \A t \in Templates : breakers[t].position = "open" ~> breakers[t].position # "open"
ShutdownEnds == shutting ~> sessions = <<>> /\ callers = <<>>
=============================================================================
