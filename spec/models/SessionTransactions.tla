------------------------- MODULE SessionTransactions -------------------------
(* What may befall a transaction: a question opens it, executions follow,    *)
(* and before the last of them, which may have a snapshot of its own, may    *)
(* come a question that commits it.                                          *)
EXTENDS Session

Order ==
    \A n \in DOMAIN jobs' :
        /\ n = 1 => jobs'[n].kind = "question" /\ ~jobs'[n].timed
        /\ n = 3 => jobs'[n].kind = "execution"
        /\ jobs'[n].protected => n = 3
=============================================================================
