"""Who does what when: learner, fleet, evaluation, checkpoints, reports."""
