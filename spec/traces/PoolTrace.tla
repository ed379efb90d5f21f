----------------------------- MODULE PoolTrace -----------------------------
(* Is what the pool did a behaviour of Pool.tla? A recording is made into  *)
(* the module PoolRuns, which defines Runs: a sequence of records with the *)
(* config, the templates and the actions of one pool each, and whether it  *)
(* was recorded to its end. Every step of this spec is the next recorded   *)
(* action, as Pool.tla has it, or a step of the world that this action     *)
(* presupposes and that the pool cannot see: a process must have become    *)
(* ready before the pool can be told so.                                   *)
(*                                                                         *)
(* There is exactly one next step while the recording agrees with the      *)
(* spec, and none where it does not: TLC then reports a deadlock, and the  *)
(* last state has the number of the action that was not possible. After    *)
(* the last action only Consumed is left, if nothing is due then: a pool   *)
(* that forgot the last effect of all did not do what the spec says.       *)
(*                                                                         *)
(* An action has the names of what it is about: waiter, session (as a slot *)
(* and an epoch) and template; live and waiting are the numbers of records *)
(* and of waiters that the pool counted right after it.                    *)
EXTENDS Pool, PoolRuns


VARIABLES
    run,   \* which of the runs
    next   \* the number of the action to come

Actions == Runs[run].actions
Coming == Actions[next]
Is(name) == Coming.action = name

TraceInit ==
    /\ run \in DOMAIN Runs
    /\ next = 1
    /\ config = Runs[run].config
    /\ sessions = <<>>
    /\ processes = <<>>
    /\ callers = <<>>
    /\ queue = <<>>
    /\ breakers = [t \in Runs[run].templates |-> Closed]
    /\ shutting = FALSE

---------------------------------------------------------------------------
(* What each recorded action must have been. Its name is looked at first:  *)
(* what it takes longest to evaluate, Settled, comes last.                 *)

w == Coming.waiter
s == Coming.slot
e == Coming.epoch
t == Coming.template

IsAbout == s \in DOMAIN sessions /\ sessions[s].epoch = e
HasLease == w \in DOMAIN callers /\ callers[w].slot = s /\ callers[w].epoch = e

WasTold ==
    \/ Is("Acquire") /\ Acquire(w, t)
    \/ Is("Cancel") /\ w \in DOMAIN callers /\ Cancel(w)
    \/ Is("Release") /\ HasLease /\ Release(w, s)
    \/ Is("TakeBack") /\ HasLease /\ TakeBack(w, s)
    \/ Is("StartSucceeded") /\ IsAbout /\ StartSucceeded(s)
    \/ Is("StartFailed") /\ IsAbout /\ StartFailed(s)
    \/ Is("SessionDied") /\ IsAbout /\ SessionDied(s)
    \/ Is("SessionEnded") /\ IsAbout /\ SessionEnded(s)
    \/ Is("ZygoteDies") /\ t \in DOMAIN breakers /\ ZygoteDies(t)
    \/ Is("ShutDown") /\ ShutDown

Rang ==
    \/ Is("TimeOut") /\ w \in DOMAIN callers /\ TimeOut(w)
    \/ Is("Expire") /\ IsAbout /\ Expire(s)
    \/ Is("Retry") /\ t \in DOMAIN breakers /\ Retry(t)

Done ==
    \/ Is("HandOver") /\ w \in DOMAIN callers /\ IsAbout /\ HandOver(w, s)
    \/ Is("Refuse") /\ w \in DOMAIN callers /\ Refuse(w)
    \/ Is("Start") /\ t \in DOMAIN breakers /\ Start(t, s, e)
    \/ Is("Stop") /\ IsAbout /\ Stop(s)

Counted ==
    /\ Cardinality(DOMAIN sessions') = Coming.live
    /\ Len(queue') = Coming.waiting

Recorded ==
    /\ \/ Done
       \/ Rang /\ NobodyIsOwedAnAnswer
       \/ WasTold /\ Settled
    /\ Counted
    /\ next' = next + 1

---------------------------------------------------------------------------
(* What must have happened in the world before it.                         *)

Was(states) == IsAbout /\ processes[s].state \in states
MustBeReady == (Is("StartSucceeded") \/ Is("SessionDied") \/ Is("SessionEnded")) /\ Was({"starting"})
MustHaveFailed == Is("StartFailed") /\ Was({"starting"})
MustHaveDied == (Is("SessionDied") \/ Is("SessionEnded")) /\ Was({"ready"})
MustBeReaped == Is("SessionEnded") /\ Was({"dead"})
MustHaveLeft == Is("Cancel") /\ w \in DOMAIN callers /\ callers[w].state = "waiting"
MustHaveUsed == Is("Release") /\ HasLease /\ callers[w].state = "given"

Presupposed ==
    /\ \/ MustBeReady /\ ProcessIsReady(s)
       \/ MustHaveFailed /\ ProcessFails(s)
       \/ MustHaveDied /\ ProcessDies(s)
       \/ MustBeReaped /\ ProcessIsReaped(s)
       \/ MustHaveLeft /\ Leave(w)
       \/ MustHaveUsed /\ Use(w)
    /\ Settled
    /\ UNCHANGED next

\* A pool that was cancelled before its first turn has not begun.
Consumed ==
    /\ next > Len(Actions)
    /\ Runs[run].whole /\ Actions # <<>> => Settled
    /\ UNCHANGED <<vars, next>>

TraceNext ==
    /\ \/ next <= Len(Actions) /\ (Presupposed \/ Recorded)
       \/ Consumed
    /\ UNCHANGED run

TraceSpec == TraceInit /\ [][TraceNext]_<<vars, run, next>>
=============================================================================
