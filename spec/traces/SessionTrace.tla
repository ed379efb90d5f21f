---------------------------- MODULE SessionTrace ----------------------------
(* Is what a session did a behaviour of Session.tla? A recording is made    *)
(* into the module SessionRuns, which defines Runs: a sequence of records,  *)
(* each with the configuration and the actions of one session, and whether  *)
(* it was recorded to its end. Every step of this spec is the next recorded *)
(* action, as Session.tla has it.                                           *)
(*                                                                          *)
(* Only the session's half of each step is recorded, so only that is held   *)
(* to the spec, in any world: client, transport and worker stay as they     *)
(* were at first. Nothing is lost by that: with each command that it takes, *)
(* the world of Session.tla may give every notice that a session can take.  *)
(*                                                                          *)
(* There is exactly one next step while the recording agrees with the spec, *)
(* and none where it does not: TLC then reports a deadlock, and the last    *)
(* state has the number of the action that was not possible. After the last *)
(* one only Consumed is left, if nothing is due then: a session that forgot *)
(* the last effect of all did not do what the spec says.                    *)
EXTENDS Session, SessionRuns

VARIABLES
    run,   \* which of the runs
    next   \* the number of the action to come

Actions == Runs[run].actions
Coming == Actions[next]
Is(name) == Coming.action = name

TraceInit ==
    /\ run \in DOMAIN Runs
    /\ next = 1
    /\ phase = "open"
    /\ waiting = <<>>
    /\ handed = <<>>
    /\ jobs = <<>>
    /\ ladder = NoLadder
    /\ closing = FALSE
    /\ limit = Runs[run].queued
    /\ last = 0
    /\ transaction = FALSE
    /\ due = <<>>
    /\ TheWorldBegins

n == Coming.job
id == Coming.execution
reply == Coming.reply

Told_ ==
    \/ Is("Execute") /\ Execute(n, id, Coming.reads, Coming.timed, Coming.protected)
    \/ Is("Ended") /\ Ended(n, Coming.rolled_back, Coming.open)
    \/ Is("Survived") /\ Survived
    \/ Is("Query") /\ Query(n, id, Coming.timed)
    \/ Is("Refuse") /\ Refuse(Coming.reason)
    \/ Is("AnswerInput") /\ AnswerInput(id)
    \/ Is("Interrupt") /\ Interrupt(id, reply, Coming.wish)
    \/ Is("Abandon") /\ Abandon(id)
    \/ Is("Narrow") /\ Narrow(Coming.queued)
    \/ Is("Close") /\ Close(Coming.graceful)
    \/ Is("Broke") /\ Broke(n)
    \/ Is("Died") /\ Died

Rang ==
    \/ Is("DeadlinePassed") /\ DeadlinePassed(n)
    \/ Is("GracePassed") /\ GracePassed
    \/ Is("DumpPassed") /\ DumpPassed
    \/ Is("CloseGracePassed") /\ CloseGracePassed

Done ==
    \/ Is("Hand") /\ Hand(n)
    \/ Is("Drop") /\ Drop(n)
    \/ Is("Postpone") /\ Postpone(n, reply)
    \/ Is("Join") /\ Join(n, reply)
    \/ Is("Signal") /\ Signal(n, reply)
    \/ Is("Settle") /\ Settle(reply, Coming.outcome)
    \/ Is("DumpStack") /\ DumpStack
    \/ Is("KillWorker") /\ KillWorker(n)
    \/ Is("ShutWorkerDown") /\ ShutWorkerDown

Recorded ==
    /\ Runs[run].handed_at_most = HandedAtMost
    /\ IF Settled THEN Told_ \/ Rang ELSE Done
    /\ next' = next + 1
    /\ UNCHANGED World

Consumed ==
    /\ Runs[run].whole => Settled
    /\ UNCHANGED <<vars, next>>

TraceNext ==
    /\ IF next <= Len(Actions) THEN Recorded ELSE Consumed
    /\ UNCHANGED run

TraceSpec == TraceInit /\ [][TraceNext]_<<vars, run, next>>
=============================================================================
