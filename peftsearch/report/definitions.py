"""What the report's terms mean, in the words of the contract."""

from __future__ import annotations

TERMS = (
    ("site", "A part of one layer where something can be inserted, named by stack, layer and "
     "part: attention, cross-attention, feed-forward or norm."),
    ("candidate", "A method together with a size; what a site may get."),
    ("architecture", "The hard assignment: for each site its candidates, or nothing."),
    ("budget, limit", "The largest number of trained parameters, the task head not counted. A "
     "share is taken of the frozen backbone, tied tensors once. It is never exceeded."),
    ("further limits", "What is limited beside the parameters: bytes of the file, insertions in "
     "one layer, FLOPs of a training, time of a forward pass on the machine of the run. All that "
     "was raced, retrained or compared keeps to each of them as it is counted."),
    ("head", "The task head that a run adds to an encoder; trained, saved and reported apart."),
    ("supernet", "The backbone with all candidates inserted at once, sharing one copy of it."),
    ("gate", "The decision at one site: a probability for each of its candidates."),
    ("price λ", "The loss that one more parameter must save to be worth it; found by the search "
     "so that the expected cost meets the budget."),
    ("expected cost", "Parameters of the architecture averaged over the gates' probabilities."),
    ("search-train, search-valid", "The parts of the training data on which the search trains "
     "the weights and the gates."),
    ("selection", "The part of the training data on which the shortlist races."),
    ("test", "Data read once, at the end. Where test labels are hidden this is the public "
     "validation set."),
    ("race", "Short real trainings of a shortlist; the winner is the found architecture. The "
     "uniform baselines take part, so the winner can be one of them."),
    ("uniform baseline", "One method at every site, at one size, filling the same budget."),
    ("random baseline", "A random architecture that fills the same budget."),
    ("search seed", "A whole search repeated with other random numbers. What several of them have "
     "in common is a finding about the task; what one has may be chance."),
    ("pattern", "A sentence about several search seeds that is made by a rule: their mean differs "
     "from chance by more than their standard deviation, and so large a difference is unlikely "
     "by chance, with Holm's correction for all questions of a run."),
    ("chance", "What searches that know nothing find in the same space and budget: a budget filled "
     "at random, or the best architecture under random values, whichever is nearer."),
    ("value", "What the search thinks a candidate is worth, in standard deviations of the "
     "supernet's loss; the value of an architecture is the sum over its candidates."),
    ("gate score", "The probability that a method is on in a layer, averaged over its sites."),
    ("± sd, n", "Standard deviation over n retrainings that differ only in their seed. It is "
     "not a confidence interval."),
    ("single training", "One training of one architecture from start to end; the unit in which "
     "the cost of the search is stated."),
)  # fmt: skip

ALERT_TITLES = {
    "baseline_won": "A baseline is better",
    "within_noise": "Within the noise",
    "budget_not_binding": "The budget does not bind",
    "one_seed": "One seed only",
    "supernet_learned_nothing": "The supernet learned nothing",
    "race_learned_nothing": "The race learned little",
    "nothing_chosen": "Nothing was chosen",
    "uniform_won_race": "A uniform architecture won the race",
    "one_method_only": "One method only",
    "gates_collapsed": "The gates collapsed",
    "architecture_uncertain": "The architecture is uncertain",
    "seeds_disagree": "Seeds disagree",
    "simplest_returned": "The simplest of equals was taken",
    "latency_above_limit": "Slower than allowed",
    "baselines_left_out": "Baselines left out",
    "unfinished": "Unfinished run",
    "damaged_file": "A file could not be used",
}
SEVERE = frozenset({"baseline_won", "supernet_learned_nothing", "nothing_chosen", "damaged_file"})
