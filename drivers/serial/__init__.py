"""Serial stream instruments: frames that come by themselves, described by data."""
