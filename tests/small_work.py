"""A work as a file: runs of seconds, and claims that come to every verdict."""

# A run whose images are not to be had, a claim that holds, and one that holds only with a change.
JUDGED = """[[run]]
id = "elsewhere"
config = { data = { dataset = "mnist" }, training = { epochs = 1, device = "cpu" } }

[[claim]]
id = "falls"
text = "The loss falls."
reported = "it does"
measure = { start = "first('two', 'train/loss')", end = "final('two', 'train/loss')" }
holds = "end < start"

[[claim]]
id = "wider"
text = "Hardly any error is left."
reported = 0.1
measure = "final('two', 'test/loss')"
holds = "measured < reported"
caveat = "Two numbers are too few."

[[claim.change]]
name = "a code of 20"
measure = "final('twenty', 'test/loss')"

"""

# A work of seconds: characters and digits, a change that helps, a claim on a set that is not to be had.
WORK = (
    """
title = "A small work"
source = "Nobody (2026)"

[base.characters]
data.dataset = "glyphs"
model = { family = "dense", latent = 2, activation = "tanh", code_activation = "tanh" }
training = { epochs = 40, batch_size = 32, learning_rate = 1e-2, device = "cpu", evaluate_every = 10 }
samples.count = 32

[[run]]
id = "two"
label = "code of 2"
base = "characters"
seeds = [0, 1]

[[run]]
id = "twenty"
label = "code of 20"
base = "characters"
config.model.latent = 20
seeds = [0, 1]

[[run]]
id = "digits"
config.data.dataset = "digits"
config.model = { latent = 8, hidden = [32] }
config.training = { epochs = 4, batch_size = 50, device = "cpu" }

[[run]]
id = "classes"
encoder = "digits"
config.data.dataset = "digits"
config.model = { family = "classifier", encoder = "dense", latent = 8, hidden = [32] }
config.training = { epochs = 4, batch_size = 50, device = "cpu", learning_rate = 1e-2 }

"""
    + JUDGED
    + """[[claim]]
id = "never"
text = "Nothing is wrong after 40 epochs."
measure = "final('two', 'test/wrong_pixels')"
holds = "measured == 0"

[[claim]]
id = "answers"
text = "Networks are asked."
measure.near = "distance_correlation('two')"
measure.noise = "noise_errors('twenty', 'salt-pepper', [0, 0.5], 'mse')"
measure.pca = "pca_error('two')"
holds = "rising(noise) and pca > 0"

[[claim]]
id = "classes"
text = "Classes are told apart."
measure.accuracy = "final('classes', 'test/accuracy')"
measure.recall = "class_recall('classes', '0')"
measure.taken_for = "confused_with('classes', '8', 2)"
holds = "accuracy > 0.3 and recall >= 0 and not '8' in taken_for"

[[claim]]
id = "gone"
text = "MNIST is learned."
measure = "final('elsewhere', 'test/loss')"
holds = "measured < 1"

[[figure]]
kind = "curves"
title = "Loss of both"
runs = ["two", "twenty"]
log = true

[[figure]]
kind = "images"
title = "Inputs over <reconstructions>"
runs = ["two", "twenty"]
count = 20

[[figure]]
kind = "codes"
title = "The plane"
runs = ["two"]

[[figure]]
kind = "between"
title = "Between A and B"
runs = ["two"]
ends = ["A", "B"]

[[figure]]
kind = "code-grid"
title = "A grid"
runs = ["two"]
count = 5

[[figure]]
kind = "noise"
title = "Noise"
runs = ["twenty"]
levels = [0.0, 0.3]

[[figure]]
kind = "untrained"
title = "Untrained"
runs = ["digits"]

[[figure]]
kind = "confusion"
title = "Confusion"
runs = ["classes"]

[[figure]]
kind = "seeds"
title = "Seeds"
runs = ["two", "twenty"]
metric = ["wrong_pixels_max"]
"""
)
