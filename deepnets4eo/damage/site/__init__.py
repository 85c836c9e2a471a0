"""The value that goes through a damage job: what is known of its site, what an evidence is, when it measures and how far it decides."""
