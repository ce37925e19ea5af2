"""Other people's systems: each folder speaks to one of them and implements ports of the rooms."""
