"""From a plan of trials to records: prepare the data once, then each trial in its own process under the budget."""
