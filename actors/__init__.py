"""A small actor layer over trio: mailboxes, asking, alarms, orderly ends.

Owns what any trio program made of actors needs, and nothing of what one such program does.
It knows trio, and tricycle's service nursery in one place.
"""

from .actor import Actor as Actor
from .alarm import Alarm as Alarm
from .alarm import AlarmStatistics as AlarmStatistics
from .errors import ActorError as ActorError
from .errors import ActorGone as ActorGone
from .errors import AlreadyAnswered as AlreadyAnswered
from .errors import AlreadyRunning as AlreadyRunning
from .errors import ChildNotRunning as ChildNotRunning
from .errors import Gone as Gone
from .errors import Misuse as Misuse
from .errors import NeverStarted as NeverStarted
from .errors import NoReply as NoReply
from .errors import RestartIntensityExceeded as RestartIntensityExceeded
from .errors import UnknownChild as UnknownChild
from .mailbox import Address as Address
from .mailbox import Answer as Answer
from .mailbox import Inbox as Inbox
from .mailbox import Reply as Reply
from .mailbox import ask as ask
from .mailbox import close_mailbox as close_mailbox
from .mailbox import open_mailbox as open_mailbox
from .mailbox import open_reply as open_reply
from .shutdown import Ending as Ending
from .shutdown import ask_then_cancel as ask_then_cancel
from .shutdown import open_body_nursery as open_body_nursery
