"""The southbound loop: one task a link reads its devices and hands scans on."""
