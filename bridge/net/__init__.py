"""Other people's addresses and pages: fetched and read such that they can do no harm."""
