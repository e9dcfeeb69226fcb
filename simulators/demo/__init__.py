"""The demonstration: a whole site on one machine, its outage, and the account at the end."""
