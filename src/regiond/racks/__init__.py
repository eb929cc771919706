"""The doors for racks: enrolment, control sessions, image bytes. Thin; they call use-cases."""
