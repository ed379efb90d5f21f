"""Sessions that outlive their clients' connections: hosted, journalled, shared by several."""
