"""What a worker refuses to do, by one of the service's codes. Must not know why."""


class Refusal(Exception):
    """What cannot be done; ``code`` is one of the service's."""

    def __init__(self, code: str, why: str) -> None:
        super().__init__(why)
        self.code = code
