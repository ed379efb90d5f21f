"""End-to-end tests: real workers, the public interface, nothing replaced."""
