"""Libraries of examples and cohorts of patients, in the application."""
